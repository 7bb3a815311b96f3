"""Training sets: what goes in, what must not."""

import datetime as dt
import math
import re

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from sklearn.metrics import roc_auc_score

from smallcaps.config import Settings
from smallcaps.lake import declared
from smallcaps.models import dataset
from smallcaps.models.dataset import FEATURES, feature_names, training_set
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table
from tests.models.world import DETECTORS, FIRST, LAST, SESSIONS, event_row, label_row, world

KNOWN_AT_THE_EVENT = {
    *("direction", "strength", "price", "volume", "dollar_volume", "pct_change", "gap_pct", "atr", "relative_volume"),
    *("rvol_n", "minutes_since_open", "possible_missing_split"),
}
"""Columns of gold.events that daily detectors fill from their own day and the days before; for a gap, from its open and the
days before. A column that is not here has to be argued for."""


def columns_of(sql: str) -> set[str]:
    """The names in an expression that are no functions, keywords or numbers."""
    names = set(re.findall(r"(?<![\w.])`?([a-z_][a-z0-9_]*)`?(?!\w*\()", sql))
    return names - {"case", "when", "then", "else", "end", "and", "or", "not", "is", "null"}


def later_columns(features: dict[str, str]) -> dict[str, set[str]]:
    """Inputs that read anything not known at the event → what they read."""
    read = {name: columns_of(sql) - KNOWN_AT_THE_EVENT for name, sql in features.items()}
    return {name: columns for name, columns in read.items() if columns}


def test_inputs_read_nothing_that_was_not_known_at_the_event() -> None:
    assert {column.name for column in declared("gold.events").columns} >= KNOWN_AT_THE_EVENT
    measured = {column.name for column in declared("gold.event_labels").columns} - {
        "event_id",
        "symbol",
        "session_date",
    }
    assert not measured & KNOWN_AT_THE_EVENT
    assert all(columns_of(sql) for sql in FEATURES.values())
    assert later_columns(FEATURES) == {}


@pytest.mark.parametrize(
    "leak", ["`return`", "favourable_excursion / atr", "IF(gave_back, 1D, 0D)", "volume_after", "ln(sessions_to_exit)"]
)
def test_an_input_that_looks_forward_is_caught_by_its_columns(leak: str) -> None:
    assert list(later_columns({**FEATURES, "leak": leak})) == ["leak"]


def build(spark: SparkSession, settings: Settings, events: list[dict], labels: list[dict]) -> DataFrame:
    return training_set(
        as_table(spark, "gold.events", events),
        as_table(spark, "gold.event_labels", labels),
        calendar_frame(spark, FIRST, LAST),
        settings.model,
        list(DETECTORS),
    )


@pytest.fixture(scope="module")
def rows(spark: SparkSession, settings: Settings) -> dict[str, dict]:
    """event_id → row of a few events by hand."""
    assert (settings.model.barrier_width, settings.model.horizon) == (1.0, "5d")
    short = {
        "direction": -1,
        "strength": 2.0,
        "price": 10.0,
        "pct_change": -0.12,
        "gap_pct": 0.03,
        "atr": 0.5,
        "dollar_volume": 1e6,
        "relative_volume": 4.0,
    }
    events = [
        event_row("short", SESSIONS[3], "atr_breakout", **short),
        event_row("gap", SESSIONS[3], "gap"),
        event_row("split", SESSIONS[4], "range_explosion", possible_missing_split=True),
        event_row(
            "thin", SESSIONS[4], "flush_reversal", relative_volume=None, pct_change=None, possible_missing_split=None
        ),
        *(
            event_row(name, SESSIONS[5], "gap")
            for name in ("none", "unresolved", "censored", "other width", "other horizon", "unlabelled")
        ),
        event_row("minute", SESSIONS[5], "volume_spike", grain="minute"),
    ]
    by_id = {event["event_id"]: event for event in events}
    asked = {
        "short": "continuation",
        "gap": "reversal",
        "split": "continuation",
        "thin": "reversal",
        "minute": "continuation",
    }
    asked |= {name: name for name in ("none", "unresolved", "censored")}
    labels = [label_row(by_id[name], outcome) for name, outcome in asked.items()]
    labels.append(label_row(by_id["other width"], "continuation", width=2.0))
    labels.append(label_row(by_id["other horizon"], "continuation", horizon="3d"))
    labels.append(label_row(by_id["short"], "reversal", width=2.0))
    return {row["event_id"]: row.asDict() for row in build(spark, settings, events, labels).collect()}


def test_each_resolved_daily_event_of_the_asked_width_and_horizon_is_one_row(rows: dict[str, dict]) -> None:
    assert set(rows) == {"short", "gap", "split", "thin", "none"}


def test_continued_is_one_for_a_continuation_only(rows: dict[str, dict]) -> None:
    assert {name: row["continued"] for name, row in rows.items()} == {
        "short": 1,
        "gap": 0,
        "split": 1,
        "thin": 0,
        "none": 0,
    }


def test_a_row_tells_the_last_session_its_label_looks_at(rows: dict[str, dict]) -> None:
    number = SESSIONS[3]["session_number"]
    assert (rows["short"]["session_number"], rows["short"]["label_session"]) == (number, number + 5)
    assert rows["short"]["session_date"] == dt.date(2024, 1, 5)


def test_inputs_are_signed_by_the_direction_and_scaled(rows: dict[str, dict]) -> None:
    row = rows["short"]
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
        "is_atr_breakout": 1,
        "is_flush_reversal": 0,
        "is_gap": 0,
        "is_range_explosion": 0,
    }
    names = feature_names(list(DETECTORS))
    assert list(row) == [
        "event_id",
        "symbol",
        "session_date",
        "detector",
        "session_number",
        "label_session",
        "continued",
        *names,
    ]
    assert {name: row[name] for name in names} == pytest.approx(expected)
    assert rows["split"]["possible_missing_split"] == 1


def test_what_is_missing_is_not_a_number_and_never_null(rows: dict[str, dict]) -> None:
    # A gap is known at the open: the volume of its day is not.
    assert math.isnan(rows["gap"]["log_relative_volume"])
    assert rows["gap"]["is_gap"] == 1
    thin = rows["thin"]
    assert all(math.isnan(thin[name]) for name in ("log_relative_volume", "signed_change", "move_in_atr"))
    assert all(row[name] is not None for row in rows.values() for name in feature_names(list(DETECTORS)))


def suspicious(frame: pd.DataFrame, names: list[str]) -> list[str]:
    """Inputs that alone tell the outcome nearly always, in either direction: no honest one can on market data."""
    found = []
    for name in names:
        known = frame.dropna(subset=[name])
        alone = roc_auc_score(known["continued"], known[name])
        if max(alone, 1 - alone) > 0.95:
            found.append(name)
    return found


def test_a_planted_leak_is_told_from_a_strong_signal(
    spark: SparkSession, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, labels = world()
    # In this world vwap_distance is the outcome itself; strength is as strong as a signal gets.
    monkeypatch.setitem(dataset.FEATURES, "leak", "vwap_distance")
    frame = build(spark, settings, events, labels).toPandas()
    assert len(frame) == len(events)
    names = feature_names(list(DETECTORS))
    assert suspicious(frame, names) == ["leak"]
    assert roc_auc_score(frame["continued"], frame["log_strength"]) > 0.7
    assert later_columns(dataset.FEATURES) == {"leak": {"vwap_distance"}}
