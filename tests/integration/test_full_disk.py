"""A lake on a disk that is really full: the error says so, and with room the same command takes everything in once."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

INGEST = "ingest flatfiles --root data/sample --kinds trades_v1,quotes_v1 --from 2013-10-07 --to 2013-10-07"
COUNT = "SELECT (SELECT count(*) FROM bronze.trades), (SELECT count(*) FROM bronze.quotes), (SELECT count(*) FROM ops.ledger)"
SCRIPT = f"""
mount -t tmpfs -o size=6m none "$SMALLCAPS_LAKE" || exit 99
smallcaps() {{ {sys.executable} -m smallcaps.cli.app "$@"; }}
smallcaps {INGEST}; echo "full: $?"
mount -o remount,size=200m "$SMALLCAPS_LAKE"
smallcaps {INGEST} > /dev/null; echo "room: $?"
smallcaps sql "{COUNT}" --format csv
find "$SMALLCAPS_LAKE/raw" -type f | wc -l
"""
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
"""A disk of a few MB needs a mount of its own, which Linux gives to anybody in a namespace of his."""


def can_mount() -> bool:
    try:
        return subprocess.run([*OWN_MOUNTS, "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not can_mount(), reason="no mounts of one's own on this system")
def test_a_full_lake_is_told_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*OWN_MOUNTS, "bash", "-c", SCRIPT],
        cwd=REPOSITORY,
        env={**os.environ, "SMALLCAPS_LAKE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout.splitlines()
    assert "full: 4" in said, done.stdout + done.stderr
    assert "disk is full" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert said[said.index("full: 4") + 1] == "room: 0", done.stderr
    counts, raw = said[-2:]
    lines = re.findall(r"\d+", counts)
    assert lines == ["112465", "292962", "2"]  # Lines of the two files, and the files.
    assert raw.strip() == "2"
