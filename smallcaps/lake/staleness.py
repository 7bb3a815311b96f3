"""What became stale: rows made of rows that have changed since.

1. Every day of a table of days, and every other table as a whole, was made last by one run. ops.runs says which versions of
   which tables that run read, and which days of them.
2. Between the version read and the one there is now only some files differ, as the logs say. Rows that are in the files of
   both sides cancel out; what remains has changed. What tells of a row's arrival and is no content (OBSERVED) does not count.
3. A changed row touches the days that it tells of (`Table.span`). A run that read so many days before its own, or after,
   carries the touch as far. Rows made again that came out as they were touch nothing.

Files that were put together (lake/maintenance.py) are the same rows in another file. A version whose log is gone counts as
changed in all its rows, a file that is gone in all of its own.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from pyspark.sql import Window
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.lake.declaration import FIRST_DAY, LAST_DAY, RUN_ID, Table
from smallcaps.lake.registry import REGISTRY, declared
from smallcaps.lake.runs import ABSENT
from smallcaps.lake.store import Lake

OBSERVED = frozenset({RUN_ID.name, "received_at", "as_of", "source_sha256", "source_line"})
"""Columns that tell how a row came here. A file that was published again with the same rows changes nothing else."""
Days = tuple[date, date]
"""First and last day."""


@dataclass(frozen=True)
class Stale:
    """What a job made of rows that have changed since: sessions of the table, or all of it where there are none.

    `arguments` are those of the last run that made some of it; `changed` are the tables it read that have changed.
    """

    table: str
    job: str
    arguments: dict[str, Any]
    days: tuple[date, ...]
    changed: tuple[str, ...]

    @property
    def ranges(self) -> list[Days]:
        """The days as stretches of sessions."""
        stretches: list[list[date]] = []
        sessions = list(sessions_between(self.days[0], self.days[-1])["session_date"]) if self.days else []
        stale, before = set(self.days), False
        for session in sessions:
            if session in stale:
                stretches += [] if before else [[]]
                stretches[-1].append(session)
            before = session in stale
        return [(stretch[0], stretch[-1]) for stretch in stretches]


@dataclass(frozen=True)
class _Read:
    """What a run read: a table, its version then, the days of it (None: no bound), and what the run was of (None: no days)."""

    table: str
    version: int
    days: tuple[date | None, date | None]
    of: Days | None

    def reaches(self, changed: Days) -> Days | None:
        """The days of what was made that a change of these days touches; None where the run read none of them."""
        (first, last), (start, end) = self.days, changed
        if (last is not None and start > last) or (first is not None and end < first):
            return None
        if self.of is None or not declared(self.table).is_of_days:
            return changed
        # As far as it read before its first day, a change reaches forward; as far as it read after its last, back.
        earliest = date.min if last is None else start - max(last - self.of[1], timedelta(0))
        latest = date.max if first is None else end + max(self.of[0] - first, timedelta(0))
        return earliest, latest


@dataclass(frozen=True)
class _Made:
    """What a run made that no later one made again. `days` is None where it made the whole table."""

    table: str
    job: str
    arguments: dict[str, Any]
    days: frozenset[date] | None
    reads: tuple[_Read, ...]


def stale(lake: Lake, tables: Sequence[str] | None = None) -> list[Stale]:
    """What became stale, of `tables` or of all, in the order of the registry. Raises BadInput for an unknown table."""
    named = [declared(name) for name in tables] if tables is not None else list(REGISTRY.values())
    wanted = [table.name for table in named if not table.is_kept]
    if not lake.exists("ops.runs"):
        return []
    made = _made(lake, set(wanted))
    reads = [read for one in made for read in one.reads]
    changes = {
        name: _changes(lake, declared(name), [read for read in reads if read.table == name])
        for name in sorted({read.table for read in reads})
    }
    found: dict[tuple[str, str], Stale] = {}
    for one in made:
        days: set[date] = set()
        changed = set()
        for read in one.reads:
            spans = changes[read.table].get(read.version, ())
            reached = [reach for span in spans if (reach := read.reaches(span)) is not None]
            touched = {day for day in one.days or () if any(first <= day <= last for first, last in reached)}
            if touched or (reached and one.days is None):
                days |= touched
                changed.add(read.table)
        if changed:
            before = found.get((one.table, one.job), Stale(one.table, one.job, one.arguments, (), ()))
            all_days, all_changed = {*before.days, *days}, {*before.changed, *changed}
            found[one.table, one.job] = replace(
                before, days=tuple(sorted(all_days)), changed=tuple(sorted(all_changed))
            )
    return sorted(found.values(), key=lambda one: (wanted.index(one.table), one.job))


def _made(lake: Lake, wanted: set[str]) -> list[_Made]:
    """What stands in tables that are made of others, by the run that made it, newest first."""
    runs = lake.read("ops.runs").where("outcome = 'succeeded'").orderBy(F.desc("started_at"), "run_id")
    seen: dict[tuple[str, str], set[date]] = {}
    made = []
    for run in runs.select("job", "arguments", "inputs", "outputs").toLocalIterator():
        arguments = json.loads(run.arguments)
        of = (
            (date.fromisoformat(arguments["from"]), date.fromisoformat(arguments["to"]))
            if "from" in arguments
            else None
        )
        for table in {output["table"] for output in run.outputs} & wanted:
            if declared(table).owner in ("ingest", "lake"):
                continue
            slot, days = (table, run.job), None
            if declared(table).is_of_days and of is not None:
                days = frozenset(sessions_between(*of)["session_date"]) - seen.get(slot, set())
            if (days is None and slot in seen) or (days is not None and not days):
                continue
            seen.setdefault(slot, set()).update(days or ())
            reads = tuple(
                _Read(one["table"], one["version"], (one["first"], one["last"]), of if days else None)
                for one in run.inputs
                if one["table"] != table and one["table"] in REGISTRY
            )
            made.append(_Made(table, run.job, arguments, days, reads))
    return made


def _changes(lake: Lake, table: Table, reads: Sequence[_Read]) -> Mapping[int, Sequence[Days]]:
    """By version that was read: the days that rows tell of which are not the same now. Only files that hold days which
    were read are compared.
    """
    now = lake.files(table.name) if lake.exists(table.name) else {}
    differing: dict[tuple[int, str], int] = {}
    then = {version: lake.files(table.name, version) for version in {read.version for read in reads} - {ABSENT}}
    for put_together, partitions in lake.compactions(table.name, min(then)) if then else ():
        for version in (version for version in then if version < put_together):
            for removed, added in partitions:
                if removed <= then[version].keys():
                    # The same rows in other files, which upkeep may have left alone.
                    kept = {path: days for path, days in then[version].items() if path not in removed}
                    then[version] = kept | {path: now.get(path) for path in added}
    for read in reads:
        before = then.get(read.version, {})
        for sign, files in (
            (1, {path: now[path] for path in now.keys() - before.keys()}),
            (-1, {path: before[path] for path in before.keys() - now.keys()}),
        ):
            differing |= {(read.version, path): sign for path, days in files.items() if _meet(read.days, days)}
    if not differing:
        return {}
    spark, (first, last) = lake.spark, table.span
    rows = lake.read_files(table.name, sorted({path for _, path in differing}))
    content = [
        column.name
        for column in table.columns
        if column.name not in OBSERVED and not re.search(rf"\b{column.name}\b", f"{first} {last}")
    ]
    sides = spark.createDataFrame(
        [(version, path.rsplit("/", 1)[-1], sign) for (version, path), sign in differing.items()],
        "version bigint, file string, sign bigint",
    )
    told = rows.select(
        F.element_at(F.split("_metadata.file_path", "/"), -1).alias("file"),
        F.xxhash64(*content).alias("content"),
        F.expr(f"coalesce({first}, {FIRST_DAY})").alias("first"),
        F.expr(f"coalesce({last}, {LAST_DAY})").alias("last"),
    ).join(F.broadcast(sides), "file")
    left = told.groupBy("version", "content", "first", "last").agg(F.sum("sign").alias("more")).where("more <> 0")
    # A row that tells of fewer days than before has changed on the others alone.
    edges = left.selectExpr(
        "version",
        "content",
        "inline(array(struct(first AS day, more), struct(date_add(last, 1) AS day, -more AS more)))",
    )
    edges = edges.groupBy("version", "content", "day").agg(F.sum("more").alias("more")).where("more <> 0")
    in_order = Window.partitionBy("version", "content").orderBy("day")
    stretches = edges.select(
        *("version", "day"),
        F.sum("more").over(in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow)).alias("open"),
        F.date_sub(F.lead("day").over(in_order), 1).alias("last"),
    )
    found: dict[int, list[Days]] = {}
    for row in stretches.where("open <> 0").select("version", "day", "last").distinct().toLocalIterator():
        found.setdefault(row.version, []).append((row.day, row.last))
    return found


def _meet(read: tuple[date | None, date | None], held: Days | None) -> bool:
    """Whether a file that holds rows of these days (None: unknown) may hold some that were read."""
    if held is None:
        return True
    first, last = read
    return (first is None or held[1] >= first) and (last is None or held[0] <= last)
