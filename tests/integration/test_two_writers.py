"""Two drivers that write one table on S3 lose nothing and write nothing twice, whatever becomes of the server's answers."""

import json
import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress

import deltalake
import pyarrow as pa
import pytest

from smallcaps.lake import declared
from smallcaps.lake.files import storage_options
from smallcaps.platform.aws import aws_server
from tests.conftest import INTERPRETED
from tests.integration.writer import CONTROL, TABLE
from tests.s3 import Put, s3_proxy, s3_store

pytestmark = [pytest.mark.slow, pytest.mark.guarantee]

LAKE = "s3a://lake/root"
NATIVE, AT_FULL_SIZE, BY_SPARK = 16, 46, 5
"""Appends of a driver by delta-rs and by Spark."""
RACING = f"/lake/root/{declared(TABLE).path}/_delta_log/"
OVERWRITTEN = f"/lake/control/{declared(TABLE).path}/_delta_log/"
CONFIGURATION = {**INTERPRETED, "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem"}


class Meetings:
    """Holds up the PUT of a commit until the other driver's of the same version has come."""

    def __init__(self) -> None:
        # The first version is the table's creation, which one of the two may come too late for. At the control one may be a
        # minute behind the other; Spark's client would wait for 200 seconds.
        seconds = {f"{RACING}{0:020}.json": 5, f"{RACING}{1:020}.json": 45, f"{OVERWRITTEN}{1:020}.json": 150}
        self.barriers = {key: threading.Barrier(2, timeout=timeout) for key, timeout in seconds.items()}

    def __call__(self, key: str) -> None:
        if key in self.barriers:
            with suppress(threading.BrokenBarrierError):
                self.barriers[key].wait()


class LostAnswers:
    """Of the commits of each kind of client every fifth's answer is lost: the connection is cut, or a 503 comes instead."""

    def __init__(self) -> None:
        self.commits: Counter[str] = Counter()
        self.lost: Counter[tuple[str, str]] = Counter()

    def __call__(self, put: Put) -> str | None:
        if not is_commit(put) or put.status != 200:
            return None
        client = "Spark" if "Hadoop" in put.client else "delta-rs"
        self.commits[client] += 1
        if fault := {3: "cut", 8: "503"}.get(self.commits[client] % 10):
            self.lost[client, fault] += 1
        return fault


def is_commit(put: Put) -> bool:
    return put.key.startswith(RACING) and put.key.endswith(".json")


def race(environment: dict[str, str], native: int) -> dict[str, int]:
    """Both drivers' runs, with the version that the lake said each became."""
    commands = [
        [sys.executable, "-m", "tests.integration.writer", name, str(native), str(BY_SPARK)]
        for name in ("first", "second")
    ]
    drivers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for command in commands
    ]
    done = {}
    try:
        for driver in drivers:
            said, errors = driver.communicate(timeout=600)
            assert driver.returncode == 0, errors
            done |= json.loads(said)
    finally:
        for driver in drivers:
            driver.kill()
            driver.wait()
    return done


def test_two_drivers_on_s3_lose_nothing_and_write_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, full_size: bool
) -> None:
    native = AT_FULL_SIZE if full_size else NATIVE
    with aws_server() as server, s3_proxy(server) as proxy:
        s3_store(server).create_dir("lake")
        lost = LostAnswers()
        proxy.before, proxy.fault = Meetings(), lost
        product = {"SMALLCAPS_LAKE": LAKE, "SMALLCAPS_SPARK__CONF": json.dumps(CONFIGURATION)}
        done = race({**os.environ, **proxy.environment, **product}, native)
        for name, value in server.items():
            monkeypatch.setenv(name, value)
        rows, versions = stored(LAKE)
        control, _ = stored(CONTROL)

    assert len(done) == 2 * (native + BY_SPARK) >= (100 if full_size else 40)
    assert rows == Counter(done.keys()), "rows lost or written twice"
    # Creation is version 0; each append is one version, and the lake knows which one is its own.
    assert sorted(done.values()) == list(range(1, len(done) + 1))
    assert {run: version for version, run in versions.items() if run} == done

    commits = [put for put in proxy.puts if is_commit(put)]
    assert all(put.conditional for put in commits)
    answers = Counter(put.status for put in commits)
    assert answers.keys() == {200, 412}
    assert answers[200] == len(done) + 1
    # Each lost answer is a refused repetition; the rest, one at least, are races that were lost.
    assert answers[412] > lost.lost.total()
    assert all(lost.lost[client, fault] for client in ("Spark", "delta-rs") for fault in ("cut", "503")), lost.lost

    # The control: two appends that both said that they were done, under Delta's own store.
    assert control.total() == 1


def stored(lake: str) -> tuple[Counter[str], dict[int, str]]:
    """How often each run has a row in the table, and which run signed which version."""
    location = f"{lake}/{declared(TABLE).path}"
    table = deltalake.DeltaTable(location, storage_options=storage_options(location))
    rows = Counter(table.to_pyarrow_table(columns=["run_id"]).column("run_id").to_pylist())
    return rows, {entry["version"]: entry.get("userMetadata", "") for entry in table.history()}


def test_delta_rs_by_itself_takes_a_lost_answer_for_anothers_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why the lake has delta-rs try once: with its own retries one append is two commits."""
    with aws_server() as server, s3_proxy(server) as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        s3_store(server).create_dir("lake")
        location = "s3://lake/table"
        options, rows = storage_options(location), pa.table({"number": [1]})
        deltalake.write_deltalake(location, rows, storage_options=options)
        proxy.fault = lambda put: "503" if put.key.endswith(f"{1:020}.json") and put.status == 200 else None
        deltalake.write_deltalake(location, rows, mode="append", storage_options=options)
        assert deltalake.DeltaTable(location, storage_options=options).version() == 2
