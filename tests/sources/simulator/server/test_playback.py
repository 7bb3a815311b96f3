"""A day as events, without a network: what is sent, when, and that nothing depends on how the day is cut."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT, read_records
from smallcaps.sources.simulator.server.clock import Clock
from smallcaps.sources.simulator.server.faults import Faults
from smallcaps.sources.simulator.server.playback import Event, Playback
from smallcaps.sources.simulator.server.tape import Tape
from smallcaps.sources.simulator.server.world import World
from tests.sources.simulator.server.market import KEY, MILLISECOND, MONDAY, SECOND, at, ms

EVERYTHING = {channel: {"*"} for channel in ("T", "Q", "A", "AM", "LULD")}
MINUTE = 60 * SECOND
EVENING = at(MONDAY, "20:00:00")


def playback(market: Path, **faults: Any) -> Playback:
    world = World(market, KEY, "", Faults(**faults), Tape(market), Clock(at(MONDAY, "04:00:00")))
    return Playback(world, MONDAY)


def played(market: Path, channel: str, symbol: str, **faults: Any) -> list[Event]:
    return playback(market, **faults).advance(EVENING, {channel: {symbol}})


def clock(event: Event) -> int:
    """Seconds after 09:30."""
    return (event.at - at(MONDAY, "09:30:00")) // SECOND


def test_a_trade_has_milliseconds_whole_shares_and_a_decimal_text(market: Path) -> None:
    bodies = {event.body["i"]: event.body for event in played(market, "T", "ABCD")}
    assert bodies["1"] == {
        **{"ev": "T", "sym": "ABCD", "i": "1", "x": 12, "p": 9.9, "s": 10, "c": [12, 37]},
        **{"t": ms(MONDAY, "08:00:00.1"), "pt": ms(MONDAY, "08:00:00.1"), "q": 1, "z": 3, "ds": "10.0"},
    }
    assert bodies["5"] == {
        **{"ev": "T", "sym": "ABCD", "i": "5", "x": 4, "p": 10.01, "s": 1},
        **{"t": ms(MONDAY, "09:30:30"), "pt": ms(MONDAY, "09:30:29.999"), "q": 5, "z": 3},
        **{"trfi": 202, "trft": ms(MONDAY, "09:30:29.999"), "ds": "0.740474"},
    }
    assert list(bodies) == ["1", "2", "3", "4", "5", "6", "7", "8", "10", "11", "12"]  # 9 cancels and is no trade.


def test_a_quote_has_one_condition_and_a_list_of_indicators(market: Path) -> None:
    first, second, third = [event.body for event in played(market, "Q", "ABCD")]
    assert second == {
        **{"ev": "Q", "sym": "ABCD", "i": [602, 604], "c": 1, "bx": 12, "ax": 11, "bp": 9.99, "ap": 10.01},
        **{"bs": 300, "as": 200, "t": ms(MONDAY, "09:30:00.1"), "pt": ms(MONDAY, "09:30:00.099"), "q": 102, "z": 3},
    }
    assert (first["ap"], first["as"], first["c"]) == (0.0, 0, 2)
    assert not {"c", "i"} & set(third)


def test_a_halt_names_its_ticker_by_t_and_its_time_in_nanoseconds(market: Path) -> None:
    halt, resumption = [event.body for event in played(market, "LULD", "*")]
    assert halt == {
        **{"ev": "LULD", "h": 2.4, "l": 1.6, "i": [17], "z": 3, "T": "LMNO"},
        **{"t": at(MONDAY, "09:40:00.000000001"), "q": 201},
    }
    assert resumption["i"] == [18]


def test_seconds_come_two_seconds_after_their_end_and_late_prints_when_they_are_known(market: Path) -> None:
    bars = [
        (clock(event), (event.body["s"] - ms(MONDAY, "09:30:00")) // 1_000) for event in played(market, "A", "ABCD")
    ]
    # 09:30:00 at :03; 09:30:29 was reported at :30; 09:30:40 only at 09:31:30; the print of 09:31:05 came 19 minutes late.
    assert bars == [(3, 0), (32, 29), (73, 70), (92, 40), (123, 120), (23_403, 23_400), (23_703, 23_700)]


def test_a_minute_comes_two_seconds_after_its_end_and_again_when_a_late_trade_changes_it(market: Path) -> None:
    events = played(market, "AM", "ABCD")
    minutes = [(clock(event), (event.body["s"] - ms(MONDAY, "09:30:00")) // 60_000) for event in events]
    assert minutes == [(62, 0), (92, 0), (122, 1), (182, 2), (23_462, 390), (23_762, 395)]
    first, again, second = [event.body for event in events[:3]]
    volume = 1_000 + 100 + 5 + 0.740474
    value = 1_000 * 10.00 + 100 * 10.02 + 5 * 10.50 + 0.740474 * 10.01
    assert first == {
        **{"ev": "AM", "sym": "ABCD", "v": 1_105, "av": 1_115, "op": 10.0, "vw": round(value / volume, 4)},
        **{"o": 10.0, "c": 10.01, "h": 10.02, "l": 10.0, "a": round((value + 99) / (volume + 10), 4)},
        **{"z": round(volume / 4, 6), "s": ms(MONDAY, "09:30:00"), "e": ms(MONDAY, "09:31:00")},
        **{"dv": "1105.740474", "dav": "1115.740474"},
    }
    assert (again["s"], again["h"], again["c"], again["dv"], again["o"]) == (
        first["s"],
        10.2,
        10.2,
        "1405.740474",
        10.0,
    )
    assert (second["c"], second["v"], second["z"], second["dav"]) == (10.05, 200, 200, "1715.740474")


def test_a_trade_over_fifteen_minutes_late_changes_the_day_alone(market: Path) -> None:
    last = played(market, "AM", "ABCD")[-2].body
    # 10, 1,105.740474, 200, 300, 100, the late 400, and the closing 500.
    assert (last["v"], last["dav"]) == (500, "2615.740474")


def test_bars_by_the_sip_stamp_are_never_repeated(market: Path) -> None:
    starts = [event.body["s"] for event in played(market, "AM", "ABCD", bars_by="sip")]
    assert starts == sorted(set(starts))
    assert ms(MONDAY, "09:50:00") in starts


def test_a_symbol_without_trades_has_the_tapes_own_minutes(market: Path) -> None:
    events = played(market, "AM", "WXYZ")
    assert [clock(event) for event in events] == [-5_338, 62, 122, 2_762, 23_762]
    before, opening = [event.body for event in events[:2]]
    assert (before["op"], before["av"], before["a"]) == (0.0, 100, 1.98)
    assert opening == {
        **{"ev": "AM", "sym": "WXYZ", "v": 1_000, "av": 1_100, "op": 2.0, "vw": 2.04},
        **{"o": 2.0, "c": 2.1, "h": 2.2, "l": 1.96, "a": round((198 + 2_040) / 1_100, 4)},
        **{"z": 100, "s": ms(MONDAY, "09:30:00"), "e": ms(MONDAY, "09:31:00"), "dv": "1000.0", "dav": "1100.0"},
    }


def test_events_of_all_channels_come_in_the_order_of_time(market: Path) -> None:
    events = playback(market).advance(EVENING, EVERYTHING)
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert {event.channel for event in events} == set(EVERYTHING)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(at(MONDAY, "07:59:00"), at(MONDAY, "16:10:00")), max_size=12))
def test_the_day_is_the_same_however_it_is_cut(market: Path, cuts: list[int]) -> None:
    whole = playback(market).advance(EVENING, EVERYTHING)
    pieces = playback(market)
    assert [event for cut in [*sorted(cuts), EVENING] for event in pieces.advance(cut, EVERYTHING)] == whole


@pytest.mark.parametrize("start", ["08:05:00", "09:31:31", "09:50:00", "16:04:00"])
def test_a_feed_that_starts_late_goes_on_like_one_that_ran_all_day(market: Path, start: str) -> None:
    begin = at(MONDAY, start)
    world = World(market, KEY, "", Faults(), Tape(market), Clock(begin))
    late = Playback(world, MONDAY, begin)
    late.advance(begin - 1, {})
    whole = playback(market).advance(EVENING, EVERYTHING)
    assert late.advance(EVENING, EVERYTHING) == [event for event in whole if event.at >= begin]


def test_who_joins_late_is_told_the_days_whole_volume(market: Path) -> None:
    late = playback(market)
    assert late.advance(at(MONDAY, "15:00:00"), {}) == []
    assert late.advance(EVENING, {"AM": {"ABCD"}})[0].body["dav"] == "2615.740474"


@pytest.mark.parametrize(
    ("faults", "channel", "symbol", "key", "expected"),
    [
        ({"quote_sizes_in_lots": True}, "Q", "ABCD", "bs", [3, 3, 3]),
        ({"quote_condition_list": True}, "Q", "ABCD", "c", [[2], [1], None]),
        ({"luld_milliseconds": True}, "LULD", "LMNO", "t", [ms(MONDAY, "09:40:00"), ms(MONDAY, "09:45:00")]),
        ({"omit_trade_id": True}, "T", "LMNO", "i", [None, None]),
        ({"sub_share_size_zero": True}, "T", "ABCD", "s", [10, 1000, 100, 5, 0, 200, 300, 100, 400, 500, 100]),
        ({"send_cancels": True}, "T", "ABCD", "q", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        ({"repeat_sequence_every": 3}, "T", "ABCD", "q", [1, 2, 2, 4, 5, 5, 7, 8, 8, 11, 12]),
        ({"backward_sequence_every": 4}, "T", "ABCD", "q", [1, 2, 3, 2, 5, 6, 7, 6, 10, 11, 12]),
    ],
)
def test_disputed_and_faulty_fields_are_as_asked_for(
    market: Path, faults: dict[str, Any], channel: str, symbol: str, key: str, expected: list[Any]
) -> None:
    assert [event.body.get(key) for event in played(market, channel, symbol, **faults)] == expected


@pytest.mark.slow
def test_the_minutes_that_were_sent_last_are_the_tapes_but_for_what_came_too_late(simulated_market: Path) -> None:
    tape = Tape(simulated_market)
    day = tape.days("trades")[-1]
    world = World(simulated_market, KEY, "", Faults(), tape, Clock(at(day, "04:00:00")))
    sent = {
        (event.symbol, event.body["s"]): event.body
        for event in Playback(world, day).advance(at(day, "23:59:59"), {"AM": {"*"}})
    }
    trades = tape.rows("trades", day).table.to_pylist()
    too_late = {
        (trade["symbol"], minute // MILLISECOND)
        for trade in trades
        if (minute := trade["participant_ns"] // MINUTE * MINUTE) + 16 * MINUTE < trade["sip_ns"]
    }
    left_out = {
        fault["symbol"]
        for fault in read_records(simulated_market / "truth" / "faults.jsonl")
        if fault["session_date"] == str(day) and fault["kind"] in ("missing_minute", "bars_stop")
    }
    prices = ("open", "high", "low", "close")

    def live(body: dict[str, Any]) -> list[int]:
        return [*(round(body[name[0]] * PRICE_UNIT) for name in prices), round(float(body["dv"]) * SIZE_UNIT)]

    rows = tape.rows("minute", day).table.to_pylist()
    taped = {
        (row["symbol"], row["start_ns"] // MILLISECOND): [row[name] for name in (*prices, "volume")] for row in rows
    }
    assert {trade["symbol"] for trade in trades} & {symbol for symbol, _ in taped}
    assert {key for key in sent.keys() ^ taped.keys() if key[0] not in left_out} == set()
    assert {key for key, body in sent.items() if key in taped and live(body) != taped[key]} <= too_late
