"""Bars by the vendor's rules, against a plain reading of them."""

import numpy as np
import pytest

from smallcaps.sources.polygon.conditions import FORM_T, trade_conditions
from smallcaps.sources.simulator.bars import bars_of, day_bar
from smallcaps.sources.simulator.history import midnight_ns
from smallcaps.sources.simulator.session import CONDITION_SETS, Prints, simulate_session
from tests.sources.simulator.plans import FULL_DAY, NO_COMMON, plan

MINUTE_NS = 60_000_000_000
OPEN_NS = FULL_DAY.start_ns + FULL_DAY.open * 1_000_000_000


def prints_of(*rows: tuple[float, int, int, tuple[int, ...]]) -> Prints:
    """Rows of (seconds after 09:30, price, shares, conditions)."""
    number = len(rows)
    at = np.array([OPEN_NS + int(row[0] * 1e9) for row in rows], dtype=np.int64)
    return Prints(
        at + 1_000,
        at,
        np.zeros(number, dtype=np.int64),
        np.full(number, 12, dtype=np.int32),
        np.zeros(number, dtype=np.int32),
        np.array([row[1] for row in rows], dtype=np.int64),
        np.array([row[2] * 1_000_000 for row in rows], dtype=np.int64),
        np.array([CONDITION_SETS.index(row[3]) for row in rows], dtype=np.int8),
    )


def test_a_minute_by_hand() -> None:
    bars = bars_of(
        prints_of(
            (0.1, 50_000, 100, ()),
            (5, 51_000, 200, (14,)),
            (9, 60_000, 50, (37,)),  # an odd lot sets no price
            (20, 49_000, 300, (10,)),  # derivatively priced: low, but no close
            (30, 50_500, 100, ()),
            (40, 70_000, 400, (2,)),  # an average price: volume alone
            (50, 51_000, 900, (16,)),  # an official summary: nothing
            (60, 52_000, 100, ()),
        ),
        FULL_DAY,
        MINUTE_NS,
    )
    assert bars.start_ns.tolist() == [OPEN_NS, OPEN_NS + MINUTE_NS]
    first = [column.tolist()[0] for column in (bars.open, bars.high, bars.low, bars.close, bars.volume, bars.trades)]
    assert first == [50_000, 51_000, 49_000, 50_500, 1_150_000_000, 7]
    paid = 100 * 5.0 + 200 * 5.1 + 50 * 6.0 + 300 * 4.9 + 100 * 5.05 + 400 * 7.0
    assert bars.vwap[0] == pytest.approx(paid / 1_150, abs=1e-4)


def test_form_t_sets_prices_outside_regular_hours_and_never_inside() -> None:
    bars = bars_of(prints_of((-60, 50_000, 100, (12,)), (60, 50_000, 100, (12,))), FULL_DAY, MINUTE_NS)
    assert bars.start_ns.tolist() == [OPEN_NS - MINUTE_NS]
    assert len(bars_of(prints_of((-60, 50_000, 10, (12, 37))), FULL_DAY, MINUTE_NS).start_ns) == 0


def test_a_late_report_belongs_to_the_minute_of_its_trade() -> None:
    prints = prints_of((0, 50_000, 100, ()), (70, 51_000, 100, ()))
    late = Prints(**{**prints.__dict__, "sip_ns": np.array([OPEN_NS + 200 * 10**9, OPEN_NS + 71 * 10**9])})
    order = np.argsort(late.sip_ns)
    late = Prints(**{name: values[order] for name, values in late.__dict__.items()})
    assert bars_of(late, FULL_DAY, MINUTE_NS).open.tolist() == [50_000, 51_000]


def test_without_prints_there_are_no_bars() -> None:
    assert len(bars_of(prints_of(), FULL_DAY, MINUTE_NS).start_ns) == 0
    assert len(day_bar(prints_of((0, 50_000, 10, (37,))), FULL_DAY, midnight_ns(FULL_DAY)).start_ns) == 0


def test_the_day_takes_its_prices_from_the_regular_session_and_its_volume_from_all_of_it() -> None:
    prints = prints_of((-600, 90_000, 500, (12,)), (0, 50_000, 100, ()), (23_400.2, 51_000, 700, (8,)))
    bar = day_bar(prints, FULL_DAY, midnight_ns(FULL_DAY))
    assert [bar.open[0], bar.high[0], bar.low[0], bar.close[0]] == [50_000, 51_000, 50_000, 51_000]
    assert bar.volume[0] == 1_300_000_000
    assert (OPEN_NS - bar.start_ns[0]) // 3_600_000_000_000 == 9


@pytest.mark.parametrize("width_ns", [MINUTE_NS, 60 * MINUTE_NS])
def test_bars_of_a_simulated_day_are_those_of_a_plain_reading(width_ns: int) -> None:
    prints = simulate_session(plan(), NO_COMMON, False).prints
    table = trade_conditions()
    expected: dict[int, list[int | None]] = {}
    for place in np.argsort(prints.participant_ns, kind="stable"):
        at = int(prints.participant_ns[place])
        second = (at - FULL_DAY.start_ns) / 1e9
        outside = second < FULL_DAY.open or second >= FULL_DAY.close
        rules = [table[one] for one in CONDITION_SETS[prints.conditions[place]] if not (outside and one == FORM_T)]
        start = FULL_DAY.start_ns + (at - FULL_DAY.start_ns) // width_ns * width_ns
        bar = expected.setdefault(start, [None, None, None, None, 0, 0])
        price = int(prints.price[place])
        if all(rule.updates_high_low for rule in rules):
            bar[1] = max(price, price if bar[1] is None else bar[1])
            bar[2] = min(price, price if bar[2] is None else bar[2])
        if all(rule.updates_open_close for rule in rules):
            bar[0] = price if bar[0] is None else bar[0]
            bar[3] = price
        if all(table[one].updates_volume for one in CONDITION_SETS[prints.conditions[place]]):
            bar[4] += int(prints.size[place])
        bar[5] += 1
    whole = {start: bar for start, bar in sorted(expected.items()) if None not in bar}
    bars = bars_of(prints, FULL_DAY, width_ns)
    found = zip(bars.open, bars.high, bars.low, bars.close, bars.volume, bars.trades, strict=True)
    assert {start: list(map(int, bar)) for start, bar in zip(bars.start_ns.tolist(), found, strict=True)} == whole
