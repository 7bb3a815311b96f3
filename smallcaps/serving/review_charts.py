"""Charts of a review's items: what anyone could have seen at the decision time, and neither name nor day.

1. `read_bars` joins items with the bars and trades that were known by then; nothing later leaves the tables. 2. `charts_of` is
pure. Days are counted back from the item's, a minute has the clock alone: a name and a day could be looked up.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import Lake
from smallcaps.serving import charts
from smallcaps.serving.report import in_shares_of

SESSIONS = 60
TAPE_SECONDS = 1_800
"""How far the chart of trades goes back."""
BUCKET_SECONDS = 10
CLOSE_MINUTES = 120
"""How far the closer chart of minutes goes back."""
_PRICES = ("open", "high", "low", "close")
_ITEM = "item_id string, security_id string, session_date date, ts_micros bigint, known_micros bigint"


@dataclass(frozen=True)
class Bars:
    """What was known of items, by item_id.

    `days`: session_date, prices, volume, cumulative_factor, day_factor (that of the item's day; null where it has no bar).
    `minutes`: minute (since 04:00), session, prices, volume of the item's day. `tape`: back (buckets before the item's), prices,
    volume (trades).
    """

    days: pd.DataFrame
    minutes: pd.DataFrame
    tape: pd.DataFrame


def read_bars(lake: Lake, versions: Mapping[str, int], items: Sequence[Mapping[str, Any]], delay: int) -> Bars:
    """What was known of `items` at their `known_micros`: a bar, or a second's trades, is `delay` seconds after its end.

    `versions` are those of the tables to be read; of others there is nothing.
    """
    columns = [part.split()[0] for part in _ITEM.split(", ")]
    wanted = F.broadcast(lake.spark.createDataFrame([tuple(item[name] for name in columns) for item in items], _ITEM))

    def known(end: Column) -> Column:
        return F.unix_micros(end) + delay * 1_000_000 <= F.col("known_micros")

    def table(name: str) -> DataFrame:
        return lake.read(name, versions[name]) if name in versions else lake.empty(name)

    days = table("silver.bars_1d").withColumnRenamed("session_date", "day")
    own = days.selectExpr("security_id", "day AS session_date", "cumulative_factor AS day_factor")
    latest = Window.partitionBy("item_id").orderBy(F.desc("day"))
    before = (
        days.join(wanted.join(own, ["security_id", "session_date"], "left"), "security_id")
        .where(F.col("day") <= F.col("session_date"))
        .where(known(F.col("close_at")))
        .withColumn("place", F.row_number().over(latest))
        .where(F.col("place") <= SESSIONS)
        .selectExpr("item_id", "day AS session_date", *_PRICES, "volume", "cumulative_factor", "day_factor")
    )
    of_day = ["security_id", "session_date"]
    minutes = table("silver.bars_1m").join(wanted, of_day).where(known(F.col("ts") + F.expr("INTERVAL 60 SECONDS")))
    trades = table("silver.trades").where("updates_volume AND session <> 'closed'").join(wanted, of_day)
    second = F.date_trunc("second", F.col("ts"))
    back = F.expr(f"(ts_micros - unix_micros(date_trunc('second', ts))) div {BUCKET_SECONDS * 1_000_000}")
    in_order = F.struct("sip_ns", "sequence_number")
    tape = (
        trades.where(known(second + F.expr("INTERVAL 1 SECOND")))
        .withColumn("back", back)
        .where(F.col("back") < TAPE_SECONDS // BUCKET_SECONDS)
        .groupBy("item_id", "back")
        .agg(
            F.min_by("price", in_order).alias("open"),
            F.max("price").alias("high"),
            F.min("price").alias("low"),
            F.max_by("price", in_order).alias("close"),
            F.count("*").alias("volume"),
        )
    )
    return Bars(
        before.toPandas().sort_values(["item_id", "session_date"], ignore_index=True),
        minutes.select("item_id", "minute", "session", *_PRICES, "volume")
        .toPandas()
        .sort_values(["item_id", "minute"], ignore_index=True),
        tape.toPandas().sort_values(["item_id", "back"], ascending=[True, False], ignore_index=True),
    )


def charts_of(item: Mapping[str, Any], bars: Bars) -> str:
    """The charts of an item as JSON: {"charts": [{"title", "figure"}]}, a figure as plotly wants it."""
    item_id = item["item_id"]
    days, minutes, tape = (rows[rows["item_id"] == item_id] for rows in (bars.days, bars.minutes, bars.tape))
    figures = []
    if item["grain"] == "trade" and len(tape):
        figures.append(("Trades in 10 seconds, the last half hour", _tape(tape)))
    if item["grain"] != "daily" and len(minutes):
        lines = "VWAP of the session, and dotted since 04:00"
        figures.append((f"The last two hours, by the minute, with the {lines}", _minutes(minutes, 420, CLOSE_MINUTES)))
        figures.append(("The day so far", _minutes(minutes, 280)))
    if len(days):
        figures.append((f"{len(days)} sessions, by the day", _days(item, days)))
    told = [{"title": title, "figure": json.loads(figure.to_json())} for title, figure in figures]
    return json.dumps({"charts": told})


def _days(item: Mapping[str, Any], rows: pd.DataFrame) -> go.Figure:
    """Daily candles in the shares of the item's day; where of that only the open is known, the open."""
    factor = rows["day_factor"].iloc[-1]
    bars = in_shares_of(rows, float(rows["cumulative_factor"].iloc[-1] if pd.isna(factor) else factor))
    ends_before = int(bars["session_date"].iloc[-1] != item["session_date"])
    places = [*range(1 - len(bars) - ends_before, 1 - ends_before)]
    figure = charts.price_and_volume(bars, places)
    if ends_before and item["grain"] == "daily":
        figure.add_scatter(
            x=[0],
            y=[item["price"]],
            mode="markers",
            marker={"symbol": "diamond", "size": 11, "color": charts.INK},
            hovertemplate="open %{y:$,.4~f}<extra></extra>",
            row=1,
            col=1,
        )
    charts.dress(figure, 300)
    figure.update_xaxes(range=[places[0] - 1, 1], title={"text": "sessions before", "font": {"size": 11}}, row=2, col=1)
    return _on_axes(figure)


def _minutes(rows: pd.DataFrame, height: int, back: int | None = None) -> go.Figure:
    """Minute candles of the last `back` minutes, or of all, with the VWAP since 04:00 and that of the session."""
    dollars = (rows["high"] + rows["low"] + rows["close"]) / 3 * rows["volume"]
    of_session, volume = rows["session"], rows["volume"]
    rows = rows.assign(
        day_vwap=dollars.cumsum() / volume.cumsum(),
        session_vwap=dollars.groupby(of_session).cumsum() / volume.groupby(of_session).cumsum(),
    )
    if back is not None:
        rows = rows[rows["minute"] > rows["minute"].iloc[-1] - back]
    clock = [f"2000-01-01 {4 + minute // 60:02d}:{minute % 60:02d}" for minute in rows["minute"]]
    figure = charts.price_and_volume(rows, clock)
    for column, dash in (("day_vwap", "dot"), ("session_vwap", "solid")):
        figure.add_scatter(
            x=clock,
            y=rows[column].round(4),
            mode="lines",
            line={"width": 1.2, "dash": dash, "color": charts.INK},
            hovertemplate="VWAP %{y:$,.4~f}<extra></extra>",
            row=1,
            col=1,
        )
    charts.dress(figure, height)
    figure.update_xaxes(type="date", tickformat="%H:%M", nticks=12, tickangle=0)
    return _on_axes(figure)


def _tape(rows: pd.DataFrame) -> go.Figure:
    """Candles of ten seconds over the number of trades in them."""
    figure = charts.price_and_volume(rows, [-BUCKET_SECONDS * int(back) for back in rows["back"]], "trades")
    charts.dress(figure, 320)
    figure.update_xaxes(
        range=[-TAPE_SECONDS, BUCKET_SECONDS], title={"text": "seconds before", "font": {"size": 11}}, row=2, col=1
    )
    return _on_axes(figure)


def _on_axes(figure: go.Figure) -> go.Figure:
    figure.update_xaxes(rangeslider={"visible": False}, showgrid=False)
    figure.update_yaxes(tickformat="$,.2f", row=1, col=1)
    figure.update_yaxes(tickformat="~s", nticks=3, row=2, col=1)
    return figure
