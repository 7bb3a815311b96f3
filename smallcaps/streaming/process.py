"""A part of the live tape as a process: it goes on until it is told to stop, and says how it is.

Each part has a file under `folder`: who it is (its process's number), since when, and what it said last.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql.streaming.query import StreamingQuery

from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import Run
from smallcaps.log import tell

BEAT_SECONDS = 5.0
RECORD_SECONDS = 60.0
STOP_SECONDS = 60.0
PROGRESS = "ops.stream_progress"


@dataclass(frozen=True)
class State:
    """What a part said last."""

    part: str
    pid: int
    began_at: datetime
    said_at: datetime
    facts: Mapping[str, Any]
    born: str | None

    @property
    def is_running(self) -> bool:
        """Whether its process is there."""
        return self.born is not None and self.born == born(self.pid)


def born(pid: int) -> str | None:
    """When a process began, as Linux counts it: with its number it is nobody else's. None where it has ended."""
    try:
        # The name before may hold anything, a parenthesis, too.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]


def states(folder: Path) -> list[State]:
    """All parts that were started and not stopped in order, the first started first."""
    found = []
    for file in folder.glob("*.json"):
        try:
            said = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue  # It has ended meanwhile.
        began, last = (datetime.fromisoformat(said.pop(name)) for name in ("began_at", "said_at"))
        found.append(State(file.stem, said.pop("pid"), began, last, said, said.pop("born")))
    return sorted(found, key=lambda state: state.began_at)


def stop(state: State, folder: Path) -> bool:
    """Have a part end in order; whether it did. One that does not within STOP_SECONDS is killed: nothing of it is lost."""
    deadline = time.monotonic() + STOP_SECONDS
    if state.is_running:
        os.kill(state.pid, signal.SIGTERM)
    while state.is_running and time.monotonic() < deadline:
        time.sleep(0.2)
    if in_order := not state.is_running:
        (folder / f"{state.part}.json").unlink(missing_ok=True)
    else:
        os.kill(state.pid, signal.SIGKILL)
    return in_order


class Part:
    """This process as a part. `stopping` is set when it is told to end."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / f"{name}.json"
        self._began = datetime.now(UTC)
        self.stopping = threading.Event()

    def say(self, **facts: Any) -> None:
        """Say how it is."""
        write_state(self._file, os.getpid(), self._began, facts)


def write_state(file: Path, pid: int, began: datetime, facts: Mapping[str, Any]) -> None:
    """Write down how a part is."""
    said = {
        "pid": pid,
        "born": born(pid),
        "began_at": began.isoformat(),
        "said_at": datetime.now(UTC).isoformat(),
        **facts,
    }
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(said), encoding="utf-8")
    beside.replace(file)


@contextmanager
def running_as(folder: Path, name: str) -> Iterator[Part]:
    """This process as a part until the block ends. Raises BadInput where the part is running already."""
    folder.mkdir(parents=True, exist_ok=True)
    for state in states(folder):
        if state.part == name and state.is_running and state.pid != os.getpid():
            raise BadInput(f"{name} is running already, as process {state.pid}. `smallcaps live down` stops it.")
    part = Part(folder, name)
    before = {one: signal.signal(one, lambda *_: part.stopping.set()) for one in (signal.SIGTERM, signal.SIGINT)}
    part.say()
    try:
        yield part
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    (folder / f"{name}.json").unlink(missing_ok=True)


def attend(
    part: Part,
    run: Run,
    queries: Sequence[StreamingQuery],
    seconds: float | None,
    facts: Callable[[], Mapping[str, Any]],
) -> None:
    """Stay with queries until the part is told to stop or `seconds` are over; record how they get on.

    Raises FailedDependency where one of them fails.
    """
    end = None if seconds is None else time.monotonic() + seconds
    recorded = {query.name: -1 for query in queries}
    recorded_at = time.monotonic()
    try:
        while not part.stopping.wait(
            BEAT_SECONDS if end is None else max(0.0, min(BEAT_SECONDS, end - time.monotonic()))
        ):
            for query in queries:
                if (error := query.exception()) is not None or not query.isActive:
                    raise FailedDependency(f"The query {query.name} ended: {error or 'it was stopped'}") from error
            part.say(**facts(), **_latest(queries))
            if time.monotonic() - recorded_at > RECORD_SECONDS:
                recorded_at = time.monotonic()
                _record(run, queries, recorded, facts())
            if end is not None and time.monotonic() >= end:
                break
    finally:
        _record(run, queries, recorded, facts())


def _latest(queries: Sequence[StreamingQuery]) -> dict[str, Any]:
    last = [progress for query in queries if (progress := query.lastProgress) is not None]
    return {
        "behind": max((_behind(progress) or 0 for progress in last), default=0),
        "batch_seconds": max((_seconds(progress) for progress in last), default=None),
    }


def _seconds(progress: Mapping[str, Any]) -> float:
    return float(progress["durationMs"].get("triggerExecution", 0)) / 1000


def _behind(progress: Mapping[str, Any]) -> int | None:
    found = [source.get("metrics", {}).get("maxOffsetsBehindLatest") for source in progress["sources"]]
    return max((int(one) for one in found if one is not None), default=None)


def _record(run: Run, queries: Sequence[StreamingQuery], recorded: dict[str, int], facts: Mapping[str, Any]) -> None:
    """Add the micro-batches that are new to PROGRESS."""
    rows = []
    for query in queries:
        name = str(query.name)
        for progress in query.recentProgress:
            if progress["batchId"] > recorded[name] and progress["numInputRows"]:
                recorded[name] = progress["batchId"]
                rows.append(
                    {
                        "query": name,
                        "batch": progress["batchId"],
                        "began_at": datetime.fromisoformat(progress["timestamp"]),
                        "messages": progress["numInputRows"],
                        "seconds": _seconds(progress),
                        "behind": _behind(progress),
                        "alerts": facts.get("alerts"),
                        "too_late": facts.get("too_late"),
                        "alert_seconds": (facts.get("alert_seconds") or {}).get("0.95"),
                    }
                )
    if rows:
        run.append_rows(PROGRESS, rows)
        tell(f"{sum(row['messages'] for row in rows):,} messages", queries=[query.name for query in queries])
