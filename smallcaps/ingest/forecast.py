"""What taking in would ask for, told beforehand: requests, bytes and time. Nothing is written; only lists of files are asked for.

1. Requests are those that `ingest_endpoint` would ask, of files those that `ingest_flatfiles` would fetch.
2. Bytes of files are as listed. Those of REST are what earlier answers of the endpoint had on average in this lake (a mean, so
   that sums come out right where a few are large), else TYPICAL_BYTES.
3. Time goes by earlier runs in ops.runs: what short ones took, and how fast the fastest long one of the kind was; else by
   STEP_SECONDS, the settings' pace and USUAL_BYTES_PER_SECOND.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial

from pyspark.sql import DataFrame, Row
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.ingest.flatfiles import JOB as FILES_JOB
from smallcaps.ingest.flatfiles import known_files, known_kinds
from smallcaps.ingest.rest import BODIES, JOB, NoSymbols, Wanted, known_bodies, named, plan_of, service_of, unanswered
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
LEAST_PAGES, LEAST_BYTES = 500, 100_000_000
"""An earlier run that brought less is a short one: it tells how long a step takes beside what it asks for."""
STEP_SECONDS = 5.0
"""That, where there was no such run."""


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


@dataclass(frozen=True)
class Speeds:
    """Of earlier runs: seconds of short ones, by whether they brought something, and the best rate of long ones by name."""

    steps: Mapping[bool, float]
    rates: Mapping[str, float]

    def step(self, brings: bool) -> float:
        """Seconds of a step beside what it asks for."""
        return self.steps.get(brings, STEP_SECONDS)


class Past:
    """What a lake tells of earlier answers and runs, each read once and when it is needed. `as_of`: that of what is wanted."""

    def __init__(self, lake: Lake, as_of: date | None = None) -> None:
        self.run = Run(lake, "")  # It reads and is never recorded.
        self._as_of = as_of

    @cached_property
    def answers(self) -> dict[str, Row]:
        """By endpoint, of whole answers: mean size in bytes, mean pages, how many there are, and whether any hold for as_of."""
        if not self.run.has(BODIES):
            return {}
        answers = (
            self.run.read(BODIES)
            .where("fault IS NULL")
            .groupBy("endpoint", "request", "as_of", "run_id")
            .agg(F.sum("size_bytes").alias("size"), F.count("*").alias("pages"), F.bool_or("last_page").alias("whole"))
            .where("whole")
        )
        holds = F.coalesce(F.col("as_of") == F.lit(self._as_of), F.lit(True))
        means = answers.groupBy("endpoint").agg(
            F.avg("size").alias("size"),
            F.avg("pages").alias("pages"),
            F.count("*").alias("answers"),
            F.bool_or(holds).alias("hold"),
        )
        return {row.endpoint: row for row in means.collect()}

    @cached_property
    def rest(self) -> Speeds:
        """Of runs that asked endpoints, in pages a second."""
        pages = f"aggregate(filter(outputs, one -> one.table = '{BODIES}'), 0L, (sum, one) -> sum + one.rows)"
        name = F.get_json_object("arguments", "$.endpoint")
        return self._speeds(JOB, LEAST_PAGES, lambda runs: runs.withColumns({"name": name, "brought": F.expr(pages)}))

    @cached_property
    def files(self) -> Speeds:
        """Of runs that fetched files of one kind, in bytes a second."""

        def with_bytes(runs: DataFrame) -> DataFrame:
            kinds = F.collect_set("kind")
            fetched = (
                (self.run.read("ops.ledger") if self.run.has("ops.ledger") else self.run.lake.empty("ops.ledger"))
                .groupBy("run_id")
                .agg(F.sum("size_bytes").alias("bytes"), F.when(F.size(kinds) == 1, kinds[0]).alias("name"))
            )
            return runs.join(fetched, "run_id", "left").withColumn("brought", F.coalesce("bytes", F.lit(0)))

        return self._speeds(FILES_JOB, LEAST_BYTES, with_bytes)

    def _speeds(self, job: str, least: int, named: Callable[[DataFrame], DataFrame]) -> Speeds:
        """Of a job's runs, with name and what they brought put to them by `named`."""
        if not self.run.has("ops.runs"):
            return Speeds({}, {})
        runs = named(self.run.read("ops.runs").where((F.col("job") == job) & (F.col("outcome") == "succeeded")))
        short = runs.where(F.col("brought") < least).groupBy((F.col("brought") > 0).alias("brings"))
        long = runs.where((F.col("brought") >= least) & F.col("name").isNotNull()).groupBy("name")
        return Speeds(
            dict(short.agg(F.median("duration_seconds")).collect()),
            dict(long.agg(F.max(F.col("brought") / F.col("duration_seconds"))).collect()),
        )


def rest_forecasts(lake: Lake, settings: Settings, endpoints: Sequence[Endpoint], want: Wanted) -> list[Step]:
    """A step for each endpoint, which comes to a Forecast."""
    past = Past(lake, want.as_of)
    return [(endpoint.name, partial(forecast_endpoint, past, settings, endpoint, want)) for endpoint in endpoints]


def file_forecasts(lake: Lake, source: FileSource, kinds: Sequence[str], first: date, last: date) -> list[Step]:
    """A step for each kind of file, which comes to a Forecast. Raises BadInput for a kind that there is not."""
    past = Past(lake)
    return [(kind, partial(forecast_files, past, source, kind, first, last)) for kind in known_kinds(kinds)]


def forecast_endpoint(past: Past, settings: Settings, endpoint: Endpoint, want: Wanted) -> Forecast:
    """What `ingest_endpoint` would ask for."""
    plan, symbols = _plan(past.run, endpoint, want)
    if plan is None:
        return Forecast(None, 0, None, None, None, symbols)
    total = requests = plan.count()
    earlier = past.answers.get(endpoint.name)
    size, pages, basis = float(TYPICAL_BYTES[endpoint.scope]), 1.0, "bytes are a guess"
    if earlier is not None and earlier.hold:
        requests = unanswered(plan, known_bodies(past.run, endpoint, want.as_of)).count()
    if earlier is not None:
        size, pages, basis = earlier.size, earlier.pages, f"bytes as in {earlier.answers:,} answers here"
    expected = round(requests * pages)
    pace = service_of(settings, endpoint.source).requests_per_second
    rate = min(past.rest.rates.get(endpoint.name, pace), pace)
    seconds = past.rest.step(requests > 0) + expected / rate
    return Forecast(requests, total - requests, expected, round(requests * size), seconds, symbols + basis)


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


def forecast_files(past: Past, source: FileSource, kind: str, first: date, last: date) -> Forecast:
    """What `ingest_flatfiles` would fetch of a kind."""
    files = source.files([kind], first, last)
    known = known_files(past.run, files)
    fresh = [file for file in files if (file.path, file.etag, file.size) not in known]
    size = sum(file.size for file in fresh)
    basis = "bytes as listed" if files else f"no files from {first} to {last} under {source.name}"
    seconds = past.files.step(bool(fresh)) + size / past.files.rates.get(kind, USUAL_BYTES_PER_SECOND)
    return Forecast(len(fresh), len(files) - len(fresh), len(fresh), size, seconds, basis)
