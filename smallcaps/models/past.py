"""What one fit may see: the labelled events before a fold, the latest of them held out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from smallcaps.models.event_model import Floats
from smallcaps.models.targets import TARGETS

FIT, HELD_OUT, BETWEEN = "fit", "held_out", "between"
"""Parts of the past: to fit; to stop early and to calibrate; what lies between, whose labels reach into what is held out."""


def design_matrix(rows: DataFrame, names: Sequence[str]) -> DataFrame:
    """Rows of gold.dataset_rows with each target as 0 or 1 and each input as a column, NaN where not known. Pure."""
    kept = ("event_id", "symbol", "session_date", "detector", "session_number", "label_session")
    return rows.select(
        *kept,
        *("fold", "is_core", "uniqueness", "sequence"),
        *[F.expr(sql).cast("int").alias(target) for target, sql in TARGETS.items()],
        *as_columns("inputs", names),
    )


def as_columns(array: str, names: Sequence[str]) -> list[Column]:
    """The values of an array column as columns, NaN where not known."""
    return [F.coalesce(F.col(array)[place], F.lit(float("nan"))).alias(name) for place, name in enumerate(names)]


def drawn(rows: DataFrame, most: int) -> DataFrame:
    """`most` of the rows: those that come first by a hash of event_id."""
    return rows.orderBy(F.xxhash64("event_id"), "event_id").limit(most)


@dataclass(frozen=True)
class Past:
    """The past of a fold. `rows`: of `design_matrix`, with `part`; `targets`: those of which both parts have both classes;
    `class_weights`: of what came and of what did not, times uniqueness; `base_rates`: share that came; `scratch`: a folder of its
    own that executors reach, which need not be there.
    """

    rows: DataFrame
    names: tuple[str, ...]
    targets: tuple[str, ...]
    class_weights: dict[str, tuple[float, float]]
    base_rates: dict[str, float]
    events: int
    scratch: str

    def sample(self, most: int, part: str | None = None) -> pd.DataFrame:
        """Its rows (of one part) on the driver, in order of event_id; of more than `most` those first by a hash of it."""
        rows = self.rows if part is None else self.rows.where(F.col("part") == part)
        if self.events > most:
            rows = drawn(rows, most)
        columns = ("event_id", "part", "uniqueness", *self.targets, *self.names)
        return rows.select(*columns).toPandas().sort_values("event_id", ignore_index=True)

    def weight(self, target: str) -> Column:
        """How much a row counts when `target` is fitted."""
        came, other = self.class_weights[target]
        return F.col("uniqueness") * F.when(F.col(target) == 1, came).otherwise(other)


def row_weights(uniqueness: Floats, happened: Floats, class_weights: tuple[float, float]) -> Floats:
    """As `Past.weight`, of rows on the driver or in a process of a training."""
    return np.asarray(uniqueness * np.where(happened == 1, *class_weights), dtype=np.float64)


def sessions_of(matrix: DataFrame, targets: Collection[str] = TARGETS) -> pd.DataFrame:
    """Events by session and session of label: session_number, label_session, events, their uniqueness in all, and
    of each target how many came.
    """
    return (
        matrix.groupBy("session_number", "label_session")
        .agg(
            F.count("*").alias("events"),
            F.sum("uniqueness").alias("uniqueness"),
            *[F.sum(target).alias(target) for target in targets],
        )
        .toPandas()
    )


def past_of(
    matrix: DataFrame,
    sessions: pd.DataFrame,
    train_before: int,
    names: Sequence[str],
    share: float,
    scratch: str,
    wanted: Collection[str] = TARGETS,
) -> Past | None:
    """The past before session `train_before`, of which the last `share` of the sessions is held out; None where it has nothing
    to hold out. `sessions`: of `sessions_of`, with the `wanted` targets.
    """
    known = sessions[sessions["label_session"] < train_before]
    numbers = sorted(known["session_number"].unique())
    if len(numbers) < 2:
        return None
    first_held_out = int(numbers[min(len(numbers) - 1, int(len(numbers) * (1 - share)))])
    held_out = known[known["session_number"] >= first_held_out]
    fitted = known[known["label_session"] < first_held_out]
    targets = tuple(
        target for target in wanted if all(0 < part[target].sum() < part["events"].sum() for part in (fitted, held_out))
    )
    events = int(known["events"].sum())
    # So that weights are 1 on average, whatever the uniqueness: parameters of algorithms are in events.
    scale = events / float(known["uniqueness"].sum())
    came = {target: int(known[target].sum()) for target in targets}
    part = (
        F.when(F.col("session_number") >= first_held_out, HELD_OUT)
        .when(F.col("label_session") < first_held_out, FIT)
        .otherwise(BETWEEN)
    )
    return Past(
        matrix.where(F.col("label_session") < train_before).withColumn("part", part),
        tuple(names),
        targets,
        {
            target: (scale * events / (2 * count), scale * events / (2 * (events - count)))
            for target, count in came.items()
        },
        {target: count / events for target, count in came.items()},
        events,
        scratch,
    )
