"""The model of manipulation: on a small tape with pumps and spoofs planted in it, trained, registered and asked again."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.models.manipulation import KINDS, labelled, score_manipulation, train_manipulation
from smallcaps.models.manipulation_alerts import MINUTE_US, Found, _largest, alerts
from smallcaps.models.tracking import client_of
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table

Row = dict[str, Any]
SESSIONS = sessions_between(dt.date(2025, 1, 2), dt.date(2025, 1, 15)).to_dict("records")
FIRST, LAST = SESSIONS[0]["session_date"], SESSIONS[-1]["session_date"]
NAMES = 8
OPEN, MINUTES, QUOTES = 330, 90, 3
MINUTE_NS = 60 * 10**9
PLANTED = {"pump_and_dump": (30, 60), "spoof": (65, 73)}
"""Minutes after the open, from onset to peak."""


def planted(session: int, name: int) -> list[str]:
    """Two names a session are pumped, two spoofed, which move on from day to day."""
    turn = (name + 3 * session) % NAMES
    return [kind for kind, turns in (("pump_and_dump", (0, 4)), ("spoof", (2, 4))) if turn in turns]


def tape() -> tuple[list[Row], list[Row], pd.DataFrame]:
    """Quotes, minute bars and episodes."""
    random = np.random.default_rng(5)
    quotes, bars, episodes = [], [], []
    for place, session in enumerate(SESSIONS):
        four = session["pre_open_at"].value
        for number in range(NAMES):
            who = {
                "security_id": f"T:N{number}:2025-01-02",
                "symbol": f"N{number}",
                "session_date": session["session_date"],
                "session": "regular",
            }
            kinds = planted(place, number)
            for kind in kinds:
                onset, peak = (four + (OPEN + minute) * MINUTE_NS for minute in PLANTED[kind])
                episodes.append(
                    {"symbol": who["symbol"], "session_date": who["session_date"], "kind": kind, "onset_ns": onset}
                    | {"peak_ns": peak, "multiple": 1.0 + number % 2, "near_miss": False}
                )
            price = 10.0
            for minute in range(MINUTES):
                under_way = {kind for kind in kinds if PLANTED[kind][0] <= minute < PLANTED[kind][1]}
                price *= 1 + random.normal(0.004 if "pump_and_dump" in under_way else 0, 0.001)
                begins = four + (OPEN + minute) * MINUTE_NS
                for quote in range(QUOTES):
                    at = begins + (quote + 1) * 15 * 10**9
                    sizes = random.integers(1, 9, 2) * 100.0 * ([12, 1] if "spoof" in under_way else [1, 1])
                    quotes.append(
                        who
                        | {"ts": stamp(at), "sip_ns": at, "participant_ns": at, "sequence_number": minute * 10 + quote}
                        | {
                            "bid_price": price - 0.01,
                            "ask_price": price + 0.01,
                            "bid_size": sizes[0],
                            "ask_size": sizes[1],
                        }
                        | {"is_two_sided": True}
                        | dict.fromkeys(("is_crossed", "is_locked", "is_stale", "is_paused"), False)
                    )
                prices = dict.fromkeys(("open", "high", "low", "close"), price)
                traded = {"volume": int(random.integers(100, 900)), "transactions": int(random.integers(1, 9))}
                where = {"ts": stamp(begins), "segment": 1, "segment_start": OPEN, "minute": OPEN + minute}
                bars.append(who | where | prices | traded | {"is_auction": False, "source": "vendor"})
    return quotes, bars, pd.DataFrame(episodes)


def returns() -> list[Row]:
    """A month before the first day, in which names move by 3 % a day."""
    random = np.random.default_rng(9)
    return [
        {
            "security_id": f"T:N{number}:2025-01-02",
            "symbol": f"N{number}",
            "market_fund": "SPY",
            "small_cap_fund": "IWM",
        }
        | {"session_date": session["session_date"], "known_at": session["close_at"].to_pydatetime(), "n": 60}
        | {"daily_return": float(random.normal(0, 0.03))}
        for number in range(NAMES)
        for session in sessions_between(dt.date(2024, 12, 2), dt.date(2024, 12, 31)).to_dict("records")
    ]


def stamp(at_ns: int) -> dt.datetime:
    return pd.Timestamp(at_ns // 1_000, unit="us", tz="UTC").to_pydatetime()


@pytest.fixture(scope="module")
def own(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("manipulation")
    models = settings.models.model_copy(
        update={"gradient_boosting": {**settings.models.gradient_boosting, "n_estimators": 60}}
    )
    manipulation = settings.manipulation.model_copy(update={"folds": 2})
    return settings.model_copy(update={"lake": f"{root}/lake", "models": models, "manipulation": manipulation})


@pytest.fixture(scope="module")
def episodes() -> pd.DataFrame:
    return tape()[2]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, own: Settings) -> Iterator[Lake]:
    made = Lake(own.lake, spark)
    quotes, bars, _ = tape()
    made.replace("silver.calendar", calendar_frame(spark, dt.date(2024, 12, 2), LAST), None, "test")
    for name, rows in (
        ("silver.quotes", quotes),
        ("silver.bars_1m", bars),
        ("silver.sectors", returns()),
    ):
        made.replace(name, as_table(spark, name, rows), None, "test")
    yield made
    for layer in ("silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


@pytest.fixture(scope="module")
def found(lake: Lake, own: Settings, episodes: pd.DataFrame) -> dict[str, Found]:
    return {
        one.kind: one
        for one in train_manipulation(lake, own, episodes, FIRST, LAST)
        if one.threshold == own.manipulation.alert_probability
    }


def test_what_was_planted_is_found_out_of_sample_and_little_else(found: dict[str, Found]) -> None:
    assert list(found) == list(KINDS)
    for kind, one in found.items():
        tested = [place for place in range(len(SESSIONS)) if place >= len(SESSIONS) // 3]
        assert (one.days, one.name_days) == (len(tested), len(tested) * NAMES)
        assert one.score.episodes == sum(kind in planted(place, name) for place in tested for name in range(NAMES))
        assert one.score.recall.value >= 0.8, kind
        assert one.score.precision.value >= {"pump_and_dump": 0.6, "spoof": 0.9}[kind]
        assert one.false_alarms_a_day == (one.score.alerts - one.score.matched) / one.days < 1
        assert one.random.precision < 0.4 < one.score.precision.value


def test_an_alert_comes_within_minutes_of_the_onset_and_never_before_it_is_known(found: dict[str, Found]) -> None:
    for one in found.values():
        assert one.score.delay is not None
        # The first minute is known a minute and the delay of publication after the onset.
        assert one.score.delay[0] > 1
        assert one.score.delay[1] < 10


def test_the_run_is_logged_and_its_model_is_the_one_that_scores(
    lake: Lake, own: Settings, found: dict[str, Found], episodes: pd.DataFrame
) -> None:
    client = client_of(own, lake)
    version = client.get_model_version_by_alias("manipulation", "champion")
    run = mlflow.get_run(version.run_id)
    for kind, one in found.items():
        assert run.data.metrics[f"{kind}.recall"] == one.score.recall.value
        assert run.data.metrics[f"{kind}.false_alarms_a_day"] == one.false_alarms_a_day
    assert {item.path for item in client.list_artifacts(version.run_id)} >= {
        "alerts.csv",
        "thresholds.csv",
        "input_versions.json",
    }
    written = score_manipulation(lake, own, LAST, LAST)
    rows = lake.read("gold.manipulation_alerts").toPandas()
    assert len(rows) == written > 0
    assert set(rows["model"]) == {f"manipulation@{version.version}"}
    assert (rows["known_at"] - rows["ts"] == pd.Timedelta(seconds=60 + own.publication_delay_seconds)).all()
    on_day = episodes[episodes["session_date"] == LAST]
    assert set(zip(rows["symbol"], rows["kind"], strict=True)) >= set(
        zip(on_day["symbol"], on_day["kind"], strict=True)
    )
    # Another time: the same rows in their place.
    assert score_manipulation(lake, own, LAST, LAST) == written == lake.read("gold.manipulation_alerts").count()


def test_a_minute_is_of_an_episode_that_it_overlaps(spark: SparkSession) -> None:
    day = dt.date(2025, 1, 2)
    minutes = [dt.datetime(2025, 1, 2, 15, minute, tzinfo=dt.UTC) for minute in range(6)]
    rows = spark.createDataFrame(
        [("A", day, ts, f"A{ts:%M}") for ts in minutes] + [("B", day, minutes[2], "B02")],
        "symbol string, session_date date, ts timestamp, event_id string",
    )
    second = int(minutes[0].timestamp() * 1_000_000)
    episode = {
        "symbol": "A",
        "session_date": day,
        "kind": "spoof",
        "onset": second + 90_000_000,
        "peak": second + 180_000_000,
    }
    marked = labelled(rows, pd.DataFrame([episode])).collect()
    # From 15:01:30 to 15:03: the minutes that begin at 15:01 and 15:02.
    assert {row["event_id"] for row in marked if row["spoof"]} == {"A01", "A02"}
    assert not any(row["pump_and_dump"] for row in marked)


def test_a_name_is_alerted_once_until_it_has_been_quiet(spark: SparkSession) -> None:
    likely = {0: 0.9, 1: 0.4, 2: 0.5, 25: 0.7, 55: 0.6, 56: 0.9, 87: 0.49, 88: 0.95}
    rows = [
        (
            name,
            dt.date(2025, 1, 2),
            dt.datetime(2025, 1, 2, 15, tzinfo=dt.UTC) + dt.timedelta(minutes=minute),
            kind,
            value,
        )
        for name, kind in (("A", "spoof"), ("A", "pump_and_dump"), ("B", "spoof"))
        for minute, value in likely.items()
        if (name, minute) != ("B", 0)
    ]
    frame = spark.createDataFrame(
        rows, "security_id string, session_date date, ts timestamp, target string, probability double"
    )
    told: dict[tuple[str, str], list[int]] = {}
    begins = int(dt.datetime(2025, 1, 2, 15, tzinfo=dt.UTC).timestamp())
    rows_told = alerts(frame, 0.5, 30).selectExpr(
        "security_id", "target", f"(unix_seconds(ts) - {begins}) DIV 60 AS minute"
    )
    for row in rows_told.orderBy("minute").collect():
        told.setdefault((row["security_id"], row["target"]), []).append(row["minute"])
    # 25 and 55 come within half an hour of a minute that was likely; 88 is 32 minutes after 56.
    assert told == {("A", "spoof"): [0, 88], ("A", "pump_and_dump"): [0, 88], ("B", "spoof"): [2, 88]}


def test_a_rule_of_one_line_alerts_as_seldom_as_the_model() -> None:
    minutes = pd.DataFrame(
        [("A", 0, 9.0), ("A", 20, 8.0), ("B", 20, 7.0), ("A", 31, 6.0), ("A", 62, 5.0)],
        columns=["symbol", "at", "naive"],
    ).assign(at=lambda rows: rows["at"] * MINUTE_US, session_date=dt.date(2025, 1, 2))
    taken = _largest(minutes, 3, 30)
    # 20 lies within half an hour of 0; of those that are left the three largest.
    assert [(row["symbol"], row["at"] // MINUTE_US) for row in taken.to_dict("records")] == [
        ("A", 0),
        ("B", 20),
        ("A", 31),
    ]
    assert len(_largest(minutes, 9, 30)) == 4


def test_a_fold_that_knows_no_spoof_tests_nothing_and_what_is_missed_counts(
    lake: Lake, own: Settings, episodes: pd.DataFrame
) -> None:
    late = episodes[
        (episodes["kind"] != "spoof") | (episodes["session_date"] >= SESSIONS[len(SESSIONS) // 3]["session_date"])
    ]
    found = {one.kind: one for one in train_manipulation(lake, own, late, FIRST, LAST) if one.threshold == 0.5}
    assert found["spoof"].days == found["pump_and_dump"].days < len(SESSIONS) - len(SESSIONS) // 3


def test_what_cannot_be_trained_or_scored_is_told(
    lake: Lake, own: Settings, episodes: pd.DataFrame, spark: SparkSession, tmp_path: Path
) -> None:
    empty = Lake(str(tmp_path / "empty"), spark)
    apart = own.model_copy(update={"lake": empty.root})
    with pytest.raises(BadInput, match="not written yet"):
        train_manipulation(empty, apart, episodes, FIRST, LAST)
    with pytest.raises(BadInput, match="manipulation has no champion"):
        score_manipulation(empty, apart, FIRST, LAST)
    with pytest.raises(BadInput, match="Too few days"):
        train_manipulation(lake, own, episodes, FIRST, SESSIONS[1]["session_date"])
    with pytest.raises(BadInput, match="Too few episodes"):
        train_manipulation(lake, own, episodes[episodes["kind"] == "gap"], FIRST, LAST)
