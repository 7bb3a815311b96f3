"""What features that look back without bound need of the rows before a piece: carry columns.

A piece of a partition's rows is computed as if all rows before it were there, from one seed row a partition: the values of
running calls (sums, counts, extremes, first and last values, the row before) at the last row that is left out. Each running
call becomes a feature of its own over the rows that are there, merged with its seed. Without seeds, as in batch, the
seeds are null and Spark folds the merging away.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from smallcaps.detectors.declaration import Feature, Grain
from smallcaps.detectors.window_calls import Frame, WindowCall, frame_of, partition_of, window_calls

SEED = "seed_"
HERE = "_here"
"""End of the name of a running call over the rows that are there."""
_CARRIED = "carried_"
_MERGED = {
    "sum": "coalesce({seed} + {here}, {seed}, {here})",
    "count": "coalesce({seed} + {here}, {seed}, {here})",
    "max": "greatest({seed}, {here})",
    "min": "least({seed}, {here})",
    "bool_or": "coalesce({seed} OR {here}, {seed}, {here})",
    "first_value": "coalesce({seed}, {here})",
    # Values that are never null: null says that no row is there.
    "last_value": "coalesce({here}, {seed})",
    "lag": "coalesce({here}, {seed})",
}
_VALUE = "value"
_OF_ONE_ROW = ("last_value", "lag")
"""Calls that bring the argument's value at one row, so that both have the same seed."""


@dataclass(frozen=True)
class Carried:
    """Features with their running calls merged with seeds.

    `ends`: of each running call's feature how far before a row its frame ends. `seeds`: the columns of a seed row but for its
    key, each with the SQL that gives it at a row; `states` are features that only these need.
    """

    features: dict[str, Feature]
    ends: dict[str, int]
    seeds: dict[str, str]
    states: dict[str, Feature]


def carry(features: Mapping[str, Feature], grain: Grain) -> Carried:
    """Give running calls their seeds; features of a grain that has none are left as they are."""
    if not grain.carries:
        return Carried(dict(features), {}, {}, {})
    merging = _Merging(grain)
    for feature in features.values():
        merging.merge(feature, merging.features)
    states: dict[str, Feature] = {}
    seeds = {f"{SEED}{column}": column for column in merging.positions}
    for (function, argument, partition), name in list(merging.names.items()):
        if function == _VALUE:
            seeds[f"{SEED}{name}"] = argument
            continue
        sql = f"{function}({argument}) OVER {_so_far(grain, partition)}"
        state = next((feature.name for feature in features.values() if feature.sql == sql), f"state_{name}")
        if state not in features:
            merging.merge(Feature(state, sql), states)
        seeds[f"{SEED}{name}"] = state
    return Carried(merging.features, merging.ends, seeds, states)


class _Merging:
    """Features as they are rewritten, one after the other."""

    def __init__(self, grain: Grain) -> None:
        self.grain = grain
        self.features: dict[str, Feature] = {}
        self.ends: dict[str, int] = {}
        self.names: dict[tuple[str, str, tuple[str, ...]], str] = {}
        """Of each running call (function, argument, partition) the feature that its seed is named after."""
        partitions = [partition_of(window) for window in grain.windows.values()]
        self.positions = list(dict.fromkeys(column for one in partitions for column in one if column not in grain.key))
        """The columns that tell the partitions of a key apart."""

    def merge(self, feature: Feature, into: dict[str, Feature]) -> None:
        """Put `feature` into `into`, and before it what its running calls are over the rows that are there, and their seeds."""
        sql, shift = feature.sql, 0
        calls = [call for call in window_calls(feature.sql, self.grain.windows) if _is_running(call, self.grain)]
        for number, call in enumerate(calls, start=1):
            name = feature.name if len(calls) == 1 else f"{feature.name}_{number}"
            into[f"{name}{HERE}"] = Feature(f"{name}{HERE}", feature.sql[call.start : call.end])
            frame = frame_of(self.grain.windows[call.window])
            self.ends[f"{name}{HERE}"] = 0 if frame is None else frame.end
            merged = _MERGED[call.function].format(seed=self._seed(call, name), here=f"{name}{HERE}")
            sql = sql[: call.start + shift] + merged + sql[call.end + shift :]
            shift += len(merged) - (call.end - call.start)
        into[feature.name] = replace(feature, sql=sql)

    def _seed(self, call: WindowCall, name: str) -> str:
        """The feature that has the seed of a call where the seed is of the row's own partition."""
        partition = partition_of(self.grain.windows[call.window])
        one_row = call.function in _OF_ONE_ROW
        function, argument = (_VALUE, call.arguments[0]) if one_row else (call.function, ", ".join(call.arguments))
        known = self.names.setdefault((function, argument, partition), name)
        same = [f"{SEED}{column} = {column}" for column in partition if column not in self.grain.key]
        sql = f"CASE WHEN {' AND '.join(same)} THEN {SEED}{known} END" if same else f"{SEED}{known}"
        self.features[f"{_CARRIED}{known}"] = Feature(f"{_CARRIED}{known}", sql)
        return f"{_CARRIED}{known}"


def _is_running(call: WindowCall, grain: Grain) -> bool:
    frame = frame_of(grain.windows[call.window])
    if call.function == "lag":
        return frame is None and len(call.arguments) == 1
    return frame is not None and math.isinf(frame.start) and call.function in _MERGED


def _so_far(grain: Grain, partition: tuple[str, ...]) -> str:
    """The window over all rows of a partition up to the current one."""
    for name, window in grain.windows.items():
        if partition_of(window) == partition and frame_of(window) == Frame(math.inf, 0):
            return name
    raise ValueError(f"{grain.name} needs a window over its rows so far by {', '.join(partition)}.")
