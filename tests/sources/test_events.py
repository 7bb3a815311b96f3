"""What a frame says: events, their times and identities."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps.sources.polygon.events import UNREADABLE, Event, Seen, happened_ns, identity, read_frame

TRADE = {
    "ev": "T", "sym": "AAPL", "i": "143541", "x": 4, "p": 297.845, "s": 40, "t": 1781622376036, "pt": 1781622376029,
    "q": 4938312, "z": 3, "trfi": 202, "trft": 1781622376036, "ds": "40.0",
}  # fmt: skip
QUOTE = {
    "ev": "Q", "sym": "AAPL", "i": [604], "bx": 15, "ax": 12, "bp": 297.83, "ap": 297.86, "bs": 80, "as": 80,
    "t": 1781622375952, "pt": 1781622375952, "q": 44424715, "z": 3,
}  # fmt: skip
BAR = {
    "ev": "A", "sym": "FCX", "v": 4989, "av": 4332125, "op": 75.98, "vw": 78.0894, "o": 78.1, "c": 78.08, "h": 78.125,
    "l": 78.07, "a": 76.8404, "z": 62, "s": 1788877043000, "e": 1788877044000, "dv": "4989.0", "dav": "4332125.038360",
}  # fmt: skip
BAND = {"ev": "LULD", "h": 3.63, "l": 2.97, "i": [15], "z": 3, "T": "ATHR", "t": 1788877046310003385, "q": 3209681}
IMBALANCE = {"ev": "NOI", "T": "IBM", "t": 1788877046310003385, "at": 930, "a": "O", "i": 9, "x": 10, "o": 5, "p": 4}
VALUE = {"ev": "FMV", "sym": "ABC", "fmv": 189.22, "t": 1788877046310003385}
STATUS = {"ev": "status", "status": "success", "message": "subscribed to: T.*"}


def event(body: dict[str, Any], backfilled: bool = False, **changes: Any) -> Event:
    body = {**body, **changes}
    return Event(body["ev"], body.get("sym", body.get("T")), body, 1, 1, backfilled)


def test_a_frame_of_mixed_channels_gives_each_event_in_order_with_its_symbol_and_body_as_sent() -> None:
    frame = [TRADE, STATUS, BAR, BAND, IMBALANCE, VALUE, {"ev": "NEW", "sym": "X", "k": [1]}]
    events = read_frame(json.dumps(frame).encode(), 7, 3)
    assert [(event.channel, event.symbol) for event in events] == [
        ("T", "AAPL"), ("status", None), ("A", "FCX"), ("LULD", "ATHR"), ("NOI", "IBM"), ("FMV", "ABC"), ("NEW", "X"),
    ]  # fmt: skip
    assert [event.body for event in events] == frame
    assert {(event.received_ns, event.connection, event.backfilled) for event in events} == {(7, 3, False)}


def test_numbers_stay_exact() -> None:
    frame = b'[{"ev":"AM","sym":"X","z":61.5,"dav":"4332125.038360","q":9223372036854775807,"vw":0.0001}]'
    assert read_frame(frame, 1, 1)[0].body == {
        "ev": "AM", "sym": "X", "z": 61.5, "dav": "4332125.038360", "q": 9223372036854775807, "vw": 0.0001,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("frame", "received", "reason"),
    [
        (b"hello", "hello", "not JSON"),
        (b"", "", "not JSON"),
        (b'[{"ev":"T"', '[{"ev":"T"', "not JSON"),
        (b'[{"ev":"T","p":NaN}]', '[{"ev":"T","p":NaN}]', "NaN is no JSON number"),
        (b'["\xff"]', '["\\xff"]', "not JSON"),
        (b"[" * 200_000, "[" * 200_000, "not JSON"),
        (b'{"ev":"T"}', {"ev": "T"}, "not an array"),
        (b"null", None, "not an array"),
        (b"[7]", 7, "no object with a kind"),
        (b'[{"sym":"A"}]', {"sym": "A"}, "no object with a kind"),
        (b'[{"ev":1}]', {"ev": 1}, "no object with a kind"),
    ],
)
def test_what_is_no_event_is_kept_with_the_reason(frame: bytes, received: object, reason: str) -> None:
    (only,) = read_frame(frame, 1, 1)
    assert only.channel == UNREADABLE
    assert only.body["received"] == received
    assert reason in only.body["reason"]


def test_one_bad_item_leaves_the_others_of_its_frame_readable() -> None:
    assert [event.channel for event in read_frame(json.dumps([TRADE, 7, QUOTE]).encode(), 1, 1)] == [
        "T",
        UNREADABLE,
        "Q",
    ]


def test_an_empty_array_is_a_frame_of_nothing() -> None:
    assert read_frame(b"[]", 1, 1) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["ev", "sym", "t", "q", "x", "i", "s"]), inner),
)


@given(st.binary())
def test_no_bytes_whatever_stop_the_reader(frame: bytes) -> None:
    for event in read_frame(frame, 1, 1):
        assert isinstance(event.channel, str)


@given(st.lists(JSON))
def test_every_item_of_a_frame_is_one_event_and_none_stops_the_reader(items: list[Any]) -> None:
    events = read_frame(json.dumps(items).encode(), 1, 1)
    assert len(events) == len(items)
    seen = Seen(3)
    for each in events:
        happened_ns(each)
        seen.admit(each)


@given(
    st.sampled_from([TRADE, QUOTE, BAR, BAND, VALUE]),
    st.dictionaries(st.sampled_from(["sym", "T", "t", "e", "s", "q", "x", "i", "trfi", "o"]), JSON),
)
def test_an_event_with_any_field_spoilt_is_passed_on(body: dict[str, Any], spoilt: dict[str, Any]) -> None:
    assert Seen().admit(event({**body, **spoilt}))


def test_each_kind_has_its_own_time_in_nanoseconds() -> None:
    assert [happened_ns(event(body)) for body in (TRADE, QUOTE, BAR, BAND, IMBALANCE, VALUE)] == [
        1781622376036000000,
        1781622375952000000,
        1788877044000000000,  # a bar's end
        1788877046310003385,
        1788877046310003385,
        1788877046310003385,
    ]
    assert happened_ns(event(BAND, t=1788877046310)) == 1788877046310000000


@pytest.mark.parametrize(
    "body", [STATUS, {"ev": "NEW", "t": 1}, {**TRADE, "t": None}, {**TRADE, "t": "1"}, {**BAR, "e": 0}]
)
def test_an_event_without_a_readable_time_has_none(body: dict[str, Any]) -> None:
    assert happened_ns(event(body)) is None


SAME_TRADE = [{}, {"p": 1.0}, {"pt": 1}, {"c": [37]}, {"ds": "40.5"}]
OTHER_TRADE = [{"sym": "AAPl"}, {"x": 11}, {"trfi": 201}, {"i": "143542"}, {"q": 1}, {"t": 1781622376036 + 86_400_000}]


@pytest.mark.parametrize("changes", SAME_TRADE)
def test_a_trade_is_known_by_symbol_venue_facility_id_sequence_and_day(changes: dict[str, Any]) -> None:
    assert identity(event(TRADE, **changes)) == identity(event(TRADE))


@pytest.mark.parametrize("changes", OTHER_TRADE)
def test_a_trade_that_differs_in_one_of_them_is_another(changes: dict[str, Any]) -> None:
    assert identity(event(TRADE, **changes)) != identity(event(TRADE))


def test_no_facility_is_no_facility_whether_absent_or_zero() -> None:
    without = {name: value for name, value in TRADE.items() if name != "trfi"}
    assert identity(event(without)) == identity(event(TRADE, trfi=0)) != identity(event(TRADE))


def test_quotes_bars_and_bands_have_identities_of_their_own() -> None:
    assert identity(event(QUOTE)) != identity(event(QUOTE, t=1)) != identity(event(QUOTE, q=1))
    assert identity(event(BAR)) == identity(event(BAR, c=1.0)) != identity(event(BAR, ev="AM"))
    assert identity(event(BAND)) != identity(event(BAND, q=1))


@pytest.mark.parametrize(
    "body", [STATUS, VALUE, IMBALANCE, {"ev": "NEW", "sym": "X"}, {"ev": "T", "sym": "X", "t": 1781}]
)
def test_what_has_no_identity_is_always_new(body: dict[str, Any]) -> None:
    seen = Seen()
    assert [seen.admit(event(body)), seen.admit(event(body))] == [True, True]


def test_a_trade_is_new_once() -> None:
    seen = Seen()
    assert [seen.admit(event(body)) for body in (TRADE, QUOTE, TRADE, QUOTE)] == [True, True, False, False]
    assert not seen.admit(event(TRADE, backfilled=True))


def test_a_bar_that_says_something_else_replaces_and_one_that_repeats_does_not() -> None:
    seen = Seen()
    revised = {**BAR, "h": 78.2, "v": 5089}
    assert [seen.admit(event(body)) for body in (BAR, BAR, revised, revised, BAR)] == [True, False, True, False, True]


def test_the_feeds_bar_with_its_running_values_comes_after_rests_but_not_the_reverse() -> None:
    first, second = Seen(), Seen()
    assert [first.admit(event(BAR, backfilled=later)) for later in (True, True, False, False)] == [
        True,
        False,
        True,
        False,
    ]
    assert [second.admit(event(BAR, backfilled=later)) for later in (False, True)] == [True, False]


def test_the_memory_is_bounded_and_forgets_the_oldest() -> None:
    seen = Seen(2)
    first, second, third = (event(TRADE, q=number) for number in (1, 2, 3))
    assert [seen.admit(each) for each in (first, second, third, second, third, first)] == [
        True, True, True, False, False, True,
    ]  # fmt: skip
