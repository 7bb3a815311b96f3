"""Oracle of labels that begin within a session, written from DOMAIN.md and the data dictionary: one event, width and horizon at a
time, by walking down lists. Times are nanoseconds; nothing splits.
"""

import math
from dataclasses import dataclass
from typing import Any

from smallcaps.config.settings import LabelSettings
from smallcaps.labels.horizons import minutes, sessions
from tests.labels.oracle import UNMEASURED, first_touch, gave_back

Row = dict[str, Any]
MINUTE = 60_000_000_000


@dataclass
class Step:
    """What could be traded at: `buy` and `sell` as it began, then as a bar of the side that one gets out at."""

    opens: int
    ends: int
    session: int
    entry: float | None
    open: float
    high: float
    low: float
    close: float


@dataclass
class Name:
    """Rows of one name: daily bars by session number, and of the event's day minute bars, quotes and halts."""

    days: dict[int, Row]
    minutes: list[Row]
    quotes: list[Row]
    halts: list[Row]


def nanoseconds(moment: Any) -> int:
    return round(moment.timestamp() * 1_000_000) * 1_000


def sound(quote: Row, widest: float) -> bool:
    bid, ask = quote["bid_price"], quote["ask_price"]
    return bool(quote["is_two_sided"] and bid < ask and ask - bid <= widest * (ask + bid) / 2)


def quoted_steps(name: Name, long: bool, known: int, end: int, session: int, widest: float) -> list[Step]:
    """The quote in force when the event was known, and those after it to the end of the day."""
    told = [(row["sip_ns"], row["sequence_number"], row) for row in name.quotes]
    told += [(halt["start_ns"], 2**62, None) for halt in name.halts]
    told.sort(key=lambda one: one[:2])
    instants: dict[int, Row | None] = {}
    for at, _, row in told:
        dark = any(halt["start_ns"] <= at < (halt["end_ns"] or 2**63) for halt in name.halts)
        if row is not None and dark:
            continue
        instants[at] = row if row is not None and sound(row, widest) else None
    moments = sorted(instants)
    steps = []
    for place, at in enumerate(moments):
        row = instants[at]
        until = moments[place + 1] if place + 1 < len(moments) else 2**63
        if row is None or until <= known or at >= end:
            continue
        buy, sell = (row["ask_price"], row["bid_price"]) if long else (row["bid_price"], row["ask_price"])
        begins = max(at, known)
        steps.append(Step(begins, begins, session, buy, sell, sell, sell, sell))
    return steps


def path_of(event: Row, name: Name, start: int, rules: LabelSettings, widest: float, end: int) -> list[Step]:
    long, known = event["direction"] > 0, nanoseconds(event["known_at"])
    worse = 1 + rules.half_spread if long else 1 - rules.half_spread
    if any(sound(quote, widest) for quote in name.quotes):
        steps = quoted_steps(name, long, known, end, start, widest) if known < end else []
    else:
        steps = [
            Step(
                begins,
                begins + MINUTE,
                start,
                *(bar["open"] * worse, bar["open"], bar["high"], bar["low"], bar["close"]),
            )
            for bar in sorted(name.minutes, key=lambda bar: bar["ts"])
            if known <= (begins := nanoseconds(bar["ts"])) < end
        ]
    for ahead in range(1, max(map(sessions, rules.horizons)) + 1):
        bar = name.days.get(start + ahead)
        if bar is not None:
            times = nanoseconds(bar["open_at"]), nanoseconds(bar["close_at"])
            entry = bar["open"] * worse if ahead == 1 and not bar["zero_volume"] else None
            steps.append(Step(*times, start + ahead, entry, bar["open"], bar["high"], bar["low"], bar["close"]))
    return steps


def tape_label(
    event: Row, name: Name, width: float, horizon: str, rules: LabelSettings, widest: float, post: int
) -> Row | None:
    """The measured columns of gold.event_labels; None where this horizon is not asked for. `post` is when the post session ends.
    All sessions of the horizon are there.
    """
    start = next(number for number, bar in name.days.items() if bar["session_date"] == event["session_date"])
    long, known = event["direction"] > 0, nanoseconds(event["known_at"])
    closes = {number: nanoseconds(bar["close_at"]) for number, bar in name.days.items()}
    end = closes[start] if known < closes[start] else known if event["grain"] == "daily" else post
    has_tape = bool(name.minutes) or any(sound(quote, widest) for quote in name.quotes)
    within = has_tape and known < end
    last = start + sessions(horizon)
    if sessions(horizon):
        until, elapsed = closes[last], max(closes[start] - known, 0) / MINUTE + 390 * sessions(horizon)
    else:
        if not within or (horizon == "close" and known >= closes[start]):
            return None
        until = min(known + minutes(horizon) * MINUTE, end) if minutes(horizon) else closes[start]
        elapsed = (until - known) / MINUTE
    stretch = (
        math.sqrt(elapsed) if event["grain"] != "daily" else 1.0 if sessions(horizon) else math.sqrt(elapsed / 390)
    )
    atr = event["atr"] if event["atr"] is not None else atr_of(name.minutes, known)
    path = path_of(event, name, start, rules, widest, end)
    within_horizon = [step for step in path if step.ends <= until]
    if not within_horizon or path[0].entry is None:
        return UNMEASURED | {"halted": None, "outcome": "censored", "weight": 0.0, "delisted": False}
    entry = path[0].entry
    sign = 1 if long else -1
    target, stop = entry + sign * width * atr * stretch, entry - sign * width * atr * stretch
    numbered = {number: vars(step) for number, step in enumerate(within_horizon, 1)}
    touched, number, fill = first_touch(numbered, long, target, stop)
    outcome, exit_step = ("none", None) if touched is None or number is None else (touched, within_horizon[number - 1])
    if exit_step is None:
        fill = within_horizon[-1].close
    seen = [step for step in within_horizon if exit_step is None or step.ends <= exit_step.ends]
    fills = [] if fill is None else [fill]
    highest = max([entry, *fills, *(step.high for step in seen)])
    lowest = min([entry, *fills, *(step.low for step in seen)])
    up, down = (highest - entry) / entry, (lowest - entry) / entry
    exit_at = until if exit_step is None else exit_step.ends
    return {
        "entry_at": path[0].opens,
        "entry_price": entry,
        "continuation_price": target,
        "reversal_price": stop,
        "outcome": outcome,
        "weight": 0.0 if outcome == "unresolved" else 1.0,
        "exit_at": exit_at,
        "sessions_to_exit": sessions(horizon) if exit_step is None else exit_step.session - start,
        "return": None if fill is None else sign * (fill - entry) / entry,
        "favourable_excursion": up if long else -down,
        "adverse_excursion": down if long else -up,
        "gave_back": gave_back(
            list(numbered.values()),
            long,
            event["price"],
            before(event, name, start, known, within),
            rules.give_back_share,
        ),
        "delisted": False,
        "halted": any((halt["end_ns"] or 2**63) > known and halt["start_ns"] <= exit_at for halt in name.halts),
        "known_at": until,
    }


def before(event: Row, name: Name, start: int, known: int, within: bool) -> float:
    """The extreme in the event's direction before it could be known."""
    side, furthest = ("high", max) if event["direction"] > 0 else ("low", min)
    if not within:
        return float(name.days[start][side])
    ended = [bar[side] for bar in name.minutes if nanoseconds(bar["ts"]) + MINUTE <= known]
    return float(furthest([event["price"], *ended]))


def atr_of(bars: list[Row], known: int) -> float:
    """Mean true range of the segment's minutes that ended by `known` among the last 20 before its minute, in whole 1/10,000 $."""
    ranges: dict[int, list[int]] = {}
    previous: dict[int, float] = {}
    for bar in sorted(bars, key=lambda bar: bar["ts"]):
        close = previous.get(bar["segment"])
        high, low = bar["high"], bar["low"]
        begins = nanoseconds(bar["ts"])
        if begins + MINUTE <= known and begins >= known // MINUTE * MINUTE - 20 * MINUTE:
            width = high - low if close is None else max(high, close) - min(low, close)
            ranges.setdefault(bar["segment"], []).append(round(width * 10_000))
        previous[bar["segment"]] = bar["close"]
    last = ranges[max(ranges)]
    return sum(last) / len(last) / 10_000
