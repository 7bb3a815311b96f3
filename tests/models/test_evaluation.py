"""Metrics by hand on a dozen rows, and what their intervals do; scikit-learn and frames put together naively are the oracle."""

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from smallcaps.models.evaluation import (
    DECILES,
    METRICS,
    MINIMUM_BLOCKS,
    area_under_curve,
    blocks_of,
    by_detector,
    deciles,
    draws,
    evaluate,
    interval,
    log_losses,
)

DAY = dt.date(2024, 3, 4)


def scored(rows: list[tuple[float, int]], dates: list[dt.date] | None = None, base_rate: float = 0.5) -> pd.DataFrame:
    """(probability, happened) rows as gold.predictions has them of one target; event ids in the order of the rows."""
    return pd.DataFrame(
        {
            "event_id": [f"e{place:04d}" for place in range(len(rows))],
            "session_date": dates or [DAY] * len(rows),
            "probability": [probability for probability, _ in rows],
            "happened": [happened for _, happened in rows],
            "base_rate": base_rate,
        }
    )


FOUR = scored([(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)])


def value(name: str, rows: pd.DataFrame) -> float:
    return evaluate(rows, samples=0, seed=1)[name].value


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Pairs (came, not): 0.35 > 0.1, 0.35 < 0.4, 0.8 > 0.1, 0.8 > 0.4: three of four. Ties count half.
    for rows, expected in ((FOUR, 0.75), (scored([(0.5, 0), (0.5, 1)]), 0.5)):
        assert area_under_curve(rows) == expected
        assert value("auc", rows) == expected
    alone = scored([(0.2, 1), (0.7, 1)])
    assert math.isnan(area_under_curve(alone))
    assert math.isnan(value("auc", alone))


def test_brier_is_the_mean_squared_error_and_bias_the_mean_error() -> None:
    # 0.1² + 0.4² + 0.65² + 0.2² = 0.01 + 0.16 + 0.4225 + 0.04 = 0.6325; the probabilities add up to 1.65, two came.
    assert value("brier", FOUR) == pytest.approx(0.6325 / 4)
    assert value("bias", FOUR) == pytest.approx((1.65 - 2) / 4)


def test_lift_compares_the_best_tenth_with_all() -> None:
    # 20 rows of which 5 came (25 %); of the two highest probabilities one did: 50 % / 25 % = 2.
    rows = [(0.9, 1), (0.8, 0), *[(0.5, 1)] * 4, *[(0.1, 0)] * 14]
    assert value("top_decile_lift", scored(rows)) == pytest.approx(2)
    # Fewer than ten rows: the single best.
    assert value("top_decile_lift", FOUR) == pytest.approx(1 / 0.5)
    assert math.isnan(value("top_decile_lift", scored([(0.5, 0)] * 10)))


def test_lift_breaks_ties_by_event_id_whatever_the_order_of_the_rows() -> None:
    rows = scored([(0.5, 1), *[(0.5, 0)] * 9])
    assert value("top_decile_lift", rows) == value("top_decile_lift", rows.iloc[::-1]) == pytest.approx(10)


def test_skill_is_what_log_loss_gains_on_the_folds_base_rates() -> None:
    # Base rate 0.5: ln 2. Probabilities 0.8 for what came and 0.2 for what did not: −ln 0.8.
    rows = scored([(0.8, 1), (0.2, 0)])
    assert value("log_loss_skill", rows) == pytest.approx(1 - math.log(0.8) / math.log(0.5))
    assert value("log_loss_skill", scored([(0.5, 1), (0.5, 0)])) == pytest.approx(0)
    # Each row against its own fold's base rate: −(ln 0.9 + ln 0.6)/2 is the reference.
    rows["base_rate"] = [0.9, 0.4]
    assert value("log_loss_skill", rows) == pytest.approx(1 - math.log(0.8) * 2 / (math.log(0.9) + math.log(0.6)))


def test_who_was_sure_and_wrong_loses_much_but_not_everything() -> None:
    losses = log_losses(np.array([1.0, 0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0, 0.5]))
    assert losses[:4] == pytest.approx([-math.log(2**-52), -math.log(2**-52), 0, 0], abs=1e-12)
    assert losses[4] == pytest.approx(math.log(2))


def measured_naively(rows: pd.DataFrame) -> dict[str, float]:
    """METRICS by scikit-learn; NaN where it gives none."""
    happened, probability = rows["happened"], rows["probability"]
    best = rows.sort_values(["probability", "event_id"], ascending=[False, True]).head(max(1, len(rows) // 10))
    reference = log_loss(happened, rows["base_rate"], labels=[0, 1])
    return {
        "auc": roc_auc_score(happened, probability) if happened.nunique() == 2 else math.nan,
        "top_decile_lift": best["happened"].mean() / happened.mean() if happened.any() else math.nan,
        "log_loss_skill": 1 - log_loss(happened, probability, labels=[0, 1]) / reference,
        "brier": brier_score_loss(happened, probability),
        "bias": probability.mean() - happened.mean(),
    }


def drawn_naively(rows: pd.DataFrame, samples: int, seed: int) -> list[pd.DataFrame]:
    """`samples` frames of as many ISO weeks as there are, each drawn with replacement."""
    number = np.array([100 * year + week for year, week, _ in (day.isocalendar() for day in rows["session_date"])])
    weeks = [week for _, week in rows.groupby(number)]
    random = np.random.default_rng(seed)
    return [pd.concat([weeks[place] for place in random.integers(0, len(weeks), len(weeks))]) for _ in range(samples)]


def ninety_five(values: Sequence[float]) -> tuple[float, float]:
    known = [one for one in values if not math.isnan(one)]
    return (np.percentile(known, 2.5), np.percentile(known, 97.5)) if known else (math.nan, math.nan)


@hypothesis_settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    weeks=st.integers(MINIMUM_BLOCKS, 14),
    most=st.integers(1, 6),
    places=st.integers(0, 3),
)
def test_weights_give_what_frames_put_together_give_by_scikit_learn(
    seed: int, weeks: int, most: int, places: int
) -> None:
    """Few rows a week, with ties, probabilities of 0 and 1, and draws in which one class is missing."""
    random = np.random.default_rng(seed)
    dates = [DAY + dt.timedelta(weeks=week) for week in range(weeks) for _ in range(random.integers(1, most + 1))]
    rows = scored([(round(float(random.random()), places), int(random.random() < 0.3)) for _ in dates], dates)
    rows["base_rate"] = random.choice([0.2, 0.35], len(rows))
    rows = rows.sample(frac=1, random_state=int(random.integers(0, 1000)))
    whole, drawn = measured_naively(rows), [measured_naively(one) for one in drawn_naively(rows, 12, seed)]
    for name, found in evaluate(rows, samples=12, seed=seed).items():
        assert found.value == pytest.approx(whole[name], rel=1e-9, abs=1e-12, nan_ok=True)
        expected = ninety_five([one[name] for one in drawn])
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def coin_flips(seed: int, weeks: int = 30, a_week: int = 20) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    dates = [
        DAY + dt.timedelta(weeks=week, days=int(day)) for week in range(weeks) for day in random.integers(0, 5, a_week)
    ]
    rows = [(float(random.random()), int(random.integers(0, 2))) for _ in dates]
    return scored(rows, dates)


def test_the_interval_of_a_coin_flip_covers_one_half() -> None:
    """Of 40 coins a 95 % interval misses about two, and more than six only once in a hundred times."""
    estimates = [evaluate(coin_flips(seed, weeks=30), samples=200, seed=seed)["auc"] for seed in range(40)]
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in estimates)
    assert sum(not estimate.low <= 0.5 <= estimate.high for estimate in estimates) <= 6
    assert all(estimate.high - estimate.low < 0.2 for estimate in estimates)


def test_the_bootstrap_is_seeded() -> None:
    rows = coin_flips(1)
    assert evaluate(rows, samples=30, seed=7) == evaluate(rows, samples=30, seed=7)
    assert evaluate(rows, samples=30, seed=7) != evaluate(rows, samples=30, seed=8)


def test_without_draws_there_is_no_interval() -> None:
    estimate = evaluate(coin_flips(1), samples=0, seed=1)["auc"]
    assert 0.4 < estimate.value < 0.6
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_what_could_not_be_told_of_a_draw_does_not_count() -> None:
    assert interval(np.array([math.nan, 0.25, math.inf, 0.75])) == pytest.approx((0.2625, 0.7375))
    assert all(math.isnan(end) for end in interval(np.array([math.nan])))


def test_whole_iso_weeks_are_drawn_and_a_turn_of_the_year_does_not_divide_one() -> None:
    # 30 December 2024 to 3 January 2025 are one week; the first weeks of two years are two.
    turn = [dt.date(2024, 12, 30), dt.date(2024, 12, 31), dt.date(2025, 1, 2), dt.date(2025, 1, 3)]
    others = [dt.date(2024, 1, 2), dt.date(2024, 1, 3), *(DAY + dt.timedelta(weeks=week) for week in range(8))]
    blocks = blocks_of(pd.Series(turn + others))
    assert blocks is not None
    assert len(set(blocks[:4])) == 1
    assert blocks[4] == blocks[5] != blocks[0]
    assert sorted(set(blocks)) == list(range(10))


def test_where_there_are_fewer_than_ten_weeks_days_are_drawn_and_where_there_are_fewer_of_these_nothing_is() -> None:
    days = [DAY + dt.timedelta(days=place) for place in range(10)]
    blocks = blocks_of(pd.Series(days * 2))
    assert blocks is not None
    assert list(blocks) == [*range(10)] * 2
    assert blocks_of(pd.Series(days[:9] * 20)) is None
    assert list(draws(None, 5, 1)) == []
    few = scored([(0.3, 0), (0.6, 1)] * 9, days[:9] * 2)
    assert all(math.isnan(one.low) and math.isnan(one.high) for one in evaluate(few, 50, 1).values())


def test_a_block_is_drawn_as_a_whole_and_as_many_as_there_are() -> None:
    blocks = np.array([0, 1, 2, 1, 0, 2, 2])
    drawn = list(draws(blocks, 50, 3))
    assert len(drawn) == 50
    for times in drawn:
        by_block = [set(times[blocks == block]) for block in range(3)]
        assert all(len(one) == 1 for one in by_block)
        assert sum(one.pop() for one in by_block) == 3
    assert len({tuple(times) for times in drawn}) > 5


def test_a_week_counts_as_one_observation_however_many_events_it_has() -> None:
    """Copies of one week's events make the rows more, not the evidence: the interval stays as wide."""
    rows = coin_flips(3, weeks=12, a_week=10)
    copied = pd.concat([rows.assign(event_id=rows["event_id"] + f" {copy}") for copy in range(5)])
    once, often = (evaluate(frame, samples=60, seed=5)["auc"] for frame in (rows, copied))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert once.low < once.high


def test_deciles_by_hand() -> None:
    # Of 20 rows, two a decile; both of the highest came, one of the next, none of the others: 15 % among all.
    rows = scored([(place / 20, int(place >= 18 or place == 16)) for place in range(20)])
    found = deciles(rows.sample(frac=1, random_state=1), samples=20, seed=1)
    assert list(found["decile"]) == list(range(1, 11))
    assert list(found["events"]) == [2] * 10
    assert list(found["predicted"]) == pytest.approx([(4 * place + 1) / 40 for place in range(10)])
    assert list(found["observed"]) == [0] * 8 + [0.5, 1]
    assert list(found["lift"]) == pytest.approx([0] * 8 + [0.5 / 0.15, 1 / 0.15])
    # One day: nothing to draw from.
    assert found[["observed_low", "observed_high", "lift_low", "lift_high"]].isna().all(axis=None)


def test_equal_probabilities_stay_in_one_decile() -> None:
    rows = scored([(0.3, 0)] * 15 + [(0.9, 1)] * 5)
    found = deciles(rows, samples=0, seed=1)
    assert list(zip(found["predicted"], found["events"], strict=True)) == [(pytest.approx(0.3), 15), (0.9, 5)]


@hypothesis_settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 2**32 - 1), places=st.integers(1, 3))
def test_deciles_are_of_all_rows_and_their_intervals_those_of_frames_put_together(seed: int, places: int) -> None:
    random = np.random.default_rng(seed)
    rows = coin_flips(seed, weeks=11, a_week=4).assign(base_rate=0.5)
    rows["probability"] = rows["probability"].round(places)
    rows["happened"] = (random.random(len(rows)) < rows["probability"]).astype(int)
    found = deciles(rows, samples=15, seed=seed)
    assert found["events"].sum() == len(rows)
    assert len(found) <= DECILES
    assert (found["observed"] * found["events"]).sum() == pytest.approx(rows["happened"].sum())
    assert (found["predicted"] * found["events"]).sum() == pytest.approx(rows["probability"].sum())
    # Which rows are of which decile, from their mean and number: they follow each other by probability.
    ordered, ends = rows.sort_values("probability"), found["events"].cumsum()
    tenth = pd.Series(np.searchsorted(ends, np.arange(len(rows)), side="right"), index=ordered.index)
    assert list(ordered["probability"].groupby(tenth).mean()) == pytest.approx(list(found["predicted"]))
    shares, lifts = [], []
    for one in drawn_naively(rows.assign(tenth=tenth), 15, seed):
        share = one.groupby("tenth")["happened"].mean().reindex(range(len(found)))
        shares.append(share)
        lifts.append(share / one["happened"].mean())
    for name, drawn in (("observed", shares), ("lift", lifts)):
        for place in range(len(found)):
            row = found.iloc[place]
            expected = ninety_five([one[place] for one in drawn])
            assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(expected, nan_ok=True)


def test_each_detectors_yeses_and_noes_are_counted_by_hand() -> None:
    # Yes is above the base rate of the row's fold: 0.5, in the last two rows 0.7.
    rows = scored([(0.6, 1), (0.7, 0), (0.5, 1), (0.2, 0), (0.9, 1), (0.6, 1), (0.6, 0)])
    rows["base_rate"] = [0.5] * 5 + [0.7] * 2
    rows["detector"] = ["gap", "gap", "gap", "gap", "gap", "flush", "flush"]
    flush, gap = by_detector(rows).to_dict("records")
    assert flush == {"detector": "flush", "events": 2, "observed": 0.5, "predicted": 0.6, "auc": 0.5} | {
        "true_positive": 0,
        "false_positive": 0,
        "false_negative": 1,
        "true_negative": 1,
    }
    # In order: 0.6 > 0.2, 0.5 > 0.2, 0.9 > 0.7, 0.9 > 0.2; not: 0.6 < 0.7, 0.5 < 0.7.
    assert gap == {
        "detector": "gap",
        "events": 5,
        "observed": pytest.approx(3 / 5),
        "predicted": pytest.approx(2.9 / 5),
        "auc": pytest.approx(4 / 6),
        "true_positive": 2,
        "false_positive": 1,
        "false_negative": 1,
        "true_negative": 1,
    }


def test_all_metrics_are_there_in_their_order() -> None:
    assert tuple(evaluate(FOUR, samples=0, seed=1)) == METRICS
