"""Trees grown here and by tasks of Spark: the same from the same rows, and as good from divided ones."""

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from sklearn.metrics import roc_auc_score

from smallcaps.config import Settings
from smallcaps.models.gradient_boosting import fit, grown_here, grown_in_tasks
from smallcaps.models.past import BETWEEN, FIT, HELD_OUT, Past

NAMES = ("strong", "weak", "empty", "noise")
OPTIONS = {
    "max_depth": 3,
    "learning_rate": 0.1,
    "subsample": 0.8,
    "colsample_bytree": 0.8,
    "seed": 7,
    "missing": float("nan"),
}


@pytest.fixture(scope="module")
def past(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Past:
    """A thousand events whose outcome two inputs tell of; a fifth of them held out, some between."""
    random = np.random.default_rng(3)
    count = 1_000
    inputs = random.normal(size=(count, len(NAMES)))
    inputs[:, NAMES.index("empty")] = np.nan
    inputs[random.random(count) < 0.2, NAMES.index("weak")] = np.nan
    odds = 2 * inputs[:, 0] + np.nan_to_num(inputs[:, 1])
    frame = pd.DataFrame(inputs, columns=list(NAMES)).assign(
        event_id=[f"{number:04d}" for number in random.permutation(count)],
        part=[FIT if place < 700 else BETWEEN if place < 800 else HELD_OUT for place in range(count)],
        uniqueness=random.uniform(0.2, 1, count),
        continuation=(random.random(count) < 1 / (1 + np.exp(-odds))).astype(int),
    )
    rows = spark.createDataFrame(frame).persist()
    scratch = str(tmp_path_factory.mktemp("scratch"))
    return Past(rows, NAMES, ("continuation",), {"continuation": (1.2, 0.9)}, {"continuation": 0.5}, count, scratch)


@pytest.mark.parametrize("stopping", [{"n_estimators": 60, "early_stopping_rounds": 5}, {"n_estimators": 12}])
def test_one_task_of_spark_grows_the_trees_that_are_grown_here(past: Past, stopping: dict[str, int]) -> None:
    rows = past.sample(past.events)
    inputs = rows[list(NAMES)].to_numpy(dtype=np.float64)
    here = grown_here(past, rows, "continuation", OPTIONS | stopping)
    there = grown_in_tasks(past, 1, "continuation", OPTIONS | stopping)
    assert here.rounds == there.rounds <= stopping["n_estimators"]
    assert here.booster.feature_names == there.booster.feature_names == list(NAMES)
    if "early_stopping_rounds" in stopping:
        assert here.booster.best_iteration == there.booster.best_iteration
    np.testing.assert_array_equal(here.margins(inputs), there.margins(inputs))


def test_two_tasks_find_what_one_does(past: Past, settings: Settings) -> None:
    few = {**settings.models.gradient_boosting, "n_estimators": 60}
    found = {}
    for workers in (None, 2):
        own = settings.models.model_copy(update={"workers": workers, "gradient_boosting": few})
        found[workers] = fit(past, own)["continuation"]
    rows = past.sample(past.events, HELD_OUT)
    inputs = rows[list(NAMES)].to_numpy(dtype=np.float64)
    scores = {workers: roc_auc_score(rows["continuation"], one.probability(inputs)) for workers, one in found.items()}
    assert min(scores.values()) > 0.85
    assert abs(scores[None] - scores[2]) < 0.02
    assert np.corrcoef(found[None].probability(inputs), found[2].probability(inputs))[0, 1] > 0.98
