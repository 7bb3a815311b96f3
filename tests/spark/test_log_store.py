"""The store of Delta's log is compiled once, and a session that would do without it on S3 is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import FailedDependency
from smallcaps.spark.jars import fetch_jars
from smallcaps.spark.log_store import LOG_STORE_SETTING, log_store_jar, require_log_store


@pytest.fixture
def cache(settings: Settings, tmp_path: Path) -> Path:
    """A cache that has the locked jars, but no log store."""
    (tmp_path / "jars").mkdir()
    for path in fetch_jars(settings.cache):
        (tmp_path / "jars" / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.slow
def test_the_store_is_compiled_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jar = log_store_jar(cache)
    assert jar.parent == cache / "jars"
    assert not [path for path in jar.parent.iterdir() if path.is_dir()]
    monkeypatch.setenv("PATH", "")  # It could not be compiled again.
    assert log_store_jar(cache) == jar


def test_a_store_that_cannot_be_compiled_is_told_in_a_sentence(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1k")
    with pytest.raises(
        FailedDependency, match=r"ConditionalLogStore.scala could not be compiled: Error occurred during init"
    ):
        log_store_jar(cache)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(FailedDependency, match="Java was not found"):
        log_store_jar(cache)
    assert not list((cache / "jars").glob("smallcaps-*"))


def test_a_session_of_ours_has_the_store(spark: SparkSession) -> None:
    require_log_store(spark)


@pytest.mark.slow
def test_a_session_that_would_lose_commits_on_s3_is_refused(tmp_path: Path) -> None:
    conf = {LOG_STORE_SETTING: "io.delta.storage.S3SingleDriverLogStore"}
    done = subprocess.run(
        [sys.executable, "-m", "smallcaps.cli.app", "tables"],
        env={**os.environ, "SMALLCAPS_LAKE": "s3a://lake/root", "SMALLCAPS_SPARK__CONF": json.dumps(conf)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "two writers on S3 would lose commits" in " ".join(done.stderr.split())
