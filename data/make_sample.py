"""Cuts data/sample out of the full public sets, so that anyone can see how its names were chosen.

    python data/make_sample.py --source FOLDER

FOLDER holds `flatfiles/us_stocks_sip/...` and `reference/derived_split_events.csv` (see data/sample/README.md).
Names are chosen by what was known in the first 20 sessions: at least 10 bars, median close 1–20 $, median dollar
volume $250k–$5M; of those the first COUNT by SHA-256 of the ticker. Names that disappear later stay in.
"""

import argparse
import csv
import gzip
import hashlib
import io
import json
from collections import defaultdict
from datetime import date
from pathlib import Path
from statistics import median

from smallcaps.calendar import sessions_between

COUNT = 650
FORMATION_SESSIONS = 20
TICK_NAMES = ("BAC", "IBM")
PRICE, DOLLARS = (1.0, 20.0), (250_000.0, 5_000_000.0)
LAYOUT = "us_stocks_sip"


def read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a gzipped CSV, as text."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    return rows[0], rows[1:]


def write_rows(path: Path, header: list[str], rows: list[list[str]]) -> None:
    """A gzipped CSV that is the same bytes whenever and wherever it is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(gzip.compress(text.getvalue().encode("utf-8"), compresslevel=9, mtime=0))


def chosen_names(days: list[Path]) -> set[str]:
    """The small caps of the first 20 sessions."""
    closes, dollars = defaultdict(list), defaultdict(list)
    for day in days[:FORMATION_SESSIONS]:
        header, rows = read_rows(day)
        ticker, close, volume = (header.index(name) for name in ("ticker", "close", "volume"))
        for row in rows:
            closes[row[ticker]].append(float(row[close]))
            dollars[row[ticker]].append(float(row[close]) * float(row[volume]))
    eligible = [
        name
        for name in closes
        if len(closes[name]) >= 10
        and PRICE[0] <= median(closes[name]) <= PRICE[1]
        and DOLLARS[0] <= median(dollars[name]) <= DOLLARS[1]
    ]
    return set(sorted(eligible, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:COUNT])


def next_session(day: date) -> date:
    """The session after `day`."""
    after = sessions_between(day, date(day.year + 1, 1, 31))["session_date"]
    return next(session for session in after if session > day)


def main() -> None:
    """Write the sample and its manifest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    source: Path = parser.parse_args().source
    target = Path(__file__).parent / "sample"
    days = sorted((source / "flatfiles" / LAYOUT / "day_aggs_v1").rglob("*.csv.gz"))
    names = chosen_names(days)
    kinds = {"day_aggs_v1": names, "trades_v1": set(TICK_NAMES), "quotes_v1": set(TICK_NAMES)}
    for kind, wanted in kinds.items():
        for path in sorted((source / "flatfiles" / LAYOUT / kind).rglob("*.csv.gz")):
            header, rows = read_rows(path)
            kept = [row for row in rows if row[0] in wanted]
            write_rows(target / path.relative_to(source / "flatfiles"), header, kept)
    with (source / "reference" / "derived_split_events.csv").open(encoding="utf-8", newline="") as file:
        splits = [
            [row["symbol"], next_session(date.fromisoformat(row["last_pre_split_date"])), row["factor"], 1]
            for row in csv.DictReader(file)
            if row["symbol"] in names
        ]
    with (target / "splits.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["ticker", "execution_date", "split_from", "split_to"])
        writer.writerows(splits)
    files = sorted(path for path in target.rglob("*") if path.suffix in (".gz", ".csv"))
    sums = {str(path.relative_to(target)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    (target / "SHA256SUMS.json").write_text(json.dumps(sums, indent=0, sort_keys=True) + "\n", encoding="utf-8")
    size = sum(path.stat().st_size for path in files)
    print(f"{len(names)} names, {len(splits)} splits, {len(files)} files, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
