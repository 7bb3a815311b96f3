"""The lake: reads and idempotent writes of declared tables. Nothing else in the package touches Delta."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import deltalake
import pyarrow as pa
from delta.tables import DeltaTable
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError
from pyarrow import fs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from smallcaps.errors import BadData, BadInput
from smallcaps.lake.datafiles import NO_UPKEEP, DataFile, commit_files, delete_files, partition_filters
from smallcaps.lake.declaration import RUN_ID, Table
from smallcaps.lake.files import open_filesystem, storage_options
from smallcaps.lake.registry import LAYERS, REGISTRY, declared

_COMMIT_FILE = re.compile(r"\d{20}\.json")


@dataclass(frozen=True)
class Commit:
    """What a write left behind: the table, its new version, the rows written."""

    table: str
    version: int
    rows: int


def between(column: str, first: date, last: date) -> str:
    """SQL condition for `first` ≤ column ≤ `last`."""
    return f"{column} >= DATE'{first}' AND {column} <= DATE'{last}'"


def sql_literal(text: str) -> str:
    """`text` as a SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _literal(value: date | str) -> str:
    return f"DATE'{value}'" if isinstance(value, date) else sql_literal(value)


def with_nulls(frame: DataFrame, name: str) -> DataFrame:
    """`frame` with those columns of table `name` that it lacks, as nulls."""
    lacking = [column for column in declared(name).columns if column.name not in frame.columns]
    return frame.select("*", *[F.lit(None).cast(column.type).alias(column.name) for column in lacking])


def _types(schema: StructType) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in schema.fields}


class Lake:
    """The tables under one root, seen through one Spark session.

    Tables are made when first written. A table or frame that differs from its declaration is refused. With `suites`, runs
    judge what they are about to write by the table's quality suite.
    """

    def __init__(self, root: str, spark: SparkSession, suites: bool = False) -> None:
        self.spark = spark
        self.suites = suites
        self.root = root.rstrip("/") if "://" in root else open_filesystem(root)[1]

    def location(self, name: str) -> str:
        """Where a table lies."""
        return f"{self.root}/{declared(name).path}"

    def exists(self, name: str) -> bool:
        """Whether the table was ever written."""
        return DeltaTable.isDeltaTable(self.spark, self.location(name))

    def version(self, name: str) -> int:
        """The table's current Delta version."""
        filesystem, path = open_filesystem(self.location(name))
        # By the names of the log's files: asking Delta would take a Spark job.
        log = filesystem.get_file_info(fs.FileSelector(f"{path}/_delta_log"))
        return max(int(info.base_name[:-5]) for info in log if _COMMIT_FILE.fullmatch(info.base_name))

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """The table, at `version` if given. Raises BadInput where it was never written, BadData where it drifted."""
        if not self.exists(name):
            raise BadInput(f"{name} has not been written in this lake ({self.root}) yet.")
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        frame = reader.load(self.location(name))
        self._refuse_drift(declared(name), frame.schema, "the stored table")
        return frame

    def empty(self, name: str) -> DataFrame:
        """No rows, in the columns that the table is declared with."""
        return self.spark.createDataFrame([], declared(name).schema)

    def register(self) -> list[str]:
        """Make every written table known to SQL by its name; returns the names."""
        for layer in LAYERS:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {layer}")
        written = [name for name in REGISTRY if self.exists(name)]
        for name in written:
            # The name may still mean another lake's table; what is dropped is the name only.
            self.spark.sql(f"DROP TABLE IF EXISTS {name}")
            # Without columns: the definition is the stored one, so nothing is written.
            self.spark.sql(f"CREATE TABLE {name} USING delta LOCATION {sql_literal(self.location(name))}")
        return written

    def replace(self, name: str, frame: DataFrame, where: str | None, run_id: str) -> Commit:
        """Overwrite exactly the rows that meet `where` (None: all) with `frame`, in one commit.

        Rows of `frame` outside `where` make the write fail, so a job cannot touch what it did not compute.
        """
        table = declared(name)
        writer = self._laid_out(table, self._conformed(table, frame, run_id)).write.format("delta").mode("overwrite")
        if where is not None:
            writer = writer.option("replaceWhere", where)
        return self._committed(name, lambda: writer.save(self.location(name)))

    def make(self, name: str) -> None:
        """Make the table if it is not there."""
        if self.exists(name):
            return
        table = declared(name)
        self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {table.layer}")
        self._clear_unborn(name)
        self.spark.sql(f"DROP TABLE IF EXISTS {name}")
        self.spark.sql(table.ddl(self.location(name)))

    def replace_files(
        self, name: str, files: Sequence[DataFile], within: Mapping[str, Sequence[date | str]], run_id: str
    ) -> Commit:
        """Make what DataFileWriters wrote the rows of the table in which each column of `within` has one of its values.

        The table is there already (`make`), the files are this call's own and hold no other rows.
        """
        table, location = declared(name), self.location(name)
        where = " AND ".join(f"{column} IN ({', '.join(map(_literal, values))})" for column, values in within.items())
        partitions = {column: values for column, values in within.items() if column in table.partition_by}
        whole = partitions == dict(within)
        if whole or not self._has_files(name, partitions) or self.read(name).where(where).isEmpty():
            commit_files(location, table, files, within if whole else None)
            return Commit(name, self.version(name), sum(file.rows for file in files))
        # Rows that stay share files with rows that go, which takes Spark's writer.
        rows = self.empty(name)
        if files:
            rows = self.read_files(name, [file.path for file in files])
        commit = self.replace(name, rows, where, run_id)
        delete_files(location, files)
        return commit

    def append(self, name: str, frame: DataFrame, run_id: str) -> Commit:
        """Add rows. Only for tables whose rows are the run's own (bronze.bodies)."""
        table = declared(name)
        writer = self._conformed(table, frame, run_id).write.format("delta").mode("append")
        return self._committed(name, lambda: writer.save(self.location(name)))

    def add_missing(self, name: str, frame: DataFrame, run_id: str) -> Commit:
        """Insert the rows whose declared key is not there yet; rows already there stay as they are."""
        table = declared(name)
        rows = self._conformed(table, frame, run_id).dropDuplicates(list(table.key))
        same = " AND ".join(f"stored.{column} <=> new.{column}" for column in table.key)
        target = DeltaTable.forPath(self.spark, self.location(name))
        merge = target.alias("stored").merge(rows.alias("new"), same).whenNotMatchedInsertAll()
        return self._committed(name, merge.execute)

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]], run_id: str) -> Commit:
        """As `append`, of rows by column name that the driver holds: without a Spark job, which takes a second."""
        self.make(name)
        write_deltalake(
            self._native(name), self._arrow(name, rows, run_id), mode="append", post_commithook_properties=NO_UPKEEP
        )
        return Commit(name, self.version(name), len(rows))

    def add_missing_rows(self, name: str, rows: Sequence[Mapping[str, Any]], run_id: str) -> Commit:
        """As `add_missing`, of rows by column name that the driver holds."""
        self.make(name)
        key = declared(name).key
        same = " AND ".join(f"(stored.{column} IS NOT DISTINCT FROM new.{column})" for column in key)
        distinct = {tuple(row[column] for column in key): row for row in reversed(rows)}
        merge = self._native(name).merge(
            self._arrow(name, [*distinct.values()], run_id),
            same,
            source_alias="new",
            target_alias="stored",
            post_commithook_properties=NO_UPKEEP,
        )
        done = merge.when_not_matched_insert_all().execute()
        return Commit(name, self.version(name), done["num_target_rows_inserted"])

    def files(self, name: str, version: int | None = None) -> dict[str, tuple[date, date] | None]:
        """The files of a table, at `version` if given, as the log says: for each its first and last day, of tables of days.

        None where that is not known. A version that the log does not go back to has none.
        """
        try:
            found = self._native(name, version).get_add_actions(flatten=True)
        except DeltaError:
            return {}
        columns = {column: found[column].to_pylist() for column in found.schema.names}
        paths, (day, _) = columns["path"], declared(name).span
        first = columns.get(f"min.{day}", columns.get(f"partition.{day}", [None] * len(paths)))
        last = columns.get(f"max.{day}", first)
        known = declared(name).is_of_days
        return {
            path: (low, high) if known and low is not None and high is not None else None
            for path, low, high in zip(paths, first, last, strict=True)
        }

    def read_files(self, name: str, paths: Sequence[str]) -> DataFrame:
        """The rows of some of a table's files, whatever version they are of; files that are gone have none."""
        location = self.location(name)
        reader = self.spark.read.schema(declared(name).schema).option("basePath", location)
        return reader.option("ignoreMissingFiles", True).parquet(*[f"{location}/{path}" for path in paths])

    def _has_files(self, name: str, partitions: Mapping[str, Sequence[date | str]]) -> bool:
        """Whether there are rows in these partitions, as the log alone says."""
        return bool(self._native(name).file_uris(partition_filters(partitions) or None))

    def _native(self, name: str, version: int | None = None) -> deltalake.DeltaTable:
        location = self.location(name)
        return deltalake.DeltaTable(location, version, storage_options=storage_options(location))

    @staticmethod
    def _arrow(name: str, rows: Sequence[Mapping[str, Any]], run_id: str) -> pa.Table:
        return pa.Table.from_pylist(
            [{RUN_ID.name: run_id, **row} for row in rows], to_arrow_schema(declared(name).schema)
        )

    def _conformed(self, table: Table, frame: DataFrame, run_id: str) -> DataFrame:
        """`frame` as the table declares it, the table made first if need be. Raises BadData on any difference."""
        if RUN_ID not in table.columns:
            frame = frame.withColumn(RUN_ID.name, F.lit(run_id))
        self._refuse_drift(table, frame.schema, "the frame to be written")
        self.make(table.name)
        return frame.select(*[column.name for column in table.all_columns])

    def _clear_unborn(self, name: str) -> None:
        """Remove what a creation left that was killed before its first commit; Delta would refuse the place for ever.

        Raises BadData where there are other files: they are somebody's.
        """
        filesystem, path = open_filesystem(self.location(name))
        left = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        if strange := [info.path for info in left if info.is_file and "/_delta_log/" not in info.path]:
            raise BadData(f"{self.location(name)} holds files of no table, {strange[0]} for one. Move them away.")
        if left:
            filesystem.delete_dir(path)

    @staticmethod
    def _laid_out(table: Table, frame: DataFrame) -> DataFrame:
        """Rows of a partition together and in order; adaptive execution sizes the files."""
        if table.partition_by:
            frame = frame.repartition(*table.partition_by, *table.sort_by[:1])
        if table.sort_by:
            frame = frame.sortWithinPartitions(*table.partition_by, *table.sort_by)
        return frame

    @staticmethod
    def _refuse_drift(table: Table, found: StructType, what: str) -> None:
        expected, actual = _types(table.schema), _types(found)
        if expected == actual:
            return
        differences = [
            f"{name}: declared {expected.get(name, 'not at all')}, found {actual.get(name, 'none')}"
            for name in expected | actual
            if expected.get(name) != actual.get(name)
        ]
        raise BadData(f"{table.name}: {what} is not as declared. {'; '.join(differences)}.")

    def _metrics(self, name: str, version: int) -> dict[str, int]:
        """What a commit says that it did."""
        filesystem, path = open_filesystem(self.location(name))
        with filesystem.open_input_stream(f"{path}/_delta_log/{version:020}.json", compression=None) as stream:
            actions = [json.loads(line) for line in stream.read().splitlines()]
        said = next(action["commitInfo"] for action in actions if "commitInfo" in action)
        return {key: int(value) for key, value in said["operationMetrics"].items() if value.isdigit()}

    def _committed(self, name: str, write: Callable[[], object]) -> Commit:
        """Do the write; returns what it left. One that changes nothing makes no commit: no rows are its own."""
        before = self.version(name)
        write()
        version = self.version(name)
        if version == before:
            return Commit(name, before, 0)
        metrics = self._metrics(name, version)
        inserted = metrics.get("numTargetRowsInserted")
        rows = metrics.get("numOutputRows", 0) - metrics.get("numCopiedRows", 0) if inserted is None else inserted
        return Commit(name, version, rows)

    @cached_property
    def raw(self) -> str:
        """Root of the raw zone."""
        return f"{self.root}/raw"
