"""The page of a name's day: its bars, its events, and why they fired.

1. `collect` reads the name's rows and runs the detectors on them again, by the statement that made gold.events, with what
decided about each. 2. `render` is pure. 3. `write_day_page` writes the page.
"""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.detectors.compiler import Chosen
from smallcaps.detectors.detect import (
    INPUT_TABLE,
    chosen_detectors,
    expectations,
    explained_events,
    first_day_needed,
    rules_of,
)
from smallcaps.detectors.registry import GRAINS
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, between
from smallcaps.serving import charts
from smallcaps.serving.page import in_new_york, render_page
from smallcaps.serving.report import in_shares_of
from smallcaps.serving.report_data import records

SESSIONS = 60
"""Sessions of the daily chart, the day included."""
_BARS = ("session_date", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class DayData:
    """A name's day.

    `days`: session_date, open, high, low, close, volume of its sessions up to the day, in the day's shares. `minutes`: at (New
    York), session and the same of the day. `events`: rows of gold.events with `why`, in order of time; `recorded`: ids and
    detectors of those that gold.events has. `halts`: start and end (New York); one that nobody ended ends with the day.
    """

    symbol: str
    day: date
    settings: Settings
    days: pd.DataFrame
    minutes: pd.DataFrame
    events: list[dict[str, Any]]
    recorded: dict[str, str]
    halts: list[tuple[pd.Timestamp, pd.Timestamp]]


def write_day_page(lake: Lake, settings: Settings, symbol: str, day: date, page: Path) -> int:
    """Write the page into `page` (its folder is made if need be); returns how many events the day has.

    Raises BadInput where silver has nothing of the name that day.
    """
    data = collect(lake, settings, symbol, day)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(data), encoding="utf-8")
    return len(data.events)


def collect(lake: Lake, settings: Settings, symbol: str, day: date) -> DayData:
    """Read what the page shows. Raises BadInput where silver has nothing of the name that day."""
    own, that_day = F.col("symbol") == symbol, between("session_date", day, day)
    found = [
        (grain, rows)
        for grain in GRAINS
        if lake.exists(INPUT_TABLE[grain])
        and not (rows := lake.read(INPUT_TABLE[grain])).where(own).where(that_day).isEmpty()
    ]
    if not found:
        raise BadInput(
            f"Silver has no bars and no trades of {symbol} on {day}. Case matters; is it a session, and refined?"
        )
    events: list[dict[str, Any]] = []
    days = pd.DataFrame(columns=_BARS)
    for grain, rows in found:
        of_name = rows.where(own)
        if not GRAINS[grain].stays_in_session:
            # What looks back follows the security, whatever its symbol was.
            of_name = rows.join(of_name.where(that_day).select("security_id"), "security_id", "left_semi")
            days = _days(of_name, day)
        start = day if GRAINS[grain].stays_in_session else first_day_needed(of_name, settings, grain, day, day)
        read = of_name.where(F.col("session_date") <= F.lit(day))
        read = read if start is None else read.where(F.col("session_date") >= F.lit(start))
        expected = {table: usual.where(that_day) for table, usual in expectations(lake).items()}
        events += records(explained_events(read, settings, grain, expected).where(that_day).toPandas())
    known: dict[str, str] = {}
    if lake.exists("gold.events"):
        there = (
            lake.read("gold.events")
            .where(that_day)
            .where(own)
            .where(F.col("grain").isin([grain for grain, _ in found]))
        )
        known = {row.event_id: row.detector for row in there.select("event_id", "detector").collect()}
    return DayData(
        symbol,
        day,
        settings,
        days,
        _minutes(lake, symbol, that_day),
        sorted(events, key=lambda event: (event["known_at"], event["detector"])),
        known,
        _halts(lake, symbol, day),
    )


def _days(bars: DataFrame, day: date) -> pd.DataFrame:
    """The last sessions up to the day, in the day's shares."""
    before = bars.where(F.col("session_date") <= F.lit(day)).orderBy(F.desc("session_date")).limit(SESSIONS)
    frame = before.select(*_BARS, "cumulative_factor").toPandas().sort_values("session_date", ignore_index=True)
    return in_shares_of(frame, float(frame["cumulative_factor"].iloc[-1]))


def _minutes(lake: Lake, symbol: str, that_day: str) -> pd.DataFrame:
    columns = ("session", *_BARS[1:])
    if not lake.exists("silver.bars_1m"):
        return pd.DataFrame(columns=("at", *columns))
    rows = lake.read("silver.bars_1m").where(F.col("symbol") == symbol).where(that_day)
    frame = rows.select("ts", *columns).orderBy("ts").toPandas()
    frame["at"] = frame.pop("ts").map(_on_the_axis)
    return frame


def _halts(lake: Lake, symbol: str, day: date) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    if not lake.exists("silver.halts"):
        return []
    of_name = lake.read("silver.halts").where(F.col("symbol") == symbol).where(between("session_date", day, day))
    over = sessions_between(day, day)["post_close_at"].iloc[0]
    return [
        (
            _on_the_axis(pd.Timestamp(row.start_ns)),
            _on_the_axis(over if row.end_ns is None else pd.Timestamp(row.end_ns)),
        )
        for row in of_name.orderBy("start_ns").collect()
    ]


def _on_the_axis(instant: datetime) -> pd.Timestamp:
    """An instant by New York's clock, without a zone: plotly has none."""
    return in_new_york(instant).tz_localize(None)


def render(data: DayData) -> str:
    """The page as HTML: no reads, no clock, no outside resources."""
    detectors = {one.detector.name: one for grain in GRAINS for one in chosen_detectors(data.settings, grain)}
    events = [_told(event, detectors[event["detector"]], data) for event in data.events]
    figures = {}
    if len(data.minutes):
        figures["minutes"] = charts.fragment(_minute_chart(data), f"{data.symbol} by the minute")
    if len(data.days):
        figures["days"] = charts.fragment(charts.candles(data.days, data.day), f"{data.symbol} by the day")
    found = {event["event_id"] for event in data.events}
    lost = sorted((detector, event_id) for event_id, detector in data.recorded.items() if event_id not in found)
    return render_page("day.html", data=data, events=events, lost=lost, figures=figures, sessions=len(data.days))


def _told(event: dict[str, Any], chosen: Chosen, data: DayData) -> dict[str, Any]:
    numbers = {name: f"{value:g}" for name, value in (rules_of(data.settings).values | chosen.parameters).items()}
    condition = f"{GRAINS[event['grain']].guard} AND {chosen.detector.condition}"
    return event | {
        "summary": chosen.detector.summary,
        "condition": condition.format(**numbers),
        "edge": GRAINS[event["grain"]].edge,
        "values": [(name, _shown(value)) for name, value in dict(event["why"]).items() if value is not None],
        "is_recorded": event["event_id"] in data.recorded,
    }


def _shown(value: str) -> str:
    """A value as one reads it: a number in six digits or whole."""
    try:
        number = float(value)
    except ValueError:
        return value
    return f"{number:,.0f}" if abs(number) >= 1_000 else f"{number:.6g}"


def _minute_chart(data: DayData) -> go.Figure:
    """Minute candles over volume: events marked when they were known, halts shaded."""
    bars = data.minutes
    figure = charts.price_and_volume(bars, [f"{at:%Y-%m-%d %H:%M}" for at in bars["at"]])
    charts.dress(figure, 420)
    for start, end in data.halts:
        figure.add_vrect(x0=start, x1=end, fillcolor=charts.NEUTRAL, opacity=0.25, line_width=0, layer="below")
    known = [event for event in data.events if event["grain"] != "daily"]
    marks = ((1, "triangle-up", charts.UP), (-1, "triangle-down", charts.DOWN), (0, "diamond", charts.INK))
    for direction, shape, colour in marks:
        rows = [event for event in known if event["direction"] == direction]
        figure.add_scatter(
            x=[_on_the_axis(event["known_at"]) for event in rows],
            y=[event["price"] for event in rows],
            mode="markers",
            marker={"symbol": shape, "size": 12, "color": colour, "line": {"width": 1, "color": "#ffffff"}},
            customdata=[event["detector"].replace("_", " ") for event in rows],
            hovertemplate="%{customdata}, known %{x|%H:%M:%S}, %{y:$,.4~f}<extra></extra>",
            row=1,
            col=1,
        )
    figure.update_xaxes(
        type="date", tickformat="%H:%M", nticks=12, tickangle=0, rangeslider={"visible": False}, showgrid=False
    )
    figure.update_yaxes(tickformat="$,.2f", row=1, col=1)
    figure.update_yaxes(tickformat="~s", nticks=3, row=2, col=1)
    return figure
