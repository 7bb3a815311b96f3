"""Commands killed with -9 at random moments and started again, time after time, leave what undisturbed ones leave."""

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from deltalake import DeltaTable

from smallcaps.lake import REGISTRY
from tests.conftest import INTERPRETED, REPOSITORY, SAMPLE

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.guarantee]

SEED = int(os.environ.get("KILL_SEED", time.time_ns() % 1_000_000))
"""Another one each time; KILL_SEED=n draws the same parts of the work again."""
KILLS, AT_FULL_SIZE = {"ingest": 1, "refine": 1}, {"ingest": 13, "refine": 7}
LAYOUT, DAYS = "us_stocks_sip", ("2013-10-07", "2013-10-08")
RANGE = ("--from", DAYS[0], "--to", DAYS[1])
TABLES = "silver.calendar,silver.securities,silver.bars_1d,silver.trades,silver.quotes,silver.bars_1m"
REFINE = ("refine", *RANGE, "--tables", TABLES)
SETTINGS = {
    "SMALLCAPS_SPARK__CONF": json.dumps(INTERPRETED),
    "SMALLCAPS_SPARK__DRIVER_MEMORY": "1g",
    "SMALLCAPS_SPARK__SHUFFLE_PARTITIONS": "1",
}
"""As the product is, quality suites included, but quick to start."""
OF_THE_RUN = {"run_id", "received_at", "checked_at", "started_at", "duration_seconds", "inputs", "outputs"}
"""Columns that tell which run it was, when, and which versions it met."""
ADDED_TO = {"ops.ledger", "ops.quarantine", "silver.securities", "ops.quality_results"}
"""Tables in which rows of a run that was killed may stay: it added them, or they are kept as first seen."""


@dataclass(frozen=True)
class Command:
    """A command on a lake, and its exit code where nothing disturbs it."""

    lake: Path
    arguments: Sequence[str]
    code: int

    def started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "smallcaps.cli.app", *self.arguments],
            cwd=REPOSITORY,
            env={**os.environ, **SETTINGS, "SMALLCAPS_LAKE": str(self.lake)},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def files(self) -> set[str]:
        return {f"{folder}/{name}" for folder, _, names in os.walk(self.lake) for name in names}

    def works(self, process: subprocess.Popen[bytes], before: set[str]) -> bool:
        """Wait until the process has changed the lake; whether it is alive then."""
        while process.poll() is None:
            if self.files() != before:
                return True
            time.sleep(0.02)
        return False

    def undisturbed(self) -> float:
        """Run it to its end; returns how long it worked on the lake, in seconds from the first to the last change."""
        before = self.files()
        process = self.started()
        assert self.works(process, before), f"{self.arguments} left no trace ({process.returncode})"
        first = last = time.monotonic()
        while process.poll() is None:
            now = self.files()
            if now != before:
                before, last = now, time.monotonic()
            time.sleep(0.02)
        assert process.returncode == self.code
        return last - first

    def killed(self, times: int, seconds: float, draw: random.Random) -> list[float]:
        """Kill it so often while it works, at moments drawn from so many seconds, then run it to its end; returns the moments."""
        moments: list[float] = []
        for _ in range(3 * times):
            before, moment = self.files(), draw.uniform(0, seconds)
            process = self.started()
            try:
                if self.works(process, before):
                    time.sleep(moment)
                if process.poll() is None:
                    moments.append(moment)
            finally:
                _kill_session(process.pid)
                process.wait()
            if len(moments) == times:
                break
        self.undisturbed()
        return moments


def _kill_session(leader: int) -> None:
    """Kill whatever a process has started with it: Java, and Python's workers, which are a group of their own."""
    for number in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getsid(number) == leader:
                os.kill(number, signal.SIGKILL)


def test_commands_killed_at_random_leave_what_undisturbed_ones_leave(tmp_path: Path, full_size: bool) -> None:
    kills = AT_FULL_SIZE if full_size else KILLS
    source, quiet = tmp_path / "source", tmp_path / "quiet"
    _source_with_faults(source)
    ingest = ("ingest", "flatfiles", "--root", str(source), "--kinds", "day_aggs_v1,trades_v1,quotes_v1", *RANGE)
    # 3: what is sound is in, and a file had to be refused.
    worked = {"ingest": Command(quiet, ingest, 3).undisturbed()}
    ingested, refined = tmp_path / "ingested", tmp_path / "refined"
    for copy in (ingested, refined):
        shutil.copytree(quiet, copy)
    worked["refine"] = Command(quiet, REFINE, 0).undisturbed()

    killed = {"ingest": Command(tmp_path / "killed", ingest, 3), "refine": Command(refined, REFINE, 0)}
    with ThreadPoolExecutor(len(killed)) as pool:
        moments = dict(
            zip(
                killed,
                pool.map(
                    lambda name: killed[name].killed(kills[name], worked[name], random.Random(f"{SEED} {name}")), killed
                ),
                strict=True,
            )
        )

    story = f"KILL_SEED={SEED}: killed after seconds of work {moments} (undisturbed {worked})"
    assert {name: len(of_command) for name, of_command in moments.items()} == kills, story
    for disturbed, undisturbed in ((killed["ingest"].lake, ingested), (refined, quiet)):
        written = [name for name in REGISTRY if (undisturbed / REGISTRY[name].path / "_delta_log").is_dir()]
        assert {"ops.quarantine", "ops.ledger", "bronze.trades"} <= set(written)
        for name in written:
            assert rows(disturbed, name) == rows(undisturbed, name), f"{name}: {story}"
        assert raw(disturbed) == raw(undisturbed), story
        # Whoever was killed has no row; whatever is there is by a run that has one.
        recorded = {row["run_id"] for row in table(disturbed, "ops.runs")}
        for name in set(written) - ADDED_TO:
            assert {row["run_id"] for row in table(disturbed, name)} <= recorded, f"{name}: {story}"


def table(lake: Path, name: str) -> list[dict[str, object]]:
    """The rows that a reader other than Spark sees."""
    return DeltaTable(str(lake / REGISTRY[name].path)).to_pyarrow_table().to_pylist()


def rows(lake: Path, name: str) -> list[str]:
    """What a table says; of the lake's books in which each run adds rows, what they say at all."""
    told = [str({key: value for key, value in row.items() if key not in OF_THE_RUN}) for row in table(lake, name)]
    return sorted(set(told) if name in ("ops.runs", "ops.quality_results") else told)


def raw(lake: Path) -> dict[str, bytes]:
    return {str(path.relative_to(lake)): path.read_bytes() for path in (lake / "raw").rglob("*") if path.is_file()}


def _source_with_faults(target: Path) -> None:
    """Two days of bars and ticks, among them a row for silver to refuse, a line too short for bronze, and a file cut short."""
    for number, day in enumerate(DAYS):
        start = 1381118400_000000000 + number * 86_400_000000000
        bars = ["ticker,volume,open,close,high,low,window_start,transactions"]
        bars += [f"IBM,5000,182.0,181.9,183.0,181.0,{start},", f"BAC,90000,13.9,13.8,14.0,13.7,{start},"]
        _write(target, "day_aggs_v1", day, [*bars, *[f"BADROW,100,1.0,-1.0,1.0,-1.0,{start},"] * (not number)])
        _write(target, "trades_v1", day, [*_ticks("trades_v1", day), *["IBM,too short"] * (not number)])
        _write(target, "quotes_v1", day, _ticks("quotes_v1", day), 500 if number else None)


def _ticks(kind: str, day: str) -> list[str]:
    """The header and IBM's first 200 lines."""
    text = gzip.decompress((SAMPLE / LAYOUT / kind / f"2013/10/{day}.csv.gz").read_bytes()).decode()
    header, *lines = text.splitlines()
    return [header, *[line for line in lines if line.startswith("IBM,")][:200]]


def _write(target: Path, kind: str, day: str, lines: list[str], cut: int | None = None) -> None:
    file = target / LAYOUT / kind / f"2013/10/{day}.csv.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress("\n".join([*lines, ""]).encode(), mtime=0)[:cut])
