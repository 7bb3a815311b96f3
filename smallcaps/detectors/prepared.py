"""A plan that is made once and run over other rows each time: for pieces of a tape, which take less time than planning does.

What changes lies in files that the plan reads anew whenever it runs. Spark keeps what has gone through an exchange for the plan's
next run, so there must be none above these files: a slice of the rows is one partition.
"""

import tempfile
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import reduce
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from smallcaps.config import Settings
from smallcaps.lake.files import open_filesystem
from smallcaps.spark.session import runs_here

CONF = {
    # Adaptive plans keep their stages, too.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    # One partition is meant, whatever Spark guesses that it holds.
    "spark.sql.maxSinglePartitionBytes": "9223372036854775807",
}
_BATCH_ROWS = 10_000
_READS = "MapInArrow"


class Prepared:
    """`plan` of frames in columns of `schemas`, one for each slice of the rows; slices are computed at once.

    `plan` may look at other frames, as they are at the first run, and must be of one partition where those that it is given are.
    Raises ValueError where it has an exchange above these.
    """

    def __init__(
        self,
        spark: SparkSession,
        settings: Settings,
        schemas: Sequence[StructType],
        plan: Callable[..., DataFrame],
        slices: int,
    ) -> None:
        session = spark.newSession()
        for key, value in CONF.items():
            session.conf.set(key, value)
        # Where tasks run elsewhere they read what lies in the lake.
        folder = tempfile.mkdtemp() if runs_here(settings) else f"{settings.lake}/_prepared/{uuid.uuid4().hex}"
        self._files, self._folder = open_filesystem(folder)
        self._files.create_dir(self._folder)
        weakref.finalize(self, self._files.delete_dir, self._folder)
        self._schemas = [to_arrow_schema(schema) for schema in schemas]
        parts = []
        for number in range(slices):
            places = [f"{folder}/{number}-{place}" for place in range(len(schemas))]
            given = [
                session.range(0, 1, 1, 1).mapInArrow(_reading(place), schema)
                for place, schema in zip(places, schemas, strict=True)
            ]
            parts.append(plan(*given))
        self.slices = slices
        self._frame = reduce(DataFrame.unionAll, parts)
        _changes(self._frame._jdf.queryExecution().executedPlan())

    def run(self, slices: Sequence[Sequence[pa.Table]]) -> pa.Table:
        """The plan's rows, of the tables of each slice in the order of the schemas."""
        for number, tables in enumerate(slices):
            for place, (table, schema) in enumerate(zip(tables, self._schemas, strict=True)):
                file = self._files.open_output_stream(f"{self._folder}/{number}-{place}")
                with file, pa.ipc.new_file(file, schema) as writer:
                    writer.write_table(table.select(schema.names).cast(schema))
        return self._frame.toArrow()


def _reading(location: str) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What gives the rows that lie there now."""

    def rows(given: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        files, place = open_filesystem(location)
        # What is given is one row, which says nothing; a worker that has not read all is not used again.
        for _ in given:
            with files.open_input_file(place) as file:
                yield from pa.ipc.open_file(file).read_all().to_batches(max_chunksize=_BATCH_ROWS)

    return rows


def _changes(plan: Any) -> bool:
    """Whether what a step of Spark's plan gives changes from run to run. Raises ValueError for an exchange of that."""
    children = plan.children()
    below = [_changes(children.apply(place)) for place in range(children.size())]
    if any(below) and "Exchange" in plan.nodeName():
        raise ValueError(f"{plan.nodeName()} would keep the first run's rows: the plan is of more than one partition.")
    return any(below) or plan.nodeName() == _READS
