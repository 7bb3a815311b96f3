"""Charts of the report, and what all charts have in common: small frames → plotly figures → HTML fragments.

Up and bought are blue, down and sold are orange: told apart by colour-blind eyes too. A fragment holds the figure as
JSON; the page's script draws it when it comes into view, so a page with forty charts opens at once.
"""

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.subplots import make_subplots

from smallcaps.calendar.sessions import NEW_YORK

UP, DOWN, NEUTRAL, INK, GRID = "#1f6fb2", "#d9730d", "#8a94a0", "#26323d", "#e6eaee"
_FONT = {"family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif", "size": 12, "color": INK}
MAXIMUM_TRADES = 4000
"""Trades drawn; of more, every n-th is."""


def fragment(figure: go.Figure, label: str) -> Markup:
    """The figure as HTML; `label` is what a screen reader says. Plotly itself must be on the page."""
    content = figure.to_json().replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return Markup(
        '<div class="chart" style="height:{}px" role="img" aria-label="{}">'
        '<script type="application/json">{}</script></div>'
    ).format(figure.layout.height, label, Markup(content))  # noqa: S704 - escaped above


def months_chart(months: pd.DataFrame) -> go.Figure:
    """Events a detector and month: rows detector, month (yyyy-MM), events."""
    span = pd.period_range(months["month"].min(), months["month"].max(), freq="M").strftime("%Y-%m")
    counts = (
        months.pivot_table(index="detector", columns="month", values="events", aggfunc="sum")
        .reindex(columns=span)
        .fillna(0)
        .sort_index(ascending=False)
    )
    named = [f"{pd.Timestamp(month):%b<br>%Y}" for month in span]
    heatmap = go.Heatmap(
        x=named,
        y=[name.replace("_", " ") for name in counts.index],
        z=counts.to_numpy().astype(int).tolist(),
        colorscale=[[0, "#f4f7fa"], [0.35, "#a9cbe8"], [1, "#124e82"]],
        texttemplate="%{z:,}" if len(span) <= 24 else None,
        hovertemplate="%{y}, %{x}: %{z:,} events<extra></extra>",
        xgap=2,
        ygap=2,
        colorbar={"thickness": 10, "outlinewidth": 0, "title": {"text": "events"}},
    )
    figure = go.Figure(heatmap)
    dress(figure, 70 + 44 * len(counts))
    figure.update_layout(margin={"l": 120, "b": 44})
    figure.update_xaxes(showgrid=False, tickangle=0, nticks=8)
    figure.update_yaxes(showgrid=False)
    return figure


def candles(bars: pd.DataFrame, event_day: date, open_price: float | None = None) -> go.Figure:
    """Daily candles over volume, in session order; the event's day is marked.

    `bars`: session_date, open, high, low, close ($), volume (shares), in one day's shares. `open_price` marks an event
    of which only the open is known: a point after the last bar.
    """
    days = [day.isoformat() for day in bars["session_date"]]
    figure = price_and_volume(bars, days)
    categories = days
    if open_price is not None:
        categories = [*days, event_day.isoformat()]
        figure.add_scatter(
            x=[event_day.isoformat()],
            y=[open_price],
            mode="markers",
            marker={"symbol": "diamond", "size": 11, "color": INK},
            hovertemplate="open %{y:$,.4~f}<extra></extra>",
            row=1,
            col=1,
        )
    if event_day.isoformat() in categories:
        at = categories.index(event_day.isoformat())
        figure.add_vrect(x0=at - 0.5, x1=at + 0.5, fillcolor=INK, opacity=0.09, line_width=0, layer="below")
    dress(figure, 300)
    _session_axis(figure, categories)
    return figure


def aftermath(bars: pd.DataFrame, levels: dict[str, float], labelled: range) -> go.Figure:
    """Candles after the event over volume, with named price levels ($) across the bars that the label looks at.

    `bars` as in `candles`; `labelled`: positions of those bars.
    """
    days = [day.isoformat() for day in bars["session_date"]]
    figure = price_and_volume(bars, days)
    colours = {"continuation": UP, "reversal": DOWN}
    end = labelled.stop - 0.5
    for name, level in levels.items():
        figure.add_shape(
            type="line",
            x0=labelled.start - 0.5,
            x1=end,
            y0=level,
            y1=level,
            line={"color": colours.get(name, INK), "width": 1.4, "dash": "dot" if name in colours else "solid"},
            row=1,
            col=1,
        )
        figure.add_annotation(
            x=end,
            y=level,
            text=name,
            showarrow=False,
            xanchor="left",
            xshift=3,
            font={"size": 10},
            bgcolor="rgba(255,255,255,0.85)",
            row=1,
            col=1,
        )
    dress(figure, 280)
    _session_axis(figure, days)
    return figure


def tape(
    trades: pd.DataFrame, quotes: pd.DataFrame, known_at: datetime, seconds_before: int, seconds_after: int
) -> go.Figure:
    """Trades on the quotes, the spread and the cumulative signed volume around a moment, `known_at` (UTC, naive).

    `trades`: participant_ns, price ($), size (shares), sign; `quotes`: participant_ns, bid_price, ask_price ($).
    """
    known_ns = pd.Timestamp(known_at).tz_localize("UTC").value

    def seconds(rows: pd.DataFrame) -> pd.Series:
        return ((rows["participant_ns"] - known_ns) / 1e9).round(3)

    figure = make_subplots(rows=3, cols=1, shared_xaxes=True, row_heights=[0.6, 0.17, 0.23], vertical_spacing=0.035)
    at = seconds(quotes)
    for name, label, colour in (("ask_price", "offer", DOWN), ("bid_price", "bid", UP)):
        figure.add_scatter(
            x=at,
            y=quotes[name],
            name=label,
            mode="lines",
            line={"shape": "hv", "width": 1, "color": colour},
            opacity=0.65,
            hovertemplate=label + " %{y:$,.4~f}<extra></extra>",
            row=1,
            col=1,
        )
    drawn = trades.assign(at=seconds(trades)).iloc[:: trade_step(trades)]
    scale = max(float(drawn["size"].quantile(0.98)), 1.0) if len(drawn) else 1.0
    unknown = drawn["sign"].isna() | (drawn["sign"] == 0)
    for label, colour, rows in (
        ("side unknown", NEUTRAL, drawn[unknown]),
        ("sold", DOWN, drawn[~unknown & (drawn["sign"] < 0)]),
        ("bought", UP, drawn[~unknown & (drawn["sign"] > 0)]),
    ):
        figure.add_scatter(
            x=rows["at"],
            y=rows["price"],
            name=label,
            mode="markers",
            marker={
                "color": colour,
                "size": (3 + 8 * np.sqrt((rows["size"] / scale).clip(upper=1))).round(1),
                "line": {"width": 0.5, "color": "#ffffff"},
                "opacity": 0.75,
            },
            customdata=rows["size"],
            hovertemplate=label + " %{customdata:,} at %{y:$,.4~f}, %{x:+.1f} s<extra></extra>",
            row=1,
            col=1,
        )
    middle = (quotes["ask_price"] + quotes["bid_price"]) / 2
    figure.add_scatter(
        x=at,
        y=((quotes["ask_price"] - quotes["bid_price"]) / middle).round(6),
        mode="lines",
        line={"shape": "hv", "width": 1, "color": INK},
        hovertemplate="spread %{y:.2%}<extra></extra>",
        showlegend=False,
        row=2,
        col=1,
    )
    running = (trades["size"] * trades["sign"].fillna(0)).astype(float).cumsum()
    figure.add_scatter(
        x=seconds(trades).iloc[:: trade_step(trades)],
        y=running.iloc[:: trade_step(trades)],
        mode="lines",
        line={"shape": "hv", "width": 1.4, "color": UP},
        fill="tozeroy",
        fillcolor="rgba(31,111,178,0.12)",
        hovertemplate="%{y:+,.0f} shares<extra></extra>",
        showlegend=False,
        row=3,
        col=1,
    )
    figure.add_vline(x=0, line={"color": INK, "width": 1.4, "dash": "dash"})
    dress(figure, 620)
    figure.update_layout(
        margin={"l": 78, "t": 34}, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, showlegend=True
    )
    values, labels = _clock_ticks(known_at, seconds_before, seconds_after)
    figure.update_xaxes(range=[-seconds_before, seconds_after], tickvals=values, ticktext=labels, tickangle=0)
    for row, title, shape in ((1, "price", "$,.2f"), (2, "spread / mid", ".1%"), (3, "bought − sold", "~s")):
        figure.update_yaxes(title={"text": title, "font": {"size": 11}}, tickformat=shape, row=row, col=1)
    return figure


def trade_step(trades: pd.DataFrame) -> int:
    """Every how manieth trade is drawn."""
    return max(1, -(-len(trades) // MAXIMUM_TRADES))


def calibration(deciles: pd.DataFrame) -> go.Figure:
    """Observed share of continuation against predicted probability, by decile, with 95 % bars."""
    shares = deciles[["predicted", "observed", "observed_low", "observed_high"]].to_numpy()
    low, high = float(np.nanmin(shares)), float(np.nanmax(shares))
    figure = go.Figure()
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", line={"color": NEUTRAL, "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=deciles["predicted"],
        y=deciles["observed"],
        mode="markers",
        marker={"color": UP, "size": 9},
        error_y=_bars(deciles, "observed"),
        customdata=deciles["events"],
        hovertemplate="predicted %{x:.1%}, observed %{y:.1%}, %{customdata:,} events<extra></extra>",
    )
    dress(figure, 320)
    figure.update_layout(margin={"l": 64, "b": 48})
    figure.update_xaxes(title={"text": "predicted probability"}, tickformat=".0%")
    figure.update_yaxes(title={"text": "observed share"}, tickformat=".0%")
    return figure


def lift(deciles: pd.DataFrame) -> go.Figure:
    """Share of continuation by decile / share among all, with 95 % bars."""
    figure = go.Figure(
        go.Bar(
            x=deciles["decile"],
            y=deciles["lift"],
            marker={"color": [UP if value >= 1 else DOWN for value in deciles["lift"]], "opacity": 0.75},
            error_y=_bars(deciles, "lift"),
            customdata=deciles["events"],
            hovertemplate="decile %{x}: %{y:.2f} × the base rate, %{customdata:,} events<extra></extra>",
        )
    )
    figure.add_hline(y=1, line={"color": INK, "width": 1.2, "dash": "dot"})
    dress(figure, 320)
    figure.update_layout(margin={"l": 64, "b": 48})
    figure.update_xaxes(title={"text": "decile of probability (1 lowest)"}, dtick=1, showgrid=False)
    figure.update_yaxes(title={"text": "× base rate"}, rangemode="tozero")
    return figure


def _bars(deciles: pd.DataFrame, name: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": (deciles[f"{name}_high"] - deciles[name]).clip(lower=0),
        "arrayminus": (deciles[name] - deciles[f"{name}_low"]).clip(lower=0),
        "color": INK,
        "thickness": 1.2,
        "width": 3,
    }


def price_and_volume(bars: pd.DataFrame, places: Sequence[str | int], unit: str = "shares") -> go.Figure:
    """Candles over volume, not dressed yet. `bars`: open, high, low, close ($), volume (`unit`), one each of `places`."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.76, 0.24], vertical_spacing=0.03)
    figure.add_candlestick(
        x=places,
        **{name: bars[name].round(4) for name in ("open", "high", "low", "close")},
        increasing={"line": {"color": UP, "width": 1.2}, "fillcolor": UP},
        decreasing={"line": {"color": DOWN, "width": 1.2}, "fillcolor": DOWN},
        row=1,
        col=1,
    )
    rising = bars["close"] >= bars["open"]
    figure.add_bar(
        x=places,
        y=bars["volume"].round(),
        marker={"color": [UP if up else DOWN for up in rising], "opacity": 0.55, "line": {"width": 0}},
        hovertemplate="%{x}: %{y:,.0f} " + unit + "<extra></extra>",
        row=2,
        col=1,
    )
    return figure


def _session_axis(figure: go.Figure, days: Sequence[str]) -> None:
    """One place a session, in order, a handful of them named."""
    step = max(1, len(days) // 6)
    named = list(days)[step // 2 :: step]
    figure.update_xaxes(
        type="category",
        categoryorder="array",
        categoryarray=list(days),
        range=[-0.8, len(days) - 0.2],
        tickvals=named,
        ticktext=[f"{date.fromisoformat(day).day} {date.fromisoformat(day):%b}" for day in named],
        tickangle=0,
        rangeslider={"visible": False},
        showgrid=False,
    )
    figure.update_yaxes(tickformat="$,.2f", row=1, col=1)
    figure.update_yaxes(tickformat="~s", nticks=3, row=2, col=1)


def _clock_ticks(known_at: datetime, seconds_before: int, seconds_after: int) -> tuple[list[float], list[str]]:
    """Places (seconds from `known_at`) and New York names of whole minutes, about ten of them."""
    known = pd.Timestamp(known_at).tz_localize("UTC").tz_convert(NEW_YORK)
    step = max(60, round((seconds_before + seconds_after) / 10 / 60) * 60)
    first = (known - pd.Timedelta(seconds=seconds_before)).ceil(f"{step}s")
    last = known + pd.Timedelta(seconds=seconds_after)
    ticks = pd.date_range(first, last, freq=f"{step}s")
    return [(tick - known).total_seconds() for tick in ticks], [f"{tick:%H:%M}" for tick in ticks]


def dress(figure: go.Figure, height: int) -> None:
    """What every chart has in common."""
    figure.update_layout(
        template="none",
        height=height,
        font=_FONT,
        margin={"l": 62, "r": 14, "t": 10, "b": 28},
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        showlegend=False,
        hovermode="closest",
        dragmode=False,
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, fixedrange=True, automargin=False)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, fixedrange=True, automargin=False)
