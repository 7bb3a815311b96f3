"""Labels of events within a session, by hand and, column by column, against an oracle on random tapes."""

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.config.settings import LabelSettings
from tests.labels.market import CALENDAR, Row, bar, by_key, daily_event, labels_of
from tests.labels.tape_oracle import Name, tape_label

DAY = CALENDAR[0]
"""26 June 2024: 04:00 New York is 08:00 UTC."""
FOUR = DAY["pre_open_at"].to_pydatetime()
FOUR_NS, MINUTE = int(FOUR.timestamp()) * 1_000_000_000, 60_000_000_000
OPEN, CLOSE, POST_CLOSE = 330, 720, 960
"""Minutes of the day since 04:00."""
QUIET = (16.0, 16.5, 15.5, 16.0)


def at(minute: float) -> dt.datetime:
    return FOUR + dt.timedelta(minutes=minute)


def minute_bar(name: str, minute: int, prices: tuple[float, float, float, float]) -> Row:
    """A row of silver.bars_1m."""
    segment = 0 if minute < OPEN else 1 if minute < CLOSE else 2
    return {
        "security_id": f"T:{name}:2024-01-02",
        "symbol": name,
        "session_date": DAY["session_date"],
        "ts": at(minute),
        "session": ("pre", "regular", "post")[segment],
        "segment": segment,
        "segment_start": (0, OPEN, CLOSE)[segment],
        "minute": minute,
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        "volume": 1_000,
        "is_auction": False,
        "source": "vendor",
    }


def quote(name: str, minute: float, bid: float | None, ask: float | None, sequence: int = 0) -> Row:
    """A row of silver.quotes."""
    published = FOUR_NS + round(minute * MINUTE)
    sides = bid is not None and ask is not None
    return {
        "security_id": f"T:{name}:2024-01-02",
        "symbol": name,
        "session_date": DAY["session_date"],
        "ts": at(minute),
        "sip_ns": published,
        "participant_ns": published - 1_000_000,
        "sequence_number": sequence or published // 1_000,
        "session": "regular",
        "bid_price": bid,
        "bid_size": 100.0,
        "ask_price": ask,
        "ask_size": 100.0,
        "is_two_sided": sides,
        "is_crossed": sides and bid > ask,
        "is_locked": sides and bid == ask,
        "is_stale": False,
        "is_paused": False,
    }


def halt(name: str, start: float, end: float | None) -> Row:
    """A row of silver.halts, in minutes."""
    return {
        "security_id": f"T:{name}:2024-01-02",
        "symbol": name,
        "session_date": DAY["session_date"],
        "start_ns": FOUR_NS + round(start * MINUTE),
        "end_ns": None if end is None else FOUR_NS + round(end * MINUTE),
        "sources": ["feed"],
    }


def tape_event(name: str, known: float, direction: int, price: float, atr: float | None, **other: Any) -> Row:
    """A row of gold.events, of a minute unless said otherwise."""
    moments = {"ts": at(known - 1), "known_at": at(known)}
    return daily_event(name, DAY, direction, price, atr, **{"grain": "minute", **moments, **other})


class Tape:
    """Cases as they are told."""

    def __init__(self) -> None:
        self.events: list[Row] = []
        self.names: dict[str, Name] = {}

    def add(
        self,
        event: Row,
        minutes: dict[int, tuple[float, float, float, float]] | None = None,
        quotes: dict[float, tuple[float | None, float | None]] | None = None,
        halts: dict[float, float | None] | None = None,
        days: dict[int, tuple[float, float, float, float]] | None = None,
    ) -> None:
        """Daily bars are QUIET but for `days`."""
        name = event["symbol"]
        daily = [bar(name, session, (days or {}).get(place, QUIET)) for place, session in enumerate(CALENDAR)]
        self.events.append(event)
        self.names[name] = Name(
            {row["session_number"]: row for row in daily},
            [minute_bar(name, minute, prices) for minute, prices in (minutes or {}).items()],
            [quote(name, minute, *sides) for minute, sides in (quotes or {}).items()],
            [halt(name, start, end) for start, end in (halts or {}).items()],
        )

    def labels(
        self, spark: SparkSession, rules: LabelSettings, parts_alone: frozenset[str] = frozenset()
    ) -> dict[tuple[str, float, str], Row]:
        parts = self.names.values()
        return by_key(
            labels_of(
                spark,
                self.events,
                [row for name in parts for row in name.days.values()],
                rules,
                *([row for name in parts for row in getattr(name, kind)] for kind in ("minutes", "quotes", "halts")),
                parts_alone=parts_alone,
            )
        )


@pytest.fixture(scope="module")
def rules(settings: Settings) -> LabelSettings:
    return settings.labels.model_copy(update={"half_spread": 1 / 64})


@pytest.fixture(scope="module")
def found(spark: SparkSession, rules: LabelSettings) -> dict[tuple[str, float, str], Row]:
    """Events known two seconds after 10:00 at 16 $, one width at 25 minutes, 5 ATR, is 1 $."""
    tape, known, atr = Tape(), 360 + 2 / 60, 0.2
    nine = dict.fromkeys(range(300, 360), QUIET)
    calm = {359.0: (15.9, 16.1)}
    tape.add(tape_event("far side", known, 1, 16.0, atr), nine, calm)
    tape.add(tape_event("short far side", known, -1, 16.0, atr), nine, calm)
    tape.add(tape_event("bid reaches", known, 1, 16.0, atr), nine, calm | {370: (16.5, 17.2), 371: (17.125, 17.5)})
    tape.add(tape_event("jumps over", known, 1, 16.0, atr), nine, calm | {370: (18.0, 18.2)})
    tape.add(tape_event("jumps under", known, 1, 16.0, atr), nine, calm | {370: (13.0, 13.2)})
    tape.add(tape_event("after the horizon", known, 1, 16.0, atr), nine, calm | {385.04: (18.0, 18.2)})
    tape.add(
        tape_event("one-sided", known, 1, 16.0, atr), nine, {359: (15.9, None), 361: (None, 16.2), 362: (16.0, 16.3)}
    )
    tape.add(
        tape_event("crossed", known, 1, 16.0, atr), nine, {359: (16.2, 16.0), 361: (16.0, 16.0), 362: (16.0, 16.3)}
    )
    tape.add(
        tape_event("in a halt", known, 1, 16.0, atr), nine, calm | {362: (30.0, 30.1), 365.5: (16.0, 16.25)}, {360: 365}
    )
    tape.add(
        tape_event("halted later", known, 1, 16.0, atr), nine, calm | {371: (30.0, 30.1), 376: (16.0, 16.2)}, {370: 375}
    )
    tape.add(tape_event("halted to the end", known, 1, 16.0, atr), nine, calm | {371: (30.0, 30.1)}, {370: None})
    bars = dict.fromkeys(range(361, 720), QUIET)
    tape.add(tape_event("by bars", known, 1, 16.0, atr), nine | bars)
    tape.add(tape_event("both in a minute", known, 1, 16.0, atr), nine | bars | {365: (16.0, 18.0, 14.0, 16.0)})
    tape.add(tape_event("running minute", known, 1, 16.0, atr), nine | bars | {360: (16.0, 30.0, 3.0, 16.0)})
    tape.add(tape_event("at the close", CLOSE - 0.5, 1, 16.0, atr), nine | bars)
    tape.add(tape_event("after the close", CLOSE + 5, 1, 16.0, atr), {**nine, **bars, 730: QUIET, 731: QUIET})
    tape.add(tape_event("wide", known, 1, 16.0, atr), nine, {359.0: (15.0, 16.0)})
    tape.add(tape_event("no tape", known, 1, 16.0, atr))
    tape.add(tape_event("gap", OPEN + 2 / 60, 1, 16.0, 4.0, grain="daily"), dict.fromkeys(range(OPEN, CLOSE), QUIET))
    tape.add(tape_event("next days", known, 1, 16.0, 0.01), nine | bars, days={2: (16.0, 20.0, 16.0, 19.0)})
    risen = {365: (18.0, 18.25), 366: (16.5, 16.75)}
    tape.add(tape_event("gave back", known, 1, 16.0, atr), nine, calm | risen)
    tape.add(tape_event("no new high", known, 1, 16.0, atr), {**nine, 350: (16.0, 19.0, 16.0, 16.0)}, calm | risen)
    return tape.labels(spark, rules.model_copy(update={"horizons": ("25m", "close", "3d")}))


Found = dict[tuple[str, float, str], Row]


def test_the_entry_is_at_the_far_side_of_the_quote_in_force(found: Found) -> None:
    long, short = found["far side", 1.0, "25m"], found["short far side", 1.0, "25m"]
    assert (long["entry_price"], short["entry_price"]) == (16.1, 15.9)
    assert long["entry_at"].astimezone(dt.UTC) == at(360 + 2 / 60)
    assert (long["continuation_price"], long["reversal_price"]) == pytest.approx((17.1, 15.1))
    assert (short["continuation_price"], short["reversal_price"]) == pytest.approx((14.9, 16.9))
    # Nothing moves: out at the other side.
    assert (long["outcome"], long["return"]) == ("none", pytest.approx((15.9 - 16.1) / 16.1))
    assert (short["outcome"], short["return"]) == ("none", pytest.approx((15.9 - 16.1) / 15.9))


def test_a_barrier_is_reached_by_the_side_that_one_gets_out_at(found: Found) -> None:
    # At 370 the offer is beyond 17.1, only at 371 the bid, which a position is sold at: 17.125.
    row = found["bid reaches", 1.0, "25m"]
    assert (row["outcome"], row["exit_at"].astimezone(dt.UTC)) == ("continuation", at(371))
    assert row["return"] == pytest.approx((17.125 - 16.1) / 16.1)


def test_a_quote_beyond_a_barrier_fills_at_the_quote(found: Found) -> None:
    assert found["jumps over", 1.0, "25m"]["return"] == pytest.approx((18 - 16.1) / 16.1)
    row = found["jumps under", 1.0, "25m"]
    assert (row["outcome"], row["return"]) == ("reversal", pytest.approx((13 - 16.1) / 16.1))


def test_what_comes_after_the_minutes_of_the_horizon_does_not_count(found: Found) -> None:
    row = found["after the horizon", 1.0, "25m"]
    assert (row["outcome"], row["known_at"].astimezone(dt.UTC)) == ("none", at(385 + 2 / 60))
    assert row["exit_at"] == row["known_at"]


@pytest.mark.parametrize("name", ["one-sided", "crossed"])
def test_where_the_quote_cannot_be_traded_against_the_first_that_can_is_taken(name: str, found: Found) -> None:
    row = found[name, 1.0, "25m"]
    assert (row["entry_price"], row["entry_at"].astimezone(dt.UTC)) == (16.3, at(362))


def test_nobody_trades_in_a_halt(found: Found) -> None:
    # Entered at the first quote after the resumption; the quote of 30 $ within the halt is nobody's.
    row = found["in a halt", 1.0, "25m"]
    assert (row["entry_price"], row["entry_at"].astimezone(dt.UTC), row["halted"]) == (16.25, at(365.5), True)
    later = found["halted later", 1.0, "25m"]
    assert (later["entry_price"], later["outcome"], later["halted"]) == (16.1, "none", True)
    assert later["return"] == pytest.approx((16.0 - 16.1) / 16.1)
    assert found["halted to the end", 1.0, "close"]["return"] == pytest.approx((15.9 - 16.1) / 16.1)
    assert found["far side", 1.0, "25m"]["halted"] is False


def test_without_quotes_bars_are_walked_from_the_first_that_begins_after_the_event_is_known(found: Found) -> None:
    row = found["by bars", 1.0, "25m"]
    assert (row["entry_price"], row["entry_at"].astimezone(dt.UTC), row["outcome"]) == (16.25, at(361), "none")
    assert found["both in a minute", 1.0, "25m"]["outcome"] == "unresolved"
    # What the running minute still did cannot be told from what it had done.
    assert found["running minute", 1.0, "25m"]["outcome"] == "none"


def test_quotes_of_a_part_of_the_day_are_not_walked_on(spark: SparkSession, rules: LabelSettings) -> None:
    """Windows around other events end: their last quote would stand for the rest of the day."""
    tape, known = Tape(), 360 + 2 / 60
    bars = dict.fromkeys(range(300, 720), QUIET)
    tape.add(tape_event("part", known, 1, 16.0, 0.2), bars | {380: (16.0, 18.0, 16.0, 17.0)}, {359.0: (15.9, 16.1)})
    whole = tape.labels(spark, rules)["part", 1.0, "30m"]
    part = tape.labels(spark, rules, frozenset({"part"}))["part", 1.0, "30m"]
    assert (whole["entry_price"], whole["outcome"]) == (16.1, "none")
    assert (part["entry_price"], part["outcome"]) == (16.25, "continuation")


def test_a_spread_as_wide_as_the_barrier_decides_nothing(found: Found) -> None:
    row = found["wide", 1.0, "25m"]
    assert (row["outcome"], row["weight"], row["return"]) == ("unresolved", 0.0, None)
    assert row["exit_at"] == row["entry_at"]
    assert found["wide", 2.0, "25m"]["outcome"] == "none"


def test_no_horizon_within_a_session_passes_its_close(found: Found) -> None:
    # Half a minute before the close nothing begins any more; the next session's open is too late.
    for horizon in ("25m", "close"):
        assert found["at the close", 1.0, horizon]["outcome"] == "censored"
    assert found["at the close", 1.0, "3d"]["entry_at"].astimezone(dt.UTC) == CALENDAR[1]["open_at"]
    after = found["after the close", 1.0, "25m"]
    assert (after["entry_at"].astimezone(dt.UTC), after["known_at"].astimezone(dt.UTC)) == (at(730), at(CLOSE + 30))
    assert ("after the close", 1.0, "close") not in found


def test_where_the_session_has_neither_bars_nor_quotes_only_sessions_are_asked_for(found: Found) -> None:
    assert {horizon for name, _, horizon in found if name == "no tape"} == {"3d"}
    assert found["no tape", 1.0, "3d"]["entry_at"].astimezone(dt.UTC) == CALENDAR[1]["open_at"]


def test_a_gap_is_entered_on_its_own_day_and_its_atr_is_a_sessions(found: Found) -> None:
    row = found["gap", 1.0, "25m"]
    assert row["entry_at"].astimezone(dt.UTC) == at(OPEN + 1)
    assert row["continuation_price"] - row["entry_price"] == pytest.approx(4 * math.sqrt(25 / 390))
    assert found["gap", 1.0, "3d"]["continuation_price"] - row["entry_price"] == pytest.approx(4.0)


def test_barriers_of_minutes_grow_with_the_root_of_the_horizon(found: Found) -> None:
    row = found["next days", 1.0, "3d"]
    elapsed = CLOSE - 360 - 2 / 60 + 3 * 390
    assert row["continuation_price"] - row["entry_price"] == pytest.approx(0.01 * math.sqrt(elapsed))


def test_beyond_its_session_a_path_goes_on_by_daily_bars(found: Found) -> None:
    # 2 × 0.39 above 16.25 is reached on the second day.
    row = found["next days", 2.0, "3d"]
    assert (row["outcome"], row["sessions_to_exit"]) == ("continuation", 2)
    assert row["exit_at"].astimezone(dt.UTC) == CALENDAR[2]["close_at"]


def test_a_move_is_given_back_from_beyond_what_the_tape_had_seen(found: Found) -> None:
    assert found["gave back", 1.0, "25m"]["gave_back"] is True
    assert found["no new high", 1.0, "25m"]["gave_back"] is False


def random_tape(random: np.random.Generator) -> Tape:
    """Names with quotes, with minute bars alone, with neither; events of every grain at any time of the day."""
    tape = Tape()
    for number in range(60):
        name, kind = f"N{number}", number % 4
        price = float(random.uniform(2, 18))
        prices = price * np.exp(np.cumsum(random.normal(0, 0.004, POST_CLOSE)))
        traded = [minute for minute in range(1, POST_CLOSE) if random.random() < 0.6]
        minutes = {}
        for minute in traded if kind != 3 else []:
            inside = prices[minute - 1] * np.exp(random.normal(0, 0.003, 2))
            opening, closing = float(prices[minute - 1]), float(prices[minute])
            minutes[minute] = (opening, max(opening, closing, *inside), min(opening, closing, *inside), closing)
        quotes: dict[float, tuple[float | None, float | None]] = {}
        for moment in np.sort(random.uniform(0, POST_CLOSE, 900)) if kind in (0, 1) else []:
            middle, half = (
                float(prices[int(moment)]) * math.exp(random.normal(0, 0.001)),
                float(random.exponential(0.01)),
            )
            bid: float | None = round(middle - half, 2)
            ask: float | None = round(middle + half, 2)
            if random.random() < 0.03:
                bid = None
            if random.random() < 0.02:
                ask = round(middle * 2, 2)
            quotes[float(moment)] = (bid, ask)
        halts: dict[float, float | None] = {}
        if kind == 1:
            start = float(random.uniform(200, 700))
            halts[start] = start + 5 if random.random() < 0.7 else None
        grain = ("minute", "daily", "trade")[number % 3] if minutes else "minute"
        known = (
            float(random.uniform(40, 940))
            if grain != "daily"
            else float(random.choice([OPEN + 2 / 60, CLOSE + 2 / 60]))
        )
        known = round(known * 60) / 60
        unit = 0.004 * price
        atr = {"minute": unit, "daily": unit * 8, "trade": None}[grain]
        days = {}
        for place in range(len(CALENDAR)):
            path = float(prices[-1]) * np.exp(np.cumsum(random.normal(0, 0.03, 6)))
            days[place] = (float(path[0]), float(max(path)), float(min(path)), float(path[-1]))
        event = tape_event(name, known, int(random.choice([-1, 1])), float(prices[int(known)]), atr, grain=grain)
        tape.add(event, minutes, quotes, halts, days)
    return tape


@pytest.fixture(scope="module")
def compared(spark: SparkSession, settings: Settings) -> list[tuple[Row, Row]]:
    """(expected, found) of every random event, width and horizon."""
    tape, rules = random_tape(np.random.default_rng(20240626)), settings.labels
    found = tape.labels(spark, rules)
    widest, post = settings.microstructure.maximum_relative_spread, FOUR_NS + POST_CLOSE * MINUTE
    pairs = []
    for event in tape.events:
        for width in rules.barrier_widths:
            for horizon in rules.horizons:
                expected = tape_label(event, tape.names[event["symbol"]], width, horizon, rules, widest, post)
                label = found.pop((event["symbol"], width, horizon), None)
                assert (label is None) == (expected is None), (event["symbol"], horizon)
                if expected is not None and label is not None:
                    pairs.append((expected, label))
    assert found == {}
    return pairs


def test_the_random_tapes_bring_every_case(compared: list[tuple[Row, Row]]) -> None:
    outcomes = [expected["outcome"] for expected, _ in compared]
    assert [kind for kind in ("continuation", "reversal", "none") if outcomes.count(kind) < 20] == []
    for column in ("gave_back", "halted"):
        assert {expected[column] for expected, _ in compared} >= {True, False}
    assert {label["horizon"] for _, label in compared} == {"30m", "close", "3d", "5d"}


@pytest.mark.parametrize(
    "column",
    [
        *(
            "outcome",
            "weight",
            "delisted",
            "gave_back",
            "halted",
            "sessions_to_exit",
            "entry_at",
            "exit_at",
            "known_at",
        ),
        *("entry_price", "continuation_price", "reversal_price", "return", "favourable_excursion", "adverse_excursion"),
    ],
)
def test_every_label_is_what_the_oracle_says(column: str, compared: list[tuple[Row, Row]]) -> None:
    unlike = []
    for expected, label in compared:
        one, other = expected[column], label[column]
        if isinstance(other, dt.datetime):
            one, other = one // 1_000, round(other.timestamp() * 1_000_000)
        same = math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) if isinstance(other, float) else one == other
        if not same:
            unlike.append((label["symbol"], label["barrier_width"], label["horizon"], one, other))
    assert unlike == []
