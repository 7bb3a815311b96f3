"""The weekdays without a session, which DAGs read: .venv/bin/python airflow/closures.py > airflow/dags/closures.json"""

import json
import sys
from datetime import date, timedelta

from smallcaps.calendar import sessions_between

FIRST, LAST = date(2003, 1, 1), date(2030, 12, 31)
"""From where the vendor's history starts to as far as the exchange's rules are taken to hold."""


def closures(first: date, last: date) -> dict[str, str | list[str]]:
    """As closures.json has them."""
    days = {first + timedelta(n) for n in range((last - first).days + 1)}
    closed = {day for day in days if day.weekday() < 5} - set(sessions_between(first, last)["session_date"])
    return {"first": f"{first}", "last": f"{last}", "closed": [f"{day}" for day in sorted(closed)]}


if __name__ == "__main__":
    json.dump(closures(FIRST, LAST), sys.stdout, indent=1)
    sys.stdout.write("\n")
