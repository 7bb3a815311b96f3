"""How good the detectors are on a simulated market: a page with the curves, and the same figures as JSON.

1. `collect` plants moves of known sizes into the lake's rows, and puts its events beside the market's own episodes. 2. `render`
is pure. 3. `write_page` and `as_json` write what was collected.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from markupsafe import Markup

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.models.alert_score import RANDOM_DRAWS, SAMPLES
from smallcaps.models.evaluation import Estimate
from smallcaps.serving import charts
from smallcaps.serving.detection_episodes import Found, find_episodes
from smallcaps.serving.detection_plants import (
    BAR_FALSE,
    BAR_RECALL,
    CLEAR,
    MULTIPLES,
    NEAR_MISS,
    Planted,
    plant_everywhere,
)
from smallcaps.serving.page import known, render_page
from smallcaps.sources.simulator.layout import read_settings

_HEIGHT = 210
_UNITS = {"daily": "sessions", "minute": "minutes", "trade": "seconds"}


@dataclass(frozen=True)
class DetectionTruth:
    """What a market's settings were, what became of plants in threshold units, and of the market's own episodes."""

    settings: dict[str, Any]
    planted: tuple[Planted, ...]
    found: tuple[Found, ...]


def collect(lake: Lake, settings: Settings, market: Path, plants: int) -> DetectionTruth:
    """Measure the detectors on a lake that was refined and detected from `market`; `plants`: how many a detector and size.

    Raises BadInput where the folder holds no market or the lake lacks what is measured on.
    """
    described = read_settings(market)
    for table, command in (("silver.universe", "smallcaps refine"), ("gold.events", "smallcaps detect")):
        if not lake.exists(table):
            raise BadInput(f"{table} has not been written in this lake ({lake.root}) yet. Run `{command}` first.")
    return DetectionTruth(
        described, tuple(plant_everywhere(lake, settings, market, plants)), tuple(find_episodes(lake, market))
    )


def as_json(truth: DetectionTruth) -> str:
    """All figures as JSON; what is not known is null."""
    return json.dumps(_plain(asdict(truth)), indent=1) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_page(truth: DetectionTruth, page: Path) -> None:
    """Write the page into `page`; its folder is made if need be."""
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(truth), encoding="utf-8")


def render(truth: DetectionTruth) -> str:
    """The page as HTML: no reads, no clock, no outside resources. The same figures give the same page."""
    judged = [one for one in truth.planted if one.at(CLEAR).plants]
    return render_page(
        "detection.html",
        truth=truth,
        planted=truth.planted,
        curves={one.detector: _curve(one) for one in judged},
        powers={one.detector: _power(one) for one in truth.found if one.score.episodes},
        meets=sum(not one.fails for one in judged),
        judged=len(judged),
        copies=sum(curve.plants for one in judged for curve in one.curve),
        units=_UNITS,
        multiples=MULTIPLES,
        clear=CLEAR,
        near_miss=NEAR_MISS,
        bar_recall=BAR_RECALL,
        bar_false=BAR_FALSE,
        draws=RANDOM_DRAWS,
        samples=SAMPLES,
        known=known,
        interval=interval,
        lead=lead,
    )


def interval(estimate: Estimate) -> str:
    """A share with its interval, in percent: 93 % (90–96)."""
    if math.isnan(estimate.value):
        return "–"
    bounds = "" if math.isnan(estimate.low) else f" ({100 * estimate.low:.0f}–{100 * estimate.high:.0f})"
    return f"{100 * estimate.value:.0f} %{bounds}"


def lead(estimate: Estimate | None) -> str:
    """A difference of shares with its interval, in percentage points: +12 (+3 to +20)."""
    if estimate is None or math.isnan(estimate.value):
        return "–"
    value, low, high = (f"{100 * one:+.0f}".replace("-", "−") for one in (estimate.value, estimate.low, estimate.high))
    return value if math.isnan(estimate.low) else f"{value} ({low} to {high})"


def _curve(planted: Planted) -> Markup:
    """Share found by size, in thresholds."""
    some = [one for one in planted.curve if one.multiple]
    figure = _shares(
        [one.multiple for one in some], [one.found for one in some], [one.plants for one in some], "plants"
    )
    figure.add_vline(x=1, line={"color": charts.NEUTRAL, "width": 1, "dash": "dot"})
    figure.update_xaxes(
        type="log", tickvals=[0.5, 0.8, 1, 1.5, 2, 3], title={"text": "× threshold", "font": {"size": 11}}
    )
    return charts.fragment(figure, f"{planted.detector}: share found by planted size")


def _power(found: Found) -> Markup:
    """Share of episodes found by their size, in usual sizes of their kind."""
    some = [one for one in found.score.power if one.episodes]
    figure = _shares(
        [(one.low + one.high) / 2 for one in some],
        [one.found for one in some],
        [one.episodes for one in some],
        "episodes",
    )
    figure.update_xaxes(
        range=[0.4, 3], tickvals=[0.5, 1, 1.5, 2, 3], title={"text": "× usual size of its kind", "font": {"size": 11}}
    )
    return charts.fragment(figure, f"{found.detector}: share of episodes found by size")


def _shares(across: Sequence[float], shares: Sequence[Estimate], counts: Sequence[int], what: str) -> go.Figure:
    figure = go.Figure(
        go.Scatter(
            x=across,
            y=[round(one.value, 5) for one in shares],
            mode="lines+markers",
            line={"color": charts.UP, "width": 1.8},
            marker={"size": 5.5},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [round(one.high - one.value, 5) for one in shares],
                "arrayminus": [round(one.value - one.low, 5) for one in shares],
                "color": charts.INK,
                "thickness": 1.1,
                "width": 3,
            },
            customdata=counts,
            hovertemplate="%{y:.1%} of %{customdata} " + what + " at %{x:g}<extra></extra>",
        )
    )
    charts.dress(figure, _HEIGHT)
    figure.update_layout(margin={"l": 46, "b": 40})
    figure.update_yaxes(tickformat=".0%", range=[-0.04, 1.06], tickvals=[0, 0.25, 0.5, 0.75, 1])
    return figure
