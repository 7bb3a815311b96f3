"""The model card: what a registered model is of, how good it is, and what it is not for (Mitchell et al. 2019)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from smallcaps.models.evaluation import Estimate
from smallcaps.models.event_model import EventModel

MOST_INPUTS = 10


def model_card(
    kept: Mapping[str, Any],
    model: EventModel,
    scored: pd.DataFrame,
    metrics: Mapping[str, Mapping[str, Estimate]],
    importance: pd.DataFrame,
) -> str:
    """Markdown. `kept`: the dataset's row of gold.datasets; `scored`: its walk-forward probabilities."""
    lines = [
        f"# {model.problem}: {model.algorithm}",
        "",
        f"Probabilities of {', '.join(model.targets)} of events of {model.problem}, each calibrated on what was held out.",
        "",
        f"- Dataset {kept['dataset']}: {kept['rows']:,} events from {kept['first_day']} to {kept['last_day']}, "
        f"{len(model.input_names)} inputs, SHA-256 {kept['content_hash']}, code {kept['code_version']}.",
        f"- Measured on {scored['event_id'].nunique():,} events of {scored['fold'].nunique()} walk-forward folds, none of which "
        "was seen in training: its labels were certain before the test began, less the embargo.",
        "- Intervals: 95 %, bootstrap over whole weeks (days, where there are fewer than ten weeks).",
        "",
        "| target | came | AUC (chance 0.5) | lift of the best tenth (chance 1) | log-loss skill (base rate 0) | bias |",
        "|---|---|---|---|---|---|",
    ]
    for target, found in metrics.items():
        came = scored.loc[scored["target"] == target, "happened"].mean()
        figures = [_told(found[name]) for name in ("auc", "top_decile_lift", "log_loss_skill", "bias")]
        lines.append(f"| {target} | {came:.1%} | {' | '.join(figures)} |")
    lines += ["", "What moves the log odds most (mean |SHAP|):", ""]
    for name, rows in importance.groupby("target", sort=False):
        best = rows[rows["contribution"] > 0].nlargest(MOST_INPUTS, "contribution")
        named = ", ".join(f"{row.input} {row.contribution:.3f}" for row in best.itertuples())
        lines.append(f"- {name}: {named or 'nothing'}")
    lines += [
        "",
        "It ranks and rates events of the detectors that it was trained on. It says nothing about profit after costs, names "
        "above the universe's bounds, or times unlike the dataset's.",
        "",
    ]
    return "\n".join(lines)


def _told(estimate: Estimate) -> str:
    if pd.isna(estimate.value):
        return "not to be told"
    if pd.isna(estimate.low):
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
