"""Trades and quotes: eligibility by sale condition, labels, and minute bars built from trades."""

import csv
import json
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.resources import files
from pathlib import Path

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from smallcaps.lake import declared
from smallcaps.refine import ticks
from smallcaps.refine.bars import minute_bars
from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.ticks import judged_quotes, judged_trades
from tests.refine.frames import bronze_quotes, bronze_trades
from tests.sources.vendor_files import new_york_ns, quote, trade

FIXTURES = Path(__file__).parent / "fixtures"
DAY, SHORT, HOLIDAY = "2015-11-24", "2015-11-27", "2015-11-26"
Use = tuple[bool, bool, bool]

# POLYGON.md §5.2: what a sale condition allows (high/low, open/close, volume).
ALLOWED: dict[int, Use] = {
    **dict.fromkeys(
        [1, 3, 4, 6, 8, 9, 11, 14, 17, 18, 19, 23, 24, 25, 27, 28, 30, 31, 34, 35, 36, 41, 55], (True, True, True)
    ),
    **dict.fromkeys([5, 10, 22, 32, 33], (True, False, True)),
    **dict.fromkeys([2, 7, 12, 13, 20, 21, 29, 37, 52, 53], (False, False, True)),
    **dict.fromkeys([15, 16], (False, False, False)),
    38: (True, True, False),
}


def table_of_conditions() -> dict[int, dict[str, str]]:
    with (files("smallcaps.sources.polygon") / "trade_conditions.csv").open(encoding="utf-8") as file:
        return {int(row["id"]): row for row in csv.DictReader(file)}


def uses(row: dict[str, str]) -> Use:
    return (row["updates_high_low"] == "1", row["updates_open_close"] == "1", row["updates_volume"] == "1")


def test_the_table_of_conditions_is_the_specifications() -> None:
    assert {number: uses(row) for number, row in table_of_conditions().items()} == ALLOWED


def test_the_table_of_conditions_agrees_with_the_vendors_own() -> None:
    body = json.loads((FIXTURES / "conditions.json").read_text())
    ours = table_of_conditions()
    assert [record["id"] for record in body["results"]] == list(range(1, 11))
    for record in body["results"]:
        rules = record["update_rules"]["consolidated"]
        use = (rules["updates_high_low"], rules["updates_open_close"], rules["updates_volume"])
        assert uses(ours[record["id"]]) == use, record["name"]


REGULAR, PRE, POST, NIGHT = "10:00", "08:00", "17:00", "03:00"
YES, VOLUME_ONLY, HIGH_LOW, NOTHING = (
    (True, True, True),
    (False, False, True),
    (True, False, True),
    (False, False, False),
)
# A row: the clock, conditions and correction, and whether high and low, open and close, volume may be set.
ELIGIBILITY = [
    *((REGULAR, str(number), "0", use) for number, use in ALLOWED.items()),
    (REGULAR, "", "0", YES),
    (REGULAR, "14,41", "0", YES),
    (REGULAR, "41,10", "0", HIGH_LOW),
    (REGULAR, "10,37", "0", VOLUME_ONLY),
    (REGULAR, "14,12,41", "0", VOLUME_ONLY),  # Form T never sets a price in regular hours,
    (PRE, "12", "0", YES),  # but outside them it does,
    (POST, "12", "0", YES),
    (PRE, "14,12,41", "0", YES),
    (PRE, "12,37", "0", VOLUME_ONLY),  # unless another condition forbids.
    (POST, "14,12,37,41", "0", VOLUME_ONLY),
    (POST, "12,10", "0", HIGH_LOW),
    (PRE, "12,13", "0", VOLUME_ONLY),
    (PRE, "13", "0", VOLUME_ONLY),
    (POST, "12,15", "0", NOTHING),
    (PRE, "12,12", "0", YES),
    (NIGHT, "12", "0", VOLUME_ONLY),
    (REGULAR, "", "", YES),  # No correction code at all is normal.
    (REGULAR, "", "1", YES),  # The original of a later correction, error or cancel: so it stood at the time.
    (REGULAR, "", "7", YES),
    (REGULAR, "", "8", YES),
    (REGULAR, "", "10", NOTHING),  # The records that cancel or correct are no trades.
    (REGULAR, "", "11", NOTHING),
    (REGULAR, "", "12", NOTHING),
    (REGULAR, "999", "0", YES),  # Nothing is known against it.
]


@pytest.fixture(scope="module")
def eligible(spark: SparkSession) -> dict[int, Row]:
    """Trades of ELIGIBILITY judged, by line; each is a minute apart so that none shares an identity."""
    rows = [
        (DAY, trade("E", DAY, clock, number, conditions=conditions, correction=correction))
        for number, (clock, conditions, correction, _) in enumerate(ELIGIBILITY)
    ]
    judged = judged_trades(bronze_trades(spark, rows), calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24)))
    return {row.source_line: row for row in judged.collect()}


@pytest.mark.parametrize(
    ("line", "clock", "conditions", "correction", "use"),
    [(line, *case) for line, case in enumerate(ELIGIBILITY, start=2)],
)
def test_a_trade_may_be_used_where_every_condition_allows_it(
    line: int, clock: str, conditions: str, correction: str, use: Use, eligible: dict[int, Row]
) -> None:
    row = eligible[line]
    assert (row.updates_high_low, row.updates_open_close, row.updates_volume) == use


# (day of the file, trade, the rule it breaks)
TRADES = [
    (DAY, trade("A", DAY, "10:00", 1), None),
    (DAY, trade("A", DAY, "10:00", 1), "duplicate_row"),
    (DAY, trade("a", DAY, "10:00", 1), None),
    (DAY, trade("A", DAY, "10:00", 1, exchange=12), None),  # Ids are unique within an exchange only,
    (DAY, trade("A", DAY, "10:00", 1, exchange=4, trf_id=201, trf_timestamp=5), None),
    (DAY, trade("A", DAY, "10:00", 1, exchange=4, trf_id=202, trf_timestamp=5), None),  # and a facility there.
    (DAY, trade("A", DAY, "10:00", 1, correction=12), None),  # The record that corrects has the identity of the trade.
    (DAY, trade("A", DAY, "10:00", 2, size="99.999999"), None),
    (DAY, trade("A", DAY, "10:00", 3, size="100", conditions="37"), None),
    (DAY, trade("A", DAY, "10:00", 4, conditions="14,41"), None),
    (DAY, trade("A", DAY, "10:00", 5, participant_timestamp=new_york_ns(DAY, "09:59:50")), None),
    (DAY, trade("A", DAY, "10:00", 6, participant_timestamp=new_york_ns(DAY, "09:59:49.999999999")), None),
    (DAY, trade("A", DAY, "10:00", 7, participant_timestamp=0), None),
    (DAY, trade("A", DAY, "10:00", 8, price="0"), "non_positive_price"),
    (DAY, trade("A", DAY, "10:00", 9, price="-1"), "non_positive_price"),
    (DAY, trade("A", DAY, "10:00", 10, size="0"), "non_positive_size"),
    (DAY, trade("A", DAY, "10:00", 11, size="-100"), "non_positive_size"),
    (DAY, trade("A", "2015-11-25", "10:00", 12), "wrong_day"),
    (HOLIDAY, trade("A", HOLIDAY, "10:00", 13), "not_a_session"),
    (DAY, trade("A", DAY, "23:59:59.999999999", 14), None),  # Closed hours are labelled, not refused.
    (DAY, trade("A", DAY, "10:00:00.123456789", 15), None),
]


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> dict[int, Row]:
    """Rows of TRADES judged, by line."""
    frame = bronze_trades(spark, [(day, row) for day, row, _ in TRADES])
    rows = judged_trades(frame, calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 27))).collect()
    return {row.source_line: row for row in rows}


@pytest.mark.parametrize(("line", "rule"), [(line, rule) for line, (*_, rule) in enumerate(TRADES, start=2)])
def test_a_trade_breaks_the_rule_it_was_made_to_break(line: int, rule: str | None, judged: dict[int, Row]) -> None:
    assert judged[line]["_rule"] == rule


def test_trades_off_exchange_are_those_of_a_facility(judged: dict[int, Row]) -> None:
    assert [line for line, row in sorted(judged.items()) if row.is_off_exchange] == [6, 7]


def test_an_odd_lot_is_a_condition_or_fewer_than_100_shares(judged: dict[int, Row]) -> None:
    assert [line for line, row in sorted(judged.items()) if row["_rule"] is None and row.is_odd_lot] == [9, 10]


def test_a_sweep_is_its_condition(judged: dict[int, Row]) -> None:
    assert [line for line, row in sorted(judged.items()) if row.is_sweep] == [11]


def test_a_late_trade_was_published_more_than_ten_seconds_after_it_was_made(judged: dict[int, Row]) -> None:
    # 10 s exactly is not late; 10.000000001 s is. Without a venue time nothing is known to be late.
    assert [line for line, row in sorted(judged.items()) if row.is_late] == [13]
    assert judged[14].participant_ns == judged[14].sip_ns


def test_nanoseconds_stay_whole_beside_the_timestamp_cut_to_microseconds(judged: dict[int, Row]) -> None:
    row = judged[22]
    assert row.sip_ns == new_york_ns(DAY, "10:00:00.123456789")
    assert row.ts.astimezone(UTC) == datetime(2015, 11, 24, 15, 0, 0, 123456, tzinfo=UTC)
    assert (judged[21].session, row.session, row.second) == ("closed", "regular", 6 * 3600)


def test_the_declared_key_tells_sound_trades_apart(judged: dict[int, Row]) -> None:
    key = declared("silver.trades").key
    sound = [row.asDict() for row in judged.values() if row["_rule"] is None]
    assert all(name in sound[0] for name in key), "a part of the key is no column of the table"
    identities = [tuple(row[name] for name in key) for row in sound]
    assert len(set(identities)) == len(identities)


# Trade 1 is cancelled in its own minute, 2 six minutes later, 3 corrected twice; 4 is only said to be cancelled, in hindsight.
# A cancel of the same id on another exchange is another trade's, one that cancels nothing is nobody's.
WITHDRAWN = [
    trade("W", DAY, "10:00:01", 1, price="20.00", correction="8"),
    trade("W", DAY, "10:00:59.999999999", 1, price="20.00", correction="10"),
    trade("W", DAY, "10:00:02", 2, price="30.00", exchange=4, trf_id=202, trf_timestamp=5, correction="7"),
    trade("W", DAY, "10:06:00", 2, price="30.00", exchange=4, trf_id=202, trf_timestamp=5, correction="11"),
    trade("W", DAY, "10:00:03", 3, price="10.00", correction="1"),
    trade("W", DAY, "10:09:00", 3, price="11.00", correction="12"),
    trade("W", DAY, "10:08:00", 3, price="12.00", correction="12"),
    trade("W", DAY, "10:00:04", 4, price="10.50", correction="8"),
    trade("W", DAY, "10:00:05", 5, price="10.40"),
    trade("W", DAY, "10:00:06", 5, price="10.40", exchange=12, correction="10"),
    trade("W", DAY, "10:00:07", 6, price="10.40", correction="10"),
]


def test_a_trade_is_withdrawn_when_the_record_that_says_so_is_published(spark: SparkSession) -> None:
    frame = bronze_trades(spark, [(DAY, row) for row in WITHDRAWN])
    rows = judged_trades(frame, calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24))).collect()
    assert len(rows) == len(WITHDRAWN)
    assert {row.source_line: row.withdrawn_ns for row in rows if row.withdrawn_ns is not None} == {
        2: new_york_ns(DAY, "10:00:59.999999999"),
        4: new_york_ns(DAY, "10:06:00"),
        6: new_york_ns(DAY, "10:08:00"),
    }


def test_a_bar_counts_what_stood_when_its_minute_was_over(spark: SparkSession) -> None:
    bars = made(spark, [(DAY, row) for row in WITHDRAWN], date(2015, 11, 24), date(2015, 11, 24))
    # Of 10:00: 30.00 and 10.00 were withdrawn later and stand, 20.00 does not; 10.50 and 10.40 were not. Four times 100 shares.
    assert {minute: numbers(row) for minute, row in bars.items()} == {360: (30.0, 30.0, 10.0, 10.4, 400, 4)}


def test_a_trade_with_an_impossible_time_is_refused_and_stops_nothing(spark: SparkSession) -> None:
    rows = [
        (DAY, trade("A", DAY, "10:00", 1)),
        (DAY, trade("A", DAY, "10:00", 2, sip_timestamp=5_000_000_000_000_000_000)),
    ]
    found = judged_trades(bronze_trades(spark, rows), calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24)))
    assert {row.source_line: row["_rule"] for row in found.collect()} == {2: None, 3: "wrong_day"}


# Minutes of one symbol by hand: (clock, sequence number, price, size, conditions, correction).
HAND = [
    # 08:00, pre-market: Form T alone sets prices.
    ("08:00:05", 101, "9.50", "200", "12", "0"),
    # 08:01: Form T and odd lot: no bar.
    ("08:01:05", 102, "9.40", "20", "12,37", "0"),
    # 10:00: in order of SIP time, then sequence number.
    ("10:00:00.000000001", 1, "15.00", "50", "37", "0"),  # odd lot: volume only
    ("10:00:00.000000003", 5, "10.02", "100", "", "0"),
    ("10:00:00.000000002", 9, "10.01", "100", "14,41", "0"),  # earliest that may set a price: the open
    ("10:00:00.000000003", 4, "9.80", "100", "", "8"),  # later cancelled, but it stood then: the low
    ("10:00:30", 10, "99.00", "100000", "16", "0"),  # official open: nothing
    ("10:00:31", 11, "98.00", "100", "", "10"),  # a cancel record: nothing
    ("10:00:59.9", 21, "10.03", "100.5", "", "0"),  # the same instant as the next and a higher number: the close
    ("10:00:59.9", 20, "10.07", "0.001500", "41", "0"),
    ("10:00:59.99", 22, "12.00", "100", "10", "0"),  # derivatively priced: high and low only
    ("10:00:59.999", 23, "50.00", "100", "12", "0"),  # Form T in regular hours: volume only
    # 10:01: odd lots and a derivatively priced trade: nothing opens a bar.
    ("10:01:10", 30, "10.00", "99", "37", "0"),
    ("10:01:20", 31, "10.00", "500", "10", "0"),
    # 10:03: half-even once for the bar: 0.5 + 1.0 + 1.0 = 2.5 → 2.
    ("10:03:01", 40, "10.00", "0.5", "", "0"),
    ("10:03:02", 41, "10.00", "1", "", "0"),
    ("10:03:03", 42, "10.00", "1", "", "0"),
    # 16:00: the closing auction, after the close.
    ("16:00:00.5", 50, "10.20", "5000", "8,12", "0"),
    # 20:00: closed.
    ("20:00:00", 60, "10.20", "100", "12", "0"),
]


def made(spark: SparkSession, rows: list[tuple[str, dict[str, str]]], first: date, last: date) -> dict[int, Row]:
    """Minute bars of `rows` by minute of the day."""
    calendar = calendar_frame(spark, first, last)
    judged = judged_trades(bronze_trades(spark, rows), calendar)
    bars = minute_bars(judged.where("_rule IS NULL"), calendar).collect()
    by_minute = {row.minute: row for row in bars}
    assert len(by_minute) == len(bars)
    return by_minute


@pytest.fixture(scope="module")
def hand(spark: SparkSession) -> dict[int, Row]:
    """The bars of HAND by minute since 04:00 (10:00 is 360)."""
    rows = [
        (DAY, trade("H", DAY, clock, number, price=price, size=size, conditions=conditions, correction=correction))
        for clock, number, price, size, conditions, correction in HAND
    ]
    return made(spark, rows, date(2015, 11, 24), date(2015, 11, 24))


def numbers(row: Row) -> tuple[float, float, float, float, int, int]:
    return (row.open, row.high, row.low, row.close, row.volume, row.transactions)


def test_a_bar_opens_and_closes_by_sip_time_then_sequence_number(hand: dict[int, Row]) -> None:
    # Volume: 50 + 100 + 100 + 100 + 100.5 + 0.0015 + 100 + 100 = 650.5015 → 651; eight trades.
    assert numbers(hand[360]) == (10.01, 12.0, 9.8, 10.03, 651, 8)
    assert hand[360].ts.astimezone(UTC) == datetime(2015, 11, 24, 15, 0, tzinfo=UTC)
    assert (hand[360].session, hand[360].segment, hand[360].is_auction, hand[360].source) == (
        "regular",
        1,
        False,
        "trades",
    )


def test_form_t_makes_a_bar_before_the_open_and_its_odd_lots_do_not(hand: dict[int, Row]) -> None:
    assert numbers(hand[240]) == (9.5, 9.5, 9.5, 9.5, 200, 1)
    assert hand[240].session == "pre"
    assert 241 not in hand


def test_a_minute_in_which_nothing_may_set_a_price_has_no_bar(hand: dict[int, Row]) -> None:
    assert 361 not in hand


def test_fractions_are_added_before_they_are_rounded_half_even(hand: dict[int, Row]) -> None:
    assert numbers(hand[363]) == (10.0, 10.0, 10.0, 10.0, 2, 3)


def test_the_closing_auction_is_a_bar_of_its_own_after_the_close(hand: dict[int, Row]) -> None:
    assert numbers(hand[720]) == (10.2, 10.2, 10.2, 10.2, 5000, 1)
    assert (hand[720].session, hand[720].is_auction) == ("post", True)


def test_no_other_minute_has_a_bar(hand: dict[int, Row]) -> None:
    assert set(hand) == {240, 360, 363, 720}


def test_a_corrected_consolidated_close_sets_prices_and_adds_no_volume(spark: SparkSession) -> None:
    # Condition 38 allows high/low and open/close, not volume (POLYGON.md §5.2): 100 shares in one trade.
    rows = [
        (DAY, trade("H", DAY, "10:00:01", 1)),
        (DAY, trade("H", DAY, "10:00:02", 2, price="11.00", size="1000", conditions="38")),
    ]
    bar = made(spark, rows, date(2015, 11, 24), date(2015, 11, 24))[360]
    assert numbers(bar) == (10.0, 11.0, 10.0, 11.0, 100, 1)


def test_bars_of_recorded_trades_are_those_of_plain_arithmetic(spark: SparkSession) -> None:
    recorded = json.loads((FIXTURES / "trades_aapl_2020-04-20.json").read_text())["results"]
    assert len(recorded) == 44
    # The vendor's own order is by SIP time; the product gets them backwards.
    rows = [
        (
            "2020-04-20",
            trade("AAPL", "2020-04-20", "04:00", item["q"])
            | {
                "id": item["i"],
                "sip_timestamp": str(item["t"]),
                "participant_timestamp": str(item["y"]),
                "exchange": str(item["x"]),
                "size": str(item["s"]),
                "price": str(item["p"]),
                "tape": str(item["z"]),
                "conditions": ",".join(map(str, item["c"])),
            },
        )
        for item in reversed(recorded)
    ]
    found = made(spark, rows, date(2020, 4, 20), date(2020, 4, 20))

    # The same without Spark and without the product: 2020-04-20 04:00 New York is 08:00 UTC, 1587369600 s. All are
    # pre-market, so 12 forbids nothing and each other condition does what the specification says.
    minutes: dict[int, list[dict]] = defaultdict(list)
    for item in sorted(recorded, key=lambda item: (item["t"], item["q"])):
        minutes[(item["t"] // 1_000_000_000 - 1_587_369_600) // 60].append(item)
    expected = {}
    for minute, items in minutes.items():
        allowed = [[ALLOWED[number] for number in item["c"] if number != 12] for item in items]
        price = [item["p"] for item, uses in zip(items, allowed, strict=True) if all(use[1] for use in uses)]
        extreme = [item["p"] for item, uses in zip(items, allowed, strict=True) if all(use[0] for use in uses)]
        volume = sum(Decimal(str(item["s"])) for item in items).quantize(Decimal(1), ROUND_HALF_EVEN)
        if price:
            expected[minute] = (price[0], max(extreme), min(extreme), price[-1], int(volume), len(items))

    assert {minute: numbers(row) for minute, row in found.items()} == expected
    # Five minutes were recorded and one of them, 04:03, holds odd lots only.
    assert (set(minutes), set(expected)) == ({0, 3, 4, 19, 43}, {0, 4, 19, 43})
    # 04:04 by hand from the file: the two trades of at least 100 shares are 281.50 and 281.70.
    assert numbers(found[4])[:4] == (281.5, 281.7, 281.5, 281.7)


QUOTES = [
    (DAY, quote("Q", DAY, "10:00", 1), None),
    (DAY, quote("Q", DAY, "10:00", 1), "duplicate_row"),
    (DAY, quote("q", DAY, "10:00", 1), None),
    (DAY, quote("Q", DAY, "10:00", 2, ask_price="0.0", ask_size="0"), None),
    (DAY, quote("Q", DAY, "10:00", 3, ask_price="9.99"), None),
    (DAY, quote("Q", DAY, "10:00", 4, ask_price="9.98"), None),
    (DAY, quote("Q", DAY, "10:00", 5, bid_price="-9.99"), "negative_quote"),
    (DAY, quote("Q", DAY, "10:00", 6, ask_size="-1"), "negative_quote"),
    (DAY, quote("Q", "2015-11-25", "10:00", 7), "wrong_day"),
    (HOLIDAY, quote("Q", HOLIDAY, "10:00", 8), "not_a_session"),
    (DAY, quote("Q", DAY, "10:00:01", 1), None),
]


@pytest.fixture(scope="module")
def quotes(spark: SparkSession) -> dict[int, Row]:
    """Rows of QUOTES judged, by line."""
    frame = bronze_quotes(spark, [(day, row) for day, row, _ in QUOTES])
    rows = judged_quotes(frame, calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 27))).collect()
    return {row.source_line: row for row in rows}


@pytest.mark.parametrize(("line", "rule"), [(line, rule) for line, (*_, rule) in enumerate(QUOTES, start=2)])
def test_a_quote_breaks_the_rule_it_was_made_to_break(line: int, rule: str | None, quotes: dict[int, Row]) -> None:
    assert quotes[line]["_rule"] == rule


def test_a_side_without_a_price_is_no_side(quotes: dict[int, Row]) -> None:
    assert (quotes[2].bid_price, quotes[2].ask_price, quotes[2].is_two_sided) == (9.99, 10.01, True)
    assert (quotes[5].bid_price, quotes[5].ask_price, quotes[5].is_two_sided) == (9.99, None, False)


def test_locked_and_crossed_quotes_are_flagged_and_kept(quotes: dict[int, Row]) -> None:
    flags = {line: (row.is_locked, row.is_crossed) for line, row in quotes.items() if row["_rule"] is None}
    assert flags == {2: (False, False), 4: (False, False), 5: (False, False), 6: (True, False), 7: (False, True)} | {
        12: (False, False)
    }


def test_the_declared_key_tells_sound_quotes_apart(quotes: dict[int, Row]) -> None:
    key = declared("silver.quotes").key
    identities = [tuple(row[name] for name in key) for row in quotes.values() if row["_rule"] is None]
    assert len(set(identities)) == len(identities)


@pytest.mark.parametrize("offsets", [(7, 8, None), (None, 8, 7), (8, 7), (7, 8)])
def test_of_rows_that_are_alike_that_of_a_file_holds_and_else_the_last_message(
    spark: SparkSession, offsets: tuple[int | None, ...]
) -> None:
    """Whatever they are called: the source of a message is a hash of what it said."""
    told = [trade("A", DAY, "10:00", 1, price=price) for price, _ in enumerate(offsets, start=1)]
    places = F.element_at(F.array(*map(F.lit, offsets)), (F.col("source_line") - 1).cast("int"))
    frame = bronze_trades(spark, [(DAY, row) for row in told]).withColumn("kafka_offset", places.cast("bigint"))
    rows = judged_trades(frame, calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24))).collect()
    wanted = offsets.index(None if None in offsets else max(filter(None, offsets)))
    assert [row.price for row in rows if row["_rule"] is None] == [wanted + 1]


def test_every_rule_of_trades_and_quotes_has_a_row_here() -> None:
    assert {rule for *_, rule in TRADES} - {None} == {rule.name for rule in ticks.TRADE_RULES} | {ticks.DUPLICATE}
    assert {rule for *_, rule in QUOTES} - {None} == {rule.name for rule in ticks.QUOTE_RULES} | {ticks.DUPLICATE}


def flagged(spark: SparkSession, rows: list[tuple[str, dict[str, str]]], name: str) -> list[object]:
    frame = bronze_quotes(spark, rows)
    found = judged_quotes(frame, calendar_frame(spark, date(2015, 11, 1), date(2026, 1, 31))).orderBy(
        "session_date", "source_line"
    )
    return [row[name] for row in found.collect()]


def test_sizes_are_shares_whatever_the_vendor_counted_in_that_day(spark: SparkSession) -> None:
    in_lots = [(DAY, quote("Q", DAY, "10:00", number, bid_size=size)) for number, size in enumerate(("3", "200", "7"))]
    in_shares = [
        (SHORT, quote("Q", SHORT, "10:00", number, bid_size=size)) for number, size in enumerate(("300", "50"))
    ]
    later = [("2026-01-05", quote("Q", "2026-01-05", "10:00", number, bid_size="7")) for number in range(3)]
    # The offers of quote() are 200 and 200 and 200 on every day; in shares, as on the short day, most sizes are whole lots.
    assert flagged(spark, [(day, row | {"ask_size": "2"}) for day, row in in_lots], "bid_size") == [
        300.0,
        20_000.0,
        700.0,
    ]
    assert flagged(spark, in_shares, "bid_size") == [300.0, 50.0]
    assert flagged(spark, later, "bid_size") == [7.0, 7.0, 7.0]


def test_a_quote_is_stale_where_it_was_made_over_a_minute_before_it_was_published(spark: SparkSession) -> None:
    made_at = ("09:59:00", "09:58:59.999999999")
    rows = [
        (DAY, quote("Q", DAY, "10:00", number, participant_timestamp=new_york_ns(DAY, clock)))
        for number, clock in enumerate(made_at)
    ]
    assert flagged(spark, rows, "is_stale") == [False, True]


def test_a_paused_quote_is_its_condition(spark: SparkSession) -> None:
    rows = [(DAY, quote("Q", DAY, "10:00", number, conditions=words)) for number, words in enumerate(("1", "43,2", ""))]
    assert flagged(spark, rows, "is_paused") == [False, True, False]
