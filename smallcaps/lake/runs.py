"""A run: one execution of a job. It remembers what it read and wrote, and is written to ops.runs last.

Where the lake has suites switched on, rows pass the quality suite of their table (lake/suites.py) before they are written.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from typing import Any

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.errors import BadData, SmallcapsError
from smallcaps.lake.datafiles import DataFile, delete_files
from smallcaps.lake.declaration import ROWS_A_DAY_BEFORE, ROWS_REFUSED, Table, sql_literal
from smallcaps.lake.quality import RULE, refused, unfit
from smallcaps.lake.registry import declared
from smallcaps.lake.staging import FILE, REFUSED, told
from smallcaps.lake.store import Commit, Lake
from smallcaps.lake.suites import (
    Outcome,
    compares_days,
    failing,
    judge_profile,
    profile,
    profile_of_files,
    require_engine,
    rows_a_day_before,
)
from smallcaps.log import tell, told_of
from smallcaps.version import code_version

ABSENT = -1
"""Version of a table that is not there."""
WARNINGS = logging.getLogger("smallcaps.quality")
"""Told of every expectation at severity warn that fails."""


@contextmanager
def computed_once(frame: DataFrame) -> Iterator[DataFrame]:
    """`frame`, persisted while the block runs; one that is so already stays so."""
    if frame.is_cached:
        yield frame
        return
    frame = frame.persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield frame
    finally:
        frame.unpersist()


class Run:
    """The reads and writes of one job. Made by `recorded_run`."""

    def __init__(self, lake: Lake, run_id: str) -> None:
        self.lake = lake
        self.run_id = run_id
        self.inputs: dict[str, int] = {}
        self.days_read: dict[str, tuple[date | None, date | None]] = {}
        self.outputs: dict[str, Commit] = {}
        self.files_in = 0
        self.bytes_in = 0
        self.rows_kept = 0
        self.rows_refused = 0
        self.note: str | None = None
        self.quality_results: list[dict[str, Any]] = []

    @property
    def counts(self) -> dict[str, Any]:
        """What came in, and what became of its rows."""
        return {
            "files_in": self.files_in,
            "bytes_in": self.bytes_in,
            "rows_in": self.rows_kept + self.rows_refused,
            "rows_kept": self.rows_kept,
            "rows_quarantined": self.rows_refused,
        }

    def took(self, files: int, size: int) -> None:
        """Count files or bodies that rows come from, and their bytes."""
        self.files_in += files
        self.bytes_in += size

    def read(self, name: str) -> DataFrame:
        """A table at the version it has now; the version is recorded and every later read of the run sees the same."""
        self.days_read[name] = (None, None)
        return self._pinned(name)

    def read_days(self, name: str, first: date | None, last: date | None) -> DataFrame:
        """As `read`, those rows of a table of days that are from `first` to `last` (None: no bound), which is recorded, too."""
        day, _ = declared(name).span
        known = self.days_read.get(name, (first, last))
        self.days_read[name] = (_bound(min, known[0], first), _bound(max, known[1], last))
        bounds = [F.expr(day) >= F.lit(first)] * (first is not None) + [F.expr(day) <= F.lit(last)] * (last is not None)
        return reduce(DataFrame.where, bounds, self._pinned(name))

    def holds(self, name: str, condition: str) -> bool:
        """Whether a row of the table, as `read` gives it, meets a SQL condition."""
        self.days_read[name] = (None, None)
        return self.lake.holds(name, condition, self.inputs.setdefault(name, self.lake.version(name)))

    def has(self, name: str) -> bool:
        """Whether the table is there; that it was not is recorded, as version ABSENT."""
        if self.lake.exists(name):
            return True
        self.inputs[name], self.days_read[name] = ABSENT, (None, None)
        return False

    def read_or_empty(self, name: str) -> DataFrame:
        """As `read`; no rows where the table is not there, which is recorded, too."""
        return self.read(name) if self.has(name) else self.lake.empty(name)

    def read_days_or_empty(self, name: str, first: date | None, last: date | None) -> DataFrame:
        """As `read_days`; no rows where the table is not there, which is recorded, too."""
        return self.read_days(name, first, last) if self.has(name) else self.lake.empty(name)

    def _pinned(self, name: str) -> DataFrame:
        if name not in self.inputs:
            self.lake.read(name)
            self.inputs[name] = self.lake.version(name)
        return self.lake.read(name, self.inputs[name])

    def replace(self, name: str, frame: DataFrame, where: str | None) -> Commit:
        """Overwrite the rows of `where` (None: all) with rows that pass the table's suite."""
        if not self.lake.suites:
            return self._record(self.lake.replace(name, frame, where, self.run_id))
        with computed_once(frame) as rows:
            self._check(name, rows)
            return self._record(self.lake.replace(name, rows, where, self.run_id))

    def replace_files(
        self, name: str, files: Sequence[DataFile], within: Mapping[str, Sequence[date | str]], refused: int
    ) -> Commit:
        """Commit files in place of the rows in `within`, whose other `refused` rows are in quarantine.

        Of the suite only what the files' statistics tell is judged: reading them would cost more than writing did.
        """
        if self.lake.suites:
            table = declared(name)
            try:
                self._judge(judge_profile(table, profile_of_files(files, table)), table, None)
            except BadData:
                delete_files(self.lake.location(name), files)
                raise
        return self._commit_files(name, files, within, refused)

    def _commit_files(
        self,
        name: str,
        files: Sequence[DataFile],
        within: Mapping[str, Sequence[date | str]],
        refused: int,
        where: str | None = None,
    ) -> Commit:
        commit = self._record(self.lake.replace_files(name, files, within, self.run_id, where))
        self.rows_kept += commit.rows
        self.rows_refused += refused
        return commit

    def append_files(self, name: str, files: Sequence[DataFile]) -> Commit:
        """Add files of rows that are the run's own."""
        return self._record(self.lake.append_files(name, files, self.run_id))

    def add_missing(self, name: str, frame: DataFrame) -> Commit:
        """Insert the rows whose key is new."""
        if not self.lake.suites or declared(name).layer == "ops":
            return self._record(self.lake.add_missing(name, frame, self.run_id))
        with computed_once(frame) as rows:
            self._check(name, rows)
            return self._record(self.lake.add_missing(name, rows, self.run_id))

    def replace_judged(
        self, name: str, judged: DataFrame, reasons: Mapping[str, str], where: str | None, rows_in: int | None = None
    ) -> Commit:
        """Write a judged frame: refused rows to ops.quarantine, then the others to the table in place of `where`.

        The frame is computed once. `rows_in` is the number of rows that the judged ones come from, counted apart from
        them (lines of the files, rows of the table below). Raises BadData where rows in ≠ rows written + rows refused.
        """
        columns = [column.name for column in declared(name).columns]
        with computed_once(judged) as rows:
            counts = {row[RULE]: row["count"] for row in rows.groupBy(RULE).count().collect()}
            kept = counts.pop(None, 0)
            judged_rows = kept + sum(counts.values())
            if rows_in is not None and rows_in != judged_rows:
                raise BadData(f"{name}: {rows_in} rows came in and {judged_rows} were judged.")
            if counts:
                self.quarantine(refused(rows, name, dict(reasons)))
            sound = rows.where(F.col(RULE).isNull())
            if self.lake.suites:
                self._check(name, sound, sum(counts.values()))
            commit = self._record(self.lake.replace(name, sound.select(*columns), where, self.run_id))
        if commit.rows != kept:
            raise BadData(f"{name}: {kept} rows were to be written and the commit has {commit.rows}.")
        self.rows_kept += kept
        self.rows_refused += sum(counts.values())
        return commit

    def replace_judged_days(
        self,
        name: str,
        judged: DataFrame,
        reasons: Mapping[str, str],
        first: date,
        last: date,
        rows_in: int | None = None,
    ) -> Commit:
        """As `replace_staged`, from `first` to `last`, of a table by day."""
        return self.replace_staged(name, judged, reasons, {"session_date": days_of(first, last)}, None, rows_in)

    def replace_staged(
        self,
        name: str,
        judged: DataFrame,
        reasons: Mapping[str, str],
        within: Mapping[str, Sequence[date | str]],
        where: str | None,
        rows_in: int | None = None,
    ) -> Commit:
        """As `replace_judged`, in place of the rows that `Lake.replace_files` says: rows are written before they are judged as a
        whole, and read again for that. Nothing is cached, and Spark's writer has no part in it.
        """
        with computed_once(self.lake.stage(name, judged, reasons, self.run_id)) as staged:
            found = [row.file for row in staged.select(FILE).collect()]
            files = [told(file) for file in found if file is not None]
            kept, lost = sum(file.rows for file in files), len(found) - len(files)
            try:
                if rows_in is not None and rows_in != kept + lost:
                    raise BadData(f"{name}: {rows_in} rows came in and {kept + lost} were judged.")
                for column, values in within.items():
                    written = {file.partition[column] for file in files if column in file.partition}
                    if strange := written - {*map(str, values)}:
                        raise BadData(f"{name}: rows of {min(strange)} are not of {values[0]} to {values[-1]}.")
                if lost:
                    self.quarantine(staged.where(f"{REFUSED} IS NOT NULL").select(f"{REFUSED}.*"))
                if self.lake.suites:
                    paths = [file.path for file in files]
                    rows = self.lake.read_files(name, paths) if paths else self.lake.empty(name)
                    self._check(name, rows, lost)
            except BaseException:
                delete_files(self.lake.location(name), files)
                raise
        return self._commit_files(name, files, within, lost, where)

    def append(self, name: str, frame: DataFrame) -> Commit:
        """Add rows that are the run's own."""
        return self._record(self.lake.append(name, frame, self.run_id))

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Commit:
        """Add rows in the driver's hands that are the run's own."""
        return self._record(self.lake.append_rows(name, rows, self.run_id))

    def add_missing_rows(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Commit:
        """Insert those rows in the driver's hands whose key is new."""
        return self._record(self.lake.add_missing_rows(name, rows, self.run_id))

    def quarantine(self, rows: DataFrame) -> Commit:
        """Add rows (as ops.quarantine declares them) that are not there yet."""
        return self.add_missing("ops.quarantine", rows)

    def _check(self, name: str, rows: DataFrame, rows_refused: int = 0) -> None:
        """Judge rows that are to be written by the suite of their table."""
        table = declared(name)
        known: dict[str, float | None] = {ROWS_REFUSED: rows_refused}
        if compares_days(table) and self.lake.exists(name):
            known[ROWS_A_DAY_BEFORE] = rows_a_day_before(rows, self.lake.read(name))
        self._judge(judge_profile(table, profile(rows, table, known)), table, rows)

    def _judge(self, outcomes: Sequence[Outcome], table: Table, rows: DataFrame | None) -> None:
        """Keep what a suite found. Raises BadData where it stops, the rows at fault in quarantine."""
        now = datetime.now(UTC)
        self.quality_results += [one.row(table.name) | {"checked_at": now} for one in outcomes]
        for one in [one for one in outcomes if one.fails("warn")]:
            WARNINGS.warning("%s: %s", table.name, one.told)
        if not (stopping := [one for one in outcomes if one.fails("stop")]):
            return
        at_fault = [
            (one.expectation, found)
            for one in stopping
            if rows is not None and (found := failing(rows, table, one.expectation)) is not None
        ]
        for expectation, found in at_fault:
            self.quarantine(unfit(found, table.name, expectation))
        told = "; ".join(one.told for one in stopping)
        where = "The rows at fault are in ops.quarantine under rule suite:…. " if at_fault else ""
        raise BadData(
            f"{table.name} was left as it was, its quality suite stops the job: {told}. {where}"
            f"Mend the source, or the declaration if it is wrong, and run again; `smallcaps quality {table.name}` shows all."
        )

    def _record(self, commit: Commit) -> Commit:
        earlier = self.outputs.get(commit.table)
        rows = commit.rows + (earlier.rows if earlier else 0)
        self.outputs[commit.table] = Commit(commit.table, commit.version, rows)
        tell(f"{commit.rows:,} rows to {commit.table}", **asdict(commit))
        return commit


def days_of(first: date, last: date) -> list[date]:
    """Every day from `first` to `last`."""
    return [first + timedelta(days=days) for days in range((last - first).days + 1)]


def _bound(furthest: Callable[..., date], one: date | None, other: date | None) -> date | None:
    """The wider of two bounds, None being none."""
    return None if one is None or other is None else furthest(one, other)


@contextmanager
def recorded_run(lake: Lake, job: str, arguments: Mapping[str, Any], settings_hash: str) -> Iterator[Run]:
    """Run a job and record it, whether it succeeds or fails.

    A failure to record a failed run does not hide the first error.
    """
    if lake.suites:
        require_engine()
    # Before anything is done, since the run's own row comes last.
    if lake.exists("ops.runs"):
        lake.refuse_drift("ops.runs")
    run = Run(lake, uuid.uuid4().hex)
    started, clock = datetime.now(UTC), time.monotonic()

    def seconds() -> float:
        return round(time.monotonic() - clock, 3)

    def record(outcome: str, message: str | None) -> None:
        if run.quality_results:
            run.append_rows("ops.quality_results", run.quality_results)
        row = {
            "job": job,
            "arguments": _spelled(arguments),
            "code_version": code_version(),
            "settings_hash": settings_hash,
            "inputs": [
                dict(zip(("table", "version", "first", "last"), (table, version, *run.days_read[table]), strict=True))
                for table, version in run.inputs.items()
            ],
            "outputs": [asdict(commit) for commit in run.outputs.values()],
            **run.counts,
            "started_at": started,
            "duration_seconds": seconds(),
            "outcome": outcome,
            "message": message,
        }
        lake.append_rows("ops.runs", [row], run.run_id)

    with told_of(run.run_id, job):
        tell(f"{job} started", arguments=dict(arguments))
        try:
            yield run
        except Exception as error:
            reason = str(error) if isinstance(error, SmallcapsError) else type(error).__name__
            tell(f"{job} failed: {reason}", logging.ERROR, outcome="failed", seconds=seconds(), **run.counts)
            try:
                record("failed", reason)
            except Exception as second:  # noqa: BLE001 - whatever it is, the first error is what the user needs
                error.add_note(f"The failed run could not be recorded in ops.runs either: {type(second).__name__}.")
            raise
        record("succeeded", run.note)
        tell(f"{job} succeeded", outcome="succeeded", seconds=seconds(), note=run.note, **run.counts)


def _spelled(arguments: Mapping[str, Any]) -> str:
    """Arguments as ops.runs has them."""
    return json.dumps(dict(arguments), default=str, sort_keys=True)


def stands(lake: Lake, table: str, job: str, arguments: Mapping[str, Any]) -> bool:
    """Whether what a run of the job with these arguments and this code put into the table is there still.

    It is, where such a run succeeded and no other job has written the table since.
    """
    if not lake.exists(table) or not lake.exists("ops.runs"):
        return False
    same = {"job": job, "arguments": _spelled(arguments), "code_version": code_version(), "outcome": "succeeded"}
    ours = " AND ".join(f"{column} = {sql_literal(value)}" for column, value in same.items())
    others = f"(SELECT started_at, unnest(outputs) AS output FROM stored WHERE job <> {sql_literal(job)})"
    [last] = lake.ask(
        "ops.runs",
        f"SELECT (SELECT max(started_at) FROM stored WHERE {ours}) AS ours, "
        f"(SELECT max(started_at) FROM {others} WHERE output['table'] = {sql_literal(table)}) AS others",
    )
    return last["ours"] is not None and (last["others"] is None or last["ours"] > last["others"])


def last_runs(lake: Lake, jobs: Sequence[str] | None = None, limit: int = 50) -> list[dict[str, Any]]:
    """The latest runs, newest first, as plain dictionaries."""
    frame = lake.read("ops.runs")
    if jobs is not None:
        frame = frame.where(F.col("job").isin(list(jobs)))
    return [row.asDict(recursive=True) for row in frame.orderBy(F.desc("started_at")).limit(limit).collect()]
