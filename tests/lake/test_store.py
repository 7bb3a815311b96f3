"""The lake's reads and writes: idempotent, and nothing that differs from its declaration."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.errors import BadData, BadInput, FailedDependency
from smallcaps.lake import REGISTRY, Commit, Lake, between, declared, recorded_run, sql_literal
from tests.lake.frames import DAY, adjustments, content

TABLE = "silver.adjustments"
A, B, C = ("A", DAY, 0.5), ("B", DAY, 10.0), ("C", date(2015, 7, 1), 4.0)


@pytest.fixture(scope="module")
def filled(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake with A and B in its one table, at a path that has to be quoted. Tests leave it as it is.

    The frame's columns are in another order than declared, which does not matter.
    """
    lake = Lake(str(tmp_path_factory.mktemp("some where") / "it's a lake"), spark)
    frame = adjustments(spark, A, B)
    lake.replace(TABLE, frame.select(*reversed(frame.columns)), None, "first")
    yield lake
    spark.sql("DROP SCHEMA IF EXISTS silver CASCADE")


def test_a_table_never_written_is_refused_on_reading(lake: Lake) -> None:
    with pytest.raises(BadInput, match=r"silver\.adjustments has not been written"):
        lake.read(TABLE)
    assert not lake.exists(TABLE)
    assert not Path(lake.root).exists()


def test_what_was_written_is_read_with_the_run_that_wrote_it(filled: Lake) -> None:
    assert content(filled.read(TABLE)) == {A, B}
    assert {row.run_id for row in filled.read(TABLE).select("run_id").collect()} == {"first"}
    assert Path(filled.location(TABLE)) == Path(filled.root) / "silver" / "adjustments"


def test_replace_touches_only_the_rows_it_names_and_any_version_can_be_read(lake: Lake, spark: SparkSession) -> None:
    first = lake.replace(TABLE, adjustments(spark, A, B), None, "one")
    assert (first.table, first.rows) == (TABLE, 2)

    second = lake.replace(TABLE, adjustments(spark, ("A", DAY, 0.25), ("A", C[1], 3.0)), "symbol = 'A'", "two")

    assert second.rows == 2
    assert second.version == lake.version(TABLE) == first.version + 1
    assert content(lake.read(TABLE)) == {B, ("A", DAY, 0.25), ("A", C[1], 3.0)}
    # B was not rewritten by the second run.
    assert {(row.symbol, row.run_id) for row in lake.read(TABLE).collect()} == {("A", "two"), ("B", "one")}
    with pytest.raises(BadInput, match=rf"has no version 7, or no longer: {second.version} is the last"):
        lake.read(TABLE, 7)
    assert content(lake.read(TABLE, first.version)) == {A, B}

    # Nothing to write and nothing to take away: the rows of the commit before are not counted again.
    assert lake.replace(TABLE, adjustments(spark), "symbol = 'Z'", "three").rows == 0
    assert lake.replace(TABLE, adjustments(spark), "symbol = 'A'", "four").rows == 0
    assert content(lake.read(TABLE)) == {B}


def test_a_row_outside_of_what_is_replaced_makes_the_write_fail(filled: Lake, spark: SparkSession) -> None:
    version = filled.version(TABLE)
    with pytest.raises(Exception, match=r"(?i)replaceWhere|REPLACE_WHERE"):
        filled.replace(TABLE, adjustments(spark, A, C), "symbol = 'A'", "two")
    assert filled.version(TABLE) == version
    assert content(filled.read(TABLE)) == {A, B}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("C", DAY, 0.0), "positive_factor"),
        (("C", DAY, -1.0), "positive_factor"),
        (("C", DAY, None), "price_factor"),
        ((None, DAY, 1.5), "symbol"),
    ],
)
def test_a_row_that_breaks_a_constraint_is_refused_and_the_table_stays(
    row: tuple[str | None, date, float | None], words: str, filled: Lake, spark: SparkSession
) -> None:
    with pytest.raises(Exception, match=words):
        filled.append(TABLE, adjustments(spark, row), "two")
    assert content(filled.read(TABLE)) == {A, B}


def test_missing_rows_are_added_once_and_those_already_there_stay(lake: Lake, spark: SparkSession) -> None:
    # The key is (sha256, kind, session_date); reference files have no day, and null is a value like another.
    def received(*files: tuple[str, date | None, str]) -> DataFrame:
        schema = "sha256 string, session_date date, source string"
        columns = (
            "'splits' AS kind",
            "'raw/a' AS raw_path",
            "3L AS size_bytes",
            "cast(null AS string) AS etag",
            "cast(null AS bigint) AS lines",
            "timestamp'2015-06-01' AS received_at",
        )
        return spark.createDataFrame(files, schema).selectExpr("*", *columns)

    reference, daily, other_day = ("aa", None, "one.csv"), ("aa", DAY, "one.csv"), ("aa", C[1], "one.csv")
    assert lake.add_missing("ops.ledger", received(reference, reference, daily), "one").rows == 2
    # Neither another source of the same file nor a second copy in the frame comes in.
    again = ("aa", None, "two.csv")
    assert lake.add_missing("ops.ledger", received(again, other_day, other_day), "two").rows == 1
    # Nothing new: the rows of the commit before are not counted again.
    assert lake.add_missing("ops.ledger", received(reference, daily, again), "three").rows == 0
    found = {(row.session_date, row.source, row.run_id) for row in lake.read("ops.ledger").collect()}
    assert found == {(None, "one.csv", "one"), (DAY, "one.csv", "one"), (C[1], "one.csv", "two")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.drop("price_factor"), "price_factor: declared double, found none"),
        (lambda frame: frame.withColumn("note", F.lit("x")), "note: declared not at all, found string"),
        (lambda frame: frame.withColumn("price_factor", F.lit(1)), "price_factor: declared double, found int"),
        (lambda frame: frame.withColumnRenamed("symbol", "Symbol"), "symbol: declared string, found none"),
    ],
)
def test_a_frame_that_differs_from_the_declaration_is_refused(
    change, words: str, filled: Lake, spark: SparkSession
) -> None:
    frame = change(adjustments(spark, C))
    for write in (
        lambda: filled.replace(TABLE, frame, None, "two"),
        lambda: filled.append(TABLE, frame, "two"),
        lambda: filled.add_missing(TABLE, frame, "two"),
    ):
        with pytest.raises(BadData, match=r"silver\.adjustments: the frame to be written") as error:
            write()
        assert words in str(error.value)


def test_a_stored_table_that_drifted_is_refused_on_reading_and_on_writing(lake: Lake, spark: SparkSession) -> None:
    older = adjustments(spark, A).drop("checked_against_price").withColumn("run_id", F.lit("old"))
    older.write.format("delta").save(lake.location(TABLE))
    with pytest.raises(BadData, match=r"the stored table is not as declared.*checked_against_price: declared boolean"):
        lake.read(TABLE)
    for write in (
        lambda: lake.replace(TABLE, adjustments(spark, B), None, "two"),
        lambda: lake.append_rows(TABLE, [row.asDict() for row in adjustments(spark, B).collect()], "two"),
    ):
        with pytest.raises(BadData, match=r"checked_against_price: declared boolean, found none.*smallcaps upgrade"):
            write()
    assert lake.version(TABLE) == 0


def test_a_run_does_nothing_where_its_own_row_could_not_be_written(lake: Lake) -> None:
    lake.make("ops.runs")
    place = f"delta.`{lake.location('ops.runs')}`"
    lake.spark.sql(f"ALTER TABLE {place} SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    lake.spark.sql(f"ALTER TABLE {place} DROP COLUMN bytes_in")
    with (
        pytest.raises(BadData, match=r"bytes_in: declared bigint.*smallcaps upgrade"),
        recorded_run(lake, "job", {}, "x"),
    ):
        pytest.fail("the run began")


def test_a_table_of_an_earlier_version_is_brought_up_to_what_is_declared(lake: Lake, spark: SparkSession) -> None:
    older = adjustments(spark, A).drop("checked_against_price").withColumn("run_id", F.lit("old"))
    older.write.format("delta").save(lake.location(TABLE))
    spark.sql(f"ALTER TABLE delta.`{lake.location(TABLE)}` ADD CONSTRAINT bygone CHECK (price_factor < 1e9)")
    constraints = [f"constraint {name}" for name in declared(TABLE).conditions]

    assert lake.upgrade(TABLE) == ["column checked_against_price", *sorted(["constraint bygone", *constraints])]
    assert lake.upgrade(TABLE) == []
    assert lake.read(TABLE).select("symbol", "checked_against_price").collect() == [("A", None)]
    lake.add_missing_rows(TABLE, [row.asDict() for row in adjustments(spark, B).collect()], "new")
    lake.append(TABLE, adjustments(spark, C), "new")
    assert lake.read(TABLE).where("checked_against_price IS NOT NULL").count() == 2


def test_rows_that_break_a_new_constraint_are_told(lake: Lake, spark: SparkSession) -> None:
    name = next(iter(declared(TABLE).conditions))
    broken = adjustments(spark, A).withColumn("price_factor", F.lit(-1.0)).withColumn("run_id", F.lit("old"))
    broken.write.format("delta").save(lake.location(TABLE))
    with pytest.raises(BadData, match=rf"{name}, which is new.*Make the table again"):
        lake.upgrade(TABLE)


def disturbed(lake: Lake, ours: DataFrame) -> DataFrame:
    """`ours`; while Spark computes it for the first time somebody else adds another row of A's."""
    before, location = lake.version(TABLE), lake.location(TABLE)

    def meddle(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        stored = DeltaTable(location)
        if stored.version() == before:
            rows = stored.to_pyarrow_table(filters=[("symbol", "=", "A")])
            named = rows.set_column(rows.schema.names.index("run_id"), "run_id", [["other"]])
            write_deltalake(stored, named, mode="append")
        yield from batches

    return ours.coalesce(1).mapInArrow(meddle, ours.schema)


def runs(lake: Lake) -> list[tuple[str, float, str]]:
    return sorted((row.symbol, row.price_factor, row.run_id) for row in lake.read(TABLE).collect())


def test_what_another_writer_changed_meanwhile_is_not_overwritten(lake: Lake, spark: SparkSession) -> None:
    lake.replace(TABLE, adjustments(spark, A, B), None, "one")
    ours = disturbed(lake, adjustments(spark, ("A", DAY, 0.25)))
    with pytest.raises(FailedDependency, match=r"adjustments was changed by another writer at the same time. Run"):
        lake.replace(TABLE, ours, "symbol = 'A'", "two")
    assert runs(lake) == [("A", 0.5, "one"), ("A", 0.5, "other"), ("B", 10.0, "one")]


def test_missing_rows_are_added_whatever_another_writer_adds_meanwhile(lake: Lake, spark: SparkSession) -> None:
    lake.replace(TABLE, adjustments(spark, A), None, "one")
    commit = lake.add_missing(TABLE, disturbed(lake, adjustments(spark, A, C)), "two")
    assert runs(lake) == [("A", 0.5, "one"), ("A", 0.5, "other"), ("C", 4.0, "two")]
    assert (commit.version, commit.rows) == (lake.version(TABLE), 1)


def test_writers_in_the_drivers_hands_each_add_what_is_missing_and_add_it_once(lake: Lake) -> None:
    lake.make("ops.ledger")

    def received(file: int) -> dict[str, object]:
        row = {"sha256": str(file), "kind": "splits", "session_date": None, "source": "x", "raw_path": "raw/x"}
        return {**row, "size_bytes": 3, "etag": None, "lines": None, "received_at": datetime(2015, 6, 1, tzinfo=UTC)}

    def add(writer: int) -> list[Commit]:
        return [lake.add_missing_rows("ops.ledger", [received(file)], f"{writer}-{file}") for file in range(10)]

    with ThreadPoolExecutor(3) as pool:
        commits = [commit for done in pool.map(add, range(3)) for commit in done]
    rows = lake.read("ops.ledger").select("sha256", "run_id").collect()
    assert sorted(row.sha256 for row in rows) == sorted(map(str, range(10)))
    # What a writer is told of is its own commit and nobody else's.
    assert sorted(commit.version for commit in commits if commit.rows == 1) == list(range(1, 11))
    assert {commit.rows for commit in commits} == {0, 1}


def test_what_a_killed_creation_left_is_cleared_away_and_files_of_others_are_not(
    lake: Lake, spark: SparkSession
) -> None:
    log = Path(lake.location(TABLE)) / "_delta_log"
    (log / "_staged_commits").mkdir(parents=True)
    (log / f".{0:020}.json.4c7e.tmp").write_text("half a co")
    lake.append(TABLE, adjustments(spark, A), "one")
    assert content(lake.read(TABLE)) == {A}

    strange = Path(lake.location("silver.bars_1d")) / "notes.txt"
    strange.parent.mkdir(parents=True)
    strange.write_text("mine")
    with pytest.raises(BadData, match=r"holds files of no table, .*notes.txt for one. Move them away"):
        lake.make("silver.bars_1d")
    assert strange.read_text() == "mine"


def test_a_layer_outside_the_registry_cannot_be_written(lake: Lake, spark: SparkSession) -> None:
    with pytest.raises(BadInput, match=r"no table 'silver\.other'"):
        lake.replace("silver.other", adjustments(spark, A), None, "one")


def test_registered_tables_answer_to_their_names_and_those_never_written_stay_so(
    filled: Lake, spark: SparkSession
) -> None:
    spark.sql("DROP SCHEMA IF EXISTS silver CASCADE")
    version = filled.version(TABLE)

    assert filled.register() == [TABLE]
    assert filled.register() == [TABLE]

    assert content(spark.sql("SELECT * FROM silver.adjustments WHERE symbol = 'A'")) == {A}
    assert filled.version(TABLE) == version
    assert [path.name for path in Path(filled.root).iterdir()] == ["silver"]
    assert [path.name for path in (Path(filled.root) / "silver").iterdir()] == ["adjustments"]
    assert not any(filled.exists(name) for name in REGISTRY if name != TABLE)


def test_names_mean_the_lake_that_was_registered_last(filled: Lake, lake: Lake, spark: SparkSession) -> None:
    lake.replace(TABLE, adjustments(spark, C), None, "one")
    filled.register()
    assert content(spark.table(TABLE)) == {A, B}
    lake.register()
    assert content(spark.table(TABLE)) == {C}
    Lake(f"{lake.root}/other", spark).register()
    assert not spark.catalog.tableExists(TABLE)


def test_a_range_of_days_has_both_ends() -> None:
    assert between("d", date(2015, 1, 2), date(2015, 2, 3)) == "d >= DATE'2015-01-02' AND d <= DATE'2015-02-03'"


TEXTS = ["it's", "back\\slash", "\\'", "", 'say "x"', "new\nline", "%_", "''", "\\\\'x"]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_can_be_a_sql_literal(text: str, spark: SparkSession) -> None:
    assert spark.sql(f"SELECT {sql_literal(text)} AS text").collect()[0].text == text


def test_whether_there_is_such_a_row_is_told_without_spark_as_spark_would(lake: Lake) -> None:
    name, other = "ops.ledger", "it''s"
    row = dict.fromkeys(("sha256", "kind", "raw_path"), "x") | {"size_bytes": 1, "lines": 1, "etag": None}
    row |= {"session_date": date(2015, 3, 20), "received_at": datetime(2015, 3, 20, 23, 30, tzinfo=UTC)}
    version = lake.append_rows(name, [row | {"source": text} for text in TEXTS], "1").version
    lake.append_rows(name, [row | {"source": "later", "session_date": None}], "2")
    conditions = [f"source = {sql_literal(text)}" for text in (*TEXTS, other, "slash")]
    conditions += ["source NOT IN ('later')", "source = 'later'", "session_date IS NULL", "etag IS NOT NULL"]
    conditions += [between("cast(received_at AS date)", date(2015, 3, 20), date(2015, 3, 20))]
    conditions += [between("cast(received_at AS date)", date(2015, 3, 21), date(2015, 3, 31))]
    for condition in conditions:
        for at in (version, None):
            assert lake.holds(name, condition, at) == (not lake.read(name, at).where(condition).isEmpty()), condition
    told = [lake.holds(name, condition) for condition in conditions]
    assert (told.count(True), told.count(False)) == (len(TEXTS) + 4, 4)
    with pytest.raises(BadInput, match="has not been written"):
        lake.holds("bronze.splits", "true")
