"""The vendor's files on S3 and the lake on S3, through a real server and the product in a process of its own.

tests/terraform/test_applied.py fills a lake on S3 further, by jobs of Airflow's on a cluster.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from smallcaps.config import Settings
from smallcaps.platform.aws import CREDENTIALS, aws_server
from smallcaps.spark.history import history
from tests.conftest import INTERPRETED, SAMPLE
from tests.s3 import s3_store

pytestmark = pytest.mark.slow

DAYS = ("2015-03-20", "2015-03-23", "2015-03-24")
RANGE = ("--from", DAYS[0], "--to", DAYS[-1])
INGEST = ("ingest", "flatfiles", "--root", "s3://vendor", "--kinds", "day_aggs_v1", *RANGE)
COMMANDS = (
    INGEST,
    INGEST,
    ("ingest", "reference", "--splits", "s3://vendor/splits.csv"),
    ("sql", "SELECT count(*) AS bars, count(DISTINCT session_date) AS days FROM bronze.bars_1d", "--format", "json"),
    ("sql", "SELECT count(*) AS files FROM ops.ledger WHERE raw_path LIKE '%day_aggs%'", "--format", "json"),
    ("report",),
    ("ingest", "flatfiles", "--root", "s3://nobodys-bucket", "--kinds", "day_aggs_v1", *RANGE),
)
SETTINGS = {
    "SMALLCAPS_LAKE": "s3a://lake/root",
    # Few rows: what takes long is what is asked of S3.
    "SMALLCAPS_SPARK__CONF": json.dumps(INTERPRETED),
    "SMALLCAPS_SPARK__SHUFFLE_PARTITIONS": "1",
    "SMALLCAPS_SPARK__EVENTS": "s3a://lake/events",
}
PROGRAM = """
import json, sys
from smallcaps.cli.app import main
for command in json.loads(sys.argv[1]):
    print(json.dumps({"code": main(command)}), flush=True)
"""


def test_a_lake_on_s3_is_filled_from_files_on_s3_and_leaves_its_event_log_there(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with aws_server() as environment:
        _fill(environment)
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, json.dumps(COMMANDS)],
            env={**os.environ, **environment, **SETTINGS},
            capture_output=True,
            text=True,
            check=False,
        )
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        with history("s3a://lake/events", tmp_path, settings.cache) as page:
            address, _, token = page.partition("/?")
            with urllib.request.urlopen(f"{address}/api/v1/applications?{token}", timeout=30) as answer:
                logged = json.loads(answer.read())
    assert [application["name"] for application in logged] == ["smallcaps"]
    said = done.stdout + done.stderr
    codes = [json.loads(line)["code"] for line in done.stdout.splitlines() if line.startswith('{"code"')]
    assert codes == [0, 0, 0, 0, 0, 2, 2], said
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(('{"bars"', '{"files"'))]
    assert results[0]["days"] == len(DAYS)
    assert results[0]["bars"] > 1500
    assert results[1] == {"files": len(DAYS)}
    assert "name a local folder" in said
    assert "nobodys-bucket" in said
    assert not any(secret in said for secret in CREDENTIALS.values())
    assert "Traceback" not in said


def _fill(environment: dict[str, str]) -> None:
    """The vendor's bucket with three days of the sample, and an empty one for the lake."""
    store = s3_store(environment)
    for folder in ("vendor", "lake", "lake/events"):
        store.create_dir(folder)
    files = [SAMPLE / "splits.csv"]
    files += [path for day in DAYS for path in (SAMPLE / "us_stocks_sip" / "day_aggs_v1").rglob(f"{day}.csv.gz")]
    assert len(files) == len(DAYS) + 1
    for file in files:
        with store.open_output_stream(f"vendor/{file.relative_to(SAMPLE)}", compression=None) as stream:
            stream.write(file.read_bytes())
