"""What was served, counted: so that what a client stored can be compared with what it was sent."""

import threading
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PATHS_KEPT = 100_000


@dataclass(frozen=True)
class Marks:
    """Records that are rows of a file or of a day's tape: `rows` of the `size` rows of `group`."""

    group: Hashable
    size: int
    rows: slice | list[int]


@dataclass
class Count:
    """Of one endpoint. Distinct records are told apart by their row, or by a key where they were made on the way."""

    requests: int = 0
    bodies: int = 0
    records: int = 0
    marks: dict[Hashable, np.ndarray[Any, np.dtype[np.bool_]]] = field(default_factory=dict)
    keys: set[Hashable] = field(default_factory=set)
    events: int = 0

    def distinct(self) -> int:
        """How many different records were served."""
        return self.events + len(self.keys) + sum(int(marks.sum()) for marks in self.marks.values())


class Served:
    """The account of one server. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._counts: dict[str, Count] = {}
            self._paths: deque[str] = deque(maxlen=PATHS_KEPT)

    def asked(self, path: str) -> None:
        """A request came in; `path` has its query, without the key."""
        with self._lock:
            self._paths.append(path)

    def refused(self, endpoint: str) -> None:
        """A request to an endpoint was answered with an error."""
        with self._lock:
            self._counts.setdefault(endpoint, Count()).requests += 1

    def answered(self, endpoint: str, records: int, marks: Iterable[Marks] = (), keys: Iterable[Hashable] = ()) -> None:
        """A body with so many records was sent."""
        with self._lock:
            count = self._counts.setdefault(endpoint, Count())
            count.requests += 1
            count.bodies += 1
            count.records += records
            count.keys.update(keys)
            for mark in marks:
                if mark.group not in count.marks:
                    count.marks[mark.group] = np.zeros(mark.size, np.bool_)
                count.marks[mark.group][mark.rows] = True

    def streamed(self, channel: str, sent: int, distinct: int) -> None:
        """Events of a channel were sent, to all connections together, and how many different ones."""
        with self._lock:
            count = self._counts.setdefault(f"wss://stocks/{channel}", Count())
            count.records += sent
            count.events += distinct

    def summary(self) -> dict[str, Any]:
        """`endpoints`: requests, bodies, records, distinct by endpoint; `paths`: the last requests, in order."""
        with self._lock:
            endpoints = {
                name: {
                    "requests": count.requests,
                    "bodies": count.bodies,
                    "records": count.records,
                    "distinct": count.distinct(),
                }
                for name, count in sorted(self._counts.items())
            }
            return {"endpoints": endpoints, "paths": list(self._paths)}
