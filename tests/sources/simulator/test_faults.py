"""The vendor's faults: there, and where the truth says."""

from collections import Counter

import numpy as np
import pytest

from smallcaps.sources.simulator import faults as kinds
from smallcaps.sources.simulator.bars import bars_of, day_bar
from smallcaps.sources.simulator.faults import Fault, plan_faults, with_bad_prints, with_bar_faults
from smallcaps.sources.simulator.history import make_history, midnight_ns
from smallcaps.sources.simulator.session import simulate_session
from smallcaps.sources.simulator.settings import MarketSettings
from tests.sources.simulator.plans import FULL_DAY, NO_COMMON, plan

MINUTE_NS, HOUR_NS = 60_000_000_000, 3_600_000_000_000
PRINTS = simulate_session(plan(), NO_COMMON, False).prints
AT = 30_015


def fault(kind: str, amount: float = 0.2) -> list[Fault]:
    return [Fault(kind, "ABC", FULL_DAY.day, AT, amount)]


def test_some_of_every_kind_are_planned_and_none_where_none_are_wanted() -> None:
    history = make_history(MarketSettings(symbols=150, days=30, seed=3))
    count = Counter(one.kind for one in plan_faults(history))
    expected = {*kinds.DAY_FAULTS, *kinds.TICK_FAULTS, kinds.REUSED_TICKER, kinds.TWO_COMPANIES, kinds.REPUBLISHED}
    assert expected <= set(count)
    assert set(count) & set(kinds.SPLIT_FAULTS)
    assert plan_faults(make_history(MarketSettings(symbols=20, days=5, faults=False))) == []


def test_no_symbol_day_has_two_faults_nor_a_fault_and_an_episode() -> None:
    history = make_history(MarketSettings(symbols=150, days=30, seed=3))
    of_days = [(one.symbol, one.session_date) for one in plan_faults(history) if one.kind in kinds.DAY_FAULTS]
    assert len(of_days) == len(set(of_days))
    assert not set(of_days) & {(episode.symbol, episode.session_date) for episode in history.episodes}


@pytest.mark.parametrize("amount", [0.25, -0.25])
def test_a_bad_print_sets_the_days_high_or_low(amount: float) -> None:
    spoiled = with_bad_prints(PRINTS, FULL_DAY, fault(kinds.BAD_PRINT, amount))
    assert len(spoiled.sip_ns) == len(PRINTS.sip_ns) + 1
    assert (np.diff(spoiled.sip_ns) >= 0).all()
    clean, bad = (day_bar(prints, FULL_DAY, midnight_ns(FULL_DAY)) for prints in (PRINTS, spoiled))
    if amount > 0:
        assert bad.high[0] > 1.15 * clean.high[0]
        assert bad.low[0] == clean.low[0]
    else:
        assert bad.low[0] < 0.85 * clean.low[0]
        assert bad.high[0] == clean.high[0]


def test_the_busiest_minute_of_an_hour_is_missing_from_minutes_alone() -> None:
    minutes, hours = (bars_of(PRINTS, FULL_DAY, width) for width in (MINUTE_NS, HOUR_NS))
    at = FULL_DAY.start_ns + AT * 1_000_000_000
    volumes = {
        start: volume
        for start, volume in zip(minutes.start_ns, minutes.volume, strict=True)
        if start // HOUR_NS == at // HOUR_NS
    }
    gone = max(volumes, key=lambda start: volumes[start])
    left = with_bar_faults(minutes, MINUTE_NS, FULL_DAY, fault(kinds.MISSING_MINUTE))
    assert set(minutes.start_ns) - set(left.start_ns) == {gone}
    assert with_bar_faults(hours, HOUR_NS, FULL_DAY, fault(kinds.MISSING_MINUTE)) is hours


def test_bars_that_stop_stop_for_the_rest_of_the_day() -> None:
    minutes = bars_of(PRINTS, FULL_DAY, MINUTE_NS)
    left = with_bar_faults(minutes, MINUTE_NS, FULL_DAY, fault(kinds.BARS_STOP))
    assert left.start_ns.max() < FULL_DAY.start_ns + AT * 1_000_000_000 < minutes.start_ns.max()


def test_a_wrong_hour_disagrees_with_its_minutes() -> None:
    hours = bars_of(PRINTS, FULL_DAY, HOUR_NS)
    wrong = with_bar_faults(hours, HOUR_NS, FULL_DAY, fault(kinds.WRONG_HOUR))
    assert (wrong.high != hours.high).sum() == 1
    assert (wrong.low == hours.low).all()


def test_a_mean_price_outside_the_range_is_outside_it() -> None:
    minutes = bars_of(PRINTS, FULL_DAY, MINUTE_NS)
    wrong = with_bar_faults(minutes, MINUTE_NS, FULL_DAY, fault(kinds.VWAP_OUTSIDE))
    near = np.abs(minutes.start_ns - (FULL_DAY.start_ns + AT * 1_000_000_000)) < 5 * MINUTE_NS
    assert near.any()
    assert (wrong.vwap * 10_000 > wrong.high)[near].all()
    assert (wrong.vwap == minutes.vwap)[~near].all()
