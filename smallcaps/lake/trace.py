"""From an event or a run back to the raw bytes it rests on."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.errors import BadInput
from smallcaps.lake.declaration import sql_literal
from smallcaps.lake.files import open_filesystem
from smallcaps.lake.store import Lake

SHORTEST_ID = 8


@dataclass(frozen=True)
class RawFile:
    """A raw file, or a REST body in bronze.bodies, behind an event: which lines or records of it, and whether its bytes are
    still the ones received.
    """

    raw_path: str
    source: str
    sha256: str
    lines: str
    intact: bool


@dataclass(frozen=True)
class Trace:
    """The way back: the event (None for a run), the run that wrote it, the runs before that, and the raw files."""

    event: dict[str, Any] | None
    runs: list[dict[str, Any]]
    source_rows: list[dict[str, Any]]
    raw_files: list[RawFile]


def trace(lake: Lake, identifier: str) -> Trace:
    """Follow an event_id or run_id (or at least its first 8 digits) back to raw files and their checksums.

    Raises BadInput where nothing or more than one thing has that id.
    """
    if len(identifier) < SHORTEST_ID:
        raise BadInput(f"Give at least {SHORTEST_ID} digits of an event_id or run_id.")
    starts = f"startswith({{}}, {sql_literal(identifier)})"
    if lake.exists("gold.events"):
        events = lake.read("gold.events").where(starts.format("event_id")).limit(2).collect()
        if len(events) > 1:
            raise BadInput(f"More than one event begins with {identifier!r}: give more digits.")
        if events:
            return _trace_event(lake, events[0].asDict(recursive=True))
    runs = lake.read("ops.runs").where(starts.format("run_id")).limit(2).collect()
    if len(runs) != 1:
        what = "More than one run begins" if runs else "No event or run begins"
        raise BadInput(f"{what} with {identifier!r}. Ids are in gold.events and ops.runs.")
    return Trace(None, _runs_behind(lake, runs[0]["run_id"]), [], [])


def _trace_event(lake: Lake, event: dict[str, Any]) -> Trace:
    rows = _bronze_rows(lake, event)
    shown = rows.orderBy("source_line").limit(5).collect()
    spans = rows.groupBy("source_sha256").agg(F.min("source_line"), F.max("source_line"), F.count("*")).collect()
    found = [_raw_file(lake, sha256, first, last, count) for sha256, first, last, count in spans]
    return Trace(event, _runs_behind(lake, event["run_id"]), [row.asDict(recursive=True) for row in shown], found)


def _raw_file(lake: Lake, sha256: str, first: int, last: int, count: int) -> RawFile:
    same = F.col("sha256") == sha256
    file = lake.read("ops.ledger").where(same).first() if lake.exists("ops.ledger") else None
    unit = "line" if file is not None else "record"
    lines = f"{unit} {first}" if count == 1 else f"{count} rows within {unit}s {first}–{last}"
    if file is not None:
        return RawFile(file["raw_path"], file["source"], sha256, lines, _is_intact(lake, file["raw_path"], sha256))
    body = lake.read("bronze.bodies").where(same).select("url", "content").collect()[0]
    return RawFile("bronze.bodies", body["url"], sha256, lines, _digest(body["content"]) == sha256)


def _digest(content: bytes) -> str | None:
    """SHA-256 of what is gzipped in `content`; None where it is damaged."""
    try:
        return hashlib.sha256(gzip.decompress(content)).hexdigest()
    except (OSError, EOFError, zlib.error):
        return None


def _bronze_rows(lake: Lake, event: dict[str, Any]) -> DataFrame:
    """The bronze rows of the bar or second at which the event happened."""
    same_day = (F.col("symbol") == event["symbol"]) & (F.col("session_date") == F.lit(event["session_date"]))
    if event["grain"] == "daily":
        return lake.read("bronze.bars_1d").where(same_day)
    start_ns = F.unix_micros(F.lit(event["ts"])) * 1_000
    if event["grain"] == "minute":
        bar = lake.read("silver.bars_1m").where(same_day & (F.col("ts") == F.lit(event["ts"]))).first()
        if bar is not None and bar["source"] == "vendor":
            return lake.read("bronze.bars_1m").where(same_day & (F.col("window_start_ns") == start_ns))
    seconds = 60 if event["grain"] == "minute" else 1
    inside = (F.col("sip_ns") >= start_ns) & (F.col("sip_ns") < start_ns + seconds * 1_000_000_000)
    return lake.read("bronze.trades").where(same_day & inside)


def _runs_behind(lake: Lake, run_id: str) -> list[dict[str, Any]]:
    """The run, and before it the runs that wrote the versions it read, newest first."""
    runs = [row.asDict(recursive=True) for row in lake.read("ops.runs").where("outcome = 'succeeded'").collect()]
    by_id = {run["run_id"]: run for run in runs}
    wanted, found = [run_id], {}
    while wanted:
        current = wanted.pop()
        if current in found or current not in by_id:
            continue
        run = found[current] = by_id[current]
        for read in run["inputs"]:
            writers = [
                (output["version"], other["run_id"])
                for other in runs
                for output in other["outputs"]
                if output["table"] == read["table"] and output["version"] <= read["version"]
            ]
            wanted += [writer for _, writer in writers]
    return sorted(found.values(), key=lambda run: run["started_at"], reverse=True)


def _is_intact(lake: Lake, raw_path: str, sha256: str) -> bool:
    """Whether the raw file still has the checksum under which it was received."""
    filesystem, root = open_filesystem(lake.root)
    digest = hashlib.sha256()
    try:
        with filesystem.open_input_stream(f"{root}/{raw_path}", compression=None) as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == sha256
