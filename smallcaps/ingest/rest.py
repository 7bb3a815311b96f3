"""REST endpoints → bronze.bodies → bronze, on the executors.

1. Plan the requests of an endpoint for the days and symbols wanted. 2. Leave out those that bronze.bodies has a whole answer
to. 3. Ask for the others, some at a time: each Spark task takes its part of the rate limit and writes pages as they come,
and every chunk is one commit. 4. When the plan is answered: read the bodies as rows of text, type them, quarantine rows
that cannot be typed, replace in bronze exactly what was asked for. That is left out where nothing was asked and the same
command of the same code did it before.

A request without a sound answer leaves a row that says why, and is asked for again by the next run. Where it is the
answer's own fault, the others go on and what it would have brought stays as it was in bronze. Where the vendor refuses or
fails, nothing more is asked, and nothing is typed before a later run has the rest.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial, reduce
from itertools import islice
from math import ceil

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.config import ServiceSettings, Settings
from smallcaps.errors import BadData, BadInput, FailedDependency
from smallcaps.ingest.body_rows import REASONS, judged_rows
from smallcaps.ingest.requests import answered, as_of_clause, planned
from smallcaps.lake import (
    DataFile,
    DataFileWriter,
    Lake,
    Run,
    between,
    days_of,
    declared,
    file_schema,
    recorded_run,
    sql_literal,
    stands,
)
from smallcaps.log import progress
from smallcaps.sources.economy.wire import FRED
from smallcaps.sources.endpoints import ENDPOINTS
from smallcaps.sources.polygon.answers import answers
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import Endpoint, Freshness, Source
from smallcaps.sources.polygon.rest import VENDOR, Pace, RestClient
from smallcaps.spark import batches_of, on_executors

JOB, BODIES = "ingest rest", "bronze.bodies"
DIALECTS = {Source.VENDOR: VENDOR, Source.FRED: FRED}
BATCH_BYTES = 32 << 20
"""Bodies that a task holds at once."""
SHOWN = 5
"""Faults told in an error; all are in bronze.bodies."""
Replaced = tuple[dict[str, Sequence[date | str]], str | None]
"""Rows of a table: values of columns, and a SQL condition if need be."""


@dataclass(frozen=True)
class Wanted:
    """What is wanted of an endpoint: days, as-of day, and symbols (None: those that bronze.tickers has for the as-of day)."""

    first: date
    last: date
    as_of: date
    symbols: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Answered:
    """What an endpoint brought: requests asked now and asked earlier, rows written and refused now."""

    asked: int
    known: int
    rows: int
    rows_refused: int

    def __str__(self) -> str:
        return (
            f"{self.rows:,} rows, {self.rows_refused:,} refused; "
            f"{self.asked:,} requests asked, {self.known:,} answered before"
        )


def wanted(first: date, last: date, symbols: Sequence[str] | None = None, as_of: date | None = None) -> Wanted:
    """A checked wish. `as_of` defaults to New York's day. Raises BadInput where it is none."""
    if first > last:
        raise BadInput(f"The range is empty: {first} is after {last}.")
    if symbols is not None and not symbols:
        raise BadInput("No symbols were given: leave symbols out to take all of them.")
    return Wanted(first, last, as_of or new_york_today(), None if symbols is None else tuple(dict.fromkeys(symbols)))


def new_york_today() -> date:
    """The day it is in New York."""
    return datetime.now(NEW_YORK).date()


def chosen(names: Sequence[str], want: Wanted) -> list[Endpoint]:
    """The endpoints of these names, in the order in which they are asked.

    Raises BadInput for an unknown name, and for days that are not over where an answer is asked for once.
    """
    if unknown := set(names) - set(ENDPOINTS):
        raise BadInput(f"Unknown endpoints {', '.join(sorted(unknown))}. Endpoints: {', '.join(ENDPOINTS)}.")
    endpoints = [endpoint for name, endpoint in ENDPOINTS.items() if name in names]
    settled = [endpoint.name for endpoint in endpoints if endpoint.freshness is Freshness.SETTLED]
    if settled and want.last >= new_york_today():
        raise BadInput(
            f"{want.last} is not over in New York. {', '.join(settled)}: each is asked for once, so the last day must be "
            "an earlier one."
        )
    return endpoints


def ingest_endpoint(lake: Lake, settings: Settings, key: Key, endpoint: Endpoint, want: Wanted) -> Answered:
    """Take what `want` names of an endpoint into bronze.bodies and its bronze table.

    Raises BadInput or FailedDependency where the vendor refuses or fails; BadData, after everything sound was written, where
    some answers were not sound.
    """
    want = named(endpoint, want)
    arguments = {"endpoint": endpoint.name, **asdict(want)}
    with recorded_run(lake, JOB, arguments, settings.digest()) as run:
        plan = plan_of(run, endpoint, want).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            total = plan.count()
            if not total:
                run.note = "no sessions in the range"
                return Answered(0, 0, 0, 0)
            service = service_of(settings, endpoint.source)
            asked, faults, bodies = ask(run, service, key, endpoint, plan, total, want.as_of)
            if not asked and stands(lake, endpoint.table, JOB, arguments):
                run.note = f"{total} requests answered and typed before"
                return Answered(0, total, 0, 0)
            replaced = partial(_replaced, endpoint, want)
            rows = write_bronze(run, endpoint, plan, total, want.as_of, bodies, replaced)
        finally:
            plan.unpersist()
        run.note = f"{asked} requests asked, {total - asked} answered before, {len(faults)} without a sound answer"
    if faults:
        raise BadData(f"{len(faults)} requests have no sound answer (see {BODIES}): {'; '.join(faults[:SHOWN])}")
    return Answered(asked, total - asked, rows, run.rows_refused)


class NoSymbols(BadInput):
    """Nobody said which symbols are wanted, and bronze.tickers has none for the as-of day yet."""


def named(endpoint: Endpoint, want: Wanted) -> Wanted:
    """`want` with the names of an endpoint that is asked for others than symbols, and the days that it is asked to look back."""
    symbols = want.symbols if endpoint.names is None else endpoint.names
    return replace(want, symbols=symbols, first=want.first - timedelta(days=endpoint.look_back_days))


def plan_of(run: Run, endpoint: Endpoint, want: Wanted) -> DataFrame:
    """The requests for what is wanted of an endpoint, as `planned` has them. Raises NoSymbols."""
    symbols = _symbols(run, want) if endpoint.scope.by_symbol else None
    return planned(run.lake.spark, endpoint, symbols, want.first, want.last, want.as_of)


def known_bodies(run: Run, endpoint: Endpoint, as_of: date) -> DataFrame | None:
    """What bronze.bodies has of an endpoint that holds for `as_of`; None where it has nothing."""
    ours = f"endpoint = {sql_literal(endpoint.name)} AND {as_of_clause(endpoint, as_of)}"
    if not run.lake.exists(BODIES) or not run.holds(BODIES, ours):
        return None
    return run.read(BODIES).where(ours)


def unanswered(plan: DataFrame, known: DataFrame | None) -> DataFrame:
    """The requests of a plan that have no whole answer among `known` bodies."""
    return plan if known is None else plan.join(answered(plan, known).select("request"), "request", "left_anti")


def service_of(settings: Settings, source: Source) -> ServiceSettings:
    """Where a source is asked, and how fast."""
    return {Source.VENDOR: settings.vendor, Source.FRED: settings.fred}[source]


def _symbols(run: Run, want: Wanted) -> DataFrame:
    """The symbols wanted, by default all that traded on or after the first day."""
    if want.symbols is not None:
        return run.lake.spark.createDataFrame([(symbol,) for symbol in want.symbols], "symbol string")
    tickers = (
        run.read("bronze.tickers").where(f"as_of = DATE'{want.as_of}'") if run.lake.exists("bronze.tickers") else None
    )
    if tickers is None or tickers.isEmpty():
        raise NoSymbols(
            f"bronze.tickers has nothing as of {want.as_of}: ingest the endpoints tickers and delisted_tickers first, or name "
            "the symbols."
        )
    return tickers.where(f"active OR delisted_at >= DATE'{want.first}'").select("symbol").distinct()


def ask(
    run: Run, service: ServiceSettings, key: Key, endpoint: Endpoint, plan: DataFrame, total: int, as_of: date
) -> tuple[int, list[str], DataFrame]:
    """Ask for what of a plan of `total` requests is not answered yet; returns how many requests that were, the faults of answers,
    and bodies, those of the plan's answers among them.

    Raises what a task stopped for, the worst if there are several, when the answers that came are in bronze.bodies.
    """
    known = known_bodies(run, endpoint, as_of)
    todo = unanswered(plan, known)
    count = total if known is None else todo.count()
    files, faults = _ask(run, service, key, endpoint, todo, count, as_of) if count else ([], [])
    # The run's own by their names, since Spark takes longer to read the table's log than a few answers.
    own = run.lake.read_files(BODIES, [file.path for file in files]) if files else None
    return count, faults, reduce(DataFrame.unionByName, (frame for frame in (own, known) if frame is not None))


def _ask(
    run: Run, service: ServiceSettings, key: Key, endpoint: Endpoint, todo: DataFrame, count: int, as_of: date
) -> tuple[list[DataFile], list[str]]:
    """Ask the `count` requests of `todo`; returns the files of bronze.bodies with the answers, and the faults of answers."""
    spark = run.lake.spark
    # In their order; the driver holds about a chunk at a time.
    ranges = todo.select("request").repartitionByRange(max(1, ceil(count / service.chunk)), "request")
    waiting = (row.request for row in ranges.sortWithinPartitions("request").toLocalIterator())
    files: list[DataFile] = []
    faults: list[str] = []
    run.lake.make(BODIES)
    for start in range(0, count, service.chunk):
        progress(start, count, "requests")
        requests = [*islice(waiting, service.chunk)]
        tasks = min(spark.sparkContext.defaultParallelism, len(requests))
        parts = [requests[part::tasks] for part in range(tasks)]
        told = on_executors(spark, parts, _asker(run, service, key, endpoint, as_of, tasks))
        fresh = [file for of_part, _ in told for file in of_part]
        run.append_files(BODIES, fresh)
        files += fresh
        faults += _sound([fault for _, of_part in told for fault in of_part])
    return files, faults


def _asker(
    run: Run, service: ServiceSettings, key: Key, endpoint: Endpoint, as_of: date, tasks: int
) -> Callable[[list[str]], tuple[list[DataFile], list[tuple[str, str]]]]:
    """What a task does with its requests: it writes the answers to files of bronze.bodies, and tells which, and what was wrong
    with answers (kind, what). The key is in this function alone, which Spark shows nowhere.
    """
    location, schema = run.lake.location(BODIES), file_schema(declared(BODIES))
    partition = {"endpoint": endpoint.name}
    constant = {
        "as_of": None if endpoint.freshness is Freshness.SETTLED else as_of,
        "run_id": run.run_id,
    }

    def ask(requests: list[str]) -> tuple[list[DataFile], list[tuple[str, str]]]:
        pace, dialect = Pace(service.requests_per_second / tasks), DIALECTS[endpoint.source]
        client = RestClient(service.origin, key.value, pace, connections=service.connections, dialect=dialect)
        faults = []
        with DataFileWriter(location, schema, partition) as writer:
            for answer in answers(client, endpoint, requests, service.connections):
                writer.write(pa.RecordBatch.from_pylist([constant | asdict(answer)], schema))
                if answer.fault is not None and answer.fault_kind is not None:
                    faults.append((answer.fault_kind, answer.fault))
        return writer.files, faults

    return ask


def _sound(faults: Sequence[tuple[str, str]]) -> list[str]:
    """The faults that are the answers' own. Raises the worst of the others, if there are any."""
    for kind in (FailedDependency, BadInput):
        if told := [fault for name, fault in faults if name == kind.__name__]:
            raise kind(told[0])
    return [fault for _, fault in faults]


def write_bronze(
    run: Run,
    endpoint: Endpoint,
    plan: DataFrame,
    total: int,
    as_of: date,
    bodies: DataFrame,
    replaced: Callable[[Sequence[str | date]], Replaced],
    judged: Callable[[DataFrame], DataFrame] = lambda rows: rows,
) -> int:
    """Type what the answers to a plan of `total` requests hold, which are among `bodies`, and put it in place of what was asked
    for; returns the rows written.

    `replaced`: what that is, but for the symbols or days that are left out. `judged` may judge rows further.
    """
    whole = answered(plan, bodies).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        found, left_out = whole, []
        count, pages_in, size, records, runs = _totals(found)
        if count < total:
            # What a faulty answer belongs to keeps its rows: a symbol whole, though others of its months may be sound.
            part = "symbol" if endpoint.scope.by_symbol else "first"
            lacking = plan.join(whole, "request", "left_anti").select(part).distinct()
            left_out = [row[0] for row in lacking.collect()]
            found = whole.where(~F.col(part).isin(left_out))
            count, pages_in, size, records, runs = _totals(found)
        if not count:
            return 0
        run.took(pages_in, size or 0)
        # Files hold one run's rows each, so that naming the runs spares reading all others.
        pages = bodies.where(F.col("run_id").isin(runs)).join(
            F.broadcast(found.drop("pages", "bytes", "records")), ["request", "run_id"]
        )
        rows = judged(judged_rows(endpoint, pages, as_of))
        within, where = replaced(left_out)
        with batches_of(run.lake.spark, BATCH_BYTES):
            return run.replace_staged(endpoint.table, rows, REASONS, within, where, records).rows
    finally:
        whole.unpersist()


def _totals(found: DataFrame) -> Row:
    """How many requests have an answer, and the answers' pages, bytes, records and runs."""
    return found.agg(F.count("*"), *map(F.sum, ("pages", "bytes", "records")), F.collect_set("run_id")).collect()[0]


def _replaced(endpoint: Endpoint, want: Wanted, left_out: Sequence[str | date]) -> Replaced:
    """The rows of the table that were asked for, but for what is left out."""
    within: dict[str, Sequence[date | str]] = {}
    conditions = []
    if "as_of" in endpoint.declared.key:
        within |= {"endpoint": [endpoint.name], "as_of": [want.as_of]}
    if endpoint.within in endpoint.declared.partition_by:
        within[endpoint.within] = days_of(want.first, want.last)
    elif endpoint.within is not None:
        conditions.append(between(f"cast({endpoint.within} AS date)", want.first, want.last))
    if endpoint.scope.by_symbol and want.symbols is not None:
        within[endpoint.asked] = want.symbols
    if left_out and endpoint.scope.by_symbol:
        conditions.append(f"{endpoint.asked} NOT IN ({', '.join(sql_literal(str(symbol)) for symbol in left_out)})")
    elif left_out:
        days = ", ".join(f"DATE'{day}'" for day in left_out)
        conditions.append(f"cast({endpoint.within} AS date) NOT IN ({days})")
    return within, " AND ".join(conditions) or None
