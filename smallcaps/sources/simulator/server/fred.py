"""FRED's wire beside the vendor's: the figures of a series that were in force in a period of ours.

As FRED does, the answer cuts the stretch in which a figure was in force to the period asked for, says 400 where the series has
no archive in it (or does not exist: the words are the same), and 400 where there are too many vintages.
"""

import hmac
from datetime import date
from typing import Any

from smallcaps.sources.simulator.server.served import Marks
from smallcaps.sources.simulator.server.wire import Answer, Ask, Refusal
from smallcaps.sources.simulator.server.world import World

ROOT = "/fred/"
FILE = "fred_vintages"
MAXIMUM, VINTAGES = 100_000, 2_000
LAST_DAY = "9999-12-31"
ABSENT = "The series does not exist in ALFRED but may exist in FRED."


def refused(said: str) -> Refusal:
    """A refusal with an error body of FRED's."""
    refusal = Refusal(400, said)
    refusal.body = _error(said)
    return refusal


def key_refused(given: str, key: str) -> dict[str, Any] | None:
    """The error body for a key that is not there or not the right one; None where it is."""
    if not given:
        return _error("Variable api_key is not set.")
    if not hmac.compare_digest(given.encode(), key.encode()):
        return _error("The value for variable api_key is not registered.")
    return None


def _error(said: str) -> dict[str, Any]:
    return {"error_code": 400, "error_message": f"Bad Request.  {said}"}


def observations(world: World, ask: Ask) -> Answer:
    """`/fred/series/observations`: by real-time period (output_type=1), as JSON."""
    series = ask.text("series_id")
    if series is None:
        raise refused("Variable series_id is not set.")
    if ask.text("file_type") != "json" or ask.text("output_type") not in (None, "1"):
        raise refused("Only file_type=json and output_type=1 are simulated.")
    today = str(world.today())
    start, end = _day(ask, "realtime_start", today), _day(ask, "realtime_end", today)
    first, last = _day(ask, "observation_start", "1776-07-04"), _day(ask, "observation_end", LAST_DAY)
    if start > end:
        raise refused("The variable realtime_start can not be after realtime_end.")
    limit, offset = _number(ask, "limit", MAXIMUM, 1, MAXIMUM), _number(ask, "offset", 0, 0, 10**9)
    records = world.records(FILE)
    found = [
        line
        for line, record in enumerate(records)
        if record["series_id"] == series
        and record["realtime_start"] <= min(end, today)
        and record["realtime_end"] >= start
    ]
    if not found:
        raise refused(ABSENT)
    vintages = len({records[line]["realtime_start"] for line in found})
    if vintages > VINTAGES:
        raise refused(
            f"There are {vintages} vintage dates in the specified real-time period: {start} to {end}.  This exceeds the maximum "
            f"number of vintage dates allowed ({VINTAGES})."
        )
    found = [line for line in found if first <= records[line]["date"] <= last]
    given = found[offset : offset + limit]
    body = {
        **{"realtime_start": start, "realtime_end": end, "observation_start": first, "observation_end": last},
        **{"units": "lin", "output_type": 1, "file_type": "json", "order_by": "observation_date", "sort_order": "asc"},
        **{"count": len(found), "offset": offset, "limit": limit},
        "observations": [_within(records[line], start, end) for line in given],
    }
    return Answer(body, len(given), [Marks(FILE, len(records), given)] if given else [])


def _within(record: dict[str, Any], start: str, end: str) -> dict[str, str]:
    return {
        "realtime_start": max(record["realtime_start"], start),
        "realtime_end": min(record["realtime_end"], end),
        "date": record["date"],
        "value": record["value"],
    }


def _day(ask: Ask, name: str, default: str) -> str:
    text = ask.text(name) or default
    try:
        return str(date.fromisoformat(text))
    except ValueError as error:
        raise refused(f"Variable {name} is not a YYYY-MM-DD formatted date (e.g. 2000-02-24).") from error


def _number(ask: Ask, name: str, default: int, least: int, greatest: int) -> int:
    text = ask.text(name) or str(default)
    if not text.isdecimal() or not least <= int(text) <= greatest:
        raise refused(f"Variable {name} is not between {least} and {greatest}.")
    return int(text)
