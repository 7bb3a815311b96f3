"""Spark's classes, mapped by Java from one file instead of read and checked again at each start (class-data sharing).

An archive holds for the Java that wrote it and for one installation's class path. It lies within the installation, which has one.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyspark

from smallcaps.errors import FailedDependency
from smallcaps.spark.java import java_build

RECORD_TIMEOUT_SECONDS = 300


def class_archive() -> Path:
    """Where the archive for this installation's Spark and for the Java that is found would be."""
    digest = hashlib.sha256(f"{java_build()} {pyspark.__version__} {pyspark.__file__}".encode()).hexdigest()
    return Path(sys.prefix) / "share" / "smallcaps" / f"spark-classes-{digest[:12]}.jsa"


def record_class_archive() -> None:
    """Rehearse a session and keep the classes that it loaded, unless they are kept already.

    Raises FailedDependency where that does not work: Spark starts without an archive too, only slower.
    """
    archive = class_archive()
    if archive.is_file():
        return
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
            made = Path(scratch) / archive.name
            subprocess.run(
                [sys.executable, "-m", "smallcaps.spark.rehearsal", str(Path(scratch) / "table")],
                env={
                    **os.environ,
                    "SPARK_SUBMIT_OPTS": f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} -XX:ArchiveClassesAtExit={made}",
                },
                capture_output=True,
                text=True,
                timeout=RECORD_TIMEOUT_SECONDS,
                check=True,
            )
            for outdated in archive.parent.glob("*.jsa"):
                outdated.unlink()
            made.replace(archive)
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip().splitlines()[-1:]
        raise FailedDependency(f"Spark's classes were not recorded, so it starts slower: {' '.join(said)}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise FailedDependency(f"Spark's classes were not recorded, so it starts slower: {error}") from error
