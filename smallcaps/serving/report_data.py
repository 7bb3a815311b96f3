"""What the report shows, read from the lake. The only module of the report that reads.

Everything is bounded: counts are made in Spark; bars, trades and quotes are read for the few names and days that are
drawn. A table that was never written is None.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.lake import Lake, between, sql_literal
from smallcaps.microstructure.as_of import TIME, with_quotes
from smallcaps.microstructure.signing import is_valid, trade_sign, with_tick
from smallcaps.models.targets import problem
from smallcaps.version import code_version

TOP = 20
SESSIONS_BEFORE = 40
SESSIONS_AFTER = 15
_DAYS_BEFORE, _DAYS_AFTER = timedelta(days=75), timedelta(days=35)
"""Calendar days that hold at least the sessions drawn."""

MAXIMUM_QUOTES = 6000
QUOTE_STEP_NS = 250_000_000
"""Quotes are drawn as the last of each step; the step grows where a window would need more than MAXIMUM_QUOTES."""


@dataclass(frozen=True)
class Intraday:
    """The intraday event that is drawn.

    `event`: a row of gold.events. `features`: its row of gold.event_features. `trades`: participant_ns, price, size,
    sign (+1 bought, −1 sold, null unknown), in order. `quotes`: participant_ns, bid_price, ask_price of valid quotes,
    thinned, in order.
    """

    event: dict[str, Any]
    features: dict[str, Any]
    trades: pd.DataFrame
    quotes: pd.DataFrame


@dataclass(frozen=True)
class ReportData:
    """Everything the report shows, as small frames. None: the table is not there yet.

    `events`: one row a detector: grain, detector, events, names, up, down, strength, relative_volume, dollar_volume
    (medians). `months`: grain, detector, month (yyyy-MM), events. `span`: events, names, sessions, first, last of
    gold.events. `market`: names, sessions of silver.bars_1d. `top`: gold.core_manifest with the columns of gold.events,
    best first. `bars`: silver.bars_1d around them. `labels`: gold.event_labels of them, one width and horizon.
    `outcomes`: detector, labelled, one count an outcome, gave_back, gave_back_known, median_return. `predictions`: as
    gold.predictions. `runs`: the latest run of each job. `quarantine`: table_name, rule, reason, rows.
    """

    made_at: datetime
    code_version: str
    settings: Settings
    lake: str
    span: dict[str, Any] | None
    market: dict[str, Any] | None
    events: pd.DataFrame | None
    months: pd.DataFrame | None
    top: pd.DataFrame | None
    bars: pd.DataFrame | None
    labels: pd.DataFrame | None
    intraday: Intraday | None
    outcomes: pd.DataFrame | None
    predictions: pd.DataFrame | None
    runs: pd.DataFrame | None
    quarantine: pd.DataFrame | None


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries, what is missing as None."""
    plain = frame.astype(object).where(frame.notna(), None)
    return cast(list[dict[str, Any]], plain.to_dict("records"))


def collect(lake: Lake, settings: Settings) -> ReportData:
    """Read what the report shows. Raises BadData where a table is not as declared."""
    span = _ask(lake, _span, "gold.events")
    market = _ask(lake, _market, "silver.bars_1d")
    top = _ask(lake, _top, "gold.core_manifest", "gold.events")
    width, horizon = settings.datasets["daily"].barrier_width, settings.datasets["daily"].horizon
    labelled = f"barrier_width = {width}D AND horizon = '{horizon}'"
    return ReportData(
        made_at=datetime.now(UTC),
        code_version=code_version(),
        settings=settings,
        lake=lake.root,
        span=None if span is None else records(span)[0],
        market=None if market is None else records(market)[0],
        events=_ask(lake, _by_detector, "gold.events"),
        months=_ask(lake, _by_month, "gold.events"),
        top=top,
        bars=None if top is None else _ask(lake, lambda bars: _around(bars, top), "silver.bars_1d"),
        labels=None
        if top is None
        else _ask(lake, lambda rows: _of_events(rows.where(labelled), top), "gold.event_labels"),
        intraday=_intraday(lake, settings.microstructure),
        outcomes=_ask(
            lake, lambda labels, events: _outcomes(labels.where(labelled), events), "gold.event_labels", "gold.events"
        ),
        predictions=_ask(lake, lambda rows: _predictions(rows, settings), "gold.predictions"),
        runs=_ask(lake, _latest_runs, "ops.runs"),
        quarantine=_ask(lake, _refused, "ops.quarantine"),
    )


def _ask(lake: Lake, question: Callable[..., DataFrame], *tables: str) -> pd.DataFrame | None:
    """The answer to a question about tables, or None where one of them was never written."""
    if not all(lake.exists(name) for name in tables):
        return None
    return question(*[lake.read(name) for name in tables]).toPandas()


def _span(events: DataFrame) -> DataFrame:
    return events.selectExpr(
        "count(*) AS events",
        "count(DISTINCT symbol) AS names",
        "count(DISTINCT session_date) AS sessions",
        "min(session_date) AS first",
        "max(session_date) AS last",
    )


def _market(bars: DataFrame) -> DataFrame:
    return bars.selectExpr("count(DISTINCT symbol) AS names", "count(DISTINCT session_date) AS sessions")


def _by_detector(events: DataFrame) -> DataFrame:
    return (
        events.groupBy("grain", "detector")
        .agg(
            F.count("*").alias("events"),
            F.countDistinct("symbol").alias("names"),
            F.count_if(F.col("direction") > 0).alias("up"),
            F.count_if(F.col("direction") < 0).alias("down"),
            *[F.median(name).alias(name) for name in ("strength", "relative_volume", "dollar_volume")],
        )
        .orderBy("grain", "detector")
    )


def _by_month(events: DataFrame) -> DataFrame:
    month = F.date_format("session_date", "yyyy-MM").alias("month")
    return events.groupBy("grain", "detector", month).agg(F.count("*").alias("events")).orderBy("detector", "month")


def _top(manifest: DataFrame, events: DataFrame) -> DataFrame:
    scores = manifest.drop("symbol", "session_date", "ts", "detector", "run_id")
    return scores.join(events.where("grain = 'daily'").drop("run_id"), "event_id").orderBy("rank").limit(TOP)


def _around(bars: DataFrame, top: pd.DataFrame) -> DataFrame:
    """Daily bars of the events' names, around their days."""
    wanted = [
        f"symbol = {sql_literal(event['symbol'])} AND "
        + between("session_date", event["session_date"] - _DAYS_BEFORE, event["session_date"] + _DAYS_AFTER)
        for event in records(top)
    ]
    columns = ("symbol", "session_date", "session_number", "close_at", "open", "high", "low", "close", "volume")
    of_names = bars.where(" OR ".join(f"({one})" for one in wanted) or "false")
    return of_names.select(*columns, "cumulative_factor").orderBy("symbol", "session_date")


def _of_events(labels: DataFrame, top: pd.DataFrame) -> DataFrame:
    return labels.where(F.col("event_id").isin(top["event_id"].tolist())).drop("run_id")


def _outcomes(labels: DataFrame, events: DataFrame) -> DataFrame:
    outcomes = ("continuation", "reversal", "none", "unresolved", "censored")
    return (
        labels.drop("symbol", "session_date", "known_at")
        .join(events.select("event_id", "detector"), "event_id")
        .groupBy("detector")
        .agg(
            F.count("*").alias("labelled"),
            *[F.count_if(F.col("outcome") == outcome).alias(outcome) for outcome in outcomes],
            F.count_if("gave_back").alias("gave_back"),
            F.count("gave_back").alias("gave_back_known"),
            F.expr("percentile(`return`, 0.5D) FILTER (WHERE weight > 0)").alias("median_return"),
        )
        .orderBy("detector")
    )


def _predictions(predictions: DataFrame, settings: Settings) -> DataFrame:
    """What gradient boosting said of the continuation of daily events, one row an event: tens of thousands, not more."""
    model = f"{problem(settings.datasets['daily'])}.gradient_boosting"
    return (
        predictions.where((F.col("model") == model) & (F.col("target") == "continuation"))
        .select("model", "event_id", "session_date", "fold", "probability", "happened", "base_rate", "tracking_run")
        .orderBy("session_date", "event_id")
    )


def _latest_runs(runs: DataFrame) -> DataFrame:
    newest = Window.partitionBy("job").orderBy(F.desc("started_at"), "run_id")
    return (
        runs.withColumn("_place", F.row_number().over(newest))
        .withColumn("runs", F.count("*").over(Window.partitionBy("job")))
        .where("_place = 1")
        .selectExpr(
            *("job", "run_id", "code_version", "settings_hash", "rows_in", "rows_kept", "rows_quarantined"),
            *("started_at", "duration_seconds", "outcome", "message", "runs"),
            "transform(inputs, one -> concat(one.`table`, '@', one.version)) AS inputs",
            "transform(outputs, one -> concat(one.`table`, '@', one.version, ' +', format_number(one.rows, 0))) AS outputs",
        )
        .orderBy("started_at")
    )


def _refused(quarantine: DataFrame) -> DataFrame:
    return (
        quarantine.groupBy("table_name", "rule", "reason")
        .agg(F.count("*").alias("rows"))
        .orderBy("table_name", F.desc("rows"), "rule")
    )


def _intraday(lake: Lake, micro: MicrostructureSettings) -> Intraday | None:
    """The strongest intraday event that has features, with the tape around it."""
    chosen = _ask(lake, _strongest, "gold.events", "gold.event_features")
    if chosen is None or chosen.empty:
        return None
    event = records(chosen)[0]
    features = _ask(lake, lambda rows: rows.where(F.col("event_id") == event["event_id"]), "gold.event_features")
    known_ns = pd.Timestamp(event["known_at"]).tz_localize(UTC).value
    first_ns, end_ns = known_ns - micro.seconds_before * 10**9, known_ns + micro.seconds_after * 10**9

    def of_event(rows: DataFrame) -> DataFrame:
        return rows.where(
            (F.col("symbol") == event["symbol"]) & (F.col("session_date") == F.lit(event["session_date"]))
        )

    def sound(quotes: DataFrame) -> DataFrame:
        return of_event(quotes).where(is_valid(micro))

    def in_window(rows: DataFrame) -> DataFrame:
        return rows.where((F.col(TIME) >= first_ns) & (F.col(TIME) < end_ns))

    def signed(trades: DataFrame, quotes: DataFrame) -> DataFrame:
        counted = in_window(with_tick(of_event(trades).where("updates_volume")))
        sign = trade_sign(micro.sign_rule, F.col("price"), "quote", F.col("tick")).cast("double").alias("sign")
        shares = F.col("size").cast("double").alias("size")
        met = with_quotes(counted, sound(quotes), {"quote": 0}).orderBy(TIME, "sequence_number")
        return met.select(TIME, "price", shares, sign)

    def thinned(quotes: DataFrame) -> DataFrame:
        step = max(QUOTE_STEP_NS, -(-(end_ns - first_ns) // MAXIMUM_QUOTES))
        columns = (TIME, "bid_price", "ask_price")
        last = F.max_by(F.struct(*columns), F.struct(TIME, "sequence_number")).alias("last")
        groups = in_window(sound(quotes)).groupBy(F.expr(f"({TIME} - {first_ns}) div {step}").alias("_step"))
        return groups.agg(last).select("last.*").orderBy(TIME)

    trades = _ask(lake, signed, "silver.trades", "silver.quotes")
    quotes = _ask(lake, thinned, "silver.quotes")
    if features is None or trades is None or quotes is None:
        return None
    return Intraday(event, records(features)[0], trades, quotes)


def _strongest(events: DataFrame, features: DataFrame) -> DataFrame:
    intraday = events.where("grain <> 'daily'").join(features.select("event_id"), "event_id", "left_semi")
    return intraday.orderBy(F.desc("strength"), "event_id").limit(1)
