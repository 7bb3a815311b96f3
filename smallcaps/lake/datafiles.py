"""Parquet files of a table that an executor writes by itself; once `Lake` commits them they are rows of the table.

Spark's writer takes a row apart into objects and costs several times what Arrow's does (docs/adr/0007). A file that no commit
names is nobody's: VACUUM removes it.
"""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Schema
from deltalake.transaction import AddAction, RemoveAction
from pyspark.sql.pandas.types import to_arrow_schema

from smallcaps.lake.declaration import Table
from smallcaps.lake.files import open_filesystem, storage_options

GROUP_ROWS = 1 << 18
"""Rows of a row group: what a writer holds in memory, unless they come to GROUP_BYTES before."""
GROUP_BYTES = 100 << 20
FILE_ROWS = 1 << 24
"""Rows after which a further file is begun."""
LONGEST_MARK = 64
"""Characters of a text that is kept as a file's least or greatest value."""
NO_UPKEEP = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
"""For delta-rs: Spark keeps the log of every table."""


@dataclass(frozen=True)
class DataFile:
    """A file under a table's folder: its path there, rows, bytes, partition, and the log's statistics (JSON)."""

    path: str
    rows: int
    size: int
    partition: dict[str, str]
    statistics: str


def file_schema(table: Table) -> pa.Schema:
    """The columns of a table's files; those it is partitioned by are in their paths. Needs a Spark session."""
    return pa.schema([field for field in to_arrow_schema(table.schema) if field.name not in table.partition_by])


class DataFileWriter:
    """Writes batches of `schema` under a table's folder at `location`, into the partition of these values.

    To be used in a `with`; when it ends, `files` tells what was written, and there is nothing where it ends by an error.
    """

    def __init__(self, location: str, schema: pa.Schema, partition: Mapping[str, str]) -> None:
        self._location = location
        self._filesystem, self._base = open_filesystem(location)
        self._schema = schema
        self._partition = dict(partition)
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._file: pq.ParquetWriter | None = None
        self._path = ""
        self._rows = 0
        self.files: list[DataFile] = []

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows."""
        self._waiting.append(batch)
        self._waiting_rows += batch.num_rows
        self._waiting_bytes += batch.nbytes
        if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
            self._write_group()

    def __enter__(self) -> "DataFileWriter":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._discard()
            return
        try:
            if self._waiting_rows:
                self._write_group()
            self._close()
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
            self._filesystem.delete_file(f"{self._base}/{self._path}")
        delete_files(self._location, self.files)
        self.files = []

    def _write_group(self) -> None:
        rows = pa.Table.from_batches(self._waiting, self._schema)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        if self._file is None:
            folder = "/".join(f"{name}={value}" for name, value in self._partition.items())
            self._filesystem.create_dir("/".join(filter(None, (self._base, folder))))
            self._path = "/".join(filter(None, (folder, f"part-{uuid.uuid4().hex}.snappy.parquet")))
            self._rows = 0
            # Times and numbers in sequence differ little from row to row; of other values there are few.
            is_time, is_count = pa.types.is_timestamp, pa.types.is_int64
            counted = [field.name for field in self._schema if is_time(field.type) or is_count(field.type)]
            self._file = pq.ParquetWriter(
                f"{self._base}/{self._path}",
                self._schema,
                compression="snappy",
                use_dictionary=_leaves(self._schema, counted),
                column_encoding=dict.fromkeys(counted, "DELTA_BINARY_PACKED"),
                store_decimal_as_integer=True,
                filesystem=self._filesystem,
            )
        self._file.write_table(rows, row_group_size=GROUP_ROWS)
        self._rows += rows.num_rows
        if self._rows >= FILE_ROWS:
            self._close()

    def _close(self) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        place = f"{self._base}/{self._path}"
        size = self._filesystem.get_file_info(place).size
        statistics = json.dumps(_statistics(pq.read_metadata(place, filesystem=self._filesystem)))
        self.files.append(DataFile(self._path, self._rows, size, self._partition, statistics))


def partition_filters(within: Mapping[str, Sequence[object]]) -> list[tuple[str, str, list[str]]]:
    """Partitions whose columns have one of these values, as delta-rs is told of them."""
    return [(name, "in", list(map(str, values))) for name, values in within.items()]


def signed(run_id: str, **more: Any) -> CommitProperties:
    """For delta-rs: what a commit says of itself, and that it is tried once (`Lake._natively` tries again)."""
    return CommitProperties({"userMetadata": run_id, **more}, max_commit_retries=0)


def create(table: Table, location: str) -> None:
    """Make an empty table as declared; nothing where there is one. Needs a Spark session.

    Raises DeltaError where another writer makes it this moment.
    """
    DeltaTable.create(
        location,
        Schema.from_json(table.schema.json()),
        mode="ignore",
        partition_by=list(table.partition_by),
        description=table.comment,
        configuration=table.properties,
        storage_options=storage_options(location),
        # A second try would make the table that another writer has made meanwhile once more, with another identity.
        commit_properties=CommitProperties(max_commit_retries=0),
        post_commithook_properties=NO_UPKEEP,
        raise_if_key_not_exists=False,
    )


def commit_files(
    stored: DeltaTable,
    table: Table,
    files: Sequence[DataFile],
    replaced: Mapping[str, Sequence[object]] | None,
    run_id: str,
) -> None:
    """Name files in the log of a table, in place of those in the partitions of `replaced` (None: of none)."""
    now = round(time.time() * 1000)
    added: list[AddAction | RemoveAction] = [
        AddAction(file.path, file.size, file.partition, now, True, file.statistics) for file in files
    ]
    told = {"numFiles": len(files), "numOutputRows": sum(file.rows for file in files)}
    stored.create_write_transaction(
        added,
        "append" if replaced is None else "overwrite",
        stored.schema(),
        list(table.partition_by),
        None if replaced is None else partition_filters(replaced),
        commit_properties=signed(run_id, operationMetrics={name: str(value) for name, value in told.items()}),
        post_commithook_properties=NO_UPKEEP,
    )


def delete_files(location: str, files: Sequence[DataFile]) -> None:
    """Remove files that no commit names."""
    filesystem, base = open_filesystem(location)
    for file in files:
        filesystem.delete_file(f"{base}/{file.path}")


def _leaves(schema: pa.Schema, without: Sequence[str]) -> list[str]:
    """Parquet's names of the columns, elements of lists and maps and what is in them included."""
    return [name for field in schema if field.name not in without for name in _named(field.name, field.type)]


def _named(name: str, type_: pa.DataType) -> list[str]:
    if pa.types.is_list(type_):
        return _named(f"{name}.list.element", type_.value_type)
    if pa.types.is_map(type_):
        return [f"{name}.key_value.key", *_named(f"{name}.key_value.value", type_.item_type)]
    if pa.types.is_struct(type_):
        return [leaf for part in type_ for leaf in _named(f"{name}.{part.name}", part.type)]
    return [name]


def _statistics(metadata: pq.FileMetaData) -> dict[str, Any]:
    """What Delta's log knows of a file: its rows, and nulls, least and greatest value of plain columns, to skip it by."""
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for place in range(metadata.num_columns):
        name = metadata.schema.column(place).path
        groups = [metadata.row_group(group).column(place).statistics for group in range(metadata.num_row_groups)]
        if "." in name or any(group is None or not group.has_null_count for group in groups):
            continue
        nulls[name] = sum(group.null_count for group in groups)
        marks = [(group.min, group.max) for group in groups if group.has_min_max]
        valued = sum(1 for group in groups if group.num_values)
        if marks and len(marks) == valued and all(map(_is_plain, marks[0])):
            low, high = min(low for low, _ in marks), max(high for _, high in marks)
            if _is_plain(low) and _is_plain(high):
                least[name], greatest[name] = _told(low), _told(high)
    return {"numRecords": metadata.num_rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}


def _is_plain(value: object) -> bool:
    return type(value) in (int, date) or (isinstance(value, str) and len(value) <= LONGEST_MARK)


def _told(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
