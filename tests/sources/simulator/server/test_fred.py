"""FRED's wire: what was in force in a period, cut to it; pages; refusals in FRED's own words."""

from typing import Any

import pytest

from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import KEY

PATH = f"/fred/series/observations?api_key={KEY}&file_type=json&series_id="


def rows(asking: Asking, query: str) -> list[tuple[str, ...]]:
    body = asking.body(PATH + query)
    return [(one["date"], one["value"], one["realtime_start"], one["realtime_end"]) for one in body["observations"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        # Without a period: what is in force today, 2026-06-08.
        (
            "PAYEMS",
            [
                ("2026-03-01", "158010", "2026-06-08", "2026-06-08"),
                ("2026-04-01", "158100", "2026-06-08", "2026-06-08"),
            ],
        ),
        (
            "PAYEMS&realtime_start=2026-05-01&realtime_end=2026-05-31",
            [
                ("2026-03-01", "157990", "2026-05-01", "2026-05-07"),
                ("2026-03-01", "158010", "2026-05-08", "2026-05-31"),
                ("2026-04-01", "158100", "2026-05-08", "2026-05-31"),
            ],
        ),
        (
            "PAYEMS&realtime_start=2026-04-01&realtime_end=2026-04-30",
            [("2026-03-01", "157990", "2026-04-03", "2026-04-30")],
        ),
        (
            "PAYEMS&realtime_start=2026-04-01&realtime_end=9999-12-31&observation_start=2026-04-01",
            [("2026-04-01", "158100", "2026-05-08", "9999-12-31")],
        ),
        ("DGS10", [("2026-05-25", ".", "2026-06-08", "2026-06-08")]),
    ],
)
def test_figures_are_those_in_force_in_the_period(asking: Asking, query: str, expected: list[tuple[str, ...]]) -> None:
    assert rows(asking, query) == expected


def test_a_page_says_how_many_there_are(asking: Asking) -> None:
    body = asking.body(PATH + "PAYEMS&limit=1&offset=1")
    assert (body["count"], body["offset"], body["limit"], len(body["observations"])) == (2, 1, 1, 1)
    assert body["observations"][0]["date"] == "2026-04-01"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("PAYEMS&realtime_start=2026-01-01&realtime_end=2026-01-31", "does not exist in ALFRED"),
        ("NOPE", "does not exist in ALFRED"),
        ("", "series_id is not set"),
        ("PAYEMS&realtime_start=soon", "YYYY-MM-DD"),
        ("PAYEMS&realtime_start=2026-02-01&realtime_end=2026-01-31", "can not be after"),
        ("PAYEMS&limit=100001", "between 1 and 100000"),
        ("PAYEMS&output_type=2", "simulated"),
    ],
)
def test_refusals_are_freds(asking: Asking, query: str, words: str) -> None:
    body: dict[str, Any] = asking.body(PATH + query, 400)
    assert set(body) == {"error_code", "error_message"}
    assert words in body["error_message"]


def test_the_key_must_be_in_the_query_and_is_told_nowhere(asking: Asking) -> None:
    without = PATH.replace(f"api_key={KEY}&", "") + "PAYEMS"
    assert "api_key is not set" in asking.body(without, 400)["error_message"]
    assert "not registered" in asking.body(without + "&api_key=wrong", 400)["error_message"]
    asking.body(PATH + "PAYEMS")
    assert KEY not in str(asking.body("/simulator/served"))
