"""Declarations: what is refused, and that schema, tables and documents agree."""

from pathlib import Path

import pytest
from delta.tables import DeltaTable
from pyspark.sql import SparkSession

from smallcaps.errors import BadInput
from smallcaps.lake import REGISTRY, declared
from smallcaps.lake.datafiles import create
from smallcaps.lake.declaration import RUN_ID, Column, Table
from smallcaps.lake.registry import LAYERS

ROOMS = {
    "serving",
    "trading",
    "streaming",
    "models",
    "labels",
    "microstructure",
    "detectors",
    "refine",
    "ingest",
    "lake",
}
SYMBOL = Column("symbol", "string", "Ticker", nullable=False)
PRICE = Column("price", "decimal(18,6)", "Analyst's \\ price", "$")
EXAMPLE = Table(
    name="silver.example",
    comment="It's an example",
    owner="lake",
    columns=(SYMBOL, PRICE, Column("day", "date", "Day")),
    key=("symbol", "day"),
    partition_by=("day",),
    sort_by=("symbol",),
    constraints={"positive": "price > 0"},
)


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("columns", (SYMBOL, PRICE, PRICE), "repeated {'price'}"),
        ("key", ("symbol", "isin"), "absent {'isin'}"),
        ("partition_by", ("month",), "absent {'month'}"),
        ("sort_by", ("ts",), "absent {'ts'}"),
    ],
)
def test_a_declaration_that_contradicts_itself_is_refused(part: str, value: object, words: str) -> None:
    parts = {"name": "silver.wrong", "comment": "c", "owner": "lake", "columns": (SYMBOL, PRICE), "key": ("symbol",)}
    with pytest.raises(ValueError, match=r"silver\.wrong") as error:
        Table(**(parts | {part: value}))
    assert words in str(error.value)


def test_name_gives_layer_and_folder() -> None:
    assert (EXAMPLE.layer, EXAMPLE.path) == ("silver", "silver/example")


def test_every_table_ends_with_the_run_and_the_runs_themselves_have_it_once() -> None:
    assert EXAMPLE.all_columns[-1] == RUN_ID
    for table in REGISTRY.values():
        assert [column.name for column in table.all_columns].count("run_id") == 1, table.name


def test_the_schema_has_types_nullability_and_comments_with_units(spark: SparkSession) -> None:
    fields = {field.name: field for field in EXAMPLE.schema.fields}
    assert {name: field.dataType.simpleString() for name, field in fields.items()} == {
        "symbol": "string",
        "price": "decimal(18,6)",
        "day": "date",
        "run_id": "string",
    }
    assert [fields[name].nullable for name in ("symbol", "price", "run_id")] == [False, True, False]
    assert fields["price"].metadata["comment"] == "Analyst's \\ price [$]"
    assert fields["symbol"].metadata["comment"] == "Ticker"


def test_a_table_is_made_as_declared_quotes_and_all(spark: SparkSession, tmp_path: Path) -> None:
    location = str(tmp_path / "it's a lake")
    create(EXAMPLE, location)
    create(EXAMPLE, location)

    found = spark.read.format("delta").load(location).schema
    assert {field.name: field.dataType for field in found.fields} == {
        field.name: field.dataType for field in EXAMPLE.schema.fields
    }
    assert found["price"].metadata["comment"] == "Analyst's \\ price [$]"
    detail = DeltaTable.forPath(spark, location).detail().collect()[0]
    assert detail.description == "It's an example"
    assert detail.partitionColumns == ["day"]
    assert detail.properties == {
        "smallcaps.key": "symbol,day",
        "delta.constraints.positive": "price > 0",
        "delta.enableDeletionVectors": "false",
        "delta.minWriterVersion": "3",
        "delta.logRetentionDuration": "interval 520 weeks",
    }


def test_a_table_that_is_not_declared_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadInput, match=r"no table 'silver\.bars'.*silver\.bars_1d"):
        declared("silver.bars")


def test_the_registry_lists_every_table_under_its_own_name() -> None:
    assert all(name == table.name for name, table in REGISTRY.items())
    assert {table.layer for table in REGISTRY.values()} == set(LAYERS)


@pytest.mark.parametrize("table", REGISTRY.values(), ids=REGISTRY)
def test_every_table_says_who_owns_it_what_it_is_and_what_identifies_a_row(table: Table) -> None:
    assert table.owner in ROOMS
    assert table.comment
    assert table.key
    assert table.layer in LAYERS
    for column in table.all_columns:
        assert column.comment, f"{table.name}.{column.name}"


@pytest.mark.parametrize("table", REGISTRY.values(), ids=REGISTRY)
def test_every_constraint_is_a_condition_over_the_tables_columns(table: Table, spark: SparkSession) -> None:
    rows = spark.createDataFrame([], table.schema)
    for condition in table.constraints.values():
        assert rows.selectExpr(f"({condition}) AS met").schema["met"].dataType.simpleString() == "boolean"


@pytest.mark.parametrize("table", REGISTRY.values(), ids=REGISTRY)
def test_types_are_spelled_as_spark_and_hive_spell_them_in_short(table: Table, spark: SparkSession) -> None:
    """Glue is told them as they are declared (lake/glue.py)."""
    assert [column.type for column in table.all_columns] == [
        column.data_type.simpleString() for column in table.all_columns
    ]
