"""The simulated economy: figures come out after their period, are revised later, and one vintage is in force at a time."""

from collections import defaultdict
from datetime import date
from itertools import pairwise

import pytest

from smallcaps.sources.economy.releases import known_at
from smallcaps.sources.economy.series import SERIES
from smallcaps.sources.simulator.macro import STILL_IN_FORCE, Record, vintages

FIRST, LAST = date(2026, 8, 3), date(2026, 10, 16)


@pytest.fixture(scope="module")
def figures() -> dict[tuple[str, str], list[Record]]:
    found = defaultdict(list)
    for record in vintages(FIRST, LAST, 5):
        found[record["series_id"], record["date"]].append(record)
    return found


def test_every_declared_series_is_there(figures: dict[tuple[str, str], list[Record]]) -> None:
    assert {series for series, _ in figures} == {series.name for series in SERIES}


def test_a_figure_is_in_force_until_the_day_before_the_next(figures: dict[tuple[str, str], list[Record]]) -> None:
    for records in figures.values():
        for before, after in pairwise(records):
            ends = date.fromisoformat(before["realtime_end"])
            assert (date.fromisoformat(after["realtime_start"]) - ends).days == 1
        assert records[-1]["realtime_end"] == STILL_IN_FORCE
        assert records[-1]["realtime_start"] <= str(LAST)


def test_payrolls_are_revised_twice_and_rates_never(figures: dict[tuple[str, str], list[Record]]) -> None:
    assert len(figures["PAYEMS", "2026-05-01"]) == 3
    assert len({record["value"] for record in figures["PAYEMS", "2026-05-01"]}) == 3
    assert len(figures["UNRATE", "2026-05-01"]) == 1


def test_the_month_that_is_not_over_has_no_figure_yet(figures: dict[tuple[str, str], list[Record]]) -> None:
    assert ("CPIAUCSL", "2026-10-01") not in figures
    assert ("CPIAUCSL", "2026-09-01") in figures


def test_a_day_without_trading_has_no_figure(figures: dict[tuple[str, str], list[Record]]) -> None:
    # Labor Day.
    assert [record["value"] for record in figures["DGS10", "2026-09-07"]] == ["."]
    assert "." not in {record["value"] for record in figures["DGS10", "2026-09-08"]}


def test_no_first_figure_comes_out_after_it_should_be_known(figures: dict[tuple[str, str], list[Record]]) -> None:
    for (series, observation), records in figures.items():
        assert (
            date.fromisoformat(records[0]["realtime_start"]) <= known_at(series, date.fromisoformat(observation)).date()
        )
