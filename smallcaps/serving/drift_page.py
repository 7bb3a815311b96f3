"""Drift by month on a page: how far each input has moved, and how far each model's probabilities are from what came."""

from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from smallcaps.lake import Lake
from smallcaps.models.drift import MOVED, STABLE
from smallcaps.models.frozen import of_dataset
from smallcaps.serving import charts
from smallcaps.serving.page import render_page, words

ROW_HEIGHT = 17
FEWEST = 50
"""Events of a month without which what moved is not spoken of."""


def write_drift_page(lake: Lake, dataset: str, folder: Path) -> Path:
    """Write index.html of ops.drift's rows of `dataset` into `folder` (made if need be); returns the page's path."""
    rows = lake.read("ops.drift").where(of_dataset(dataset)).toPandas()
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_text(render(dataset, rows), encoding="utf-8")
    return page


def render(dataset: str, rows: pd.DataFrame) -> str:
    """The page of rows of ops.drift: no reads, no clock, no outside resources."""
    inputs, biases = (rows[rows["kind"] == kind] for kind in ("input", "calibration"))
    told = inputs[inputs["events"] >= FEWEST].dropna(subset=["value"])
    most = told.sort_values("value", ascending=False)
    return render_page(
        "drift.html",
        dataset=dataset,
        months=sorted(inputs["period"].unique()),
        moved=most[most["value"] > MOVED]["name"].nunique(),
        inputs=inputs["name"].nunique(),
        most=None if most.empty else most.iloc[0].to_dict(),
        still=int((inputs.groupby("name")["value"].max() == 0).sum()),
        fewest=FEWEST,
        stable=STABLE,
        much=MOVED,
        heat=charts.fragment(heat(inputs), "Stability index by input and month"),
        biases=[
            (words(str(target)), charts.fragment(bias(part), f"Bias of {target} by month"))
            for target, part in biases.groupby("name", sort=True)
        ],
    )


def heat(inputs: pd.DataFrame) -> go.Figure:
    """Stability index of each input (those that moved most on top) by month."""
    table = inputs.pivot_table(index="name", columns="period", values="value", aggfunc="first")
    most = table.max(axis=1).sort_values()
    table = table.loc[most[most > 0].index]
    figure = go.Figure(
        go.Heatmap(
            z=table.to_numpy(),
            x=[f"{month:%b %Y}" for month in table.columns],
            y=[words(str(name)) for name in table.index],
            zmin=0,
            zmax=2 * MOVED,
            colorscale=[[0, "#ffffff"], [STABLE / (2 * MOVED), "#f5ead9"], [0.5, "#dd9a4a"], [1, charts.DOWN]],
            colorbar={"title": "index", "thickness": 12, "len": 0.5},
            hovertemplate="%{y}, %{x}: %{z:.3f}<extra></extra>",
        )
    )
    charts.dress(figure, 80 + ROW_HEIGHT * len(table))
    figure.update_layout(margin={"l": 190, "b": 40, "t": 10})
    figure.update_yaxes(dtick=1, tickfont={"size": 10})
    figure.update_xaxes(type="category")
    return figure


def bias(rows: pd.DataFrame) -> go.Figure:
    """Mean probability less share that came, by month, one line a model with 95 % bars."""
    figure = go.Figure()
    for place, (model, part) in enumerate(rows.groupby("model", sort=True)):
        own = part.sort_values("period")
        colour = (charts.NEUTRAL, charts.UP, charts.DOWN, "#6a4c93", "#2b8a66")[place % 5]
        bars = {"type": "data", "symmetric": False, "thickness": 1, "width": 2}
        figure.add_scatter(
            x=pd.to_datetime(own["period"]) + pd.Timedelta(days=2 * place),
            y=own["value"],
            name=words(str(model).split(".")[-1]),
            mode="lines+markers",
            line={"color": colour, "width": 1.6},
            error_y={**bars, "array": own["high"] - own["value"], "arrayminus": own["value"] - own["low"]},
            hovertemplate=f"{words(str(model).split('.')[-1])}, %{{x|%b %Y}}: %{{y:+.3f}}<extra></extra>",
        )
    figure.add_hline(y=0, line={"color": charts.INK, "width": 1.1, "dash": "dot"})
    charts.dress(figure, 260)
    figure.update_layout(showlegend=True, legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0})
    figure.update_layout(margin={"l": 52, "b": 40, "t": 34})
    return figure
