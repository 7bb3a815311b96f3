"""A disk of a few MB that a script fills: a mount of its own, which Linux gives to anybody in a namespace of his."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]


def can_mount() -> bool:
    try:
        return subprocess.run([*OWN_MOUNTS, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


needs_mounts = pytest.mark.skipif(not can_mount(), reason="no mounts of one's own on this system")


def on_small_disk(megabytes: int, script: str, lake: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What became of a script for bash with the lake on such a disk; it has the functions `smallcaps` and `more_room`."""
    before = f"""
mount -t tmpfs -o size={megabytes}m none "$SMALLCAPS_LAKE" || exit 99
smallcaps() {{ {sys.executable} -m smallcaps.cli.app "$@"; }}
more_room() {{ mount -o remount,size=200m "$SMALLCAPS_LAKE"; }}
"""
    return subprocess.run(
        [*OWN_MOUNTS, "bash", "-c", before + script],
        cwd=REPOSITORY,
        env={**os.environ, "SMALLCAPS_LAKE": str(lake), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
