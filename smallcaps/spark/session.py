"""The Spark session: one place where every setting is given and explained."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from smallcaps.config import Settings, configuration_folder, s3_endpoint, s3_region
from smallcaps.errors import FailedDependency
from smallcaps.spark.class_archive import class_archive
from smallcaps.spark.jars import fetch_jars
from smallcaps.spark.java import require_java
from smallcaps.spark.log_store import LOG_STORE, LOG_STORE_SETTING, log_store_jar, require_log_store

COMPILE_ALL = "-XX:-DontCompileHugeMethods"
"""Java interprets a method of over 8,000 bytes for ever unless told to compile it; Spark makes such methods of wide selects."""
FIRST_COMPILER_ALONE = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m"
"""For a Java that lives for a minute: the second compiler costs it more than it gains. Of itself the first alone has so small a
cache that it throws away what it needs again."""
LATE_SECOND_COMPILER = " ".join(
    f"-XX:Tier4{name}Threshold={calls}"
    for name, calls in {"Invocation": 50_000, "MinInvocation": 6_000, "Compile": 150_000, "BackEdge": 400_000}.items()
)
"""Java optimises a method at the tenfold of its own choice of calls: on a few cores its second compiler, which takes a third of a
short job's processor time, stands in the way of the work for which it compiles."""
ARROW_BYTES, UNCOUNTED = "spark.sql.execution.arrow.maxBytesPerBatch", (1 << 31) - 1


def open_session(settings: Settings, application: str = "smallcaps") -> SparkSession:
    """The running session, or a new one as `settings` say.

    Raises FailedDependency, saying what to do, where Java is missing, jars cannot be had or Spark does not start.
    """
    require_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    log_file = settings.cache / "logs" / "spark.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    logging = configuration_folder() / "log4j2.properties"
    java = f"{COMPILE_ALL} -Dsmallcaps.log={log_file} -Dlog4j2.configurationFile=file:{logging}"
    options: dict[str, str | int | bool] = {
        # Delta as the catalog, so that SQL sees the lake's tables by name.
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.warehouse.dir": str(settings.cache / "warehouse"),
        # Instants are UTC everywhere; New York time is a label that the calendar gives.
        "spark.sql.session.timeZone": "UTC",
        # Overflow and bad casts raise instead of turning into nulls.
        "spark.sql.ansi.enabled": True,
        "spark.sql.shuffle.partitions": settings.spark.shuffle_partitions,
        # Writers on S3 exclude each other; Delta's own store there loses commits. delta-rs' side is `lake.files`.
        LOG_STORE_SETTING: LOG_STORE,
        # A small table's log is not worth Delta's default of 50 tasks.
        "spark.databricks.delta.snapshotPartitions": 2,
        # Upkeep puts files of less than the one size together, to no more than the other.
        "spark.databricks.delta.optimize.minFileSize": 128 << 20,
        "spark.databricks.delta.optimize.maxFileSize": 256 << 20,
        # What the web pages, which nobody sees, would tell of jobs and queries that have ended.
        "spark.sql.ui.retainedExecutions": 20,
        "spark.ui.retainedJobs": 100,
        "spark.ui.retainedStages": 100,
        "spark.ui.retainedTasks": 1000,
        # A persisted plan with it fails when written to Delta ("dynamicpruning has not finished"); our queries name their days.
        "spark.sql.optimizer.dynamicPartitionPruning.enabled": False,
        "spark.sql.execution.arrow.pyspark.enabled": True,
        # Larger tables of Python's stay Arrow until they are looked at: in a plan they are objects of a kilobyte a row, copied as
        # it is optimised.
        "spark.sql.execution.arrow.localRelationThreshold": "2MB",
        "spark.python.daemon.module": "smallcaps.python_workers",
        # Rows go to Python by the 10,000, whatever their size: to count bytes row by row takes longer than to hand them over.
        ARROW_BYTES: UNCOUNTED,
        "spark.ui.enabled": False,
        "spark.ui.showConsoleProgress": False,
        "spark.driver.memory": settings.spark.driver_memory,
        # A wide statement is some 30 generated classes. Spark keeps 100 by its own choice; what has left the cache is generated,
        # compiled and warmed up anew.
        "spark.sql.codegen.cache.maxEntries": 1000,
        "spark.driver.extraJavaOptions": java,
        "spark.executor.extraJavaOptions": COMPILE_ALL,
    }
    builder = SparkSession.builder.appName(application)
    if settings.spark.master is not None:
        builder = builder.master(settings.spark.master)
    if runs_here(settings):
        # Both are needed: the driver alone on the loopback breaks the serving of jars.
        options |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
        # Two cores gain more from a collector that costs little than from short pauses.
        java += f" -XX:+UseParallelGC {LATE_SECOND_COMPILER}"
        if (archive := class_archive()).is_file():
            # Where the class path is another one Java reads the classes as ever, and need not say so on stdout.
            java += f" -XX:SharedArchiveFile={archive} -Xlog:cds*=off:stdout"
        options["spark.driver.extraJavaOptions"] = java
    options |= s3_options()
    if settings.spark.events is not None:
        options |= {"spark.eventLog.enabled": True, "spark.eventLog.dir": event_logs(settings.spark.events)}
    if settings.spark.jars:
        options["spark.jars"] = ",".join(map(str, session_jars(settings)))
    for key, value in (options | settings.spark.conf).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except (PySparkRuntimeError, Py4JJavaError) as error:
        if "BindException" in str(error):
            raise FailedDependency(
                "Spark could not bind its port on 127.0.0.1: another program has it. Free the port, or leave "
                "spark.driver.port out of the settings so that Spark finds one."
            ) from error
        raise FailedDependency(f"Spark did not start. Run `smallcaps doctor`; the log is {log_file}.") from error
    if settings.lake.startswith("s3a://"):
        require_log_store(session)
    return session


@contextmanager
def setting(spark: SparkSession, key: str, value: str | int) -> Iterator[None]:
    """Within, the session has this value of a setting that it has already."""
    before = str(spark.conf.get(key))
    spark.conf.set(key, value)
    try:
        yield
    finally:
        spark.conf.set(key, before)


@contextmanager
def batches_of(spark: SparkSession, most_bytes: int) -> Iterator[None]:
    """Within, rows go to Python in batches of about so many bytes at most: for rows that may be large."""
    with setting(spark, ARROW_BYTES, most_bytes):
        yield


def s3_options() -> dict[str, str]:
    """What Spark is told of an S3 server other than Amazon's, with buckets in the path; pyarrow's side is `lake.files`."""
    if (endpoint := s3_endpoint()) is None:
        return {}
    return {
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": s3_region(),
        "spark.hadoop.fs.s3a.path.style.access": "true",
    }


def event_logs(place: str) -> str:
    """Where event logs lie, as Spark wants it: a folder is made and becomes a URL, a place on S3 has to be there."""
    if "://" in place:
        return place
    Path(place).mkdir(parents=True, exist_ok=True)
    return Path(place).resolve().as_uri()


def runs_here(settings: Settings) -> bool:
    """Whether the session's Java is started by this process, on this machine alone."""
    return settings.spark.master is not None and settings.spark.master.startswith("local")


def session_jars(settings: Settings) -> list[Path]:
    """What the session needs beside Spark: the store of Delta's log, and what the cluster does not bring."""
    return [*(fetch_jars(settings.cache) if settings.spark.jars else []), log_store_jar(settings.cache)]
