"""Bodies of answers as judged rows of bronze. Arrow does it, in the tasks."""

import gzip
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.lake import RULE
from smallcaps.lake.quality import RECEIVED
from smallcaps.sources.columns import read_column
from smallcaps.sources.polygon.bodies import Record, parse, records_of, text_columns
from smallcaps.sources.polygon.endpoints import Endpoint, Scope

REASONS = {
    "missing_value": "a required field is not there",
    "unparsable_value": "a field is not what it should be",
    "outside_request": "the row is of a day or window that was not asked for",
}
"""The rules, the first that a row breaks being the one that it is refused for."""
TOGETHER = 10_000
"""Records of pages that are typed at once, where the pages are small."""
_Batches = Iterable[pa.RecordBatch]
_Page = Mapping[str, Any]


def judged_rows(endpoint: Endpoint, pages: DataFrame, as_of: date) -> DataFrame:
    """Records of bodies as judged rows of the endpoint's table; columns that it does not have are null.

    `pages` are rows of bronze.bodies with the plan's symbol, first and last. A refused row has its fields as text beside it.
    """
    texts = StructType([StructField(field.column, StringType()) for field in endpoint.fields])
    columns = [StructField(column.name, column.data_type) for column in endpoint.declared.columns]
    judged = StructType([StructField(RULE, StringType()), StructField(RECEIVED, texts), *columns])
    schema = to_arrow_schema(judged)

    def read(batches: _Batches) -> _Batches:
        for batch in batches:
            held: list[tuple[_Page, list[Record]]] = []
            for page in batch.to_pylist():
                held.append((page, records_of(endpoint, parse(gzip.decompress(page["content"])))))
                if sum(len(records) for _, records in held) >= TOGETHER:
                    yield _judged(endpoint, held, as_of, schema)
                    held = []
            yield _judged(endpoint, held, as_of, schema)

    whole = pages.where("content IS NOT NULL AND coalesce(status, 200) = 200")
    return whole.select("content", "symbol", "first", "last", "received_at", "sha256").mapInArrow(read, judged)


def _judged(
    endpoint: Endpoint, pages: list[tuple[_Page, list[Record]]], as_of: date, schema: pa.Schema
) -> pa.RecordBatch:
    """The records of pages as a batch of `schema`."""
    counts = [len(records) for _, records in pages]
    place, rows = np.repeat(np.arange(len(pages)), counts), sum(counts)

    def around(name: str, type_: pa.DataType) -> pa.Array:
        return pa.array([page[name] for page, _ in pages], type_).take(pa.array(place))

    first, last = (around(name, pa.date32()) for name in ("first", "last"))
    texts = text_columns(endpoint, [record for _, records in pages for record in records])
    broken = {rule: np.zeros(rows, dtype=bool) for rule in REASONS}
    columns = {}
    for field in endpoint.fields:
        text = texts[field.column]
        columns[field.column], unread = read_column(text, field, schema.field(field.column).type)
        if unread is not None:
            broken["unparsable_value"] |= unread
        if not field.optional and text.null_count:
            broken["missing_value"] |= np.asarray(text.is_null())
    columns |= {
        "endpoint": pa.repeat(endpoint.name, rows),
        "as_of": pa.repeat(pa.scalar(as_of), rows),
        "received_at": around("received_at", pa.timestamp("us", "UTC")),
        "source_sha256": around("sha256", pa.string()),
        "source_line": pa.array(np.concatenate([[0], *map(np.arange, counts)])[1:] + 1, pa.int64()),
    }
    if endpoint.scope.by_symbol:
        columns[endpoint.asked] = around("symbol", pa.string())
    if endpoint.scope in (Scope.DAY, Scope.SYMBOL_DAY, Scope.SYMBOL_WINDOW):
        columns["session_date"] = first
    elif "window_start_ns" in columns:
        columns["session_date"] = _day(columns["window_start_ns"])
    if endpoint.within is not None:
        day = pc.cast(columns[endpoint.within], pa.date32())
        asked = pc.and_(pc.greater_equal(day, first), pc.less_equal(day, last))
        broken["outside_request"] |= ~np.asarray(asked.fill_null(False))
    verdict = np.select([broken[rule] for rule in REASONS], range(len(REASONS)), len(REASONS))
    columns[RULE] = pa.array([*REASONS, None], pa.string()).take(pa.array(verdict))
    given = [texts[field.column].fill_null("") for field in endpoint.fields]
    kinds = list(schema.field(RECEIVED).type)
    columns[RECEIVED] = pa.StructArray.from_arrays(given, fields=kinds, mask=pa.array(verdict == len(REASONS)))
    return pa.RecordBatch.from_arrays(
        [columns[one.name] if one.name in columns else pa.nulls(rows, one.type) for one in schema], schema=schema
    )


def _day(ns: pa.Array) -> pa.Array:
    """New York's day of instants."""
    return pc.cast(pc.local_timestamp(ns.cast(pa.timestamp("ns", str(NEW_YORK)))), pa.date32())
