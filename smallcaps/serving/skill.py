"""What a model's probabilities are worth, as the page shows it: verdict, deciles, folds.

Figures and intervals are those of `models.evaluation`, so that page and training say the same of the same events.
"""

from dataclasses import dataclass

import pandas as pd

from smallcaps.models.evaluation import area_under_curve, deciles, evaluate
from smallcaps.serving.page import known


@dataclass(frozen=True)
class Skill:
    """How well one model's probabilities rank and how well they are calibrated.

    `auc` is None where what came and what did not are not both there. `gain` is 1 − log loss / log loss of the training
    base rate: 0 is no better than always quoting that rate. Intervals are None where there are too few weeks and days.
    `deciles`: of `models.evaluation.deciles`. `folds`: fold, events, first, last (dates), base_rate (training), observed, auc.
    """

    model: str
    events: int
    weeks: int
    observed: float
    auc: float | None
    low: float | None
    high: float | None
    gain: float
    gain_low: float | None
    gain_high: float | None
    deciles: pd.DataFrame
    folds: pd.DataFrame

    @property
    def verdict(self) -> str:
        """`unknown` (no interval), `none` (the interval covers 0.5), `better` or `worse` than chance."""
        if self.auc is None or self.low is None or self.high is None:
            return "unknown"
        if self.low <= 0.5 <= self.high:
            return "none"
        return "better" if self.low > 0.5 else "worse"


def measure(predictions: pd.DataFrame, samples: int, seed: int) -> list[Skill]:
    """Skill of each model in gold.predictions rows of one target (model, event_id, session_date, fold, probability, happened,
    base_rate).
    """
    return [_measure(str(model), rows, samples, seed) for model, rows in predictions.groupby("model", sort=True)]


def _measure(model: str, rows: pd.DataFrame, samples: int, seed: int) -> Skill:
    estimates = evaluate(rows, samples, seed)
    auc, gain = estimates["auc"], estimates["log_loss_skill"]
    return Skill(
        model=model,
        events=len(rows),
        weeks=int(pd.to_datetime(rows["session_date"]).dt.strftime("%G-%V").nunique()),
        observed=float(rows["happened"].mean()),
        auc=known(auc.value),
        low=known(auc.low),
        high=known(auc.high),
        gain=gain.value,
        gain_low=known(gain.low),
        gain_high=known(gain.high),
        deciles=deciles(rows, samples, seed),
        folds=_folds(rows),
    )


def _folds(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "fold": fold,
                "events": len(group),
                "first": group["session_date"].min(),
                "last": group["session_date"].max(),
                "base_rate": float(group["base_rate"].mean()),
                "observed": float(group["happened"].mean()),
                "auc": known(area_under_curve(group)),
            }
            for fold, group in rows.groupby("fold", sort=True)
        ]
    )
