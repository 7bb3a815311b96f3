"""Oracle of the daily labels, written from DOMAIN.md and the data dictionary: one event, width and horizon at a time.

No directed prices and no SQL: a long position looks at highs and a short one at lows, in the event day's shares.
"""

from typing import Any

from smallcaps.config.settings import LabelSettings
from smallcaps.labels.horizons import sessions

Row = dict[str, Any]
FIELDS = ("open", "high", "low", "close")


UNMEASURED: Row = dict.fromkeys(
    [
        "entry_at",
        "entry_price",
        "continuation_price",
        "reversal_price",
        "exit_at",
        "sessions_to_exit",
        "return",
        "favourable_excursion",
        "adverse_excursion",
        "gave_back",
        "known_at",
    ]
)
"""What a label without an entry does not have."""


def label(
    event: Row, bars: dict[int, Row], closes: dict[int, Any], width: float, horizon: int, rules: LabelSettings
) -> Row:
    """The measured columns of gold.event_labels. `bars` of the name and `closes` of the market by session number."""
    start = next(number for number, bar in bars.items() if bar["session_date"] == event["session_date"])
    long = event["direction"] > 0
    complete = start + horizon <= max(closes)
    path = {}
    for step in range(1, horizon + 1):
        bar = bars.get(start + step)
        if bar is not None:
            scale = bars[start]["cumulative_factor"] / bar["cumulative_factor"]
            path[step] = {field: bar[field] * scale for field in FIELDS} | {"bar": bar, "scale": scale}
    censored = UNMEASURED | {"outcome": "censored", "weight": 0.0, "delisted": False}
    if 1 not in path:
        return censored
    entry = path[1]["open"] * (1 + rules.half_spread if long else 1 - rules.half_spread)
    target, stop = (entry + width * event["atr"], entry - width * event["atr"])
    if not long:
        target, stop = stop, target
    levels = {"entry_price": entry, "continuation_price": target, "reversal_price": stop}
    entered = {name: level / path[1]["scale"] for name, level in levels.items()}
    entered["entry_at"] = path[1]["bar"]["open_at"]
    outcome, step, fill = first_touch(path, long, target, stop)
    seen_until = start + max(map(sessions, rules.horizons)) + 63
    back = [number for number in bars if start + horizon <= number <= seen_until]
    # Without a barrier or a bar at the end it takes until the name is back, or could not be any more.
    waits = outcome is None and start + horizon not in bars
    settled = min([*back, max(closes), seen_until]) if waits else start + horizon
    delisted = outcome is None and complete and not back
    if delisted:
        step = max(path)
        outcome = "reversal" if long else "continuation"
        fill = path[step]["close"] * (1 + rules.delisting_return)
    elif outcome is None and not complete:
        return censored | entered
    elif outcome is None:
        outcome, step, fill = "none", horizon, path[max(path)]["close"]
    seen = [bar for at, bar in path.items() if at <= step]
    highest = max([entry, *(bar["high"] for bar in seen), *([fill] if delisted else [])])
    lowest = min([entry, *(bar["low"] for bar in seen), *([fill] if delisted else [])])
    own = bars[start]["high"] if long else bars[start]["low"]
    up, down = (highest - entry) / entry, (lowest - entry) / entry
    return entered | {
        "outcome": outcome,
        "weight": 0.0 if outcome == "unresolved" else 1.0,
        "sessions_to_exit": step,
        "exit_at": closes[start + step] if outcome == "none" else path[step]["bar"]["close_at"],
        "return": None if fill is None else (fill - entry) / entry * (1 if long else -1),
        "favourable_excursion": up if long else -down,
        "adverse_excursion": down if long else -up,
        "gave_back": gave_back(list(path.values()), long, event["price"], own, rules.give_back_share)
        if complete
        else None,
        "delisted": delisted,
        "known_at": closes[settled] if complete else path[max(path)]["bar"]["close_at"],
    }


def first_touch(
    path: dict[int, Row], long: bool, target: float, stop: float
) -> tuple[str | None, int | None, float | None]:
    for step, bar in sorted(path.items()):
        if step == 1 and ((bar["open"] <= stop) if long else (bar["open"] >= stop)):
            return "unresolved", step, None
        if (bar["open"] >= target) if long else (bar["open"] <= target):
            return "continuation", step, bar["open"]
        if (bar["open"] <= stop) if long else (bar["open"] >= stop):
            return "reversal", step, bar["open"]
        reaches_target = bar["high"] >= target if long else bar["low"] <= target
        reaches_stop = bar["low"] <= stop if long else bar["high"] >= stop
        if reaches_target and reaches_stop:
            return "unresolved", step, None
        if reaches_target:
            return "continuation", step, target
        if reaches_stop:
            return "reversal", step, stop
    return None, None, None


def gave_back(path: list[Row], long: bool, price: float, own: float, share: float) -> bool:
    """Whether, beyond the event session's `own` extreme, `share` of the way from `price` to a bar's extreme was given back,
    on a later bar or by the bar's own close.
    """
    for place, bar in enumerate(path):
        extreme = bar["high"] if long else bar["low"]
        if (extreme <= own) if long else (extreme >= own):
            continue
        level = extreme - share * (extreme - price)
        if (bar["close"] <= level) if long else (bar["close"] >= level):
            return True
        for later in path[place + 1 :]:
            if (later["low"] <= level) if long else (later["high"] >= level):
                return True
    return False
