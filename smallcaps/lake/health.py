"""How the lake's tables and the jobs that write them are: sizes, files, age, staleness, quality; the last run of each job."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import Window
from pyspark.sql import functions as F

from smallcaps.lake.quality_results import latest_states
from smallcaps.lake.staleness import stale
from smallcaps.lake.store import Lake, Size
from smallcaps.prometheus import Labels, Metric

PREFIX = "lake_"


@dataclass(frozen=True)
class Health:
    """How a table is. `stale` is how many of its days (1 where it is of none) were made of rows that have changed since;
    `stopped` and `warned` are the expectations that the rows last to be written did not meet.
    """

    table: str
    size: Size
    version: int
    written_at: datetime
    stale: int
    stopped: tuple[str, ...]
    warned: tuple[str, ...]


@dataclass(frozen=True)
class LastRun:
    """The last run of a job."""

    job: str
    outcome: str
    ended_at: datetime
    seconds: float
    rows: Mapping[str, int]
    """In, kept and quarantined."""


def health(lake: Lake, tables: Sequence[str]) -> list[Health]:
    """How those of `tables` are that were written."""
    there = [name for name in tables if lake.exists(name)]
    aged = {one.table: max(1, len(one.days)) for one in stale(lake, there)}
    judged = {state.table: state for state in latest_states(lake)}
    found = []
    for name in there:
        version, state = lake.version(name), judged.get(name)
        stopped, warned = (tuple(state.failed(severity)) if state else () for severity in ("stop", "warn"))
        written_at = lake.committed_at(name, version)
        found.append(Health(name, lake.size(name), version, written_at, aged.get(name, 0), stopped, warned))
    return found


def last_runs(lake: Lake) -> list[LastRun]:
    """The last run of every job, by name."""
    if not lake.exists("ops.runs"):
        return []
    latest = Window.partitionBy("job").orderBy(F.col("started_at").desc(), "run_id")
    runs = lake.read("ops.runs").withColumn("place", F.row_number().over(latest)).where("place = 1").orderBy("job")
    return [
        LastRun(
            row.job,
            row.outcome,
            row.started_at.astimezone(UTC) + timedelta(seconds=row.duration_seconds),
            row.duration_seconds,
            {"in": row.rows_in, "kept": row.rows_kept, "quarantined": row.rows_quarantined},
        )
        for row in runs.collect()
    ]


def metrics(tables: Sequence[Health], runs: Sequence[LastRun]) -> list[Metric]:
    """The same as gauges."""

    def of_tables(name: str, words: str, values: Iterable[float]) -> Metric:
        labels: list[Labels] = [{"table": one.table} for one in tables]
        return Metric(f"table_{name}", "gauge", words, list(zip(labels, values, strict=True)))

    def of_jobs(name: str, words: str, values: Iterable[float]) -> Metric:
        labels: list[Labels] = [{"smallcaps_job": one.job} for one in runs]
        return Metric(f"job_{name}", "gauge", words, list(zip(labels, values, strict=True)))

    unmet = [len(one.stopped) + len(one.warned) for one in tables]
    rows: list[tuple[Labels, float]] = [
        ({"smallcaps_job": one.job, "rows": kind}, count) for one in runs for kind, count in one.rows.items()
    ]
    return [
        of_tables("rows", "Rows", [one.size.rows for one in tables]),
        of_tables("files", "Files of the version that there is now", [one.size.files for one in tables]),
        of_tables("bytes", "Their bytes", [one.size.bytes for one in tables]),
        of_tables("written_timestamp_seconds", "Of the last commit", [one.written_at.timestamp() for one in tables]),
        of_tables("stale_days", "Days made of rows that have changed since", [one.stale for one in tables]),
        of_tables("failed_expectations", "Not met by what was last to be written", unmet),
        of_jobs("succeeded", "Whether the last run did", [one.outcome == "succeeded" for one in runs]),
        of_jobs("seconds", "How long the last run took", [one.seconds for one in runs]),
        of_jobs("ended_timestamp_seconds", "When it ended", [one.ended_at.timestamp() for one in runs]),
        Metric("job_rows", "gauge", "Rows of it: in, kept and quarantined", rows),
    ]
