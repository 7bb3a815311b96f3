"""The window calls in the SQL of features: which function looks through which frame."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_FRAME = re.compile(r"BETWEEN (\d+|UNBOUNDED) PRECEDING AND (?:(\d+) PRECEDING|CURRENT ROW)$")


def words(sql: str) -> set[str]:
    """The names in a SQL text, string literals left out."""
    return set(WORD.findall(re.sub(r"'[^']*'", "", sql)))


@dataclass(frozen=True)
class WindowCall:
    """`function(arguments) OVER window`, where it stands in its text."""

    function: str
    arguments: tuple[str, ...]
    window: str
    start: int
    end: int


@dataclass(frozen=True)
class Frame:
    """From how far back to how far back a window looks; None where it has no frame, or one that does not end in the past."""

    start: float
    end: int


def frame_of(window: str) -> Frame | None:
    """The frame at the end of a window's definition."""
    if (found := _FRAME.search(window)) is None:
        return None
    return Frame(math.inf if found[1] == "UNBOUNDED" else int(found[1]), int(found[2] or 0))


def partition_of(window: str) -> tuple[str, ...]:
    """The columns that a window is partitioned by."""
    return tuple(window.removeprefix("PARTITION BY ").split(" ORDER BY ")[0].split(", "))


def window_calls(sql: str, windows: Mapping[str, str]) -> Iterator[WindowCall]:
    """The calls of a text over the windows of these names, from left to right."""
    for over in re.finditer(r"\s+OVER (\w+)", sql):
        if over[1] in windows:
            start, function, arguments = _call(sql[: over.start()])
            yield WindowCall(function, arguments, over[1], start, over.end())


def _call(sql: str) -> tuple[int, str, tuple[str, ...]]:
    """The call that ends the text: where it begins, its function, its arguments."""
    depth, arguments, end = 0, [], len(sql) - 1
    for place in range(len(sql) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(sql[place], 0)
        if depth == 0 or (depth == 1 and sql[place] == ","):
            arguments.append(sql[place + 1 : end].strip())
            end = place
        if depth == 0:
            name = list(WORD.finditer(sql[:place]))[-1]
            return name.start(), name[0], tuple(arguments[::-1])
    raise ValueError(f"No call ends {sql!r}.")
