"""A session that cannot start says why, in a process of its own since one process has one session."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


def test_a_busy_port_is_told_with_what_to_do(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        conf = {"spark.driver.port": str(taken.getsockname()[1]), "spark.port.maxRetries": "0"}
        done = subprocess.run(
            [sys.executable, "-m", "smallcaps.cli.app", "tables"],
            env={**os.environ, "SMALLCAPS_LAKE": str(tmp_path), "SMALLCAPS_SPARK__CONF": json.dumps(conf)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 4, done.stderr
    assert "Free the port" in " ".join(done.stderr.split())
    assert "at org.apache" not in done.stderr
    assert done.stdout == ""


def test_java_compiles_the_long_methods_that_spark_makes_of_wide_selects(spark: SparkSession) -> None:
    java = spark._jvm.java.lang
    bean = java.Class.forName("com.sun.management.HotSpotDiagnosticMXBean")
    option = java.management.ManagementFactory.getPlatformMXBean(bean).getVMOption("DontCompileHugeMethods")
    assert option.getValue() == "false"
