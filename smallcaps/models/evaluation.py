"""How good a probability is, with intervals that respect that events of one week are not independent."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def area_under_curve(scored: pd.DataFrame) -> float:
    """AUC of `probability` for `continued`; NaN where only one class is there."""
    if scored["continued"].nunique() < 2:
        return float("nan")
    return float(roc_auc_score(scored["continued"], scored["probability"]))


def top_decile_lift(scored: pd.DataFrame) -> float:
    """Share that continued among the tenth with the highest probability, over the share among all."""
    count = max(1, len(scored) // 10)
    best = scored.sort_values(["probability", "event_id"], ascending=[False, True]).head(count)
    rate = scored["continued"].mean()
    return float(best["continued"].mean() / rate) if rate > 0 else float("nan")


def skill(scored: pd.DataFrame) -> float:
    """1 − log loss / log loss of the folds' base rates; 0 is no better than knowing the base rate."""
    reference = log_loss(scored["continued"], scored["base_rate"], labels=[0, 1])
    return float(1 - log_loss(scored["continued"], scored["probability"], labels=[0, 1]) / reference)


def brier(scored: pd.DataFrame) -> float:
    """Mean squared error of the probability."""
    return float(brier_score_loss(scored["continued"], scored["probability"]))


METRICS: dict[str, Callable[[pd.DataFrame], float]] = {
    "auc": area_under_curve,
    "top_decile_lift": top_decile_lift,
    "log_loss_skill": skill,
    "brier": brier,
}


def evaluate(scored: pd.DataFrame, samples: int, seed: int) -> dict[str, Estimate]:
    """Each metric over out-of-sample rows (event_id, session_date, continued, probability, base_rate), with the 2.5th and
    97.5th percentile of a bootstrap that draws whole ISO weeks `samples` times (0: no interval, NaN).
    """
    week = pd.to_datetime(scored["session_date"]).dt.strftime("%G-%V")
    blocks = [rows for _, rows in scored.groupby(week.to_numpy())]
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in METRICS}
    for _ in range(samples):
        sample = pd.concat([blocks[place] for place in random.integers(0, len(blocks), len(blocks))])
        for name, metric in METRICS.items():
            drawn[name].append(metric(sample))
    return {name: Estimate(metric(scored), *_interval(drawn[name])) for name, metric in METRICS.items()}


def _interval(drawn: list[float]) -> tuple[float, float]:
    """2.5th and 97.5th percentile; NaN where nothing was drawn."""
    sound = [value for value in drawn if not np.isnan(value)]
    if not sound:
        return float("nan"), float("nan")
    low, high = np.percentile(sound, (2.5, 97.5))
    return float(low), float(high)
