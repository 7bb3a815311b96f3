"""What the product writes is what other readers of Delta read: delta-rs, Polars and DuckDB, whose Parquet reader is its own."""

from collections.abc import Callable

import duckdb
import polars
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyspark.sql import types as T

from smallcaps.lake import REGISTRY, Lake, declared
from tests.lake.readers import KINDS, checksums, chosen, kinds, rows_of


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


def test_the_tables_have_every_type_that_any_table_has() -> None:
    assert set().union(*map(kinds, chosen())) == set().union(*map(kinds, REGISTRY))


@pytest.mark.parametrize("name", chosen())
def test_counts_types_and_checksums_are_those_of_spark(written: Lake, name: str) -> None:
    table, place = declared(name), written.location(name)
    ours = written.read(name).toArrow()
    expected = checksums(ours.to_pylist())
    # What was to be written is what is there.
    assert checksums(ours.select(rows_of(table).column_names).to_pylist()) == checksums(rows_of(table).to_pylist())
    for reader, (read, name_of) in READERS.items():
        types, theirs = read(place)
        assert theirs.num_rows == len(KINDS), reader
        assert theirs.column_names == [column.name for column in table.all_columns], reader
        assert types == [name_of(column.data_type) for column in table.all_columns], reader
        assert checksums(theirs.to_pylist()) == expected, reader


def test_a_reader_of_the_folder_would_see_what_was_replaced(written: Lake) -> None:
    """So the comparison above can fail: DuckDB is given the files that the log names."""
    name = "gold.reviews"
    written.replace(name, written.read(name).drop("run_id").limit(1), None, "later")
    place = written.location(name)
    in_folder = duckdb.read_parquet(f"{place}/*.parquet").aggregate("count(*)").fetchall()
    assert (by_duckdb(place)[1].num_rows, in_folder) == (1, [(len(KINDS) + 1,)])
