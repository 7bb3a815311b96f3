"""Triple-barrier labels by hand. One frame, a name a case.

Every event happens on session 0 at a price of 16 with an ATR of 1, unless said otherwise. The half-spread is 1/64, so
    long:  next open 16 → entry 16.25; 1 ATR: 17.25 and 15.25; 2 ATR: 18.25 and 14.25
    short: next open 16 → entry 15.75; 1 ATR: 14.75 and 16.75; 2 ATR: 13.75 and 17.75
and QUIET reaches none of them.
"""

import datetime as dt
from typing import Any

import pytest
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.config.settings import LabelSettings
from smallcaps.lake import declared
from tests.labels.market import CALENDAR, Prices, Row, bar, by_key, daily_event, labels_of

QUIET = (16.0, 16.5, 15.5, 16.0)
LONG, SHORT = 16.25, 15.75
UP, DOWN = 1, -1


class Market:
    """Cases as they are told: a name, its event, its bars."""

    def __init__(self) -> None:
        self.events: list[Row] = []
        self.bars: list[Row] = []

    def add(self, name: str, direction: int, changed: dict[int, Prices | None], **other: Any) -> None:
        """QUIET bars on every session but for `changed`; None takes a bar away. `start`: the event's session. `factors`:
        session → cumulative factor from there on. `volumes`: session → volume. The rest goes into the event."""
        start, factors, volumes = (
            other.pop(key, default) for key, default in (("start", 0), ("factors", {}), ("volumes", {}))
        )
        factor = first = factors.get(0, 1.0)
        for place, session in enumerate(CALENDAR):
            factor = factors.get(place, factor)
            prices = changed.get(place, tuple(price * factor / first for price in QUIET))
            if prices is not None:
                self.bars.append(bar(name, session, prices, factor, volumes.get(place, 1_000_000)))
        self.events.append(daily_event(name, CALENDAR[start], direction, **{"price": 16.0, "atr": 1.0} | other))


GONE = dict.fromkeys(range(3, 10))
"""No bars from session 3 on."""


def market() -> Market:
    cases = Market()
    # Outcomes. Reaching a barrier exactly is touching it.
    cases.add("continues", UP, {2: (16, 17.25, 15.75, 17)})
    cases.add("reverses", UP, {3: (16, 16.25, 15.25, 15.5)})
    cases.add("nothing", UP, {})
    cases.add("both in a bar", UP, {2: (16, 17.5, 15, 16.5)})
    cases.add("gap with", UP, {2: (18, 18.5, 17.5, 18)})
    cases.add("gap against", UP, {2: (15, 15.5, 14.5, 15.25)})
    cases.add("gap with, then all the way", UP, {2: (17.5, 17.75, 15, 15.5)})
    cases.add("gap against, then all the way", UP, {2: (15, 17.75, 14.5, 17)})
    cases.add("on the entry bar", UP, {1: (16, 17.5, 15.75, 17)})
    cases.add("late", UP, {4: (16, 17.5, 15.75, 17)})
    cases.add("first one, then the other", UP, {2: (16, 16.25, 15, 15.5), 3: (16, 17.5, 16, 17)})
    cases.add("a higher open", UP, {1: (20, 20.5, 19.5, 20), **dict.fromkeys(range(2, 10), (20, 20.5, 19.5, 20))})
    cases.add("short continues", DOWN, {2: (16, 16.25, 14.75, 15)})
    cases.add("short reverses", DOWN, {3: (16, 16.75, 15.75, 16.5)})
    cases.add("short nothing", DOWN, {})
    cases.add("short both in a bar", DOWN, {2: (16, 17, 14.5, 16)})
    cases.add("short gap with", DOWN, {2: (14, 14.5, 13.5, 14.25)})
    cases.add("short gap against", DOWN, {2: (17, 17.5, 16.5, 17)})
    # Missing bars.
    cases.add("no next bar", UP, {1: None, 2: (16, 17.5, 15.75, 17)})
    cases.add("untraded next bar", UP, {1: (16, 16, 16, 16), 2: (16, 17.5, 15.75, 17)}, volumes={1: 0})
    cases.add("a bar missing", UP, {2: None, 3: (16, 17.5, 15.75, 17)})
    cases.add("horizon's bar missing", UP, {2: (16, 16.5, 15.5, 15.75), 3: None})
    # Disappearing: the last close is 15.5, × 0.45 = 6.975.
    cases.add("delisted", UP, {2: (16, 16.5, 15.5, 15.5), **GONE})
    cases.add("short delisted", DOWN, {2: (16, 16.5, 15.5, 15.5), **GONE})
    cases.add("touched, then delisted", UP, {2: (16, 17.25, 15.75, 17), **GONE})
    cases.add("untraded, then gone", UP, dict.fromkeys(range(1, 10)), volumes={0: 0})
    cases.add("gone before entry", UP, dict.fromkeys(range(1, 10)))
    # The end of the data: session 9 is the last; 6 + 3 = 9 is complete, 6 + 5 is not.
    cases.add("end", UP, {}, start=6)
    cases.add("end, touched", UP, {8: (16, 17.25, 15.75, 17)}, start=6)
    cases.add("last but one", UP, {}, start=8)
    cases.add("last session", UP, {}, start=9)
    cases.add("end, silent that day", UP, {9: None}, start=6)
    # Splits: two for one from session 2, or on the entry day, and one that was there before.
    cases.add("split inside", UP, {3: (8, 8.75, 7.875, 8.5)}, factors={2: 0.5})
    cases.add("split on the entry day", UP, {2: (8, 8.625, 7.875, 8.5)}, factors={1: 0.5})
    cases.add("short, reverse split on the entry day", DOWN, {2: (64, 65, 59, 60)}, factors={1: 4.0})
    cases.add("split long ago", UP, {2: (16, 17.25, 15.75, 17)}, factors={0: 0.125})
    # No barriers.
    cases.add("flat", 0, {})
    cases.add("no ATR", UP, {}, atr=None)
    cases.add("zero ATR", UP, {}, atr=0.0)
    giving_back(cases)
    return cases


def giving_back(cases: Market) -> None:
    """Event price 16, its session's extremes 16.5 and 15.5, new extreme 18, half of the way back is 17."""
    above = (17.75, 17.875, 17.25, 17.75)
    cases.add("back on a later bar", UP, {1: (16, 18, 16, 17.75), 2: above, 3: (17.75, 17.75, 17, 17.5)})
    cases.add("back by the bar's close", UP, {1: (16, 18, 16, 17), 2: above, 3: above, 4: above, 5: above})
    cases.add("low of the high's bar", UP, {1: (16, 18, 16, 17.75), 2: above, 3: above, 4: above, 5: above})
    cases.add(
        "back too late", UP, {1: (16, 18, 16, 17.75), 2: above, 3: above, 4: above, 5: (17.5, 17.75, 16.75, 17.5)}
    )
    # 18 → 17 is not reached; on bar 2 the new high of 20 asks for 18, which its close of 19 does not give, nor its low of
    # 17.125, which may have come first; bar 3's low of 18 does.
    cases.add(
        "back from a second extreme", UP, {1: (16, 18, 16, 17.75), 2: (17.5, 20, 17.125, 19), 3: (19, 19, 18, 18.5)}
    )
    cases.add(
        "not back from a second extreme",
        UP,
        {1: (16, 18, 16, 17.75), 2: (17.5, 20, 17.125, 19), 3: (19, 19, 18.125, 18.5)},
    )
    # Beyond the event's price, not beyond its session's high; and just beyond that: back to 16.375 is half of 0.75.
    cases.add("no new extreme", UP, {})
    cases.add("a small new extreme", UP, {1: (16.5, 16.75, 16.5, 16.5), 2: (16.5, 16.5, 16.375, 16.5)})
    below = (14.25, 14.75, 14.125, 14.25)
    cases.add("short back", DOWN, {1: (16, 16, 14, 14.25), 2: (14.25, 15, 14.125, 14.5), 3: below})
    cases.add("short not back", DOWN, {1: (16, 16, 14, 14.25), 2: (14.25, 14.875, 14.125, 14.5), 3: below})


@pytest.fixture(scope="module")
def rules(settings: Settings) -> LabelSettings:
    shipped = settings.labels
    assert (shipped.barrier_widths, shipped.horizons) == ((1.0, 2.0), ("30m", "close", "3d", "5d"))
    assert (shipped.give_back_share, shipped.delisting_return) == (0.5, -0.55)
    return shipped.model_copy(update={"half_spread": 1 / 64})


@pytest.fixture(scope="module")
def found(spark: SparkSession, rules: LabelSettings) -> dict[tuple[str, float, str], Row]:
    """(name, width, horizon) → label."""
    cases = market()
    frame = labels_of(spark, cases.events, cases.bars, rules)
    assert frame.columns == [column.name for column in declared("gold.event_labels").columns]
    return by_key(frame)


Found = dict[tuple[str, float, str], Row]


def test_every_event_has_a_label_for_each_width_and_horizon(found: Found) -> None:
    names = {name for name, _, _ in found}
    assert set(found) == {(name, width, horizon) for name in names for width in (1.0, 2.0) for horizon in ("3d", "5d")}


def test_an_event_without_direction_or_atr_has_no_label(found: Found) -> None:
    cases = market()
    assert {event["symbol"] for event in cases.events} - {name for name, _, _ in found} == {
        "flat",
        "no ATR",
        "zero ATR",
    }


@pytest.mark.parametrize(
    ("name", "outcome", "sessions", "gain"),
    [
        ("continues", "continuation", 2, 1 / LONG),
        ("reverses", "reversal", 3, -1 / LONG),
        ("nothing", "none", 3, (16 - LONG) / LONG),
        ("on the entry bar", "continuation", 1, 1 / LONG),
        ("late", "none", 3, (16 - LONG) / LONG),
        ("first one, then the other", "reversal", 2, -1 / LONG),
        ("short continues", "continuation", 2, 1 / SHORT),
        ("short reverses", "reversal", 3, -1 / SHORT),
        ("short nothing", "none", 3, (SHORT - 16) / SHORT),
    ],
)
def test_the_barrier_touched_first_decides(name: str, outcome: str, sessions: int, gain: float, found: Found) -> None:
    row = found[name, 1.0, "3d"]
    assert (row["outcome"], row["weight"], row["sessions_to_exit"]) == (outcome, 1.0, sessions)
    assert row["return"] == pytest.approx(gain)


@pytest.mark.parametrize(
    ("name", "outcome", "fill", "entry"),
    [
        ("gap with", "continuation", 18, LONG),
        ("gap against", "reversal", 15, LONG),
        # What comes after the open no longer matters, even where the bar also reaches the other barrier.
        ("gap with, then all the way", "continuation", 17.5, LONG),
        ("gap against, then all the way", "reversal", 15, LONG),
        ("short gap with", "continuation", 14, SHORT),
        ("short gap against", "reversal", 17, SHORT),
    ],
)
def test_a_gap_through_a_barrier_fills_at_the_open(
    name: str, outcome: str, fill: float, entry: float, found: Found
) -> None:
    row = found[name, 1.0, "3d"]
    direction = -1 if name.startswith("short") else 1
    assert (row["outcome"], row["sessions_to_exit"]) == (outcome, 2)
    assert row["return"] == pytest.approx(direction * (fill - entry) / entry)


@pytest.mark.parametrize("name", ["both in a bar", "short both in a bar"])
def test_both_barriers_in_one_bar_are_unresolved_and_weigh_nothing(name: str, found: Found) -> None:
    row = found[name, 1.0, "3d"]
    assert (row["outcome"], row["weight"], row["return"], row["sessions_to_exit"]) == ("unresolved", 0.0, None, 2)


def test_barriers_are_as_many_atr_away_as_the_width_says(found: Found) -> None:
    # The gap to 18 is beyond 17.25 but not 18.25, which the bar's high of 18.5 reaches.
    assert found["gap with", 2.0, "3d"]["return"] == pytest.approx(2 / LONG)
    assert found["continues", 2.0, "3d"]["outcome"] == "none"
    # Both one-ATR barriers lie within the bar, neither two-ATR one.
    assert found["both in a bar", 2.0, "3d"]["outcome"] == "none"


def test_what_happens_after_the_horizon_does_not_count(found: Found) -> None:
    assert found["late", 1.0, "3d"]["outcome"] == "none"
    assert (found["late", 1.0, "5d"]["outcome"], found["late", 1.0, "5d"]["sessions_to_exit"]) == ("continuation", 4)


def test_the_entry_is_the_next_open_worse_by_the_half_spread(found: Found) -> None:
    next_open = CALENDAR[1]["open_at"]
    assert (found["nothing", 1.0, "3d"]["entry_price"], found["nothing", 1.0, "3d"]["entry_at"].astimezone(dt.UTC)) == (
        LONG,
        next_open,
    )
    assert found["short nothing", 1.0, "3d"]["entry_price"] == SHORT
    # 20 × 65/64; barriers go with the entry, not with the event's price of 16.
    assert found["a higher open", 1.0, "3d"]["entry_price"] == 20.3125
    assert found["a higher open", 1.0, "3d"]["outcome"] == "none"


def test_excursions_reach_from_entry_to_exit(found: Found) -> None:
    # Exit on bar 2: its high 17.25 and the low 15.5 of bar 1 count, later bars don't.
    row = found["continues", 1.0, "3d"]
    assert (row["favourable_excursion"], row["adverse_excursion"]) == pytest.approx((1 / LONG, (15.5 - LONG) / LONG))
    # No exit: highs of 16.5, lows of 15.5. For a short it is the other way round.
    row = found["nothing", 1.0, "3d"]
    assert (row["favourable_excursion"], row["adverse_excursion"]) == pytest.approx((0.25 / LONG, -0.75 / LONG))
    row = found["short nothing", 1.0, "3d"]
    assert (row["favourable_excursion"], row["adverse_excursion"]) == pytest.approx((0.25 / SHORT, -0.75 / SHORT))
    # A bar that gaps through the barrier counts with all of its range.
    row = found["gap with", 1.0, "3d"]
    assert row["favourable_excursion"] == pytest.approx((18.5 - LONG) / LONG)


@pytest.mark.parametrize(
    "name", ["no next bar", "gone before entry", "untraded, then gone", "last session", "untraded next bar"]
)
def test_without_a_next_bar_to_trade_on_there_is_no_entry(name: str, found: Found) -> None:
    """A bar of zero volume carries prices that nobody could trade at."""
    for width in (1.0, 2.0):
        for horizon in ("3d", "5d"):
            row = found[name, width, horizon]
            assert (row["outcome"], row["weight"], row["delisted"]) == ("censored", 0.0, False)
            empty = [
                "entry_at",
                "entry_price",
                "sessions_to_exit",
                "return",
                "favourable_excursion",
                "adverse_excursion",
            ]
            assert [row[column] for column in [*empty, "gave_back", "known_at"]] == [None] * 8


def test_a_missing_bar_is_stepped_over(found: Found) -> None:
    assert (found["a bar missing", 1.0, "3d"]["outcome"], found["a bar missing", 1.0, "3d"]["sessions_to_exit"]) == (
        "continuation",
        3,
    )
    # Nothing traded on the horizon's session: closed at the close before it, 15.75. The name trades on: not delisted.
    row = found["horizon's bar missing", 1.0, "3d"]
    assert (row["outcome"], row["sessions_to_exit"], row["delisted"]) == ("none", 3, False)
    assert row["return"] == pytest.approx((15.75 - LONG) / LONG)


def test_a_name_that_disappears_is_closed_at_45_percent_of_its_last_close(found: Found) -> None:
    # 15.5 × 0.45 = 6.975, on the last session it traded.
    for horizon in ("3d", "5d"):
        up, down = found["delisted", 1.0, horizon], found["short delisted", 1.0, horizon]
        assert (up["outcome"], up["weight"], up["sessions_to_exit"], up["delisted"]) == ("reversal", 1.0, 2, True)
        assert up["return"] == pytest.approx((6.975 - LONG) / LONG)
        assert (down["outcome"], down["weight"], down["sessions_to_exit"], down["delisted"]) == (
            "continuation",
            1.0,
            2,
            True,
        )
        assert down["return"] == pytest.approx((SHORT - 6.975) / SHORT)


def test_the_terminal_return_is_part_of_the_excursions(found: Found) -> None:
    """A position cannot end worse than the worst it went through."""
    assert found["delisted", 1.0, "3d"]["adverse_excursion"] == pytest.approx((6.975 - LONG) / LONG)
    assert found["short delisted", 1.0, "3d"]["favourable_excursion"] == pytest.approx((SHORT - 6.975) / SHORT)


def test_a_barrier_touched_before_the_name_disappears_stands(found: Found) -> None:
    row = found["touched, then delisted", 1.0, "3d"]
    assert (row["outcome"], row["delisted"]) == ("continuation", False)
    assert found["touched, then delisted", 2.0, "3d"]["delisted"] is True


def test_where_the_data_end_first_a_label_is_censored(found: Found) -> None:
    # Session 6 + 3 is the last there is; 6 + 5 is beyond it.
    assert found["end", 1.0, "3d"]["outcome"] == "none"
    for name, horizon in (("end", "5d"), ("last but one", "3d"), ("last but one", "5d")):
        row = found[name, 1.0, horizon]
        assert (row["outcome"], row["weight"], row["delisted"]) == ("censored", 0.0, False)
        assert (row["entry_price"], row["return"], row["gave_back"], row["known_at"]) == (LONG, None, None, None)


def test_a_name_that_is_silent_only_on_the_last_day_of_the_data_is_not_delisted(found: Found) -> None:
    """A thin name misses days. Whether it disappeared cannot be told yet."""
    row = found["end, silent that day", 1.0, "3d"]
    assert (row["outcome"], row["weight"], row["delisted"], row["return"]) == ("censored", 0.0, False, None)


def test_a_name_that_is_back_in_a_quarter_was_not_gone_and_what_comes_later_changes_no_label(
    spark: SparkSession, settings: Settings
) -> None:
    sessions = sessions_between(CALENDAR[0]["session_date"], dt.date(2024, 12, 31)).to_dict("records")
    # 63 sessions after the longest horizon, 5.
    there = {"market": range(100), "back": (0, 1, 2, 68), "back too late": (0, 1, 2, 69)}
    bars = [bar(name, sessions[place], QUIET) for name, places in there.items() for place in places]
    events = [daily_event(name, sessions[0], UP, 16.0, 1.0) for name in there]
    labels = labels_of(spark, events, bars, settings.labels)
    of_five = {row.symbol: row for row in labels.where("barrier_width = 1 AND horizon = '5d'").collect()}
    assert {name: (row.outcome, row.delisted) for name, row in of_five.items()} == {
        "market": ("none", False),
        "back": ("none", False),
        "back too late": ("reversal", True),
    }


def test_a_barrier_touched_before_the_data_end_counts_but_giving_back_is_open(found: Found) -> None:
    row = found["end, touched", 1.0, "5d"]
    assert (row["outcome"], row["sessions_to_exit"], row["gave_back"]) == ("continuation", 2, None)


def test_a_split_inside_the_horizon_is_no_move(found: Found) -> None:
    # From session 2 on prices are halved: 8 is 16, and 8.75 is 17.5, beyond 17.25.
    row = found["split inside", 1.0, "3d"]
    assert (row["outcome"], row["sessions_to_exit"]) == ("continuation", 3)
    assert row["return"] == pytest.approx(1 / LONG)
    assert found["split inside", 2.0, "3d"]["outcome"] == "none"
    # A factor that was in force at the event already changes nothing.
    unsplit, split = found["continues", 1.0, "3d"], found["split long ago", 1.0, "3d"]
    assert {**split, "symbol": "", "event_id": ""} == {**unsplit, "symbol": "", "event_id": ""}


def test_the_entry_price_is_in_the_entry_days_shares(found: Found) -> None:
    """As gold.event_labels declares it: what was paid that day, not what it was worth in the shares of the day before."""
    # Two for one on the entry day: open 8 × 65/64. The barrier at 17.25 is 8.625 in new shares: touched on bar 2.
    row = found["split on the entry day", 1.0, "3d"]
    assert (row["outcome"], row["sessions_to_exit"], row["return"]) == ("continuation", 2, pytest.approx(1 / LONG))
    assert row["entry_price"] == 8.125
    # One for four: open 64 × 63/64 = 63; the barrier at 14.75 is 59.
    row = found["short, reverse split on the entry day", 1.0, "3d"]
    assert (row["outcome"], row["sessions_to_exit"], row["return"]) == ("continuation", 2, pytest.approx(1 / SHORT))
    assert row["entry_price"] == 63


@pytest.mark.parametrize(
    ("name", "after_3", "after_5"),
    [
        ("back on a later bar", True, True),
        ("back by the bar's close", True, True),
        ("low of the high's bar", False, False),
        ("back too late", False, True),
        # Sessions 4 and 5 are QUIET again, at 16: long given back by then.
        ("back from a second extreme", True, True),
        ("not back from a second extreme", False, True),
        ("no new extreme", False, False),
        ("a small new extreme", True, True),
        ("short back", True, True),
        ("short not back", False, True),
    ],
)
def test_a_move_is_given_back_once_half_of_it_is_lost_after_its_extreme(
    name: str, after_3: bool, after_5: bool, found: Found
) -> None:
    assert (found[name, 1.0, "3d"]["gave_back"], found[name, 1.0, "5d"]["gave_back"]) == (after_3, after_5)
    # Whatever the barriers' width.
    assert (found[name, 2.0, "3d"]["gave_back"], found[name, 2.0, "5d"]["gave_back"]) == (after_3, after_5)


def test_the_share_given_back_is_a_share_of_the_move(spark: SparkSession, rules: LabelSettings) -> None:
    """From 16 to 18 and back to 17.375: 0.625 of 2, which is more than a quarter and less than three quarters."""
    cases = Market()
    stay = (17.75, 17.875, 17.5, 17.75)
    cases.add("A", UP, {1: (16, 18, 16, 17.75), 2: (17.75, 17.75, 17.375, 17.75), **dict.fromkeys(range(3, 10), stay)})
    # Built before either is run: one must not see the other's tables or numbers.
    lazily = {
        share: labels_of(
            spark,
            cases.events,
            cases.bars,
            rules.model_copy(update={"give_back_share": share, "horizons": ("3d",), "barrier_widths": (1.0,)}),
        )
        for share in (0.25, 0.75)
    }
    assert {share: frame.collect()[0]["gave_back"] for share, frame in lazily.items()} == {0.25: True, 0.75: False}


def test_an_outcome_is_known_at_the_close_of_the_horizons_last_session(found: Found) -> None:
    def known(name: str, horizon: str) -> dt.datetime:
        return found[name, 1.0, horizon]["known_at"].astimezone(dt.UTC)

    # Session 3 is 1 July, 16:00 New York; session 5 is 3 July, which closed at 13:00.
    for name in ("nothing", "continues", "both in a bar"):
        assert known(name, "3d") == dt.datetime(2024, 7, 1, 20, tzinfo=dt.UTC)
        assert known(name, "5d") == dt.datetime(2024, 7, 3, 17, tzinfo=dt.UTC)


def test_what_disappeared_is_known_to_have_when_it_cannot_be_back_any_more(found: Found) -> None:
    # Here the data end before that; a name that only missed the horizon's session is told by its next bar.
    last = CALENDAR[9]["close_at"].to_pydatetime()
    assert found["delisted", 1.0, "3d"]["known_at"].astimezone(dt.UTC) == last
    following = CALENDAR[4]["close_at"].to_pydatetime()
    assert found["horizon's bar missing", 1.0, "3d"]["known_at"].astimezone(dt.UTC) == following


def test_a_security_that_was_renamed_after_the_event_is_followed(
    spark: SparkSession, rules: LabelSettings, found: Found
) -> None:
    cases = market()
    own = {event["symbol"]: event["session_date"] for event in cases.events}
    moved = [
        row | {"symbol": f"new {row['symbol']}"} if row["session_date"] > own[row["symbol"]] else row
        for row in cases.bars
    ]
    assert by_key(labels_of(spark, cases.events, moved, rules)) == found
