"""What a model's probabilities are worth: AUC and deciles, with intervals that know a week's events move together.

Intervals are 95 % percentile intervals of a bootstrap over ISO weeks: whole weeks are drawn, never single events. Weeks
are drawn as `models.evaluation` draws them, so that page and training give the same interval for the same events.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from smallcaps.models.evaluation import area_under_curve, evaluate

DECILES = 10
LEVEL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""
MINIMUM_WEEKS = 10
"""A bootstrap over fewer weeks looks surer than it is: no interval is given."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Skill:
    """How well one model's probabilities rank and how well they are calibrated.

    `auc` is None where continued and other events are not both there. `gain` is 1 − log loss / log loss of the training
    base rate: 0 is no better than always quoting that rate. Intervals are None below MINIMUM_WEEKS. `deciles`: decile (1 = lowest
    probabilities), events, predicted, observed, observed_low, observed_high, lift, lift_low, lift_high (shares; lift is
    observed / share of continuation among all scored events). `folds`: fold, events, first, last (dates), base_rate
    (training), observed, auc.
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
    """Skill of each model in gold.predictions rows (model, event_id, session_date, fold, probability, continued, base_rate)."""
    return [_measure(str(model), rows, samples, seed) for model, rows in predictions.groupby("model", sort=True)]


def _measure(model: str, rows: pd.DataFrame, samples: int, seed: int) -> Skill:
    probability = rows["probability"].to_numpy(dtype=np.float64)
    continued = rows["continued"].to_numpy(dtype=np.int64)
    week = _weeks(rows["session_date"])
    weeks = int(week.max()) + 1
    random = np.random.default_rng(seed)
    # How often each week is drawn, one line a sample.
    draws = np.array([np.bincount(random.integers(0, weeks, weeks), minlength=weeks) for _ in range(samples)])
    estimates = evaluate(rows, samples if weeks >= MINIMUM_WEEKS else 0, seed)
    auc, gain = estimates["auc"], estimates["log_loss_skill"]
    return Skill(
        model=model,
        events=len(rows),
        weeks=weeks,
        observed=float(continued.mean()),
        auc=_known(auc.value),
        low=_known(auc.low),
        high=_known(auc.high),
        gain=gain.value,
        gain_low=_known(gain.low),
        gain_high=_known(gain.high),
        deciles=_deciles(probability, continued, week, draws),
        folds=_folds(rows),
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _weeks(days: pd.Series) -> Integers:
    """A number 0, 1, … for each row's ISO week."""

    def week_of(day: date) -> int:
        year, week, _ = day.isocalendar()
        return year * 100 + week

    _, position = np.unique([week_of(day) for day in days], return_inverse=True)
    return position.astype(np.int64)


def _interval(drawn: Floats, weeks: int) -> tuple[float | None, float | None]:
    """95 % of what was drawn, or None where that says too little."""
    sound = drawn[np.isfinite(drawn)]
    if weeks < MINIMUM_WEEKS or sound.size == 0:
        return None, None
    low, high = np.percentile(sound, LEVEL)
    return float(low), float(high)


def _decile_of(probability: Floats) -> Integers:
    """0, 1, … by probability. Equal probabilities stay together, so there may be fewer than ten."""
    edges = np.unique(np.quantile(probability, np.arange(1, DECILES) / DECILES))
    _, position = np.unique(np.searchsorted(edges, probability, side="right"), return_inverse=True)
    return position.astype(np.int64)


def _deciles(probability: Floats, continued: Integers, week: Integers, draws: Integers) -> pd.DataFrame:
    decile = _decile_of(probability)
    count, weeks = int(decile.max()) + 1, draws.shape[1]
    cell = week * count + decile
    events = np.bincount(cell, minlength=weeks * count).reshape(weeks, count)
    hits = np.bincount(cell, continued, weeks * count).reshape(weeks, count)
    drawn_events, drawn_hits = draws @ events, draws @ hits
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn_share = drawn_hits / drawn_events
        drawn_lift = drawn_share / (drawn_hits.sum(axis=1) / drawn_events.sum(axis=1))[:, None]
        observed = hits.sum(axis=0) / events.sum(axis=0)
        lift = observed / continued.mean()
    share_low, share_high = _percentiles(drawn_share, weeks)
    lift_low, lift_high = _percentiles(drawn_lift, weeks)
    return pd.DataFrame(
        {
            "decile": np.arange(1, count + 1),
            "events": events.sum(axis=0),
            "predicted": np.bincount(decile, probability, count) / events.sum(axis=0),
            "observed": observed,
            "observed_low": share_low,
            "observed_high": share_high,
            "lift": lift,
            "lift_low": lift_low,
            "lift_high": lift_high,
        }
    )


def _percentiles(drawn: Floats, weeks: int) -> tuple[Floats, Floats]:
    """Interval of each column; NaN where there is none."""
    pairs = np.array([_interval(column, weeks) for column in drawn.T], dtype=np.float64)
    return pairs[:, 0], pairs[:, 1]


def _folds(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "fold": fold,
                "events": len(group),
                "first": group["session_date"].min(),
                "last": group["session_date"].max(),
                "base_rate": float(group["base_rate"].mean()),
                "observed": float(group["continued"].mean()),
                "auc": _known(area_under_curve(group)),
            }
            for fold, group in rows.groupby("fold", sort=True)
        ]
    )
