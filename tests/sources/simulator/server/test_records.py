"""Listings: filters, orders, limits, cursors, and the point-in-time tickers. And the reference endpoints beside them."""

import json

import pytest

from smallcaps.sources.simulator.server.records import LISTINGS, Listing
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import REFERENCE


def named(body: dict[str, list[dict[str, str]]], name: str = "ticker") -> list[str]:
    return [record[name] for record in body["results"]]


@pytest.mark.parametrize("listing", LISTINGS, ids=lambda listing: listing.path)
def test_every_listing_gives_all_its_records_page_by_page(asking: Asking, listing: Listing) -> None:
    whole = [record for body in asking.pages(listing.path) for record in body["results"]]
    paged = [record for body in asking.pages(listing.path + "?limit=1") for record in body["results"]]
    assert whole == paged
    if listing.file != "tickers":
        expected = [
            {name: value for name, value in record.items() if value is not None} for record in REFERENCE[listing.file]
        ]
        if listing.fields:
            expected = [{name: record[name] for name in listing.fields if name in record} for record in expected]
        assert sorted(map(json.dumps, map(sorted_items, whole))) == sorted(map(json.dumps, map(sorted_items, expected)))


def sorted_items(record: dict[str, object]) -> list[tuple[str, object]]:
    return sorted(record.items())


@pytest.mark.parametrize(
    ("path", "default", "maximum"),
    [
        ("/v3/reference/conditions", 10, 1_000),
        ("/v3/reference/splits", 10, 1_000),
        ("/stocks/v1/splits", 100, 5_000),
        ("/v3/reference/tickers", 100, 1_000),
        ("/stocks/v1/short-interest", 10, 50_000),
        ("/stocks/filings/vX/index", 1_000, 10_000),
        ("/vX/reference/financials", 10, 100),
        ("/stocks/filings/vX/form-4", 100, 1_000),
        ("/fed/v1/inflation", 100, 50_000),
    ],
)
def test_a_page_has_the_vendors_default_and_greatest_size(
    asking: Asking, path: str, default: int, maximum: int
) -> None:
    (listing,) = [one for one in LISTINGS if one.path == path]
    assert (listing.limit, listing.maximum) == (default, maximum)
    assert asking.body(f"{path}?limit={maximum}")["status"] == "OK"
    assert "limit" in asking.body(f"{path}?limit={maximum + 1}", 400)["error"]


def test_the_first_page_of_splits_has_ten_and_a_cursor_without_the_key(asking: Asking) -> None:
    body = asking.body("/v3/reference/splits?apiKey=key-of-the-simulated-market")
    assert (len(body["results"]), body["count"]) == (10, 10)
    assert "apiKey" not in body["next_url"]
    assert set(body["results"][0]) == {"id", "execution_date", "split_from", "split_to", "ticker"}
    assert body["results"][0]["id"] == "S1"  # Newest first.


def test_a_cursor_carries_all_filters(asking: Asking) -> None:
    pages = list(
        asking.pages("/stocks/v1/splits?ticker=QRST&execution_date.gte=2020-01-05&limit=4&sort=execution_date.asc")
    )
    assert [record["id"] for page in pages for record in page["results"]] == [f"S{number}" for number in range(5, 14)]
    assert [len(page["results"]) for page in pages] == [4, 4, 1]
    assert "count" not in pages[0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["ABCD", "BApA", "LMNO", "WXYZ"]),
        ("order=desc", ["WXYZ", "LMNO", "BApA", "ABCD"]),
        ("ticker=ABCD", ["ABCD"]),
        ("ticker=abcd", []),
        ("ticker.gt=ABCD&ticker.lte=LMNO", ["BApA", "LMNO"]),
        ("type=PFD", ["BApA"]),
        ("exchange=XNYS", ["WXYZ"]),
        ("search=lemon", ["LMNO"]),
        ("search=bap", ["BApA"]),
        ("cik=0000000004", ["LMNO"]),
        ("sort=name", ["ABCD", "BApA", "LMNO", "WXYZ"]),
        ("active=false", ["LMNO", "OLDY"]),
        ("date=2026-06-05", ["ABCD", "BApA", "LMNO"]),
        ("date=2026-06-04", ["ABCD", "BApA", "LMNO", "OLDY"]),
        ("date=2018-01-02", ["ABCD", "BApA", "OLDY"]),
        ("date=2018-01-02&active=false", ["LMNO"]),
        ("market=crypto", []),
        ("nonsense=1", ["ABCD", "BApA", "LMNO", "WXYZ"]),
    ],
)
def test_tickers_are_those_of_the_day_asked_about(asking: Asking, query: str, expected: list[str]) -> None:
    assert named(asking.body(f"/v3/reference/tickers?{query}")) == expected


def test_a_delisted_ticker_says_so_only_from_that_day_on(asking: Asking) -> None:
    (then,) = asking.body("/v3/reference/tickers?ticker=OLDY&date=2026-06-04")["results"]
    (now,) = asking.body("/v3/reference/tickers?ticker=OLDY&active=false")["results"]
    assert (then["active"], "delisted_utc" in then, "list_date" in then) == (True, False, False)
    assert (now["active"], now["delisted_utc"]) == (False, "2026-06-05T00:00:00Z")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v3/reference/conditions?data_type=nbbo", ["Regular"]),
        ("/v3/reference/conditions?sip=CTA", ["Form T"]),
        ("/v3/reference/conditions?id=37", ["Odd Lot"]),
        ("/v3/reference/conditions?sort=id&order=desc&limit=2", ["Trade Thru Exempt", "Odd Lot"]),
        ("/v3/reference/exchanges?asset_class=stocks", ["FINRA NYSE", "FINRA Nasdaq", "Nasdaq"]),
    ],
)
def test_lists_are_filtered_by_what_they_contain(asking: Asking, path: str, expected: list[str]) -> None:
    assert named(asking.body(path), "name") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v3/reference/splits?reverse_split=true", ["S1"]),
        ("/v3/reference/splits?execution_date=2020-01-02", ["S2"]),
        ("/stocks/v1/splits?adjustment_type.any_of=reverse_split,stock_dividend", ["S1"]),
        ("/v3/reference/dividends?cash_amount.gt=0.2&frequency=4", ["D1"]),
        ("/stocks/v1/dividends?ex_dividend_date.lt=2026-06-05", []),
        ("/v2/reference/news?ticker=LMNO", ["N3", "N2"]),
        ("/v2/reference/news?ticker.gte=M", []),
        ("/v2/reference/news?published_utc.gte=2026-06-05&order=asc", ["N2", "N3"]),
        ("/v2/reference/news?published_utc.lt=2026-06-05T12:00:00Z", ["N1"]),
    ],
)
def test_records_are_filtered_by_their_kinds(asking: Asking, path: str, expected: list[str]) -> None:
    assert named(asking.body(path), "id") == expected


@pytest.mark.parametrize(
    ("path", "column", "expected"),
    [
        (
            "/stocks/v1/short-interest?ticker=LMNO&sort=settlement_date.desc",
            "settlement_date",
            ["2026-05-29", "2026-05-15"],
        ),
        ("/stocks/v1/short-interest?ticker.any_of=LMNO,ABCD&settlement_date=2026-05-15", "ticker", ["ABCD", "LMNO"]),
        ("/stocks/v1/short-interest?sort=settlement_date.desc,ticker.desc&limit=2", "ticker", ["LMNO", "ABCD"]),
        ("/stocks/v1/short-volume?date.gt=2026-06-04", "date", ["2026-06-05", "2026-06-08"]),
        ("/stocks/vX/float?free_float_percent.gte=85", "ticker", ["LMNO"]),
        ("/stocks/financials/v1/income-statements?tickers=ABCD&fiscal_quarter=4", "period_end", ["2025-12-31"]),
        ("/stocks/financials/v1/balance-sheets?tickers.all_of=ABCD,LMNO", "period_end", []),
        (
            "/stocks/financials/v1/balance-sheets?tickers.any_of=ABCD,LMNO&sort=period_end.desc",
            "fiscal_quarter",
            [1, 4],
        ),
        ("/stocks/financials/v1/cash-flow-statements?filing_date.gte=2026-05-01", "fiscal_quarter", [1]),
        ("/stocks/financials/v1/ratios?market_cap.lt=50000000", "ticker", ["LMNO"]),
        ("/vX/reference/financials?ticker=ABCD&period_of_report_date.lte=2026-03-31", "fiscal_period", ["Q1"]),
        ("/vX/reference/financials?company_name.search=soup", "fiscal_period", ["Q1"]),
        ("/stocks/filings/vX/index?form_type.any_of=10-K,10-Q", "form_type", ["10-Q", "10-K"]),
        ("/stocks/filings/vX/form-4", "filing_date", ["2026-06-08", "2026-06-05", "2026-06-04"]),
        ("/stocks/filings/vX/form-4?tickers.any_of=WXYZ,QRST", "transaction_code", ["S"]),
        ("/stocks/filings/vX/form-4?tickers.all_of=LMNO,WXYZ", "transaction_code", ["S"]),
        ("/stocks/filings/vX/form-4?form_type=4/A", "filing_date", ["2026-06-08"]),
        ("/stocks/filings/vX/form-4?owner_cik=0000000002&transaction_code=P&limit=1", "form_type", ["4/A"]),
        ("/stocks/filings/vX/form-4?min_ticker.gte=B&max_ticker.lte=WXYZ", "transaction_code", ["S"]),
        ("/stocks/filings/vX/form-3?issuer_cik=0000000001&filing_date.lt=2026-06-01", "form_type", ["3"]),
        ("/stocks/filings/vX/13-F?filer_cik=0000000007&sort=filing_date.asc", "form_type", ["13F-HR", "13F-HR/A"]),
        ("/fed/v1/treasury-yields?date.gte=2026-06-05&sort=date.desc", "date", ["2026-06-08", "2026-06-05"]),
        ("/vX/reference/ipos?ipo_status=history&listing_date.gte=2026-01-01", "ticker", ["WXYZ"]),
    ],
)
def test_new_endpoints_filter_and_sort_by_columns(asking: Asking, path: str, column: str, expected: list[str]) -> None:
    assert named(asking.body(path), column) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/v3/reference/splits?execution_date=yesterday",
        "/v3/reference/splits?reverse_split=perhaps",
        "/v3/reference/dividends?cash_amount.gt=much",
        "/v2/reference/news?published_utc.gte=morning",
        "/v3/reference/tickers?date=2026-02-30",
        "/v3/reference/tickers?active=1",
        "/v3/reference/tickers?order=up",
        "/stocks/v1/splits?sort=execution_date.up",
        "/stocks/v1/splits?sort=execution_date.desc;drop",
    ],
)
def test_what_cannot_be_read_is_refused(asking: Asking, path: str) -> None:
    assert set(asking.body(path, 400)) == {"status", "request_id", "error"}


def test_details_are_of_the_security_that_had_the_ticker_then(asking: Asking) -> None:
    assert asking.body("/v3/reference/tickers/LMNO?ticker=LMNO")["results"]["name"] == "Lemon Orchard Ltd."
    assert asking.body("/v3/reference/tickers/LMNO?date=2010-01-04")["results"]["name"] == "Old Lemon Corp."
    assert asking.body("/v3/reference/tickers/OLDY?date=2020-01-02")["results"]["round_lot"] == 100
    for path in ("OLDY", "LMNO?date=2018-01-02", "NOPE"):
        body = asking.body(f"/v3/reference/tickers/{path}", 404)
        assert (body["status"], body["message"]) == ("NOT_FOUND", "Ticker not found.")


@pytest.mark.parametrize("name", ["ABCD", "OLDY", "BBG000000001"])
def test_ticker_events_are_found_by_any_name(asking: Asking, name: str) -> None:
    results = asking.body(f"/vX/reference/tickers/{name}/events?types=ticker_change")["results"]
    assert [event["ticker_change"]["ticker"] for event in results["events"]] == ["ABCD", "OLDY"]
    assert "ids" not in results
    assert asking.body(f"/vX/reference/tickers/{name}/events?types=other")["results"]["events"] == []
    asking.body("/vX/reference/tickers/NOPE/events", 404)


def test_the_market_is_closed_on_the_evening_of_its_last_day(asking: Asking) -> None:
    now = asking.body("/v1/marketstatus/now")
    assert (now["market"], now["exchanges"]["nyse"], now["afterHours"]) == ("closed", "closed", False)
    assert now["serverTime"] == "2026-06-08T23:59:59-04:00"
    assert [holiday["name"] for holiday in asking.body("/v1/marketstatus/upcoming")] == ["Juneteenth"]


def test_related_companies_are_none_where_the_file_has_none(asking: Asking) -> None:
    assert named(asking.body("/v1/related-companies/ABCD")) == ["LMNO", "WXYZ"]
    assert asking.body("/v1/related-companies/NOPE")["results"] == []
