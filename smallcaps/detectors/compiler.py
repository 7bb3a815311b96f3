"""All detectors of a grain → one SQL statement.

1. `Grain.source` brings the rows, distributed once. 2. Features that the chosen detectors need, and what those need in turn,
are layered: a feature stands one level above the highest it names, a level is one SELECT. 3. Each detector's condition is
a column; where the grain has a rising edge, a window over the earlier conditions is another. 4. One array of candidate
events a row, filtered to those that fire, is unnested. The windows of a grain nest in one order, so Spark needs one
shuffle and one sort however many detectors there are.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from smallcaps.config import LiquidityFloor
from smallcaps.detectors.declaration import Detector, Feature, Grain, digest
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
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


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


def compile_statement(grain: Grain, chosen: Sequence[Chosen], rules: Rules, explained: bool = False) -> str:
    """One statement that yields rows of gold.events (without run_id) for every detector of `chosen`.

    `explained`: and with `why`, the features that decide about the detector's condition and their values, as text.
    """
    features, events, wanted = _assembled(grain, chosen, rules, explained)
    levels = _levels(features, wanted)
    shared = {name: _literal(value) for name, value in rules.values.items()}
    statements = [f"source AS (\n{_indented(_filled(grain.source, shared))}\n)"]
    below = "source"
    for number, level in enumerate(levels, start=1):
        statements.append(f"level_{number} AS (\n{_indented(_select(level, below, grain.windows))}\n)")
        below = f"level_{number}"
    listed = ",\n".join(events)
    statements.append(
        "fired AS (\n"
        f"  SELECT symbol, security_id, session_date, inline(filter(array(\n{_indented(listed, 4)}\n  ), event -> event.fires))\n"
        f"  FROM {below}\n)"
    )
    common = ", ".join([*EVENT_COLUMNS, *["why"] * explained])
    identity = "concat_ws('|', security_id, detector, detector_version, params_hash, unix_micros(ts))"
    return (
        "WITH " + ",\n".join(statements) + "\n"
        f"SELECT left(sha2({identity}, 256), 32) AS event_id, symbol, security_id, session_date, '{grain.name}' AS grain,\n"
        f"  detector, detector_version, params_hash, {common}\nFROM fired"
    )


def look_back(grain: Grain, chosen: Sequence[Chosen], rules: Rules) -> int | None:
    """How far before a row its events look, in the unit of the grain's windows (rows, or what they are ordered by, whichever is
    more); None where they look at the whole partition.

    A feature looks as far as any that it names, plus what its own window adds.
    """
    features, _, wanted = _assembled(grain, chosen, rules)
    known: dict[str, float] = {}

    def reach(name: str) -> float:
        if name not in known:
            words = _words(features[name].sql)
            windows = max(
                (_reach_of(word, grain.windows[word], features[name].sql) for word in words & set(grain.windows)),
                default=0,
            )
            known[name] = windows + max((reach(word) for word in words & set(features) - {name}), default=0)
        return known[name]

    furthest = max((reach(name) for name in sorted(wanted & set(features))), default=0)
    return None if math.isinf(furthest) else int(furthest)


_PRECEDING = re.compile(r"BETWEEN (\d+|UNBOUNDED) PRECEDING")


def _reach_of(name: str, window: str, sql: str) -> float:
    """How far `sql` looks back by the window of this name; one without a frame has an end for `lag` alone."""
    if frame := _PRECEDING.search(window):
        return math.inf if frame[1] == "UNBOUNDED" else int(frame[1])
    return max(
        _lag(function, arguments) for function, arguments in (_call(sql[: over.start()]) for over in _over(name, sql))
    )


def _over(window: str, sql: str) -> list[re.Match[str]]:
    return [*re.finditer(rf"\s+OVER {window}\b", sql)]


def _call(sql: str) -> tuple[str, list[str]]:
    """The function whose call ends the text, and its arguments."""
    depth, arguments, end = 0, [], len(sql) - 1
    for place in range(len(sql) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(sql[place], 0)
        if depth == 0 or (depth == 1 and sql[place] == ","):
            arguments.append(sql[place + 1 : end].strip())
            end = place
        if depth == 0:
            return _WORD.findall(sql[:place])[-1], arguments[::-1]
    raise ValueError(f"No call ends {sql!r}.")


def _lag(function: str, arguments: list[str]) -> float:
    if function != "lag" or (len(arguments) > 1 and not arguments[1].isdigit()):
        return math.inf
    return int(arguments[1]) if len(arguments) > 1 else 1


def _assembled(
    grain: Grain, chosen: Sequence[Chosen], rules: Rules, explained: bool = False
) -> tuple[dict[str, Feature], list[str], set[str]]:
    """The features of the grain and of its detectors by name, an event a detector, and the names that guard and events use."""
    shared = {name: _literal(value) for name, value in rules.values.items()}
    features = _named(grain.features, shared)
    events = []
    wanted = _words(_filled(grain.guard, shared))
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
            features[f"recent_{name}"] = Feature(
                f"recent_{name}", f"coalesce(bool_or(met_{name}) OVER {grain.edge}, false)"
            )
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
        wanted |= _words(fires) | {word for sql in columns.values() for word in _words(sql)}
        events.append(_event(one, fires, columns))
    return features, events, wanted


def _deciding(condition: str, own: Mapping[str, Feature], features: Mapping[str, Feature]) -> list[str]:
    """The features that a condition names, and what those of the detector's own are made of."""
    found: dict[str, None] = {}

    def visit(sql: str) -> None:
        for word in _WORD.findall(sql):
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


def _levels(features: Mapping[str, Feature], wanted: set[str]) -> list[list[Feature]]:
    """The wanted features and what they need, by level from the bottom."""
    height: dict[str, int] = {}

    def climb(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise ValueError(f"features name each other in a circle: {' → '.join((*path, name))}")
        if name not in height:
            needs = _words(features[name].sql) & set(features) - {name}
            height[name] = 1 + max((climb(need, (*path, name)) for need in needs), default=0)
        return height[name]

    for name in sorted(wanted & set(features)):
        climb(name, ())
    top = max(height.values(), default=0)
    return [[features[name] for name in features if height.get(name) == level] for level in range(1, top + 1)]


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
            used |= _words(feature.sql) & set(windows)
    hint = f"/*+ BROADCAST({', '.join(hints)}) */ " if hints else ""
    listed = ",\n  ".join(columns)
    text = f"SELECT {hint}{listed}\nFROM {below}"
    text += "".join(f"\n{join}" for join in joins)
    named = [f"{name} AS ({windows[name]})" for name in windows if name in used]
    return text + (("\nWINDOW\n  " + ",\n  ".join(named)) if named else "")


def _words(sql: str) -> set[str]:
    return set(_WORD.findall(re.sub(r"'[^']*'", "", sql)))


def _literal(value: float) -> str:
    """A number as a SQL double; a bare decimal literal would make the arithmetic decimal."""
    return f"{float(value)!r}D"


def _filled(sql: str, numbers: Mapping[str, str]) -> str:
    return sql.format(**numbers)


def _indented(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())
