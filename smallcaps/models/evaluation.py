"""How good a probability is, with intervals that respect that events of one date are not independent."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.metrics import roc_auc_score

METRICS = ("auc", "top_decile_lift", "log_loss_skill", "brier", "bias")
"""AUC; share that came true among the tenth with the highest probability, over the share among all; 1 − log loss / log loss of
the folds' base rates (0 is no better than the base rate); mean squared error; mean probability less share that came true.
"""
DECILES = 10
LEVEL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""
MINIMUM_BLOCKS = 10
"""A bootstrap over fewer weeks or days looks surer than it is: no interval is given."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; NaN where it cannot be told."""

    value: float
    low: float
    high: float


def area_under_curve(scored: pd.DataFrame) -> float:
    """AUC of `probability` for `happened`; NaN where only one class is there."""
    if scored["happened"].nunique() < 2:
        return float("nan")
    return float(roc_auc_score(scored["happened"], scored["probability"]))


def evaluate(scored: pd.DataFrame, samples: int, seed: int) -> dict[str, Estimate]:
    """METRICS over out-of-sample rows (event_id, session_date, happened, probability, base_rate), with the 2.5th and 97.5th
    percentile of a bootstrap that draws whole blocks of `blocks_of` `samples` times (0: no interval).
    """
    every, drawn = drawn_figures(scored, samples, seed)
    return {name: Estimate(every[name], *interval(np.array([figures[name] for figures in drawn]))) for name in METRICS}


def drawn_figures(scored: pd.DataFrame, samples: int, seed: int) -> tuple[dict[str, float], list[dict[str, float]]]:
    """METRICS over rows as of `evaluate`, and over each draw of its bootstrap: of rows of the same events the same draws."""
    ranked = scored.sort_values(["probability", "event_id"], ascending=[False, True], ignore_index=True)
    measured = _Measured(ranked)
    drawn = [measured.figures(times) for times in draws(blocks_of(ranked["session_date"]), samples, seed)]
    return measured.figures(np.ones(len(ranked))), drawn


class _Measured:
    """Rows from the highest probability to the lowest, ready to be measured with any weights."""

    def __init__(self, ranked: pd.DataFrame) -> None:
        self.happened = ranked["happened"].to_numpy(dtype=np.float64)
        self.probability = ranked["probability"].to_numpy(dtype=np.float64)
        self.loss = log_losses(self.happened, self.probability)
        self.reference = log_losses(self.happened, ranked["base_rate"].to_numpy(dtype=np.float64))
        # Where each stretch of equal probabilities begins.
        self.ties = np.flatnonzero(np.r_[True, np.diff(self.probability) != 0])

    def figures(self, times: Floats) -> dict[str, float]:
        """METRICS where each row counts so many times."""
        count, came = float(times.sum()), times * self.happened
        ones = float(came.sum())
        first_come, first_not = (np.add.reduceat(part, self.ties) for part in (came, times - came))
        later_not = (count - ones) - np.cumsum(first_not)
        pairs = ones * (count - ones)
        best = max(1.0, count // 10)
        among_best = np.clip(best - (np.cumsum(times) - times), 0, times)
        return {
            "auc": float((first_come * (later_not + first_not / 2)).sum() / pairs) if pairs else float("nan"),
            "top_decile_lift": float((among_best * self.happened).sum() / best / (ones / count))
            if ones
            else float("nan"),
            "log_loss_skill": float(1 - times @ self.loss / (times @ self.reference)),
            "brier": float(times @ (self.probability - self.happened) ** 2 / count),
            "bias": float((times @ self.probability - ones) / count),
        }


def log_losses(happened: Floats, probability: Floats) -> Floats:
    """−ln of the probability given to what came, one a row; a probability of 0 or 1 counts as the nearest number beside it."""
    least = np.finfo(np.float64).eps
    told = np.clip(probability, least, 1 - least)
    return -np.where(happened == 1, np.log(told), np.log1p(-told))


def event_losses(scored: pd.DataFrame, column: str = "probability") -> pd.DataFrame:
    """event_id, target and the log loss of each by the probabilities of `column`."""
    losses = log_losses(scored["happened"].to_numpy(dtype=np.float64), scored[column].to_numpy(dtype=np.float64))
    return scored[["event_id", "target"]].assign(loss=losses)


def blocks_of(days: pd.Series) -> Integers | None:
    """A number 0, 1, … for each row: its ISO week, where there are fewer than MINIMUM_BLOCKS its day, where there are fewer
    of these, too, None.
    """
    for form in ("%G-%V", "%F"):
        names, position = np.unique(pd.to_datetime(days).dt.strftime(form).to_numpy(dtype=str), return_inverse=True)
        if len(names) >= MINIMUM_BLOCKS:
            return position.astype(np.int64)
    return None


def draws(blocks: Integers | None, samples: int, seed: int) -> Iterator[Floats]:
    """How many times each row was drawn, sample by sample, where blocks are drawn with replacement."""
    if blocks is None:
        return
    count = int(blocks.max()) + 1
    random = np.random.default_rng(seed)
    for _ in range(samples):
        yield np.bincount(random.integers(0, count, count), minlength=count)[blocks].astype(np.float64)


def interval(drawn: Floats) -> tuple[float, float]:
    """The middle 95 %; NaN where nothing was drawn."""
    sound = drawn[np.isfinite(drawn)]
    if not sound.size:
        return float("nan"), float("nan")
    low, high = np.percentile(sound, LEVEL)
    return float(low), float(high)


def deciles(scored: pd.DataFrame, samples: int, seed: int) -> pd.DataFrame:
    """Calibration and lift by tenth of the probability, intervals as in `evaluate`: decile (1 = lowest), events, predicted,
    observed, observed_low, observed_high, lift, lift_low, lift_high. Equal probabilities stay together, so there may be fewer.
    """
    probability = scored["probability"].to_numpy(dtype=np.float64)
    happened = scored["happened"].to_numpy(dtype=np.float64)
    edges = np.unique(np.quantile(probability, np.arange(1, DECILES) / DECILES))
    _, decile = np.unique(np.searchsorted(edges, probability, side="right"), return_inverse=True)
    events, came = np.bincount(decile), np.bincount(decile, happened)
    shares, lifts = [], []
    for times in draws(blocks_of(scored["session_date"]), samples, seed):
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.bincount(decile, times * happened) / np.bincount(decile, times)
            lifts.append(share / (times @ happened / times.sum()))
        shares.append(share)
    nothing = [np.full(len(events), np.nan)]
    observed = np.array([interval(column) for column in np.array(shares or nothing).T])
    lift = np.array([interval(column) for column in np.array(lifts or nothing).T])
    with np.errstate(divide="ignore", invalid="ignore"):
        return pd.DataFrame(
            {
                "decile": np.arange(1, len(events) + 1),
                "events": events,
                "predicted": np.bincount(decile, probability) / events,
                "observed": came / events,
                "observed_low": observed[:, 0],
                "observed_high": observed[:, 1],
                "lift": came / events / happened.mean(),
                "lift_low": lift[:, 0],
                "lift_high": lift[:, 1],
            }
        )


def by_detector(scored: pd.DataFrame) -> pd.DataFrame:
    """Each detector's events, counted: detector, events, observed, predicted, auc, and what comes of saying yes where the
    probability is above the base rate: true_positive, false_positive, false_negative, true_negative.
    """
    said = scored["probability"] > scored["base_rate"]
    came = scored["happened"] == 1
    counted = scored.assign(
        true_positive=said & came,
        false_positive=said & ~came,
        false_negative=~said & came,
        true_negative=~said & ~came,
    )
    return pd.DataFrame(
        [
            {
                "detector": detector,
                "events": len(rows),
                "observed": float(rows["happened"].mean()),
                "predicted": float(rows["probability"].mean()),
                "auc": area_under_curve(rows),
                **{
                    name: int(rows[name].sum())
                    for name in ("true_positive", "false_positive", "false_negative", "true_negative")
                },
            }
            for detector, rows in counted.groupby("detector", sort=True)
        ]
    )
