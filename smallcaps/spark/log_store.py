"""The store of Delta's log for lakes on S3: commits by conditional PUT, so that drivers exclude each other (docs/adr/0009).

It is `ConditionalLogStore.scala`, compiled once into the cache by the Scala compiler that pyspark brings: Java's runtime
is enough, and there is no binary in the repository.
"""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pyspark
from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from smallcaps.errors import FailedDependency
from smallcaps.spark.jars import fetch_jars

LOG_STORE = "smallcaps.ConditionalLogStore"
LOG_STORE_SETTING = "spark.delta.logStore.s3a.impl"
COMPILE_TIMEOUT_SECONDS = 300


def log_store_jar(cache: Path) -> Path:
    """Path of the store's jar under `cache`/jars, compiled first where it is missing.

    Raises FailedDependency where that does not work.
    """
    source = Path(__file__).with_name("ConditionalLogStore.scala")
    [storage] = fetch_jars(cache, ["delta-storage"])
    digest = hashlib.sha256(source.read_bytes() + storage.name.encode()).hexdigest()
    jar = storage.with_name(f"smallcaps-log-store-{digest[:12]}.jar")
    if not jar.is_file():
        with tempfile.TemporaryDirectory(dir=jar.parent) as scratch:
            made = Path(scratch) / jar.name
            _compile(source, storage, made)
            made.replace(jar)
    return jar


def _compile(source: Path, storage: Path, target: Path) -> None:
    path = os.pathsep.join([str(storage), str(Path(pyspark.__file__).parent / "jars" / "*")])
    command = ["java", "-cp", path, "scala.tools.nsc.Main", "-usejavacp", "-nowarn", "-d", str(target), str(source)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_SECONDS, check=False)
    except FileNotFoundError as error:
        raise FailedDependency("Java was not found. Install Java 17 and put it on PATH, or set JAVA_HOME.") from error
    except subprocess.TimeoutExpired as error:
        raise FailedDependency(f"Compiling {source.name} took over {COMPILE_TIMEOUT_SECONDS} s. Run again.") from error
    if done.returncode:
        reason = (done.stdout or done.stderr).strip().splitlines()[:1]
        raise FailedDependency(f"{source.name} could not be compiled: {' '.join(reason)} Run `smallcaps doctor`.")


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
