"""`smallcaps ingest rest` in a process of its own: exit codes, what it prints, and that the key is nowhere."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from deltalake import DeltaTable

from smallcaps.config import load_settings
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from tests.sources.vendor_bodies import BODIES
from tests.sources.vendor_server import Answer, vendor_server

pytestmark = pytest.mark.slow

DAYS = ("--from", "2015-03-20", "--to", "2015-03-23", "--as-of", "2015-03-25")
ASK = ("ingest", "rest", *DAYS, "--endpoints")
COMMANDS = (
    (*ASK, "splits,grouped_bars"),
    (*ASK, "splits,grouped_bars"),
    (*ASK, "ticker_types,holidays,float"),  # A plan that does not cover it; a body that is no list; a good one.
    ("ingest", "--all", *DAYS, "--symbols", ","),
)
PROGRAM = """
import json, sys
from smallcaps.cli.app import main
for command in json.loads(sys.argv[1]):
    print(json.dumps({"code": main(command)}), flush=True)
"""


def respond(_: int, path: str) -> Answer:
    for name in ("splits", "grouped_bars", "float"):
        if path.startswith(ENDPOINTS[name].path.split("{")[0]):
            return Answer(BODIES[name])
    if path.startswith("/v1/marketstatus"):
        return Answer(b'"closed"')
    return Answer({"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, 403)


def test_the_command_asks_once_names_all_that_failed_and_shows_the_key_to_nobody(tmp_path: Path) -> None:
    key = f"key-{uuid.uuid4().hex}"
    events = tmp_path / "events"
    events.mkdir()
    conf = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": str(events), "spark.eventLog.compress": "false"}
    with vendor_server(respond) as server:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)],
            env={
                **os.environ,
                "POLYGON_API_KEY": key,
                "SMALLCAPS_LAKE": str(tmp_path / "lake"),
                "SMALLCAPS_VENDOR__ORIGIN": server.origin,
                "SMALLCAPS_SPARK__CONF": json.dumps(conf),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout + done.stderr
    codes = [json.loads(line)["code"] for line in done.stdout.splitlines() if line.startswith('{"code"')]
    assert codes == [0, 0, 3, 2], said
    assert '"rows": 4' in done.stdout  # Two days of two grouped bars.
    errors = " ".join(done.stderr.split())
    assert "2 of 3 failed. ticker_types: The vendor's plan does not cover" in errors
    assert "holidays: 1 requests have no sound answer" in errors
    assert "--symbols names no symbol" in errors
    assert "Traceback" not in said

    # One for splits, two days, then nothing; then one each.
    assert len(server.asked) == 3 + 3
    assert all(asked.headers["Authorization"] == f"Bearer {key}" for asked in server.asked)
    assert all(key not in asked.path for asked in server.asked)
    logs = [path for path in events.rglob("*") if path.is_file()]
    assert any("mapInArrow" in path.read_text() or "MapInArrow" in path.read_text() for path in logs)
    written = [*logs, *(path for path in (tmp_path / "lake").rglob("*") if path.is_file())]
    log = load_settings("local").cache / "logs" / "smallcaps.log"
    recorded = DeltaTable(tmp_path / "lake" / "ops" / "runs").to_pyarrow_table().column("run_id").to_pylist()
    assert {*recorded} <= {json.loads(line)["run_id"] for line in log.read_text(encoding="utf-8").splitlines()}
    written += [log, log.with_name("spark.log")]
    assert [path for path in written if key.encode() in path.read_bytes()] == []
    assert key not in said
