"""Charts of the model report: algorithms by fold, calibration and lift in small, and the inputs that count most."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from smallcaps.models.evaluation import Estimate
from smallcaps.serving import charts
from smallcaps.serving.model_comparison import BASE_RATE, Fold
from smallcaps.serving.page import words

_COLOURS = (charts.UP, charts.DOWN, "#6a4c93", "#2b8a66", "#b03060")
_NAMED_FOLDS = 7
"""Folds whose months are written below a chart, at most."""
_SMALL = 250
_SHOWN_INPUTS = 12


def colours(algorithms: Sequence[str]) -> dict[str, str]:
    """A colour for each algorithm, by its place; grey for the base rate."""
    fitted = [name for name in algorithms if name != BASE_RATE]
    return {BASE_RATE: charts.NEUTRAL} | {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(fitted)}


def by_fold(folds: Sequence[Fold], algorithms: Sequence[str], metric: str, nothing: float) -> go.Figure:
    """A metric of each algorithm by fold, with 95 % bars. `nothing`: what it is where nothing is known, a dotted line."""
    figure, painted = go.Figure(), colours(algorithms)
    skill = metric == "log_loss_skill"
    for place, algorithm in enumerate(algorithms):
        # Side by side, so that bars do not hide each other.
        aside = (place - (len(algorithms) - 1) / 2) * 0.12
        own = [
            (at, fold, fold.scores[algorithm].metrics[metric])
            for at, fold in enumerate(folds)
            if algorithm in fold.scores
        ]
        figure.add_scatter(
            x=[at + aside for at, _, _ in own],
            y=[estimate.value for _, _, estimate in own],
            name=words(algorithm),
            mode="lines+markers",
            line={"color": painted[algorithm], "width": 1.6},
            marker={"size": 6},
            error_y=_bars([estimate for _, _, estimate in own], painted[algorithm]),
            customdata=[fold.number for _, fold, _ in own],
            hovertemplate=f"{words(algorithm)}, fold %{{customdata}}: %{{y:{'+.1%' if skill else '.3f'}}}<extra></extra>",
        )
    figure.add_hline(y=nothing, line={"color": charts.INK, "width": 1.1, "dash": "dot"})
    charts.dress(figure, 300)
    step = max(1, -(-len(folds) // _NAMED_FOLDS))
    named = list(range(0, len(folds), step))
    figure.update_layout(
        margin={"l": 52, "b": 44, "t": 34},
        showlegend=True,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
    )
    figure.update_xaxes(
        range=[-0.6, len(folds) - 0.4],
        tickvals=named,
        ticktext=[f"{folds[at].number}<br>{folds[at].first:%b %Y}" for at in named],
        tickangle=0,
        showgrid=False,
    )
    ends = [end for fold in folds for score in fold.scores.values() for end in asdict(score.metrics[metric]).values()]
    if np.isfinite(ends).any():
        figure.update_yaxes(range=_span([pd.Series([*ends, nothing])]))
    figure.update_yaxes(tickformat="+.0%" if skill else ".2f", nticks=7)
    return figure


def calibration(deciles: Mapping[str, pd.DataFrame]) -> dict[str, go.Figure]:
    """`charts.calibration` of each algorithm, all with the same axes."""
    predicted = _span([rows["predicted"] for rows in deciles.values()])
    columns = ("observed", "observed_low", "observed_high")
    observed = _span([rows[name] for rows in deciles.values() for name in columns])
    figures = {}
    for algorithm, rows in deciles.items():
        figure = charts.calibration(rows)
        figure.update_layout(height=_SMALL, margin={"l": 52, "b": 42})
        figure.update_xaxes(range=predicted, nticks=6)
        figure.update_yaxes(range=observed)
        figures[algorithm] = figure
    return figures


def lift(deciles: Mapping[str, pd.DataFrame]) -> dict[str, go.Figure]:
    """`charts.lift` of each algorithm, all with the same axes."""
    most = _span([rows[name] for rows in deciles.values() for name in ("lift", "lift_high")])[1]
    figures = {}
    for algorithm, rows in deciles.items():
        figure = charts.lift(rows)
        figure.update_layout(height=_SMALL, margin={"l": 52, "b": 42})
        figure.update_yaxes(range=[0, most])
        figures[algorithm] = figure
    return figures


def importance(rows: pd.DataFrame) -> go.Figure:
    """The inputs that move one target's log odds most, the first on top: rows input, contribution (mean |SHAP|)."""
    shown = rows.nlargest(_SHOWN_INPUTS, "contribution").iloc[::-1]
    figure = go.Figure(
        go.Bar(
            x=shown["contribution"],
            y=[words(name) for name in shown["input"]],
            orientation="h",
            marker={"color": charts.UP, "opacity": 0.75},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
    )
    charts.dress(figure, 60 + 21 * len(shown))
    longest = max((len(name) for name in shown["input"]), default=0)
    figure.update_layout(margin={"l": min(210, 16 + 6 * longest), "b": 40}, font={"size": 11})
    figure.update_xaxes(title={"text": "mean |SHAP|, log odds", "font": {"size": 11}}, rangemode="tozero", nticks=5)
    figure.update_yaxes(showgrid=False, tickmode="linear")
    return figure


def _span(columns: Sequence[pd.Series]) -> list[float]:
    """The ends of an axis that holds all values, with a little room."""
    values = np.concatenate([column.to_numpy(dtype=float) for column in columns])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = max((high - low) * 0.06, 0.005)
    return [low - room, high + room]


def _bars(estimates: Sequence[Estimate], colour: str) -> dict[str, object]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [one.high - one.value for one in estimates],
        "arrayminus": [one.value - one.low for one in estimates],
        "color": colour,
        "thickness": 1.2,
        "width": 3,
    }
