"""A job killed with -9 half-way and run again leaves what an undisturbed one leaves."""

import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.lake import Lake
from smallcaps.refine.job import refine
from tests.conftest import REPOSITORY, SAMPLE

pytestmark = pytest.mark.slow

DAYS = (date(2015, 3, 20), date(2015, 3, 27))
RANGE = ["--from", str(DAYS[0]), "--to", str(DAYS[1])]
TABLES = ("bronze.bars_1d", "silver.bars_1d", "silver.securities", "silver.calendar", "ops.quarantine")
RUN_COLUMNS = ("run_id", "received_at")


def killed_when(there: Path, lake: Path, arguments: list[str]) -> None:
    """Start a command in a process group of its own and kill the whole group as soon as `there` exists."""
    environment = {**os.environ, "SMALLCAPS_LAKE": str(lake)}
    process = subprocess.Popen(
        [sys.executable, "-m", "smallcaps.cli.app", *arguments],
        cwd=REPOSITORY,
        env=environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not there.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        assert process.poll() is None, f"the command ended ({process.returncode}) before {there} was there"
        assert there.exists(), f"{there} did not come"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def content(lake: Lake, name: str) -> list[tuple[str, ...]]:
    frame = lake.read(name)
    rows = frame.drop(*RUN_COLUMNS).collect()
    return sorted(tuple(str(value) for value in row) for row in rows)


def test_killed_jobs_run_again_give_the_same_tables(spark: SparkSession, settings: Settings, tmp_path: Path) -> None:
    flawed = tmp_path / "source"
    _source_with_a_flaw(flawed)
    quiet = Lake(str(tmp_path / "quiet"), spark)
    ingest_flatfiles(quiet, settings, str(flawed), ["day_aggs_v1"], *DAYS)
    refine(quiet, settings, *DAYS)

    killed = Lake(str(tmp_path / "killed"), spark)
    root = Path(killed.root)
    ingest = ["ingest", "flatfiles", "--root", str(flawed), "--kinds", "day_aggs_v1", *RANGE]
    # The first commit of a Delta table makes it; the rows come with the second.
    killed_when(root / "bronze" / "bars_1d" / "_delta_log", root, ingest)
    assert not killed.exists("ops.runs")
    ingest_flatfiles(killed, settings, str(flawed), ["day_aggs_v1"], *DAYS)
    killed_when(root / "silver" / "bars_1d" / "_delta_log", root, ["refine", *RANGE])
    refine(killed, settings, *DAYS)

    assert content(quiet, "ops.quarantine")
    for name in TABLES:
        assert content(killed, name) == content(quiet, name), name
    assert content(killed, "ops.ledger") == content(quiet, "ops.ledger")


def _source_with_a_flaw(target: Path) -> None:
    """The sample's days of the range, one of them with a row that silver refuses."""
    import gzip

    for day in sorted((SAMPLE / "us_stocks_sip" / "day_aggs_v1").rglob("*.csv.gz")):
        if str(DAYS[0]) <= day.name[:10] <= str(DAYS[1]):
            copy = target / day.relative_to(SAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = gzip.decompress(day.read_bytes())
            if day.name.startswith("2015-03-24"):
                text += b"BADROW,100,1.0,-1.0,1.0,-1.0,1427169600000000000,\n"
            copy.write_bytes(gzip.compress(text, mtime=0))
