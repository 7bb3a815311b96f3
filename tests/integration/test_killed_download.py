"""A download killed with -9 half-way asks for the rest alone when it is run again."""

import os
import signal
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.ingest.rest import ingest_endpoint, wanted
from smallcaps.lake import Lake
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from tests.conftest import REPOSITORY
from tests.sources.vendor_bodies import HALF_PAST_NINE, results
from tests.sources.vendor_server import Answer, vendor_server

pytestmark = pytest.mark.long

RUN_COLUMNS = ("run_id", "received_at")
APRIL = HALF_PAST_NINE + 21 * 86_400_000


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


SYMBOLS = ("A", "B", "C", "D", "E", "F")
MONTHS = (date(2015, 3, 2), date(2015, 4, 30))


def test_a_killed_download_goes_on_where_it_was(
    spark: SparkSession, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six symbols by two months, four requests a commit: the sixth request lies in the middle of the second commit.
    stuck, released = tmp_path / "stuck", threading.Event()

    def respond(_: int, path: str) -> Answer:
        symbol, month = path.split("/")[4], path.split("/")[8][:7]
        if (symbol, month) == ("C", "2015-04") and not released.is_set():
            stuck.touch()
            released.wait()
        start = HALF_PAST_NINE if month == "2015-03" else APRIL
        return Answer(results({"t": start, "o": 1, "h": 2, "l": 1, "c": "ten" if symbol == "E" else 2, "v": 3, "n": 1}))

    endpoint, want = ENDPOINTS["minute_bars"], wanted(*MONTHS, SYMBOLS)
    with vendor_server(respond) as server:
        killed = Lake(str(tmp_path / "killed"), spark)
        for name, value in {"ORIGIN": server.origin, "CHUNK": "4", "CONNECTIONS": "1"}.items():
            monkeypatch.setenv(f"SMALLCAPS_VENDOR__{name}", value)
        monkeypatch.setenv("POLYGON_API_KEY", "key")
        span = ["--from", str(MONTHS[0]), "--to", str(MONTHS[1]), "--symbols", ",".join(SYMBOLS)]
        killed_when(stuck, Path(killed.root), ["ingest", "rest", "--endpoints", endpoint.name, *span])
        kept = {row.request for row in killed.read("bronze.bodies").collect()}
        assert len(kept) == 4
        assert not killed.exists("bronze.bars_1m")
        released.set()

        before = len(server.asked)
        vendor = settings.vendor.model_copy(update={"origin": server.origin, "requests_per_second": 1000.0})
        quick = settings.model_copy(update={"vendor": vendor})
        resumed = ingest_endpoint(killed, quick, Key("key"), endpoint, want)
        asked = {request.path for request in server.asked[before:]}
        quiet = Lake(str(tmp_path / "quiet"), spark)
        undisturbed = ingest_endpoint(quiet, quick, Key("key"), endpoint, want)

    assert (resumed.asked, resumed.known) == (8, 4)
    assert len(asked) == 8
    assert asked.isdisjoint(kept)
    assert (undisturbed.asked, undisturbed.known, undisturbed.rows, undisturbed.rows_refused) == (12, 0, 10, 2)
    for name in ("bronze.bodies", "bronze.bars_1m", "ops.quarantine"):
        assert content(killed, name) == content(quiet, name), name
