"""Leakage gates of a dataset: what must hold before a model of it may be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from sklearn.metrics import roc_auc_score

from smallcaps.models.past import drawn
from smallcaps.models.targets import TARGETS

IMPLAUSIBLE_AUC = 0.95
"""No honest input of market data ranks outcomes so well: beyond it, it knows them."""
FEWEST = 20
"""Events of either class without which an AUC says nothing."""
MOST_ROWS = 50_000


@dataclass(frozen=True)
class Gate:
    """A condition, whether it holds, and what was found."""

    name: str
    passed: bool
    finding: str


def no_overlap(rows: DataFrame, folds: Sequence[dict[str, int]]) -> Gate:
    """No training label of a fold reaches its test, and no name's day is on both sides. `rows`: of gold.dataset_rows."""
    shared = 0
    for fold in folds:
        tested = F.col("fold") == fold["number"]
        trained = F.col("label_session") < fold["train_before"]
        days = rows.where(tested).select("symbol", "session_date").distinct()
        late = rows.where(trained & (F.col("label_session") >= fold["test_first"])).count()
        shared += late + rows.where(trained).join(days, ["symbol", "session_date"]).count()
    return Gate("no overlap", shared == 0, f"{shared:,} events are on both sides of a fold")


def no_implausible_input(matrix: DataFrame, fold: int, names: Sequence[str]) -> Gate:
    """No single input ranks the outcomes of a fold nearly without error. `matrix`: of `design_matrix`."""
    tested = drawn(matrix.where(F.col("fold") == fold), MOST_ROWS).toPandas()
    found: list[str] = []
    for target in TARGETS:
        for name in names:
            values, missing = tested[name], tested[name].isna().astype(float)
            for what, told in ((name, values), (f"absence of {name}", missing)):
                auc = _auc(told, tested[target])
                if auc is not None and max(auc, 1 - auc) > IMPLAUSIBLE_AUC:
                    found.append(f"{what} ({target}, AUC {auc:.3f})")
    return Gate("no implausible input", not found, f"knows the outcome: {', '.join(found) or 'no input'}")


def _auc(values: pd.Series, happened: pd.Series) -> float | None:
    known = values.notna()
    came = int(happened[known].sum())
    if min(came, int(known.sum()) - came) < FEWEST:
        return None
    return float(roc_auc_score(happened[known], values[known]))


def no_skill_without_labels(scored: pd.DataFrame) -> Gate:
    """A model of shuffled labels ranks (event_id, target, probability, happened) no better than chance: within 4 standard
    errors of 0.5 (Hanley and McNeil 1982, of equal distributions).
    """
    found, passed = [], True
    for target, rows in scored.groupby("target", sort=True):
        auc = _auc(rows["probability"], rows["happened"])
        if auc is None:
            continue
        ones = int(rows["happened"].sum())
        zeros = len(rows) - ones
        error = float(np.sqrt((ones + zeros + 1) / (12 * ones * zeros)))
        passed &= abs(auc - 0.5) <= 4 * error
        found.append(f"{target} AUC {auc:.3f} ± {error:.3f}")
    told = ", ".join(found) or "too few to tell"
    return Gate("no skill on shuffled labels", passed and bool(found), f"of shuffled labels {told}")


def shuffled(rows: DataFrame, seed: int) -> DataFrame:
    """Rows of gold.dataset_rows whose outcomes are dealt to other events, drawn by a hash of `seed`."""
    dealt = ("outcome", "gave_back")
    here, there = (
        F.row_number().over(Window.orderBy(F.xxhash64(*key, "event_id"), "event_id")) for key in ((), (F.lit(seed),))
    )
    # Numbered without what models read, in one task.
    places = rows.select("event_id", here.alias("place"))
    outcomes = rows.select(*dealt, there.alias("place"))
    return rows.drop(*dealt).join(places.join(outcomes, "place").drop("place"), "event_id")
