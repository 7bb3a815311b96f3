"""Rows that other readers of Delta are asked for: of every gold table, and of others with a type that no gold table has.

There are rows that are full, rows whose every column is null that may be, and rows with what is awkward (empty lists, nulls
within lists, zeros, far dates).
"""

import datetime as dt
import hashlib
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from smallcaps.lake import REGISTRY, declared
from smallcaps.lake.declaration import Column, Table

KINDS = ("full", "null", "awkward")
INSTANTS = (
    dt.datetime(2024, 3, 8, 14, 30, 0, 123_456, dt.UTC),
    dt.datetime(2024, 11, 3, 5, 59, 59, 999_999, dt.UTC),
    dt.datetime(2024, 3, 10, 7, 0, tzinfo=dt.UTC),
)
PLAIN: dict[str, tuple[Any, Any]] = {
    "string": ("TRUE, “it's” ½\n", ""),
    "boolean": (True, False),
    "int": (1, -1),
    "bigint": (2**53 + 1, 0),
    "float": (1.5, 1e-38),
    "double": (1 + 1 / 3, 1e300),
    "date": (dt.date(2024, 2, 29), dt.date(1969, 12, 31)),
    "binary": (b"\x00\xff", b""),
}
"""A value of each type, and one that is awkward."""
WITHIN = {
    "gold.dataset_rows.uniqueness": (0.25, 1.0, 0.5),
    **{f"gold.{table}.direction": (1, -1, 0) for table in ("events", "live_events", "event_revisions")},
    "gold.event_labels.weight": (1.0, 1.0, 1.0),
    "gold.signals.is_signal": (True, False, False),
    "gold.reviews.event_id": ("event", None, None),
}
"""Values that a table's constraints ask for, of each kind of row."""


def kinds(name: str) -> set[str]:
    """The types of a table's columns, whatever is within them."""
    return {re.split("[<(]", column.type)[0] for column in declared(name).all_columns}


def chosen() -> list[str]:
    """Every gold table, and of the others the first with each type that is not among theirs."""
    names = [name for name in REGISTRY if name.startswith("gold.")]
    there = set().union(*map(kinds, names))
    for name in REGISTRY:
        if not kinds(name) <= there:
            names.append(name)
            there |= kinds(name)
    return names


def value(of: T.DataType, kind: str, place: int) -> Any:
    """A value of a type: of a full row, or an awkward one."""
    awkward = kind == "awkward"
    match of:
        case T.ArrayType():
            within = value(of.elementType, "full", place)
            return [] if awkward and place % 2 else [within, None if of.containsNull else within, within]
        case T.MapType():
            return [] if awkward else [("a", value(of.valueType, "full", place)), ("b", None)]
        case T.StructType():
            return {one.name: None if awkward and one.nullable else value(one.dataType, kind, place) for one in of}
        case T.DecimalType():
            return (
                Decimal(10 ** (of.precision - of.scale) - 1) + Decimal(1).scaleb(-of.scale)
                if awkward
                else Decimal("1.5")
            )
        case T.TimestampType():
            return INSTANTS[KINDS.index(kind)]
        case _:
            return PLAIN[of.simpleString()][awkward]


def cell(table: Table, column: Column, kind: str, place: int) -> Any:
    if given := WITHIN.get(f"{table.name}.{column.name}"):
        return given[KINDS.index(kind)]
    if kind == "null" and column.nullable and column.name not in table.partition_by:
        return None
    if column.values:
        return column.values[KINDS.index(kind) % len(column.values)]
    # A row of nulls has its key, which tells it from the others.
    found = value(column.data_type, "full" if kind == "null" else kind, place)
    return f"{found} {kind}" if isinstance(found, str) else found


def rows_of(table: Table) -> pa.Table:
    rows = [{one.name: cell(table, one, kind, place) for place, one in enumerate(table.columns)} for kind in KINDS]
    return pa.Table.from_pylist(
        rows, to_arrow_schema(T.StructType([T.StructField(c.name, c.data_type) for c in table.columns]))
    )


def plain(one: Any) -> Any:
    """The value, whatever the reader makes of it: a struct and a pair of a map are tuples, an instant of no zone is UTC."""
    if isinstance(one, dict):
        return tuple(map(plain, one.values()))
    if isinstance(one, list):
        return [plain(each) for each in one]
    if isinstance(one, tuple):
        return tuple(map(plain, one))
    return one.replace(tzinfo=dt.UTC) if isinstance(one, dt.datetime) else one


def checksums(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """SHA-256 of each column's values, whatever the order of the rows."""
    listed = sorted(([plain(one) for one in row.values()] for row in rows), key=repr)
    columns = zip(*listed, strict=True)
    return {
        name: hashlib.sha256(repr(column).encode()).hexdigest() for name, column in zip(rows[0], columns, strict=True)
    }
