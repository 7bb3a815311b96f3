"""The rising edge: an event is where a condition is met now and was not within some time before.

Whether it was met is asked of the rows in which any condition is met. A grain that looks back by numbers and is carried on asks
when it was met last, so that a piece of its rows need not reach back so far: a seed says it of the rows before. In a piece the
conditions of the first rows after the seed's cannot be told, since they look back themselves: so the seed says it of these, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from smallcaps.detectors.carry import SEED
from smallcaps.detectors.declaration import Feature, Grain
from smallcaps.detectors.window_calls import frame_of, partition_of

AFTER = f"{SEED}after"
"""The number of the row that a seed is of."""
_BEFORE, _AHEAD = "edge_before", "edge_ahead"


@dataclass(frozen=True)
class Edge:
    """What a statement needs to tell `recent_<detector>`: SELECTs of features one above the other, over `windows`; and what seeds
    need: their columns, each with the SQL that gives it at a row, and the features that only these stand on.
    """

    windows: dict[str, str]
    levels: tuple[tuple[Feature, ...], ...]
    seeds: dict[str, str]
    states: dict[str, Feature]


def is_carried(grain: Grain) -> bool:
    """Whether the edge is told by when a condition was met last."""
    return grain.edge is not None and grain.carries and grain.looks_back_by_number


def edge_of(grain: Grain, detectors: Sequence[str], look_back: int) -> Edge:
    """The edge of these detectors; their conditions `met_<detector>` look back over `look_back` numbers."""
    if grain.edge is None:
        return Edge({}, (), {}, {})
    if not is_carried(grain):
        asked = {name: f"coalesce(bool_or(met_{name}) OVER {grain.edge}, false)" for name in detectors}
        return Edge({}, (tuple(Feature(f"recent_{name}", sql) for name, sql in asked.items()),), {}, {})
    window = grain.windows[grain.edge]
    frame, ordered = frame_of(window), window.partition(" RANGE ")[0]
    if frame is None or frame.end != 1:
        raise ValueError(f"{grain.name}: the edge must end at the row before: {window}")
    same = [f"{SEED}{column} = {column}" for column in partition_of(window) if column not in grain.key]
    is_of_seed = " AND ".join([*same, f"{grain.order} <= {AFTER} + {look_back}"])
    of_partition = " AND ".join(same) or "true"
    now, seeded, last, seeds, states = {}, {}, {}, {}, {}
    for name in detectors:
        met = f"max(CASE WHEN met_{name} AND NOT coalesce({is_of_seed}, false) THEN {grain.order} END)"
        column = f"{SEED}last_{name}"
        seeded[name] = f"CASE WHEN {of_partition} THEN {column} END"
        last[name] = Feature(f"last_{name}", f"{met} OVER {_BEFORE}")
        since = f"{grain.order} - greatest({seeded[name]}, last_{name})"
        now[name] = Feature(f"recent_{name}", f"coalesce({since} <= {frame.start}, false)")
        seeds[column] = f"state_last_{name}"
        states[f"ahead_{name}"] = Feature(f"ahead_{name}", f"{met} OVER {_AHEAD}")
        states[seeds[column]] = Feature(seeds[column], f"greatest({seeded[name]}, ahead_{name})")
    windows = {
        _BEFORE: f"{ordered} RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
        _AHEAD: f"{ordered} RANGE BETWEEN UNBOUNDED PRECEDING AND {look_back} FOLLOWING",
    }
    return Edge(windows, (tuple(last.values()), tuple(now.values())), {AFTER: grain.order, **seeds}, states)


def with_windows(grain: Grain, edge: Edge) -> Grain:
    """The grain with the edge's windows among its own."""
    return replace(grain, windows={**grain.windows, **edge.windows})
