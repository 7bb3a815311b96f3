"""Whether what models read, and what they say, still is what it was: month by month, into ops.drift.

Inputs: the population stability index (Siddiqi 2006) of each month's values against those of the rows that a frozen dataset is
only trained on, over the deciles of these and one bin for what is not known: Σ (p − q)·ln(p / q).
Calibration: mean probability less share that came, of each model's walk-forward probabilities, with an interval that draws days.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, recorded_run
from smallcaps.models.evaluation import MINIMUM_BLOCKS, draws, interval
from smallcaps.models.frozen import described, of_dataset
from smallcaps.models.targets import problem_of

BINS = 10
LEAST = 1e-4
"""A share that is none counts as this one, so that a value never seen before is much drift and not endless."""
STABLE, MOVED = 0.1, 0.25
"""Bounds of the stability index by convention: below the first little moved, above the second much."""


def stability(rows: DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Of rows of gold.dataset_rows: name, period (first day of a month), events and value, the stability index of each input's
    values in the rows of a fold against those in the rows without one. Looks at the rows.
    """
    values = rows.select(
        F.col("fold").isNull().alias("is_reference"),
        F.trunc("session_date", "month").alias("period"),
        F.posexplode("inputs").alias("place", "value"),
    )
    shares = F.lit([place / BINS for place in range(1, BINS)])
    edges = values.where("is_reference").groupBy("place").agg(F.percentile("value", shares).alias("edges"))
    # How many edges lie below a value; null where it is not known.
    placed = values.join(F.broadcast(edges), "place").withColumn("bin", F.expr("size(filter(edges, e -> e < value))"))
    binned = placed.withColumn("bin", F.when(F.col("value").isNotNull() & F.col("edges").isNotNull(), F.col("bin")))
    counted = binned.groupBy("is_reference", "period", "place", "bin").agg(F.count("*").alias("rows")).toPandas()
    if not counted["is_reference"].any():
        return pd.DataFrame([], columns=["name", "period", "events", "value"])
    counted["bin"] = counted["bin"].fillna(-1).astype(int)
    reference, since = counted[counted["is_reference"]], counted[~counted["is_reference"]]
    found = []
    for place, name in enumerate(names):
        before = reference[reference["place"] == place].groupby("bin")["rows"].sum()
        for period, part in since[since["place"] == place].groupby("period"):
            here = part.groupby("bin")["rows"].sum()
            found.append((name, period, int(here.sum()), stability_index(before, here)))
    return pd.DataFrame(found, columns=["name", "period", "events", "value"])


def stability_index(before: pd.Series, here: pd.Series) -> float:
    """Of counts by bin; NaN where there is nothing to compare with."""
    if not before.sum() or not here.sum():
        return float("nan")
    bins = before.index.union(here.index)
    q, p = (np.maximum(part.reindex(bins, fill_value=0).to_numpy() / part.sum(), LEAST) for part in (before, here))
    return float(((p - q) * np.log(p / q)).sum())


def calibration(predictions: DataFrame, samples: int, seed: int) -> pd.DataFrame:
    """Of walk-forward rows of gold.predictions: model, name (the target), period, events, value (mean probability less share that
    came), low and high (95 %, drawing days; NaN where there are fewer than ten). Looks at the rows.
    """
    daily = predictions.groupBy("model", "target", "session_date").agg(
        F.count("*").alias("events"), F.sum(F.col("probability") - F.col("happened")).alias("beyond")
    )
    days = daily.orderBy("model", "target", "session_date").toPandas()
    days["period"] = pd.to_datetime(days["session_date"]).dt.to_period("M").dt.start_time.dt.date
    found = []
    for (model, target, period), part in days.groupby(["model", "target", "period"]):
        events, beyond = (part[name].to_numpy(dtype=float) for name in ("events", "beyond"))
        blocks = np.arange(len(part)) if len(part) >= MINIMUM_BLOCKS else None
        drawn = np.array([times @ beyond / (times @ events) for times in draws(blocks, samples, seed)])
        value = float(beyond.sum() / events.sum())
        found.append((model, target, period, int(events.sum()), value, *interval(drawn)))
    return pd.DataFrame(found, columns=["model", "name", "period", "events", "value", "low", "high"])


def measure_drift(lake: Lake, settings: Settings, dataset: str) -> int:
    """Measure the drift of a frozen dataset's inputs and of the models trained on it, replacing what was there; returns rows.

    Raises BadInput where there is no such dataset, or no fold has come after what is only trained on.
    """
    kept = described(lake, dataset)
    with recorded_run(lake, "model drift", {"dataset": dataset}, settings.digest()) as run:
        rows = run.read("gold.dataset_rows").where(of_dataset(dataset))
        inputs = stability(rows, kept["input_names"])
        if inputs.empty:
            raise BadInput(f"{dataset} has no rows beyond those that are only trained on.")
        said = run.read_or_empty("gold.predictions").where("fold IS NOT NULL")
        of_models = said.where(F.col("model").startswith(f"{problem_of(kept['definition'])}."))
        own = settings.models
        biases = calibration(of_models.join(rows.select("event_id"), "event_id"), own.bootstrap_samples, own.seed)
        found = pd.concat([inputs.assign(kind="input", model=""), biases.assign(kind="calibration")], ignore_index=True)
        found["dataset"] = dataset
        columns = ["dataset", "kind", "name", "model", "period", "events", "value", "low", "high"]
        told = found[columns].astype(object).where(found[columns].notna(), None)
        schema = "dataset string, kind string, name string, model string, period date, events bigint, value double, low double, "
        frame = lake.spark.createDataFrame(told.to_dict("records"), schema + "high double")
        written = run.replace("ops.drift", frame, of_dataset(dataset)).rows
        most = inputs.sort_values("value", ascending=False).iloc[0]
        run.note = f"most moved: {most['name']} {most['value']:.2f}"
        return written
