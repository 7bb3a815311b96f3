"""Fundamentals: statements merged, the old endpoint where there is nothing else, restatements and corrections kept apart."""

from datetime import UTC, date, datetime
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.refine.fundamentals import judged_fundamentals
from smallcaps.refine.publication import FILING, published
from tests.refine.frames import collected, kept, refusals, snapshots

FIRST, SECOND, THIRD = (date(2016, 3, day) for day in (14, 15, 16))
PERIOD, BEFORE = date(2015, 12, 31), date(2015, 9, 30)
FILED, RESTATED = date(2016, 3, 4), date(2016, 3, 11)
KNOWN = {FILED: datetime(2016, 3, 7, 9, tzinfo=UTC), RESTATED: datetime(2016, 3, 14, 8, tzinfo=UTC)}
"""04:00 New York of the Monday after each Friday; the clocks went forward in between."""
END_OF_SECOND, END_OF_THIRD = (datetime(2016, 3, day, 4, tzinfo=UTC) for day in (16, 17))
INCOME, BALANCE, CASH, OLD = "income_statements", "balance_sheets", "cash_flow_statements", "old_financials"


def report(symbol: str, endpoint: str, as_of: date, items: dict[str, float], **others: Any) -> dict[str, Any]:
    named = {"symbol": symbol, "timeframe": "quarterly", "period_end": PERIOD, "filing_date": FILED}
    return named | {"endpoint": endpoint, "as_of": as_of, "items": items} | others


def old(symbol: str, as_of: date, revenue: float, **others: Any) -> dict[str, Any]:
    return report(symbol, OLD, as_of, {"income_statement.revenues": revenue, "balance_sheet.equity": 5.0}, **others)


ANNUAL = {"timeframe": "annual"}
REPORTS = [
    # Three statements and a restatement a week later, the same in every snapshot but for the third.
    *(report("A", INCOME, day, {"revenue": 10.0, "basic_shares_outstanding": 7.0}) for day in (FIRST, SECOND)),
    *(report("A", BALANCE, day, {"total_equity": 3.0, "cash_and_equivalents": 2.0}) for day in (FIRST, SECOND)),
    *(report("A", CASH, day, {"net_income": 1.0}) for day in (FIRST, SECOND)),
    *(report("A", INCOME, day, {"revenue": 9.0}, filing_date=RESTATED) for day in (FIRST, SECOND)),
    report("A", INCOME, THIRD, {"revenue": 11.0, "basic_shares_outstanding": 7.0}),
    # Nothing but the old endpoint, as it names twelve months.
    old("O", FIRST, 20.0, timeframe="ttm"),
    # Both at once, filed as on different days: the old one is left out.
    report("B", INCOME, FIRST, {"revenue": 30.0, "diluted_shares_outstanding": 8.0}),
    old("B", FIRST, 31.0, filing_date=RESTATED),
    # A period before it that only the old one has.
    old("B", FIRST, 32.0, period_end=BEFORE),
    # The new one comes later: what the old one had said stays what was known.
    old("C", FIRST, 40.0),
    old("C", SECOND, 40.0),
    report("C", INCOME, SECOND, {"revenue": 41.0}),
    # Ratios are none of it, whatever they say.
    report("A", "ratios", FIRST, {"price": 1.0}, timeframe=None, filing_date=None),
    report("ENDLESS", INCOME, FIRST, {}, period_end=date(2016, 3, 5)),
    report("OPEN", INCOME, FIRST, {}, period_end=None),
    report("UNFILED", INCOME, FIRST, {}, filing_date=None),
    report("FRAME", INCOME, FIRST, {}, timeframe="weekly"),
    report("NOBODY", INCOME, FIRST, {}),
    report("TWICE", BALANCE, FIRST, {"cash_and_equivalents": 1.0}),
    report("TWICE", BALANCE, FIRST, {"cash_and_equivalents": 2.0}),
]
COLUMNS = ("security_id", "period_end", "timeframe", "filing_date", "version", "revenue", "known_at")


def made(spark: SparkSession, reports: list[dict[str, Any]]) -> DataFrame:
    rows = snapshots(spark, "bronze.financials", reports)
    whose = rows.selectExpr("*", "CASE WHEN symbol <> 'NOBODY' THEN symbol END AS security_id")
    return judged_fundamentals(published(whose, "filing_date", FILING, max(report["as_of"] for report in reports)))


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[dict[str, Any]]:
    return collected(made(spark, REPORTS))


def one(rows: list[dict[str, Any]], security: str, **named: Any) -> dict[str, Any]:
    (row,) = (
        row
        for row in rows
        if row[RULE] is None and all(row[name] == value for name, value in {"security_id": security, **named}.items())
    )
    return row


def test_a_filing_is_known_the_next_session_a_restatement_is_another_and_a_change_a_version(
    rows: list[dict[str, Any]],
) -> None:
    assert [row for row in kept(rows, *COLUMNS) if row[0] != "TWICE"] == [
        ("A", PERIOD, "quarterly", FILED, 1, 10.0, KNOWN[FILED]),
        ("A", PERIOD, "quarterly", FILED, 2, 11.0, END_OF_THIRD),
        ("A", PERIOD, "quarterly", RESTATED, 1, 9.0, KNOWN[RESTATED]),
        ("B", BEFORE, "quarterly", FILED, 1, 32.0, KNOWN[FILED]),
        ("B", PERIOD, "quarterly", FILED, 1, 30.0, KNOWN[FILED]),
        ("C", PERIOD, "quarterly", FILED, 1, 40.0, KNOWN[FILED]),
        ("C", PERIOD, "quarterly", FILED, 2, 41.0, END_OF_SECOND),
        ("O", PERIOD, "trailing_twelve_months", FILED, 1, 20.0, KNOWN[FILED]),
    ]


def test_the_statements_of_a_filing_are_one_map_and_what_a_snapshot_lacks_holds(rows: list[dict[str, Any]]) -> None:
    names = ("revenue", "net_income", "total_equity", "cash", "long_term_debt", "shares_outstanding")
    first, second = (one(rows, "A", filing_date=FILED, version=version) for version in (1, 2))
    assert [first[name] for name in names] == [10.0, 1.0, 3.0, 2.0, None, 7.0]
    # The third snapshot has the income statement only.
    assert [second[name] for name in names] == [11.0, 1.0, 3.0, 2.0, None, 7.0]
    assert first["items"] == {
        "income_statement.revenue": 10.0,
        "income_statement.basic_shares_outstanding": 7.0,
        "balance_sheet.total_equity": 3.0,
        "balance_sheet.cash_and_equivalents": 2.0,
        "cash_flow_statement.net_income": 1.0,
    }
    assert (first["endpoints"], second["endpoints"]) == ([BALANCE, CASH, INCOME], [INCOME])


def test_the_old_endpoints_names_and_diluted_shares_serve_where_there_are_no_others(rows: list[dict[str, Any]]) -> None:
    assert one(rows, "O")["total_equity"] == 5.0
    assert one(rows, "B", period_end=PERIOD)["shares_outstanding"] == 8.0


def test_what_breaks_a_rule_is_refused_with_it(rows: list[dict[str, Any]]) -> None:
    assert refusals(rows) == {
        ("ENDLESS", "filed_before_its_end"),
        ("OPEN", "filed_before_its_end"),
        ("UNFILED", "impossible_day"),
        ("FRAME", "unknown_timeframe"),
        ("NOBODY", "no_identity"),
        ("TWICE", "duplicate_record"),
    }
    assert one(rows, "TWICE")["cash"] == 1.0


def test_what_was_known_by_a_day_is_the_same_with_later_snapshots(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    earlier = collected(made(spark, [one for one in REPORTS if one["as_of"] == FIRST]))
    known = [row for row in rows if row[RULE] is None and row["known_at"] < END_OF_SECOND]
    assert kept(known, *COLUMNS) == kept(earlier, *COLUMNS)
    assert len(known) == 7


def test_the_table_has_every_column(rows: list[dict[str, Any]]) -> None:
    assert {column.name for column in declared("silver.fundamentals").columns} <= set(rows[0])
