"""The official clients, unchanged: polygon-api-client 1.16.3 and massive 2.9.1, every call that they have of ours."""

import asyncio
from collections.abc import Callable
from datetime import time
from pathlib import Path
from typing import Any

import massive
import massive.exceptions
import polygon
import polygon.exceptions
import pytest

from smallcaps.sources.simulator.server import Faults, Place, running
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import DAYS, KEY, MONDAY, THURSDAY, at, ms

BOTH = [polygon, massive]
THREE_DAYS = ("2026-06-04", "2026-06-08")


@pytest.fixture(params=BOTH, ids=lambda package: package.__name__)
def rest(request: pytest.FixtureRequest, vendor: Place) -> Any:
    return request.param.RESTClient(api_key=KEY, base=vendor.origin)


@pytest.fixture
def newest(vendor: Place) -> massive.RESTClient:
    """The client for what only it knows."""
    return massive.RESTClient(api_key=KEY, base=vendor.origin)


def test_bars(rest: Any) -> None:
    assert [bar.close for bar in rest.get_aggs("ABCD", 1, "day", *THREE_DAYS)] == [12.0, 12.0, 12.0]
    assert [bar.close for bar in rest.get_aggs("ABCD", 1, "day", *THREE_DAYS, adjusted=False)] == [1.2, 1.2, 12.0]
    assert rest.get_aggs("NOPE", 1, "day", THURSDAY, MONDAY) == []
    minutes = list(rest.list_aggs("ABCD", 1, "minute", *THREE_DAYS, limit=2))
    assert [bar.timestamp for bar in minutes] == [
        ms(day, f"{clock}:00") for day in DAYS for clock in ("08:00", "09:30", "09:31", "10:15", "16:05")
    ]
    backwards = list(rest.list_aggs("ABCD", 1, "minute", *THREE_DAYS, limit=2, sort="desc"))
    assert backwards == minutes[::-1]
    grouped = rest.get_grouped_daily_aggs("2026-06-04")
    assert (grouped[0].ticker, grouped[0].timestamp) == ("ABCD", ms(THURSDAY, "16:00:00"))
    assert rest.get_daily_open_close_agg("LMNO", "2026-06-08").pre_market == 1.98
    assert rest.get_previous_close_agg("LMNO")[0].close == 2.4


def test_trades_and_quotes(rest: Any) -> None:
    trades = list(rest.list_trades("ABCD", "2026-06-08", order="asc", limit=5))
    assert [trade.sequence_number for trade in trades] == list(range(1, 13))
    assert trades[0].sip_timestamp == at(MONDAY, "08:00:00.100000001")
    ranged = rest.list_trades("ABCD", timestamp_gte=at(MONDAY, "09:31:10"), timestamp_lt=at(MONDAY, "09:32:00"))
    assert [trade.sequence_number for trade in ranged] == [7, 6]
    assert [quote.sequence_number for quote in rest.list_quotes("ABCD", limit=1)] == [103, 102, 101]
    assert rest.get_last_trade("ABCD").price == 10.15
    assert rest.get_last_quote("ABCD").ask_price == 10.03


def test_reference(rest: Any) -> None:
    assert [one.ticker for one in rest.list_tickers(limit=2)] == ["ABCD", "BApA", "LMNO", "WXYZ"]
    assert [one.ticker for one in rest.list_tickers(active=False)] == ["LMNO", "OLDY"]
    assert [one.ticker for one in rest.list_tickers(ticker_gte="B", ticker_lt="M", market="stocks")] == ["BApA", "LMNO"]
    details = rest.get_ticker_details("LMNO", date="2010-01-04")
    assert (details.name, details.address.city) == ("Old Lemon Corp.", "Reno")
    assert rest.get_ticker_events("ABCD").events[0]["ticker_change"]["ticker"] == "ABCD"
    assert [one.code for one in rest.get_ticker_types(asset_class="stocks")] == ["CS", "ETF"]
    assert [one.id for one in rest.get_exchanges(asset_class="stocks")] == [4, 4, 12]
    assert len(list(rest.list_conditions(limit=5))) == 13
    assert [one.ticker for one in rest.get_related_companies("ABCD")] == ["LMNO", "WXYZ"]
    assert rest.get_market_status().market == "closed"
    assert [one.name for one in rest.get_market_holidays()] == ["Juneteenth"]


def test_corporate_actions_and_news(rest: Any) -> None:
    assert len(list(rest.list_splits())) == 13
    assert [one.ticker for one in rest.list_splits(reverse_split=True, execution_date_gte="2026-01-01")] == ["ABCD"]
    assert [one.cash_amount for one in rest.list_dividends("BApA")] == [0.25]
    assert [one.ticker for one in rest.vx.list_ipos(limit=1)] == ["WXYZ", "LMNO"]
    assert [one.id for one in rest.list_ticker_news("LMNO", order="asc")] == ["N2", "N3"]
    assert next(iter(rest.list_ticker_news())).publisher.name == "Wire"


def test_shorts_financials_and_economy(rest: Any) -> None:
    assert [one.settlement_date for one in rest.list_short_interest(ticker="ABCD", sort="settlement_date.desc")] == [
        "2026-05-29",
        "2026-05-15",
    ]
    assert len(list(rest.list_short_volume(ticker="ABCD", date_gte="2026-06-05", limit=1))) == 2
    for call in ("balance_sheets", "cash_flow_statements", "income_statements"):
        found = list(getattr(rest, f"list_financials_{call}")(tickers="ABCD", period_end_gte="2026-01-01"))
        assert [one.fiscal_quarter for one in found] == [1]
    assert [one.ticker for one in rest.list_financials_ratios(market_cap_lt=50_000_000)] == ["LMNO"]
    (old,) = rest.vx.list_stock_financials(ticker="ABCD")
    assert old.financials.income_statement.revenues.value == 1_000_000
    assert len(list(rest.list_treasury_yields(limit=1))) == 3
    assert [one.cpi for one in rest.list_inflation()] == [330.1]


def test_what_only_the_newer_client_knows(newest: massive.RESTClient) -> None:
    assert [one.adjustment_type for one in newest.list_stocks_splits(ticker="ABCD")] == ["reverse_split"]
    assert [one.distribution_type for one in newest.list_stocks_dividends()] == ["recurring"]
    assert [one.free_float for one in newest.list_stocks_floats()] == [4_000_000, 9_000_000]
    assert [one.form_type for one in newest.list_stocks_filings_index(limit=2)] == ["8-K", "10-Q", "10-K"]
    assert [one.market_5_year for one in newest.list_inflation_expectations()] == [2.3]
    assert [one.job_openings for one in newest.list_labor_market_indicators()] == [7_200.0]


def test_ownership(newest: massive.RESTClient) -> None:
    (first,) = newest.list_stocks_filings_form_3(tickers="ABCD")
    assert (first.shares_owned, first.footnotes[0].id) == (500.0, "F1")
    changes = list(newest.list_stocks_filings_form_4(filing_date_gte="2026-06-04", limit=1, sort="filing_date.asc"))
    assert [(one.form_type, one.transaction_code) for one in changes] == [("4", "P"), ("4", "S"), ("4/A", "P")]
    assert changes[1].tickers == ["LMNO", "WXYZ"]
    holdings = list(newest.list_stocks_filings_13f(filer_cik="0000000007", limit=1))
    assert [(one.form_type, one.market_value) for one in holdings] == [("13F-HR/A", 10_800), ("13F-HR", 12_000)]


def test_snapshots(rest: Any) -> None:
    assert [one.ticker for one in rest.get_snapshot_all("stocks", tickers=["LMNO", "ABCD"])] == ["ABCD", "LMNO"]
    assert rest.get_snapshot_ticker("stocks", "ABCD").last_trade.price == 10.15
    assert rest.get_snapshot_direction("stocks", "gainers") == []
    found = list(rest.list_universal_snapshots(ticker_any_of=["NOPE", "ABCD"]))
    assert [(one.ticker, one.error) for one in found] == [("ABCD", None), ("NOPE", "NOT_FOUND")]


def test_errors_are_the_clients_own(rest: Any, vendor: Place) -> None:
    package = polygon if type(rest).__module__.startswith("polygon") else massive
    with pytest.raises(package.exceptions.BadResponse, match="Ticker not found"):
        rest.get_ticker_details("NOPE")
    with pytest.raises(package.exceptions.BadResponse, match="Unknown API Key"):
        package.RESTClient(api_key="wrong", base=vendor.origin).get_market_status()
    with pytest.raises(package.exceptions.BadResponse, match="Could not parse"):
        rest.get_aggs("ABCD", 1, "day", "soon", "later")


@pytest.mark.parametrize("package", BOTH, ids=lambda package: package.__name__)
def test_the_clients_own_retries_get_through_a_storm(market: Path, package: Any) -> None:
    with running(market, KEY, faults=Faults(too_many_first=1, unwell_every=2, too_many_empty=True)) as place:
        rest = package.RESTClient(api_key=KEY, base=place.origin)
        assert len(list(rest.list_trades("ABCD", limit=3))) == 12


def listened(
    package: Any, place: Place, topics: list[str], enough: Callable[[list[Any]], bool], key: str = KEY
) -> list[Any]:
    """The messages of a client until there are enough."""
    client = package.WebSocketClient(api_key=key, feed=place.feed, market="stocks", secure=False, subscriptions=topics)
    messages: list[Any] = []

    async def take(batch: list[Any]) -> None:
        messages.extend(batch)
        if enough(messages):
            await client.close()

    async def listen() -> None:
        async with asyncio.timeout(30):
            await client.connect(take)

    asyncio.run(listen())
    return messages


@pytest.mark.parametrize("package", BOTH, ids=lambda package: package.__name__)
@pytest.mark.parametrize(("topic", "count"), [("T.*", 13), ("Q.ABCD", 3), ("A.*", 8), ("AM.WXYZ", 5), ("LULD.*", 2)])
def test_every_channel(market: Path, package: Any, topic: str, count: int) -> None:
    with running(market, KEY, speed=100_000) as place:
        messages = listened(package, place, [topic], lambda messages: len(messages) >= count)
    assert len(messages) == count
    assert {str(getattr(message.event_type, "value", message.event_type)) for message in messages} == {
        topic.split(".", maxsplit=1)[0]
    }


def test_the_newer_client_reads_fractions(market: Path) -> None:
    with running(market, KEY, speed=100_000) as place:
        messages = listened(massive, place, ["T.ABCD", "AM.ABCD"], lambda messages: len(messages) >= 17)
    assert "0.740474" in {getattr(message, "fractional_shares", None) for message in messages}
    assert "1105.740474" in {getattr(message, "fractional_volume", None) for message in messages}


@pytest.mark.parametrize("package", BOTH, ids=lambda package: package.__name__)
def test_a_wrong_key_is_an_error_of_the_socket_client(market: Path, package: Any) -> None:
    with running(market, KEY) as place, pytest.raises(package.exceptions.AuthError, match="authentication failed"):
        listened(package, place, ["T.*"], lambda messages: False, "wrong")


@pytest.mark.parametrize("package", BOTH, ids=lambda package: package.__name__)
@pytest.mark.parametrize("faults", [{"abort_after": 2}, {"close_after": 2, "close_code": 1013}])
def test_the_clients_reconnect_and_subscribe_again(market: Path, package: Any, faults: dict[str, int]) -> None:
    with running(market, KEY, speed=200, faults=Faults(**faults), start=time(9, 30)) as place:
        messages = listened(package, place, ["AM.*", "T.*"], lambda messages: len({m.symbol for m in messages}) == 4)
        asked = Asking(place.origin)
        assert asked.served("wss://stocks/AM")["records"] >= 3  # Minutes come in the fourth frame and later.
    assert {type(message).__name__ for message in messages} == {"EquityTrade", "EquityAgg"}
