"""The store of Delta's log for lakes on S3: commits by conditional PUT, so that drivers exclude each other (docs/adr/0009)."""

from pathlib import Path
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from smallcaps.errors import FailedDependency
from smallcaps.spark.scala import compiled

LOG_STORE = "smallcaps.ConditionalLogStore"
LOG_STORE_SETTING = "spark.delta.logStore.s3a.impl"


def log_store_jar(cache: Path) -> Path:
    """Path of the store's jar under `cache`/jars, compiled first where it is missing.

    Raises FailedDependency where that does not work.
    """
    return compiled("ConditionalLogStore", cache, ["delta-storage"])


def require_log_store(session: SparkSession) -> None:
    """Raises FailedDependency where the session would write to S3 without the store: commits could be lost."""
    chosen = session.sparkContext.getConf().get(LOG_STORE_SETTING)
    if chosen != LOG_STORE:
        raise FailedDependency(
            f"This Spark session was started with {LOG_STORE_SETTING} = {chosen}: two writers on S3 would lose commits. "
            f"Start it with {LOG_STORE}, or let smallcaps start it."
        )
    jvm: Any = session.sparkContext._jvm
    try:
        jvm.org.apache.spark.util.Utils.classForName(LOG_STORE, True, False)
    except Py4JJavaError as error:
        raise FailedDependency(
            f'{LOG_STORE} is not on Spark\'s class path: spark-submit with --jars "$(smallcaps jars)".'
        ) from error
