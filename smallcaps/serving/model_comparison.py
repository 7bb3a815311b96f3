"""Models beside each other, on the same out-of-sample events: figures of `models.evaluation`, and what chance would have."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from smallcaps.log import progress
from smallcaps.models.evaluation import Estimate, by_detector, deciles, evaluate
from smallcaps.models.targets import TARGETS

BASE_RATE, CHANCE = "base_rate", "chance"
"""The algorithm that always quotes the training events' share, and the row that knows nothing of an event."""


@dataclass(frozen=True)
class Score:
    """What probabilities of some events are worth. `observed`: share that came; `metrics`: of `evaluation.METRICS`."""

    events: int
    observed: float
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Fold:
    """A walk-forward fold: its number, first and last session with an event, and each algorithm's score."""

    number: int
    first: date
    last: date
    scores: dict[str, Score]


@dataclass(frozen=True)
class TargetComparison:
    """The algorithms on one target. `scores` and `core` (in gold.core_manifest alone; empty without such events): by algorithm,
    the most skilled first, and CHANCE last. `deciles`: by algorithm. `detectors`: of `evaluation.by_detector`, the best's.
    """

    target: str
    scores: dict[str, Score]
    core: dict[str, Score]
    folds: tuple[Fold, ...]
    deciles: dict[str, pd.DataFrame]
    detectors: pd.DataFrame

    @property
    def best(self) -> str:
        """The problem's best algorithm, or the next that foretells this target."""
        return next(iter(self.scores))


@dataclass(frozen=True)
class Comparison:
    """The algorithms of one problem, the most skilled first and the base rate last.

    `tracking_runs`: MLflow's id by algorithm. `events`, `first`, `last`: what was scored out of sample. `same_events`: whether
    every algorithm scored the same events.
    """

    problem: str
    algorithms: tuple[str, ...]
    tracking_runs: dict[str, str]
    events: int
    first: date
    last: date
    same_events: bool
    targets: tuple[TargetComparison, ...]

    @property
    def best(self) -> str:
        """The algorithm with the most log-loss skill, averaged over the targets; the base rate only where it is alone."""
        return self.algorithms[0]

    def skill(self, algorithm: str) -> float:
        """Mean log-loss skill over the targets."""
        return _mean_skill({one.target: one.scores[algorithm] for one in self.targets if algorithm in one.scores})


def compare(predictions: pd.DataFrame, samples: int, seed: int) -> list[Comparison]:
    """One comparison a problem, of out-of-sample rows of gold.predictions (model, target, event_id, session_date, detector,
    fold, probability, happened, base_rate, is_core, tracking_run); `samples`, `seed`: of the bootstrap and of CHANCE.
    """
    named = predictions["model"].str.rsplit(".", n=1, expand=True)
    split = predictions.assign(problem=named[0], algorithm=named[1])
    return [_compare(str(problem), rows, samples, seed) for problem, rows in split.groupby("problem", sort=True)]


def dealt(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows in the order of their events, their probabilities dealt to each other's events at random."""
    ordered = rows.sort_values("event_id", ignore_index=True)
    return ordered.assign(probability=np.random.default_rng(seed).permutation(ordered["probability"].to_numpy()))


def standing(estimate: Estimate, nothing: float) -> str:
    """Where the interval lies: `above` or `below` what knowing nothing comes to, `none` where it holds it, or `unknown`."""
    if math.isnan(estimate.low):
        return "unknown"
    if estimate.low > nothing:
        return "above"
    return "below" if estimate.high < nothing else "none"


def _compare(problem: str, rows: pd.DataFrame, samples: int, seed: int) -> Comparison:
    by_target = {
        target: {str(name): own for name, own in rows[rows["target"] == target].groupby("algorithm", sort=True)}
        for target in TARGETS
        if (rows["target"] == target).any()
    }
    scores = {}
    for done, (target, parts) in enumerate(by_target.items()):
        progress(done, len(by_target), "targets", f"{problem}, {target}")
        scores[target] = {name: _score(own, samples, seed) for name, own in parts.items()}
    algorithms = _ordered(scores)
    return Comparison(
        problem=problem,
        algorithms=algorithms,
        tracking_runs={name: str(rows.loc[rows["algorithm"] == name, "tracking_run"].iloc[0]) for name in algorithms},
        events=int(rows["event_id"].nunique()),
        first=rows["session_date"].min(),
        last=rows["session_date"].max(),
        same_events=bool(rows.groupby(["target", "event_id"]).size().eq(len(algorithms)).all()),
        targets=tuple(
            _compare_target(
                target, {name: parts[name] for name in algorithms if name in parts}, scores[target], samples, seed
            )
            for target, parts in by_target.items()
        ),
    )


def _ordered(scores: Mapping[str, Mapping[str, Score]]) -> tuple[str, ...]:
    """The algorithms from the most skilled to the least, the base rate last."""
    names = sorted({name for own in scores.values() for name in own})
    skill = {name: _mean_skill({target: own[name] for target, own in scores.items() if name in own}) for name in names}
    return tuple(sorted(names, key=lambda name: (name == BASE_RATE, math.isnan(skill[name]), -skill[name])))


def _mean_skill(scores: Mapping[str, Score]) -> float:
    return sum(score.metrics["log_loss_skill"].value for score in scores.values()) / len(scores)


def _compare_target(
    target: str, parts: Mapping[str, pd.DataFrame], scores: Mapping[str, Score], samples: int, seed: int
) -> TargetComparison:
    best = next(iter(parts.values()))
    chance = dealt(best, seed)
    core = {name: own[own["is_core"]] for name, own in {**parts, CHANCE: chance}.items()}
    return TargetComparison(
        target=target,
        scores={name: scores[name] for name in parts} | {CHANCE: _score(chance, samples, seed)},
        core={name: _score(own, samples, seed) for name, own in core.items() if len(own)},
        folds=_folds(parts, samples, seed),
        deciles={name: deciles(own, samples, seed) for name, own in parts.items()},
        detectors=by_detector(best),
    )


def _folds(parts: Mapping[str, pd.DataFrame], samples: int, seed: int) -> tuple[Fold, ...]:
    every = pd.concat(parts.values())
    return tuple(
        Fold(
            int(str(number)),
            rows["session_date"].min(),
            rows["session_date"].max(),
            {str(name): _score(own, samples, seed) for name, own in rows.groupby("algorithm", sort=False)},
        )
        for number, rows in every.groupby("fold", sort=True)
    )


def _score(rows: pd.DataFrame, samples: int, seed: int) -> Score:
    return Score(len(rows), float(rows["happened"].mean()), evaluate(rows, samples, seed))
