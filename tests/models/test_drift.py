"""Drift: a planted shift is found, what stays stays, by hand and beside numpy."""

import datetime as dt
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.models.drift import BINS, LEAST, MOVED, STABLE, calibration, measure_drift, stability, stability_index
from smallcaps.serving.drift_page import render
from tests.microstructure.tables import as_table

NAMES = ["same", "shifted", "lost"]
MONTHS = (dt.date(2024, 1, 2), dt.date(2024, 2, 1), dt.date(2024, 3, 1))
EVENTS = 600


def values(month: int) -> np.ndarray:
    """Of one month, the first being the reference: the second input moves by a deviation, half of the third is lost in March."""
    random = np.random.default_rng(month)
    found = random.normal(size=(EVENTS, len(NAMES)))
    found[:, 1] += month / 2
    found[:, 2] = np.where(random.random(EVENTS) < (0.5 if month == 2 else 0.0), np.nan, found[:, 2])
    return found


def rows() -> list[dict[str, Any]]:
    return [
        {
            "dataset": "small",
            "event_id": f"{month}-{place:03d}",
            "symbol": "S",
            "session_date": day + dt.timedelta(days=place % 20),
            "detector": "gap",
            "known_at": dt.datetime(2024, 1, 2, 21, tzinfo=dt.UTC),
            "session_number": 1,
            "label_session": 1,
            "outcome": "none",
            "return": 0.0,
            "gave_back": False,
            "halted": False,
            "uniqueness": 1.0,
            "is_core": False,
            "fold": None if month == 0 else 1,
            "inputs": [None if math.isnan(value) else float(value) for value in line],
            "sequence": None,
        }
        for month, day in enumerate(MONTHS)
        for place, line in enumerate(values(month))
    ]


def predictions() -> list[dict[str, Any]]:
    """In February half come true of which half was said; in March a quarter."""
    return [
        {
            "event_id": f"{month}-{place:03d}",
            "symbol": "S",
            "session_date": MONTHS[month] + dt.timedelta(days=place % 20),
            "detector": "gap",
            "model": "daily_5d_1atr.trees",
            "target": "continuation",
            "fold": 1,
            "probability": 0.5,
            "happened": int((place // 20) % (2 * month) == 0),
            "base_rate": 0.5,
            "is_core": False,
            "tracking_run": "r",
        }
        for month in (1, 2)
        for place in range(EVENTS)
    ]


def test_the_index_by_hand() -> None:
    before, here = pd.Series({0: 50, 1: 50}), pd.Series({0: 20, 1: 80})
    expected = (0.2 - 0.5) * math.log(0.2 / 0.5) + (0.8 - 0.5) * math.log(0.8 / 0.5)
    assert stability_index(before, here) == pytest.approx(expected)
    assert stability_index(before, before * 7) == pytest.approx(0)
    # A bin that nothing was in before counts as a ten-thousandth.
    new = stability_index(before, pd.Series({0: 50, 1: 25, 2: 25}))
    assert new == pytest.approx((0.25 - 0.5) * math.log(0.25 / 0.5) + (0.25 - LEAST) * math.log(0.25 / LEAST))
    assert math.isnan(stability_index(pd.Series(dtype=float), here))


def test_what_moved_is_told_and_what_did_not_is_not(spark: SparkSession) -> None:
    found = stability(as_table(spark, "gold.dataset_rows", rows()), NAMES)
    index = found.set_index(["name", "period"])["value"]
    assert len(index) == len(NAMES) * 2
    assert set(found["events"]) == {EVENTS}
    february, march = dt.date(2024, 2, 1), dt.date(2024, 3, 1)
    assert max(index["same", february], index["same", march], index["lost", february]) < STABLE
    assert index["shifted", march] > MOVED > index["shifted", february] > STABLE
    assert index["lost", march] > MOVED
    # numpy's histogram over the same edges.
    before, here = values(0)[:, 1], values(2)[:, 1]
    edges = np.quantile(before, np.arange(1, BINS) / BINS)
    counts = [
        pd.Series(np.bincount(np.searchsorted(edges, part, side="left"), minlength=BINS)) for part in (before, here)
    ]
    assert index["shifted", march] == pytest.approx(stability_index(*counts))


def test_probabilities_that_stay_while_less_comes_are_told(spark: SparkSession) -> None:
    found = calibration(as_table(spark, "gold.predictions", predictions()), 200, 1).set_index("period")
    february, march = found.loc[dt.date(2024, 2, 1)], found.loc[dt.date(2024, 3, 1)]
    assert (february["value"], march["value"]) == (pytest.approx(0.0), pytest.approx(0.5 - 0.25, abs=0.02))
    assert february["low"] <= 0 <= february["high"]
    assert 0 < march["low"] <= march["value"] <= march["high"]


@pytest.mark.slow
def test_it_is_stored_and_drawn(lake: Lake, spark: SparkSession, settings: Settings) -> None:
    kept = {
        "dataset": "small",
        "definition": settings.datasets["daily"].model_dump_json(),
        "first_day": MONTHS[0],
        "last_day": MONTHS[-1],
        "input_names": NAMES,
        "sequence_names": [],
        "folds": [],
        "input_versions": {},
        "rows": 3 * EVENTS,
        "content_hash": "0",
        "code_version": "0",
        "settings_hash": "0",
    }
    lake.replace("gold.datasets", as_table(spark, "gold.datasets", [kept]), None, "test")
    with pytest.raises(BadInput, match="no dataset 'other'"):
        measure_drift(lake, settings, "other")
    all_rows = as_table(spark, "gold.dataset_rows", rows())
    lake.replace("gold.dataset_rows", all_rows.where("fold IS NULL"), None, "test")
    with pytest.raises(BadInput, match="small has no rows beyond"):
        measure_drift(lake, settings, "small")
    lake.replace("gold.dataset_rows", all_rows, None, "test")
    lake.replace("gold.predictions", as_table(spark, "gold.predictions", predictions()), None, "test")
    assert measure_drift(lake, settings, "small") == len(NAMES) * 2 + 2
    stored = lake.read("ops.drift").toPandas()
    assert len(stored) == len(NAMES) * 2 + 2
    page = render("small", stored)
    assert "2 of 3 inputs moved much" in page
    assert all(name in page.lower() for name in ("shifted", "lost", "continuation"))
