"""Search for the parameters of gradient boosting, trial by trial on the executors.

What is searched on lies before the first fold that has enough before it: no figure of the walk-forward folds was looked at. The
sampler (TPE, Bergstra et al. 2011) asks for as many trials at a time as Spark runs tasks; each grows trees in one task and says
the log loss on what is held out. All trials are logged: who reads a figure must know how many were tried.
"""

from dataclasses import dataclass
from typing import Any

import mlflow
import numpy as np
import optuna
import pandas as pd
import xgboost
from pyspark import StorageLevel
from sklearn.metrics import log_loss

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, recorded_run
from smallcaps.log import progress
from smallcaps.models import tracking
from smallcaps.models.event_model import Floats, calibrated
from smallcaps.models.frozen import described, of_dataset
from smallcaps.models.gradient_boosting import Trees
from smallcaps.models.past import FIT, HELD_OUT, Past, row_weights
from smallcaps.models.targets import problem
from smallcaps.models.training import Walk
from smallcaps.spark import on_executors, task_slots

MOST_ROWS = 100_000
"""A trial looks at so many events at most, drawn by event_id."""
ALGORITHM = "gradient_boosting"


@dataclass(frozen=True)
class Found:
    """The parameters with the least log loss on what is held out, that loss, and the loss of the settings' own parameters."""

    parameters: dict[str, float | int]
    loss: float
    loss_of_settings: float
    trials: int
    tracking_run: str

    def __str__(self) -> str:
        return f"log loss {self.loss:.4f} after {self.trials} trials, {self.loss_of_settings:.4f} with the settings"


def suggested(trial: optuna.Trial) -> dict[str, float | int]:
    """The parameters that are searched, and how far."""
    return {
        "max_depth": trial.suggest_int("max_depth", 2, 6),
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
        "min_child_weight": trial.suggest_float("min_child_weight", 1.0, 100.0, log=True),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 100.0, log=True),
    }


def search(lake: Lake, settings: Settings, dataset: str, trials: int) -> Found:
    """Try the settings' parameters and `trials` others on the past of a frozen dataset's first fold; log each to MLflow.

    Raises BadInput where there is no such dataset or too little before each of its folds.
    """
    kept = described(lake, dataset)
    arguments = {"dataset": dataset, "trials": trials}
    with recorded_run(lake, "model search", arguments, settings.digest()) as run:
        rows = run.read("gold.dataset_rows").where(of_dataset(dataset)).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            walk = Walk(rows, kept, settings.models, f"{lake.root}/scratch")
            pasts = (walk.past(ALGORITHM, fold["train_before"]) for fold in walk.folds)
            past = next((past for past in pasts if past is not None), None)
            if past is None:
                raise BadInput(f"{dataset} has too few events before each of its folds to search on.")
            objective = Objective(past, settings)
        finally:
            rows.unpersist()
        with tracking.started_run(settings, lake, problem(walk.definition), "search") as tracking_run:
            found = _tried(lake, settings, objective, trials, tracking_run)
            mlflow.log_params(
                {"dataset": dataset, "trials": trials, "settings_hash": settings.digest(), **found.parameters}
            )
            mlflow.log_metrics({"held_out_loss": found.loss, "held_out_loss_of_settings": found.loss_of_settings})
            mlflow.set_tag("smallcaps.run_id", run.run_id)
        run.note = str(found)
        return found


class Objective:
    """Log loss, mean over the targets, of what is held out of a past, by trees grown on what is before it and calibrated."""

    def __init__(self, past: Past, settings: Settings) -> None:
        frame = past.sample(MOST_ROWS)
        fitted, held_out = (frame[frame["part"] == part] for part in (FIT, HELD_OUT))
        self.inputs = [part[list(past.names)].to_numpy(dtype=np.float64) for part in (fitted, held_out)]
        self.targets = [
            [_labels(part, target, weights) for part in (fitted, held_out)]
            for target, weights in past.class_weights.items()
        ]
        self.seed = settings.models.seed
        self.own = dict(settings.models.gradient_boosting)

    def __call__(self, parameters: dict[str, Any]) -> float:
        """The loss of `parameters`, in place of the settings' own."""
        options = self.own | parameters | {"objective": "binary:logistic", "seed": self.seed, "nthread": 1}
        rounds, patience = int(options.pop("n_estimators")), int(options.pop("early_stopping_rounds"))
        losses = []
        for parts in self.targets:
            fitted, held_out = (
                xgboost.DMatrix(inputs, came, weight=weight)
                for inputs, (came, weight) in zip(self.inputs, parts, strict=True)
            )
            booster = xgboost.train(
                options,
                fitted,
                rounds,
                evals=[(held_out, HELD_OUT)],
                early_stopping_rounds=patience,
                verbose_eval=False,
            )
            came, _ = parts[1]
            told = calibrated(Trees(booster, booster.best_iteration + 1), self.inputs[1], came)
            losses.append(log_loss(came, told.probability(self.inputs[1]), labels=[0, 1]))
        return float(np.mean(losses))


def _labels(part: pd.DataFrame, target: str, class_weights: tuple[float, float]) -> tuple[Floats, Floats]:
    """Whether it came, and how much each row counts."""
    happened, unique = (part[name].to_numpy(dtype=np.float64) for name in (target, "uniqueness"))
    return happened, row_weights(unique, happened, class_weights)


def _tried(lake: Lake, settings: Settings, objective: Objective, trials: int, tracking_run: str) -> Found:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spark, slots = lake.spark, task_slots(lake.spark)
    shared = spark.sparkContext.broadcast(objective)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=settings.models.seed))

    def tried(parameters: dict[str, Any]) -> float:
        return float(shared.value(parameters))

    (loss_of_settings,) = on_executors(spark, [{}], tried)
    while (done := len(study.trials)) < trials:
        progress(done, trials, "trials")
        asked = [study.ask() for _ in range(min(slots, trials - done))]
        wanted = [suggested(trial) for trial in asked]
        for trial, parameters, loss in zip(asked, wanted, on_executors(spark, wanted, tried), strict=True):
            study.tell(trial, loss)
            with mlflow.start_run(run_name=f"trial {trial.number}", nested=True):
                mlflow.log_params(parameters)
                mlflow.log_metric("held_out_loss", loss)
    shared.unpersist()
    return Found(study.best_params, study.best_value, loss_of_settings, trials, tracking_run)
