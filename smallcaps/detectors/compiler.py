"""All detectors of a grain → one SQL statement.

1. `Grain.source` brings the rows, distributed once. 2. Features that the chosen detectors need, and what those need in turn,
are layered: a feature stands above the highest it names, a level is one SELECT, and windows gather in as few levels as can be,
since each such level is a pass over the rows. 3. Each detector's condition is a column. 4. Where the grain has
a rising edge, rows where no condition is met are left out, and windows over the conditions at the others are columns too.
(Without that last window Spark would compute the conditions once to filter and again to keep them.) 5. One array of candidate
events a row, filtered to those that fire, is unnested. The windows of a grain nest in one order, so Spark needs one shuffle and
one sort however many detectors there are.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from smallcaps.config import LiquidityFloor
from smallcaps.detectors.carry import Carried, carry
from smallcaps.detectors.declaration import Detector, Feature, Grain, digest
from smallcaps.detectors.edge import Edge, edge_of, is_carried, with_windows
from smallcaps.detectors.statement import Statement, indented
from smallcaps.detectors.window_calls import WORD, WindowCall, frame_of, window_calls, words
from smallcaps.refine.rounding import significant

EVENT_COLUMNS: dict[str, str] = {
    "ts": "timestamp",
    "known_at": "timestamp",
    "direction": "int",
    "strength": "double",
    "price": "double",
    "volume": "bigint",
    "dollar_volume": "double",
    "pct_change": "double",
    "gap_pct": "double",
    "atr": "double",
    "vwap_distance": "double",
    "relative_volume": "double",
    "rvol_n": "int",
    "baseline": "string",
    "minutes_since_open": "double",
    "possible_missing_split": "boolean",
}
"""Columns of an event that differ by detector, with their types."""

EXACT = "_exact"
"""End of the name of a feature before it is rounded."""


@dataclass(frozen=True)
class Rules:
    """Numbers that every detector shares; part of each event's params_hash."""

    floor: LiquidityFloor
    publication_delay_seconds: int

    @property
    def values(self) -> dict[str, float]:
        """As parameters of SQL texts."""
        return {**self.floor.model_dump(), "publication_delay_seconds": self.publication_delay_seconds}


@dataclass(frozen=True)
class Chosen:
    """A detector with the parameters in force."""

    detector: Detector
    parameters: dict[str, float]
    params_hash: str


def choose(detectors: Sequence[Detector], given: Mapping[str, Mapping[str, float]], rules: Rules) -> list[Chosen]:
    """The detectors with their parameters resolved and hashed."""
    chosen = []
    for detector in detectors:
        parameters = detector.resolve(given.get(detector.name, {}))
        chosen.append(Chosen(detector, parameters, digest(parameters | rules.values)))
    return chosen


def compile_statement(grain: Grain, chosen: Sequence[Chosen], rules: Rules, explained: bool = False) -> Statement:
    """One statement that yields rows of gold.events (without run_id), and of each the `number` of its row in the grain's order,
    for every detector of `chosen`.

    `explained`: and with `why`, the features that decide about the detector's condition and their values, as text.
    Where the grain carries, the view `seeds` has a row of `seed_columns` for each key whose rows are a piece; none in batch.
    """
    carried, events, wanted = _assembled(grain, chosen, rules, explained)
    met = [f"met_{one.detector.name}" for one in chosen]
    features, edge = carried.features, _edge(grain, chosen, carried)
    levels = _levels(features, grain.windows, wanted.union(met))
    everywhere = _everywhere(features, grain.windows, levels, met) if edge.levels else set(features)
    selects = _rows(grain, rules, carried)
    for level in levels:
        _add(selects, [feature for feature in level if feature.name in everywhere], grain)
    if edge.levels:
        selects["candidates"] = f"SELECT * FROM {[*selects][-1]} WHERE {' OR '.join(met)}"
        for above in edge.levels:
            _add(selects, above, with_windows(grain, edge))
        for level in levels:
            _add(selects, [feature for feature in level if feature.name not in everywhere], grain)
    listed = ",\n".join(events)
    selects["fired"] = (
        f"SELECT symbol, security_id, session_date, {grain.order} AS number,\n"
        f"  inline(filter(array(\n{indented(listed, 4)}\n  ), event -> event.fires))\nFROM {[*selects][-1]}"
    )
    common = ", ".join([*EVENT_COLUMNS, *["why"] * explained])
    identity = "concat_ws('|', security_id, detector, detector_version, params_hash, unix_micros(ts))"
    selects["events"] = (
        f"SELECT left(sha2({identity}, 256), 32) AS event_id, symbol, security_id, session_date, '{grain.name}' AS grain,\n"
        f"  detector, detector_version, params_hash, {common}, number\nFROM fired"
    )
    return Statement(selects)


def compile_seeds(grain: Grain, chosen: Sequence[Chosen], rules: Rules) -> Statement:
    """One statement that yields for every row the seed of the rows after it: the grain's key, `after` (the row's number), and
    the columns of `seed_columns`.
    """
    carried, _, wanted = _assembled(grain, chosen, rules)
    edge = _edge(grain, chosen, carried)
    seeds = _seeds_used(grain, carried, wanted) | edge.seeds
    selects, by_edge = _rows(grain, rules, carried), with_windows(grain, edge)
    features = carried.features | carried.states | edge.states
    for level in _levels(features, by_edge.windows, set().union(*map(words, seeds.values()))):
        _add(selects, level, by_edge)
    listed = "".join(f",\n  {sql} AS {column}" for column, sql in seeds.items())
    selects["states"] = f"SELECT {', '.join(grain.key)}, {grain.order} AS after{listed}\nFROM {[*selects][-1]}"
    return Statement(selects)


def seed_columns(grain: Grain, chosen: Sequence[Chosen], rules: Rules) -> list[str]:
    """The columns of a seed beside the grain's key and `after`; none where nothing looks back without bound."""
    carried, _, wanted = _assembled(grain, chosen, rules)
    return [*_seeds_used(grain, carried, wanted), *_edge(grain, chosen, carried).seeds]


def _seeds_used(grain: Grain, carried: Carried, wanted: set[str]) -> dict[str, str]:
    """The columns of a seed that the wanted features need, with the SQL that gives them."""
    levels = _levels(carried.features, grain.windows, wanted)
    used = set().union(*(words(feature.sql) for level in levels for feature in level))
    return {column: sql for column, sql in carried.seeds.items() if column in used}


def look_back(grain: Grain, chosen: Sequence[Chosen], rules: Rules) -> int | None:
    """How many rows before a row are enough for its events, beside a seed where the grain carries; None where all are needed.

    A feature looks as far as any that it names, plus what its own window adds. Where a window's frame is a range, a row has at
    least one number of its order for itself, so as many rows as numbers are enough. Raises ValueError where what is
    carried on looks back itself: it could not be right from a piece's first row on.
    """
    carried, _, wanted = _assembled(grain, chosen, rules)
    edge = _edge(grain, chosen, carried)
    above = {} if edge.seeds else {feature.name: feature for level in edge.levels for feature in level}
    furthest = _reach({**carried.features, **above}, carried.ends, grain, wanted)
    return None if math.isinf(furthest) else int(furthest)


def _edge(grain: Grain, chosen: Sequence[Chosen], carried: Carried) -> Edge:
    """The grain's rising edge, over conditions that are met."""
    names = [one.detector.name for one in chosen]
    # Only a piece of the rows asks how far conditions look back; where that is without end there are none.
    reach = _reach(carried.features, carried.ends, grain, {f"met_{name}" for name in names}) if is_carried(grain) else 0
    return edge_of(grain, names, 0 if math.isinf(reach) else int(reach))


def _reach(features: Mapping[str, Feature], ends: Mapping[str, int], grain: Grain, wanted: set[str]) -> float:
    """How far back the wanted features look at most."""
    known: dict[str, float] = {}

    def reach(name: str) -> float:
        if name not in known:
            sql = features[name].sql
            below = max((reach(word) for word in sorted(words(sql) & set(features) - {name})), default=0)
            if name in ends and below > 0:
                raise ValueError(f"{name} is carried on, so what it is made of may not look back: {sql}")
            calls = [_reach_of(call, grain) for call in window_calls(sql, grain.windows)]
            known[name] = below + (ends[name] if name in ends else max(calls, default=0))
        return known[name]

    return max((reach(name) for name in sorted(wanted & set(features))), default=0)


def _reach_of(call: WindowCall, grain: Grain) -> float:
    """How far a call looks back; one without a frame has an end for `lag` alone."""
    if frame := frame_of(grain.windows[call.window]):
        return frame.start
    offset = call.arguments[1] if len(call.arguments) > 1 else "1"
    return int(offset) if call.function == "lag" and offset.isdigit() else math.inf


def _rows(grain: Grain, rules: Rules, carried: Carried) -> dict[str, str]:
    """The SELECTs that bring the rows, by name, the last one's being those that the first level stands on."""
    shared = {name: _literal(value) for name, value in rules.values.items()}
    selects = {"source": _filled(grain.source, shared)}
    if carried.seeds:
        key = ", ".join(grain.key)
        selects["seeded"] = f"SELECT /*+ SHUFFLE_HASH(seeds) */ *\nFROM source LEFT JOIN seeds USING ({key})"
    return selects


def _assembled(
    grain: Grain, chosen: Sequence[Chosen], rules: Rules, explained: bool = False
) -> tuple[Carried, list[str], set[str]]:
    """The features of the grain and of its detectors, an event a detector, and the names that guard and events use."""
    shared = {name: _literal(value) for name, value in rules.values.items()}
    features = _named(grain.features, shared)
    events = []
    wanted = words(_filled(grain.guard, shared))
    for one in chosen:
        numbers = shared | {name: _literal(value) for name, value in one.parameters.items()}
        name, detector = one.detector.name, one.detector
        own = _named(detector.features, numbers)
        if clash := set(own) & set(features):
            raise ValueError(f"{name} declares {', '.join(sorted(clash))}, which exists already")
        features |= own
        condition = f"({_filled(grain.guard, shared)}) AND ({_filled(detector.condition, numbers)})"
        features[f"met_{name}"] = Feature(f"met_{name}", f"coalesce({condition}, false)")
        fires = f"met_{name}"
        if grain.edge is not None:
            fires = f"met_{name} AND NOT recent_{name}"
        context = {**grain.context, **detector.context, "strength": detector.strength, "direction": detector.direction}
        columns = {
            column: f"cast({_filled(context.get(column, 'NULL'), numbers)} AS {kind})"
            for column, kind in EVENT_COLUMNS.items()
        }
        if explained:
            named = _deciding(_filled(detector.condition, numbers), own, features)
            pairs = [f"'{word}', cast({word} AS string)" for word in named]
            columns["why"] = f"map({', '.join(pairs)})"
        wanted |= words(fires) | {word for sql in columns.values() for word in words(sql)}
        events.append(_event(one, fires, columns))
    return carry(features, grain), events, wanted


def _deciding(condition: str, own: Mapping[str, Feature], features: Mapping[str, Feature]) -> list[str]:
    """The features that a condition names, and what those of the detector's own are made of."""
    found: dict[str, None] = {}

    def visit(sql: str) -> None:
        for word in WORD.findall(sql):
            if word in features and word not in found:
                if not word.endswith(EXACT):
                    found[word] = None
                if word in own:
                    visit(own[word].sql)

    visit(condition)
    return list(found)


def _named(features: Sequence[Feature], numbers: Mapping[str, str]) -> dict[str, Feature]:
    """Features by name, numbers filled in; a rounded one stands on its exact value."""
    named = {}
    for feature in features:
        sql = _filled(feature.sql, numbers)
        if feature.rounded:
            exact = f"{feature.name}{EXACT}"
            named[exact] = Feature(exact, sql)
            sql = significant(exact)
        named[feature.name] = Feature(feature.name, sql, lookup=feature.lookup)
    return named


def _event(one: Chosen, fires: str, columns: Mapping[str, str]) -> str:
    values = ",\n  ".join(f"'{name}', {sql}" for name, sql in columns.items())
    return (
        f"named_struct('fires', {fires}, 'detector', '{one.detector.name}', "
        f"'detector_version', {one.detector.version}, 'params_hash', '{one.params_hash}',\n  {values})"
    )


def _levels(features: Mapping[str, Feature], windows: Iterable[str], wanted: set[str]) -> list[list[Feature]]:
    """The wanted features and what they need, by level from the bottom.

    A feature stands above those that it names. Windows that stand on equally many others share a level: each such level is a
    pass over the rows, one without windows is none.
    """
    height: dict[str, tuple[int, int]] = {}

    def climb(name: str, path: tuple[str, ...]) -> tuple[int, int]:
        if name in path:
            raise ValueError(f"features name each other in a circle: {' → '.join((*path, name))}")
        if name not in height:
            named = words(features[name].sql)
            passes, steps = max((climb(need, (*path, name)) for need in named & set(features) - {name}), default=(0, 0))
            height[name] = (passes, steps + 1) if named.isdisjoint(windows) else (passes + 1, 0)
        return height[name]

    for name in sorted(wanted & set(features)):
        climb(name, ())
    return [
        [features[name] for name in features if height.get(name) == level] for level in sorted(set(height.values()))
    ]


def _everywhere(
    features: Mapping[str, Feature], windows: Iterable[str], levels: Sequence[Sequence[Feature]], met: Sequence[str]
) -> set[str]:
    """The features that every row must have: what conditions and windows need. Others are for the rows of events alone."""
    windowed = {feature.name for level in levels for feature in level if not words(feature.sql).isdisjoint(windows)}
    return {feature.name for level in _levels(features, windows, windowed.union(met)) for feature in level}


def _add(selects: dict[str, str], level: Sequence[Feature], grain: Grain) -> None:
    """One more SELECT for the features of a level, if there are any."""
    if level:
        selects[f"level_{len(selects)}"] = _select(level, [*selects][-1], grain.windows)


def _select(level: Sequence[Feature], below: str, windows: Mapping[str, str]) -> str:
    """One level: every column below and the level's features."""
    columns, joins, hints = [f"{below}.*"], [], []
    used: set[str] = set()
    for feature in level:
        if feature.lookup is not None:
            alias = f"{feature.name}_table"
            columns.append(f"{alias}.value AS {feature.name}")
            joins.append(f"LEFT JOIN {feature.lookup} AS {alias} ON {alias}.key = {below}.{feature.sql}")
            hints.append(alias)
        else:
            columns.append(f"{feature.sql} AS {feature.name}")
            used |= words(feature.sql) & set(windows)
    hint = f"/*+ BROADCAST({', '.join(hints)}) */ " if hints else ""
    listed = ",\n  ".join(columns)
    text = f"SELECT {hint}{listed}\nFROM {below}"
    text += "".join(f"\n{join}" for join in joins)
    named = [f"{name} AS ({windows[name]})" for name in windows if name in used]
    return text + (("\nWINDOW\n  " + ",\n  ".join(named)) if named else "")


def _literal(value: float) -> str:
    """A number as a SQL double; a bare decimal literal would make the arithmetic decimal."""
    return f"{float(value)!r}D"


def _filled(sql: str, numbers: Mapping[str, str]) -> str:
    return sql.format(**numbers)
