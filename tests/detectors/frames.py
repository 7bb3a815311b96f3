"""Frames of the detectors' input, made from pandas, and what comes out of them."""

from datetime import date

import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.detectors.detect import events
from smallcaps.refine.bars import with_missing_splits

PRICES = ["open", "high", "low", "close"]
DAILY_SCHEMA = (
    "security_id string, symbol string, session_date date, session_number int, open_at timestamp, close_at timestamp, "
    "open double, high double, low double, close double, volume bigint, cumulative_factor double"
)
MINUTE_SCHEMA = (
    "security_id string, symbol string, session_date date, ts timestamp, session string, segment int, segment_start int, "
    "minute int, open double, high double, low double, close double, volume bigint, is_auction boolean"
)
TRADE_SCHEMA = (
    "security_id string, symbol string, session_date date, ts timestamp, sip_ns bigint, sequence_number bigint, "
    "session string, segment int, segment_start int, second int, price double, size decimal(20,6), updates_volume boolean, "
    "is_whole_day boolean"
)
NUMBERS = [
    "strength",
    "price",
    "dollar_volume",
    "pct_change",
    "gap_pct",
    "atr",
    "vwap_distance",
    "relative_volume",
    "rvol_n",
]


def _frame(spark: SparkSession, rows: pd.DataFrame, schema: str) -> DataFrame:
    names = [part.split()[0] for part in schema.split(", ")]
    return spark.createDataFrame(rows.assign(security_id="T:" + rows["symbol"])[names], schema)


def daily_frame(spark: SparkSession, bars: pd.DataFrame, splits: pd.DataFrame | None = None) -> DataFrame:
    """silver.bars_1d's columns that detectors use, of clean as-traded bars (symbol, session_date, prices, volume)."""
    calendar = sessions_between(bars["session_date"].min(), bars["session_date"].max())
    rows = bars.merge(calendar[["session_date", "session_number", "open_at", "close_at"]], on="session_date")
    rows["volume"] = rows["volume"].round().astype("int64")
    rows["cumulative_factor"] = 1.0
    if splits is not None:
        of_name = rows.groupby("symbol").indices
        for split in splits[splits["symbol"].isin(of_name)].itertuples():
            places = of_name[split.symbol]
            later = places[(rows["session_date"].to_numpy()[places] >= split.ex_date)]
            rows.loc[later, "cumulative_factor"] *= split.price_factor
    return with_missing_splits(_frame(spark, rows, DAILY_SCHEMA), F.col("volume") > 0)


def minute_frame(spark: SparkSession, bars: pd.DataFrame) -> DataFrame:
    """silver.bars_1m's columns that detectors use, of labelled bars."""
    return _frame(spark, bars.astype({"volume": "int64"}), MINUTE_SCHEMA)


def trade_frame(spark: SparkSession, trades: pd.DataFrame) -> DataFrame:
    """silver.trades' columns that detectors use; segment_start comes in seconds and becomes minutes."""
    rows = trades.assign(
        sip_ns=trades["ts"].astype("int64"),
        segment_start=trades["segment_start"] // 60,
        updates_volume=trades["eligible"],
        is_whole_day=True,
        size=trades["size"].map(lambda size: f"{size:.6f}"),
    )
    schema = TRADE_SCHEMA.replace("size decimal(20,6)", "size string")
    frame = _frame(spark, rows.assign(ts=rows["ts"].dt.floor("us")), schema)
    return frame.withColumn("size", frame["size"].cast("decimal(20,6)"))


def found(
    frame: DataFrame, settings: Settings, grain: str, expected: dict[str, DataFrame] | None = None
) -> pd.DataFrame:
    """The events of a frame as pandas, in order."""
    rows = events(frame, settings, grain, expected).toPandas()
    rows["ts"] = rows["ts"].dt.tz_localize("UTC")
    return rows.sort_values(["symbol", "ts", "detector"], ignore_index=True)


def expected_frames(spark: SparkSession, days: pd.DataFrame, curves: pd.DataFrame) -> dict[str, DataFrame]:
    """The same as the rows of silver that the detectors are given."""
    shapes = {
        "silver.baselines": (
            "security_id string, session_date date, bars int, counted_bars int, median_volume double, median_trades double"
        ),
        "silver.volume_curves": (
            "session_date date, minute int, volume_share double, volume_share_5m double, trades_share double"
        ),
    }
    rows = {"silver.baselines": days.assign(security_id="T:" + days["symbol"]), "silver.volume_curves": curves}
    frames = {}
    for table, shape in shapes.items():
        columns = [part.split()[0] for part in shape.split(", ")]
        values = rows[table][columns].astype(object)
        frames[table] = spark.createDataFrame(values.where(values.notna(), None).values.tolist(), shape)
    return frames


def assert_same_events(ours: pd.DataFrame, oracle: pd.DataFrame, key: list[str]) -> None:
    """The same events, and the same numbers to 2 in 10⁸ (one side may round a tie of the ninth digit the other way)."""
    names = [*key, "direction"]
    left = ours.sort_values(key, ignore_index=True)
    right = oracle.sort_values(key, ignore_index=True)
    pd.testing.assert_frame_equal(left[names], right[names], check_dtype=False)
    for name in [name for name in NUMBERS if name in right.columns]:
        pd.testing.assert_series_equal(
            left[name].astype(float), right[name].astype(float), rtol=2e-8, atol=1e-12, check_names=False
        )


def walk(days: int, start: date = date(2015, 3, 20)) -> list[date]:
    """The first `days` sessions from `start` on."""
    return list(sessions_between(start, date(start.year + 3, start.month, 28))["session_date"][:days])
