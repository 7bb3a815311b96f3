"""Spark's own servers, as processes on the loopback whose pages are for whoever has a token.

A folder holds what belongs to one: `conf/` is Spark's configuration (SPARK_CONF_DIR), readable by this user alone, `logs/` what
its processes say.
"""

import os
import secrets
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyspark

from smallcaps.ports import HOST
from smallcaps.spark.scala import compiled

STOP_SECONDS = 20.0
MEMORY = "512m"
PATTERN = "%d{yyyy-MM-dd HH:mm:ss.SSS} %-5p %c{1}: %m%n%ex"
QUIET = f"""rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = {PATTERN}
"""
"""log4j's: what goes wrong, on stderr."""


def configure(folder: Path, cache: Path, properties: Mapping[str, str], jars: Sequence[Path] = ()) -> str:
    """Write `folder`/conf, whose servers have `jars` beside Spark's own; returns the token of their pages."""
    token = secrets.token_urlsafe(24)
    pages = compiled("TokenFilter", cache)
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True, mode=0o700)
    common = {
        "spark.ui.filters": "smallcaps.TokenFilter",
        "spark.smallcaps.TokenFilter.param.token": token,
        "spark.driver.extraClassPath": str(pages),
    }
    defaults = conf / "spark-defaults.conf"
    defaults.touch(mode=0o600)
    defaults.write_text("".join(f"{key} {value}\n" for key, value in {**common, **properties}.items()))
    (conf / "log4j2.properties").write_text(QUIET)
    paths = os.pathsep.join(map(str, [pages, *jars]))
    (conf / "spark-env.sh").write_text(
        f"SPARK_LOCAL_IP={HOST}\nSPARK_NO_DAEMONIZE=1\nSPARK_DAEMON_MEMORY={MEMORY}\nSPARK_DAEMON_CLASSPATH='{paths}'\n"
        # Where a port is taken the server ends, and does not take the next.
        "SPARK_DAEMON_JAVA_OPTS=-Dspark.port.maxRetries=0\n"
    )
    return token


def start(folder: Path, main: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start a server that `configure` has been called for; `main` is its class below org.apache.spark.deploy."""
    spark = Path(pyspark.__file__).parent
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    with (logs / f"{main.rpartition('.')[2].lower()}.log").open("ab") as log:
        return subprocess.Popen(
            [spark / "bin" / "spark-class", f"org.apache.spark.deploy.{main}", *arguments],
            env={**os.environ, "SPARK_HOME": str(spark), "SPARK_CONF_DIR": str(folder / "conf")},
            stdout=log,
            stderr=log,
            # A Ctrl-C at the terminal is for the command that runs the server, which then stops it.
            start_new_session=True,
        )


def stop(processes: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Have them end in order."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
