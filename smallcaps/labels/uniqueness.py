"""How much of a label is its own: labels that live at the same time tell partly the same (López de Prado 2018, ch. 4).

1. A label lives from when its event is known to its exit, on a clock that runs 04:00–20:00 New York on sessions alone. 2. At each
moment it shares its name with c labels, itself among them. 3. Its uniqueness is the mean of 1/c over its life.
"""

import numpy as np
import pandas as pd
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, StructField, StructType

DAY_SECONDS = 16 * 3600


def place(session: Column, moment: Column) -> Column:
    """Where a moment of a session lies on the clock: its number and the share of 04:00–20:00 that is over."""
    local = F.from_utc_timestamp(moment, "America/New_York")
    seconds = F.hour(local) * 3600 + F.minute(local) * 60 + F.second(local) - 4 * 3600
    return session + F.least(F.greatest(seconds / DAY_SECONDS, F.lit(0.0)), F.lit(1.0))


def with_uniqueness(labels: DataFrame) -> DataFrame:
    """Rows with security_id, `begins` and `ends` (places on the clock) and `uniqueness`, in (0, 1], among these rows. Pure.

    A label that ends as it begins counts where it is.
    """
    schema = StructType([*labels.schema.fields, StructField("uniqueness", DoubleType())])

    def of_name(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(uniqueness=uniqueness(rows["begins"].to_numpy(), rows["ends"].to_numpy()))

    return labels.groupBy("security_id").applyInPandas(of_name, schema)


def uniqueness(begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Mean of 1/c over each stretch, c being how many of the stretches cover a moment."""
    edges = np.unique(np.concatenate([begins, ends]))
    first, last = np.searchsorted(edges, begins), np.searchsorted(edges, ends)
    # Between two edges, and at an edge: what begins there and what ends there both cover it.
    between = np.cumsum(np.bincount(first, minlength=len(edges)) - np.bincount(last, minlength=len(edges)))
    at_edge = np.cumsum(np.bincount(first, minlength=len(edges))) - np.concatenate(
        [[0], np.cumsum(np.bincount(last, minlength=len(edges)))[:-1]]
    )
    shares = np.divide(np.diff(edges), between[:-1], out=np.zeros(len(edges) - 1), where=between[:-1] > 0)
    area = np.concatenate([[0.0], np.cumsum(shares)])
    length = ends - begins
    shared: np.ndarray = np.where(
        length > 0, (area[last] - area[first]) / np.where(length > 0, length, 1), 1 / at_edge[first]
    )
    return shared
