"""Which requests an endpoint needs, and which of them are answered already. Frames in, frames out."""

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.sources.polygon.endpoints import Endpoint, Freshness, Scope

SCHEMA = "request string, symbol string, first date, last date"


@dataclass(frozen=True, order=True)
class TickWindow:
    """A stretch of a symbol's day: from `start_ns` on, `end_ns` not included (nanoseconds since 1970 UTC)."""

    session_date: date
    symbol: str
    start_ns: int
    end_ns: int


def as_of_clause(endpoint: Endpoint, as_of: date) -> str:
    """SQL condition over bronze.bodies: answers that hold for `as_of`."""
    return "as_of IS NULL" if endpoint.freshness is Freshness.SETTLED else f"as_of = DATE'{as_of}'"


def planned(
    spark: SparkSession, endpoint: Endpoint, symbols: DataFrame | None, first: date, last: date, as_of: date
) -> DataFrame:
    """The requests for `first` to `last`: request, symbol (null where it names none), first and last day it covers.

    `symbols` has the column symbol; only endpoints that are asked by symbol need it.
    """
    days = spark.createDataFrame(_pieces(endpoint.scope, first, last), "first date, last date")
    if endpoint.scope.by_symbol and symbols is not None:
        days = symbols.select("symbol").distinct().crossJoin(F.broadcast(days))
    else:
        days = days.withColumn("symbol", F.lit(None).cast("string"))
    request = _request(endpoint.template.replace("{as_of}", str(as_of)), F.col("first"), F.col("last"))
    return days.select(request.alias("request"), "symbol", "first", "last")


def windowed(spark: SparkSession, endpoint: Endpoint, windows: Sequence[TickWindow]) -> DataFrame:
    """The requests for windows, as `planned` has them, each of the window's day; with the window."""
    rows = [(one.symbol, one.session_date, one.session_date, one.start_ns, one.end_ns) for one in windows]
    frame = spark.createDataFrame(rows, "symbol string, first date, last date, start_ns bigint, end_ns bigint")
    request = _request(endpoint.template, F.col("start_ns"), F.col("end_ns"))
    return frame.withColumn("request", request)


def _request(template: str, start: Column, end: Column) -> Column:
    """A template with its places filled, of a frame with the column symbol."""
    # What is a path's own in a ticker, / say, must not be read as one; Spark writes a space as forms do.
    in_path = F.replace(F.url_encode("symbol"), F.lit("+"), F.lit("%20"))
    request = F.lit(template)
    for place, value in (("symbol", F.coalesce(in_path, F.lit(""))), ("from", start), ("to", end)):
        request = F.replace(request, F.lit(f"{{{place}}}"), value.cast("string"))
    return request


def answered(plan: DataFrame, bodies: DataFrame) -> DataFrame:
    """The requests of `plan` that have a whole answer among `bodies` (rows of one endpoint and as-of day).

    Adds run_id, of the run that got it, and of all its pages: how many they are, their bytes and records. An answer is whole
    where its last page is there, every page before it, and no fault.
    """
    # Brought together by request once, for both steps.
    attempts = (
        bodies.repartition("request")
        .groupBy("request", "run_id")
        .agg(
            F.max("received_at").alias("at"),
            F.count("*").alias("pages"),
            F.sum("size_bytes").alias("bytes"),
            F.sum("records").alias("records"),
            F.expr("bool_or(last_page) AND count(*) = max(page) AND count(fault) = 0").alias("whole"),
        )
    )
    latest = (
        attempts.where("whole")
        .groupBy("request")
        .agg(F.max_by(F.struct("run_id", "pages", "bytes", "records"), F.struct("at", "run_id")).alias("answer"))
    )
    return plan.join(latest, "request").select("request", "symbol", "first", "last", "answer.*")


def _pieces(scope: Scope, first: date, last: date) -> list[tuple[date, date]]:
    """The stretches of days that one request covers each."""
    if scope in (Scope.DAY, Scope.SYMBOL_DAY):
        return [(day, day) for day in sessions_between(first, last)["session_date"]]
    if scope is Scope.SYMBOL_MONTH:
        months = [
            (date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))
            for year in range(first.year, last.year + 1)
            for month in range(1, 13)
        ]
        return [(max(first, begin), min(last, end)) for begin, end in months if begin <= last and end >= first]
    if scope is Scope.SYMBOL_YEAR:
        years = range(first.year, last.year + 1)
        return [(max(first, date(year, 1, 1)), min(last, date(year, 12, 31))) for year in years]
    return [(first, last)]
