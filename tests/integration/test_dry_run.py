"""`smallcaps ingest … --dry-run` as a user runs it: a table, JSON, and nothing else."""

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.cli.app import main
from smallcaps.sources.endpoints import ENDPOINTS
from smallcaps.sources.polygon.endpoints import Source
from smallcaps.sources.polygon.flatfiles import VENDOR_KINDS
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.sources.simulator.server import ACCESS_KEY, running

pytestmark = pytest.mark.slow

KEYS = (
    "POLYGON_API_KEY",
    "MASSIVE_API_KEY",
    "FRED_API_KEY",
    "POLYGON_S3_ACCESS_KEY_ID",
    "POLYGON_S3_SECRET_ACCESS_KEY",
)


def test_each_command_tells_and_does_nothing(
    spark: SparkSession,
    simulated_market: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    days = tape_days(simulated_market, "day")
    span = ["--from", str(days[0]), "--to", str(days[-1])]
    lake = tmp_path / "lake"
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    with running(simulated_market, "key") as place:
        monkeypatch.setenv("SMALLCAPS_LAKE", str(lake))
        for name in ("ORIGIN", "FILES"):
            monkeypatch.setenv(f"SMALLCAPS_VENDOR__{name}", place.origin)

        def told(*arguments: str) -> tuple[dict[str, dict], str]:
            capsys.readouterr()
            assert main(["ingest", *arguments, *span, "--dry-run"]) == 0
            said = capsys.readouterr()
            return json.loads(said.out), said.err

        # No key is needed where nothing is asked for.
        found, table = told("rest", "--endpoints", "splits,hour_bars")
        assert (found["splits"]["requests"], found["hour_bars"]["requests"]) == (1, None)
        assert "estimate with --symbols" in " ".join(table.split())
        assert "all that are known" in " ".join(table.split())
        found, _ = told("rest", "--endpoints", "hour_bars", "--symbols", "A,B,C")
        assert found["hour_bars"]["requests"] == 3

        found, table = told("flatfiles", "--root", str(simulated_market), "--kinds", "trades_v1")
        files = list((simulated_market / "us_stocks_sip" / "trades_v1").rglob("*.csv.gz"))
        assert found["trades_v1"]["size_bytes"] == sum(file.stat().st_size for file in files) > 0
        assert "What would be asked for" in table

        assert main(["ingest", "all", *span, "--dry-run"]) == 2
        assert "no keys to the vendor's flat files" in " ".join(capsys.readouterr().err.split())
        monkeypatch.setenv("POLYGON_S3_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("POLYGON_S3_SECRET_ACCESS_KEY", "unverified")
        found, table = told("all")
        routine = [name for name, one in ENDPOINTS.items() if one.routine and one.source is Source.VENDOR]
        assert list(found) == [*routine, *VENDOR_KINDS]
        assert "FRED_API_KEY is not set" in table
    assert not lake.exists()
