"""The lake: reads and idempotent writes of declared tables. Nothing else in the package touches Delta."""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

import deltalake
import pyarrow as pa
from delta import exceptions
from delta.exceptions import captured as _captured  # noqa: F401 - has PySpark raise Delta's exceptions as Delta's
from delta.tables import DeltaTable
from deltalake import QueryBuilder, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from pyarrow import fs
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from smallcaps.errors import BadData, BadInput, FailedDependency
from smallcaps.lake.datafiles import NO_UPKEEP, DataFile, commit_files, create, delete_files, partition_filters, signed
from smallcaps.lake.declaration import RUN_ID, Table, sql_literal
from smallcaps.lake.files import open_filesystem, storage_options
from smallcaps.lake.registry import LAYERS, REGISTRY, VIEWS, declared
from smallcaps.lake.staging import REFUSED, with_refusals, written

SIGNATURE = "spark.databricks.delta.commitInfo.userMetadata"
"""What Spark writes into its commits beside what it did: we have it write the run, as delta-rs does (`datafiles.signed`)."""
STORED = "the stored table"
CONFLICTS = (
    exceptions.ConcurrentAppendException,
    exceptions.ConcurrentDeleteDeleteException,
    exceptions.ConcurrentDeleteReadException,
    exceptions.ConcurrentTransactionException,
    exceptions.ConcurrentWriteException,
    exceptions.DeltaConcurrentModificationException,
    exceptions.MetadataChangedException,
    exceptions.ProtocolChangedException,
)
"""What Delta raises where another writer changed what a write rests on; they have no class in common."""
_COMMIT_FILE = re.compile(r"\d{20}\.json")
_CHECKPOINT_FILE = re.compile(r"(\d{20})\.checkpoint.*\.parquet")
COMMITS_A_CHECKPOINT = 10
"""So many commits after a checkpoint another one is due: a reader of the table reads as many small files at most."""


@dataclass(frozen=True)
class Commit:
    """What a write left behind: the table, its new version, the rows written."""

    table: str
    version: int
    rows: int


@dataclass(frozen=True)
class Size:
    """What a table consists of."""

    rows: int
    files: int
    bytes: int


def between(column: str, first: date, last: date) -> str:
    """SQL condition for `first` ≤ column ≤ `last`."""
    return f"{column} >= DATE'{first}' AND {column} <= DATE'{last}'"


def _literal(value: date | str) -> str:
    return f"DATE'{value}'" if isinstance(value, date) else sql_literal(value)


def with_nulls(frame: DataFrame, name: str) -> DataFrame:
    """`frame` with those columns of table `name` that it lacks, as nulls."""
    lacking = [column for column in declared(name).columns if column.name not in frame.columns]
    return frame.select("*", *[F.lit(None).cast(column.type).alias(column.name) for column in lacking])


def _has_files(stored: deltalake.DeltaTable, partitions: Mapping[str, Sequence[date | str]]) -> bool:
    """Whether there are rows in these partitions, as the log alone says."""
    return bool(stored.file_uris(partition_filters(partitions) or None))


def _asked(stored: deltalake.DeltaTable, query: str) -> pa.Table:
    """What a query in SQL says of a table, which is called `stored` in it."""
    # In delta-rs' SQL a text knows no backslash: they come in pairs, and before quotes (`sql_literal`).
    query = re.sub(r"\\(.)", lambda found: "''" if found[1] == "'" else found[1], query)
    return pa.table(QueryBuilder().register("stored", stored).execute(query))


def _has_rows(stored: deltalake.DeltaTable, condition: str) -> bool:
    """Whether a row meets a SQL condition."""
    return len(_asked(stored, f"SELECT 1 FROM stored WHERE {condition} LIMIT 1")) > 0


def _rows_written(metrics: Mapping[str, int | str]) -> int:
    """Rows that a commit added, as Spark or delta-rs counts them."""
    for inserted in ("numTargetRowsInserted", "num_target_rows_inserted", "num_added_rows"):
        if inserted in metrics:
            return int(metrics[inserted])
    return int(metrics.get("numOutputRows", 0)) - int(metrics.get("numCopiedRows", 0))


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
        return bool(self._versions(name))

    def version(self, name: str) -> int:
        """The table's current Delta version."""
        return max(self._versions(name))

    def identity(self, name: str) -> str:
        """The id that Delta gave the table when it was made: no two tables have the same."""
        return str(self._stored(name).metadata().id)

    def committed_at(self, name: str, version: int) -> datetime:
        """When a version of the table was committed. Raises BadInput where the log does not go back to it."""
        location = self.location(name)
        try:
            stored = deltalake.DeltaTable(location, version, storage_options=storage_options(location))
        except DeltaError as error:
            raise BadInput(f"{name} has no version {version}, or no longer.") from error
        return datetime.fromtimestamp(stored.history(1)[0]["timestamp"] / 1000, UTC)

    def _logged(self, name: str) -> list[str]:
        """The names of the files in the table's log; none where it was never written."""
        filesystem, path = open_filesystem(self.location(name))
        # By names: asking Delta would take a Spark job, and it may remember how things were before another writer came.
        log = filesystem.get_file_info(fs.FileSelector(f"{path}/_delta_log", allow_not_found=True))
        return [info.base_name for info in log]

    def _versions(self, name: str) -> list[int]:
        """The versions that the table's log has a file of; none where it was never written."""
        return [int(file[:-5]) for file in self._logged(name) if _COMMIT_FILE.fullmatch(file)]

    def read(self, name: str, version: int | None = None) -> DataFrame:
        """The table, at `version` if given. Raises BadInput where it was never written or the version is gone, BadData where it
        drifted.
        """
        if not self.exists(name):
            raise BadInput(f"{name} has not been written in this lake ({self.root}) yet.")
        reader = self.spark.read.format("delta")
        if version is not None:
            reader = reader.option("versionAsOf", version)
        try:
            frame = reader.load(self.location(name))
        except AnalysisException as error:
            if error.getCondition() != "DELTA_VERSION_NOT_FOUND":
                raise
            raise BadInput(
                f"{name} has no version {version}, or no longer: {self.version(name)} is the last."
            ) from error
        self._refuse_drift(declared(name), frame.schema, STORED)
        return frame

    def holds(self, name: str, condition: str, version: int | None = None) -> bool:
        """Whether a row of the table, at `version` if given, meets a SQL condition. Raises as `read` does.

        Without Spark: the log and the files' statistics mostly tell, where there is none.
        """
        stored = self._sound(name)
        if version is not None:
            stored.load_as_version(version)
        return _has_rows(stored, condition)

    def ask(self, name: str, query: str) -> list[dict[str, Any]]:
        """What a query in delta-rs' SQL says of the table, which is called `stored` in it: rows, by the names of columns.

        For a few rows of a small table, without a Spark job. Raises as `read` does.
        """
        return [*_asked(self._sound(name), query).to_pylist()]

    def empty(self, name: str) -> DataFrame:
        """No rows, in the columns that the table is declared with."""
        return self.spark.createDataFrame([], declared(name).schema)

    def register(self) -> list[str]:
        """Make every written table known to SQL by its name, and every view; returns the tables' names.

        To a view a table that was never written is an empty one.
        """
        for layer in LAYERS:
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {layer}")
        written = [name for name in REGISTRY if self.exists(name)]
        for name in REGISTRY:
            # The name may still mean another lake's table; what is dropped is the name only.
            self.spark.sql(f"DROP TABLE IF EXISTS {name}")
        for name in written:
            # Without columns: the definition is the stored one, so nothing is written.
            self.spark.sql(f"CREATE TABLE {name} USING delta LOCATION {sql_literal(self.location(name))}")
        absent = [table for name, table in REGISTRY.items() if name not in written]
        for view in VIEWS.values():
            self.spark.sql(view.ddl(absent))
        return written

    def replace(self, name: str, frame: DataFrame, where: str | None, run_id: str) -> Commit:
        """Overwrite exactly the rows that meet `where` (None: all) with `frame`, in one commit.

        Rows of `frame` outside `where` make the write fail, so a job cannot touch what it did not compute.
        """
        table = declared(name)
        writer = self._laid_out(table, self._conformed(table, frame, run_id)).write.format("delta").mode("overwrite")
        if where is not None:
            writer = writer.option("replaceWhere", where)
        return self._committed(name, run_id, lambda: writer.save(self.location(name)))

    def make(self, name: str) -> None:
        """Make the table if it is not there."""
        if self.exists(name):
            return
        self._refuse_strangers(name)
        try:
            create(declared(name), self.location(name))
        except DeltaError:
            # Another writer was faster.
            if not self.exists(name):
                raise

    def refuse_drift(self, name: str) -> None:
        """Raise BadData where the stored table is not as declared."""
        self._refuse_drift(declared(name), self._stored_schema(self._stored(name)), STORED)

    def upgrade(self, name: str) -> list[str]:
        """Give a table that an earlier version of the package made the columns and constraints declared since.

        Returns what was changed. New columns are null in the rows that are there. What cannot be mended this way is left;
        `refuse_drift` tells. Raises BadData where rows break a constraint that is new.
        """
        table, stored = declared(name), self._stored(name)
        place, changed = f"delta.`{self.location(name)}`", []
        known = self._stored_schema(stored).names
        if lacking := [column for column in table.all_columns if column.name not in known]:
            columns = ", ".join(
                f"`{column.name}` {column.type} COMMENT {sql_literal(column.described)}" for column in lacking
            )
            self.spark.sql(f"ALTER TABLE {place} ADD COLUMNS ({columns})")
            changed += [f"column {column.name}" for column in lacking]
        prefix = "delta.constraints."
        configuration = stored.metadata().configuration
        there = {key.removeprefix(prefix): value for key, value in configuration.items() if key.startswith(prefix)}
        for constraint in there.keys() | table.conditions.keys():
            before, after = there.get(constraint), table.conditions.get(constraint)
            if before == after:
                continue
            self.spark.sql(f"ALTER TABLE {place} DROP CONSTRAINT IF EXISTS {constraint}")
            if after is not None:
                try:
                    self.spark.sql(f"ALTER TABLE {place} ADD CONSTRAINT {constraint} CHECK ({after})")
                except PySparkException as error:
                    raise BadData(
                        f"{name}: rows break {constraint}, which is new: {after}. Make the table again."
                    ) from error
            changed.append(f"constraint {constraint}")
        return sorted(changed)

    def _sound(self, name: str) -> deltalake.DeltaTable:
        """The table as delta-rs has it. Raises as `read` does."""
        if not self.exists(name):
            raise BadInput(f"{name} has not been written in this lake ({self.root}) yet.")
        stored = self._stored(name)
        self._refuse_drift(declared(name), self._stored_schema(stored), STORED)
        return stored

    def _stored(self, name: str) -> deltalake.DeltaTable:
        location = self.location(name)
        return deltalake.DeltaTable(location, storage_options=storage_options(location))

    @staticmethod
    def _stored_schema(stored: deltalake.DeltaTable) -> StructType:
        """As the log has it, which is how Spark writes a schema."""
        return StructType.fromJson(json.loads(stored.schema().to_json()))

    def replace_files(
        self,
        name: str,
        files: Sequence[DataFile],
        within: Mapping[str, Sequence[date | str]],
        run_id: str,
        where: str | None = None,
    ) -> Commit:
        """Make what DataFileWriters wrote the rows of the table in which each column of `within` has one of its values, and
        which meet `where`.

        The table is there already (`make`), the files are this call's own and hold no other rows.
        """
        table, location = declared(name), self.location(name)
        conditions = [f"{column} IN ({', '.join(map(_literal, values))})" for column, values in within.items()]
        condition = " AND ".join([*conditions, *([where] if where else [])])
        partitions = {column: values for column, values in within.items() if column in table.partition_by}
        whole = partitions == dict(within) and not where

        def write(stored: deltalake.DeltaTable) -> None:
            if whole or not _has_files(stored, partitions) or not _has_rows(stored, condition):
                commit_files(stored, table, files, within if whole else None, run_id)
                return
            # Rows that stay share files with rows that go, which takes Spark's writer.
            rows = self.empty(name)
            if files:
                rows = self.read_files(name, [file.path for file in files])
            self.replace(name, rows, condition or None, run_id)
            delete_files(location, files)

        return self._natively(name, run_id, write)

    def stage(self, name: str, judged: DataFrame, reasons: Mapping[str, str], run_id: str) -> DataFrame:
        """Write the sound rows of a judged frame to files that no commit names yet (`staging.written`)."""
        table = declared(name)
        # What Spark's own writer sees to; where suites are on they do, with more to say.
        required = [column.present for column in table.columns if not column.nullable]
        conditions = [] if self.suites else [*required, *table.conditions.values()]
        rows = with_refusals(judged, table, reasons, conditions).withColumn(RUN_ID.name, F.lit(run_id))
        self._refuse_drift(table, rows.drop(REFUSED).schema, "the frame to be written")
        self.make(name)
        self.refuse_drift(name)
        return written(self._laid_out(table, rows), table, self.location(name))

    def append_files(self, name: str, files: Sequence[DataFile], run_id: str) -> Commit:
        """Add what DataFileWriters wrote. The table is there already (`make`), the files are this call's own."""
        return self._natively(name, run_id, lambda stored: commit_files(stored, declared(name), files, None, run_id))

    def append(self, name: str, frame: DataFrame, run_id: str) -> Commit:
        """Add rows. Only for tables whose rows are the run's own."""
        table = declared(name)
        writer = self._conformed(table, frame, run_id).write.format("delta").mode("append")
        return self._committed(name, run_id, lambda: writer.save(self.location(name)))

    def add_missing(self, name: str, frame: DataFrame, run_id: str) -> Commit:
        """Insert the rows whose declared key is not there yet; rows already there stay as they are."""
        table = declared(name)
        rows = self._conformed(table, frame, run_id).dropDuplicates(list(table.key))
        same = " AND ".join(f"stored.{column} <=> new.{column}" for column in table.key)

        def merge() -> None:
            target = DeltaTable.forPath(self.spark, self.location(name)).alias("stored")
            target.merge(rows.alias("new"), same).whenNotMatchedInsertAll().execute()

        return self._committed(name, run_id, merge, repeatable=True)

    def append_rows(self, name: str, rows: Sequence[Mapping[str, Any]], run_id: str) -> Commit:
        """As `append`, of rows by column name that the driver holds: without a Spark job, which takes a second."""
        self.make(name)
        new = self._arrow(name, rows, run_id)

        def write(stored: deltalake.DeltaTable) -> None:
            write_deltalake(
                stored, new, mode="append", commit_properties=signed(run_id), post_commithook_properties=NO_UPKEEP
            )

        return self._natively(name, run_id, write)

    def add_missing_rows(self, name: str, rows: Sequence[Mapping[str, Any]], run_id: str) -> Commit:
        """As `add_missing`, of rows by column name that the driver holds."""
        self.make(name)
        key = declared(name).key
        same = " AND ".join(f"(stored.{column} IS NOT DISTINCT FROM new.{column})" for column in key)
        distinct = {tuple(row[column] for column in key): row for row in reversed(rows)}
        new = self._arrow(name, [*distinct.values()], run_id)

        def write(stored: deltalake.DeltaTable) -> None:
            merge = stored.merge(
                new,
                same,
                source_alias="new",
                target_alias="stored",
                commit_properties=signed(run_id),
                post_commithook_properties=NO_UPKEEP,
            )
            merge.when_not_matched_insert_all().execute()

        return self._natively(name, run_id, write)

    def files(self, name: str, version: int | None = None) -> dict[str, tuple[date, date] | None]:
        """The files of a table, at `version` if given, as the log says: for each its first and last day, of tables of days.

        None where that is not known. A version that the log does not go back to has none.
        """
        location = self.location(name)
        try:
            stored = deltalake.DeltaTable(location, version, storage_options=storage_options(location))
        except DeltaError:
            return {}
        found = stored.get_add_actions(flatten=True)
        columns = {column: found[column].to_pylist() for column in found.schema.names}
        paths, (day, _) = columns["path"], declared(name).span
        first = columns.get(f"min.{day}", columns.get(f"partition.{day}", [None] * len(paths)))
        last = columns.get(f"max.{day}", first)
        known = declared(name).is_of_days
        return {
            path: (low, high) if known and low is not None and high is not None else None
            for path, low, high in zip(paths, first, last, strict=True)
        }

    def size(self, name: str) -> Size:
        """What a table consists of now, as its log says."""
        found = self._stored(name).get_add_actions(flatten=True)
        rows, sizes = (found[column].to_pylist() for column in ("num_records", "size_bytes"))
        return Size(sum(rows), len(sizes), sum(sizes))

    def compact(self, name: str, run_id: str) -> tuple[int, int]:
        """Put small files of the table together, partition by partition; returns how many became how many."""
        done = []

        def write() -> None:
            found = DeltaTable.forPath(self.spark, self.location(name)).optimize().executeCompaction()
            done.append(found.select("metrics.numFilesRemoved", "metrics.numFilesAdded").collect()[0])

        self._committed(name, run_id, write, repeatable=True)
        return done[-1][0], done[-1][1]

    def compactions(self, name: str, since: int) -> list[tuple[int, list[tuple[set[str], set[str]]]]]:
        """What was put together after version `since`, oldest first: the version, and of each partition which files became
        which.
        """
        done = [entry["version"] for entry in self._stored(name).history() if entry.get("operation") == "OPTIMIZE"]
        found = []
        for version in sorted(version for version in done if version > since):
            sides: dict[str, tuple[set[str], set[str]]] = {}
            for action in self._actions(name, version):
                for side, kind in enumerate(("remove", "add")):
                    if file := action.get(kind):
                        partition = json.dumps(file["partitionValues"], sort_keys=True)
                        sides.setdefault(partition, (set(), set()))[side].add(file["path"])
            found.append((version, list(sides.values())))
        return found

    def vacuum(self, name: str, retention: timedelta) -> int:
        """Delete the files of the table that no version of within `retention` has; returns how many."""
        stored, hours = self._stored(name), math.ceil(retention / timedelta(hours=1))
        # Without files to delete Delta would commit that there were none.
        if not stored.vacuum(hours, full=True):
            return 0
        return len(stored.vacuum(hours, dry_run=False, full=True))

    def checkpoint(self, name: str) -> bool:
        """Make a checkpoint of the table's log, if one is due; of `ops` also forget what Delta keeps no longer."""
        made = [int(found[1]) for file in self._logged(name) if (found := _CHECKPOINT_FILE.fullmatch(file))]
        if self.version(name) - max(made, default=-1) < COMMITS_A_CHECKPOINT:
            return False
        stored = self._stored(name)
        stored.create_checkpoint()
        if declared(name).layer == "ops":
            stored.cleanup_metadata()
        return True

    def read_files(self, name: str, paths: Sequence[str]) -> DataFrame:
        """The rows of some of a table's files, whatever version they are of; files that are gone have none."""
        location = self.location(name)
        reader = self.spark.read.schema(declared(name).schema).option("basePath", location)
        return reader.option("ignoreMissingFiles", True).parquet(*[f"{location}/{path}" for path in paths])

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
        self.refuse_drift(table.name)
        return frame.select(*[column.name for column in table.all_columns])

    def _refuse_strangers(self, name: str) -> None:
        """Raise BadData where there are files at the place of a table that is not there: they are somebody's."""
        location = self.location(name)
        filesystem, path = open_filesystem(location)
        left = filesystem.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        if any(_COMMIT_FILE.fullmatch(info.base_name) for info in left):
            return
        if strange := [info.path for info in left if info.is_file and "/_delta_log/" not in info.path]:
            raise BadData(f"{location} holds files of no table, {strange[0]} for one. Move them away.")

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
        mend = " If an earlier version of smallcaps made it, run `smallcaps upgrade`; what that leaves so is to be made again."
        hint = mend if what == STORED else ""
        raise BadData(f"{table.name}: {what} is not as declared. {'; '.join(differences)}.{hint}")

    def _natively(self, name: str, run_id: str, write: Callable[[deltalake.DeltaTable], None]) -> Commit:
        """Have delta-rs do the write; where another writer was faster, again on what the table then is.

        delta-rs' own second try is off: it takes a commit of ours whose answer was lost for another's, and commits twice.
        """
        while True:
            stored = self._stored(name)
            self._refuse_drift(declared(name), self._stored_schema(stored), STORED)
            before = stored.version()
            try:
                write(stored)
            except (CommitFailedError, OSError) as error:
                if own := self._own_commit(name, before, run_id):
                    return own
                if isinstance(error, CommitFailedError) and self.version(name) > before:
                    continue
                raise
            return self._own_commit(name, before, run_id) or Commit(name, before, 0)

    def _committed(self, name: str, run_id: str, write: Callable[[], object], repeatable: bool = False) -> Commit:
        """Have Spark do the write; returns what it left. One that changes nothing makes no commit: no rows are its own.

        Where another writer changed what the write rests on, a `repeatable` one is done again, since it decides anew;
        of others FailedDependency is raised.
        """
        before = self.version(name)
        self.spark.conf.set(SIGNATURE, run_id)
        try:
            while True:
                try:
                    write()
                    break
                except CONFLICTS as error:
                    if not repeatable:
                        message = f"{name} was changed by another writer at the same time. Run again."
                        raise FailedDependency(message) from error
        finally:
            self.spark.conf.unset(SIGNATURE)
        return self._own_commit(name, before, run_id) or Commit(name, before, 0)

    def _actions(self, name: str, version: int) -> list[dict[str, Any]]:
        """What a commit did, as the table's log has it."""
        filesystem, path = open_filesystem(self.location(name))
        with filesystem.open_input_stream(f"{path}/_delta_log/{version:020}.json", compression=None) as stream:
            return [json.loads(line) for line in stream.read().splitlines()]

    def _own_commit(self, name: str, before: int, run_id: str) -> Commit | None:
        """What the run's last commit after version `before` says that it did; None where there is none."""
        for version in range(self.version(name), before, -1):
            said = next(action["commitInfo"] for action in self._actions(name, version) if "commitInfo" in action)
            if said.get("userMetadata") == run_id:
                return Commit(name, version, _rows_written(said["operationMetrics"]))
        return None

    @cached_property
    def raw(self) -> str:
        """Root of the raw zone."""
        return f"{self.root}/raw"
