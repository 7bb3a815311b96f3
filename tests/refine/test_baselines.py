"""What is to be expected of a name and a minute, against pandas and fractions; and that nothing later takes part."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.lake import declared
from smallcaps.refine.baselines import MINUTES, SESSIONS, baselines, session_volumes, volume_curves
from smallcaps.refine.labels import calendar_frame
from tests.oracles.rounding import sig9

CALENDAR = sessions_between(date(2019, 10, 1), date(2019, 12, 31))  # November 29th and December 24th close at 13:00.
DAYS = list(CALENDAR["session_date"])
NUMBERS = dict(zip(DAYS, CALENDAR["session_number"], strict=True))
EARLY = [day for day, early in zip(DAYS, CALENDAR["early_close"], strict=True) if early]
EVENINGS = {
    day: evening.to_pydatetime().astimezone().replace(tzinfo=None)
    for day, evening in zip(DAYS[1:], CALENDAR["post_close_at"], strict=False)
}
"""When the session before a day ended, as Spark hands instants out."""
SPLIT_ON = DAYS[30]
FACTORS = {"SPLIT": 0.1}
PART_ENDS = (330, 720, MINUTES)


def factor(name: str, day: date) -> float:
    return FACTORS.get(name, 1.0) if day >= SPLIT_ON else 1.0


def world() -> pd.DataFrame:
    """Daily bars: a full name, one that splits, a thin one, a young one, and one whose trades are not known at first."""
    draw = np.random.default_rng(7)
    traded = {
        "FULL": DAYS,
        "SPLIT": DAYS,
        "THIN": [day for day in DAYS if draw.random() < 0.5],
        "YOUNG": DAYS[40:],
        "UNCOUNTED": DAYS,
    }
    rows = [
        {
            "symbol": name,
            "session_date": day,
            "volume": int(draw.integers(0, 1_000_000)),
            "transactions": None if name == "UNCOUNTED" and day < DAYS[25] else int(draw.integers(1, 5_000)),
            "close": round(float(draw.uniform(1, 20)), 2),
            "cumulative_factor": factor(name, day),
        }
        for name, days in traded.items()
        for day in days
    ]
    return pd.DataFrame(rows).assign(security_id=lambda frame: "F:" + frame["symbol"])


def plain(rows: pd.DataFrame) -> list[tuple[object, ...]]:
    """Rows for a frame of Spark's: counts that are not known make a column floating, and are null."""
    whole = rows.astype({"transactions": "Int64"}).astype(object)
    return list(whole.where(rows.notna(), None).itertuples(index=False, name=None))


def made(spark: SparkSession, bars: pd.DataFrame) -> list[dict[str, object]]:
    columns = {"security_id": "string", "symbol": "string", "session_number": "int", "volume": "bigint"}
    columns |= {"transactions": "bigint", "close": "double", "cumulative_factor": "double"}
    rows = bars.assign(session_number=bars["session_date"].map(NUMBERS))[list(columns)]
    frame = spark.createDataFrame(plain(rows), ", ".join(f"{name} {kind}" for name, kind in columns.items()))
    factors = spark.createDataFrame(
        [(f"F:{name}", SPLIT_ON, date(9999, 12, 31), value) for name, value in FACTORS.items()],
        "security_id string, from_date date, to_date date, cumulative_factor double",
    )
    found = baselines(frame, calendar_frame(spark, DAYS[0], DAYS[-1]), factors)
    assert [column.name for column in declared("silver.baselines").columns] == found.columns
    return sorted((row.asDict() for row in found.collect()), key=lambda row: (row["symbol"], row["session_date"]))


def expected(bars: pd.DataFrame) -> list[dict[str, object]]:
    rows = []
    for symbol, own in bars.groupby("symbol"):
        traded = dict(zip(own["session_date"], own.itertuples(), strict=True))
        for place, day in enumerate(DAYS):
            if day not in traded and (not place or DAYS[place - 1] not in traded):
                continue
            before = [traded[one] for one in DAYS[max(0, place - SESSIONS) : place] if one in traded]
            counted = [bar.transactions for bar in before if not pd.isna(bar.transactions)]
            own_factor = factor(str(symbol), day)
            normal = [bar.volume * bar.cumulative_factor for bar in before]
            enough = len(before) >= 10
            rows.append(
                {
                    "security_id": f"F:{symbol}",
                    "symbol": symbol,
                    "session_date": day,
                    "known_at": EVENINGS[day] if place else None,
                    "bars": len(before),
                    "counted_bars": len(counted),
                    "median_volume": pytest.approx(np.median(normal) / own_factor, rel=1e-12) if enough else None,
                    "median_trades": np.median(counted) if len(counted) >= 10 else None,
                }
            )
    return rows


def test_a_usual_day_is_the_median_of_the_bars_in_the_20_sessions_before(spark: SparkSession) -> None:
    bars = world()
    rows = made(spark, bars)
    assert rows == expected(bars)
    assert len({row["median_volume"] for row in rows if row["symbol"] == "YOUNG"}) > 1
    # The day after the last bar has a row of what is known by then.
    thin = set(bars[bars["symbol"] == "THIN"]["session_date"])
    assert {row["session_date"] for row in rows if row["symbol"] == "THIN"} - thin


def test_what_comes_on_the_day_or_later_changes_no_baseline(spark: SparkSession) -> None:
    bars, place = world(), 45
    later = bars["session_date"] >= DAYS[place]
    shocked = bars.assign(volume=bars["volume"].where(~later, 1), transactions=bars["transactions"].where(~later, 1))
    until = [row for row in made(spark, bars) if row["session_date"] <= DAYS[place]]
    assert until == [row for row in made(spark, shocked) if row["session_date"] <= DAYS[place]]
    cut = [row for row in made(spark, bars[~later]) if row["session_date"] <= DAYS[place]]
    assert {(row["symbol"], row["session_date"]): row for row in until}.items() >= {
        (row["symbol"], row["session_date"]): row for row in cut
    }.items()
    # Of the first day without bars those rows are there that follow the session before.
    assert {row["symbol"] for row in cut if row["session_date"] == DAYS[place]} >= {
        "FULL",
        "SPLIT",
        "UNCOUNTED",
        "YOUNG",
    }


def test_the_names_above_the_floor_are_pooled_minute_by_minute(spark: SparkSession) -> None:
    first, second = DAYS[:2]
    minutes = spark.createDataFrame(
        [
            ("A", first, "regular", 330, 100, 3),
            ("B", first, "regular", 330, 50, None),
            ("LOW", first, "regular", 330, 7_000, 70),
            ("A", first, "closed", -10, 9, 1),
            ("B", first, "pre", 12, 5, None),
            ("A", second, "regular", 330, 11, 1),
            ("LOW", second, "post", 900, 40, 4),
        ],
        "security_id string, session_date date, session string, minute int, volume bigint, transactions bigint",
    )
    floored = [(one, first, one != "LOW") for one in ("A", "B", "LOW")] + [("LOW", second, True)]
    universe = spark.createDataFrame(floored, "security_id string, session_date date, passes_floor boolean")
    pooled = session_volumes(minutes, universe)
    assert [column.name for column in declared("silver.session_volumes").columns] == pooled.columns
    assert sorted(tuple(row) for row in pooled.collect()) == [
        (first, 12, 5, None, 1),
        (first, 330, 150, 3, 2),
        (second, 900, 40, 4, 1),
    ]


def pooled_volumes(days: Sequence[date]) -> pd.DataFrame:
    """Volumes of some minutes a session, more of them around the open; trades are not known of the first ten days."""
    draw = np.random.default_rng(11)
    rows = []
    for day in days:
        chosen = np.unique([*draw.integers(0, MINUTES, 300), *range(325, 345)])
        rows += [
            (day, int(minute), int(draw.integers(1, 10_000)), None if day < DAYS[10] else int(draw.integers(1, 99)), 1)
            for minute in chosen
        ]
    return pd.DataFrame(rows, columns=["session_date", "minute", "volume", "transactions", "bars"])


def curves(spark: SparkSession, volumes: pd.DataFrame) -> dict[tuple[date, int], dict[str, object]]:
    schema = "session_date date, minute int, volume bigint, transactions bigint, bars bigint"
    found = volume_curves(spark.createDataFrame(plain(volumes), schema), calendar_frame(spark, DAYS[0], DAYS[-1]))
    assert [column.name for column in declared("silver.volume_curves").columns] == found.columns
    return {(row["session_date"], row["minute"]): row.asDict() for row in found.collect()}


def expected_shares(volumes: pd.DataFrame, day: date, column: str, minutes: int = 1) -> list[float | None]:
    """By fractions: pooled, smoothed within each part of the session, as shares of the day; of so many minutes together."""
    place, early = DAYS.index(day), day in EARLY
    kind = [one for one in DAYS[max(0, place - SESSIONS) : place] if (one in EARLY) == early]
    known = volumes[volumes["session_date"].isin(kind)].dropna(subset=[column])
    sums = known.groupby("minute")[column].sum()
    pooled = [Fraction(int(sums.get(minute, 0))) for minute in range(MINUTES)]
    smoothed: list[Fraction] = []
    together: list[Fraction | None] = []
    start = 0
    for end in (330, 540, MINUTES) if early else PART_ENDS:
        for minute in range(start, end):
            around = pooled[max(start, minute - 2) : min(end, minute + 3)]
            smoothed.append(sum(around, Fraction(0)) / len(around))
            first = minute - minutes + 1
            together.append(sum(smoothed[first:], Fraction(0)) if first >= start else None)
        start = end
    total = sum(smoothed, Fraction(0))
    return [None if one is None or not total else sig9(float(one / total)) for one in together]


def test_a_curve_is_pooled_smoothed_and_adds_up_to_one(spark: SparkSession) -> None:
    volumes = pooled_volumes(DAYS)
    found = curves(spark, volumes)
    for day in (DAYS[10], DAYS[15], DAYS[30], DAYS[-1], EARLY[1]):
        own = [found[day, minute] for minute in range(MINUTES)]
        for column, pooled, minutes in (
            ("volume_share", "volume", 1),
            ("volume_share_5m", "volume", 5),
            ("trades_share", "transactions", 1),
        ):
            wanted = expected_shares(volumes, day, pooled, minutes)
            got = [row[column] for row in own]
            assert [one is None for one in got] == [one is None for one in wanted], (day, column)
            assert [one or 0.0 for one in got] == pytest.approx([one or 0.0 for one in wanted], rel=1e-8), (day, column)
        assert sum(float(str(row["volume_share"])) for row in own) == pytest.approx(1, abs=1e-7)
        assert {row["known_at"] for row in own} == {EVENINGS[day]}
        assert [row["session"] for row in own].count("regular") == (210 if day in EARLY else 390)


def test_days_that_close_early_are_a_kind_of_their_own(spark: SparkSession) -> None:
    found = curves(spark, pooled_volumes(DAYS))
    sessions = {day: row["sessions"] for (day, minute), row in found.items() if minute == 0}
    # Days of the usual length have a curve from the eleventh on; the second early close has one within 20 sessions.
    assert set(DAYS) - set(sessions) == {*DAYS[:10], EARLY[0]}
    assert sessions[DAYS[10]] == 10
    assert sessions[EARLY[1]] == 1
    assert sessions[DAYS[20]] == 20
    assert sessions[DAYS[-1]] == 19  # One of the twenty before it closed early.


def test_no_later_session_changes_a_curve(spark: SparkSession) -> None:
    volumes, place = pooled_volumes(DAYS), 45
    until = {key: row for key, row in curves(spark, volumes).items() if key[0] <= DAYS[place]}
    cut = curves(spark, volumes[volumes["session_date"] < DAYS[place]])
    assert until == {key: row for key, row in cut.items() if key[0] <= DAYS[place]}


def test_nothing_pooled_gives_no_curve(spark: SparkSession) -> None:
    assert curves(spark, pooled_volumes([])) == {}
