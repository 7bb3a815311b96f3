"""Filings: when they were known, their kind, and the state of the company by its earlier ones."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.refine.filings import DILUTION, judged_filings
from smallcaps.refine.publication import FILING, published
from tests.refine.frames import collected, kept, refusals, snapshots

FIRST, SECOND = date(2016, 3, 14), date(2016, 3, 15)
START = date(2015, 1, 5)


def filing(symbol: str, day: date | int, form: str | None, **others: Any) -> dict[str, Any]:
    """A filing on a day, or so many days after START; the company is the symbol's first letter."""
    filed = START + timedelta(days=day) if isinstance(day, int) else day
    named = {"symbol": symbol, "cik": symbol[0], "form_type": form, "filing_date": filed, "as_of": FIRST}
    return named | {"accession_number": f"{symbol}-{filed}-{form}"} | others


FILINGS = [
    # S: a shelf, takedowns 10 and 370 days after it (361 apart), a filing each on the last day of both counts and after it.
    filing("S", 0, "S-3"),
    filing("S", 10, "424B5"),
    filing("S", 10, "424B3"),
    filing("S", 370, "424B5"),
    filing("S", 375, "8-K"),
    filing("S", 376, "10-K"),
    # R: a registration that is priced; one that is not, amended once, for 180 days.
    filing("R", 0, "S-1"),
    filing("R", 10, "8-K"),
    filing("R", 20, "424B4"),
    filing("R", 21, "10-Q"),
    filing("R", 100, "F-1"),
    filing("R", 120, "F-1/A"),
    filing("R", 300, "8-K"),
    filing("R", 301, "10-Q"),
    # E: a shelf three years old, to the day and a day more.
    filing("E", date(2013, 2, 1), "S-3ASR"),
    filing("E", date(2016, 2, 1), "424B5"),
    filing("E", date(2016, 2, 2), "424B5"),
    # Two symbols of a company share its filings; another company's are its own.
    filing("S2", 11, "8-K"),
    # What is said twice counts once, and a corrected form is a version.
    filing("C", 0, "424B5"),
    filing("C", 0, "424B5", as_of=SECOND, issuer_name="told anew"),
    filing("C", 1, "424B2", accession_number="C1"),
    filing("C", 1, "424B7", accession_number="C1", as_of=SECOND),
    filing("C", 2, "8-K"),
    filing("NOBODY", 0, "8-K"),
    filing("BLANK", 0, None),
    filing("AHEAD", date(2016, 3, 15), "8-K"),
    filing("TWICE", 0, "8-K"),
    filing("TWICE", 0, "8-K"),
]
SPLITS = [
    ("R", START, 10.0),  # Two years before START + 731.
    ("R", START + timedelta(days=21), 0.5),
    ("R", START + timedelta(days=21), 5.0),
    ("S", START, 5.0),
]


def made(spark: SparkSession, filings: list[dict[str, Any]]) -> DataFrame:
    rows = snapshots(spark, "bronze.filings", filings)
    whose = rows.selectExpr("*", "CASE WHEN symbol <> 'NOBODY' THEN symbol END AS security_id")
    adjustments = spark.createDataFrame(SPLITS, "security_id string, execution_date date, price_factor double")
    known = published(whose, "filing_date", FILING, max(filing["as_of"] for filing in filings))
    return judged_filings(known, adjustments)


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[dict[str, Any]]:
    return collected(made(spark, FILINGS))


def state(rows: list[dict[str, Any]], symbol: str, *columns: str) -> dict[tuple[int, str], tuple[Any, ...]]:
    """These columns by days since START and form."""
    return {
        ((row["filing_date"] - START).days, row["form_type"]): tuple(row[name] for name in columns)
        for row in rows
        if row[RULE] is None and row["symbol"] == symbol
    }


def test_a_shelf_holds_three_years_and_takedowns_count_for_one(rows: list[dict[str, Any]]) -> None:
    columns = ("dilution", "shelf_until", "takedowns_365d", "may_be_at_the_market")
    until = date(2018, 1, 5)
    assert state(rows, "S", *columns) == {
        (0, "S-3"): ("shelf", None, 0, False),
        # Neither of a day's two filings is the earlier one.
        (10, "424B5"): ("takedown", until, 0, True),
        (10, "424B3"): ("takedown", until, 0, False),
        (370, "424B5"): ("takedown", until, 2, True),
        (375, "8-K"): (None, until, 3, False),
        (376, "10-K"): (None, until, 1, False),
    }
    assert state(rows, "S2", *columns) == {(11, "8-K"): (None, until, 2, False)}


def test_a_shelf_is_over_after_its_last_day(rows: list[dict[str, Any]]) -> None:
    flags = {row["filing_date"]: row["may_be_at_the_market"] for row in rows if row["symbol"] == "E"}
    assert flags == {date(2013, 2, 1): False, date(2016, 2, 1): True, date(2016, 2, 2): False}


def test_a_registration_is_open_until_it_is_priced_or_180_days_old(rows: list[dict[str, Any]]) -> None:
    assert state(rows, "R", "has_open_registration", "dilution") == {
        (0, "S-1"): (False, "registration"),
        (10, "8-K"): (True, None),
        (20, "424B4"): (True, "takedown"),
        (21, "10-Q"): (False, None),
        (100, "F-1"): (False, "registration"),
        (120, "F-1/A"): (True, "registration"),
        (300, "8-K"): (True, None),
        (301, "10-Q"): (False, None),
    }


def test_reverse_splits_count_up_to_the_day_of_the_filing_and_forward_ones_never(rows: list[dict[str, Any]]) -> None:
    counts = {day: count for (day, _), (count,) in state(rows, "R", "reverse_splits_2y").items()}
    assert counts == {0: 1, 10: 1, 20: 1, 21: 2, 100: 2, 120: 2, 300: 2, 301: 2}
    assert state(rows, "E", "reverse_splits_2y")[(392, "424B5")] == (0,)


def test_a_filing_is_known_the_next_session_and_a_corrected_form_when_it_was_seen(rows: list[dict[str, Any]]) -> None:
    # 2015-01-05 and 06 are Monday and Tuesday; 04:00 in winter is 09:00 UTC, midnight in summer 04:00.
    columns = ("filing_date", "version", "form_type", "takedowns_365d", "known_at")
    assert kept([row for row in rows if row["symbol"] == "C"], *columns) == [
        (date(2015, 1, 5), 1, "424B5", 0, datetime(2015, 1, 6, 9, tzinfo=UTC)),
        (date(2015, 1, 6), 1, "424B2", 1, datetime(2015, 1, 7, 9, tzinfo=UTC)),
        (date(2015, 1, 6), 2, "424B7", 1, datetime(2016, 3, 16, 4, tzinfo=UTC)),
        (date(2015, 1, 7), 1, "8-K", 2, datetime(2015, 1, 8, 9, tzinfo=UTC)),
    ]


def test_what_breaks_a_rule_is_refused_with_it(rows: list[dict[str, Any]]) -> None:
    assert refusals(rows) == {
        ("NOBODY", "no_identity"),
        ("BLANK", "no_form"),
        ("AHEAD", "impossible_day"),
        ("TWICE", "duplicate_record"),
    }
    assert len(rows) == len(FILINGS) - 1


def test_what_was_known_by_a_day_is_the_same_with_later_days_and_snapshots(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    columns = [
        column.name for column in declared("silver.filings").columns if column.name not in ("run_id", "source_sha256")
    ]
    cut = START + timedelta(days=120)
    early = [one for one in FILINGS if one["filing_date"] <= cut and one["as_of"] == FIRST]
    earlier = collected(made(spark, early))
    known = [row for row in rows if row[RULE] is None and row["filing_date"] <= cut and row["as_of"] == FIRST]
    assert kept(known, *columns) == kept(earlier, *columns)
    assert len(known) > 10


def test_no_form_is_of_two_kinds_and_the_table_names_each() -> None:
    forms = [form for forms in DILUTION.values() for form in forms]
    assert len(forms) == len(set(forms))
    assert all(f"'{kind}'" in declared("silver.filings").constraints["known_dilution"] for kind in DILUTION)
