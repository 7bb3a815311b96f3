"""Daily and vendor minute bars, rule by rule."""

from datetime import UTC, date, datetime

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from smallcaps.calendar import session_number
from smallcaps.refine import bars
from smallcaps.refine.labels import calendar_frame
from tests.refine.frames import bronze_bars
from tests.sources.vendor_files import bar, new_york_ns

DAY, NEXT, SHORT, HOLIDAY = "2015-11-24", "2015-11-25", "2015-11-27", "2015-11-26"

# (day of the file, bar, the rule it breaks)
DAILY = [
    (DAY, bar("GOOD", DAY), None),
    (DAY, bar("good", DAY), None),  # Another symbol: case matters.
    (DAY, bar("GOOD", DAY, close="10.60"), "duplicate_row"),
    (DAY, bar("GOOD", DAY, "16:00"), "duplicate_row"),  # The key is the day, whatever the hour.
    (HOLIDAY, bar("HOL", HOLIDAY), "not_a_session"),
    (DAY, bar("EARLY", "2015-11-23"), "wrong_day"),
    (DAY, bar("LATE", NEXT), "wrong_day"),
    (DAY, bar("NIGHT", DAY, "23:59:59"), None),
    (DAY, bar("UTC", DAY, window_start=new_york_ns(DAY) - 1), "wrong_day"),
    (DAY, bar("FAR", DAY, window_start=5_000_000_000_000_000_000), "wrong_day"),
    (DAY, bar("FREE", DAY, low="0"), "non_positive_price"),
    (DAY, bar("NEGOPEN", DAY, open="-10.00"), "non_positive_price"),
    (DAY, bar("NEGCLOSE", DAY, close="-0.000001"), "non_positive_price"),
    (DAY, bar("NEGHIGH", DAY, high="-1"), "non_positive_price"),  # Below the low too: the first rule counts.
    (DAY, bar("CROSSED", DAY, high="9.40", low="9.50"), "high_below_low"),
    (DAY, bar("OPENHIGH", DAY, open="11.01"), "price_outside_range"),
    (DAY, bar("OPENLOW", DAY, open="9.49"), "price_outside_range"),
    (DAY, bar("CLOSEHIGH", DAY, close="11.000001"), "price_outside_range"),
    (DAY, bar("CLOSELOW", DAY, close="9.499999"), "price_outside_range"),
    (DAY, bar("EDGES", DAY, open="11.00", close="9.50"), None),
    (DAY, bar("ONEPRICE", DAY, open="0.0001", close="0.0001", high="0.0001", low="0.0001"), None),
    (DAY, bar("NEGVOL", DAY, volume="-0.000001"), "negative_volume"),
    (DAY, bar("NEGVOL", DAY, volume="5"), None),  # The first row of the name was refused, so this repeats nothing.
    (DAY, bar("NOVOL", DAY, volume="0", transactions="0"), None),
    (DAY, bar("EVENHALF", DAY, volume="1000.500000"), None),
    (DAY, bar("ODDHALF", DAY, volume="1001.500000"), None),
    (DAY, bar("SHARD", DAY, volume="0.001500"), None),
    (DAY, bar("NOCOUNT", DAY, transactions=""), None),
    (SHORT, bar("GOOD", SHORT), None),
    *((day, bar("NEW", day), None) for day in (DAY, NEXT, SHORT)),
]
FACTORS = [
    ("T:GOOD", date(2015, 11, 25), date(2015, 11, 27), 0.5),
    ("T:GOOD", date(2015, 11, 27), date(9999, 12, 31), 5.0),
]


@pytest.fixture(scope="module")
def daily(spark: SparkSession) -> dict[int, Row]:
    """Rows of DAILY judged and made silver, by line."""
    judged = bars.judged_daily(
        bronze_bars(spark, "bronze.bars_1d", [(day, row) for day, row, _ in DAILY]),
        calendar_frame(spark, date(2015, 11, 1), date(2015, 11, 30)),
    ).withColumn("security_id", F.concat(F.lit("T:"), "symbol"))
    schema = "security_id string, from_date date, to_date date, cumulative_factor double"
    rows = bars.daily_bars(judged, spark.createDataFrame(FACTORS, schema)).collect()
    assert len(rows) == len(DAILY)
    return {row.source_line: row for row in rows}


def only(rows: dict[int, Row], symbol: str) -> Row:
    """The one sound row of a symbol."""
    (row,) = [row for row in rows.values() if row.symbol == symbol and row["_rule"] is None]
    return row


@pytest.mark.parametrize(
    ("line", "symbol", "rule"), [(line, row["ticker"], rule) for line, (_, row, rule) in enumerate(DAILY, start=2)]
)
def test_a_daily_bar_breaks_the_rule_it_was_made_to_break(
    line: int, symbol: str, rule: str | None, daily: dict[int, Row]
) -> None:
    assert (daily[line].symbol, daily[line]["_rule"]) == (symbol, rule)


def test_every_rule_of_daily_bars_has_a_row_here() -> None:
    assert {rule for *_, rule in DAILY} - {None} == {rule.name for rule in bars.RULES} | {bars.DUPLICATE}
    assert set(bars.REASONS) == {rule.name for rule in bars.MINUTE_RULES} | {bars.DUPLICATE}


def test_prices_stay_as_traded_and_hours_come_from_the_calendar(daily: dict[int, Row]) -> None:
    row = daily[2]
    assert (row.open, row.high, row.low, row.close, row.volume, row.transactions) == (10.0, 11.0, 9.5, 10.5, 1000, 25)
    assert row.session_number == session_number(date(2015, 11, 24))
    # Naive as pyspark hands it over, in the machine's zone.
    assert row.open_at.astimezone(UTC) == datetime(2015, 11, 24, 14, 30, tzinfo=UTC)
    short = next(row for row in daily.values() if row.session_date == date(2015, 11, 27))
    assert short.close_at.astimezone(UTC) == datetime(2015, 11, 27, 18, 0, tzinfo=UTC)


def test_of_a_minute_that_came_again_over_the_live_feed_the_last_holds(spark: SparkSession) -> None:
    told = [bar("A", DAY, "10:00", close=close) for close in ("10.10", "10.30", "10.20")]
    offset = F.element_at(F.array(F.lit(5), F.lit(9), F.lit(6)), (F.col("source_line") - 1).cast("int"))
    minutes = bronze_bars(spark, "bronze.bars_1m", [(DAY, row) for row in told])
    judged = bars.judged_vendor_minutes(
        minutes.withColumn("kafka_offset", offset.cast("bigint")),
        calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24)),
    )
    assert [row.close for row in bars.once(judged).where("_rule IS NULL").collect()] == [10.3]


def test_fractional_volume_is_rounded_half_even(daily: dict[int, Row]) -> None:
    # 1,000.5 → 1,000 and 1,001.5 → 1,002: the even neighbour; 0.0015 → 0.
    assert [only(daily, symbol).volume for symbol in ("EVENHALF", "ODDHALF", "SHARD")] == [1000, 1002, 0]


def test_a_day_without_volume_is_kept_and_flagged(daily: dict[int, Row]) -> None:
    assert (only(daily, "NOVOL").zero_volume, only(daily, "NOVOL").volume) == (True, 0)
    assert not only(daily, "EDGES").zero_volume
    # Something traded, though less than half a share.
    assert not only(daily, "SHARD").zero_volume


def test_an_unknown_number_of_trades_stays_unknown(daily: dict[int, Row]) -> None:
    assert only(daily, "NOCOUNT").transactions is None


def test_a_day_has_the_factor_of_its_stretch_and_one_where_there_is_none(daily: dict[int, Row]) -> None:
    good = {row.session_date: row for row in daily.values() if row.symbol == "GOOD" and row["_rule"] is None}
    assert good[date(2015, 11, 24)].cumulative_factor == 1.0
    assert good[date(2015, 11, 27)].cumulative_factor == 5.0
    assert only(daily, "good").cumulative_factor == 1.0


def test_a_symbol_with_three_days_of_history_passes_through(daily: dict[int, Row]) -> None:
    rows = sorted((row for row in daily.values() if row.symbol == "NEW"), key=lambda row: row.session_date)
    assert [row["_rule"] for row in rows] == [None] * 3
    first = session_number(date(2015, 11, 24))
    assert [row.session_number for row in rows] == [first, first + 1, first + 2]


def test_adjusted_price_times_adjusted_volume_is_raw_price_times_raw_volume(spark: SparkSession) -> None:
    # 1 → 2 on 25 November, 10 → 1 on 27 November. In shares of the 27th: $20 · 0.5 · 10 = $100 and 1,000 / 5 = 200
    # shares; $10 · 10 = $100 and 2,000 / 10 = 200 shares; $100 and 200 shares. Each is $20,000, as traded.
    prices = [(DAY, "20", "1000"), (NEXT, "10", "2000"), (SHORT, "100", "200")]
    rows = [
        (day, bar("SPLIT", day, open=price, close=price, high=price, low=price, volume=volume))
        for day, price, volume in prices
    ]
    judged = bars.judged_daily(
        bronze_bars(spark, "bronze.bars_1d", rows), calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 27))
    ).withColumn("security_id", F.lit("T"))
    stretches = [
        ("T", date(2015, 11, 25), date(2015, 11, 27), 0.5),
        ("T", date(2015, 11, 27), date(9999, 12, 31), 5.0),
    ]
    schema = "security_id string, from_date date, to_date date, cumulative_factor double"
    made = bars.daily_bars(judged, spark.createDataFrame(stretches, schema)).orderBy("session_date").collect()
    last = made[-1].cumulative_factor
    carried = [(row.close * last / row.cumulative_factor, row.volume * row.cumulative_factor / last) for row in made]
    assert carried == [(100.0, 200.0)] * 3
    assert [price * volume for price, volume in carried] == [row.close * row.volume for row in made] == [20_000.0] * 3


# (day of the file, bar, the rule it breaks)
MINUTES = [
    (DAY, bar("M", DAY, "04:00"), None),
    (DAY, bar("M", DAY, "09:30"), None),
    (DAY, bar("M", DAY, "15:59"), None),
    (DAY, bar("M", DAY, "16:00"), None),
    (DAY, bar("M", DAY, "19:59"), None),
    (DAY, bar("M", DAY, "03:59"), "outside_hours"),
    (DAY, bar("M", DAY, "20:00"), "outside_hours"),
    (DAY, bar("M", DAY, "09:30"), "duplicate_row"),
    (DAY, bar("M", NEXT, "09:30"), "wrong_day"),
    (DAY, bar("M", DAY, "10:00", volume="-1"), "negative_volume"),
    (DAY, bar("M", DAY, "10:01", low="-1"), "non_positive_price"),
    (DAY, bar("M", DAY, "10:02", high="9"), "high_below_low"),
    (DAY, bar("M", DAY, "10:03", open="12"), "price_outside_range"),
    (HOLIDAY, bar("M", HOLIDAY, "10:00"), "not_a_session"),
    (SHORT, bar("M", SHORT, "12:59"), None),
    (SHORT, bar("M", SHORT, "13:00"), None),
    (SHORT, bar("M", SHORT, "16:00"), None),
    (DAY, bar("M", DAY, "10:04", volume="2.5"), None),
]


@pytest.fixture(scope="module")
def minutes(spark: SparkSession) -> dict[int, Row]:
    """Rows of MINUTES judged, by line."""
    judged = bars.judged_vendor_minutes(
        bronze_bars(spark, "bronze.bars_1m", [(day, row) for day, row, _ in MINUTES]),
        calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 27)),
    )
    return {row.source_line: row for row in bars.once(judged).collect()}


@pytest.mark.parametrize(("line", "rule"), [(line, rule) for line, (*_, rule) in enumerate(MINUTES, start=2)])
def test_a_minute_bar_breaks_the_rule_it_was_made_to_break(
    line: int, rule: str | None, minutes: dict[int, Row]
) -> None:
    assert minutes[line]["_rule"] == rule


def test_the_minutes_that_hold_an_auction_are_the_open_and_the_close(minutes: dict[int, Row]) -> None:
    auctions = {(str(row.session_date), row.minute) for row in minutes.values() if not row["_rule"] and row.is_auction}
    # 09:30 is minute 330, 16:00 is 720, 13:00 on the short day 540.
    assert auctions == {(DAY, 330), (DAY, 720), (SHORT, 540)}


def test_a_vendor_minute_keeps_its_start_and_numbers(minutes: dict[int, Row]) -> None:
    row = minutes[3]
    assert row.ts.astimezone(UTC) == datetime(2015, 11, 24, 14, 30, tzinfo=UTC)
    assert (row.session, row.segment, row.segment_start, row.minute, row.source) == ("regular", 1, 330, 330, "vendor")
    assert (row.open, row.high, row.low, row.close, row.volume) == (10.0, 11.0, 9.5, 10.5, 1000)
    assert minutes[19].volume == 2  # 2.5 to the even neighbour.


def test_a_bar_that_does_not_start_on_a_minute_is_refused(spark: SparkSession) -> None:
    # Two bars of one minute would both claim it.
    rows = [(DAY, bar("M", DAY, "10:00")), (DAY, bar("M", DAY, "10:00:30"))]
    calendar = calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24))
    judged = bars.judged_vendor_minutes(bronze_bars(spark, "bronze.bars_1m", rows), calendar)
    sound = [row.source_line for row in judged.collect() if row["_rule"] is None]
    assert sound == [2]


def test_a_minute_bar_with_an_impossible_time_is_refused_and_stops_nothing(spark: SparkSession) -> None:
    rows = [(DAY, bar("M", DAY, "10:00")), (DAY, bar("M", DAY, window_start=5_000_000_000_000_000_000))]
    calendar = calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24))
    judged = bars.judged_vendor_minutes(bronze_bars(spark, "bronze.bars_1m", rows), calendar)
    assert {row.source_line: row["_rule"] for row in judged.collect()} == {2: None, 3: "wrong_day"}


# Days of one name: (day of November 2015, open, close, volume, factor from that day on). Ratios of open to the close before.
OVERNIGHT = [
    (2, "10", "10", "100", 1.0),
    (3, "5.1", "5.1", "100", 1.0),  # 0.51: |ln| is 0.6733, within 3 % of ln 2 = 0.6931 (0.6723 to 0.7139)
    (4, "2.5", "2.5", "0", 1.0),  # 0.490, but nobody traded
    (5, "2.612", "2.6", "100", 1.0),  # 2.612 / 5.1 = 0.5122: |ln| is 0.6691, too far
    (6, "8.1", "8.1", "100", 1.0),  # 3.115: ln is 1.136, beyond 3 % of ln 3 = 1.0986 (1.0657 to 1.1316)
    (9, "24.3", "24.3", "100", 1.0),  # 3.0 exactly
    (10, "12.15", "12.15", "100", 0.5),  # 0.5, and the split is on file
    (11, "133.65", "12", "100", 0.5),  # 11: beyond 10
    (12, "8", "12", "100", 0.5),  # 2 for 3
    (30, "24", "24", "100", 0.5),  # 2.0, after nineteen days
]


def test_a_return_over_night_like_a_splits_is_flagged_where_none_is_on_file(spark: SparkSession) -> None:
    rows = []
    for day, opened, closed, volume, _ in OVERNIGHT:
        prices = {
            "open": opened,
            "close": closed,
            "high": max(opened, closed, key=float),
            "low": min(opened, closed, key=float),
        }
        rows.append((f"2015-11-{day:02}", bar("A", f"2015-11-{day:02}", volume=volume, **prices)))
    calendar = calendar_frame(spark, date(2015, 11, 1), date(2015, 12, 31))
    judged = bars.judged_daily(bronze_bars(spark, "bronze.bars_1d", rows), calendar).withColumn(
        "security_id", F.lit("T")
    )
    factors = [("T", date(2015, 11, 10), date(9999, 12, 31), 0.5)]
    schema = "security_id string, from_date date, to_date date, cumulative_factor double"
    made = bars.daily_bars(judged, spark.createDataFrame(factors, schema)).collect()
    assert [row.session_date.day for row in made if row.possible_missing_split] == [3, 9, 12, 30]
    again = bars.daily_bars(
        judged.where("session_date <= '2015-11-09'"), spark.createDataFrame(factors, schema)
    ).collect()
    assert [row.session_date.day for row in again if row.possible_missing_split] == [3, 9]


def hour(clock: str, **values: object) -> dict[str, str]:
    return bar("A", DAY, clock, volume="300", **values)


# Minutes of 10:00, 11:00 and 12:00, each hour two bars: 10 to 12 and 9 to 11, 300 shares in all.
HOUR_MINUTES = [
    bar("A", DAY, f"{clock}:{minute}", **prices, volume=volume, transactions=3)
    for clock in ("10", "11", "12")
    for minute, volume, prices in (
        ("00", "100.5", {"open": "10", "high": "12", "low": "10", "close": "11"}),
        ("59", "199.5", {"open": "11", "high": "11", "low": "9", "close": "9.5"}),
    )
]
ROLLED = {"open": "10", "high": "12", "low": "9", "close": "9.5"}
HOURS = [
    (hour("10:00", **ROLLED), None),
    (hour("11:00", **ROLLED | {"high": "13"}), "contradicts_minutes"),
    (hour("12:00", **ROLLED | {"high": "13"}) | {"volume": "301"}, None),  # A minute is missing there.
    (hour("13:00", **ROLLED), None),  # All are.
    (hour("14:00", **ROLLED | {"high": "13.01"}), "outside_day"),
    (hour("15:00", **ROLLED | {"low": "7.99"}), "outside_day"),
    (hour("16:00", **ROLLED | {"high": "14"}), None),  # After hours is no part of the day's range,
    (hour("09:00", **ROLLED | {"low": "7"}), None),  # and of the hour of the open only a half.
    (hour("13:00", **ROLLED), "duplicate_row"),
    (hour("14:30", **ROLLED), "not_on_the_hour"),
    (hour("02:00", **ROLLED), "outside_hours"),
]


def test_an_hour_is_the_vendors_where_it_is_sound_and_of_minutes_where_not(spark: SparkSession) -> None:
    calendar = calendar_frame(spark, date(2015, 11, 24), date(2015, 11, 24))
    minutes = bronze_bars(spark, "bronze.bars_1m", [(DAY, row) for row in HOUR_MINUTES])
    hours = bronze_bars(spark, "bronze.bars_1h", [(DAY, row) for row, _ in HOURS])
    day = bronze_bars(spark, "bronze.bars_1d", [(DAY, bar("A", DAY, high="13", low="8"))])
    judged = bars.judged_hours(hours, minutes, day, calendar)
    assert [(row.source_line, row["_rule"]) for row in judged.orderBy("source_line").collect()] == [
        (line, rule) for line, (_, rule) in enumerate(HOURS, start=2)
    ]
    silver = bars.judged_vendor_minutes(minutes, calendar)
    found = bars.completed_hours(judged, silver, calendar).where("_rule IS NULL").orderBy("ts").collect()
    seen = [
        (row.ts.astimezone(UTC).hour - 5, row.source, row.open, row.high, row.low, row.close, row.volume)
        for row in found
    ]
    assert seen == [
        (9, "vendor", 10.0, 12.0, 7.0, 9.5, 300),
        (10, "vendor", 10.0, 12.0, 9.0, 9.5, 300),
        # 100.5 and 199.5 rounded half-even a minute: 100 + 200.
        (11, "minutes", 10.0, 12.0, 9.0, 9.5, 300),
        (12, "vendor", 10.0, 13.0, 9.0, 9.5, 301),
        (13, "vendor", 10.0, 12.0, 9.0, 9.5, 300),
        (16, "vendor", 10.0, 14.0, 9.0, 9.5, 300),
    ]
    assert [row.session for row in found] == ["pre", *["regular"] * 4, "post"]
