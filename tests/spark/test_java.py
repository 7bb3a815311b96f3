"""Which Java is found and what is said where there is none. The Javas here are scripts that answer as real ones do."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from smallcaps.errors import FailedDependency
from smallcaps.spark.java import java_version, require_java

ANSWERS = {
    'openjdk version "17.0.17" 2025-10-21': 17,
    'openjdk version "21" 2023-09-19': 21,
    'java version "1.8.0_292"': 8,
    'openjdk version "11.0.2" 2019-01-15': 11,
}


def java_that_says(folder: Path, answer: str) -> Path:
    """A JAVA_HOME whose java prints `answer` on stderr, as java does."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{answer}' >&2\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(("answer", "version"), ANSWERS.items())
def test_the_major_version_is_read_from_javas_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, version: int
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_that_says(tmp_path, answer)))
    assert java_version() == version


@pytest.mark.parametrize("answer", [answer for answer, version in ANSWERS.items() if version < 17])
def test_a_java_that_is_too_old_is_refused_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_that_says(tmp_path, answer)))
    with pytest.raises(FailedDependency, match=rf"JAVA_HOME points to Java {ANSWERS[answer]}; .* needs Java 17"):
        require_java()


def test_something_that_is_no_java_counts_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(java_that_says(tmp_path, "command not understood")))
    assert java_version() is None
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    assert java_version() is None


@pytest.mark.parametrize("command", ["doctor", "manifest"])
def test_without_java_a_command_says_what_to_install(tmp_path: Path, command: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [sys.executable, "-m", "smallcaps.cli.app", command],
        env={**environment, "PATH": str(tmp_path), "SMALLCAPS_LAKE": str(tmp_path / "lake")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4
    said = " ".join((done.stdout + done.stderr).split())
    assert "Install Java 17" in said
    assert "Traceback" not in said
