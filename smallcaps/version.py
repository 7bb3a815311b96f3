"""The code version that every run records."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


@functools.cache
def code_version() -> str:
    """Package version, and where the code lies in a git checkout the commit, with `+` where files were changed."""
    try:
        package = version("smallcaps")
    except PackageNotFoundError:
        package = "unpackaged"
    if not (REPOSITORY / ".git").exists():
        return package
    described = subprocess.run(
        ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty=+", "--exclude=*"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{package}-{described.stdout.strip()}" if described.returncode == 0 else package
