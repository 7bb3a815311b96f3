"""The exchange's sessions, from the weekdays on which it is closed: closures.json, which `make dictionary` writes."""

import json
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
CLOSURES: dict[str, Any] = json.loads((Path(__file__).parent / "closures.json").read_text())
"""`first` and `last` day that is known of; `closed`: weekdays without a session."""


def sessions(first: str, last: str) -> list[str]:
    """Sessions from one day to another, both included, YYYY-MM-DD. Raises ValueError for a day that nothing is known of."""
    if not CLOSURES["first"] <= first <= last <= CLOSURES["last"]:
        raise ValueError(
            f"{first} to {last} is no range of days between {CLOSURES['first']} and {CLOSURES['last']}, which "
            f"closures.json knows of: `make dictionary` writes it again."
        )
    start, end = date.fromisoformat(first), date.fromisoformat(last)
    days = (start + timedelta(n) for n in range((end - start).days + 1))
    return [f"{day}" for day in days if day.weekday() < 5 and f"{day}" not in CLOSURES["closed"]]


def day_of(dag_run: Any, params: dict[str, Any], ago: int = 0) -> str:
    """The day that a run is of: the one it was asked for, else the one `ago` days before it was due, New York's."""
    due = dag_run.logical_date or dag_run.run_after
    return params.get("day") or f"{(due.astimezone(NEW_YORK) - timedelta(ago)).date()}"


def before(day: str, days: int) -> str:
    """The day so many days earlier."""
    return f"{date.fromisoformat(day) - timedelta(days)}"


def seconds_until(day: str, clock: str) -> int:
    """From now until New York's clock says so on a day; at least a minute."""
    end = datetime.combine(date.fromisoformat(day), time.fromisoformat(clock), NEW_YORK)
    return max(60, round((end - datetime.now(UTC)).total_seconds()))


def flat_file(kind: str, day: str) -> str:
    """Where the vendor's bucket has a day's file."""
    return f"us_stocks_sip/{kind}/{day[:4]}/{day[5:7]}/{day}.csv.gz"


MACROS = {"day_of": day_of, "before": before, "seconds_until": seconds_until, "flat_file": flat_file}
"""What templates may call."""
