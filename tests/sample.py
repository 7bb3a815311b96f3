"""A reduced sample: a few names over half the span, one name's ticks of one day, and one row that must be refused."""

import csv
import gzip
import shutil
from pathlib import Path

from tests.conftest import SAMPLE

LAYOUT = "us_stocks_sip"
TICK_FILE = "2013/10/2013-10-07.csv.gz"
SESSIONS = 160
BAD_ROW = "BADROW,100,1.0,-1.0,1.0,-1.0,1426824000000000000,\n"
"""A negative price on the first day, 2015-03-20."""


def reduced_sample(target: Path, names: int = 60, tick_name: str = "IBM") -> Path:
    """A folder like data/sample: `names` of its names over the first SESSIONS days, `tick_name`'s ticks of one day."""
    days = sorted((SAMPLE / LAYOUT / "day_aggs_v1").rglob("*.csv.gz"))[:SESSIONS]
    with gzip.open(days[0], "rt", encoding="utf-8") as file:
        listed = sorted(row["ticker"] for row in csv.DictReader(file))
    kept = set(listed[:: max(1, len(listed) // names)][:names])
    for day in days:
        _cut(day, target / day.relative_to(SAMPLE), kept, BAD_ROW if day == days[0] else "")
    for kind in ("trades_v1", "quotes_v1"):
        file = Path(LAYOUT) / kind / TICK_FILE
        _cut(SAMPLE / file, target / file, {tick_name})
    shutil.copy(SAMPLE / "splits.csv", target / "splits.csv")
    return target


def _cut(source: Path, target: Path, kept: set[str], more: str = "") -> None:
    """The lines of a gzipped file that belong to `kept`, as they are, and `more`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = gzip.decompress(source.read_bytes()).decode("utf-8").splitlines(keepends=True)
    text = lines[0] + "".join(line for line in lines[1:] if line.split(",", 1)[0] in kept) + more
    target.write_bytes(gzip.compress(text.encode("utf-8"), mtime=0))
