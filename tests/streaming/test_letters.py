"""What the vendor says as messages: typed as declared, with one identity however it comes, and nothing lost that is no event."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema

from smallcaps.ingest.body_rows import REASONS
from smallcaps.lake import RULE, TOPICS
from smallcaps.sources.polygon.endpoints import CHANNELS, ENDPOINTS
from smallcaps.sources.polygon.events import Event, read_frame
from smallcaps.sources.polygon.rest import Body
from smallcaps.streaming.letters import ARROW, DEAD_BYTES, Letter, dead_letter, letters
from smallcaps.streaming.messages import LARGEST_BYTES, encoded, read
from smallcaps.streaming.news import article_letters
from tests.sources.test_events import BAND, BAR, QUOTE, TRADE

MINUTE = BAR | {"ev": "AM"}
FRAMES = {"T": TRADE | {"c": [12, 37]}, "Q": QUOTE | {"c": 1}, "AM": MINUTE, "LULD": BAND}
RECEIVED_NS = 1781622376_123456_789
ARTICLE: dict[str, Any] = {
    "id": "N1",
    "title": "Two names",
    "published_utc": "2026-06-08T13:45:00Z",
    "tickers": ["ABCD", "LMNO", "ABCD"],
    "keywords": ["earnings"],
    "publisher": {"name": "Wire"},
    "insights": [{"ticker": "ABCD", "sentiment": "positive", "sentiment_reasoning": "it rose", "else": 1}],
}


def of(*bodies: Any) -> list[Letter]:
    """The messages of a frame with these objects."""
    return list(letters(read_frame(json.dumps(bodies).encode(), RECEIVED_NS, 1)))


def said(letter: Letter) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(letter.value)
    return message


def test_types_are_those_that_the_tables_declare(spark: SparkSession) -> None:
    for endpoint in (*CHANNELS.values(), ENDPOINTS["news"]):
        schema = to_arrow_schema(endpoint.declared.schema)
        for field in endpoint.fields:
            assert ARROW[field.type].equals(schema.field(field.column).type), field


def test_every_message_is_of_its_topics_json_schema(spark: SparkSession) -> None:
    body = Body("", 200, json.dumps({"results": [ARTICLE]}).encode(), datetime(2026, 6, 9, 3, tzinfo=UTC))
    found = [*of(*FRAMES.values(), MINUTE | {"sym": "XLF"}), *article_letters([ARTICLE], body)]
    assert [letter.topic for letter in found] == ["trades", "quotes", "bars", "sector", "luld", "news", "news"]
    for letter in found:
        Draft202012Validator(json.loads(TOPICS[letter.topic].json_schema)).validate(said(letter))


@pytest.mark.slow
def test_every_message_is_taken_by_who_reads_the_topics(spark: SparkSession) -> None:
    body = Body("", 200, b"", datetime(2026, 6, 9, 3, tzinfo=UTC))
    nobody = ARTICLE | {"id": "N2", "tickers": []}
    # Fixtures of September, as of June.
    june = [MINUTE | {"s": TRADE["t"] - 60_000, "e": TRADE["t"]}, BAND | {"t": TRADE["t"]}]
    found = [*of(TRADE, QUOTE, *june, june[0] | {"sym": "SPY"}), *article_letters([ARTICLE, nobody], body)]
    assert len(found) == 8
    for letter in found:
        row = (None if letter.key is None else letter.key.encode(), letter.value, 0, 1, datetime(2026, 6, 17))
        raw = spark.createDataFrame(
            [row], "key binary, value binary, partition int, offset bigint, timestamp timestamp"
        )
        (taken,) = read(raw, TOPICS[letter.topic]).collect()
        assert (taken[RULE], taken["source_sha256"]) == (None, said(letter)["source_sha256"])


def test_a_trade_is_told_as_declared() -> None:
    (letter,) = of(FRAMES["T"])
    row = {
        **{"symbol": "AAPL", "session_date": "2026-06-16", "sip_ns": 1781622376036000000},
        **{"participant_ns": 1781622376029000000, "trf_ns": 1781622376036000000, "sequence_number": 4938312},
        **{"trade_id": "143541", "exchange": 4, "trf_id": 202, "tape": 3, "conditions": [12, 37]},
        **{"price": Decimal("297.845"), "size": Decimal(40), "event_ns": 1781622376036000000},
        "received_at": datetime(2026, 6, 16, 15, 6, 16, 123456, UTC),
        **{"source_sha256": said(letter)["source_sha256"], "source_line": 1},
    }
    assert said(letter) == json.loads(encoded(row, TOPICS["trades"]))
    assert (letter.key, letter.event_ns) == ("AAPL", 1781622376036000000)


def test_the_time_of_a_band_is_in_ns_however_it_is_written() -> None:
    nanoseconds, milliseconds = of(BAND, BAND | {"t": BAND["t"] // 10**6})
    assert (said(nanoseconds)["sip_ns"], said(nanoseconds)["event_ns"]) == (BAND["t"], BAND["t"])
    assert said(milliseconds)["sip_ns"] == said(milliseconds)["event_ns"] == BAND["t"] // 10**6 * 10**6


def test_the_day_is_new_yorks() -> None:
    before_midnight = 1781668799_000  # 2026-06-16 23:59:59 New York
    days = [said(letter)["session_date"] for letter in of(*(TRADE | {"t": before_midnight + ms} for ms in (0, 1000)))]
    assert days == ["2026-06-16", "2026-06-17"]


def test_an_event_has_one_identity_however_it_comes_and_another_event_another() -> None:
    asked_later = {name: value for name, value in MINUTE.items() if name not in ("av", "dav", "op", "a", "z")}
    same = [MINUTE, asked_later, MINUTE | {"av": 1, "z": 1.5}, MINUTE | {"dv": "4989", "o": 78.10}]
    assert len({said(letter)["source_sha256"] for letter in of(*same)}) == 1
    others = [MINUTE, MINUTE | {"c": 78.09}, MINUTE | {"sym": "FCY"}, MINUTE | {"s": MINUTE["s"] - 60_000}]
    assert len({said(letter)["source_sha256"] for letter in of(*others)}) == 4
    (once,), (again,) = of(TRADE), letters([Event("T", "AAPL", TRADE, RECEIVED_NS + 10**9, 0, backfilled=True)])
    assert said(once)["source_sha256"] == said(again)["source_sha256"]


BROKEN: list[tuple[Any, str, str]] = [
    (TRADE | {"p": "ten"}, "unparsable_value", "T"),
    (TRADE | {"t": TRADE["t"] + 0.5}, "unparsable_value", "T"),
    (QUOTE | {"sym": None}, "missing_value", "Q"),
    (QUOTE | {"bp": [1]}, "unparsable_value", "Q"),
    (MINUTE | {"e": None}, "no_time", "AM"),
    (MINUTE | {"e": 10**30}, "no_time", "AM"),
    (BAND | {"t": 2**70}, "unparsable_value", "LULD"),
    (TRADE | {"i": "x" * LARGEST_BYTES}, "oversized", "T"),
    (TRADE | {"ev": "A"}, "unknown_channel", "A"),
    ({"sym": "AAPL"}, "no object with a kind (ev)", "unreadable"),
    ("half a \ud800 pair", "no object with a kind (ev)", "unreadable"),
]


@pytest.mark.parametrize(("body", "reason", "channel"), BROKEN, ids=lambda value: str(value)[:30])
def test_what_is_no_event_is_kept_as_it_came_and_spoils_no_other(body: Any, reason: str, channel: str) -> None:
    letter, *others = sorted(of(TRADE, body, TRADE | {"q": 1}), key=lambda letter: letter.topic)
    assert letter.headers == {"reason": reason, "topic": channel.encode()}
    assert (letter.topic, letter.key, letter.event_ns, letter.fault) == ("dead_letters", None, None, reason)
    if isinstance(body, str):
        assert letter.value == b"half a \\ud800 pair"
    else:
        assert json.loads(letter.value) == body
    assert [other.topic for other in others] == ["trades", "trades"]


def test_reasons_are_those_of_the_bodies_of_rest() -> None:
    assert {reason for _, reason, _ in BROKEN} & set(REASONS) == {"missing_value", "unparsable_value"}


def test_a_frame_that_cannot_be_read_is_kept_and_what_no_broker_takes_is_cut() -> None:
    (letter,) = letters(read_frame(b"{ no JSON \xff", RECEIVED_NS, 1))
    assert (letter.value, letter.fault) == (b"{ no JSON \\xff", "not JSON")
    large = dead_letter("unreadable", "x" * 2_000_000, "not JSON")
    assert len(large.value) == DEAD_BYTES
    assert large.headers is not None
    assert large.headers["whole_bytes"] == "2000000"


def test_what_is_nested_too_deep_spoils_only_itself() -> None:
    deep: Any = []
    for _ in range(2_000):
        deep = [deep]
    events = [Event("T", "AAPL", body, RECEIVED_NS, 1) for body in (TRADE, TRADE | {"p": deep}, TRADE | {"q": 1})]
    assert [(letter.topic, letter.value[:4]) for letter in letters(events)][1] == ("dead_letters", b"AAPL")


def test_what_the_vendor_says_about_the_connection_is_no_message() -> None:
    assert of({"ev": "status", "status": "connected", "message": "Connected Successfully"}) == []


WRONG = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([2**31, 2**63, 9 * 10**12, 10**300, "1e999", "0x10", "١٢", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def wrong_bodies(draw: st.DrawFn) -> dict[str, Any]:
    """An event with a field that says anything."""
    body = FRAMES[draw(st.sampled_from(sorted(FRAMES)))]
    return body | {draw(st.sampled_from(sorted(body.keys() - {"ev"}))): draw(WRONG)}


@settings(deadline=None)
@given(st.lists(wrong_bodies(), max_size=4))
def test_whatever_a_field_says_each_event_becomes_one_message(bodies: list[dict[str, Any]]) -> None:
    found = of(*bodies)
    assert len(found) == len(bodies)
    for letter in found:
        assert letter.topic == "dead_letters" or said(letter)["symbol"] == letter.key


def test_an_article_is_a_message_a_ticker_and_one_row() -> None:
    body = Body("", 200, b"", datetime(2026, 6, 9, 3, tzinfo=UTC))
    nobody = ARTICLE | {"id": "N2", "tickers": []}
    late, long = ARTICLE | {"published_utc": "soon"}, ARTICLE | {"description": "x" * LARGEST_BYTES}
    found = article_letters([ARTICLE, nobody, late, long], body)
    assert [(letter.topic, letter.key) for letter in found] == [
        *(("news", key) for key in ("ABCD", "LMNO", None)),
        *(("dead_letters", None),) * 2,
    ]
    first, second, alone = map(said, found[:3])
    assert first["source_sha256"] == second["source_sha256"] != alone["source_sha256"]
    assert (first["symbol"], "symbol" in alone) == ("ABCD", False)
    # It is asked for at 23:00 of the day before in New York.
    assert (first["as_of"], first["endpoint"], first["published_at"]) == (
        *("2026-06-08", "news", "2026-06-08T13:45:00.000000+00:00"),
    )
    assert first["insights"] == [{"ticker": "ABCD", "sentiment": "positive", "sentiment_reasoning": "it rose"}]
    assert [letter.fault for letter in found[3:]] == ["unparsable_value", "oversized"]
