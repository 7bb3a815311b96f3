"""Java maps Spark's classes from the archive of this installation; another Java or installation has another one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smallcaps.errors import FailedDependency
from smallcaps.spark import class_archive as module
from smallcaps.spark.class_archive import class_archive, record_class_archive
from tests.spark.test_java import java_that_says

pytestmark = pytest.mark.slow

STARTED = """
from smallcaps.config import load_settings
from smallcaps.spark import open_session
open_session(load_settings(), "test").range(3).collect()
"""


def test_a_session_takes_spark_from_the_archive(tmp_path: Path) -> None:
    record_class_archive()  # There is one, unless the set-up was left out.
    archive = class_archive()
    written = archive.stat().st_mtime_ns
    record_class_archive()
    assert archive.stat().st_mtime_ns == written

    classes = tmp_path / "classes.log"
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        env={**os.environ, "SPARK_SUBMIT_OPTS": f"-Xlog:class+load:file={classes}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "hared" not in done.stderr
    [session] = [line for line in classes.read_text().splitlines() if " org.apache.spark.SparkContext " in line]
    assert session.endswith("source: shared objects file (top)")


def test_a_class_path_that_is_another_one_is_no_matter_for_words(tmp_path: Path) -> None:
    record_class_archive()
    (tmp_path / "spark-defaults.conf").write_text("spark.app.name other\n")
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        env={**os.environ, "SPARK_CONF_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == ""


def test_another_java_has_an_archive_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = class_archive()
    monkeypatch.setenv("JAVA_HOME", str(java_that_says(tmp_path, 'openjdk version "21" 2023-09-19')))
    assert class_archive() != here


def test_a_recording_that_fails_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(module, "RECORD_TIMEOUT_SECONDS", 0.1)
    with pytest.raises(FailedDependency, match="starts slower"):
        record_class_archive()
    assert list(class_archive().parent.iterdir()) == []
