"""The pinned jars, fetched once into the cache by the Ivy that pyspark brings. No Maven, no resolution at run time.

A lock file is flat: every jar is named with its version and SHA-256, so Ivy is asked for no dependencies and no POMs, and what
arrives is checked. `conf/jars.lock` holds the session's, `conf/broker-jars.lock` those of a Kafka broker.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pyspark

from smallcaps.config import configuration_folder
from smallcaps.errors import BadData, FailedDependency

FETCH_TIMEOUT_SECONDS = 600
SESSION, BROKER = "jars.lock", "broker-jars.lock"


@dataclass(frozen=True)
class Jar:
    """One line of the lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The jar's name in the cache."""
        return f"{self.artifact}-{self.version}.jar"


def locked_jars(lock: str = SESSION) -> list[Jar]:
    """Every jar of a lock file in `conf/`."""
    jars = []
    for line in (configuration_folder() / lock).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinate, sha256 = line.split()
            group, artifact, version = coordinate.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return jars


def fetch_jars(cache: Path, artifacts: Collection[str] | None = None, lock: str = SESSION) -> list[Path]:
    """Paths of the locked jars (only of `artifacts`, if given) under `cache`/jars, fetched first where they are missing.

    Raises FailedDependency where the registry cannot be reached, BadData where a jar is not the one locked.
    """
    folder = cache / "jars"
    jars = [jar for jar in locked_jars(lock) if artifacts is None or jar.artifact in artifacts]
    if missing := [jar for jar in jars if not (folder / jar.file_name).is_file()]:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            _retrieve(missing, cache / "ivy", Path(scratch))
            for jar in missing:
                arrived = Path(scratch) / jar.file_name
                _verify(jar, arrived)
                shutil.move(arrived, folder / jar.file_name)
    return [folder / jar.file_name for jar in jars]


def _verify(jar: Jar, arrived: Path) -> None:
    if not arrived.is_file():
        raise FailedDependency(f"The jar {jar.file_name} could not be fetched. Check the network and run again.")
    found = hashlib.sha256(arrived.read_bytes()).hexdigest()
    if found != jar.sha256:
        raise BadData(f"The jar {jar.file_name} is not the one locked: SHA-256 {found}, expected {jar.sha256}.")


def _retrieve(jars: list[Jar], ivy_home: Path, target: Path) -> None:
    """Run Ivy for exactly `jars`; what could not be had is found missing afterwards."""
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.group)} name={quoteattr(jar.artifact)} rev={quoteattr(jar.version)}"
        ' transitive="false" conf="default"/>'
        for jar in jars
    )
    (target / "ivysettings.xml").write_text(
        f"<ivysettings><caches defaultCacheDir={quoteattr(str(ivy_home))}/>"
        '<settings defaultResolver="central"/><resolvers>'
        '<ibiblio name="central" m2compatible="true" usepoms="false"/></resolvers></ivysettings>',
        encoding="utf-8",
    )
    (target / "ivy.xml").write_text(
        '<ivy-module version="2.0"><info organisation="smallcaps" module="jars"/>'
        f'<configurations><conf name="default"/></configurations><dependencies>{dependencies}</dependencies></ivy-module>',
        encoding="utf-8",
    )
    ivy = next(Path(pyspark.__file__).parent.glob("jars/ivy-*.jar"))
    command = ["java", "-jar", str(ivy), "-settings", str(target / "ivysettings.xml"), "-ivy", str(target / "ivy.xml")]
    command += ["-retrieve", str(target / "[artifact]-[revision].[ext]"), "-types", "jar", "bundle", "-warn"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_SECONDS, check=False)
    except FileNotFoundError as error:
        raise FailedDependency("Java was not found. Install Java 17 and put it on PATH, or set JAVA_HOME.") from error
    except subprocess.TimeoutExpired as error:
        raise FailedDependency(f"Fetching jars took over {FETCH_TIMEOUT_SECONDS} s. Check the network.") from error
    if done.returncode:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise FailedDependency(f"The jars could not be fetched: {' '.join(reason)} Check the network and run again.")
