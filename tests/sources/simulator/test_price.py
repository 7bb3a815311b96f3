"""The efficient price meets its plan, drives move it by what they were given, pauses follow the limit rule."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps.sources.simulator.arrivals import background_orders
from smallcaps.sources.simulator.plan import PRE_SECONDS, SECONDS, DayPlan, Pause
from smallcaps.sources.simulator.price import bridged, drive_path, flow_impact, limit_pauses
from tests.sources.simulator.plans import HALF_DAY, plan

OPEN = PRE_SECONDS


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_whatever_the_noise_the_price_ends_where_the_plan_says(seed: int) -> None:
    steps = 0.001 * np.random.default_rng(seed).standard_normal(SECONDS)
    for hours in (plan().hours, HALF_DAY):
        own = plan(hours=hours)
        price = np.exp(bridged(steps, np.ones(SECONDS), own))
        assert price[OPEN - 1] == pytest.approx(own.open_price)
        assert price[hours.close - 1] == pytest.approx(own.close_price)
        assert price[-1] == pytest.approx(own.end_price)


def test_impact_has_about_the_variance_asked_for_and_none_without_orders() -> None:
    totals = []
    for seed in range(150):
        orders = background_orders(np.random.default_rng(seed), np.full(960, 3.0), 0.8)
        size = np.full(len(orders.seconds), 100.0)
        inside = orders.seconds < SECONDS - 1
        totals.append(flow_impact(orders.seconds[inside], orders.side[inside], size[inside], 0.0004).sum())
    # Surprises are nearly but not quite independent.
    assert 0.7 * 0.02 < np.std(totals) < 1.6 * 0.02
    assert not flow_impact(np.empty(0), np.empty(0, dtype=np.int64), np.empty(0), 0.0004).any()


@pytest.mark.parametrize("move", [0.12, -0.3, 0.004])
def test_a_drive_moves_the_price_by_its_move_and_by_nothing_before(move: float) -> None:
    generator = np.random.default_rng(2)
    seconds = np.sort(generator.uniform(30_000, 30_600, 400))
    side = np.where(generator.random(400) < 0.9, 1, -1) * int(np.sign(move))
    path = drive_path(seconds, side, np.full(400, 100.0), 30_000, 30_600, move)
    assert path[29_999] == 0
    assert path[30_600] == pytest.approx(move)
    assert path[-1] == pytest.approx(move)
    assert 0.3 < path[30_300] / move < 0.7


def test_a_drive_without_enough_orders_is_an_even_ramp() -> None:
    path = drive_path(np.array([30_001.0]), np.array([1]), np.array([100.0]), 30_000, 30_101, 0.1)
    assert path[30_050] == pytest.approx(0.05)
    assert path[30_100] == pytest.approx(0.1)


def paused(price: np.ndarray, own: DayPlan, seed: int = 1) -> list[Pause]:
    traded = np.ones(SECONDS, dtype=bool)
    return limit_pauses(np.random.default_rng(seed), price, traded, own)[0]


def jump(at: int, before: float, after: float, until: int | None = None) -> np.ndarray:
    price = np.full(SECONDS, before)
    price[at:until] = after
    return price


def test_fifteen_seconds_beyond_the_band_pause_trading_and_fourteen_do_not() -> None:
    at = OPEN + 3_000
    first = paused(jump(at, 5.0, 5.6), plan())[0]
    # The 15th second outside is at + 14: trading stops with the next one.
    assert first.start == at + 15
    assert first.end - first.start >= 300
    assert first.reason == "LUDP"
    assert paused(jump(at, 5.0, 5.6, until=at + 14), plan()) == []


@pytest.mark.parametrize(
    ("prior_close", "price", "inside", "outside"),
    [(5.0, 5.0, 5.45, 5.6), (2.0, 2.0, 2.35, 2.45), (0.5, 0.5, 0.64, 0.66), (0.1, 0.1, 0.17, 0.19)],
)
def test_the_band_is_ten_percent_twenty_or_fifteen_cents_by_the_prior_close(
    prior_close: float, price: float, inside: float, outside: float
) -> None:
    at = OPEN + 3_000
    own = plan(prior_close=prior_close)
    assert paused(jump(at, price, inside), own) == []
    assert paused(jump(at, price, outside), own) != []


def test_the_band_is_doubled_in_the_last_25_minutes_of_names_up_to_three_dollars_alone() -> None:
    late = plan().hours.close - 1_000
    assert paused(jump(late, 2.0, 2.5), plan(prior_close=2.0)) == []
    assert paused(jump(late, 5.0, 5.6), plan(prior_close=5.0)) != []


def test_nothing_is_paused_outside_regular_hours() -> None:
    assert paused(jump(OPEN - 3_000, 5.0, 9.0, until=OPEN - 1_000), plan()) == []


def test_a_late_pause_lasts_into_the_close() -> None:
    own = plan()
    (pause,) = paused(jump(own.hours.close - 100, 5.0, 5.6), own)
    assert pause.end == own.hours.close


def plain_pauses(price: np.ndarray, traded: np.ndarray, own: DayPlan, lengths: list[int]) -> list[tuple[int, int]]:
    """The rule second by second, as one would read it aloud."""
    found: list[tuple[int, int]] = []
    start = second = own.hours.open
    run, recent, last = 0, deque[tuple[int, float]](), None
    while second < own.hours.close:
        while recent and recent[0][0] < second - 300:
            recent.popleft()
        unknown = price[start] if last is None else last
        reference = sum(value for _, value in recent) / len(recent) if recent else unknown
        run = run + 1 if not reference * 0.9 <= price[second] <= reference * 1.1 else 0
        if traded[second] or second == start:
            recent.append((second, price[second]))
        last = sum(value for _, value in recent) / len(recent) if recent else last
        second += 1
        if run == 15 and second < own.hours.close:
            found.append((second, min(second + lengths[len(found)], own.hours.close)))
            start = second = found[-1][1]
            run, recent, last = 0, deque(), None
    return found


@given(seed=st.integers(0, 1_000))
@settings(max_examples=8, deadline=None)
def test_pauses_are_those_of_the_rule_read_second_by_second(seed: int) -> None:
    generator = np.random.default_rng(seed)
    jumps = generator.standard_normal(SECONDS) * np.where(generator.random(SECONDS) < 0.002, 0.05, 0.0005)
    price = 5 * np.exp(np.cumsum(jumps))
    traded = generator.random(SECONDS) < 0.05
    own = plan()
    pauses, low, high = limit_pauses(np.random.default_rng(seed), price, traded, own)
    lengths = [pause.end - pause.start for pause in pauses] + [300]
    assert [(pause.start, pause.end) for pause in pauses] == plain_pauses(price, traded, own, lengths)
    for pause in pauses:
        assert np.isnan(low[pause.start : pause.end]).all()
    banded = ~np.isnan(low)
    assert (low[banded] < high[banded]).all()
    assert not banded[: own.hours.open].any()
    assert not banded[own.hours.close :].any()


def test_about_a_third_of_the_pauses_last_longer_than_five_minutes() -> None:
    at = OPEN + 3_000
    lengths = [paused(jump(at, 5.0, 5.6), plan(), seed)[0] for seed in range(400)]
    longer = np.mean([pause.end - pause.start > 300 for pause in lengths])
    assert 0.32 - 0.1 < longer < 0.32 + 0.1
    assert max(pause.end - pause.start for pause in lengths) <= 2_492
