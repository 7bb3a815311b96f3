"""The refine job end to end: bronze → silver, then again over a longer range."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, declared, last_runs
from smallcaps.refine.job import refine
from tests.refine.frames import bronze_bars, bronze_quotes, bronze_trades
from tests.sources.vendor_files import bar, quote, trade

pytestmark = pytest.mark.slow

MONDAY, TUESDAY, WEDNESDAY, THANKSGIVING, FRIDAY = (f"2015-11-{day}" for day in (23, 24, 25, 26, 27))
RANGE = (date(2015, 11, 23), date(2015, 11, 27))
SILVER = (
    "calendar",
    "securities",
    "adjustments",
    "halts",
    "bars_1h",
    "short_sale_restrictions",
    "universe",
    "sectors",
    "bars_1d",
    "bars_1m",
    "trades",
    "trade_sizes",
    "quotes",
)


def level(ticker: str, day: str, price: str, **values: object) -> dict[str, str]:
    """A daily bar whose prices are all the same."""
    return bar(ticker, day, **({"open": price, "high": price, "low": price, "close": price} | values))


DAILY = {
    MONDAY: [level("HALVED", MONDAY, "20"), level("OLD", MONDAY, "5")],
    TUESDAY: [
        level("HALVED", TUESDAY, "20"),
        level("WRONG", TUESDAY, "20"),
        level("CARRIED", TUESDAY, "20"),
        level("OLD", TUESDAY, "5"),
        level("NA", TUESDAY, "5"),
        level("BApA", TUESDAY, "5"),
        level("BAPA", TUESDAY, "6"),
        level("NA", TUESDAY, "7"),  # line 9: repeats line 6
        level("NEGATIVE", TUESDAY, "-5"),  # line 10
        level("CROSSED", TUESDAY, "5", high="4"),  # line 11
        level("NOVOL", TUESDAY, "5", volume="0", transactions="0"),
    ],
    WEDNESDAY: [
        level("HALVED", WEDNESDAY, "10.2"),  # 1 → 2 today: |ln(10.2 / 10)| < |ln(10.2 / 20)|
        level("WRONG", WEDNESDAY, "19.8"),  # 1 → 2 on file: |ln(19.8 / 10)| > |ln(19.8 / 20)|
        level("CARRIED", WEDNESDAY, "20", volume="0"),  # 1 → 2 today, and nobody traded: yesterday's price
        level("YOUNG", WEDNESDAY, "3"),
    ],
    THANKSGIVING: [level("HALVED", THANKSGIVING, "10")],
    FRIDAY: [level("HALVED", FRIDAY, "10"), level("CARRIED", FRIDAY, "10"), level("YOUNG", FRIDAY, "3")],
}
# (symbol, execution date, from, to) on lines 2, 3, …
SPLITS = [
    ("HALVED", WEDNESDAY, 1.0, 2.0),
    ("WRONG", WEDNESDAY, 1.0, 2.0),
    ("CARRIED", WEDNESDAY, 1.0, 2.0),
    ("HALVED", WEDNESDAY, 1.0, 2.0),
    ("ELSEWHERE", "2015-06-01", 10.0, 1.0),
    ("HALVED", "2015-06-01", 1.0, 0.0),
]
# TICK has trades on Tuesday and none on Friday; VENDOR has none at all.
MINUTES = {
    TUESDAY: [
        bar("VENDOR", TUESDAY, "09:30"),
        bar("VENDOR", TUESDAY, "09:31", low="0"),
        bar("TICK", TUESDAY, "10:00", volume="77"),
        bar("TICK", TUESDAY, "10:05", volume="77"),
    ],
    FRIDAY: [bar("TICK", FRIDAY, "13:00", volume="77")],
}
TRADES = [
    trade("TICK", TUESDAY, "10:00:01", 1, price="8.00"),
    trade("TICK", TUESDAY, "10:00:02", 2, price="8.10", size="300"),
    trade("TICK", TUESDAY, "10:00:03", 3, price="-8.10"),
]
QUOTES = [quote("TICK", TUESDAY, "10:00", 1), quote("TICK", TUESDAY, "10:00", 1)]


@dataclass
class Story:
    """The lake after refining Tuesday to Friday, and after refining Monday to Friday."""

    lake: Lake
    counts: dict[str, int]
    runs: list[dict]
    before: dict[str, pd.DataFrame]
    after: dict[str, pd.DataFrame]


def read_all(lake: Lake) -> dict[str, pd.DataFrame]:
    tables = {}
    for name in (*(f"silver.{name}" for name in SILVER), "ops.quarantine"):
        frame = lake.read(name).toPandas()
        tables[name] = frame.sort_values([*frame.columns[:3]], ignore_index=True)
    return tables


@pytest.fixture(scope="module")
def story(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One lake through two runs of refine. Every day's rows count their lines from 2, as its file would."""
    lake = Lake(str(tmp_path_factory.mktemp("refine") / "lake"), spark)

    def by_day(table: str, days: dict[str, list[dict[str, str]]]) -> DataFrame:
        return reduce(
            DataFrame.unionByName,
            [bronze_bars(spark, table, [(day, row) for row in rows]) for day, rows in days.items()],
        )

    splits = [
        # A file has neither the vendor's own columns nor an as-of day.
        (symbol, date.fromisoformat(day), before, after, *[None] * 6, "f00", line)
        for line, (symbol, day, before, after) in enumerate(SPLITS, start=2)
    ]
    schema = ", ".join(f"{column.name} {column.type}" for column in declared("bronze.splits").columns)
    for table, frame in {
        "bronze.splits": spark.createDataFrame(splits, schema),
        "bronze.bars_1d": by_day("bronze.bars_1d", DAILY),
        "bronze.bars_1m": by_day("bronze.bars_1m", MINUTES),
        "bronze.trades": bronze_trades(spark, [(TUESDAY, row) for row in TRADES]),
        "bronze.quotes": bronze_quotes(spark, [(TUESDAY, row) for row in QUOTES]),
    }.items():
        lake.replace(table, frame, None, "ingest")
    counts = refine(lake, settings, date(2015, 11, 24), date(2015, 11, 27))
    runs, before = last_runs(lake, ["refine"]), read_all(lake)
    refine(lake, settings, *RANGE)
    yield Story(lake, counts, runs, before, read_all(lake))
    for layer in ("bronze", "silver", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def daily(story: Story, symbol: str) -> pd.DataFrame:
    frame = story.after["silver.bars_1d"]
    return frame[frame["symbol"] == symbol].sort_values("session_date").set_index("session_date")


def refused(story: Story, table: str, frames: str = "after") -> set[tuple[str, str, int]]:
    """(symbol, rule, line) of what was quarantined for a table."""
    rows = getattr(story, frames)["ops.quarantine"]
    return {
        (json.loads(row.payload)["symbol"], row.rule, row.source_line)
        for row in rows[rows["table_name"] == table].itertuples()
    }


def test_daily_rows_that_break_a_rule_are_quarantined_with_it(story: Story) -> None:
    assert refused(story, "silver.bars_1d") == {
        ("NA", "duplicate_row", 9),
        ("NEGATIVE", "non_positive_price", 10),
        ("CROSSED", "high_below_low", 11),
        ("HALVED", "not_a_session", 2),
    }


def test_every_other_daily_row_is_there(story: Story) -> None:
    # 2 on Monday, 8 of 11 on Tuesday, 4 on Wednesday, none on the holiday, 3 on Friday.
    days = story.after["silver.bars_1d"]["session_date"].value_counts().to_dict()
    assert days == {
        date(2015, 11, 23): 2,
        date(2015, 11, 24): 8,
        date(2015, 11, 25): 4,
        date(2015, 11, 27): 3,
    }


def test_tickers_that_look_like_nothing_or_differ_in_case_are_symbols_of_their_own(story: Story) -> None:
    assert list(daily(story, "NA")["close"]) == [5.0]
    assert (list(daily(story, "BApA")["close"]), list(daily(story, "BAPA")["close"])) == ([5.0], [6.0])


def test_a_day_without_volume_is_kept_and_flagged(story: Story) -> None:
    assert list(daily(story, "NOVOL")["zero_volume"]) == [True]


def test_a_symbol_with_two_days_of_history_passes_through(story: Story) -> None:
    young = daily(story, "YOUNG")
    assert list(young["close"]) == [3.0, 3.0]
    # Wednesday and Friday follow each other: Thursday was Thanksgiving.
    assert young["session_number"].diff().iloc[-1] == 1


def test_a_split_changes_the_factor_from_its_day_on_and_no_price(story: Story) -> None:
    halved = daily(story, "HALVED")
    assert list(halved["close"]) == [20.0, 20.0, 10.2, 10.0]
    assert list(halved["cumulative_factor"]) == [1.0, 1.0, 0.5, 0.5]


def test_splits_that_cannot_be_believed_are_quarantined_and_not_applied(story: Story) -> None:
    assert refused(story, "silver.adjustments") >= {
        ("WRONG", "split_contradicts_price", 3),
        ("HALVED", "duplicate_split", 5),
        ("HALVED", "impossible_ratio", 7),
    }
    assert list(daily(story, "WRONG")["cumulative_factor"]) == [1.0, 1.0]


def test_a_split_of_a_symbol_without_bars_is_applied_unchecked(story: Story) -> None:
    frame = story.after["silver.adjustments"].set_index("symbol")
    row = frame.loc["ELSEWHERE"]
    assert (row["price_factor"], row["checked_against_price"]) == (10.0, False)
    assert row["security_id"] == "T:ELSEWHERE:2015-06-01"


def test_a_price_carried_over_a_day_without_trades_contradicts_no_split(story: Story) -> None:
    # $20 stood on Wednesday because nobody traded. The first price made in new shares is Friday's $10:
    # |ln(10 / (20 · ½))| = 0 < |ln(10 / 20)|.
    assert "CARRIED" not in {symbol for symbol, *_ in refused(story, "silver.adjustments")}
    assert list(daily(story, "CARRIED")["cumulative_factor"]) == [1.0, 0.5, 0.5]


def test_returns_are_in_the_shares_of_the_day_and_from_session_to_session(story: Story) -> None:
    frame = story.after["silver.sectors"].set_index(["symbol", "session_date"])["daily_return"].round(12)
    assert list(frame["HALVED"].dropna()) == [0.0, round(10.2 / 10 - 1, 12), round(10 / 10.2 - 1, 12)]
    # What was carried is no price of its own.
    assert frame["CARRIED"].isna().all()


def test_minute_bars_are_built_from_trades_and_the_vendors_are_used_where_there_are_none(story: Story) -> None:
    bars = story.after["silver.bars_1m"]
    found = {
        (row.symbol, str(row.session_date), row.minute): (row.source, row.open, row.close, row.volume)
        for row in bars.itertuples()
    }
    assert found == {
        # 09:30 is minute 330, 10:00 is 360 and 13:00 is 540. The vendor's 10:05 of TICK is not used: it traded that day.
        ("VENDOR", TUESDAY, 330): ("vendor", 10.0, 10.5, 1000),
        ("TICK", TUESDAY, 360): ("trades", 8.0, 8.1, 400),
        ("TICK", FRIDAY, 540): ("vendor", 10.0, 10.5, 77),
    }
    assert refused(story, "silver.bars_1m") == {("VENDOR", "non_positive_price", 3)}


def test_ticks_that_break_a_rule_are_quarantined_with_it(story: Story) -> None:
    assert list(story.after["silver.trades"]["sequence_number"]) == [1, 2]
    assert refused(story, "silver.trades") == {("TICK", "non_positive_price", 4)}
    assert list(story.after["silver.quotes"]["sequence_number"]) == [1]
    assert refused(story, "silver.quotes") == {("TICK", "duplicate_row", 3)}


def test_an_identity_once_given_never_moves(story: Story) -> None:
    before, after = (frames["silver.securities"].set_index("symbol") for frames in (story.before, story.after))
    # OLD and HALVED traded on Monday, which was refined only later: their identity stays Tuesday's.
    assert after.loc["OLD", "security_id"] == before.loc["OLD", "security_id"] == "T:OLD:2015-11-24"
    assert list(after["security_id"]) == list(before["security_id"])
    assert set(daily(story, "OLD")["security_id"]) == {"T:OLD:2015-11-24"}
    assert set(after["identity_source"]) == {"symbol"}


def test_every_row_has_the_identity_of_its_symbol(story: Story) -> None:
    identities = story.after["silver.securities"].set_index("symbol")["security_id"]
    for name in ("bars_1d", "bars_1m", "trades", "quotes"):
        frame = story.after[f"silver.{name}"]
        assert list(frame["security_id"]) == list(identities[frame["symbol"]])


@pytest.mark.parametrize("table", ["silver.bars_1d", "silver.calendar"])
def test_refining_again_over_a_longer_range_leaves_the_days_that_were_there(table: str, story: Story) -> None:
    before, after = (frames[table].drop(columns="run_id") for frames in (story.before, story.after))
    later = after[after["session_date"] >= date(2015, 11, 24)].reset_index(drop=True)
    pd.testing.assert_frame_equal(before, later)
    assert len(after) > len(before)


@pytest.mark.parametrize(
    "table",
    [
        "silver.adjustments",
        "silver.bars_1m",
        "silver.trades",
        "silver.trade_sizes",
        "silver.quotes",
        "ops.quarantine",
    ],
)
def test_refining_again_leaves_the_same_content(table: str, story: Story) -> None:
    before, after = (frames[table].drop(columns="run_id") for frames in (story.before, story.after))
    pd.testing.assert_frame_equal(before, after)


def test_rows_in_are_rows_kept_and_rows_quarantined(story: Story) -> None:
    # Tuesday to Friday: 19 daily rows (15 kept), 6 splits (3 kept, and refused where they cannot be believed), 3 trades
    # (2 kept), 2 quotes (1 kept). Minute rows judged: the vendor's 2 of VENDOR (1 kept) and 1 of TICK on Friday, and one
    # built from trades; the vendor's 2 of TICK on Tuesday are superseded by its trades.
    counts = {
        json.loads(run["arguments"])["table"]: (run["rows_in"], run["rows_kept"], run["rows_quarantined"])
        for run in story.runs
    }
    assert {table: count for table, count in counts.items() if any(count)} == {
        "silver.bars_1d": (19, 15, 4),
        "silver.adjustments": (6, 3, 3),
        "silver.trades": (3, 2, 1),
        "silver.quotes": (2, 1, 1),
        "silver.bars_1m": (4, 3, 1),
        "silver.bars_1h": (3, 3, 0),  # No hours of the vendor's: three of the minutes.
    }
    assert {run["outcome"] for run in story.runs} == {"succeeded"}
    assert (
        story.counts
        == {
            "silver.calendar": 3,  # Tuesday, Wednesday, Friday
            "silver.securities": 13,
            "silver.adjustments": 3,
            "silver.halts": 0,
            "silver.bars_1d": 15,
            "silver.bars_1m": 3,
            "silver.trades": 2,
            "silver.trade_sizes": 2,  # One trade of $800, one of $2,430.
            "silver.quotes": 1,
            "silver.bars_1h": 3,
            "silver.short_sale_restrictions": 0,
            "silver.universe": 12,  # Of Wednesday the eight bars of Tuesday, of Friday the four of Wednesday.
            "silver.baselines": 21,  # The 15 bars, and six of the twelve above that have no bar on the day.
            "silver.session_volumes": 0,  # Nobody has the ten bars that the floor asks for.
            "silver.volume_curves": 0,
            "silver.sectors": 15,
            "ops.differences": 2,  # Of TICK on Tuesday: the vendor has 77 shares at 10:00, and a bar at 10:05 without a trade.
        }
    )


def test_a_run_names_the_versions_it_read(story: Story) -> None:
    inputs = {json.loads(run["arguments"])["table"]: {read["table"] for read in run["inputs"]} for run in story.runs}
    assert inputs["silver.bars_1d"] == {"bronze.bars_1d", "silver.adjustments", "silver.securities"}
    assert inputs["silver.adjustments"] == {"bronze.splits", "bronze.bars_1d", "silver.securities"}
    assert inputs["silver.trade_sizes"] == {"silver.trades"}
    assert inputs["silver.bars_1m"] == {"bronze.bars_1m", "silver.trades", "silver.halts", "silver.securities"}


def test_one_table_can_be_made_by_itself_and_no_other_is_touched(story: Story, settings: Settings) -> None:
    versions = {name: story.lake.version(f"silver.{name}") for name in SILVER}
    assert refine(story.lake, settings, *RANGE, ["silver.bars_1d"]) == {"silver.bars_1d": 17}
    changed = {name for name in SILVER if story.lake.version(f"silver.{name}") != versions[name]}
    assert changed == {"bars_1d"}
    with pytest.raises(BadInput, match=r"refine makes no silver\.nothing. Tables: silver\.calendar, "):
        refine(story.lake, settings, *RANGE, ["silver.nothing"])


def test_a_range_that_bronze_does_not_hold_is_bad_input(story: Story, settings: Settings) -> None:
    with pytest.raises(BadInput, match="Bronze holds nothing from 2016-01-04 to 2016-01-05"):
        refine(story.lake, settings, date(2016, 1, 4), date(2016, 1, 5))
    run = last_runs(story.lake, limit=1)[0]
    assert (run["outcome"], run["job"]) == ("failed", "refine")
    assert "Bronze holds nothing" in run["message"]


def test_an_empty_lake_is_bad_input(lake: Lake, settings: Settings) -> None:
    with pytest.raises(BadInput, match="ingest flatfiles"):
        refine(lake, settings, date(2015, 11, 24), date(2015, 11, 24))
    assert [path.name for path in Path(lake.root).iterdir()] == ["ops"]
