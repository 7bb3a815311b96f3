"""How many rows go to Python at once."""

from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from smallcaps.spark import batches_of


def most_at_once(spark: SparkSession) -> int:
    """Of 100 rows of 1,000 bytes each."""

    def count(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield pa.RecordBatch.from_pydict({"rows": [batch.num_rows]})

    rows = spark.range(0, 100, 1, 1).selectExpr("repeat('x', 1000) AS text")
    return max(row.rows for row in rows.mapInArrow(count, "rows bigint").collect())


def test_rows_go_to_python_in_few_batches_but_where_they_may_be_large(spark: SparkSession) -> None:
    assert most_at_once(spark) == 100
    with batches_of(spark, 20_000):
        assert 15 <= most_at_once(spark) <= 25
    assert most_at_once(spark) == 100
