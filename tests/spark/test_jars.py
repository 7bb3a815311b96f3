"""The pinned jars: what the lock names is fetched by Ivy, checked, and refused if it is another."""

import re
from pathlib import Path

import pytest

from smallcaps.config import Settings
from smallcaps.errors import BadData, FailedDependency
from smallcaps.spark.jars import Jar, fetch_jars, locked_jars

NO_NETWORK = " ".join(
    f"-D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort=9 -D{scheme}.nonProxyHosts=" for scheme in ("http", "https")
)
"""Sends Ivy to a port where nobody listens."""


def test_the_lock_names_every_jar_once_with_a_checksum() -> None:
    jars = locked_jars()
    names = [jar.file_name for jar in jars]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert {"delta-spark_2.13", "hadoop-aws"} <= {re.sub(r"_4\.\d(?=_)", "", jar.artifact) for jar in jars}


def test_jars_that_are_there_are_not_fetched_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    before = fetch_jars(settings.cache)
    monkeypatch.setenv("PATH", "")  # Ivy could not be started.
    assert fetch_jars(settings.cache) == before
    assert all(path.is_file() for path in before)


def test_a_missing_jar_comes_back_through_ivy_as_locked(settings: Settings, tmp_path: Path) -> None:
    """Ivy's own cache is used, so this needs no network where the jars were ever fetched."""
    cache = tmp_path / "cache"
    (cache / "jars").mkdir(parents=True)
    (cache / "ivy").symlink_to(settings.cache / "ivy")
    here = {path.name: path for path in fetch_jars(settings.cache)}
    missing = min(locked_jars(), key=lambda jar: here[jar.file_name].stat().st_size)
    for name, path in here.items():
        if name != missing.file_name:
            (cache / "jars" / name).symlink_to(path)
    fetch_jars(cache)
    assert (cache / "jars" / missing.file_name).read_bytes() == here[missing.file_name].read_bytes()


def test_without_a_network_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", NO_NETWORK)
    with pytest.raises(FailedDependency, match="Check the network and run again"):
        fetch_jars(tmp_path)
    assert not list((tmp_path / "jars").glob("*.jar"))


def test_a_jar_that_is_not_the_one_locked_is_refused(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch_jars(settings.cache)
    real = min(locked_jars(), key=lambda jar: (settings.cache / "jars" / jar.file_name).stat().st_size)
    (tmp_path / "ivy").symlink_to(settings.cache / "ivy")
    other = Jar(real.group, real.artifact, real.version, "0" * 64)
    monkeypatch.setattr("smallcaps.spark.jars.locked_jars", lambda _: [other])
    with pytest.raises(BadData, match=f"{real.file_name} is not the one locked"):
        fetch_jars(tmp_path)
    assert not (tmp_path / "jars" / real.file_name).exists()
