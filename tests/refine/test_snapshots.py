"""The tables made of snapshots, from the vendor's bodies through bronze and the job; then again with a snapshot more."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import reduce
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.lake import Lake, declared, last_runs
from smallcaps.lake.quality import sound
from smallcaps.refine.job import BRONZE_SNAPSHOTS, STEPS, refine
from smallcaps.sources.endpoints import ENDPOINTS
from tests.ingest.test_rest_rows import BODIES, FIRST, LAST, judged

pytestmark = pytest.mark.slow

TABLES = [step.table for step in STEPS if set(step.sources) <= set(BRONZE_SNAPSHOTS)]
OF_SECURITIES = [name for name in TABLES if name not in ("silver.macro", "silver.ownership")]
LATER = date(2015, 3, 26)
CHANGED = {"bronze.short_interest": "short_interest", "bronze.float": "free_float", "bronze.economy": "value"}
Rows = dict[str, list[dict[str, Any]]]


@dataclass
class Story:
    """What refine wrote of one snapshot, and of two."""

    written: dict[str, int]
    runs: list[dict[str, Any]]
    refused: set[tuple[str, str]]
    before: Rows
    after: Rows


def read_all(lake: Lake) -> Rows:
    """The tables without run_id, instants in seconds."""
    found = {}
    for name in TABLES:
        frame = lake.read(name).drop("run_id")
        instants = [column for column, type in frame.dtypes if type == "timestamp"]
        rows = frame.withColumns({column: F.unix_seconds(column) for column in instants}).collect()
        found[name] = sorted((row.asDict(recursive=True) for row in rows), key=str)
    return found


@pytest.fixture(scope="module")
def story(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    lake = Lake(str(tmp_path_factory.mktemp("snapshots") / "lake"), spark)
    bronze: dict[str, DataFrame] = {}
    for table in BRONZE_SNAPSHOTS:
        names = [name for name, endpoint in ENDPOINTS.items() if endpoint.table == table]
        columns = [column.name for column in declared(table).columns]
        rows = reduce(
            DataFrame.unionByName, [sound(judged(spark, name, BODIES[name])).select(*columns) for name in names]
        )
        if table == "bronze.macro_vintages":
            # The body was asked for by the name of a symbol.
            rows = rows.withColumn("series", F.lit("UNRATE"))
        lake.replace(table, rows, None, "ingest")
        bronze[table] = rows
    written = refine(lake, settings, FIRST, LAST)
    runs, before = last_runs(lake, ["refine"]), read_all(lake)
    refused = {(row.table_name, row.rule) for row in lake.read("ops.quarantine").collect()}
    for table, column in CHANGED.items():
        changed = bronze[table].withColumns({"as_of": F.lit(LATER), column: F.col(column) + 1})
        lake.append(table, changed, "ingest")
    refine(lake, settings, FIRST, LAST, TABLES)
    yield Story(written, runs, refused, before, read_all(lake))
    for layer in ("bronze", "silver", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def at(*instant: int) -> int:
    return int(datetime(*instant, tzinfo=UTC).timestamp())  # type: ignore[misc, arg-type]


def test_every_table_is_made_without_a_row_by_day(story: Story) -> None:
    # A and BApA trade, GONE did; of them only A has an identity of its own.
    # Of the economy the vendor has four yields and rates of the 20th, an index, an expectation and a yield of the 23rd, and the
    # archive two figures of one month; of ownership there are forms 3 and 4 of A and a position.
    others = {"silver.macro": 9, "silver.ownership": 3}
    assert story.written == {"silver.securities": 1, **dict.fromkeys(OF_SECURITIES, 1), **others}
    assert {run["outcome"] for run in story.runs} == {"succeeded"}


def test_each_row_is_whose_it_is_and_known_when_its_rule_says(story: Story) -> None:
    found = {
        name: (row["security_id"], row["symbol"], row["version"], row["known_at"])
        for name in OF_SECURITIES
        for row in story.before[name]
    }
    of_a = ("BBG000000001", "A", 1)
    assert found == {
        # Settled on Friday 2015-03-20; the eighth session after it is 04-01.
        "silver.short_interest": (*of_a, at(2015, 4, 2, 0)),
        "silver.short_volume": (*of_a, at(2015, 3, 23, 15)),
        "silver.float": (*of_a, at(2015, 3, 26, 4)),
        # Filed on that Friday.
        "silver.fundamentals": (*of_a, at(2015, 3, 23, 8)),
        "silver.filings": (*of_a, at(2015, 3, 23, 8)),
        "silver.news": (*of_a, at(2015, 3, 20, 12, 1) + 1),
    }


def test_a_figure_of_the_economy_is_known_when_its_source_says(story: Story) -> None:
    found = {
        (row["series"], row["source"], row["observation_date"].day, row["version"]): (row["known_at"], row["known_by"])
        for row in story.before["silver.macro"]
    }
    # The archive's days of 2015-03-20 and 23 are over at midnight, in summer 04:00 UTC; so is the as_of day, the 25th.
    assert found["unemployment_rate", "fred", 1, 1] == (at(2015, 3, 21, 4), "vintage")
    assert found["unemployment_rate", "fred", 1, 2] == (at(2015, 3, 24, 4), "vintage")
    # A yield of Monday the 23rd five days later at 18:00.
    assert found["yield_10_year", "vendor", 23, 1] == (at(2015, 3, 28, 22), "lag")


def test_ownership_is_known_on_the_session_after_it_was_filed_and_a_position_is_of_nobody_we_know(story: Story) -> None:
    found = [(row["form"], row["security_id"], row["known_at"]) for row in story.before["silver.ownership"]]
    assert sorted(found, key=str) == [
        ("13F-HR", None, at(2015, 3, 23, 8)),
        ("3", "BBG000000001", at(2015, 3, 24, 8)),
        ("4", "BBG000000001", at(2015, 3, 24, 8)),
    ]


def test_the_new_statements_are_one_row_and_the_old_report_of_the_period_is_none(story: Story) -> None:
    (row,) = story.before["silver.fundamentals"]
    assert row["revenue"] == 416161000000
    assert row["net_income"] == 1
    assert row["items"]["balance_sheet.total_assets"] == 5.5e9
    assert row["endpoints"] == ["balance_sheets", "cash_flow_statements", "income_statements"]


def test_what_is_of_nobody_is_quarantined_and_counted(story: Story) -> None:
    assert story.refused == {
        ("silver.news", "no_identity"),
        # A form that names no company, a line without a form that names none either, a position of no quarter.
        ("silver.ownership", "no_identity"),
        ("silver.ownership", "after_its_filing"),
    }
    counts = {json.loads(run["arguments"])["table"]: (run["rows_in"], run["rows_quarantined"]) for run in story.runs}
    assert {table: counts[table] for table in TABLES} == dict.fromkeys(TABLES, (1, 0)) | {
        "silver.news": (2, 1),
        "silver.macro": (9, 0),
        "silver.ownership": (6, 3),
    }


def test_a_later_snapshot_adds_versions_and_leaves_every_earlier_row(story: Story) -> None:
    changed = {"silver.short_interest", "silver.float"}
    for name, rows in story.after.items():
        assert [row for row in rows if row["as_of"] != LATER] == story.before[name]
    for name in OF_SECURITIES:
        assert [row["version"] for row in story.after[name]] == ([1, 2] if name in changed else [1])
    # The change of the 26th is seen when that day is over, and short interest not before its rule.
    known = {name: max(row["known_at"] for row in story.after[name]) for name in changed}
    assert known == {"silver.short_interest": at(2015, 4, 2, 0), "silver.float": at(2015, 3, 27, 4)}
    later = [row for row in story.after["silver.macro"] if row["as_of"] == LATER]
    assert {(row["version"], row["known_by"]) for row in later} == {(2, "receipt")}
    assert len(later) == 7
