"""What REST knows of a gap, in the feed's shape."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from smallcaps.errors import BadData, BadInput
from smallcaps.sources.polygon.backfill import backfill
from smallcaps.sources.polygon.events import Event, Gap, identity
from smallcaps.sources.polygon.rest import Pace, RestClient
from tests.sources.vendor_server import Answer, vendor_server

START, END = 1781622376000_000_000, 1781622380000_000_000
TRADE = {
    "conditions": [12, 37], "exchange": 4, "id": "143541", "participant_timestamp": 1781622376029123456,
    "sip_timestamp": 1781622376036999999, "trf_id": 202, "trf_timestamp": 1781622376036000001, "price": 297.845,
    "sequence_number": 4938312, "size": 40.740474, "decimal_size": "40.740474", "tape": 3,
}  # fmt: skip
QUOTE = {
    "ask_exchange": 12, "ask_price": 297.86, "ask_size": 80.0, "bid_exchange": 15, "bid_price": 297.83, "bid_size": 80,
    "indicators": [604], "participant_timestamp": 1781622375952000001, "sip_timestamp": 1781622375952345678,
    "sequence_number": 44424715, "tape": 3,
}  # fmt: skip


def gap(*topics: str) -> Gap:
    return Gap(topics, START, END, "closed")


def asked(
    gap: Gap, respond: Callable[[int, str], Answer], symbols: tuple[str, ...] = (), margin_ns: int = 5 * 10**9
) -> tuple[list[Event], list[str]]:
    """The events, and the paths that were asked for."""
    with vendor_server(respond) as server:
        client = RestClient(server.origin, "the-key", Pace(1000))
        return list(backfill(gap, client, symbols, margin_ns)), [request.path for request in server.asked]


def results(*records: Any) -> Answer:
    return Answer({"status": "OK", "results": list(records)})


def test_trades_are_asked_for_by_nanoseconds_in_order_with_the_margin_and_come_as_on_the_feed() -> None:
    events, paths = asked(gap("T.AAPL"), lambda *_: results(TRADE))
    url = urlsplit(paths[0])
    assert url.path == "/v3/trades/AAPL"
    assert parse_qs(url.query) == {
        "timestamp.gte": ["1781622371000000000"],
        "timestamp.lte": ["1781622385000000000"],
        "order": ["asc"],
        "sort": ["timestamp"],
        "limit": ["50000"],
    }
    (event,) = events
    assert event.body == {
        "ev": "T", "sym": "AAPL", "i": "143541", "x": 4, "p": 297.845, "s": 40, "ds": "40.740474", "c": [12, 37],
        "t": 1781622376036, "pt": 1781622376029, "q": 4938312, "z": 3, "trfi": 202, "trft": 1781622376036,
    }  # fmt: skip
    assert (event.channel, event.symbol, event.connection, event.backfilled) == ("T", "AAPL", 0, True)
    assert event.received_ns > 1_700_000_000 * 10**9
    live = Event("T", "AAPL", {**event.body, "ds": "40.740474"}, 1, 1)
    assert identity(event) == identity(live)


def test_a_trade_without_optional_fields_lacks_them_on_the_feed_too() -> None:
    small = {name: TRADE[name] for name in ("exchange", "id", "price", "sequence_number", "sip_timestamp", "size")}
    (event,), _ = asked(gap("T.AAPL"), lambda *_: results(small))
    assert event.body == {
        "ev": "T", "sym": "AAPL", "i": "143541", "x": 4, "p": 297.845, "s": 40, "t": 1781622376036, "q": 4938312,
    }  # fmt: skip


@pytest.mark.parametrize(("correction", "count"), [(0, 1), (1, 1), (7, 1), (8, 1), (10, 0), (11, 0), (12, 0)])
def test_a_print_that_was_corrected_later_is_there_and_the_record_of_its_correction_is_not(
    correction: int, count: int
) -> None:
    events, _ = asked(gap("T.AAPL"), lambda *_: results({**TRADE, "correction": correction}))
    assert len(events) == count
    assert all("correction" not in event.body and "e" not in event.body for event in events)


def test_quotes_come_with_one_condition_as_on_the_feed() -> None:
    events, paths = asked(gap("Q.AAPL"), lambda *_: results(QUOTE, {**QUOTE, "conditions": [43, 1]}))
    assert paths[0].startswith("/v3/quotes/AAPL?")
    assert events[0].body == {
        "ev": "Q", "sym": "AAPL", "i": [604], "bx": 15, "ax": 12, "bp": 297.83, "ap": 297.86, "bs": 80, "as": 80,
        "t": 1781622375952, "pt": 1781622375952, "q": 44424715, "z": 3,
    }  # fmt: skip
    assert events[1].body["c"] == 43


def test_minute_bars_are_asked_for_unadjusted_from_a_quarter_of_an_hour_earlier() -> None:
    minute = {"o": 78.1, "h": 78.125, "l": 78.07, "c": 78.08, "v": 4989.5, "vw": 78.0894, "t": 1781622300000, "n": 7}
    events, paths = asked(gap("AM.FCX"), lambda *_: results(minute))
    assert paths == [
        "/v2/aggs/ticker/FCX/range/1/minute/1781621476000/1781622380000?adjusted=false&limit=50000&sort=asc"
    ]
    assert events[0].body == {
        "ev": "AM", "sym": "FCX", "o": 78.1, "h": 78.125, "l": 78.07, "c": 78.08, "v": 4989, "dv": "4989.5",
        "vw": 78.0894, "s": 1781622300000, "e": 1781622360000,
    }  # fmt: skip


def test_a_bar_that_was_not_finished_at_the_gaps_end_is_left_to_the_feed() -> None:
    seconds = [{"o": 1, "h": 1, "l": 1, "c": 1, "v": 5, "t": START // 10**6 + second * 1000} for second in range(6)]
    events, paths = asked(gap("A.X"), lambda *_: results(*seconds))
    assert "/range/1/second/" in paths[0]
    assert [event.body["e"] for event in events] == [START // 10**6 + second * 1000 for second in (1, 2, 3, 4)]


def test_a_star_stands_for_the_symbols_given_and_a_named_symbol_for_itself() -> None:
    _, paths = asked(gap("T.*"), lambda *_: results(), ("A", "BRK.A", "BApA"))
    assert [urlsplit(path).path for path in paths] == ["/v3/trades/A", "/v3/trades/BRK.A", "/v3/trades/BApA"]
    _, paths = asked(gap("T.X", "T.Y/Z"), lambda *_: results(), ("A",))
    assert [urlsplit(path).path for path in paths] == ["/v3/trades/X", "/v3/trades/Y%2FZ"]
    _, paths = asked(gap("T.*", "T.A", "T.X"), lambda *_: results(), ("A",))
    assert [urlsplit(path).path for path in paths] == ["/v3/trades/A", "/v3/trades/X"]


@pytest.mark.parametrize("topic", ["LULD.*", "NOI.*", "FMV.X", "XX.*"])
def test_what_rest_does_not_have_is_not_asked_for(topic: str) -> None:
    assert asked(gap(topic), lambda *_: results(TRADE), ("A",)) == ([], [])


def test_a_gap_of_no_topics_is_nothing_to_ask_for() -> None:
    assert asked(gap(), lambda *_: results(TRADE), ("A",)) == ([], [])


@pytest.mark.parametrize(
    "nothing", [Answer({"status": "OK"}), Answer({"status": "NOT_FOUND", "message": "No data."}, 404)]
)
def test_a_symbol_without_data_gives_nothing(nothing: Answer) -> None:
    assert asked(gap("T.A"), lambda *_: nothing)[0] == []


@pytest.mark.parametrize(
    "record", [7, {}, {**TRADE, "sip_timestamp": "yesterday"}, {**TRADE, "sip_timestamp": None}, {"sequence_number": 1}]
)
def test_a_record_that_is_none_is_bad_data(record: object) -> None:
    with pytest.raises(BadData, match=r"/v3/trades/A\?.* holds a record that is not one of channel T"):
        asked(gap("T.A"), lambda *_: results(record))


def test_a_refusal_of_the_vendor_is_told() -> None:
    refusal = Answer({"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, 403)
    with pytest.raises(BadInput, match="not entitled"):
        asked(gap("Q.A"), lambda *_: refusal)
