"""Upkeep: what becomes of files and logs, and what is kept for whom."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.lake import Lake, declared, recorded_run
from smallcaps.lake.maintenance import maintain
from smallcaps.lake.store import COMMITS_A_CHECKPOINT
from tests.lake.frames import adjustments

pytestmark = pytest.mark.slow

TABLE = "silver.adjustments"
DAY = date(2015, 3, 2)


def fill(lake: Lake, spark: SparkSession, commits: int) -> None:
    """So many rows, a commit and a file each."""
    for number in range(commits):
        lake.append(TABLE, adjustments(spark, (f"N{number}", DAY, 0.5)).coalesce(1), "one")


def names(lake: Lake, version: int | None = None) -> list[str]:
    return sorted(row.symbol for row in lake.read(TABLE, version).select("symbol").collect())


def make_older(lake: Lake, age: timedelta, versions: range) -> None:
    """As if these versions had been committed so long ago."""
    moment = int((datetime.now(UTC) - age).timestamp() * 1000)

    def older(action: dict[str, Any]) -> dict[str, Any]:
        for kind, moments in (("commitInfo", ("timestamp",)), ("remove", ("deletionTimestamp",))):
            if kind in action:
                action[kind] |= dict.fromkeys(moments, moment)
        return action

    for version in versions:
        log = Path(lake.location(TABLE)) / "_delta_log" / f"{version:020}.json"
        actions = [older(json.loads(line)) for line in log.read_text().splitlines()]
        log.write_text("".join(f"{json.dumps(action)}\n" for action in actions))
        # Delta knows a file that it wrote by its checksum.
        log.with_name(f".{log.name}.crc").unlink(missing_ok=True)


def test_small_files_become_one_and_no_row_changes(lake: Lake, spark: SparkSession, settings: Settings) -> None:
    fill(lake, spark, 3)
    before = names(lake)

    (kept,) = maintain(lake, settings, [TABLE, "silver.trades"])

    assert (kept.table, kept.compacted, kept.made, kept.removed) == (TABLE, 3, 1, 0)
    assert names(lake) == before
    assert len(lake.files(TABLE)) == 1
    run = lake.read("ops.runs").collect()[-1]
    assert (run.job, run.outcome) == ("maintain", "succeeded")

    version = lake.version(TABLE)
    (again,) = maintain(lake, settings, [TABLE])
    assert (again.compacted, again.removed) == (0, 0)
    assert lake.version(TABLE) == version


def test_the_log_of_a_table_that_spark_does_not_write_gets_a_checkpoint_when_it_is_due(
    lake: Lake, settings: Settings
) -> None:
    def run() -> None:
        with recorded_run(lake, "ingest", {}, "settings"):
            pass

    # The table's own making is a commit, too.
    for _ in range(COMMITS_A_CHECKPOINT - 2):
        run()
    assert not lake.checkpoint("ops.runs")
    run()
    assert lake.checkpoint("ops.runs")
    assert not lake.checkpoint("ops.runs")
    assert list((Path(lake.location("ops.runs")) / "_delta_log").glob("*.checkpoint*.parquet"))
    (kept,) = maintain(lake, settings, ["ops.runs"])
    assert (kept.compacted, kept.made) == (COMMITS_A_CHECKPOINT - 1, 1)
    assert lake.read("ops.runs").count() == COMMITS_A_CHECKPOINT


def test_files_go_once_no_version_of_the_retention_has_them(
    lake: Lake, spark: SparkSession, settings: Settings
) -> None:
    fill(lake, spark, 3)
    maintain(lake, settings, [TABLE])
    made_at = lake.version(TABLE)
    assert names(lake, made_at - 1) == ["N0", "N1", "N2"]

    make_older(lake, timedelta(days=settings.maintenance.retention_days + 1), range(made_at + 1))
    (kept,) = maintain(lake, settings, [TABLE])

    assert kept.removed == 3
    assert names(lake) == ["N0", "N1", "N2"]
    left = {file.name for file in Path(lake.location(TABLE)).glob("*.parquet")}
    assert left == set(lake.files(TABLE))


@pytest.mark.parametrize(("frozen_days_ago", "is_kept"), [(1, True), (500, False)])
def test_what_a_frozen_dataset_is_made_of_is_kept_as_long_as_it_may_be_rebuilt(
    lake: Lake, spark: SparkSession, settings: Settings, frozen_days_ago: int, is_kept: bool
) -> None:
    fill(lake, spark, 3)
    read = lake.version(TABLE)
    dataset = dict.fromkeys(column.name for column in declared("gold.datasets").columns) | {
        **{"dataset": "one", "definition": "{}", "first_day": DAY, "last_day": DAY, "input_names": [], "folds": []},
        **{"input_versions": {TABLE: read, "silver.macro": -1}, "rows": 1, "content_hash": "", "code_version": ""},
        **{"settings_hash": ""},
    }
    with recorded_run(lake, "dataset build", {}, "settings") as run:
        run.append_rows("gold.datasets", [dataset])
    lake.spark.sql(
        f"UPDATE delta.`{lake.location('ops.runs')}` SET started_at = current_timestamp() - INTERVAL {frozen_days_ago} DAYS"
    )
    maintain(lake, settings, [TABLE])
    make_older(lake, timedelta(days=90), range(lake.version(TABLE) + 1))

    (kept,) = maintain(lake, settings, [TABLE])

    assert kept.removed == (0 if is_kept else 3)
    assert kept.retention.days == (90 if is_kept else settings.maintenance.retention_days)
    assert names(lake) == ["N0", "N1", "N2"]
    if is_kept:
        assert names(lake, read) == ["N0", "N1", "N2"]
