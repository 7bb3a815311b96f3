"""The model report: all algorithms beside each other, by fold and by target; a page and the same figures as JSON.

1. `collect` reads gold.predictions, compares, and asks MLflow about the runs. 2. `render` and `summarise` are pure.
3. `write_model_report` writes both.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from smallcaps.config import Settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import Lake
from smallcaps.models.evaluation import MINIMUM_BLOCKS
from smallcaps.models.tracking import client_of, logged_frame
from smallcaps.serving import charts, model_charts
from smallcaps.serving.model_comparison import (
    BASE_RATE,
    CHANCE,
    Comparison,
    Fold,
    Score,
    TargetComparison,
    compare,
    standing,
)
from smallcaps.serving.page import change, known, render_page, words
from smallcaps.serving.report_data import records
from smallcaps.version import code_version

_COLUMNS = (
    *("model", "target", "event_id", "session_date", "detector", "fold"),
    *("probability", "happened", "base_rate", "is_core", "tracking_run"),
)
_NOTHING = {"auc": 0.5, "top_decile_lift": 1.0, "log_loss_skill": 0.0}
"""What a metric comes to where nothing is known of an event."""


@dataclass(frozen=True)
class TrackedRun:
    """What MLflow knows of a training run. `trained_at`: UTC; `version`: of the registered model, None where it is not
    registered; `importance`: target, input, contribution (mean |SHAP|, log odds), None where it was not asked or logged.
    """

    dataset: str
    trained_at: datetime
    version: str | None
    importance: pd.DataFrame | None


@dataclass(frozen=True)
class ModelReport:
    """Everything the page shows. `tracked`: by MLflow's id of the run, those that it has; `untracked`: why it was not asked,
    None where it was. `samples`, `seed`: of the bootstrap.
    """

    made_at: datetime
    code_version: str
    settings_hash: str
    lake: str
    samples: int
    seed: int
    problems: tuple[Comparison, ...]
    tracked: dict[str, TrackedRun]
    untracked: str | None


def write_model_report(lake: Lake, settings: Settings, folder: Path) -> Path:
    """Write index.html and summary.json into `folder` (made if need be); returns the page's path.

    Raises BadInput where nothing was predicted out of sample yet.
    """
    data = collect(lake, settings)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    page.write_text(render(data), encoding="utf-8")
    summary = json.dumps(summarise(data), indent=2, ensure_ascii=False)
    (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
    return page


def collect(lake: Lake, settings: Settings) -> ModelReport:
    """Compare the models of gold.predictions and ask MLflow about their runs; without an answer the page does without.

    Raises BadInput where nothing was predicted out of sample yet.
    """
    samples, seed = settings.models.bootstrap_samples, settings.models.seed
    problems = tuple(compare(_predictions(lake), samples, seed))
    tracked, untracked = _tracked(lake, settings, problems)
    return ModelReport(
        made_at=datetime.now(UTC),
        code_version=code_version(),
        settings_hash=settings.digest(),
        lake=lake.root,
        samples=samples,
        seed=seed,
        problems=problems,
        tracked=tracked,
        untracked=untracked,
    )


def render(data: ModelReport) -> str:
    """The page as HTML: no reads, no clock, no outside resources. The same data give the same page."""
    return render_page(
        "model.html",
        data=data,
        views=[_view(place, comparison, data) for place, comparison in enumerate(data.problems, start=1)],
        chance=CHANCE,
        known=known,
        tone=_tone,
        minimum_blocks=MINIMUM_BLOCKS,
    )


def summarise(data: ModelReport) -> dict[str, Any]:
    """The page's figures for other programs: shares are fractions, dates ISO; null is what cannot be told."""
    summary: dict[str, Any] = _plain(
        {
            "made_at": data.made_at,
            "code_version": data.code_version,
            "settings_hash": data.settings_hash,
            "lake": data.lake,
            "bootstrap": {"samples": data.samples, "seed": data.seed},
            "problems": [_problem_summary(comparison, data.tracked) for comparison in data.problems],
        }
    )
    return summary


def verdict(comparison: Comparison) -> tuple[str, str]:
    """Its tone (`better`, `worse`, `none`, `unknown`) and, in plain words, which algorithm is best and whether that is proven."""
    best = comparison.best
    if best == BASE_RATE:
        return "unknown", "Only the base rate was trained: there is nothing to compare it with."
    found = {
        one.target: standing(one.scores[best].metrics["log_loss_skill"], 0)
        for one in comparison.targets
        if best in one.scores
    }
    clauses = [
        f"{words_before} for {_listed([target for target, own in found.items() if own == kind])}{words_after}"
        for kind, (words_before, words_after) in _STANDINGS.items()
        if kind in found.values()
    ]
    mean = f", on average over {len(found)} targets" if len(found) > 1 else ""
    skill = f"{change(known(comparison.skill(best)))} over the base rate{mean}"
    return (
        _verdict_tone(list(found.values())),
        f"{_title(best)} has the most log-loss skill: {skill}. Its 95 % interval {_listed(clauses)}.",
    )


_STANDINGS = {
    "above": ("lies above 0", " (proven)"),
    "none": ("holds 0", " (not proven)"),
    "below": ("lies below 0", " (worse than the base rate)"),
    "unknown": ("cannot be told", " (too few weeks and days)"),
}
"""What is said of targets whose interval stands so, before and after they are named."""


def _verdict_tone(standings: Sequence[str]) -> str:
    if all(one == "above" for one in standings):
        return "better"
    return "worse" if "below" in standings else "none"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _title(name: str) -> str:
    return words(name).capitalize()


def _predictions(lake: Lake) -> pd.DataFrame:
    missing = "Predictions are not written yet. Run `smallcaps train` first."
    if not lake.exists("gold.predictions"):
        raise BadInput(missing)
    rows = lake.read("gold.predictions").where("fold IS NOT NULL").select(*_COLUMNS).toPandas()
    if rows.empty:
        raise BadInput(missing)
    return rows


def _tracked(
    lake: Lake, settings: Settings, problems: Sequence[Comparison]
) -> tuple[dict[str, TrackedRun], str | None]:
    """What MLflow knows of the runs, and why it was not asked."""
    try:
        client = client_of(settings, lake)
    except (BadInput, FailedDependency) as error:
        return {}, str(error)
    found = {
        run: _of_run(client, run, with_importance=any(run == one.tracking_runs[best] for best in _bests(one)))
        for one in problems
        for run in one.tracking_runs.values()
    }
    return {run: facts for run, facts in found.items() if facts is not None}, None


def _bests(comparison: Comparison) -> set[str]:
    return {one.best for one in comparison.targets}


def _of_run(client: MlflowClient, run: str, *, with_importance: bool) -> TrackedRun | None:
    try:
        told = client.get_run(run)
        versions = client.search_model_versions(f"run_id = '{run}'")
    except MlflowException:
        return None
    return TrackedRun(
        dataset=told.data.tags.get("smallcaps.dataset", ""),
        trained_at=datetime.fromtimestamp(told.info.start_time / 1000, UTC),
        version=str(versions[0].version) if versions else None,
        importance=_importance(client, run) if with_importance else None,
    )


def _importance(client: MlflowClient, run: str) -> pd.DataFrame | None:
    try:
        return logged_frame(client, run, "importance.csv")
    except (MlflowException, OSError):
        return None


def _view(place: int, comparison: Comparison, data: ModelReport) -> dict[str, Any]:
    tone, sentence = verdict(comparison)
    return {
        "id": f"p{place}",
        "comparison": comparison,
        "title": words(comparison.problem),
        "tone": tone,
        "verdict": sentence,
        "runs": _run_views(comparison, data.tracked),
        "targets": [_target_view(one, comparison, data) for one in comparison.targets],
    }


def _run_views(comparison: Comparison, tracked: Mapping[str, TrackedRun]) -> list[dict[str, Any]]:
    return [
        {
            "algorithm": algorithm,
            "skill": known(comparison.skill(algorithm)),
            "tracking_run": comparison.tracking_runs[algorithm],
            "facts": tracked.get(comparison.tracking_runs[algorithm]),
        }
        for algorithm in comparison.algorithms
    ]


def _target_view(one: TargetComparison, comparison: Comparison, data: ModelReport) -> dict[str, Any]:
    algorithms = [name for name in comparison.algorithms if name in one.scores]
    calibration, lift = model_charts.calibration(one.deciles), model_charts.lift(one.deciles)
    return {
        "comparison": one,
        "algorithms": algorithms,
        "by_fold": {
            metric: charts.fragment(
                model_charts.by_fold(one.folds, algorithms, metric, nothing), f"{words(metric)} of {one.target} by fold"
            )
            for metric, nothing in (("auc", 0.5), ("log_loss_skill", 0.0))
        },
        "calibration": {
            name: charts.fragment(figure, f"Calibration of {words(name)} for {one.target}")
            for name, figure in calibration.items()
        },
        "lift": {
            name: charts.fragment(figure, f"Lift of {words(name)} by decile for {one.target}")
            for name, figure in lift.items()
        },
        "detectors": records(one.detectors),
        "importance": _importance_chart(one, data.tracked.get(comparison.tracking_runs[one.best])),
    }


def _importance_chart(one: TargetComparison, run: TrackedRun | None) -> str | None:
    if run is None or run.importance is None:
        return None
    own = run.importance[run.importance["target"] == one.target]
    own = own[own["contribution"] > 0]
    if own.empty:
        return None
    return charts.fragment(model_charts.importance(own), f"Inputs that count most for {one.target}")


def _tone(metric: str, score: Score) -> str:
    """How a figure is set: as better than knowing nothing, as worse, or plainly."""
    if metric not in _NOTHING:
        return ""
    return {"above": "up", "below": "down"}.get(standing(score.metrics[metric], _NOTHING[metric]), "")


def _problem_summary(comparison: Comparison, tracked: Mapping[str, TrackedRun]) -> dict[str, Any]:
    return {
        "problem": comparison.problem,
        "best": comparison.best,
        "verdict": verdict(comparison)[1],
        "events": comparison.events,
        "first": comparison.first,
        "last": comparison.last,
        "same_events": comparison.same_events,
        "algorithms": {
            name: _run_summary(run, tracked.get(run)) | {"mean_log_loss_skill": comparison.skill(name)}
            for name, run in comparison.tracking_runs.items()
        },
        "targets": {one.target: _target_summary(one) for one in comparison.targets},
    }


def _run_summary(run: str, facts: TrackedRun | None) -> dict[str, Any]:
    return {
        "tracking_run": run,
        "dataset": None if facts is None else facts.dataset,
        "version": None if facts is None else facts.version,
        "trained_at": None if facts is None else facts.trained_at,
    }


def _target_summary(one: TargetComparison) -> dict[str, Any]:
    return {
        "all": {name: asdict(score) for name, score in one.scores.items()},
        "core": {name: asdict(score) for name, score in one.core.items()},
        "folds": [_fold_summary(fold) for fold in one.folds],
        "detectors": records(one.detectors),
    }


def _fold_summary(fold: Fold) -> dict[str, Any]:
    return {
        "fold": fold.number,
        "first": fold.first,
        "last": fold.last,
        "scores": {name: asdict(score) for name, score in fold.scores.items()},
    }


def _plain(value: Any) -> Any:
    """As JSON has it: dates in ISO form, what is not finite as null."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, date):
        return value.isoformat()
    return None if isinstance(value, float) and not math.isfinite(value) else value
