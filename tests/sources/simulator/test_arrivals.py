"""Orders: how many, when, on which side."""

import numpy as np
import pytest

from smallcaps.sources.simulator.arrivals import (
    background_orders,
    burst_orders,
    day_curve,
    merged,
    slow_noise,
)


def test_the_curve_is_one_on_average_in_the_regular_session_and_nothing_after_the_end() -> None:
    curve = day_curve(330, 540, 780, outside=0.02)
    assert curve[330:540].mean() == pytest.approx(1.0)
    assert curve[330] > curve[430]
    assert curve[539] > curve[430]
    assert curve[780:].sum() == 0
    assert curve[:330].sum() == pytest.approx(0.02 * 210)


def test_as_many_orders_come_as_the_rate_says_children_included() -> None:
    rate = np.full(960, 5.0)
    counts = [len(background_orders(np.random.default_rng(seed), rate, 0.8).seconds) for seed in range(40)]
    # 4,800 on average; a cluster of a Hawkes process with branching 0.8 has variance-to-mean 25, so a mean of 40 days
    # has a standard error of 55.
    assert abs(np.mean(counts) - 4_800) < 4 * 55


def test_orders_are_in_order_of_time_and_the_same_for_the_same_seed() -> None:
    rate = np.full(960, 2.0)
    one, other = (background_orders(np.random.default_rng(7), rate, 0.7) for _ in range(2))
    assert (np.diff(one.seconds) >= 0).all()
    assert (one.seconds == other.seconds).all()
    assert (one.side == other.side).all()


def test_sides_come_in_long_runs() -> None:
    orders = background_orders(np.random.default_rng(1), np.full(960, 30.0), 0.8)
    correlation = [np.corrcoef(orders.side[lag:], orders.side[:-lag])[0, 1] for lag in (1, 10, 50)]
    assert correlation[0] > 0.45
    assert correlation[1] > 0.06
    assert correlation[0] > correlation[1] > correlation[2]


def test_a_burst_stays_in_its_time_and_takes_its_side() -> None:
    orders = burst_orders(np.random.default_rng(1), 100.0, 160.0, count=2_000, buys=0.92, branching=0.8)
    assert orders.seconds.min() >= 100
    assert orders.seconds.max() < 160
    assert orders.side.mean() > 0.6


def test_merging_keeps_every_order_and_where_it_came_from() -> None:
    rate = np.full(960, 1.0)
    parts = [background_orders(np.random.default_rng(seed), rate, 0.5) for seed in (1, 2, 3)]
    together, origin = merged(parts)
    assert (np.diff(together.seconds) >= 0).all()
    for place, part in enumerate(parts):
        assert (together.seconds[origin == place] == part.seconds).all()
        assert (together.side[origin == place] == part.side).all()


def test_slow_noise_has_the_deviation_and_memory_asked_for() -> None:
    noise = slow_noise(np.random.default_rng(5), 200_000, memory=12, deviation=0.5)
    assert noise.std() == pytest.approx(0.5, rel=0.05)
    assert np.corrcoef(noise[12:], noise[:-12])[0, 1] == pytest.approx(np.exp(-1), abs=0.05)
