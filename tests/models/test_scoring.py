"""Probabilities computed where the events are: those that the model itself gives, row by row."""

from typing import Any

import numpy as np
import pytest
import xgboost
from pyspark.sql import DataFrame, SparkSession

from smallcaps.models.base_rate import Constant
from smallcaps.models.event_model import Calibrated, EventModel
from smallcaps.models.gradient_boosting import Trees
from smallcaps.models.logistic_regression import Line
from smallcaps.models.scoring import with_probabilities

WIDTH = 9
NAMES = tuple(f"input_{place}" for place in range(WIDTH))


def grown() -> Trees:
    random = np.random.default_rng(1)
    inputs = random.normal(size=(300, WIDTH))
    inputs[random.random(inputs.shape) < 0.2] = np.nan
    happened = (np.nan_to_num(inputs[:, 0]) + random.normal(size=300) > 0).astype(float)
    options = {"objective": "binary:logistic", "max_depth": 2, "nthread": 1}
    return Trees(xgboost.train(options, xgboost.DMatrix(inputs, happened, feature_names=list(NAMES)), 8), 8)


def line() -> Line:
    random = np.random.default_rng(2)
    median, mean, weights = random.normal(size=(3, WIDTH))
    return Line(median, mean, random.uniform(0.5, 2, WIDTH), weights, 0.4)


MODELS = {
    1: EventModel("p", "trees", "inputs", NAMES, {"reversal": Calibrated(grown(), 0.9, 0.1)}),
    2: EventModel(
        "p",
        "line",
        "inputs",
        NAMES,
        {"continuation": Calibrated(line(), 0.7, -0.2), "exhaustion": Calibrated(Constant(-1.0), 1.0, 0.0)},
    ),
}


def asked(spark: SparkSession, rows: int = 240) -> DataFrame:
    """Events of folds 1 to 3, a fifth of their inputs null, one that knows nothing, one that holds no number."""
    random = np.random.default_rng(3)
    inputs: list[list[float | None]] = [
        [None if random.random() < 0.2 else float(random.normal()) for _ in NAMES] for _ in range(rows)
    ]
    inputs[0], inputs[1] = [None] * WIDTH, [float("nan")] * WIDTH
    listed: list[tuple[Any, ...]] = [
        (f"e{place:03d}", 1 + place % 3, None if place % 7 == 0 else place, inputs[place]) for place in range(rows)
    ]
    rows_of = spark.createDataFrame(listed, "event_id string, fold int, extra int, inputs array<double>")
    return rows_of.selectExpr("*", "cast(NULL AS array<float>) AS sequence")


@pytest.mark.parametrize("partitions", [1, 5])
def test_every_row_of_a_fold_with_a_model_is_told_what_its_model_says_of_it_alone(
    spark: SparkSession, partitions: int
) -> None:
    rows = asked(spark).repartition(partitions, "event_id")
    found = with_probabilities(rows, MODELS)
    assert found.columns == ["event_id", "fold", "extra", "target", "probability"]
    told = {(one["event_id"], one["target"]): one for one in found.collect()}
    assert found.count() == len(told)
    expected = {}
    for one in rows.collect():
        if (model := MODELS.get(one["fold"])) is not None:
            values = dict(zip(NAMES, one["inputs"], strict=True))
            for target, probability in model.score(values).items():
                expected[one["event_id"], target] = (one["fold"], one["extra"], probability)
    assert {key: (one["fold"], one["extra"], one["probability"]) for key, one in told.items()} == expected
    assert {one["fold"] for one in told.values()} == {1, 2}
    # What is null and what is no number are the same: not known.
    assert {one for one, _ in expected} >= {"e000", "e001"}


def test_batches_of_a_few_rows_say_the_same(spark: SparkSession) -> None:
    key = "spark.sql.execution.arrow.maxRecordsPerBatch"
    whole = with_probabilities(asked(spark), MODELS).collect()
    before = spark.conf.get(key)
    try:
        spark.conf.set(key, "7")
        assert sorted(with_probabilities(asked(spark), MODELS).collect()) == sorted(whole)
    finally:
        spark.conf.set(key, before)


def test_without_a_model_or_a_row_nothing_comes(spark: SparkSession) -> None:
    assert with_probabilities(asked(spark), {}).count() == 0
    assert with_probabilities(asked(spark).where("fold > 5"), MODELS).count() == 0
    assert with_probabilities(asked(spark).where("fold = 3"), MODELS).count() == 0
