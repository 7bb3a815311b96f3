"""How well the outcomes of planted episodes can be foreseen at all: no model that is fair can do better."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from smallcaps.models.evaluation import area_under_curve

DECIDED = ("continuation", "reversal")
BINS, SMALLEST_BIN = 10, 20
"""Bins of equal counts, but not so many that fewer than SMALLEST_BIN episodes would be in one."""
NOISY = 0.1
"""An interval of an AUC that is wider than this says little."""
FEWEST = 20
"""Episodes of either outcome below which an interval would look surer than it is."""


@dataclass(frozen=True)
class BestScore:
    """AUCs of probabilities against the outcomes that were drawn, continuation or reversal.

    `episodes`: how many came out either way, `continued` of them on. `auc`: of what can be known at the onset, with its 95 %
    interval (Hanley and McNeil); `knowing`: of the probability that was drawn from, hidden part and all. AUCs are None
    where the outcomes are all alike, the interval where either is rarer than FEWEST.
    """

    episodes: int
    continued: int
    auc: float | None
    low: float | None
    high: float | None
    knowing: float | None

    @property
    def is_noisy(self) -> bool:
        """Whether there is no interval, or one too wide to rank models by."""
        return self.low is None or self.high is None or self.high - self.low > NOISY


def best_score(episodes: list[dict[str, Any]]) -> BestScore:
    """The best score among episodes (records of the truth table)."""
    decided = [episode for episode in episodes if episode["outcome"] in DECIDED]
    continued = [int(episode["outcome"] == "continuation") for episode in decided]
    ones, zeros = sum(continued), len(continued) - sum(continued)
    if not ones or not zeros:
        return BestScore(len(decided), ones, None, None, None, None)
    auc, knowing = (
        area_under_curve(pd.DataFrame({"happened": continued, "probability": [episode[name] for episode in decided]}))
        for name in ("best_continuation", "continuation")
    )
    if min(ones, zeros) < FEWEST:
        return BestScore(len(decided), ones, auc, None, None, knowing)
    margin = 1.96 * deviation(auc, ones, zeros)
    return BestScore(len(decided), ones, auc, max(auc - margin, 0.0), min(auc + margin, 1.0), knowing)


def deviation(auc: float, ones: int, zeros: int) -> float:
    """Standard error of an AUC of independent episodes (Hanley and McNeil 1982)."""
    of_ones, of_zeros = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (ones - 1) * (of_ones - auc**2) + (zeros - 1) * (of_zeros - auc**2)
    return float(np.sqrt(variance / (ones * zeros)))


def reliability(episodes: list[dict[str, Any]]) -> pd.DataFrame:
    """Probabilities of continuation against how often it was drawn, lowest first.

    Columns: predicted (mean), observed, observed_low, observed_high (shares; 95 %, Wilson: outcomes are drawn
    independently), events. Empty without episodes.
    """
    columns = ["predicted", "observed", "observed_low", "observed_high", "events"]
    ordered = sorted((episode["continuation"], episode["outcome"] == "continuation") for episode in episodes)
    if not ordered:
        return pd.DataFrame(columns=columns)
    rows = []
    for some in np.array_split(np.array(ordered, dtype=float), max(1, min(BINS, len(ordered) // SMALLEST_BIN))):
        hits, count = int(some[:, 1].sum()), len(some)
        interval = stats.binomtest(hits, count).proportion_ci(method="wilson")
        rows.append((float(some[:, 0].mean()), hits / count, float(interval.low), float(interval.high), count))
    return pd.DataFrame(rows, columns=columns)
