"""The log: a line of JSON for each thing said, with the run that it belongs to."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.errors import BadData
from smallcaps.lake import Lake, recorded_run
from smallcaps.lake.runs import WARNINGS
from smallcaps.log import LOG, progress, tell, write_log
from tests.lake.frames import DAY, adjustments

TABLE = "silver.adjustments"


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """The file that is written while the test runs."""
    before = list(LOG.handlers)
    yield write_log(tmp_path / "logs")
    for handler in [one for one in LOG.handlers if one not in before]:
        LOG.removeHandler(handler)
        handler.close()


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def test_a_run_tells_its_start_each_commit_and_its_end(log: Path, lake: Lake, spark: SparkSession) -> None:
    with recorded_run(lake, "example", {"from": date(2015, 3, 20)}, "digest") as run:
        run.took(2, 300)
        first = run.replace(TABLE, adjustments(spark, ("A", DAY, 0.5), ("B", DAY, 2.0)), None)
        WARNINGS.warning("%s: few rows", TABLE)
    started, wrote, warned, ended = lines(log)

    assert all((line["run_id"], line["job"]) == (run.run_id, "example") for line in (started, wrote, warned, ended))
    assert (started["message"], started["arguments"]) == ("example started", {"from": "2015-03-20"})
    assert (wrote["message"], wrote["table"], wrote["rows"], wrote["version"]) == (
        f"2 rows to {TABLE}",
        TABLE,
        2,
        first.version,
    )
    assert (warned["level"], warned["logger"], warned["message"]) == ("warning", WARNINGS.name, f"{TABLE}: few rows")
    assert (ended["message"], ended["outcome"], ended["level"]) == ("example succeeded", "succeeded", "info")
    assert (ended["files_in"], ended["bytes_in"], ended["rows_in"], ended["rows_kept"]) == (2, 300, 0, 0)
    row = lake.read("ops.runs").first()
    assert 0 < row.duration_seconds <= ended["seconds"]
    assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(ended["time"]) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [(BadData("It is not what it says."), "It is not what it says."), (ValueError("key=1234"), "ValueError")],
)
def test_a_run_that_fails_says_why_and_tells_no_more_than_the_lake_does(
    log: Path, lake: Lake, error: Exception, reason: str
) -> None:
    with pytest.raises(type(error)), recorded_run(lake, "example", {}, "digest"):
        raise error
    ended = lines(log)[-1]
    assert (ended["level"], ended["message"], ended["outcome"]) == ("error", f"example failed: {reason}", "failed")
    assert "1234" not in log.read_text()


def test_what_is_said_outside_of_a_run_belongs_to_none_and_is_a_line_whatever_is_in_it(log: Path) -> None:
    tell("two\nlines, „quoted“", day=date(2015, 3, 20))
    progress(3, 1200, "files", "here")
    # Others' loggers are not ours to write down.
    logging.getLogger("urllib3").warning("a URL")
    said, moved = lines(log)
    assert (said["run_id"], said["job"], said["message"], said["day"]) == (
        None,
        None,
        "two\nlines, „quoted“",
        "2015-03-20",
    )
    assert (moved["message"], moved["done"], moved["total"], moved["unit"]) == (
        "3 of 1,200 files: here",
        3,
        1200,
        "files",
    )


def test_each_thing_is_written_once_however_often_the_log_is_opened(log: Path) -> None:
    assert write_log(log.parent) == log
    tell("once")
    assert [line["message"] for line in lines(log)] == ["once"]
