"""A compiled statement: SELECTs in a row, each over the rows of the one before it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Statement:
    """SELECTs by name; each but the first has the one before it in its FROM, once. The last one's rows are the statement's."""

    selects: Mapping[str, str]

    def __str__(self) -> str:
        """As people read it: WITH the names, from the first to the last."""
        *named, last = self.selects.items()
        listed = ",\n".join(f"{name} AS (\n{indented(text)}\n)" for name, text in named)
        return f"WITH {listed}\n{last[1]}"

    @property
    def nested(self) -> str:
        """As Spark runs it. Names of WITH are put in for one another anew each time a frame on the statement is analysed, which
        makes planning take two to five times as long (benchmarks/planning.py).
        """
        names = [*self.selects]
        text = self.selects[names[0]]
        for below, name in pairwise(names):
            parts = re.split(rf"\bFROM {below}\b", self.selects[name])
            if len(parts) != 2:
                raise ValueError(f"{name} should select from {below} once, not {len(parts) - 1} times")
            text = f"{parts[0]}FROM (\n{text}\n) AS {below}{parts[1]}"
        return text


def indented(text: str, by: int = 2) -> str:
    """Every line so many spaces further in."""
    return "\n".join(" " * by + line for line in text.splitlines())
