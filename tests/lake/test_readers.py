"""What the product writes is what other readers of Delta read: delta-rs, Polars and DuckDB, whose Parquet reader is its own.

Every gold table is written, and those others whose columns have a type that no gold table has: rows that are full, rows whose
every column is null that may be, and rows with what is awkward (empty lists, nulls within lists, zeros, far dates).
"""

import datetime as dt
import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession
from pyspark.sql import types as T
from pyspark.sql.pandas.types import to_arrow_schema

from smallcaps.lake import REGISTRY, Lake, declared
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


@pytest.fixture(scope="module")
def written(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake of the chosen tables, written as jobs write them."""
    lake = Lake(str(tmp_path_factory.mktemp("readers")), spark)

    def write(name: str) -> None:
        fields = declared(name).schema.fields[:-1]
        lake.replace(name, spark.createDataFrame(rows_of(declared(name)), T.StructType(fields)), None, "run")

    with ThreadPoolExecutor(4) as threads:
        [*threads.map(write, chosen())]
    yield lake
    for layer in ("bronze", "silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def by_delta_rs(place: str) -> tuple[list[str], pa.Table]:
    found = DeltaTable(place).to_pyarrow_table()
    return [str(kind) for kind in found.schema.types], found


def by_polars(place: str) -> tuple[list[str], pa.Table]:
    found = polars.read_delta(place)
    return [str(kind) for kind in found.dtypes], found.to_arrow()


def by_duckdb(place: str) -> tuple[list[str], pa.Table]:
    """The files that the log names, read by DuckDB itself: Spark's instants (INT96) have no zone to it and are UTC."""
    stored = DeltaTable(place)
    partitions = stored.metadata().partition_columns
    names = [field.name for field in stored.schema().fields]
    # Partitions are folders, whose names have no type.
    values = [
        f"CAST({name} AS DATE) AS {name}" if name in partitions and name.endswith("date") else name for name in names
    ]
    files = ", ".join(f"'{file}'" for file in stored.file_uris())
    connection = duckdb.connect()
    reading = f"read_parquet([{files}], hive_partitioning = {bool(partitions)}, hive_types_autocast = false)"
    found = connection.sql(f"SELECT {', '.join(values)} FROM {reading}")
    # It quotes the names of fields that are words of its own.
    return [str(kind).replace('"', "") for kind in found.types], found.to_arrow_table()


def arrow_name(of: T.DataType) -> str:
    match of:
        case T.ArrayType():
            return f"list<element: {arrow_name(of.elementType)}>"
        case T.MapType():
            return f"map<{arrow_name(of.keyType)}, {arrow_name(of.valueType)}>"
        case T.StructType():
            return f"struct<{', '.join(f'{one.name}: {arrow_name(one.dataType)}' for one in of)}>"
        case T.DecimalType():
            return f"decimal128({of.precision}, {of.scale})"
        case _:
            simple = {
                "boolean": "bool",
                "int": "int32",
                "bigint": "int64",
                "date": "date32[day]",
                "timestamp": "timestamp[us, tz=UTC]",
            }
            return simple.get(of.simpleString(), of.simpleString())


def polars_name(of: T.DataType) -> str:
    match of:
        case T.ArrayType():
            return f"List({polars_name(of.elementType)})"
        case T.MapType():
            return f"Map({polars_name(of.keyType)}, {polars_name(of.valueType)})"
        case T.StructType():
            return f"Struct({{{', '.join(f'{one.name!r}: {polars_name(one.dataType)}' for one in of)}}})"
        case T.DecimalType():
            return f"Decimal(precision={of.precision}, scale={of.scale})"
        case _:
            names = {"int": "Int32", "bigint": "Int64", "float": "Float32", "double": "Float64"}
            at = {"timestamp": "Datetime(time_unit='us', time_zone='UTC')"}
            return (names | at).get(of.simpleString(), of.simpleString().capitalize())


def duckdb_name(of: T.DataType) -> str:
    match of:
        case T.ArrayType():
            return f"{duckdb_name(of.elementType)}[]"
        case T.MapType():
            return f"MAP({duckdb_name(of.keyType)}, {duckdb_name(of.valueType)})"
        case T.StructType():
            return f"STRUCT({', '.join(f'{one.name} {duckdb_name(one.dataType)}' for one in of)})"
        case T.DecimalType():
            return f"DECIMAL({of.precision},{of.scale})"
        case _:
            names = {"string": "VARCHAR", "int": "INTEGER", "timestamp": "TIMESTAMP", "binary": "BLOB"}
            return names.get(of.simpleString(), of.simpleString().upper())


READERS: dict[str, tuple[Callable[[str], tuple[list[str], pa.Table]], Callable[[T.DataType], str]]] = {
    "delta-rs": (by_delta_rs, arrow_name),
    "Polars": (by_polars, polars_name),
    "DuckDB": (by_duckdb, duckdb_name),
}


def plain(one: Any) -> Any:
    """The value, whatever the reader makes of it: a struct and a pair of a map are tuples, an instant of no zone is UTC."""
    if isinstance(one, dict):
        return tuple(map(plain, one.values()))
    if isinstance(one, list):
        return [plain(each) for each in one]
    if isinstance(one, tuple):
        return tuple(map(plain, one))
    return one.replace(tzinfo=dt.UTC) if isinstance(one, dt.datetime) else one


def checksums(rows: pa.Table) -> dict[str, str]:
    """SHA-256 of each column's values, whatever the order of the rows."""
    listed = sorted(([plain(one) for one in row.values()] for row in rows.to_pylist()), key=repr)
    columns = zip(*listed, strict=True)
    return {
        name: hashlib.sha256(repr(column).encode()).hexdigest()
        for name, column in zip(rows.column_names, columns, strict=True)
    }


def test_the_tables_have_every_type_that_any_table_has() -> None:
    assert set().union(*map(kinds, chosen())) == set().union(*map(kinds, REGISTRY))


@pytest.mark.parametrize("name", chosen())
def test_counts_types_and_checksums_are_those_of_spark(written: Lake, name: str) -> None:
    table, place = declared(name), written.location(name)
    ours = written.read(name).toArrow()
    expected = checksums(ours)
    # What was to be written is what is there.
    assert checksums(ours.select(rows_of(table).column_names)) == checksums(rows_of(table))
    for reader, (read, name_of) in READERS.items():
        types, theirs = read(place)
        assert theirs.num_rows == len(KINDS), reader
        assert theirs.column_names == [column.name for column in table.all_columns], reader
        assert types == [name_of(column.data_type) for column in table.all_columns], reader
        assert checksums(theirs) == expected, reader


def test_a_reader_of_the_folder_would_see_what_was_replaced(written: Lake) -> None:
    """So the comparison above can fail: DuckDB is given the files that the log names."""
    name = "gold.reviews"
    written.replace(name, written.read(name).drop("run_id").limit(1), None, "later")
    place = written.location(name)
    in_folder = duckdb.read_parquet(f"{place}/*.parquet").aggregate("count(*)").fetchall()
    assert (by_duckdb(place)[1].num_rows, in_folder) == (1, [(len(KINDS) + 1,)])
