"""A streaming query over topics. What it has done is told by what it wrote, so it has no checkpoint that has to be kept."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from smallcaps.config import KafkaSettings
from smallcaps.streaming.kafka import spark_options


@contextmanager
def streaming(
    spark: SparkSession,
    kafka: KafkaSettings,
    name: str,
    topics: Sequence[str],
    options: Mapping[str, str | int],
    trigger: str,
    step: Callable[[DataFrame, int], None],
) -> Iterator[StreamingQuery]:
    """The query, which gives micro-batches of Kafka's rows to `step` until the block ends or it fails.

    `options` are those of Spark's source, where to begin among them; `trigger` is `0 seconds` or longer.
    """
    stream = (
        spark.readStream.format("kafka")
        .options(**spark_options(kafka), **options)
        .option("subscribe", ",".join(f"{kafka.prefix}{topic}" for topic in topics))
        .option("failOnDataLoss", "false")
        .load()
    )
    # Spark calls from a thread of its own: what is said there belongs to the run, too.
    context = copy_context()
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as scratch:
        query = (
            stream.writeStream.queryName(name)
            .option("checkpointLocation", scratch)
            .trigger(processingTime=trigger)
            .foreachBatch(lambda batch, number: context.run(step, batch, number))
            .start()
        )
        try:
            yield query
        finally:
            query.stop()
