"""Which Java Spark would start with."""

import functools
import os
import re
import subprocess
from pathlib import Path

from smallcaps.errors import FailedDependency

OLDEST, NEWEST_TRIED = 17, 21


def java_build() -> str:
    """What the Java that Spark uses (JAVA_HOME, else PATH) says of itself; empty where there is none."""
    home = os.environ.get("JAVA_HOME")
    return _said(str(Path(home) / "bin" / "java") if home else "java")


@functools.cache
def _said(command: str) -> str:
    """Asked once a process, since asking starts a Java."""
    try:
        answer = subprocess.run([command, "-version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return ""
    return answer.stderr + answer.stdout


def java_version() -> int | None:
    """Major version of the Java that Spark uses; None where there is none."""
    found = re.search(r'version "(\d+)(?:\.(\d+))?', java_build())
    if found is None:
        return None
    return int(found[2]) if found[1] == "1" and found[2] else int(found[1])


def require_java() -> None:
    """Raises FailedDependency, saying what to do, where Java is missing or too old."""
    version = java_version()
    where = "JAVA_HOME points to" if os.environ.get("JAVA_HOME") else "PATH finds"
    if version is None:
        raise FailedDependency(
            "Java was not found. Install Java 17 (Debian: apt-get install openjdk-17-jre-headless) and put it on PATH, "
            "or set JAVA_HOME to it."
        )
    if version < OLDEST:
        raise FailedDependency(
            f"{where} Java {version}; Spark 4.1 needs Java 17 or 21. Install it or set JAVA_HOME to it."
        )
