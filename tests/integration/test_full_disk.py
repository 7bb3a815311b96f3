"""A lake on a disk that is really full: the error says so, and with room the same command takes everything in once."""

import re
from pathlib import Path

import pytest

from tests.small_disk import needs_mounts, on_small_disk

pytestmark = pytest.mark.slow

INGEST = "ingest flatfiles --root data/sample --kinds trades_v1,quotes_v1 --from 2013-10-07 --to 2013-10-07"
COUNT = "SELECT (SELECT count(*) FROM bronze.trades), (SELECT count(*) FROM bronze.quotes), (SELECT count(*) FROM ops.ledger)"
SCRIPT = f"""
smallcaps {INGEST}; echo "full: $?"
more_room
smallcaps {INGEST} > /dev/null; echo "room: $?"
smallcaps sql "{COUNT}" --format csv
find "$SMALLCAPS_LAKE/raw" -type f | wc -l
"""


@needs_mounts
def test_a_full_lake_is_told_and_loses_nothing(tmp_path: Path) -> None:
    done = on_small_disk(6, SCRIPT, tmp_path)
    said = done.stdout.splitlines()
    assert "full: 4" in said, done.stdout + done.stderr
    assert "disk is full" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert said[said.index("full: 4") + 1] == "room: 0", done.stderr
    counts, raw = said[-2:]
    lines = re.findall(r"\d+", counts)
    assert lines == ["112465", "292962", "2"]  # Lines of the two files, and the files.
    assert raw.strip() == "2"
