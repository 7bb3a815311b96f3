"""Gradient-boosted trees (Chen and Guestrin 2016), of many events by `xgboost.spark`, in as many tasks as they are worth."""

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from pyspark.sql import functions as F

from smallcaps.config.settings import ModelSettings
from smallcaps.models.event_model import Calibrated, Floats, calibrated
from smallcaps.models.past import BETWEEN, FIT, HELD_OUT, Past, row_weights
from smallcaps.spark import task_slots, workers_of

NOT_KNOWN = float("nan")
MOST_ROWS = 200_000
"""Calibration looks at so many held-out events at most, drawn by event_id."""


@dataclass(frozen=True)
class Trees:
    """The first `rounds` trees of a booster."""

    booster: xgboost.Booster
    rounds: int

    def margins(self, inputs: Floats) -> Floats:
        """See Classifier."""
        found = self.booster.inplace_predict(
            inputs, iteration_range=(0, self.rounds), predict_type="margin", missing=NOT_KNOWN
        )
        return np.asarray(found, dtype=np.float64)

    def contributions(self, inputs: Floats) -> Floats:
        """See Classifier."""
        rows = xgboost.DMatrix(inputs, missing=NOT_KNOWN, feature_names=self.booster.feature_names)
        found = self.booster.predict(rows, pred_contribs=True, iteration_range=(0, self.rounds))
        return np.asarray(found[:, :-1], dtype=np.float64)


Grow = Callable[[str, Mapping[str, Any]], Trees]
"""Trees for a target, by XGBoost's options."""


def fit(past: Past, settings: ModelSettings) -> dict[str, Calibrated]:
    """Trees for each target. What is held out says when to stop and calibrates; then as many trees are grown on all of the past.
    Where one task would do they are grown here: starting it takes longer than growing them. The trees are the same.

    Raises BadInput where more workers are asked for than Spark has task slots.
    """
    logging.getLogger("XGBoost-PySpark").setLevel(logging.WARNING)
    spark = past.rows.sparkSession
    workers = workers_of(spark, settings.workers, -(-past.events // settings.events_per_worker))
    grow: Grow
    if settings.workers is None and past.events <= settings.events_per_worker:
        rows = past.sample(past.events)
        grow, held_out = partial(grown_here, past, rows), rows[rows["part"] == HELD_OUT]
    else:
        grow, held_out = partial(grown_in_tasks, past, workers), past.sample(MOST_ROWS, HELD_OUT)
    with ThreadPoolExecutor(max(1, task_slots(spark) // workers)) as pool:
        found = pool.map(lambda target: _fit_target(grow, past, held_out, target, settings), past.targets)
        return dict(zip(past.targets, found, strict=True))


def _fit_target(grow: Grow, past: Past, held_out: pd.DataFrame, target: str, settings: ModelSettings) -> Calibrated:
    options = dict(settings.gradient_boosting)
    patience = options.pop("early_stopping_rounds")
    options |= {"seed": settings.seed, "missing": NOT_KNOWN, "verbosity": 0}
    trial = grow(target, options | {"early_stopping_rounds": patience})
    trial = Trees(trial.booster, trial.booster.best_iteration + 1)
    inputs, happened = (held_out[names].to_numpy(dtype=np.float64) for names in (list(past.names), target))
    scale = calibrated(trial, inputs, happened)
    return Calibrated(grow(target, options | {"n_estimators": trial.rounds}), scale.slope, scale.intercept)


def grown_here(past: Past, rows: pd.DataFrame, target: str, options: Mapping[str, Any]) -> Trees:
    """Trees of the past's `rows` on one processor. With early stopping what is held out stops them, and what reaches into it
    takes no part; without, all rows are fitted.
    """
    stopping = "early_stopping_rounds" in options
    fitted = rows["part"] == FIT if stopping else rows["part"].notna()

    def of(chosen: pd.Series) -> tuple[Floats, Floats, Floats]:
        some = rows[chosen]
        happened, unique = (some[name].to_numpy(dtype=np.float64) for name in (target, "uniqueness"))
        return (
            some[list(past.names)].to_numpy(dtype=np.float64),
            happened,
            row_weights(unique, happened, past.class_weights[target]),
        )

    inputs, happened, weight = of(fitted)
    classifier = xgboost.XGBClassifier(**options, n_jobs=1)
    told: dict[str, Any] = {}
    if stopping:
        held_inputs, held_happened, held_weight = of(rows["part"] == HELD_OUT)
        told = {"eval_set": [(held_inputs, held_happened)], "sample_weight_eval_set": [held_weight], "verbose": False}
    booster = classifier.fit(inputs, happened, sample_weight=weight, **told).get_booster()
    booster.feature_names = list(past.names)
    return Trees(booster, booster.num_boosted_rounds())


def grown_in_tasks(past: Past, workers: int, target: str, options: Mapping[str, Any]) -> Trees:
    """As `grown_here`, by as many tasks of Spark, on their own rows each."""
    from xgboost.spark import SparkXGBClassifier

    rows, told = past.rows, dict(options)
    if "early_stopping_rounds" in options:
        rows = rows.where(f"part <> '{BETWEEN}'")
        told["validation_indicator_col"] = "is_held_out"
    rows = rows.select(
        *past.names,
        F.col(target).alias("happened"),
        past.weight(target).alias("fit_weight"),
        (F.col("part") != FIT).alias("is_held_out"),
        "event_id",
    )
    classifier = SparkXGBClassifier(
        features_col=list(past.names),
        label_col="happened",
        weight_col="fit_weight",
        num_workers=workers,
        verbose=False,
        **told,
    )
    # A total order before each worker reads its rows: the same rows give the same trees.
    fitted = classifier.fit(rows.repartition(workers, "event_id").sortWithinPartitions("event_id"))
    booster = fitted.get_booster()
    return Trees(booster, booster.num_boosted_rounds())
