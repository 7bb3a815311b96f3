"""The refine job: reads bronze, writes silver for a range of days. The only module of the room that reads or writes."""

from datetime import date

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, Run, between, recorded_run
from smallcaps.refine import adjustments, bars, ticks
from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.securities import first_seen, identify, unknown_symbols

BRONZE_BY_DAY = ("bronze.bars_1d", "bronze.bars_1m", "bronze.trades", "bronze.quotes")


def refine(lake: Lake, settings: Settings, first: date, last: date) -> dict[str, int]:
    """Make silver of bronze from `first` to `last`; returns rows written by table.

    Raises BadInput where bronze holds nothing of the range.
    """
    with recorded_run(lake, "refine", {"from": first, "to": last}, settings.digest()) as run:
        days = between("session_date", first, last)
        bronze = {name: run.read(name).where(days) for name in BRONZE_BY_DAY if lake.exists(name)}
        bronze = {name: frame for name, frame in bronze.items() if not frame.isEmpty()}
        if not bronze:
            raise BadInput(f"Bronze holds nothing from {first} to {last}. Run `smallcaps ingest flatfiles` first.")
        calendar = calendar_frame(lake.spark, first, last)
        run.replace("silver.calendar", calendar, days)
        securities = _refine_securities(run, list(bronze.values()))
        if "bronze.bars_1d" in bronze:
            _refine_daily(run, bronze["bronze.bars_1d"], calendar, securities, days)
        if "bronze.quotes" in bronze:
            quotes = bronze["bronze.quotes"]
            judged = identify(ticks.judged_quotes(quotes, calendar), securities)
            run.replace_judged("silver.quotes", judged, ticks.REASONS, days, quotes.count())
        _refine_minutes(run, bronze, calendar, securities, days)
        return {name: commit.rows for name, commit in run.outputs.items() if name.startswith("silver.")}


def _refine_securities(run: Run, frames: list[DataFrame]) -> DataFrame:
    candidates = first_seen(frames)
    if run.lake.exists("silver.securities"):
        candidates = unknown_symbols(candidates, run.read("silver.securities"))
    run.add_missing("silver.securities", candidates)
    return run.lake.read("silver.securities")


def _refine_daily(run: Run, daily: DataFrame, calendar: DataFrame, securities: DataFrame, days: str) -> None:
    factors = _refine_adjustments(run, securities)
    judged = identify(bars.judged_daily(daily, calendar), securities)
    run.replace_judged("silver.bars_1d", bars.daily_bars(judged, factors), bars.REASONS, days, daily.count())


def _refine_adjustments(run: Run, securities: DataFrame) -> DataFrame:
    """Judge every current split against all daily bars of its symbol; returns the stretches of constant factor."""
    if not run.lake.exists("bronze.splits"):
        empty = "symbol string, from_date date, to_date date, cumulative_factor double"
        return run.lake.spark.createDataFrame([], empty)
    splits = adjustments.current_splits(run.read("bronze.splits"))
    names = splits.select("symbol").distinct()
    history = run.read("bronze.bars_1d").join(F.broadcast(names), "symbol", "left_semi")
    bounds = history.agg(F.min("session_date"), F.max("session_date")).collect()[0]
    if bounds[0] is not None:
        judged_bars = bars.judged_daily(history, calendar_frame(run.lake.spark, bounds[0], bounds[1]))
        history = judged_bars.where("_rule IS NULL")
    # A price that was carried over a day without trades says nothing about a split.
    clean = history.where("volume > 0").select("symbol", "session_date", "open", "close")
    judged = adjustments.judged_splits(splits, clean)
    identified = judged.join(F.broadcast(securities.select("symbol", "security_id")), "symbol", "left").withColumn(
        # A split of a symbol without any data yet still has an identity: the day of the split.
        "security_id",
        F.coalesce("security_id", F.concat_ws(":", F.lit("T"), "symbol", F.col("execution_date").cast("string"))),
    )
    run.replace_judged("silver.adjustments", identified, adjustments.REASONS, None, splits.count())
    return adjustments.cumulative_factors(run.lake.read("silver.adjustments"))


def _refine_minutes(
    run: Run, bronze: dict[str, DataFrame], calendar: DataFrame, securities: DataFrame, days: str
) -> None:
    """Trades and minute bars: from trades where there are any, else the vendor's."""
    built: DataFrame | None = None
    judged_trades: DataFrame | None = None
    if "bronze.trades" in bronze:
        judged_trades = identify(ticks.judged_trades(bronze["bronze.trades"], calendar), securities)
        judged_trades = judged_trades.persist(StorageLevel.MEMORY_AND_DISK)
        run.replace_judged("silver.trades", judged_trades, ticks.REASONS, days, bronze["bronze.trades"].count())
        built = bars.minute_bars(judged_trades.where("_rule IS NULL"))
    vendor: DataFrame | None = None
    if "bronze.bars_1m" in bronze:
        vendor = identify(bars.judged_vendor_minutes(bronze["bronze.bars_1m"], calendar), securities)
        if built is not None:
            traded = F.broadcast(built.select("symbol", "session_date").distinct())
            vendor = vendor.join(traded, ["symbol", "session_date"], "left_anti")
    if vendor is not None:
        judged = vendor if built is None else vendor.unionByName(built, allowMissingColumns=True)
        run.replace_judged("silver.bars_1m", judged, bars.REASONS, days)
    elif built is not None:
        run.replace("silver.bars_1m", built, days)
    if judged_trades is not None:
        judged_trades.unpersist()
