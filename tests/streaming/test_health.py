"""Alarms: of a part that has ended, is mute or behind, of a silent feed, of clocks that differ, and of parity."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smallcaps.config import LiveSettings
from smallcaps.streaming.health import Compared, alarms, clock_fault, of_part, read_compared, silence, write_compared
from smallcaps.streaming.process import State, born, states

LIMITS = LiveSettings(behind=1_000, silence_seconds=60, delay_seconds=10, ahead_seconds=1)
OPEN = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
"""A Monday, 09:30 in New York."""


def said(part: str, at: datetime, began: datetime | None = None, **facts: Any) -> State:
    """A part that said something at an instant: this very process, so that it runs."""
    return State(part, os.getpid(), began or at - timedelta(hours=1), at, facts, born(os.getpid()))


def kinds(state: State, now: datetime) -> list[str]:
    return [alarm.kind for alarm in of_part(state, now, LIMITS)]


def test_one_that_is_well_raises_none() -> None:
    now = OPEN + timedelta(hours=1)
    assert kinds(said("detect", now, behind=1_000), now) == []
    assert kinds(said("ingest", now, heard_at=now.isoformat(), shortest_lag=0.2), now) == []


def test_one_that_has_ended_raises_that_alone() -> None:
    now = OPEN + timedelta(hours=1)
    ended = State("ingest", os.getpid(), OPEN, OPEN, {"behind": 9_999}, "never")
    assert [alarm.words for alarm in of_part(ended, now, LIMITS)] == ["ingest is not running"]


def test_one_that_is_mute_or_behind_is_told_of() -> None:
    now = OPEN + timedelta(hours=1)
    assert kinds(said("land", now - timedelta(seconds=30), behind=0), now) == []
    # It is starting.
    assert kinds(said("land", now - timedelta(seconds=120)), now) == []
    assert kinds(said("land", now - timedelta(seconds=121)), now) == ["mute"]
    assert kinds(said("land", now - timedelta(seconds=31), behind=1_001), now) == ["mute", "lag"]
    (alarm,) = of_part(said("detect", now, behind=50_123), now, LIMITS)
    assert alarm.words == "detect is 50,123 messages behind"


@pytest.mark.parametrize(
    ("now", "heard", "seconds"),
    [
        (OPEN + timedelta(minutes=10), OPEN + timedelta(minutes=8), 120),
        # What was not heard before the open counts from the open.
        (OPEN + timedelta(seconds=40), OPEN - timedelta(minutes=5), 40),
        (OPEN - timedelta(seconds=1), OPEN - timedelta(hours=9), 0),
        # 16:00 in New York, Saturday, and Thanksgiving.
        (OPEN + timedelta(hours=6, minutes=30), OPEN, 0),
        (OPEN + timedelta(days=5, hours=1), OPEN, 0),
        (datetime(2026, 11, 26, 16, tzinfo=UTC), OPEN, 0),
        # The day after it ends at 13:00.
        (datetime(2026, 11, 27, 17, 59, tzinfo=UTC), datetime(2026, 11, 27, 17, 58, tzinfo=UTC), 60),
        (datetime(2026, 11, 27, 18, 1, tzinfo=UTC), datetime(2026, 11, 27, 17, 58, tzinfo=UTC), 0),
    ],
)
def test_silence_is_of_the_markets_regular_hours(now: datetime, heard: datetime, seconds: float) -> None:
    assert silence(said("ingest", now, heard_at=heard.isoformat()), now) == seconds


def test_a_feed_that_is_silent_is_told_of_and_a_replay_is_not() -> None:
    now = OPEN + timedelta(hours=1)
    silent = (now - timedelta(seconds=61)).isoformat()
    assert kinds(said("ingest", now, heard_at=silent), now) == ["silence"]
    assert kinds(said("replay", now, heard_at=silent, sent=1), now) == []
    # Nothing has come since it began.
    assert kinds(said("ingest", now, began=now - timedelta(seconds=61), heard_at=None), now) == ["silence"]
    assert kinds(said("ingest", now, began=now - timedelta(seconds=59)), now) == []


@pytest.mark.parametrize(
    ("shortest", "words"),
    [
        (None, None),
        (-1.0, None),
        (10.0, None),
        (-1.5, "takes events that are stamped 1.5 s ahead of this machine's clock: is it set by NTP?"),
        (
            10.5,
            "takes events 10.5 s after they happened at the soonest: the feed is late or this machine's clock fast",
        ),
        # A simulated feed plays a day of long ago.
        (3_600.0, None),
        (86_400.0 * 30, None),
    ],
)
def test_the_shortest_delay_tells_clocks_that_differ(shortest: float | None, words: str | None) -> None:
    assert clock_fault(shortest, LIMITS) == words
    night = OPEN - timedelta(hours=1)
    assert kinds(said("ingest", night, shortest_lag=shortest), night) == ([] if words is None else ["clock"])


def test_a_parity_that_failed_is_told_of_until_one_succeeds(tmp_path: Path) -> None:
    assert read_compared(tmp_path) is None
    failed = Compared("2026-01-05", ["minute"], 3, None, [0.5, 1.0, 2.0, 3.0])
    write_compared(tmp_path, failed)
    assert read_compared(tmp_path) == failed
    assert states(tmp_path) == []
    (alarm,) = alarms([], read_compared(tmp_path), OPEN, LIMITS)
    assert (alarm.kind, alarm.words.split(":")[0]) == (
        "parity",
        "3 events of 2026-01-05 were told otherwise than the batch job has them",
    )
    write_compared(tmp_path, Compared("2026-01-06", ["minute"], 0, None, None))
    assert alarms([], read_compared(tmp_path), OPEN, LIMITS) == []
