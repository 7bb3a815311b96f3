"""What is wrong with the live tape: alarms, of what its parts say of themselves and of the last comparison with the batch job."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from smallcaps.calendar.sessions import open_since
from smallcaps.config import LiveSettings
from smallcaps.streaming.process import State

MUTE_SECONDS, START_SECONDS = 30.0, 120.0
"""A part that has said nothing for so long is not well; one that has not said anything yet is given longer."""
REPLAYED_SECONDS = 3_600.0
"""Stamps that are so long ago are those of a day that is played again."""
Kind = Literal["down", "mute", "lag", "silence", "clock", "parity"]
KINDS: tuple[Kind, ...] = ("down", "mute", "lag", "silence", "clock", "parity")


@dataclass(frozen=True)
class Alarm:
    """What is not as it should be, and with which part."""

    kind: Kind
    part: str
    words: str


@dataclass(frozen=True)
class Compared:
    """What the last `smallcaps parity` found: events of a day that were told otherwise than the batch job has them, by the
    detectors of `grains`, and how late first alerts were.

    Latencies are seconds at the 50th, 95th and 99th percentile and at most, from the exchange's stamp and from the evidence's way
    into Kafka; None where there was no alert, or the stamps were of a replay.
    """

    day: str
    grains: Sequence[str]
    differences: int
    from_exchange: Sequence[float] | None
    from_kafka: Sequence[float] | None


def alarms(states: Sequence[State], compared: Compared | None, now: datetime, limits: LiveSettings) -> list[Alarm]:
    """All that is wrong."""
    found = [alarm for state in states for alarm in of_part(state, now, limits)]
    if compared is not None and compared.differences:
        words = f"{compared.differences:,} events of {compared.day} were told otherwise than the batch job has them"
        found.append(Alarm("parity", "parity", f"{words}: see `smallcaps parity {compared.day}`"))
    return found


def of_part(state: State, now: datetime, limits: LiveSettings) -> list[Alarm]:
    """What is wrong with a part: it has ended, says nothing, is behind; of the feed's, silence and clocks that differ."""
    if not state.is_running:
        return [Alarm("down", state.part, f"{state.part} is not running")]
    found: list[tuple[Kind, str]] = []
    if (mute := (now - state.said_at).total_seconds()) > (MUTE_SECONDS if state.facts else START_SECONDS):
        found.append(("mute", f"has said nothing for {mute:.0f} s"))
    if (behind := state.facts.get("behind") or 0) > limits.behind:
        found.append(("lag", f"is {behind:,} messages behind"))
    if state.part == "ingest":
        if (silent := silence(state, now)) > limits.silence_seconds:
            found.append(("silence", f"has had no event of the feed for {silent:.0f} s, and the market is open"))
        if (words := clock_fault(state.facts.get("shortest_lag"), limits)) is not None:
            found.append(("clock", words))
    return [Alarm(kind, state.part, f"{state.part} {words}") for kind, words in found]


def silence(state: State, now: datetime) -> float:
    """Seconds of the market's regular hours in which the feed has said nothing, up to now; 0 while the market is closed."""
    opened = open_since(now)
    if opened is None:
        return 0.0
    heard = state.facts.get("heard_at")
    last = state.began_at if heard is None else datetime.fromisoformat(heard)
    return (now - max(last, opened)).total_seconds()


def clock_fault(shortest: float | None, limits: LiveSettings) -> str | None:
    """What the shortest time from an event to its arrival (seconds; below 0: it came before it happened) says of clocks and feed;
    None where it is as it should be, where nothing came, or where a day is played again.
    """
    if shortest is None or shortest >= REPLAYED_SECONDS:
        return None
    if shortest < -limits.ahead_seconds:
        return f"takes events that are stamped {-shortest:.1f} s ahead of this machine's clock: is it set by NTP?"
    if shortest > limits.delay_seconds:
        return f"takes events {shortest:.1f} s after they happened at the soonest: the feed is late or this machine's clock fast"
    return None


def write_compared(folder: Path, compared: Compared) -> None:
    """Keep what was found where `read_compared` looks: in the folder of the parts."""
    file = _file(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(asdict(compared)), encoding="utf-8")
    beside.replace(file)


def read_compared(folder: Path) -> Compared | None:
    """What the last comparison found; None where there was none."""
    try:
        return Compared(**json.loads(_file(folder).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _file(folder: Path) -> Path:
    # A folder of its own: those beside the parts' files are parts.
    return folder / "parity" / "last.json"
