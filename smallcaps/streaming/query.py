"""A streaming query over topics. What it has done is told by what it wrote, so it has no checkpoint that has to be kept."""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import copy_context

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.streaming.query import StreamingQuery

from smallcaps.config import KafkaSettings
from smallcaps.spark.session import setting
from smallcaps.streaming.kafka import spark_options


def messages_of(
    spark: SparkSession, kafka: KafkaSettings, topics: Sequence[str], options: Mapping[str, str | int]
) -> DataFrame:
    """Kafka's rows of topics as they come; `options` are those of Spark's source, where to begin among them."""
    return (
        spark.readStream.format("kafka")
        .options(**spark_options(kafka), **options)
        .option("subscribe", ",".join(f"{kafka.prefix}{topic}" for topic in topics))
        .option("failOnDataLoss", "false")
        .load()
    )


@contextmanager
def streaming(
    stream: DataFrame, name: str, trigger: str, step: Callable[[DataFrame, int], None]
) -> Iterator[StreamingQuery]:
    """The query, which gives micro-batches of `stream` to `step` until the block ends or it fails; `trigger` is `0 seconds` or
    longer.
    """
    # Spark calls from a thread of its own: what is said there belongs to the run, too.
    context = copy_context()
    writer = stream.writeStream.queryName(name).trigger(processingTime=trigger)
    writer = writer.foreachBatch(lambda batch, number: context.run(step, batch, number))
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as scratch:
        # A query keeps the settings that it starts with: here Spark does not look for what columns have in common, which of a
        # verdict, a rule of many conditions over many columns, with a join above it takes minutes.
        with setting(stream.sparkSession, "spark.sql.constraintPropagation.enabled", "false"):
            query = writer.option("checkpointLocation", scratch).start()
        try:
            yield query
        finally:
            query.stop()
