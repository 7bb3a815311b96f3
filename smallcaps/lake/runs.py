"""A run: one execution of a job. It remembers what it read and wrote, and is written to ops.runs last."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.errors import BadData, SmallcapsError
from smallcaps.lake.datafiles import DataFile
from smallcaps.lake.quality import RULE, refused
from smallcaps.lake.registry import declared
from smallcaps.lake.store import Commit, Lake
from smallcaps.version import code_version


class Run:
    """The reads and writes of one job. Made by `recorded_run`."""

    def __init__(self, lake: Lake, run_id: str) -> None:
        self.lake = lake
        self.run_id = run_id
        self.inputs: dict[str, int] = {}
        self.outputs: dict[str, Commit] = {}
        self.rows_kept = 0
        self.rows_refused = 0
        self.note: str | None = None

    def read(self, name: str) -> DataFrame:
        """A table at the version it has now; the version is recorded and every later read of the run sees the same."""
        if name not in self.inputs:
            self.lake.read(name)
            self.inputs[name] = self.lake.version(name)
        return self.lake.read(name, self.inputs[name])

    def replace(self, name: str, frame: DataFrame, where: str | None) -> Commit:
        """Overwrite the rows of `where` (None: all)."""
        return self._record(self.lake.replace(name, frame, where, self.run_id))

    def replace_files(
        self, name: str, files: Sequence[DataFile], within: Mapping[str, Sequence[date | str]], refused: int
    ) -> Commit:
        """Commit files in place of the rows in `within`, whose other `refused` rows are in quarantine."""
        commit = self._record(self.lake.replace_files(name, files, within, self.run_id))
        self.rows_kept += commit.rows
        self.rows_refused += refused
        return commit

    def append(self, name: str, frame: DataFrame) -> Commit:
        """Add rows that are the run's own."""
        return self._record(self.lake.append(name, frame, self.run_id))

    def add_missing(self, name: str, frame: DataFrame) -> Commit:
        """Insert the rows whose key is new."""
        return self._record(self.lake.add_missing(name, frame, self.run_id))

    def replace_judged(
        self, name: str, judged: DataFrame, reasons: Mapping[str, str], where: str | None, rows_in: int | None = None
    ) -> Commit:
        """Write a judged frame: refused rows to ops.quarantine, then the others to the table in place of `where`.

        The frame is computed once. `rows_in` is the number of rows that the judged ones come from, counted apart from
        them (lines of the files, rows of the table below). Raises BadData where rows in ≠ rows written + rows refused.
        """
        columns = [column.name for column in declared(name).columns]
        judged = judged.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            counts = {row[RULE]: row["count"] for row in judged.groupBy(RULE).count().collect()}
            kept = counts.pop(None, 0)
            judged_rows = kept + sum(counts.values())
            if rows_in is not None and rows_in != judged_rows:
                raise BadData(f"{name}: {rows_in} rows came in and {judged_rows} were judged.")
            if counts:
                self.quarantine(refused(judged, name, dict(reasons)))
            commit = self.replace(name, judged.where(F.col(RULE).isNull()).select(*columns), where)
        finally:
            judged.unpersist()
        if commit.rows != kept:
            raise BadData(f"{name}: {kept} rows were to be written and the commit has {commit.rows}.")
        self.rows_kept += kept
        self.rows_refused += sum(counts.values())
        return commit

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Commit:
        """Add rows in the driver's hands that are the run's own."""
        return self._record(self.lake.append_rows(name, rows, self.run_id))

    def add_missing_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Commit:
        """Insert those rows in the driver's hands whose key is new."""
        return self._record(self.lake.add_missing_rows(name, rows, self.run_id))

    def quarantine(self, rows: DataFrame) -> Commit:
        """Add rows (as ops.quarantine declares them) that are not there yet."""
        return self.add_missing("ops.quarantine", rows)

    def _record(self, commit: Commit) -> Commit:
        earlier = self.outputs.get(commit.table)
        rows = commit.rows + (earlier.rows if earlier else 0)
        self.outputs[commit.table] = Commit(commit.table, commit.version, rows)
        return commit


@contextmanager
def recorded_run(lake: Lake, job: str, arguments: Mapping[str, Any], settings_hash: str) -> Iterator[Run]:
    """Run a job and record it, whether it succeeds or fails.

    A failure to record a failed run does not hide the first error.
    """
    run = Run(lake, uuid.uuid4().hex)
    started, clock = datetime.now(UTC), time.monotonic()

    def record(outcome: str, message: str | None) -> None:
        row = {
            "job": job,
            "arguments": _spelled(arguments),
            "code_version": code_version(),
            "settings_hash": settings_hash,
            "inputs": [{"table": table, "version": version} for table, version in run.inputs.items()],
            "outputs": [asdict(commit) for commit in run.outputs.values()],
            "rows_in": run.rows_kept + run.rows_refused,
            "rows_kept": run.rows_kept,
            "rows_quarantined": run.rows_refused,
            "started_at": started,
            "duration_seconds": time.monotonic() - clock,
            "outcome": outcome,
            "message": message,
        }
        lake.append_rows("ops.runs", [row], run.run_id)

    try:
        yield run
    except Exception as error:
        reason = str(error) if isinstance(error, SmallcapsError) else type(error).__name__
        try:
            record("failed", reason)
        except Exception as second:  # noqa: BLE001 - whatever it is, the first error is what the user needs
            error.add_note(f"The failed run could not be recorded in ops.runs either: {type(second).__name__}.")
        raise
    record("succeeded", run.note)


def _spelled(arguments: Mapping[str, Any]) -> str:
    """Arguments as ops.runs has them."""
    return json.dumps(dict(arguments), default=str, sort_keys=True)


def stands(lake: Lake, table: str, job: str, arguments: Mapping[str, Any]) -> bool:
    """Whether what a run of the job with these arguments and this code put into the table is there still.

    It is, where such a run succeeded and no other job has written the table since.
    """
    if not lake.exists(table) or not lake.exists("ops.runs"):
        return False
    ours = (F.col("job") == job) & (F.col("arguments") == _spelled(arguments)) & (F.col("outcome") == "succeeded")
    others = (F.col("job") != job) & F.exists("outputs", lambda one: one["table"] == table)
    last = lake.read("ops.runs").agg(
        F.max(F.when(ours & (F.col("code_version") == code_version()), F.col("started_at"))).alias("ours"),
        F.max(F.when(others, F.col("started_at"))).alias("others"),
    )
    return not last.where("ours > coalesce(others, timestamp_seconds(0))").isEmpty()


def last_runs(lake: Lake, jobs: Sequence[str] | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """The latest runs, newest first, as plain dictionaries."""
    frame = lake.read("ops.runs")
    if jobs is not None:
        frame = frame.where(F.col("job").isin(list(jobs)))
    return [row.asDict(recursive=True) for row in frame.orderBy(F.desc("started_at")).limit(limit).collect()]
