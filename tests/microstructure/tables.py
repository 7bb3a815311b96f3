"""Rows of a test as a frame that a declared table would take."""

import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import pandas as pd
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructField, StructType

from smallcaps.lake import declared
from smallcaps.microstructure.job import Around
from smallcaps.refine.labels import calendar_frame

Rows = Iterable[dict[str, Any]] | pd.DataFrame


def as_table(spark: SparkSession, table: str, rows: Rows) -> DataFrame:
    """Rows as the table declares them, without run_id; a column left out is null, an unknown one is refused."""
    columns = declared(table).columns
    schema = StructType([StructField(column.name, column.data_type) for column in columns])
    listed = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else list(rows)
    unknown = {name for row in listed for name in row} - set(schema.names)
    assert not unknown, f"{table} has no {unknown}"
    # Through Arrow, whose nanoseconds stay integers; a NaN of pandas is a missing value.
    plain = [{name: None if _is_nan(value) else value for name, value in row.items()} for row in listed]
    return spark.createDataFrame(pa.Table.from_pylist(plain, schema=to_arrow_schema(schema)), schema)


def around(
    spark: SparkSession,
    events: Sequence[dict[str, Any]],
    trades: Rows,
    quotes: Rows,
    halts: Rows = (),
    usual: Rows = (),
    sizes: Rows = (),
) -> Around:
    """Events and what is around them; `usual` are rows of silver.baselines, `sizes` of silver.trade_sizes."""
    named = {"gold.events": events, "silver.trades": trades, "silver.quotes": quotes}
    context = {"silver.halts": halts, "silver.baselines": usual, "silver.trade_sizes": sizes}
    days = [one["session_date"] for one in events]
    calendar = calendar_frame(spark, min(days) - timedelta(days=45), max(days))
    return Around(
        *(as_table(spark, name, rows) for name, rows in named.items()),
        {"silver.calendar": calendar} | {name: as_table(spark, name, rows) for name, rows in context.items()},
    )


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
