"""Planted episodes: what they are, how big, what follows and how likely that was."""

import numpy as np
import pytest

from smallcaps.sources.simulator.episodes import (
    KINDS,
    LARGEST,
    NOTHING,
    SMALLEST,
    STRENGTH,
    Episode,
    best_continuation,
    plant,
)
from tests.sources.simulator.plans import FULL_DAY, HALF_DAY


def many(number: int, hidden_share: float = 0.5) -> list[Episode]:
    generator = np.random.default_rng(11)
    return [
        plant(
            generator, str(place), 1, "ABC", FULL_DAY, 6.0, float(generator.standard_normal()),
            float(0.12 * generator.standard_normal()), hidden_share,
        )
        for place in range(number)
    ]  # fmt: skip


EPISODES = many(6_000)


def test_every_kind_comes_about_as_often_as_its_share() -> None:
    assert sum(kind.share for kind in KINDS.values()) == pytest.approx(1)
    for name, kind in KINDS.items():
        number = sum(episode.kind == name for episode in EPISODES)
        assert number / len(EPISODES) == pytest.approx(kind.share, abs=4 * np.sqrt(kind.share / len(EPISODES)))


def test_sizes_are_continuous_from_half_to_three_usual_ones_so_that_some_just_miss() -> None:
    multiples = np.sort([episode.multiple for episode in EPISODES])
    assert multiples[0] == pytest.approx(SMALLEST, abs=0.01)
    assert multiples[-1] == pytest.approx(LARGEST, abs=0.02)
    assert np.diff(multiples).max() < 0.03
    near = [episode for episode in EPISODES if episode.near_miss]
    assert {episode.kind for episode in near} == set(KINDS)
    assert all(0.75 <= episode.multiple < 1 for episode in near)


def test_the_move_is_the_usual_size_times_the_multiple_in_the_direction() -> None:
    for episode in EPISODES:
        usual = KINDS[episode.kind].usual
        assert np.sign(episode.move) == episode.direction
        if episode.move > -0.45:
            assert episode.move == pytest.approx(episode.direction * np.log1p(usual * episode.multiple))


def test_drives_together_move_the_price_by_what_the_truth_says() -> None:
    for episode in EPISODES:
        drives = episode.shape.drives
        assert sum(drive.move for drive in drives) == pytest.approx(episode.total_move)
        assert all(0 < drive.start < drive.end <= FULL_DAY.close for drive in drives)
        assert episode.shape.onset <= episode.shape.peak < FULL_DAY.close


def test_outcomes_are_drawn_from_the_probabilities_beside_them() -> None:
    for outcome, probability in (("continuation", "continuation"), ("reversal", "reversal")):
        happened = np.array([episode.outcome == outcome for episode in EPISODES])
        said = np.array([getattr(episode, probability) for episode in EPISODES])
        order = np.argsort(said)
        for group in np.array_split(order, 8):
            deviation = np.sqrt(said[group].mean() * (1 - said[group].mean()) / len(group))
            assert abs(happened[group].mean() - said[group].mean()) < 4.5 * deviation
    assert np.mean([episode.outcome == "nothing" for episode in EPISODES]) == pytest.approx(NOTHING, abs=0.025)


def test_what_follows_goes_the_way_of_the_outcome() -> None:
    for episode in EPISODES:
        sign = {"continuation": 1, "reversal": -1, "nothing": 0}[episode.outcome]
        assert np.sign(episode.carry[0]) == sign * episode.direction
        assert episode.after == 0 or np.sign(episode.after) == sign * episode.direction


def test_the_best_that_can_be_known_is_the_mean_over_what_is_hidden() -> None:
    hidden = np.random.default_rng(3).standard_normal(400_000)
    for observable in (-1.5, 0.0, 0.8):
        x = STRENGTH * (np.sqrt(0.6) * observable + np.sqrt(0.4) * hidden)
        drawn = ((1 - NOTHING) / (1 + np.exp(-x))).mean()
        assert best_continuation(observable, 0.4) == pytest.approx(drawn, abs=0.002)


def test_with_nothing_hidden_the_best_is_the_truth_and_with_all_hidden_it_is_a_constant() -> None:
    for episode in many(200, hidden_share=0.0):
        assert episode.best_continuation == pytest.approx(episode.continuation)
    assert {round(episode.best_continuation, 6) for episode in many(200, hidden_share=1.0)} == {(1 - NOTHING) / 2}


def test_manipulation_is_labelled() -> None:
    assert {episode.kind for episode in EPISODES if episode.manipulation} == {"pump_and_dump", "spoof"}


def test_on_a_half_day_everything_ends_before_the_close() -> None:
    generator = np.random.default_rng(5)
    for place in range(1_000):
        episode = plant(generator, str(place), 1, "ABC", HALF_DAY, 6.0, 0.0, 0.0, 0.5)
        assert all(drive.end <= HALF_DAY.close for drive in episode.shape.drives)
        assert all(pause.end < HALF_DAY.close for pause in episode.shape.pauses)
