"""How every symbol stands on the evening of the last day."""

from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import MONDAY, at, ms

OLD = "/v2/snapshot/locale/us/markets/stocks"


def test_one_symbol_has_its_day_the_day_before_in_todays_shares_and_its_last_ticks(asking: Asking) -> None:
    body = asking.body(f"{OLD}/tickers/ABCD")["ticker"]
    assert body["day"] == {"o": 10.0, "h": 12.0, "l": 9.8, "c": 12.0, "v": 3650.5, "vw": 11.0, "dv": "3650.500000"}
    assert body["prevDay"] == {"o": 10.0, "h": 12.0, "l": 9.8, "c": 12.0, "v": 365.05, "vw": 11.0}
    assert (body["todaysChange"], body["todaysChangePerc"]) == (-1.85, -15.4167)  # 10.15 after 12.00
    assert body["min"] == {
        **{"o": 11.8, "h": 11.8, "l": 11.8, "c": 11.8, "v": 50.0, "vw": 11.8},
        **{"av": 3650, "n": 1, "t": ms(MONDAY, "16:05:00"), "dv": "50.0", "dav": "3650.0"},
    }
    trade = {"c": [12], "i": "12", "p": 10.15, "s": 100, "t": at(MONDAY, "16:05:00"), "x": 12, "ds": "100.0"}
    assert body["lastTrade"] == trade
    assert body["lastQuote"] == {"p": 10.0, "s": 3, "P": 10.03, "S": 2, "t": at(MONDAY, "09:31:00")}


def test_a_symbol_without_ticks_has_no_last_trade(asking: Asking) -> None:
    body = asking.body(f"{OLD}/tickers/WXYZ")["ticker"]
    assert "lastTrade" not in body
    assert "lastQuote" not in body
    assert asking.body(f"{OLD}/tickers/NOPE", 404)["status"] == "NOT_FOUND"


def test_all_symbols_or_those_named(asking: Asking) -> None:
    assert [one["ticker"] for one in asking.body(f"{OLD}/tickers")["tickers"]] == ["ABCD", "BApA", "LMNO", "WXYZ"]
    body = asking.body(f"{OLD}/tickers?tickers=WXYZ%2CABCD%2CNOPE&include_otc=false")
    assert [one["ticker"] for one in body["tickers"]] == ["ABCD", "WXYZ"]
    assert body["count"] == 2


def test_movers_are_only_names_that_traded(asking: Asking) -> None:
    # No name traded 10,000 shares.
    assert asking.body(f"{OLD}/gainers")["tickers"] == []
    assert asking.body(f"{OLD}/losers")["tickers"] == []
    assert asking.body(f"{OLD}/sideways", 400)["status"] == "ERROR"


def test_the_universal_snapshot_says_what_it_does_not_know(asking: Asking) -> None:
    known, unknown = asking.body("/v3/snapshot?ticker.any_of=NOPE,LMNO")["results"]
    assert unknown == {"ticker": "NOPE", "error": "NOT_FOUND", "message": "Ticker not found."}
    assert (known["ticker"], known["type"], known["name"]) == ("LMNO", "stocks", "Lemon Orchard Ltd.")
    assert known["market_status"] == "closed"
    assert known["session"]["previous_close"] == 2.4
    assert known["last_quote"]["midpoint"] == 2.0
    assert known["last_minute"]["transactions"] == 1


def test_the_universal_snapshot_pages_a_range(asking: Asking) -> None:
    pages = [[one["ticker"] for one in body["results"]] for body in asking.pages("/v3/snapshot?ticker.gte=B&limit=2")]
    assert pages == [["BApA", "LMNO"], ["WXYZ"]]
    assert asking.body("/v3/snapshot?limit=251", 400)["status"] == "ERROR"
    assert asking.body("/v3/snapshot?type=options")["results"] == []
