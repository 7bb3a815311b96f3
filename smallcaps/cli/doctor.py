"""What is missing on this machine, and what to do about it."""

import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from smallcaps.config import load_settings
from smallcaps.errors import FailedDependency, SmallcapsError
from smallcaps.ingest.routine import has_key
from smallcaps.lake.files import open_filesystem
from smallcaps.sources.polygon.endpoints import Source
from smallcaps.spark.class_archive import class_archive
from smallcaps.spark.jars import locked_jars
from smallcaps.spark.java import java_version, require_java

NEEDED_GIGABYTES = 3
EXTRAS = {
    "models": ("mlflow", "xgboost", "sklearn", "matplotlib", "optuna"),
    "sequence": ("torch",),
    "report": ("plotly",),
    "quality": ("great_expectations",),
    "aws": ("boto3",),
    "simulator": ("fastapi", "uvicorn"),
    "streaming": ("confluent_kafka", "starlette", "uvicorn"),
}


@dataclass(frozen=True)
class Check:
    """One thing looked at. `fine` None: it will be seen to when needed."""

    name: str
    fine: bool | None
    finding: str


def examine() -> list[Check]:
    """Look at Python, settings, Java, jars, disk, loopback, extras and the key to FRED."""
    checks: dict[str, Callable[[], Check]] = {
        "python": _python,
        "settings": _settings,
        "java": _java,
        "jars": _jars,
        "disk": _disk,
        "loopback": _loopback,
        "extras": _extras,
        "fred": _fred,
    }
    found = []
    for name, check in checks.items():
        try:
            found.append(check())
        except SmallcapsError as error:
            found.append(Check(name, False, str(error)))
    return found


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    fine = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Check("python", fine, version if fine else f"{version}: make the environment with Python 3.11")


def _settings() -> Check:
    settings = load_settings()
    return Check(
        "settings", True, f"environment {settings.environment}, lake {settings.lake}, hash {settings.digest()}"
    )


def _java() -> Check:
    require_java()
    recorded = "recorded" if class_archive().is_file() else "not recorded: `smallcaps jars` does, then it starts sooner"
    return Check("java", True, f"Java {java_version()}; Spark's classes are {recorded}")


def _jars() -> Check:
    settings = load_settings()
    if not settings.spark.jars:
        return Check("jars", True, "brought by the cluster")
    jars = locked_jars()
    missing = [jar for jar in jars if not (settings.cache / "jars" / jar.file_name).is_file()]
    if missing:
        return Check(
            "jars", None, f"{len(missing)} of {len(jars)} are fetched at the first start; that needs a network"
        )
    return Check("jars", True, f"{len(jars)} in {settings.cache / 'jars'}")


def _disk() -> Check:
    settings = load_settings()
    places = [settings.cache] + ([] if "://" in settings.lake else [Path(open_filesystem(settings.lake)[1])])
    for place in places:
        existing = next(folder for folder in (place, *place.absolute().parents) if folder.exists())
        free = shutil.disk_usage(existing).free / 1e9
        if free < NEEDED_GIGABYTES:
            return Check(
                "disk", False, f"{free:.1f} GB free at {existing}: {NEEDED_GIGABYTES} GB are needed; free some"
            )
    return Check("disk", True, f"{free:.0f} GB free")


def _loopback() -> Check:
    try:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError as error:
        raise FailedDependency(f"No port can be bound on 127.0.0.1 ({error}); Spark needs some.") from error
    return Check("loopback", True, "ports can be bound on 127.0.0.1")


def _extras() -> Check:
    absent = [extra for extra, modules in EXTRAS.items() if any(find_spec(module) is None for module in modules)]
    if absent:
        return Check(
            "extras", None, f"not installed: {', '.join(absent)} (pip install 'smallcaps[{','.join(absent)}]')"
        )
    return Check("extras", True, ", ".join(EXTRAS))


def _fred() -> Check:
    if has_key(load_settings(), Source.FRED):
        return Check("fred", True, "there is a key")
    return Check("fred", None, "FRED_API_KEY is not set: `ingest all` leaves economic figures by vintage out")
