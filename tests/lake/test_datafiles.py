"""Files that a task writes by itself: rows of the table once they are committed, and not before."""

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from smallcaps.lake import Commit, DataFile, DataFileWriter, Lake, datafiles, declared, file_schema, store
from smallcaps.lake.datafiles import commit_files

TABLE = "bronze.bars_1m"
MONDAY, TUESDAY = date(2026, 10, 5), date(2026, 10, 6)


@pytest.fixture
def there(lake: Lake) -> Lake:
    """A lake in which the tables of bars are made."""
    for name in (TABLE, "bronze.bars_1d"):
        lake.make(name)
    return lake


def batch(schema: pa.Schema, symbols: str, number: int, day: date) -> pa.RecordBatch:
    """A bar a letter of `symbols`; `number` is the run and the volume."""
    given = {"source_sha256": "f" * 64, "run_id": str(number), "volume": number, "session_date": day}
    rows = [
        {name: given.get(name) for name in schema.names}
        | {"symbol": symbol, "window_start_ns": line, "source_line": line}
        for line, symbol in enumerate(symbols, start=2)
    ]
    return pa.RecordBatch.from_pylist(rows, schema)


def written(lake: Lake, symbols: str, number: int, day: date, name: str = TABLE) -> list[DataFile]:
    table = declared(name)
    schema = file_schema(table)
    partition = {"session_date": str(day)} if table.partition_by else {}
    with DataFileWriter(lake.location(name), schema, partition) as writer:
        writer.write(batch(schema, symbols, number, day))
    return writer.files


def rows(lake: Lake, name: str = TABLE) -> set[tuple[date, str, int]]:
    found = lake.read(name).select("session_date", "symbol", "volume", "run_id").collect()
    assert all(int(row.run_id) == row.volume for row in found)
    return {(row.session_date, row.symbol, int(row.volume)) for row in found}


def parquet_files(lake: Lake, name: str = TABLE) -> set[str]:
    return {str(path.relative_to(lake.location(name))) for path in Path(lake.location(name)).rglob("*.parquet")}


def test_files_are_no_rows_before_they_are_committed(there: Lake) -> None:
    files = written(there, "AB", 1, MONDAY)
    assert rows(there) == set()
    commit = there.replace_files(TABLE, files, {"session_date": [MONDAY]}, "1")
    assert (commit.rows, commit.version) == (2, there.version(TABLE))
    assert rows(there) == {(MONDAY, "A", 1), (MONDAY, "B", 1)}


def test_a_days_files_take_the_place_of_the_days_rows_and_of_no_others(there: Lake) -> None:
    both = [*written(there, "AB", 1, MONDAY), *written(there, "AB", 1, TUESDAY)]
    there.replace_files(TABLE, both, {"session_date": [MONDAY, TUESDAY]}, "1")
    version = there.version(TABLE)
    there.replace_files(TABLE, written(there, "BC", 2, MONDAY), {"session_date": [MONDAY]}, "2")
    assert rows(there) == {(MONDAY, "B", 2), (MONDAY, "C", 2), (TUESDAY, "A", 1), (TUESDAY, "B", 1)}
    assert there.version(TABLE) == version + 1
    assert there.read(TABLE, version).count() == 4
    # A day of which nothing came leaves nothing.
    assert there.replace_files(TABLE, [], {"session_date": [MONDAY]}, "3").rows == 0
    assert {day for day, *_ in rows(there)} == {TUESDAY}


def test_rows_of_some_symbols_leave_the_others_as_they_were(there: Lake) -> None:
    within = {"session_date": [MONDAY], "symbol": ["A", "O'C"]}
    there.replace_files(TABLE, written(there, "AB", 1, MONDAY), {"session_date": [MONDAY]}, "1")
    there.replace_files(TABLE, written(there, "A", 2, MONDAY), within, "2")
    assert rows(there) == {(MONDAY, "A", 2), (MONDAY, "B", 1)}
    there.replace_files(TABLE, [], within, "3")
    assert rows(there) == {(MONDAY, "B", 1)}
    # Where none of them is there, and where the day is new, the files are added as they are.
    for day in (MONDAY, TUESDAY):
        files = written(there, "A", 4, day)
        there.replace_files(TABLE, files, {"session_date": [day], "symbol": ["A"]}, "4")
        assert {file.path for file in files} <= parquet_files(there)
    assert rows(there) == {(MONDAY, "A", 4), (MONDAY, "B", 1), (TUESDAY, "A", 4)}


def test_rows_that_a_condition_keeps_stay(there: Lake) -> None:
    name = "bronze.bars_1d"
    there.replace_files(name, written(there, "AB", 1, MONDAY, name), {}, "1", "session_date <= DATE'2026-10-05'")
    but_b = "session_date >= DATE'2026-10-05' AND symbol NOT IN ('B')"
    there.replace_files(name, written(there, "C", 2, MONDAY, name), {}, "2", but_b)
    assert rows(there, name) == {(MONDAY, "C", 2), (MONDAY, "B", 1)}
    # What is there does not meet it, so the file is added as it is.
    files = written(there, "A", 3, TUESDAY, name)
    there.replace_files(name, files, {"session_date": [TUESDAY]}, "3", "symbol = 'A'")
    assert {file.path for file in files} <= parquet_files(there, name)
    assert rows(there, name) == {(MONDAY, "C", 2), (MONDAY, "B", 1), (TUESDAY, "A", 3)}


def test_a_table_without_partitions_replaces_days_inside_its_files(there: Lake) -> None:
    name = "bronze.bars_1d"
    two = [*written(there, "AB", 1, MONDAY, name), *written(there, "AB", 1, TUESDAY, name)]
    there.replace_files(name, two, {"session_date": [MONDAY, TUESDAY]}, "1")
    files = written(there, "C", 2, TUESDAY, name)
    there.replace_files(name, files, {"session_date": [TUESDAY]}, "2")
    assert rows(there, name) == {(MONDAY, "A", 1), (MONDAY, "B", 1), (TUESDAY, "C", 2)}
    # They were copied into the table's own files and are gone.
    assert not {file.path for file in files} & parquet_files(there, name)


@pytest.mark.parametrize("name", [TABLE, "bronze.bars_1d"])
def test_a_new_day_that_two_writers_bring_at_once_is_there_once(
    there: Lake, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, calls = threading.Barrier(2, timeout=30), itertools.count()

    def at_once(*arguments: Any) -> None:
        """Both have looked and seen nothing of the day before either commits."""
        if next(calls) < 2:
            both.wait()
        commit_files(*arguments)

    monkeypatch.setattr(store, "commit_files", at_once)

    def bring(number: int) -> Commit:
        files = written(there, "AB", number, MONDAY, name)
        return there.replace_files(name, files, {"session_date": [MONDAY]}, str(number))

    with ThreadPoolExecutor(2) as pool:
        commits = sorted(pool.map(bring, (1, 2)), key=lambda commit: commit.version)
    last = int(there.read(name).first().run_id)
    assert rows(there, name) == {(MONDAY, "A", last), (MONDAY, "B", last)}
    assert there.read(name).count() == 2
    assert [commit.rows for commit in commits] == [2, 2]
    assert commits[1].version == there.version(name) == commits[0].version + 1


def test_a_writer_that_fails_leaves_nothing(there: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafiles, "GROUP_ROWS", 2)
    monkeypatch.setattr(datafiles, "FILE_ROWS", 2)
    schema = file_schema(declared(TABLE))
    writer = DataFileWriter(there.location(TABLE), schema, {"session_date": str(MONDAY)})

    def write_half() -> None:
        with writer:
            writer.write(batch(schema, "ABC", 1, MONDAY))
            monkeypatch.setattr(datafiles, "FILE_ROWS", 9)
            writer.write(batch(schema, "ABC", 1, MONDAY))
            assert len(parquet_files(there)) == 2
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert parquet_files(there) == set()
    assert writer.files == []


def test_a_required_value_that_is_missing_is_not_written(there: Lake) -> None:
    schema = file_schema(declared(TABLE))
    lacking = batch(schema, "A", 1, MONDAY).set_column(0, schema.field("symbol"), pa.nulls(1, pa.string()))
    with (
        pytest.raises(pa.ArrowInvalid, match="null"),
        DataFileWriter(there.location(TABLE), schema, {"session_date": str(MONDAY)}) as writer,
    ):
        writer.write(lacking)
    assert parquet_files(there) == set()


def test_large_writes_are_several_files_of_several_groups(there: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datafiles, "GROUP_ROWS", 3)
    monkeypatch.setattr(datafiles, "FILE_ROWS", 6)
    schema = file_schema(declared(TABLE))
    with DataFileWriter(there.location(TABLE), schema, {"session_date": str(MONDAY)}) as writer:
        for number in range(8):
            writer.write(batch(schema, "AB", number, MONDAY))
    assert [file.rows for file in writer.files] == [8, 8]
    groups = pq.read_metadata(f"{there.location(TABLE)}/{writer.files[0].path}")
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [3, 1, 3, 1]
    assert there.replace_files(TABLE, writer.files, {"session_date": [MONDAY]}, "1").rows == 16


def test_the_log_knows_what_is_in_a_file(there: Lake, spark: SparkSession) -> None:
    files = written(there, "BAC", 1, MONDAY)
    known = json.loads(files[0].statistics)
    assert known["numRecords"] == 3
    assert (known["minValues"]["symbol"], known["maxValues"]["symbol"]) == ("A", "C")
    assert (known["minValues"]["source_line"], known["maxValues"]["source_line"]) == (2, 4)
    assert (known["nullCount"]["vwap"], known["nullCount"]["symbol"]) == (3, 0)
    there.replace_files(TABLE, files, {"session_date": [MONDAY]}, "1")
    history = spark.sql(f"DESCRIBE HISTORY delta.`{there.location(TABLE)}`").first()
    assert history is not None
    assert history.operationMetrics == {"numFiles": "1", "numOutputRows": "3"}


def test_others_read_what_spark_did_not_write(there: Lake) -> None:
    there.replace_files(TABLE, written(there, "AB", 1, MONDAY), {"session_date": [MONDAY]}, "1")
    stored = DeltaTable(there.location(TABLE))
    assert stored.to_pyarrow_table(columns=["symbol"]).column("symbol").to_pylist() == ["A", "B"]
    paths = stored.file_uris()
    found = duckdb.sql(f"SELECT symbol, volume, run_id FROM read_parquet({paths}) ORDER BY symbol").fetchall()
    assert [(symbol, int(volume), run) for symbol, volume, run in found] == [("A", 1, "1"), ("B", 1, "1")]


def test_names_in_a_map_are_written_once(lake: Lake) -> None:
    name = "bronze.financials"
    lake.make(name)
    schema = file_schema(declared(name))
    row = dict.fromkeys(schema.names) | {"items": [("revenue", 1.5)], "tickers": ["A"]}
    row |= {"endpoint": "x", "as_of": MONDAY, "received_at": 0, "source_sha256": "f", "source_line": 1, "run_id": "1"}
    with DataFileWriter(lake.location(name), schema, {}) as writer:
        writer.write(pa.RecordBatch.from_pylist([row], schema))
    lake.append_files(name, writer.files, "1")
    metadata = pq.read_metadata(Path(lake.location(name)) / writer.files[0].path).row_group(0)
    columns = {column.path_in_schema: column for column in map(metadata.column, range(metadata.num_columns))}
    assert "RLE_DICTIONARY" in columns["items.key_value.key"].encodings
    (stored,) = lake.read(name).collect()
    assert (stored["items"], stored.tickers) == ({"revenue": 1.5}, ["A"])
