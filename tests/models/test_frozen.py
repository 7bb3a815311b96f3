"""Frozen datasets: what is in them, that they come out the same after their tables have moved on, and how two differ."""

import datetime as dt
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.labels.uniqueness import uniqueness
from smallcaps.lake import Lake, declared, last_runs, stale
from smallcaps.models.context import FEATURES as CONTEXT
from smallcaps.models.frozen import (
    EVENT,
    INPUT_TABLES,
    TAPE,
    build_dataset,
    content_hash,
    dataset_difference,
    described,
    event_inputs,
    input_names,
    labelled_events,
    rebuild_dataset,
)
from smallcaps.models.walk_forward import walk_forward
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table
from tests.models.world import FIRST, LAST, SESSIONS, Row, event_row, fuller, label_row, world, write, write_labels

FACT = "days_to_cover"
KNOWN_AT_THE_EVENT = {
    *("direction", "strength", "price", "volume", "dollar_volume", "pct_change", "gap_pct", "atr", "relative_volume"),
    *("rvol_n", "minutes_since_open", "possible_missing_split"),
}
"""Columns of gold.events that daily detectors fill from their own day and the days before; for a gap, from its open and the
days before. A column that is not here has to be argued for."""


def covered(event: Row, days: float) -> Row:
    """A row of silver.short_interest known an hour before the event."""
    return {
        "security_id": event["security_id"],
        "symbol": event["symbol"],
        "settlement_date": event["session_date"],
        "version": 1,
        "known_at": event["known_at"] - dt.timedelta(hours=1),
        "short_interest": 1_000,
        "days_to_cover": days,
        "as_of": event["session_date"],
        "source_sha256": "0",
    }


@pytest.fixture(scope="module")
def past() -> tuple[list[Row], list[Row]]:
    """Every tenth event weighs nothing."""
    events, labels = world()
    labels = [
        label | {"outcome": "censored", "weight": 0.0} if place % 10 == 0 else label
        for place, label in enumerate(labels)
    ]
    return events, labels


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession, past: tuple[list[Row], list[Row]]) -> Lake:
    made = Lake(str(tmp_path_factory.mktemp("frozen")), spark)
    events, labels = past
    write(made, spark, events, labels)
    said = [covered(events[0], 3.5)]
    made.replace("silver.short_interest", as_table(spark, "silver.short_interest", said), None, "test")
    core = [
        {"rank": place + 1, "score": 0.5, "strength_percentile": 0.5, "earlier_events": 9}
        | {name: events[place][name] for name in ("event_id", "symbol", "session_date", "ts", "detector")}
        for place in range(1, 4)
    ]
    made.replace("gold.core_manifest", as_table(spark, "gold.core_manifest", core), None, "test")
    return made


@pytest.fixture(scope="module")
def frozen(lake: Lake, settings: Settings) -> str:
    build_dataset(lake, settings, "first", "daily", FIRST, LAST)
    return "first"


@pytest.fixture(scope="module")
def rows(lake: Lake, frozen: str) -> dict[str, Row]:
    found = lake.read("gold.dataset_rows").where(f"dataset = '{frozen}'").collect()
    return {row["event_id"]: row.asDict() for row in found}


def test_every_event_that_weighs_something_is_there_once_with_its_outcome(
    rows: dict[str, Row], past: tuple[list[Row], list[Row]]
) -> None:
    _, labels = past
    wanted = {label["event_id"]: label for label in labels if label["weight"] > 0}
    assert {one: (row["outcome"], row["return"], row["gave_back"]) for one, row in rows.items()} == {
        one: (label["outcome"], label["return"], label["gave_back"]) for one, label in wanted.items()
    }
    assert len(wanted) < len(labels)


def test_inputs_are_what_was_known_in_the_order_of_their_names(
    rows: dict[str, Row], past: tuple[list[Row], list[Row]], lake: Lake, frozen: str
) -> None:
    names = described(lake, frozen)["input_names"]
    assert names[: len(EVENT)] == list(EVENT)
    events, labels = past
    kept = [event for event, label in zip(events, labels, strict=True) if label["weight"] > 0]
    for event in kept[:50]:
        inputs = dict(zip(names, rows[event["event_id"]]["inputs"], strict=True))
        assert inputs["direction"] == event["direction"]
        assert inputs["log_strength"] == pytest.approx(np.log(event["strength"]))
        volume = event["relative_volume"]
        assert inputs["log_relative_volume"] == (None if volume is None else pytest.approx(np.log(volume)))
        assert [inputs[f"is_{name}"] for name in sorted({event["detector"] for event in events})] == [
            float(name == event["detector"]) for name in sorted({event["detector"] for event in events})
        ]
    covered_names = {event["event_id"] for event in events if event["security_id"] == events[0]["security_id"]}
    since = events[0]["known_at"]
    expected = {
        event["event_id"] for event in events if event["event_id"] in covered_names and event["known_at"] >= since
    }
    place = names.index(FACT)
    assert {one for one, row in rows.items() if row["inputs"][place] == 3.5} == expected & rows.keys()


def test_nothing_that_is_measured_after_an_event_can_be_an_input(settings: Settings) -> None:
    later = {column.name for column in declared("gold.event_features").columns if column.timing == "post"}
    later |= {column.name for column in declared("gold.event_labels").columns} - {
        "event_id",
        "symbol",
        "session_date",
        "known_at",
    }
    for definition in settings.datasets.values():
        names = input_names(definition)
        assert later.isdisjoint(names)
        assert len(names) == len(set(names))
        assert set(CONTEXT) < set(names)
        assert (set(TAPE) < set(names)) == ("minute" in definition.grains)


def columns_of(sql: str) -> set[str]:
    """The names in an expression that are no functions, keywords or numbers."""
    return set(re.findall(r"(?<![\w.])`?([a-z_][a-z0-9_]*)`?(?!\w*\()", sql))


def later_columns(formulas: dict[str, str]) -> dict[str, set[str]]:
    """Inputs that read anything not known at the event → what they read."""
    read = {name: columns_of(sql) - KNOWN_AT_THE_EVENT for name, sql in formulas.items()}
    return {name: columns for name, columns in read.items() if columns}


def test_inputs_of_the_event_read_nothing_that_was_not_known_at_it() -> None:
    assert {column.name for column in declared("gold.events").columns} >= KNOWN_AT_THE_EVENT
    own = {"event_id", "symbol", "session_date"}
    assert KNOWN_AT_THE_EVENT.isdisjoint({column.name for column in declared("gold.event_labels").columns} - own)
    assert all(columns_of(sql) for sql in EVENT.values())
    assert later_columns(EVENT) == {}


@pytest.mark.parametrize(
    "leak", ["`return`", "favourable_excursion / atr", "IF(gave_back, 1D, 0D)", "vwap_distance", "ln(sessions_to_exit)"]
)
def test_an_input_that_looks_forward_is_caught_by_its_columns(leak: str) -> None:
    assert list(later_columns({**EVENT, "leak": leak})) == ["leak"]


def inputs_of(spark: SparkSession, settings: Settings, **values: Any) -> dict[str, float | None]:
    """The inputs of a daily event of which nothing else is known."""
    event = event_row("e", SESSIONS[3], **values)
    tables = {name: as_table(spark, name, []) for name in INPUT_TABLES}
    definition = settings.datasets["daily"]
    found = event_inputs(as_table(spark, "gold.events", [event]), tables, definition).collect()
    assert len(found) == 1
    return dict(zip(input_names(definition), found[0]["inputs"], strict=True))


def test_inputs_are_signed_by_the_direction_and_scaled(spark: SparkSession, settings: Settings) -> None:
    short = {"direction": -1, "strength": 2.0, "price": 10.0, "pct_change": -0.12, "gap_pct": 0.03, "atr": 0.5}
    volume = {"dollar_volume": 1e6, "relative_volume": 4.0}
    found = inputs_of(spark, settings, detector="atr_breakout", **short, **volume)
    expected = {
        "direction": -1,
        "log_strength": math.log(2),
        "signed_change": 0.12,  # fell, and down is the event's direction
        "signed_gap": -0.03,
        "atr_share": 0.05,  # 0.5 of 10
        "move_in_atr": 2.4,  # 12 % of 10 is 1.2, of 0.5
        "log_relative_volume": math.log(4),
        "log_dollar_volume": math.log(1e6),
        "log_price": math.log(10),
        "possible_missing_split": 0,
    }
    assert list(expected) == list(EVENT)
    assert {name: found[name] for name in EVENT} == pytest.approx(expected)
    assert {name for name in found if name.startswith("is_") and found[name] == 1} == {"is_atr_breakout"}


def test_the_hour_of_an_event_tells_the_morning_before_the_open_from_the_afternoon(
    spark: SparkSession, settings: Settings
) -> None:
    at = {"early": dt.datetime(2024, 1, 5, 13, 0, 2), "late": dt.datetime(2024, 7, 5, 18, 30, 2)}
    rows = [
        event_row("e", SESSIONS[3], "volume_spike")
        | {
            "event_id": name,
            "known_at": known_at.replace(tzinfo=dt.UTC),
            "grain": "minute",
            "minutes_since_open": 240.0,
        }
        for name, known_at in at.items()
    ]
    tables = {name: as_table(spark, name, []) for name in INPUT_TABLES}
    definition = settings.datasets["intraday"]
    place = input_names(definition).index("hours_since_open")
    found = event_inputs(as_table(spark, "gold.events", rows), tables, definition).collect()
    # 08:00 in winter, 14:30 in summer, New York.
    assert {row["event_id"]: row["inputs"][place] for row in found} == {"early": -1.5, "late": 5.0}


def test_what_is_missing_or_no_number_is_null(spark: SparkSession, settings: Settings) -> None:
    # A gap is known at the open: the volume of its day is not.
    gap = inputs_of(spark, settings, detector="gap")
    assert (gap["log_relative_volume"], gap["is_gap"], gap["possible_missing_split"]) == (None, 1, 0)
    # The logarithm of 0, a share of 0, and what was never measured; a split that may be missing is told, an unknown one not.
    odd = {"dollar_volume": 0.0, "atr": 0.0, "pct_change": 0.1, "gap_pct": None, "possible_missing_split": True}
    found = inputs_of(spark, settings, detector="range_explosion", **odd)
    assert [found[name] for name in ("log_dollar_volume", "move_in_atr", "signed_gap")] == [None] * 3
    assert (found["atr_share"], found["possible_missing_split"]) == (0, 1)
    unknown = inputs_of(spark, settings, detector="range_explosion", possible_missing_split=None)
    assert unknown["possible_missing_split"] == 0


def test_each_resolved_daily_event_of_the_asked_width_and_horizon_is_one_row(
    spark: SparkSession, settings: Settings
) -> None:
    names = ("continuation", "reversal", "none", "unresolved", "censored", "open", "width", "horizon", "unlabelled")
    events = {name: event_row(name, SESSIONS[5], "gap") for name in names}
    events["minute"] = event_row("minute", SESSIONS[5], "volume_spike", grain="minute")
    events["late"] = event_row("late", SESSIONS[6], "gap")
    labels = fuller([label_row(events[name], name) for name in names[:5]])
    labels += fuller([label_row(events[name], "continuation") for name in ("minute", "late", "open")])
    labels[-1]["gave_back"] = None
    labels += fuller([label_row(events["width"], "continuation", width=2.0)])
    labels += fuller([label_row(events["horizon"], "continuation", horizon="3d")])
    labels += fuller([label_row(events["reversal"], "continuation", width=2.0)])
    tables = {
        "gold.events": as_table(spark, "gold.events", events.values()),
        "gold.event_labels": as_table(spark, "gold.event_labels", labels),
        "silver.calendar": calendar_frame(spark, FIRST, LAST),
    }
    day = SESSIONS[5]["session_date"]
    found = labelled_events(tables, settings.datasets["daily"], FIRST, day).collect()
    assert {row["event_id"]: row["outcome"] for row in found} == {name: name for name in names[:3]}
    assert {row["session_date"] for row in found} == {day}
    number = SESSIONS[5]["session_number"]
    assert {(row["session_number"], row["label_session"]) for row in found} == {(number, number + 5)}


def test_rows_know_their_fold_their_uniqueness_and_the_manifest(
    rows: dict[str, Row], past: tuple[list[Row], list[Row]], lake: Lake, frozen: str, settings: Settings
) -> None:
    definition = settings.datasets["daily"]
    numbers = sorted({row["session_number"] for row in rows.values()})
    folds = walk_forward(numbers, definition.folds, definition.embargo_sessions)
    assert described(lake, frozen)["folds"] == [vars(fold) for fold in folds]
    for row in rows.values():
        tested = [fold.number for fold in folds if fold.test_first <= row["session_number"] <= fold.test_last]
        assert row["fold"] == (tested[0] if tested else None)
        assert row["label_session"] == min(row["session_number"] + 5, SESSIONS[-1]["session_number"])
    events, labels = past
    assert {one for one, row in rows.items() if row["is_core"]} == {
        event["event_id"] for event in events[1:4]
    } & rows.keys()
    # On a clock of 16 hours from 04:00: the open is 5.5 hours in, the close 12.
    lives: dict[str, list[tuple[str, float, float]]] = {}
    for event, label in zip(events, labels, strict=True):
        if label["weight"] > 0:
            number = rows[event["event_id"]]["session_number"]
            begins = number + ((5.5 if event["detector"] == "gap" else 12) * 3600 + 2) / 57_600
            ends = number + label["sessions_to_exit"] + 0.75
            lives.setdefault(event["security_id"], []).append((event["event_id"], begins, ends))
    for of_name in lives.values():
        begins, ends = (np.array([life[place] for life in of_name]) for place in (1, 2))
        for (one, _, _), expected in zip(of_name, uniqueness(begins, ends), strict=True):
            assert rows[one]["uniqueness"] == pytest.approx(expected)


def test_folds_share_no_label(rows: dict[str, Row], lake: Lake, frozen: str) -> None:
    for fold in described(lake, frozen)["folds"]:
        trained = [row for row in rows.values() if row["label_session"] < fold["train_before"]]
        tested = [row for row in rows.values() if row["fold"] == fold["number"]]
        assert tested
        assert all(row["label_session"] + 5 < fold["test_first"] for row in trained)
        assert {(row["symbol"], row["session_date"]) for row in trained}.isdisjoint(
            (row["symbol"], row["session_date"]) for row in tested
        )


def test_it_is_made_again_to_the_bit_after_its_tables_have_moved_on_and_what_was_lost_is_put_back(
    lake: Lake, spark: SparkSession, frozen: str, past: tuple[list[Row], list[Row]], settings: Settings
) -> None:
    kept = described(lake, frozen)
    events, labels = past
    turned = {"continuation": "reversal", "reversal": "continuation"}
    moved = [event | {"strength": event["strength"] + 1} for event in events[:-30]]
    lake.replace("gold.events", as_table(spark, "gold.events", moved), None, "test")
    write_labels(lake, spark, [label | {"outcome": turned.get(label["outcome"], label["outcome"])} for label in labels])
    said = [covered(events[0], 7.0)]
    lake.replace("silver.short_interest", as_table(spark, "silver.short_interest", said), None, "test")
    again = rebuild_dataset(lake, frozen)
    assert (again.content_hash, again.rows) == (kept["content_hash"], kept["rows"])
    # What it holds is as before, though a tenth of it is taken away in between.
    before = lake.read("gold.dataset_rows").where(f"dataset = '{frozen}'").toPandas()
    lake.replace(
        "gold.dataset_rows", lake.read("gold.dataset_rows").drop("run_id").where("uniqueness < 0.9"), None, "test"
    )
    rebuild_dataset(lake, frozen)
    after = lake.read("gold.dataset_rows").where(f"dataset = '{frozen}'")
    assert content_hash(after) == kept["content_hash"]
    assert after.count() == len(before)
    assert [run["message"] for run in last_runs(lake, ["dataset rebuild"])] == ["rows put back", None]
    # And what is made of the tables as they are now is something else.
    other = build_dataset(lake, settings, "second", "daily", FIRST, LAST)
    assert other.content_hash != kept["content_hash"]
    found = dataset_difference(lake, frozen, "second")
    assert {"rows", "content_hash", "gold.events", "gold.event_labels", "silver.short_interest"} <= found.facts.keys()
    assert "silver.calendar" not in found.facts
    lost = sum(label["weight"] > 0 for label in labels[-30:])
    assert (found.rows_only_first, found.rows_only_second) == (lost, 0)
    shared = kept["rows"] - lost
    assert found.rows_changed == found.changed["input log_strength"] == shared
    decided = sum(label["weight"] > 0 and label["outcome"] != "none" for label in labels[:-30])
    assert found.changed["outcome"] == decided
    assert 0 < found.changed[f"input {FACT}"] < shared
    assert "input log_price" not in found.changed
    assert dataset_difference(lake, frozen, frozen).facts == {}


def test_a_frozen_dataset_never_becomes_stale(lake: Lake, frozen: str) -> None:
    assert stale(lake, ["gold.dataset_rows"]) == []
    assert [one.table for one in stale(lake) if one.table.startswith("gold.dataset")] == []


def test_the_hash_knows_every_value_and_no_order(lake: Lake, frozen: str) -> None:
    rows = lake.read("gold.dataset_rows").where(f"dataset = '{frozen}'")
    own = content_hash(rows)
    assert content_hash(rows.repartition(7, "outcome")) == own
    assert (
        content_hash(
            rows.selectExpr("* EXCEPT (`return`)", "`return` + IF(session_number % 60 = 7, 1e-15D, 0D) AS `return`")
        )
        != own
    )
    later = "IF(session_number % 60 = 7, known_at + INTERVAL 1 MICROSECOND, known_at) AS known_at"
    assert content_hash(rows.selectExpr("* EXCEPT (known_at)", later)) != own
    assert content_hash(rows.limit(rows.count() - 1)) != own


def test_a_dataset_that_comes_out_otherwise_is_told(lake: Lake, frozen: str, spark: SparkSession) -> None:
    kept = lake.read("gold.datasets").drop("run_id")
    changed = kept.selectExpr("* EXCEPT (content_hash)", "repeat('0', 64) AS content_hash")
    lake.replace("gold.datasets", changed.select(kept.columns).localCheckpoint(), None, "test")
    with pytest.raises(BadData, match=r"comes out as .* it was frozen as 000000000000"):
        rebuild_dataset(lake, frozen)


def test_where_files_of_a_version_are_gone_that_is_told(
    tmp_path: Path, spark: SparkSession, past: tuple[list[Row], list[Row]], settings: Settings
) -> None:
    own = Lake(str(tmp_path), spark)
    write(own, spark, *past)
    build_dataset(own, settings, "lost", "daily", FIRST, LAST)
    write_labels(own, spark, past[1][:10])
    for file in (tmp_path / "gold" / "event_labels").glob("*.parquet"):
        file.unlink()
    with pytest.raises(BadInput, match="lost was made of are gone"):
        rebuild_dataset(own, "lost")


@pytest.mark.parametrize(
    ("name", "of", "told"),
    [
        ("../else", "daily", "cannot be called"),
        ("", "daily", "cannot be called"),
        ("new", "weekly", "daily, intraday"),
        ("first", "daily", "frozen already"),
        ("new", "intraday", "Not enough labelled events"),
    ],
)
def test_what_cannot_be_frozen_is_refused(
    name: str, of: str, told: str, lake: Lake, frozen: str, settings: Settings
) -> None:
    assert frozen == "first"
    with pytest.raises(BadInput, match=told):
        build_dataset(lake, settings, name, of, FIRST, LAST)


def test_what_is_not_there_is_told(lake: Lake, tmp_path: Path, spark: SparkSession, settings: Settings) -> None:
    with pytest.raises(BadInput, match="no dataset 'unknown'"):
        rebuild_dataset(lake, "unknown")
    empty = Lake(str(tmp_path), spark)
    with pytest.raises(BadInput, match="no dataset 'first'"):
        rebuild_dataset(empty, "first")
    with pytest.raises(BadInput, match=r"gold.events and gold.event_labels and silver.calendar not written yet"):
        build_dataset(empty, settings, "first", "daily", FIRST, LAST)
