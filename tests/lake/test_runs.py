"""Runs: what was read, written and refused is recorded, whether the job succeeds or fails."""

import json
from collections.abc import Iterator
from datetime import date

import pytest
from deltalake.exceptions import DeltaError
from pyspark.sql import SparkSession

from smallcaps.errors import BadData, BadInput
from smallcaps.lake import RULE, Commit, Lake, last_runs, recorded_run, stands
from smallcaps.version import code_version
from tests.lake.frames import DAY, SCHEMA, adjustments, content

TABLE = "silver.adjustments"
JUDGED = f"{SCHEMA}, source_line bigint, {RULE} string"


def judged(spark: SparkSession, *rows: tuple[str, float, str | None]):
    """One judged row for each (symbol, factor, broken rule)."""
    full = [
        (f"T:{symbol}", symbol, DAY, factor, True, "abc", line, rule)
        for line, (symbol, factor, rule) in enumerate(rows, start=2)
    ]
    return spark.createDataFrame(full, JUDGED)


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """One lake for the module; each test looks at its own run."""
    yield Lake(str(tmp_path_factory.mktemp("runs") / "lake"), spark)
    for layer in ("silver", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def test_a_run_records_its_arguments_inputs_outputs_and_counts(lake: Lake, spark: SparkSession) -> None:
    rows = judged(spark, ("A", 0.5, None), ("B", 10.0, None), ("C", 0.0, "impossible"))
    with recorded_run(lake, "example", {"from": DAY, "symbols": None}, "digest") as run:
        commit = run.replace_judged(TABLE, rows, {"impossible": "it cannot be"}, None)
        assert content(run.read(TABLE)) == {("A", DAY, 0.5), ("B", DAY, 10.0)}
        run.took(2, 300)
        run.took(1, 30)
        run.note = "three rows"
    row = last_runs(lake)[0]
    assert (row["run_id"], row["job"], row["outcome"], row["message"]) == (
        run.run_id,
        "example",
        "succeeded",
        "three rows",
    )
    assert json.loads(row["arguments"]) == {"from": "2015-06-01", "symbols": None}
    assert (row["settings_hash"], row["code_version"]) == ("digest", code_version())
    assert (row["files_in"], row["bytes_in"]) == (3, 330)
    assert (row["rows_in"], row["rows_kept"], row["rows_quarantined"]) == (3, 2, 1)
    assert row["inputs"] == [{"table": TABLE, "version": commit.version, "first": None, "last": None}]
    assert {(out["table"], out["rows"]) for out in row["outputs"]} == {(TABLE, 2), ("ops.quarantine", 1)}
    assert row["duration_seconds"] > 0
    assert {row.run_id for row in lake.read(TABLE).collect()} == {run.run_id}

    quarantined = lake.read("ops.quarantine").collect()
    assert [(row.table_name, row.rule, row.reason, row.source_line, row.run_id) for row in quarantined] == [
        (TABLE, "impossible", "it cannot be", 4, run.run_id)
    ]

    assert [row["run_id"] for row in last_runs(lake, ["example"], limit=1)] == [run.run_id]
    assert last_runs(lake, ["another"]) == []


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (BadInput("There is no such day."), "There is no such day."),
        # An error of ours may hold anything (rows, secrets): its name is enough.
        (ValueError("api_key=12345"), "ValueError"),
    ],
)
def test_a_failed_run_is_recorded_with_its_message_and_the_error_goes_on(
    error: Exception, message: str, lake: Lake
) -> None:
    with pytest.raises(type(error)) as raised, recorded_run(lake, "example", {}, "digest"):
        raise error
    assert raised.value is error
    row = last_runs(lake)[0]
    assert (row["outcome"], row["message"], row["rows_in"]) == ("failed", message, 0)


def test_a_failure_to_record_a_failed_run_does_not_hide_the_first_error(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: object) -> Commit:
        raise OSError

    monkeypatch.setattr(lake, "append_rows", full_disk)
    with pytest.raises(BadInput, match="first") as raised, recorded_run(lake, "example", {}, "digest"):
        raise BadInput("the first error")
    assert "OSError" in raised.value.__notes__[0]


def test_rows_that_go_missing_on_the_way_are_bad_data(
    lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "replace", lambda name, *_: Commit(name, 0, 1))
    monkeypatch.setattr(lake, "append_rows", lambda name, *_: Commit(name, 0, 1))
    rows = judged(spark, ("A", 0.5, None), ("B", 10.0, None))
    with (
        pytest.raises(BadData, match=r"silver\.adjustments: 2 rows were to be written and the commit has 1"),
        recorded_run(lake, "example", {}, "digest") as run,
    ):
        run.replace_judged(TABLE, rows, {}, None)
    assert run.rows_kept == 0


def test_a_run_sees_a_table_as_it_was_when_first_read(
    lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ("A", DAY, 0.5)
    version = lake.replace(TABLE, adjustments(spark, first), None, "one").version
    monkeypatch.setattr(lake, "append_rows", lambda name, *_: Commit(name, 0, 1))
    with recorded_run(lake, "example", {}, "digest") as run:
        assert content(run.read(TABLE)) == {first}
        lake.replace(TABLE, adjustments(spark, ("B", date(2015, 7, 1), 2.0)), None, "another writer")
        assert content(run.read(TABLE)) == {first}
        with pytest.raises(BadInput, match="has not been written"):
            run.read("silver.calendar")
    assert run.inputs == {TABLE: version}


def test_a_run_that_lost_rows_cannot_be_recorded_as_a_success(lake: Lake) -> None:
    """The table's own constraint, which holds for rows that no Spark job wrote too."""
    with recorded_run(lake, "example", {}, "digest"):
        pass
    row = last_runs(lake, limit=1)[0]
    version = lake.version("ops.runs")
    with pytest.raises(DeltaError, match=r"nothing_lost|rows_kept"):
        lake.append_rows("ops.runs", [row | {"rows_in": 5, "rows_kept": 4}], "two")
    assert lake.version("ops.runs") == version


def test_what_a_run_wrote_stands_until_another_job_writes_the_table(
    lake: Lake, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = adjustments(spark, ("A", DAY, 0.5))

    def write(job: str, day: date, fails: bool = False) -> None:
        with recorded_run(lake, job, {"day": day}, "digest") as run:
            run.replace(TABLE, rows, None)
            if fails:
                raise BadData("no")

    def stand(job: str, day: date = DAY) -> bool:
        return stands(lake, TABLE, job, {"day": day})

    assert not stand("one")
    with pytest.raises(BadData):
        write("one", DAY, fails=True)
    assert not stand("one")
    write("one", DAY)
    assert (stand("one"), stand("one", date(2015, 7, 1)), stand("two")) == (True, False, False)
    write("one", date(2015, 7, 1))
    assert stand("one")  # The same job keeps to its own rows.
    write("two", DAY)
    assert (stand("one"), stand("two")) == (False, True)
    write("one", DAY)
    assert stand("one")
    monkeypatch.setattr("smallcaps.lake.runs.code_version", lambda: "another")
    assert not stand("one")
