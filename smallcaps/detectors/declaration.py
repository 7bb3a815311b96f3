"""What a detector is made of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from smallcaps.errors import BadInput
from smallcaps.lake import Rule


@dataclass(frozen=True)
class Parameter:
    """A number a detector can be tuned by, with its unit and the range in which it makes sense.

    `near` times it is what a near miss (detectors/decoys.py) has to meet; 1 where it is no threshold.
    """

    name: str
    default: float
    unit: str
    minimum: float
    maximum: float
    comment: str
    near: float = 0.7


@dataclass(frozen=True)
class Feature:
    """A named value of a row: SQL over the grain's columns, other features and named windows (`… OVER window`).

    `rounded` values are cut to 9 significant digits, half-even. With `lookup`, `sql` names an integer feature and the
    value is read from the broadcast table `lookup` (key, value).
    """

    name: str
    sql: str
    rounded: bool = False
    lookup: str | None = None


@dataclass(frozen=True)
class Detector:
    """A detector: when it fires, how strongly, in which direction, as SQL over its grain's features.

    `{name}` in SQL stands for a parameter. `strength` is the measured value over its threshold and is at least 1 where
    the detector fires. `features` are named values of its own; `context` replaces columns of the grain's event context.
    """

    name: str
    version: int
    grain: str
    summary: str
    parameters: tuple[Parameter, ...]
    condition: str
    strength: str
    direction: str
    features: tuple[Feature, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, given: Mapping[str, float]) -> dict[str, float]:
        """The parameters in force. Raises BadInput for one that is unknown or out of range."""
        known = {parameter.name: parameter for parameter in self.parameters}
        if unknown := set(given) - set(known):
            raise BadInput(
                f"Detector {self.name} has no parameter {', '.join(sorted(unknown))}. It has: {', '.join(known)}."
            )
        values = {name: float(given.get(name, parameter.default)) for name, parameter in known.items()}
        for name, value in values.items():
            if not known[name].minimum <= value <= known[name].maximum:
                raise BadInput(
                    f"Detector {self.name}: {name} = {value} is outside {known[name].minimum}–{known[name].maximum}."
                )
        return values


@dataclass(frozen=True)
class Grain:
    """Rows of one kind and what every detector over them shares.

    `source` is the SQL of the rows, laid out for the windows (one DISTRIBUTE BY of `key`; the windows' order nests in one sort).
    Inside a key, `order` numbers the rows, at most one a number. `limits`: what a row must not break for the statement to compute
    with it (a price of 0, sums that could overflow).
    `guard` must hold for any event. `edge` names the window in which the condition must not have been true before.
    `context` gives the event's columns.
    """

    name: str
    source: str
    key: tuple[str, ...]
    order: str
    limits: tuple[Rule, ...]
    windows: Mapping[str, str]
    features: tuple[Feature, ...]
    guard: str
    context: Mapping[str, str]
    edge: str | None = None

    @property
    def carries(self) -> bool:
        """Whether a window looks back without bound, so that a piece of the rows needs a seed."""
        return any("UNBOUNDED PRECEDING" in window for window in self.windows.values())

    @property
    def looks_back_by_number(self) -> bool:
        """Whether bounded windows reach back by so many numbers of the order, not by so many rows."""
        return all("UNBOUNDED PRECEDING" in window or " RANGE " in window for window in self.windows.values())

    @property
    def stays_in_session(self) -> bool:
        """Whether no window leaves the session of its row."""
        return all("session_date" in window.split("ORDER BY")[0] for window in self.windows.values())


def digest(parameters: Mapping[str, float]) -> str:
    """16 hex digits that identify parameter values."""
    return hashlib.sha256(json.dumps(dict(parameters), sort_keys=True).encode()).hexdigest()[:16]
