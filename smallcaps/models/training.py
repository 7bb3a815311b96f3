"""Train on a frozen dataset, walk-forward, with each algorithm; log, register and record what it came to.

1. Fit each fold on the past and score its test. 2. Write the probabilities, measure them with intervals, on all events and
on CORE, by fold and by detector. 3. Fit on everything, log to MLflow with all that it came of, register.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Literal

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
from smallcaps.models.evaluation import Estimate, by_detector, deciles, evaluate, event_losses
from smallcaps.models.event_model import Calibrated, EventModel
from smallcaps.models.frozen import described, of_dataset
from smallcaps.models.past import Past, as_columns, design_matrix, drawn, past_of, sessions_of
from smallcaps.models.registry import CHALLENGER, OUT_OF_SAMPLE
from smallcaps.models.scoring import READ, with_points, with_probabilities
from smallcaps.models.targets import TARGETS, problem
from smallcaps.version import code_version

Source = Literal["inputs", "sequence"]


@dataclass(frozen=True)
class Algorithm:
    """How a model is fitted to a past, and which column of gold.dataset_rows it reads."""

    fit: Callable[[Past, ModelSettings], dict[str, Calibrated]]
    reads: Source = "inputs"


def _network(kind: str) -> Algorithm:
    def fit(past: Past, settings: ModelSettings) -> dict[str, Calibrated]:
        # Here, since it needs the extra `sequence`.
        from smallcaps.models import network_training

        return network_training.fit(kind, past, settings)

    return Algorithm(fit, "sequence")


ALGORITHMS: dict[str, Algorithm] = {
    "base_rate": Algorithm(base_rate.fit),
    "logistic_regression": Algorithm(logistic_regression.fit),
    "gradient_boosting": Algorithm(gradient_boosting.fit),
    "gru": _network("gru"),
    "transformer": _network("transformer"),
}
COMPLETE = 0.95
"""Share of the events and targets that others scored which a challenger must have scored."""
EXPLAINED = 1_000
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


def train(lake: Lake, settings: Settings, dataset: str, algorithms: Sequence[str] | None = None) -> list[Trained]:
    """Train algorithms (None: all that can be) on a frozen dataset and replace their rows of gold.predictions. That of `best_of`
    becomes the challenger of its problem.

    Raises BadInput where there is no such dataset or algorithm, or too little to train on; FailedDependency where MLflow does
    not answer.
    """
    if unknown := [name for name in algorithms or () if name not in ALGORITHMS]:
        raise BadInput(f"There is no algorithm {', '.join(unknown)}. There are {', '.join(ALGORITHMS)}.")
    kept = described(lake, dataset)
    client = tracking.client_of(settings, lake)
    arguments = {"dataset": dataset, "algorithms": None if algorithms is None else list(algorithms)}
    with recorded_run(lake, "train", arguments, settings.digest()) as run:
        rows = run.read("gold.dataset_rows").where(of_dataset(dataset))
        walk = Walk(rows.persist(StorageLevel.MEMORY_AND_DISK), kept, settings.models, f"{lake.root}/scratch")
        try:
            usable = [name for name, one in ALGORITHMS.items() if one.reads == "inputs" or find_spec("torch")]
            wanted = usable if algorithms is None else algorithms
            chosen = [name for name in wanted if walk.can_fit(name)]
            too_few = [name for name in wanted if name not in chosen]
            if too_few and (algorithms is not None or not chosen):
                raise BadInput(
                    f"No fold of {dataset} has {settings.models.minimum_training_events} events for {', '.join(too_few)} "
                    "before it, with both outcomes early and late among them. Run `smallcaps label` over more days."
                )
            found = {algorithm: _train(run, settings, walk, algorithm) for algorithm in chosen}
        finally:
            rows.unpersist()
        trained = [one for one, _ in found.values()]
        best = found[best_of({algorithm: frame for algorithm, (_, frame) in found.items()})][0]
        with tracking.answering():
            client.set_registered_model_alias(best.problem, CHALLENGER, best.version)
        run.note = f"{best.algorithm}: log-loss skill {best.skill:+.4f} over {best.events:,} events"
        return trained


def best_of(frames: Mapping[str, pd.DataFrame]) -> str:
    """The algorithm with the least log loss out of sample before the newest fold, which is left for the gate to judge on, over
    the events and targets that all have. One that scored fewer than most takes no part (COMPLETE); the base rate only if alone.
    `frames`: rows of gold.predictions by algorithm.
    """
    most = max(len(frame) for frame in frames.values())
    taken = {name: frame for name, frame in frames.items() if len(frame) >= COMPLETE * most}
    taken = {name: frame for name, frame in taken.items() if name != "base_rate"} or taken
    losses = pd.DataFrame(
        {
            name: event_losses(rows[(rows["fold"] < rows["fold"].max()) | (rows["fold"].nunique() == 1)]).set_index(
                ["event_id", "target"]
            )["loss"]
            for name, rows in taken.items()
        }
    )
    return str(losses.dropna().mean().idxmin())


class Walk:
    """The walk-forward folds of a frozen dataset. `rows`: of gold.dataset_rows; `kept`: its row of gold.datasets; `scratch`: a
    folder that executors reach.
    """

    def __init__(self, rows: DataFrame, kept: Mapping[str, Any], settings: ModelSettings, scratch: str) -> None:
        self.rows, self.kept, self.settings, self.scratch = rows, kept, settings, scratch
        self.definition = DatasetSettings.model_validate_json(kept["definition"])
        self.names: dict[Source, list[str]] = {"inputs": kept["input_names"], "sequence": kept["sequence_names"] or []}
        matrix = design_matrix(rows, self.names["inputs"])
        self.matrices: dict[Source, DataFrame] = {
            "inputs": matrix,
            "sequence": matrix.where("sequence IS NOT NULL"),
        }
        self.sessions = {source: sessions_of(matrix) for source, matrix in self.matrices.items()}
        self.certain_before = int(self.sessions["inputs"]["label_session"].max()) + 1
        self.folds: list[dict[str, int]] = kept["folds"]

    def past(self, algorithm: str, train_before: int) -> Past | None:
        """What was certain before session `train_before`, as an algorithm reads it; None where that is too little."""
        reads = ALGORITHMS[algorithm].reads
        # Whoever is killed finds what it left under the same name, and no other does.
        said = f"{self.kept['content_hash']} {self.settings.model_dump_json()} {code_version()}"
        place = f"{algorithm}-{train_before}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
        past = past_of(
            self.matrices[reads],
            self.sessions[reads],
            train_before,
            self.names[reads],
            self.settings.held_out_share,
            f"{self.scratch}/{place}",
        )
        if past is None or past.events < self.settings.minimum_training_events or not past.targets:
            return None
        return past

    def can_fit(self, algorithm: str) -> bool:
        """Whether a fold with events that it can score has enough before it, and the whole has enough for the final model."""
        numbers = self.sessions[ALGORITHMS[algorithm].reads]["session_number"]
        return self.past(algorithm, self.certain_before) is not None and any(
            numbers.between(fold["test_first"], fold["test_last"]).any()
            and self.past(algorithm, fold["train_before"]) is not None
            for fold in self.folds
        )

    def fit(self, algorithm: str, train_before: int) -> tuple[EventModel, Past] | None:
        """A model of what was certain before session `train_before`; None where that is too little."""
        past = self.past(algorithm, train_before)
        if past is None:
            return None
        chosen = ALGORITHMS[algorithm]
        found = chosen.fit(past, self.settings)
        names = tuple(self.names[chosen.reads])
        return EventModel(problem(self.definition), algorithm, chosen.reads, names, found), past

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
        asked = self.rows.where(F.col("fold").isin(list(models))).select(*columns, "outcome", "gave_back", *READ)
        scored = with_probabilities(asked, {fold: model for fold, (model, _) in models.items()})
        return scored.withColumns({"happened": came, "base_rate": rate}).drop("outcome", "gave_back")


def leakage_gates(lake: Lake, settings: Settings, dataset: str, algorithm: str) -> list[gates.Gate]:
    """The leakage gates of a dataset and, on shuffled labels, of an algorithm on its newest fold."""
    kept = described(lake, dataset)
    rows = lake.read("gold.dataset_rows").where(of_dataset(dataset))
    walk = Walk(rows, kept, settings.models, f"{lake.root}/scratch")
    newest = walk.folds[-1]
    shuffled = gates.shuffled(rows, settings.models.seed).persist(StorageLevel.MEMORY_AND_DISK)
    blind = Walk(shuffled, kept, settings.models, f"{lake.root}/scratch/shuffled")
    try:
        fitted = blind.fit(algorithm, newest["train_before"])
        scored = None if fitted is None else blind.scored({newest["number"]: fitted}).toPandas()
    finally:
        blind.rows.unpersist()
    found = [
        gates.no_overlap(rows, walk.folds),
        gates.no_implausible_input(walk.matrices["inputs"], newest["number"], walk.names["inputs"]),
    ]
    nothing = pd.DataFrame(columns=["target", "happened", "probability"])
    return [*found, gates.no_skill_without_labels(nothing if scored is None else scored)]


def _train(run: Run, settings: Settings, walk: Walk, algorithm: str) -> tuple[Trained, pd.DataFrame]:
    """What it came to, and its rows of gold.predictions."""
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
        assert final is not None, "can_fit says so"
        predicted = f"{called}.{algorithm}"
        scored = walk.scored(models).withColumns({"model": F.lit(predicted), "tracking_run": F.lit(tracking_run)})
        extra = ("dataset", "session_number")
        with_run = scored.persist(StorageLevel.MEMORY_AND_DISK)
        try:
            run.replace("gold.predictions", with_run.drop(*extra), f"model = {sql_literal(predicted)}")
            frame = with_run.toPandas().sort_values(["target", "event_id"], ignore_index=True)
        finally:
            with_run.unpersist()
        by_target = {str(target): rows for target, rows in frame.groupby("target", sort=False)}
        metrics = {
            target: evaluate(rows, settings.models.bootstrap_samples, settings.models.seed)
            for target, rows in by_target.items()
        }
        _log(run, settings, walk, algorithm, frame, by_target, metrics, final[0])
        tags = {"algorithm": algorithm, "dataset": walk.kept["dataset"], "certain_before": str(walk.certain_before)}
        tags["newest_fold"] = str(walk.folds[-1]["number"])
        version = tracking.log_model(tracking.client_of(settings, run.lake), tracking_run, final[0], tags)
        if final[0].reads == "sequence":
            named = f"{called}@{version}"
            run.replace("gold.patterns", with_points(walk.rows, named, final[0]), f"model = {sql_literal(named)}")
        tell("trained", algorithm=algorithm, dataset=walk.kept["dataset"], seconds=round(time.monotonic() - began, 1))
        events = int(frame["event_id"].nunique())
        return Trained(called, algorithm, walk.kept["dataset"], tracking_run, version, events, metrics), frame


def _log(
    run: Run,
    settings: Settings,
    walk: Walk,
    algorithm: str,
    frame: pd.DataFrame,
    by_target: Mapping[str, pd.DataFrame],
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
    tracking.log_environment(model)
    mlflow.log_dict(kept["input_versions"], "input_versions.json")
    mlflow.log_dict({"folds": walk.folds}, "folds.json")
    tracking.log_frame(frame.drop(columns=["model", "tracking_run"]), OUT_OF_SAMPLE)
    mlflow.log_metric("events", frame["event_id"].nunique())
    _log_metrics(by_target, metrics, own)
    tables = {target: deciles(rows, own.bootstrap_samples, own.seed) for target, rows in by_target.items()}
    detectors = {target: by_detector(rows) for target, rows in by_target.items()}
    for name, parts in (("deciles", tables), ("detectors", detectors)):
        tracking.log_frame(pd.concat([rows.assign(target=target) for target, rows in parts.items()]), f"{name}.csv")
    mlflow.log_figure(figures.calibration(tables), "calibration.png")
    mlflow.log_figure(figures.lift(tables), "lift.png")
    importance = _importance(walk, model)
    tracking.log_frame(importance, "importance.csv")
    if algorithm != "base_rate":
        mlflow.log_figure(figures.importance(importance), "importance.png")
    mlflow.log_text(model_card(kept, model, frame, metrics, importance), "model_card.md")


def _log_metrics(
    by_target: Mapping[str, pd.DataFrame], metrics: Mapping[str, Mapping[str, Estimate]], settings: ModelSettings
) -> None:
    """Each target's metrics on all events, on CORE (`core.`) and by fold (`fold.`, step: the fold), with intervals."""
    for target, rows in by_target.items():
        _log_estimates(f"{target}.", metrics[target], 0)
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
    newest = walk.rows.where(F.col("fold") == walk.folds[-1]["number"]).where(F.col(model.reads).isNotNull())
    columns = as_columns(model.reads, model.input_names)
    inputs = drawn(newest, EXPLAINED).select(*columns).toPandas().to_numpy(dtype="float64")
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "target": target,
                    "input": list(model.input_names),
                    "contribution": abs(one.classifier.contributions(inputs) * one.slope).mean(axis=0),
                }
            )
            for target, one in model.targets.items()
        ],
        ignore_index=True,
    )
