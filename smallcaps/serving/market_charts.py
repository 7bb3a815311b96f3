"""Charts of the page of a market: figures by class of names, and single episodes."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy import stats

from smallcaps.serving.charts import INK, NEUTRAL, dress, price_and_volume
from smallcaps.serving.market_data import LAGS, MINUTES_AFTER, MINUTES_BEFORE, MOST_TICKS, Shape, Story
from smallcaps.sources.simulator.arrivals import Floats

COLOURS = {"liquid": "#124e82", "mid": "#2a9d8f", "thin": "#d9901a"}
_OPEN = pd.Timestamp("2000-01-01 09:30")
_BIN = 5
"""Minutes over which the volume curve is averaged: the first bin holds the opening print."""
_SHARES = [1, 0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6]
_RANGE = "#c9d3dc"

Range = tuple[float, float]


def volume_curve(shapes: dict[str, Shape]) -> go.Figure:
    """Volume by time of the regular session, as a multiple of the average minute."""
    clock = [f"{_OPEN + pd.Timedelta(minutes=minute):%H:%M}" for minute in range(0, 390, _BIN)]
    figure = go.Figure()
    for name, shape in shapes.items():
        if len(shape.volume):
            multiple = shape.volume.reshape(-1, _BIN).mean(axis=1) * len(shape.volume)
            _line(figure, name, clock, multiple.round(3), "%{y:.2f} × at %{x}")
    figure.add_hline(y=1, line={"color": NEUTRAL, "width": 1, "dash": "dot"})
    _dress_by_class(figure, "New York time", "× average minute")
    figure.update_xaxes(tickvals=[f"{hour}:00" for hour in range(10, 16)], showgrid=False)
    figure.update_yaxes(rangemode="tozero")
    return figure


def return_tail(shapes: dict[str, Shape]) -> go.Figure:
    """Share of returns at least so large, log-log, beside a normal and a power law with index 4."""
    figure = go.Figure()
    for name, shape in shapes.items():
        _line(
            figure,
            name,
            shape.sizes.round(4),
            [float(f"{share:.3g}") for share in shape.survival],
            "%{y:.2g} at or beyond %{x:.2f} σ",
        )
    sizes = 10 ** np.linspace(-0.8, 0.69, 60)
    _reference(figure, "normal", sizes, 2 * stats.norm.sf(sizes), "dash")
    tail = np.array([2.5, 25.0])
    _reference(figure, "power law, index 4", tail, 0.02 * (tail / 2.5) ** -4.0, "dot")
    _dress_by_class(figure, "size, standard deviations of the name", "share at least that large")
    figure.update_xaxes(type="log", range=[-0.8, 1.8], tickvals=[0.2, 0.5, 1, 2, 5, 10, 20, 50])
    figure.update_yaxes(
        type="log",
        range=[np.log10(_SHARES[-1]), 0.1],
        tickvals=_SHARES,
        ticktext=[f"{100 * share:g} %" for share in _SHARES],
    )
    return figure


def autocorrelation(shapes: dict[str, Shape], of: Callable[[Shape], Floats], real: dict[int, Range]) -> go.Figure:
    """Autocorrelation by lag; `real`: the range that real names have, at the lags for which it is known."""
    figure = go.Figure()
    for place, (lag, (low, high)) in enumerate(real.items()):
        figure.add_scatter(
            x=[lag, lag],
            y=[low, high],
            name="real names",
            mode="lines",
            line={"color": _RANGE, "width": 11},
            showlegend=place == 0,
            hovertemplate=f"real names at lag {lag}: {low:g} to {high:g}<extra></extra>",
        )
    for name, shape in shapes.items():
        values = of(shape)
        _line(figure, name, list(range(1, len(values) + 1)), values.round(4), "%{y:.3f} at lag %{x}", "lines+markers")
    figure.add_hline(y=0, line={"color": NEUTRAL, "width": 1})
    _dress_by_class(figure, "lag, traded minutes", "autocorrelation")
    figure.update_xaxes(range=[0.3, LAGS + 0.7], tickvals=[1, 5, 10, 15, 20])
    return figure


def spread_shares(shapes: dict[str, Shape]) -> go.Figure:
    """Share of the regular session's time by spread in ticks."""
    ticks = [*map(str, range(MOST_TICKS)), f"{MOST_TICKS}+"]
    figure = go.Figure()
    for name, shape in shapes.items():
        if len(shape.spreads):
            figure.add_bar(
                x=ticks,
                y=shape.spreads.round(5),
                name=name,
                marker={"color": COLOURS[name]},
                hovertemplate=f"{name}: %{{y:.1%}} of the time at %{{x}} ticks<extra></extra>",
            )
    _dress_by_class(figure, "spread, ticks of one cent", "share of time")
    figure.update_layout(barmode="group", bargap=0.15)
    # Few enough names to stand side by side on a narrow page.
    figure.update_xaxes(type="category", showgrid=False, tickangle=0, tickvals=[*ticks[:4], *ticks[4:-2:2], ticks[-1]])
    figure.update_yaxes(tickformat=".0%")
    return figure


def story(told: Story) -> go.Figure:
    """Minute candles over volume around an episode: onset and peak marked, halts shaded."""
    bars = told.bars
    figure = price_and_volume(bars, [f"{at:%Y-%m-%d %H:%M}" for at in bars["at"]])
    dress(figure, 300)
    onset, peak = told.onset, told.peak
    for start, end in told.halts:
        figure.add_vrect(x0=start, x1=end, fillcolor=NEUTRAL, opacity=0.25, line_width=0, layer="below")
    for at, text, dash in ((onset, "onset", "dash"), (peak, "peak", "dot")):
        figure.add_vline(x=at, line={"color": INK, "width": 1.3, "dash": dash})
        _name(figure, at, text, "right" if text == "onset" else "left")
    first = max(onset - pd.Timedelta(minutes=MINUTES_BEFORE), bars["at"].iloc[0]) - pd.Timedelta(minutes=1)
    last = min(peak + pd.Timedelta(minutes=MINUTES_AFTER), bars["at"].iloc[-1]) + pd.Timedelta(minutes=2)
    figure.update_layout(margin={"t": 24})
    figure.update_xaxes(
        type="date", range=[first, last], tickformat="%H:%M", nticks=7, tickangle=0, rangeslider={"visible": False},
        showgrid=False,
    )  # fmt: skip
    figure.update_yaxes(tickformat="$,.2f", row=1, col=1)
    figure.update_yaxes(tickformat="~s", nticks=3, row=2, col=1)
    return figure


def _name(figure: go.Figure, at: pd.Timestamp, text: str, side: str) -> None:
    figure.add_annotation(
        x=at, y=1, yref="paper", yanchor="bottom", xanchor=side, text=text, showarrow=False, font={"size": 11}
    )


def _line(
    figure: go.Figure, name: str, across: Sequence[object] | Floats, up: Sequence[float] | Floats, hover: str,
    mode: str = "lines",
) -> None:  # fmt: skip
    figure.add_scatter(
        x=across,
        y=up,
        name=name,
        mode=mode,
        line={"color": COLOURS[name], "width": 1.8},
        marker={"size": 4.5},
        hovertemplate=f"{name}: {hover}<extra></extra>",
    )


def _reference(figure: go.Figure, name: str, across: Floats, up: Floats, dash: str) -> None:
    figure.add_scatter(
        x=across.round(4),
        y=up,
        name=name,
        mode="lines",
        line={"color": INK, "width": 1.2, "dash": dash},
        hoverinfo="skip",
    )


def _dress_by_class(figure: go.Figure, across: str, up: str) -> None:
    dress(figure, 330)
    figure.update_layout(
        margin={"l": 64, "b": 46, "t": 40},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(title={"text": across, "font": {"size": 11}})
    figure.update_yaxes(title={"text": up, "font": {"size": 11}})
