"""Ownership: what insiders and institutions filed, whose it is, when it was known, and what was said of it later."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.refine.ownership import FORMS, RELATIONS, cusips, filed_lines, judged_ownership
from smallcaps.refine.publication import FILING, published
from smallcaps.refine.securities import identify_filer
from tests.refine.frames import collected, kept, refusals, snapshots

FIRST, SECOND = date(2016, 3, 14), date(2016, 3, 15)
FRIDAY, QUARTER = date(2016, 3, 4), date(2015, 12, 31)
KNOWN = datetime(2016, 3, 7, 9, tzinfo=UTC)
"""04:00 New York, in winter, of the Monday after the Friday."""
END_OF_SECOND = datetime(2016, 3, 16, 4, tzinfo=UTC)


def insider(accession: str, form: str | None, as_of: date = FIRST, **others: Any) -> dict[str, Any]:
    """A line of a filing of the Friday, of company A."""
    filed = {"accession_number": accession, "form_type": form, "filing_date": FRIDAY, "as_of": as_of}
    return filed | {"symbol": "A", "issuer_cik": "1", "owner_cik": "9"} | others


def trade(accession: str, code: str, shares: str, price: float, as_of: date = FIRST, **others: Any) -> dict[str, Any]:
    direction = {"P": "A", "S": "D"}[code]
    done = {"transaction_code": code, "transaction_acquired_disposed": direction, "transaction_date": FRIDAY}
    sized = {"transaction_shares": Decimal(shares), "transaction_price_per_share": price, "record_type": "transaction"}
    return insider(accession, "4", as_of, **(done | sized | others))


def position(accession: str, cusip: str | None, amount: int, as_of: date = FIRST, **others: Any) -> dict[str, Any]:
    filed = {"accession_number": accession, "form_type": "13F-HR", "filing_date": FRIDAY, "period": QUARTER}
    held = {"cusip": cusip, "shares_or_principal_amount": amount, "shares_or_principal_type": "SH"}
    return filed | held | {"filer_cik": "7", "as_of": as_of} | others


INSIDERS = [
    # Becoming an insider: shares, and options on some.
    insider(
        *("three", "3"),
        security_type="Non-Derivative",
        shares_owned=Decimal(1000),
        is_director=True,
        is_officer=True,
        officer_title="Chief Executive Officer",
        is_ten_percent_owner=False,
        direct_or_indirect="D",
        period_of_report=FRIDAY,
    ),
    insider("three", "3", security_type="derivative", underlying_security_shares=Decimal(500), exercise_price=9.0),
    # Two purchases alike, and a third one; the same in the second snapshot, in another order.
    trade("four", "P", "100", 10.25, shares_owned_following_transaction=Decimal(1300)),
    trade("four", "P", "100", 10.25, shares_owned_following_transaction=Decimal(1300)),
    trade("four", "P", "100", 10.5, shares_owned_following_transaction=Decimal(1300)),
    trade("four", "P", "100", 10.5, SECOND, shares_owned_following_transaction=Decimal(1300)),
    trade("four", "P", "100", 10.25, SECOND, shares_owned_following_transaction=Decimal(1300)),
    trade("four", "P", "100", 10.25, SECOND, shares_owned_following_transaction=Decimal(1300)),
    # A line that the vendor had wrong at first: all lines of the filing are said anew.
    trade("wrong", "S", "40", 11.0, aff_10b5_one=True),
    trade("wrong", "S", "50", 11.0),
    trade("wrong", "S", "40", 11.5, SECOND, aff_10b5_one=True),
    trade("wrong", "S", "50", 11.0, SECOND),
    # The same number, and it is another figure.
    insider("moved", "3", security_type="derivative", exercise_price=9.0),
    insider("moved", "3", SECOND, security_type="derivative", transaction_price_per_share=9.0),
    # An amendment is a filing of its own, on the Wednesday after.
    trade(
        *("amended", "S", "45", 11.5),
        form_type="4/A",
        filing_date=date(2016, 3, 9),
        date_of_original_submission=FRIDAY,
    ),
    insider("rest", "4", record_type="holding", shares_owned_following_transaction=Decimal(7), direct_or_indirect="I"),
    # The symbol is another company's by its CIK.
    insider("stranger", "3", issuer_cik="2"),
    insider("blank", None),
    insider("ahead", "3", filing_date=date(2016, 3, 15)),
    trade("hasty", "P", "1", 1.0, transaction_date=date(2016, 3, 5)),
    trade("negative", "P", "-1", 1.0),
]
INSTITUTIONS = [
    # Of a security whose listing is on file, of one that nothing tells of, an option, a note.
    position("fund", "aaaaaaaa1 ", 7000, issuer_name="ALPHA INC", market_value=70_000),
    position("fund", "ZZZZZZZZ9", 50),
    position("fund", "AAAAAAAA1", 30, put_call="Put"),
    position("fund", "ZZZZZZZZ9", 1_000_000, shares_or_principal_type="PRN"),
    position("more", "AAAAAAAA1", 7500, form_type="13F-HR/A", filing_date=date(2016, 3, 11)),
    position("nothing", None, 1),
    position("open", "AAAAAAAA1", 1, period=None),
    position("early", "AAAAAAAA1", 1, period=date(2016, 3, 31)),
]
SPELLS = [
    # (symbol, security, from, to, CIK)
    ("A", "alpha", date(2015, 6, 1), None, "1"),
    ("B", "old", date(2010, 1, 4), date(2015, 1, 5), "3"),
    ("B", "new", date(2015, 1, 5), None, "4"),
    ("C", "elder", date(1900, 1, 1), None, "5"),
]


def securities(spark: SparkSession) -> DataFrame:
    schema = "symbol string, security_id string, valid_from date, valid_to date, cik string"
    return spark.createDataFrame(SPELLS, schema)


def listing(symbol: str, day: date | None, code: str | None, **others: Any) -> dict[str, Any]:
    return {"symbol": symbol, "listing_date": day, "us_code": code, "as_of": FIRST} | others


LISTINGS = [
    listing("A", date(2015, 6, 2), "AAAAAAAA1"),
    listing("A", date(2015, 6, 2), "AAAAAAAA1", as_of=SECOND),
    listing("B", date(2010, 1, 8), None, isin="USBBBBBBBB23"),
    listing("B", date(2015, 1, 5), "BBBBBBBB3"),
    # Who has the symbol had it long before, or begins later; two have a code; nothing tells the day, the code or the symbol.
    listing("C", date(2014, 1, 6), "CCCCCCCC4"),
    listing("A", date(2015, 5, 29), "EEEEEEEE6"),
    listing("A", date(2015, 6, 8), "DDDDDDDD5"),
    listing("B", date(2015, 1, 6), "dddddddd5"),
    listing("A", None, "FFFFFFFF7"),
    listing("A", date(2015, 6, 1), None, isin="GB0000000001"),
    listing("N", date(2015, 6, 1), "NNNNNNNN8"),
]


def made(spark: SparkSession, insiders: list[dict[str, Any]], institutions: list[dict[str, Any]]) -> DataFrame:
    lines = filed_lines(
        snapshots(spark, "bronze.insider_filings", insiders),
        snapshots(spark, "bronze.institutional_holdings", institutions),
    )
    filed = identify_filer(published(lines, "filing_date", FILING, SECOND), securities(spark))
    return judged_ownership(filed, cusips(snapshots(spark, "bronze.ipos", LISTINGS), securities(spark)))


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> list[dict[str, Any]]:
    return collected(made(spark, INSIDERS, INSTITUTIONS))


def of(rows: list[dict[str, Any]], accession: str, *columns: str) -> list[tuple[Any, ...]]:
    return kept([row for row in rows if row["accession_number"] == accession], *columns)


def test_what_an_insider_owns_on_becoming_one_is_a_line_each(rows: list[dict[str, Any]]) -> None:
    columns = ("line", "version", "known_at", "security_id", "entry", "instrument", "shares", "shares_after")
    assert of(rows, "three", *columns) == [
        (1, 1, KNOWN, "alpha", "holding", "non_derivative", None, Decimal(1000)),
        (2, 1, KNOWN, "alpha", "holding", "derivative", None, None),
    ]
    told = of(rows, "three", "relations", "officer_title", "is_direct", "underlying_shares", "exercise_price", "period")
    assert told == [
        (["director", "officer"], "Chief Executive Officer", True, None, None, FRIDAY),
        ([], None, None, Decimal(500), 9.0, None),
    ]


def test_lines_alike_are_as_many_as_were_filed_and_another_order_says_nothing_new(rows: list[dict[str, Any]]) -> None:
    columns = ("line", "version", "as_of", "entry", "transaction_code", "acquired_or_disposed", "shares", "price")
    assert of(rows, "four", *columns) == [
        (1, 1, FIRST, "transaction", "P", "A", Decimal(100), 10.25),
        (2, 1, FIRST, "transaction", "P", "A", Decimal(100), 10.25),
        (3, 1, FIRST, "transaction", "P", "A", Decimal(100), 10.5),
    ]
    assert of(rows, "four", "shares_after") == [(Decimal(1300),)] * 3


def test_a_line_that_is_said_otherwise_makes_a_version_of_the_whole_filing_known_when_it_was_seen(
    rows: list[dict[str, Any]],
) -> None:
    assert of(rows, "wrong", "version", "known_at", "shares", "price", "is_by_plan") == [
        (1, KNOWN, Decimal(40), 11.0, True),
        (1, KNOWN, Decimal(50), 11.0, None),
        (2, END_OF_SECOND, Decimal(40), 11.5, True),
        (2, END_OF_SECOND, Decimal(50), 11.0, None),
    ]


def test_a_figure_that_is_another_one_is_another_version(rows: list[dict[str, Any]]) -> None:
    assert of(rows, "moved", "version", "exercise_price", "price") == [(1, 9.0, None), (2, None, 9.0)]


def test_an_amendment_is_a_filing_of_its_own_known_after_its_own_day(rows: list[dict[str, Any]]) -> None:
    columns = ("form", "is_amendment", "amends_filing_of", "filing_date", "known_at", "version")
    at = datetime(2016, 3, 10, 9, tzinfo=UTC)
    assert of(rows, "amended", *columns) == [("4/A", True, FRIDAY, date(2016, 3, 9), at, 1)]
    # The clocks went forward on Sunday the 13th.
    assert of(rows, "more", "is_amendment", "known_at") == [(True, datetime(2016, 3, 14, 8, tzinfo=UTC))]


def test_a_holding_that_is_filed_beside_changes_is_one(rows: list[dict[str, Any]]) -> None:
    assert of(rows, "rest", "entry", "shares", "shares_after", "is_direct") == [("holding", None, Decimal(7), False)]


def test_positions_are_of_whom_a_listing_names_and_stay_without_identity_where_none_does(
    rows: list[dict[str, Any]],
) -> None:
    columns = ("line", "security_id", "cusip", "instrument", "shares_after", "principal", "value", "known_at")
    assert of(rows, "fund", *columns) == [
        (1, "alpha", "AAAAAAAA1", "non_derivative", Decimal(7000), None, 70_000.0, KNOWN),
        (2, None, "ZZZZZZZZ9", "non_derivative", Decimal(50), None, None, KNOWN),
        (3, "alpha", "AAAAAAAA1", "put", Decimal(30), None, None, KNOWN),
        (4, None, "ZZZZZZZZ9", "debt", None, 1_000_000, None, KNOWN),
    ]
    told = ("kind", "holder_cik", "holder_name", "relations", "symbol", "period", "issuer_name")
    assert of(rows, "fund", *told)[0] == ("institution", "7", None, [], None, QUARTER, "ALPHA INC")


def test_a_code_is_that_of_whose_symbol_began_with_the_listing(spark: SparkSession) -> None:
    found = cusips(snapshots(spark, "bronze.ipos", LISTINGS), securities(spark)).collect()
    assert {(row.cusip, row.security_id) for row in found} == {
        ("AAAAAAAA1", "alpha"),
        ("BBBBBBBB2", "old"),
        ("BBBBBBBB3", "new"),
    }


def test_what_breaks_a_rule_is_refused_with_it(rows: list[dict[str, Any]]) -> None:
    assert refusals(rows, "accession_number") == {
        ("stranger", "no_identity"),
        ("blank", "unknown_form"),
        ("ahead", "impossible_day"),
        ("hasty", "after_its_filing"),
        ("negative", "impossible_figure"),
        ("nothing", "no_cusip"),
        ("open", "after_its_filing"),
        ("early", "after_its_filing"),
    }
    # Three lines of the filing that is said twice alike are no rows.
    assert len(rows) == len(INSIDERS) + len(INSTITUTIONS) - 3


def test_what_was_known_by_a_day_is_the_same_with_a_later_snapshot(
    spark: SparkSession, rows: list[dict[str, Any]]
) -> None:
    columns = [column.name for column in declared("silver.ownership").columns]
    earlier = collected(made(spark, [one for one in INSIDERS if one["as_of"] == FIRST], INSTITUTIONS))
    known = [row for row in rows if row[RULE] is None and row["as_of"] == FIRST]
    assert kept(known, *columns) == kept(earlier, *columns)
    assert len(known) == 15


def test_the_table_has_every_column_and_the_modules_words(rows: list[dict[str, Any]]) -> None:
    table = declared("silver.ownership")
    columns = {column.name: column for column in table.columns}
    assert set(columns) <= set(rows[0])
    assert columns["form"].values == FORMS
    assert all(f"'{relation}'" in table.constraints["known_relations"] for relation in RELATIONS)
    for name in ("kind", "instrument", "entry"):
        assert {row[name] for row in rows if row[RULE] is None} - {None} <= set(columns[name].values)
