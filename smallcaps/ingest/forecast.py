"""What taking in would ask for, told beforehand: requests, bytes and time. Nothing is written; only lists of files are asked for.

1. Requests are those that `ingest_endpoint` would ask, of files those that `ingest_flatfiles` would fetch.
2. Bytes of files are as listed. Those of REST are what earlier answers of the endpoint had on average in this lake (a mean, so
   that sums come out right where a few are large), else TYPICAL_BYTES.
3. Time goes by the fastest earlier run of the kind in ops.runs, else by the settings' pace and USUAL_BYTES_PER_SECOND.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.ingest.flatfiles import JOB as FILES_JOB
from smallcaps.ingest.flatfiles import known_files, known_kinds
from smallcaps.ingest.rest import BODIES, JOB, NoSymbols, Wanted, named, plan_of, service_of, unanswered
from smallcaps.ingest.routine import Step
from smallcaps.lake import Lake, Run
from smallcaps.sources.polygon.bucket import FileSource
from smallcaps.sources.polygon.endpoints import Endpoint, Scope

TYPICAL_BYTES = {
    Scope.MARKET: 500_000,
    Scope.DAY: 1_300_000,
    Scope.SYMBOL: 3_000,
    Scope.SYMBOL_DAY: 2_000_000,
    Scope.SYMBOL_MONTH: 300_000,
    Scope.SYMBOL_YEAR: 100_000,
}
"""Of an answer, all its pages, before gzip, where none of the endpoint is here: no more than an order of magnitude."""
USUAL_BYTES_PER_SECOND = 10_000_000
"""Of files, where none were fetched before: a third of what was read from a disk (benchmarks/flatfiles.py)."""
LEAST_PAGES, LEAST_BYTES = 50, 50_000_000
"""An earlier run that brought less tells how long a run takes, not how fast it goes."""
STEP_SECONDS = 5.0
"""What a step takes beside its requests."""


@dataclass(frozen=True)
class Forecast:
    """What a step would ask for: `requests` of the plan, the `pages` that they bring, bytes and seconds; None where that cannot
    be known yet. `known` are requests that were answered, or files that are here. `basis`: what it rests on.
    """

    requests: int | None
    known: int
    pages: int | None
    size_bytes: int | None
    seconds: float | None
    basis: str


def rest_forecasts(lake: Lake, settings: Settings, endpoints: Sequence[Endpoint], want: Wanted) -> list[Step]:
    """A step for each endpoint, which comes to a Forecast."""
    return [(endpoint.name, partial(forecast_endpoint, lake, settings, endpoint, want)) for endpoint in endpoints]


def file_forecasts(lake: Lake, source: FileSource, kinds: Sequence[str], first: date, last: date) -> list[Step]:
    """A step for each kind of file, which comes to a Forecast. Raises BadInput for a kind that there is not."""
    return [(kind, partial(forecast_files, lake, source, kind, first, last)) for kind in known_kinds(kinds)]


def forecast_endpoint(lake: Lake, settings: Settings, endpoint: Endpoint, want: Wanted) -> Forecast:
    """What `ingest_endpoint` would ask for."""
    run = Run(lake, "")  # It reads and is never recorded.
    plan, symbols = _plan(run, endpoint, want)
    if plan is None:
        return Forecast(None, 0, None, None, None, symbols)
    total = plan.count()
    requests = unanswered(run, endpoint, plan, want.as_of).count()
    size, pages, earlier = _measured(run, endpoint)
    expected = round(requests * pages)
    pace = service_of(settings, endpoint.source).requests_per_second
    rate = min(_pages_per_second(run, endpoint) or pace, pace)
    size = TYPICAL_BYTES[endpoint.scope] if size is None else size
    basis = symbols + (f"bytes as in {earlier:,} answers here" if earlier else "bytes are a guess")
    return Forecast(requests, total - requests, expected, round(requests * size), STEP_SECONDS + expected / rate, basis)


def _plan(run: Run, endpoint: Endpoint, want: Wanted) -> tuple[DataFrame | None, str]:
    """The plan, and what is to be said of its symbols: until the as-of day's tickers are in, those of an earlier day stand."""
    want = named(endpoint, want)
    try:
        return plan_of(run, endpoint, want), ""
    except NoSymbols:
        day = None
        if run.lake.exists("bronze.tickers"):
            (day,) = run.read("bronze.tickers").where(F.col("as_of") < want.as_of).agg(F.max("as_of")).collect()[0]
        if day is None:
            return None, "unknown until tickers are in; estimate with --symbols"
        return plan_of(run, endpoint, replace(want, as_of=day)), f"symbols as of {day}, "


def forecast_files(lake: Lake, source: FileSource, kind: str, first: date, last: date) -> Forecast:
    """What `ingest_flatfiles` would fetch of a kind."""
    run = Run(lake, "")
    files = source.files([kind], first, last)
    known = known_files(run, files)
    fresh = [file for file in files if (file.path, file.etag, file.size) not in known]
    size = sum(file.size for file in fresh)
    rate = _bytes_per_second(run, kind)
    basis = "bytes as listed" if files else f"no files from {first} to {last} under {source.name}"
    seconds = STEP_SECONDS + size / (rate or USUAL_BYTES_PER_SECOND)
    return Forecast(len(fresh), len(files) - len(fresh), len(fresh), size, seconds, basis)


def _measured(run: Run, endpoint: Endpoint) -> tuple[float | None, float, int]:
    """Mean bytes and pages of the endpoint's whole answers so far, and how many these are."""
    if not run.lake.exists(BODIES):
        return None, 1.0, 0
    bodies = run.read(BODIES).where((F.col("endpoint") == endpoint.name) & F.col("fault").isNull())
    answers = (
        bodies.groupBy("request", "as_of", "run_id")
        .agg(F.sum("size_bytes").alias("size"), F.count("*").alias("pages"), F.bool_or("last_page").alias("whole"))
        .where("whole")
    )
    size, pages, count = answers.agg(F.avg("size"), F.avg("pages"), F.count("*")).collect()[0]
    return size, pages or 1.0, count


def _pages_per_second(run: Run, endpoint: Endpoint) -> float | None:
    """Of the fastest earlier run of the endpoint; None where none brought enough."""
    rows = f"aggregate(filter(outputs, one -> one.table = '{BODIES}'), 0L, (sum, one) -> sum + one.rows)"
    of_endpoint = F.get_json_object("arguments", "$.endpoint") == endpoint.name
    runs = _runs(run, JOB)
    return None if runs is None else _fastest(runs.where(of_endpoint).withColumn("brought", F.expr(rows)), LEAST_PAGES)


def _bytes_per_second(run: Run, kind: str) -> float | None:
    """The same of a kind of file."""
    runs = _runs(run, FILES_JOB)
    if runs is None or not run.lake.exists("ops.ledger"):
        return None
    fetched = (
        run.read("ops.ledger").where(F.col("kind") == kind).groupBy("run_id").agg(F.sum("size_bytes").alias("brought"))
    )
    return _fastest(runs.join(fetched, "run_id"), LEAST_BYTES)


def _runs(run: Run, job: str) -> DataFrame | None:
    return run.read("ops.runs").where(F.col("job") == job) if run.lake.exists("ops.runs") else None


def _fastest(runs: DataFrame, least: int) -> float | None:
    """What the fastest of the runs that brought at least so much brought a second."""
    (rate,) = (
        runs.where(F.col("brought") >= least).agg(F.max(F.col("brought") / F.col("duration_seconds"))).collect()[0]
    )
    return None if rate is None else float(rate)
