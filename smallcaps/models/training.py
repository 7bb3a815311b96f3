"""Train on a frozen dataset, walk-forward, with each algorithm; log, register and record what it came to.

1. Fit each fold on the past and score its test. 2. Write the probabilities, measure them with intervals, on all events and
on CORE, by fold and by detector. 3. Fit on everything, log to MLflow with all that it came of, register.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import mlflow
import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import DatasetSettings, ModelSettings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, Run, recorded_run, sql_literal
from smallcaps.log import progress, tell
from smallcaps.models import base_rate, figures, gates, gradient_boosting, logistic_regression, tracking
from smallcaps.models.card import model_card
from smallcaps.models.evaluation import Estimate, by_detector, deciles, evaluate
from smallcaps.models.event_model import Calibrated, EventModel
from smallcaps.models.frozen import described
from smallcaps.models.past import Past, design_matrix, past_of, sessions_of
from smallcaps.models.registry import CHALLENGER, OUT_OF_SAMPLE
from smallcaps.models.scoring import with_probabilities
from smallcaps.models.targets import TARGETS, problem
from smallcaps.version import code_version

ALGORITHMS: dict[str, Callable[[Past, ModelSettings], dict[str, Calibrated]]] = {
    "base_rate": base_rate.fit,
    "logistic_regression": logistic_regression.fit,
    "gradient_boosting": gradient_boosting.fit,
}
EXPLAINED = 5_000
"""Events of the newest fold, at most, by which an input's importance is measured."""


@dataclass(frozen=True)
class Trained:
    """What an algorithm came to: the MLflow run, the registered version, and of each target the metrics out of sample."""

    problem: str
    algorithm: str
    dataset: str
    tracking_run: str
    version: str
    events: int
    metrics: dict[str, dict[str, Estimate]]

    @property
    def skill(self) -> float:
        """Mean log-loss skill over the targets."""
        return sum(found["log_loss_skill"].value for found in self.metrics.values()) / len(self.metrics)

    def __str__(self) -> str:
        return f"{self.algorithm} {self.skill:+.4f}"


def train(lake: Lake, settings: Settings, dataset: str, algorithms: Sequence[str]) -> list[Trained]:
    """Train `algorithms` on a frozen dataset and replace their rows of gold.predictions. The one with the most skill becomes
    the challenger of its problem.

    Raises BadInput where there is no such dataset or algorithm, or too little to train on; FailedDependency where MLflow does
    not answer.
    """
    if unknown := [name for name in algorithms if name not in ALGORITHMS]:
        raise BadInput(f"There is no algorithm {', '.join(unknown)}. There are {', '.join(ALGORITHMS)}.")
    kept = described(lake, dataset)
    client = tracking.client_of(settings, lake)
    arguments = {"dataset": dataset, "algorithms": list(algorithms)}
    with recorded_run(lake, "train", arguments, settings.digest()) as run:
        rows = run.read("gold.dataset_rows").where(f"dataset = {sql_literal(dataset)}")
        walk = Walk(rows.persist(StorageLevel.MEMORY_AND_DISK), kept, settings.models)
        try:
            trained = [_train(run, settings, walk, algorithm) for algorithm in algorithms]
        finally:
            rows.unpersist()
        best = max(trained, key=lambda one: (one.algorithm != "base_rate", one.skill))
        client.set_registered_model_alias(best.problem, CHALLENGER, best.version)
        run.note = f"{best.algorithm}: log-loss skill {best.skill:+.4f} over {best.events:,} events"
        return trained


class Walk:
    """The walk-forward folds of a frozen dataset. `rows`: of gold.dataset_rows; `kept`: its row of gold.datasets."""

    def __init__(self, rows: DataFrame, kept: Mapping[str, Any], settings: ModelSettings) -> None:
        self.rows, self.kept, self.settings = rows, kept, settings
        self.definition = DatasetSettings.model_validate_json(kept["definition"])
        self.names: list[str] = kept["input_names"]
        self.matrix = design_matrix(rows, self.names)
        self.sessions = sessions_of(self.matrix)
        self.certain_before = int(self.sessions["label_session"].max()) + 1
        self.folds: list[dict[str, int]] = kept["folds"]

    def fit(self, algorithm: str, train_before: int) -> tuple[EventModel, Past] | None:
        """A model of what was certain before session `train_before`; None where that is too little."""
        past = past_of(self.matrix, self.sessions, train_before, self.names, self.settings.held_out_share)
        if past is None or past.events < self.settings.minimum_training_events or not past.targets:
            return None
        found = ALGORITHMS[algorithm](past, self.settings)
        return EventModel(problem(self.definition), algorithm, tuple(self.names), found), past

    def scored(self, models: Mapping[int, tuple[EventModel, Past]]) -> DataFrame:
        """One row an event of a fold with a model, and target: as gold.predictions has it, with session_number and dataset."""
        rates = {(fold, target): rate for fold, (_, past) in models.items() for target, rate in past.base_rates.items()}
        rate = F.lit(None).cast("double")
        for (fold, target), value in rates.items():
            rate = F.when((F.col("fold") == fold) & (F.col("target") == target), value).otherwise(rate)
        came = F.lit(None).cast("int")
        for target, sql in TARGETS.items():
            came = F.when(F.col("target") == target, F.expr(sql).cast("int")).otherwise(came)
        columns = ("dataset", "event_id", "symbol", "session_date", "detector", "session_number", "fold", "is_core")
        asked = self.rows.where(F.col("fold").isin(list(models))).select(*columns, "outcome", "gave_back", "inputs")
        scored = with_probabilities(asked, {fold: model for fold, (model, _) in models.items()})
        return scored.withColumns({"happened": came, "base_rate": rate}).drop("outcome", "gave_back")


def leakage_gates(lake: Lake, settings: Settings, dataset: str, algorithm: str) -> list[gates.Gate]:
    """The leakage gates of a dataset and, on shuffled labels, of an algorithm on its newest fold."""
    kept = described(lake, dataset)
    rows = lake.read("gold.dataset_rows").where(f"dataset = {sql_literal(dataset)}")
    walk = Walk(rows, kept, settings.models)
    newest = walk.folds[-1]
    blind = Walk(
        gates.shuffled(rows, settings.models.seed).persist(StorageLevel.MEMORY_AND_DISK), kept, settings.models
    )
    try:
        fitted = blind.fit(algorithm, newest["train_before"])
        scored = None if fitted is None else blind.scored({newest["number"]: fitted}).toPandas()
    finally:
        blind.rows.unpersist()
    found = [
        gates.no_overlap(rows, walk.folds),
        gates.no_implausible_input(walk.matrix, newest["number"], walk.names),
    ]
    return found if scored is None else [*found, gates.no_skill_without_labels(scored)]


def _train(run: Run, settings: Settings, walk: Walk, algorithm: str) -> Trained:
    called = problem(walk.definition)
    began = time.monotonic()
    with tracking.started_run(settings, run.lake, called, algorithm) as tracking_run:
        models, most = {}, len(walk.folds) + 1
        for done, fold in enumerate(walk.folds):
            progress(done, most, "fits", f"{algorithm}, fold {fold['number']}")
            if (fitted := walk.fit(algorithm, fold["train_before"])) is not None:
                models[fold["number"]] = fitted
        progress(most - 1, most, "fits", f"{algorithm}, all events")
        final = walk.fit(algorithm, walk.certain_before)
        if not models or final is None:
            raise BadInput(
                f"No fold of {walk.kept['dataset']} has {settings.models.minimum_training_events} labelled events before it, "
                "with both outcomes early and late among them. Run `smallcaps label` over more days."
            )
        predicted = f"{called}.{algorithm}"
        scored = walk.scored(models).withColumns({"model": F.lit(predicted), "tracking_run": F.lit(tracking_run)})
        extra = ("dataset", "session_number")
        with_run = scored.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            run.replace("gold.predictions", with_run.drop(*extra), f"model = {sql_literal(predicted)}")
            frame = with_run.toPandas().sort_values(["target", "event_id"], ignore_index=True)
        finally:
            with_run.unpersist()
        metrics = _measure(frame, settings.models)
        _log(run, settings, walk, algorithm, frame, metrics, final[0])
        tags = {"algorithm": algorithm, "dataset": walk.kept["dataset"], "certain_before": str(walk.certain_before)}
        version = tracking.log_model(tracking.client_of(settings, run.lake), tracking_run, final[0], tags)
        tell("trained", algorithm=algorithm, dataset=walk.kept["dataset"], seconds=round(time.monotonic() - began, 1))
        events = int(frame["event_id"].nunique())
        return Trained(called, algorithm, walk.kept["dataset"], tracking_run, version, events, metrics)


def _measure(frame: pd.DataFrame, settings: ModelSettings) -> dict[str, dict[str, Estimate]]:
    return {
        str(target): evaluate(rows, settings.bootstrap_samples, settings.seed)
        for target, rows in frame.groupby("target", sort=False)
    }


def _log(
    run: Run,
    settings: Settings,
    walk: Walk,
    algorithm: str,
    frame: pd.DataFrame,
    metrics: Mapping[str, Mapping[str, Estimate]],
    model: EventModel,
) -> None:
    kept, own = walk.kept, settings.models
    mlflow.set_tags(
        {
            "smallcaps.run_id": run.run_id,
            "smallcaps.code_version": code_version(),
            "smallcaps.dataset": kept["dataset"],
            "smallcaps.content_hash": kept["content_hash"],
        }
    )
    options = getattr(own, algorithm, {})
    mlflow.log_params(
        {
            **walk.definition.model_dump(),
            **own.model_dump(exclude=set(ALGORITHMS)),
            **{f"{algorithm}.{name}": value for name, value in options.items()},
            "algorithm": algorithm,
            "settings_hash": settings.digest(),
            "dataset": kept["dataset"],
        }
    )
    tracking.log_environment()
    mlflow.log_dict(kept["input_versions"], "input_versions.json")
    mlflow.log_dict({"folds": walk.folds}, "folds.json")
    tracking.log_frame(frame.drop(columns=["model", "tracking_run"]), OUT_OF_SAMPLE)
    _log_metrics(frame, metrics, own)
    by_target = {str(target): rows for target, rows in frame.groupby("target", sort=False)}
    tables = {target: deciles(rows, own.bootstrap_samples, own.seed) for target, rows in by_target.items()}
    detectors = {target: by_detector(rows) for target, rows in by_target.items()}
    for name, parts in (("deciles", tables), ("detectors", detectors)):
        tracking.log_frame(pd.concat([rows.assign(target=target) for target, rows in parts.items()]), f"{name}.csv")
    tracking.log_figure(figures.calibration(tables), "calibration.png")
    tracking.log_figure(figures.lift(tables), "lift.png")
    importance = _importance(walk, model)
    tracking.log_frame(importance, "importance.csv")
    if algorithm != "base_rate":
        tracking.log_figure(figures.importance(importance), "importance.png")
    mlflow.log_text(model_card(kept, model, frame, metrics, importance), "model_card.md")


def _log_metrics(frame: pd.DataFrame, metrics: Mapping[str, Mapping[str, Estimate]], settings: ModelSettings) -> None:
    """Each target's metrics on all events, on CORE (`core.`) and by fold (`fold.`, step: the fold), with intervals."""
    mlflow.log_metric("events", frame["event_id"].nunique())
    for target, rows in frame.groupby("target", sort=False):
        _log_estimates(f"{target}.", metrics[str(target)], 0)
        mlflow.log_metric(f"{target}.observed", float(rows["happened"].mean()))
        core = rows[rows["is_core"]]
        if len(core):
            _log_estimates(f"{target}.core.", evaluate(core, settings.bootstrap_samples, settings.seed), 0)
        for number, fold in rows.groupby("fold"):
            found = evaluate(fold, settings.bootstrap_samples, settings.seed)
            _log_estimates(f"{target}.fold.", found, int(str(number)))


def _log_estimates(prefix: str, estimates: Mapping[str, Estimate], step: int) -> None:
    """Figures with the ends of their intervals; what cannot be told is left out."""
    figures_by_name = {
        f"{prefix}{name}{end}": value
        for name, estimate in estimates.items()
        for end, value in zip(("", "_low", "_high"), dataclasses.astuple(estimate), strict=True)
    }
    mlflow.log_metrics({name: value for name, value in figures_by_name.items() if not pd.isna(value)}, step=step)


def _importance(walk: Walk, model: EventModel) -> pd.DataFrame:
    """Mean |SHAP| of each input on events of the newest fold: target, input, contribution (log odds)."""
    newest = walk.matrix.where(F.col("fold") == walk.folds[-1]["number"])
    rows = newest.orderBy(F.xxhash64("event_id"), "event_id").limit(EXPLAINED).select(*walk.names).toPandas()
    inputs = rows.to_numpy(dtype="float64")
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "target": target,
                    "input": walk.names,
                    "contribution": abs(one.classifier.contributions(inputs) * one.slope).mean(axis=0),
                }
            )
            for target, one in model.targets.items()
        ],
        ignore_index=True,
    )
