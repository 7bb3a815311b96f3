"""How tables and jobs are, for people, for Prometheus and for whatever reads OpenLineage."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from smallcaps.cli.app import main
from smallcaps.cli.status import ago
from smallcaps.errors import BadData
from smallcaps.lake import Lake, declared, recorded_run
from smallcaps.lake.health import PREFIX, health, last_runs, metrics
from smallcaps.prometheus import exposition
from tests.lake.june import BARS, CALENDAR, FIRST, LAST, make, put

pytestmark = pytest.mark.slow


def fail(lake: Lake) -> None:
    with recorded_run(lake, "detect", {}, "settings") as run:
        run.read(BARS)
        raise BadData("a bar is no bar")


@pytest.fixture
def june(lake: Lake) -> Lake:
    """Bars, of which two days changed after the calendar was made of them, and a job that failed."""
    put(lake, {number: 5.0 + number / 10 for number in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)})
    make(lake, FIRST, LAST)
    put(lake, {3: 9.0, 10: 9.0}, "session_date IN (DATE'2015-06-03', DATE'2015-06-10')")
    with pytest.raises(BadData):
        fail(lake)
    return lake


def test_tables_are_told_with_their_size_age_and_stale_days(june: Lake) -> None:
    now = datetime.now(UTC)
    bars, calendar = health(june, [BARS, CALENDAR, "gold.events"])
    files = list(Path(june.location(BARS)).rglob("*.parquet"))
    there = [file for file in files if file.relative_to(june.location(BARS)).as_posix() in june.files(BARS)]
    assert (bars.table, bars.size.rows, bars.stale, bars.version) == (BARS, 10, 0, june.version(BARS))
    assert bars.size.files == len(there) < len(files)
    assert bars.size.bytes == sum(file.stat().st_size for file in there)
    assert timedelta(0) <= now - bars.written_at < timedelta(minutes=5)
    assert (calendar.table, calendar.size.rows, calendar.stale) == (CALENDAR, 10, 2)


def test_the_last_run_of_each_job_is_told(june: Lake) -> None:
    now = datetime.now(UTC)
    runs = {run.job: run for run in last_runs(june)}
    assert {job: run.outcome for job, run in runs.items()} == {
        "ingest": "succeeded",
        "refine": "succeeded",
        "detect": "failed",
    }
    assert all(timedelta(0) <= now - run.ended_at < timedelta(minutes=5) for run in runs.values())
    text = exposition(metrics(health(june, [CALENDAR]), last_runs(june)), PREFIX)
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert lines['smallcaps_lake_table_stale_days{table="silver.calendar"}'] == "2.0"
    assert lines['smallcaps_lake_job_succeeded{smallcaps_job="detect"}'] == "0.0"
    assert lines['smallcaps_lake_job_succeeded{smallcaps_job="refine"}'] == "1.0"
    written = float(lines['smallcaps_lake_table_written_timestamp_seconds{table="silver.calendar"}'])
    assert 0 <= now.timestamp() - written < 300


def test_a_lake_without_a_table_has_nothing_to_tell(lake: Lake) -> None:
    assert health(lake, [BARS]) == []
    assert last_runs(lake) == []


def test_status_and_lineage_are_commands(
    june: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLCAPS_LAKE", june.root)
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in (BARS, CALENDAR, "failed", "ingest"))
    assert main(["status", CALENDAR, "--prometheus"]) == 0
    assert 'smallcaps_lake_table_rows{table="silver.calendar"} 10.0' in capsys.readouterr().out

    assert main(["lineage"]) == 0
    printed = capsys.readouterr().out
    assert main(["lineage", "--output", str(tmp_path / "runs.json")]) == 0
    assert (tmp_path / "runs.json").read_text() == printed
    assert main(["lineage", "--from", f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"]) == 0
    assert capsys.readouterr().out == ""
    events = [json.loads(line) for line in printed.splitlines()]
    # What the specification asks for: a START and one end a run, each run by a UUID, instants with a zone.
    runs = june.read("ops.runs").orderBy("started_at").collect()
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 3 + ["START", "FAIL"]
    assert [event["run"]["runId"] for event in events[::2]] == [str(uuid.UUID(run.run_id)) for run in runs]
    assert all(datetime.fromisoformat(event["eventTime"]).tzinfo for event in events)
    began = datetime.fromisoformat(events[0]["eventTime"])
    assert abs(datetime.now(UTC) - began) < timedelta(minutes=10)

    made = events[3]
    assert made["job"] == {**made["job"], "namespace": "smallcaps", "name": "refine"}
    [read], [wrote] = made["inputs"], made["outputs"]
    assert read["name"] == f"{june.root}/{declared(BARS).path}"
    assert read["facets"]["version"]["datasetVersion"] == "1"
    assert wrote["outputFacets"]["outputStatistics"]["rowCount"] == 10
    fields = [field["name"] for field in wrote["facets"]["schema"]["fields"]]
    assert fields == [column.name for column in declared(CALENDAR).all_columns]
    assert events[-1]["run"]["facets"]["errorMessage"]["message"] == "a bar is no bar"


def test_a_span_is_told_in_its_two_largest_units() -> None:
    spans = (timedelta(seconds=59), timedelta(minutes=61), timedelta(hours=23, minutes=59), timedelta(days=2, hours=3))
    assert [ago(span) for span in spans] == ["0 min", "1 h 1 min", "23 h 59 min", "2 d 3 h"]
