"""How long one event takes to be scored, as a live path asks: `EventModel.score` against the same model as MLflow serves it.

python benchmarks/single_row.py [--rows 500]

Models are as large as the settings allow: all rounds of trees for three targets over the inputs of intraday events, networks with
their hidden units over sequences of five minutes; what they were fitted on is noise, since how long they take does not depend on
it. The networks need the extra `sequence` and are left out without it. Milliseconds a row: the median, and what 99 of 100 rows
take at most. A row is a mapping of names to values; for MLflow a frame of one row.
"""

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from smallcaps.config import load_settings
from smallcaps.config.settings import ModelSettings
from smallcaps.models.event_model import Calibrated, Classifier, EventModel
from smallcaps.models.event_sequence import channel_names
from smallcaps.models.frozen import input_names
from smallcaps.models.gradient_boosting import Trees
from smallcaps.models.logistic_regression import Line
from smallcaps.models.targets import TARGETS
from smallcaps.models.tracking import ServedModel

FITTED_ON, WARM = 5_000, 50


def trees(names: tuple[str, ...], settings: ModelSettings) -> dict[str, Classifier]:
    """As many rounds as the settings allow at most."""
    random = np.random.default_rng(1)
    inputs = random.normal(size=(FITTED_ON, len(names)))
    options: dict[str, Any] = {**settings.gradient_boosting, "n_jobs": 1}
    del options["early_stopping_rounds"]
    found = {}
    for target in TARGETS:
        booster = xgboost.XGBClassifier(**options).fit(inputs, random.integers(0, 2, FITTED_ON)).get_booster()
        booster.feature_names = list(names)
        found[target] = Trees(booster, booster.num_boosted_rounds())
    return found


def lines(names: tuple[str, ...]) -> dict[str, Classifier]:
    """A weight an input."""
    random = np.random.default_rng(2)
    zeros, ones = np.zeros(len(names)), np.ones(len(names))
    return {target: Line(zeros, zeros, ones, random.normal(size=len(names)), 0.0) for target in TARGETS}


def network(kind: str, channels: tuple[str, ...], steps: int, options: dict[str, Any]) -> dict[str, Classifier]:
    """Weights as they are before any training."""
    from smallcaps.models.network import Head, Network
    from smallcaps.models.networks import NETWORKS

    width = len(channels) // steps
    module = NETWORKS[kind](width, steps, len(TARGETS), options)
    weights = {name: value.numpy() for name, value in module.state_dict().items()}
    whole = Network(kind, options, tuple(TARGETS), weights, np.zeros(width), np.ones(width), steps)
    return {target: Head(whole, place) for place, target in enumerate(TARGETS)}


def milliseconds(score: Callable[[Any], Any], rows: list[Any]) -> tuple[float, float]:
    """Median and 99th percentile over rows, after some that warm up."""
    spent = []
    for row in rows:
        started = time.perf_counter()
        score(row)
        spent.append(1_000 * (time.perf_counter() - started))
    median, late = np.percentile(spent[WARM:], (50, 99))
    return float(median), float(late)


def main() -> None:
    """Print the figures of each algorithm."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500)
    asked = parser.parse_args()
    settings = load_settings()
    definition, own = settings.datasets["intraday"], settings.models
    inputs, channels = tuple(input_names(definition)), tuple(channel_names(definition))
    made: dict[str, tuple[tuple[str, ...], dict[str, Classifier]]] = {
        "logistic_regression": (inputs, lines(inputs)),
        "gradient_boosting": (inputs, trees(inputs, own)),
    }
    if find_spec("torch"):
        steps = (definition.sequence_seconds or 0) // definition.step_seconds
        for kind in ("gru", "transformer"):
            made[kind] = (channels, network(kind, channels, steps, getattr(own, kind)))
    for name, (names, classifiers) in made.items():
        targets = {target: Calibrated(one, 1.0, 0.0) for target, one in classifiers.items()}
        model = EventModel("benchmark", name, "inputs", names, targets)
        values = np.random.default_rng(3).normal(size=(asked.rows + WARM, len(names)))
        rows = [dict(zip(names, row.tolist(), strict=True)) for row in values]
        ours = milliseconds(model.score, rows)
        served = ServedModel(model)
        frames = [pd.DataFrame([row]) for row in rows]
        theirs = milliseconds(lambda frame, served=served: served.predict(None, frame), frames)
        told = ", ".join(
            f"{who} {middle:.2f} ms ({late:.2f})" for who, (middle, late) in (("score", ours), ("pyfunc", theirs))
        )
        print(f"{name:20} {len(names):4} values: {told}; score / pyfunc {ours[0] / theirs[0]:.2f}", flush=True)


if __name__ == "__main__":
    main()
