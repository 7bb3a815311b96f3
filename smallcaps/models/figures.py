"""Pictures that go with a run of MLflow."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"continuation": "#1b6ca8", "reversal": "#c8553d", "exhaustion": "#6a4c93"}


def calibration(deciles: Mapping[str, pd.DataFrame]) -> Figure:
    """By target: share that came against the mean probability of each decile, with 95 % intervals; the diagonal is honest."""
    figure, axes = _panels(deciles)
    for axis, (target, rows) in zip(axes, deciles.items(), strict=True):
        bars = _bars(rows, "observed")
        axis.errorbar(rows["predicted"], rows["observed"], yerr=bars, fmt="o-", color=COLOURS[target], capsize=2)
        most = float(max(rows["predicted"].max(), rows["observed"].max())) * 1.1
        axis.plot([0, most], [0, most], color="#999999", linewidth=1, linestyle="--")
        axis.set(title=target, xlabel="probability", ylabel="share that came", xlim=(0, most), ylim=(0, None))
    return figure


def lift(deciles: Mapping[str, pd.DataFrame]) -> Figure:
    """By target: share that came in each decile over the share among all, with 95 % intervals; 1 is chance."""
    figure, axes = _panels(deciles)
    for axis, (target, rows) in zip(axes, deciles.items(), strict=True):
        axis.bar(rows["decile"], rows["lift"], color=COLOURS[target], yerr=_bars(rows, "lift"), capsize=2)
        axis.axhline(1, color="#999999", linewidth=1, linestyle="--")
        axis.set(title=target, xlabel="decile of the probability", ylabel="lift")
    return figure


def importance(rows: pd.DataFrame, most: int = 20) -> Figure:
    """The inputs that move the log odds most: target, input, contribution (mean |SHAP|)."""
    targets = {str(target): part.nlargest(most, "contribution") for target, part in rows.groupby("target", sort=False)}
    figure, axes = _panels(targets, height=0.22 * most + 1)
    for axis, (target, part) in zip(axes, targets.items(), strict=True):
        axis.barh(part["input"][::-1], part["contribution"][::-1], color=COLOURS[target])
        axis.set(title=target, xlabel="mean |SHAP|, log odds")
        axis.tick_params(labelsize=7)
    return figure


def _panels(by_target: Mapping[str, pd.DataFrame], height: float = 4) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.5 * len(by_target), height), layout="constrained")
    return figure, list(figure.subplots(1, len(by_target), squeeze=False)[0])


def _bars(rows: pd.DataFrame, column: str) -> list[pd.Series]:
    low, high = rows[column] - rows[f"{column}_low"], rows[f"{column}_high"] - rows[column]
    return [low.clip(lower=0).fillna(0), high.clip(lower=0).fillna(0)]
