"""What most commands do with Spark, in small, so that Java can record the classes: python -m smallcaps.spark.rehearsal FOLDER"""

import sys
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from pyspark.sql import SparkSession

from smallcaps.config import load_settings
from smallcaps.spark.session import open_session


def rehearse(session: SparkSession, folder: str) -> None:
    """Make a Delta table by way of Python, replace a part of it, and ask a windowed question of it."""

    def same(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        yield from batches

    rows = session.range(20).selectExpr(
        "id % 2 AS part", "id", "cast(id AS string) AS name", "date_add(DATE'2024-01-02', cast(id AS int)) AS day"
    )
    rows = rows.mapInArrow(same, rows.schema)
    rows.write.format("delta").partitionBy("part").save(folder)
    rows.where("part = 1").write.format("delta").mode("overwrite").option("replaceWhere", "part = 1").save(folder)
    session.read.format("delta").load(folder).createOrReplaceTempView("rehearsed")
    session.sql("""
        SELECT day, count(*), sum(before) FROM (
            SELECT day, lag(id) OVER (PARTITION BY part ORDER BY id) AS before
            FROM rehearsed JOIN (SELECT DISTINCT id FROM rehearsed) USING (id)
        ) GROUP BY day ORDER BY day
    """).collect()


if __name__ == "__main__":
    spark = open_session(load_settings(), "rehearsal")
    rehearse(spark, sys.argv[1])
    spark.stop()
    gateway: Any = spark.sparkContext._gateway
    gateway.proc.stdin.close()  # Java ends, and records, when its input does
    sys.exit(gateway.proc.wait())
