"""Trades and quotes over REST: fields, ranges, order, cursors."""

import pytest

from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import FRIDAY, MONDAY, at

ABCD = list(range(1, 13))


def sequences(body: dict[str, list[dict[str, int]]]) -> list[int]:
    return [row["sequence_number"] for row in body["results"]]


def test_a_trade_has_the_vendors_fields_and_leaves_out_what_it_has_not(asking: Asking) -> None:
    rows = {row["id"]: row for row in asking.body("/v3/trades/ABCD")["results"]}
    assert rows["1"] == {
        "conditions": [12, 37],
        "exchange": 12,
        "id": "1",
        "participant_timestamp": at(MONDAY, "08:00:00.100000001"),
        "price": 9.9,
        "sequence_number": 1,
        "sip_timestamp": at(MONDAY, "08:00:00.100000001"),
        "size": 10,
        "decimal_size": "10.0",
        "tape": 3,
    }
    assert rows["5"] | {"participant_timestamp": 0} == {
        "exchange": 4,
        "id": "5",
        "participant_timestamp": 0,
        "price": 10.01,
        "sequence_number": 5,
        "sip_timestamp": at(MONDAY, "09:30:30"),
        "size": 0.740474,
        "decimal_size": "0.740474",
        "tape": 3,
        "trf_id": 202,
        "trf_timestamp": at(MONDAY, "09:30:29.999") + 5,
    }
    assert (rows["8"]["correction"], rows["9"]["correction"]) == (8, 10)


def test_the_newest_come_first_unless_one_asks_otherwise(asking: Asking) -> None:
    assert sequences(asking.body("/v3/trades/ABCD")) == ABCD[::-1]
    assert sequences(asking.body("/v3/trades/ABCD?order=asc")) == ABCD


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 12, 13])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_joined_are_the_whole_though_two_trades_share_an_instant(asking: Asking, order: str, limit: int) -> None:
    path = f"/v3/trades/ABCD?timestamp={MONDAY}&order={order}&limit={limit}"
    pages = [sequences(body) for body in asking.pages(path)]
    assert [one for page in pages for one in page] == (ABCD if order == "asc" else ABCD[::-1])
    assert {len(page) for page in pages[:-1]} <= {limit}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"timestamp={MONDAY}", ABCD),
        (f"timestamp={FRIDAY}", []),
        (f"timestamp={at(MONDAY, '09:31:10')}", [6]),
        (f"timestamp.gte={at(MONDAY, '09:31:10')}&timestamp.lt={at(MONDAY, '09:32:00')}", [6, 7]),
        (f"timestamp.gt={at(MONDAY, '09:31:10')}&timestamp.lte={at(MONDAY, '09:32:00')}", [7, 8]),
        ("timestamp.gte=2026-06-08T09:31:10-04:00&timestamp.lt=2026-06-08T13:32:00Z", [6, 7]),
        ("timestamp.lte=2026-06-08T12:00:00.100000001Z", [1]),
        ("timestamp.lt=2026-06-08T12:00:00.100000001Z", []),
        (f"timestamp.gt={MONDAY}&timestamp.lt={MONDAY}", []),
    ],
)
def test_the_range_is_of_sip_stamps(asking: Asking, query: str, expected: list[int]) -> None:
    assert sequences(asking.body(f"/v3/trades/ABCD?order=asc&{query}")) == expected


def test_a_ticker_without_trades_has_an_empty_page(asking: Asking) -> None:
    body = asking.body("/v3/trades/WXYZ")
    assert (body["results"], body["status"], "next_url" in body) == ([], "OK", False)


def test_a_quote_has_both_sides_even_one_that_is_absent(asking: Asking) -> None:
    first, second, third = asking.body("/v3/quotes/ABCD?order=asc")["results"]
    assert first == {
        "ask_exchange": 0,
        "ask_price": 0.0,
        "ask_size": 0,
        "bid_exchange": 12,
        "bid_price": 9.8,
        "bid_size": 300,
        "conditions": [2],
        "participant_timestamp": at(MONDAY, "08:00:00") - 1_000,
        "sequence_number": 101,
        "sip_timestamp": at(MONDAY, "08:00:00"),
        "tape": 3,
    }
    assert (second["conditions"], second["indicators"]) == ([1], [602, 604])
    assert "conditions" not in third
    assert "indicators" not in third


def test_the_last_trade_and_quote_have_letters_for_names(asking: Asking) -> None:
    trade = asking.body("/v2/last/trade/ABCD")["results"]
    assert (trade["T"], trade["p"], trade["s"], trade["q"], trade["c"]) == ("ABCD", 10.15, 100, 12, [12])
    quote = asking.body("/v2/last/nbbo/ABCD")["results"]
    assert (quote["p"], quote["s"], quote["P"], quote["S"], quote["q"]) == (10.0, 300, 10.03, 200, 103)
    assert asking.body("/v2/last/trade/WXYZ", 404)["status"] == "NOT_FOUND"
    assert asking.body("/v2/last/nbbo/WXYZ", 404)["status"] == "NOT_FOUND"


@pytest.mark.parametrize(
    "query", ["limit=50001", "limit=0", "limit=x", "order=up", "sort=price", "timestamp=soon", "cursor=%21"]
)
def test_what_cannot_be_read_is_refused(asking: Asking, query: str) -> None:
    assert asking.body(f"/v3/trades/ABCD?{query}", 400)["status"] == "ERROR"
