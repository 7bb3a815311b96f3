"""Every label of forty random names against the oracle, column by column."""

import datetime as dt
import math

import numpy as np
import pytest
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.labels.horizons import sessions
from tests.labels import oracle
from tests.labels.market import Row, bar, daily_event, labels_of

SESSIONS = sessions_between(dt.date(2024, 1, 2), dt.date(2024, 3, 28)).to_dict("records")
CLOSES = {session["session_number"]: session["close_at"] for session in SESSIONS}
NAMES, EVENTS_A_NAME = 40, 8


def walk(name: str, random: np.random.Generator) -> list[Row]:
    """A random walk with overnight gaps; every third name splits, some bars are missing, every fifth name disappears.

    Nothing is missing within ten sessions of the data's end, where it cannot be told from disappearing.
    """
    number = int(name[1:])
    split = int(random.integers(5, 55)) if number % 3 == 0 else None
    last = int(random.integers(20, 50)) if number % 5 == 0 else len(SESSIONS)
    price, factor, bars = float(random.uniform(2, 18)), 1.0, []
    for place, session in enumerate(SESSIONS[:last]):
        opening = price * math.exp(random.normal(0, 0.02 if random.random() < 0.9 else 0.1))
        path = opening * np.exp(np.cumsum(random.normal(0, 0.012, 12)))
        price = float(path[-1])
        prices = [opening, max(opening, *path), min(opening, *path), price]
        if place == split:
            factor = float(random.choice([0.1, 0.5, 4.0, 10.0]))
        if random.random() > 0.04 or len(SESSIONS) - 10 <= place:
            bars.append(bar(name, session, tuple(float(one) * factor for one in prices), factor))
    return bars


def world() -> tuple[list[Row], dict[str, list[Row]]]:
    """Events and the bars of each name."""
    random = np.random.default_rng(20240102)
    bars = {f"N{number:02d}": walk(f"N{number:02d}", random) for number in range(NAMES)}
    events = []
    for name, rows in bars.items():
        places = {int(place) for place in random.choice(len(rows), EVENTS_A_NAME, replace=False)}
        # And the day before a split.
        places |= {
            place
            for place in range(len(rows) - 1)
            if rows[place]["cumulative_factor"] != rows[place + 1]["cumulative_factor"]
        }
        for place in sorted(places):
            day = rows[place]
            direction, atr = int(random.choice([-1, 1])), day["close"] * float(random.uniform(0.01, 0.08))
            price = day["open"] if random.random() < 0.3 else day["close"]
            events.append(daily_event(name, day, direction, price, atr, event_id=f"{name} {place}"))
    return events, bars


@pytest.fixture(scope="module")
def compared(spark: SparkSession, settings: Settings) -> list[tuple[Row, Row]]:
    """(expected, found) for every event, width and horizon."""
    events, bars = world()
    daily = settings.labels.model_copy(update={"horizons": ("3d", "5d")})
    frame = labels_of(spark, events, [row for rows in bars.values() for row in rows], daily)
    found = {(row["event_id"], row["barrier_width"], row["horizon"]): row.asDict() for row in frame.collect()}
    pairs = []
    for event in events:
        of_name = {row["session_number"]: row for row in bars[event["symbol"]]}
        for width in settings.labels.barrier_widths:
            for horizon in daily.horizons:
                expected = oracle.label(event, of_name, CLOSES, width, sessions(horizon), daily)
                pairs.append((expected, found.pop((event["event_id"], width, horizon))))
    assert found == {}
    assert len(pairs) == len(events) * 4 >= NAMES * EVENTS_A_NAME * 4
    return pairs


def test_the_random_names_bring_every_case(compared: list[tuple[Row, Row]]) -> None:
    """Otherwise the comparison proves little."""
    outcomes = [expected["outcome"] for expected, _ in compared]
    kinds = ("continuation", "reversal", "none", "unresolved", "censored")
    assert [kind for kind in kinds if outcomes.count(kind) < 10] == []
    assert sum(expected["delisted"] for expected, _ in compared) > 5
    assert {expected["gave_back"] for expected, _ in compared} == {True, False, None}


@pytest.mark.parametrize(
    "column",
    [
        *("outcome", "weight", "delisted", "gave_back", "sessions_to_exit", "entry_at", "exit_at", "known_at"),
        *("entry_price", "continuation_price", "reversal_price", "return", "favourable_excursion", "adverse_excursion"),
    ],
)
def test_every_label_is_what_the_oracle_says(column: str, compared: list[tuple[Row, Row]]) -> None:
    def plain(value: object) -> object:
        return value.astimezone(dt.UTC) if isinstance(value, dt.datetime) else value

    unlike = []
    for expected, found in compared:
        one, other = plain(expected[column]), plain(found[column])
        same = (
            math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
            if isinstance(one, float) and isinstance(other, float)
            else one == other
        )
        if not same:
            unlike.append((found["event_id"], found["barrier_width"], found["horizon"], one, other))
    assert unlike == []


def test_a_return_lies_between_the_excursions(compared: list[tuple[Row, Row]]) -> None:
    outside = [
        (
            found["event_id"],
            found["horizon"],
            found["adverse_excursion"],
            found["return"],
            found["favourable_excursion"],
        )
        for _, found in compared
        if found["return"] is not None
        and not found["adverse_excursion"] - 1e-12 <= found["return"] <= found["favourable_excursion"] + 1e-12
    ]
    assert outside == []
