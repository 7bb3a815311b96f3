"""What of ours runs inside Spark's Java: Scala files of this folder, compiled once into the cache.

The compiler is the one that pyspark brings; Java's runtime is enough, and there is no binary in the repository.
"""

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Collection
from pathlib import Path

import pyspark

from smallcaps.errors import FailedDependency
from smallcaps.spark.jars import fetch_jars

COMPILE_TIMEOUT_SECONDS = 300


def compiled(name: str, cache: Path, needs: Collection[str] = ()) -> Path:
    """Path of the jar of `name`.scala under `cache`/jars, compiled first where it is missing; it rests on locked jars `needs`.

    Raises FailedDependency where that does not work.
    """
    source = Path(__file__).with_name(f"{name}.scala")
    jars = fetch_jars(cache, needs) if needs else []
    digest = hashlib.sha256(source.read_bytes() + "".join(jar.name for jar in jars).encode()).hexdigest()
    folder = cache / "jars"
    jar = folder / f"smallcaps-{name}-{digest[:12]}.jar"
    if not jar.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = Path(scratch) / jar.name
            _compile(source, jars, made)
            made.replace(jar)
    return jar


def _compile(source: Path, needed: list[Path], target: Path) -> None:
    path = os.pathsep.join([*map(str, needed), str(Path(pyspark.__file__).parent / "jars" / "*")])
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
