"""Sound rows of a judged frame as files of their table, refused ones as rows of ops.quarantine, in one pass.

To cache the frame, so that its rows are counted and judged before they are written, costs more than to write them. So they
are written first; once they have been judged as a whole a commit names the files, or they are deleted.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.lake.datafiles import DataFile, DataFileWriter, file_schema
from smallcaps.lake.declaration import Table
from smallcaps.lake.quality import RULE, quarantined

FILE, REFUSED = "file", "refused"


def with_refusals(
    judged: DataFrame, table: Table, reasons: Mapping[str, str], conditions: Sequence[str] = ()
) -> DataFrame:
    """The columns of a table, and what a refused row is in quarantine as REFUSED, null for sound rows.

    A sound row for which one of `conditions` is not true makes Spark fail.
    """
    verdict = F.when(F.col(RULE).isNotNull(), F.struct(*quarantined(judged, table.name, dict(reasons))))
    for condition in conditions:
        told = F.lit(f"{table.name}: a sound row does not meet {condition}")
        verdict = verdict.when(~F.coalesce(F.expr(condition), F.lit(False)), F.raise_error(told))
    return judged.select(*[column.name for column in table.columns], verdict.alias(REFUSED))


def written(rows: DataFrame, table: Table, location: str) -> DataFrame:
    """Write the sound rows of a table under its folder; a row for each file (FILE, of which `told` makes a DataFile) and
    for each refused row (REFUSED). To be computed once: each time writes other files.

    `rows` has the table's columns and REFUSED; of a table by day each partition is in order of the days.
    """
    refused = rows.schema[REFUSED].dataType.simpleString()
    writer = _writer(location, file_schema(table), table.partition_by)
    return rows.mapInArrow(writer, f"{FILE} string, {REFUSED} {refused}")


def told(file: str) -> DataFile:
    """A file that was written."""
    return DataFile(**json.loads(file))


def _writer(
    location: str, schema: pa.Schema, partition_by: Sequence[str]
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def write(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        kind = None
        with ExitStack() as stack:
            writers: dict[Any, DataFileWriter] = {}
            for batch in batches:
                verdicts = batch.column(REFUSED)
                kind = verdicts.type
                lost = verdicts.drop_null()
                if len(lost):
                    yield pa.RecordBatch.from_arrays([pa.nulls(len(lost), pa.string()), lost], [FILE, REFUSED])
                sound = batch.filter(verdicts.is_null()) if len(lost) else batch
                for part, rows in _parts(sound, partition_by):
                    if part not in writers:
                        # The days before are over.
                        stack.close()
                        partition = {name: str(value) for name, value in zip(partition_by, part, strict=True)}
                        writers[part] = stack.enter_context(DataFileWriter(location, schema, partition))
                    of_file = pa.RecordBatch.from_arrays([rows.column(name) for name in schema.names], schema=schema)
                    writers[part].write(of_file)
        files = [file for writer in writers.values() for file in writer.files]
        if kind is not None:
            names = pa.array([json.dumps(asdict(file)) for file in files], pa.string())
            yield pa.RecordBatch.from_arrays([names, pa.nulls(len(files), kind)], [FILE, REFUSED])

    return write


def _parts(rows: pa.RecordBatch, partition_by: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pa.RecordBatch]]:
    """The rows of each partition, which is named by its values; a table without partitions is one."""
    if not partition_by:
        yield (), rows
        return
    (day,) = (rows.column(name) for name in partition_by)
    for value in pc.unique(day).to_pylist():
        yield (value,), rows.filter(pc.equal(day, pa.scalar(value)))
