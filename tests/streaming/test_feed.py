"""The live feed into a real broker, from the simulated vendor and from a socket that errs as a test scripts it."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import time as time_of_day
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from jsonschema import Draft202012Validator
from pyspark.sql import SparkSession

from smallcaps.config import KafkaSettings, Settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import TOPICS
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.rest import Pace, RestClient
from smallcaps.sources.polygon.websocket import Patience
from smallcaps.sources.simulator.layout import TAPE, write_records, write_tape
from smallcaps.sources.simulator.server import Faults, Place, running
from smallcaps.streaming import gaps
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.feed import LiveStatistics, ingest_live
from smallcaps.streaming.kafka import Outlet, client_options, make_topics, partitions_of
from smallcaps.streaming.letters import Letter
from smallcaps.streaming.news import NewsDesk, poll_news
from smallcaps.streaming.predecessor import left_off
from tests.sources.simulator.server.market import (
    DOLLAR,
    KEY,
    MONDAY,
    NEWS,
    SECOND,
    SHARE,
    THURSDAY,
    article,
    at,
    band,
    bar,
    quote,
    trade,
    write_market,
)
from tests.sources.socket_server import Line, run, socket_server
from tests.sources.test_events import BAND, BAR, QUOTE, TRADE

pytestmark = pytest.mark.slow

QUICK = Patience(acknowledge_seconds=2, backoff_seconds=0.01, failures=1_000)
NAMES = ("trades", "quotes", "bars", "sector", "luld", "news", "dead_letters")
MINUTES, SPEED, WAIT = 4, 60.0, 40.0


def clock(second: int) -> str:
    """A time of the stretch that is played, in seconds after the open."""
    return f"09:{30 + second // 60:02}:{second % 60:02}"


TRADES = [
    trade(symbol, f"{clock(second)}.25", price + second % 7 / 100, 100 + second, number + second, (14,))
    for symbol, price, number in (("ABCD", 10.0, 1_000), ("LMNO", 2.0, 2_000))
    for second in range(60 * MINUTES)
]
QUOTES = [
    quote("ABCD", f"{clock(second)}.5", 9.99, 10.01 + second / 100, 3_000 + second) for second in range(60 * MINUTES)
]
LULD = [band("LMNO", "09:31:00.000000001", 1.6, 2.4, 17, 201), band("LMNO", "09:33:00", 1.6, 2.4, 18, 202)]


def minute(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The bar of the trades of a symbol's minute."""
    prices, shares = [row["price"] for row in rows], sum(row["size"] for row in rows)
    named = " ".join(str(price / DOLLAR) for price in (prices[0], max(prices), min(prices), prices[-1]))
    vwap = round(sum(row["price"] * row["size"] for row in rows) / shares / DOLLAR, 4)
    start = rows[0]["sip_ns"] // (60 * SECOND) * (60 * SECOND)
    return bar(rows[0]["symbol"], start, named, shares / SHARE, vwap, len(rows))


BARS = [minute(TRADES[first : first + 60]) for first in range(0, len(TRADES), 60)]
FUND = [bar("SPY", at(MONDAY, clock(60 * number)), "500 501 499 500.5", 1e6, 500.1, 9) for number in range(MINUTES)]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market made by hand, with a busier Monday."""
    folder = tmp_path_factory.mktemp("market")
    write_market(folder)
    for kind, rows in (("trades", TRADES), ("quotes", QUOTES), ("luld", LULD), ("minute", [*BARS, *FUND])):
        write_tape(folder, kind, MONDAY, pa.Table.from_pylist(rows, TAPE[kind]))
    write_records(folder / "reference" / "news.jsonl", [*NEWS, article(4, "2026-06-08T13:31:00Z", "ABCD", "LMNO")])
    return folder


@pytest.fixture(scope="module")
def broker(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with Broker(tmp_path_factory.mktemp("broker"), settings.cache) as started:
        yield started


@pytest.fixture
def kafka(broker: Broker, request: pytest.FixtureRequest) -> KafkaSettings:
    """The broker, with topics of the test's own."""
    own = broker.kafka.model_copy(update={"prefix": f"{request.node.name.replace('[', '-').replace(']', '')}."})
    make_topics(own, [(name, 2, 1) for name in NAMES])
    return own


def pointed(settings: Settings, kafka: KafkaSettings, socket: str, origin: str = "http://127.0.0.1:9") -> Settings:
    """Settings that name this vendor and broker."""
    vendor = settings.vendor.model_copy(update={"feed": socket, "origin": origin})
    return settings.model_copy(update={"vendor": vendor, "kafka": kafka})


class Reader:
    """All messages of the topics, as they come."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._consumer = Consumer(client_options(kafka) | {"group.id": "test", "enable.auto.commit": False})
        places = [(name, part) for name in NAMES for part in partitions_of(kafka, name)]
        self._consumer.assign([TopicPartition(f"{kafka.prefix}{name}", part, 0) for name, part in places])
        self.messages: dict[str, list[Message]] = {name: [] for name in NAMES}

    def read(self) -> None:
        """Take what has come."""
        for message in self._consumer.consume(5_000, timeout=0.2):
            if message.error() is None:
                self.messages[message.topic().removeprefix(self._kafka.prefix)].append(message)

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(message.value()) for message in self.messages[name]]

    def identities(self, name: str) -> Counter[str]:
        return Counter(row["source_sha256"] for row in self.rows(name))

    def until(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT
        while not enough() and time.monotonic() < deadline:
            self.read()


def counts(reader: Reader) -> dict[str, int]:
    return {name: len(reader.identities(name)) for name in NAMES if name != "dead_letters" and reader.messages[name]}


PLAYED = {"trades": len(TRADES), "quotes": len(QUOTES), "bars": len(BARS), "sector": len(FUND), "luld": len(LULD)}


def ingested(
    settings: Settings,
    kafka: KafkaSettings,
    place: Place,
    enough: Callable[[Reader], bool],
    meanwhile: Callable[[], None] = lambda: None,
    **options: Any,
) -> tuple[Reader, LiveStatistics]:
    """Take a feed in until there is enough; what was read, and what was told."""
    stop, reader = threading.Event(), Reader(kafka)
    own = pointed(settings, kafka, place.socket, place.origin)
    with ThreadPoolExecutor(1) as pool:
        ending: Future[LiveStatistics] = pool.submit(ingest_live, own, Key(KEY), patience=QUICK, stop=stop, **options)
        try:
            meanwhile()
            reader.until(lambda: enough(reader) or ending.done())
        finally:
            stop.set()
        statistics = ending.result()
    reader.read()
    return reader, statistics


def last_bars(reader: Reader) -> dict[tuple[str, int], tuple[float, ...]]:
    """What holds of each bar: the last that was said."""
    names = ("open", "high", "low", "close", "volume", "vwap")
    return {(row["symbol"], row["window_start_ns"]): tuple(row[name] for name in names) for row in reader.rows("bars")}


ON_TAPE = {
    (one["symbol"], one["start_ns"]): (
        *(one[name] / DOLLAR for name in ("open", "high", "low", "close")),
        *(one["volume"] / SHARE, one["vwap"]),
    )
    for one in BARS
}


def test_a_stretch_that_is_played_is_in_the_topics_as_on_the_tape(
    settings: Settings, kafka: KafkaSettings, market: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallcaps.streaming.feed.TELL_SECONDS", 3_600)
    with running(market, KEY, day=MONDAY, speed=SPEED, start=time_of_day(9, 30)) as place:
        reader, statistics = ingested(
            *(settings, kafka, place, lambda reader: counts(reader) == PLAYED | {"news": 1}),
            **{"clock": lambda: at(MONDAY, "10:00:00"), "news_seconds": 0.2},
        )
    for name, count in PLAYED.items():
        judge = Draft202012Validator(json.loads(TOPICS[name].json_schema))
        for message in reader.messages[name]:
            row = json.loads(message.value())
            judge.validate(row)
            assert message.key() == row["symbol"].encode()
            assert row["session_date"] == str(MONDAY)
        assert set(reader.identities(name).values()) == {1}
        assert len(reader.messages[name]) == count
    told = {(row["symbol"], row["sequence_number"]): row for row in reader.rows("trades")}
    assert len(told) == len(TRADES)
    for one in TRADES:
        row = told[one["symbol"], one["sequence_number"]]
        assert (row["event_ns"], row["sip_ns"]) == (one["sip_ns"], one["sip_ns"])
        assert (row["price"], row["size"]) == (one["price"] / DOLLAR, one["size"] / SHARE)
        assert (row["conditions"], row["trade_id"], row["exchange"]) == ([14], one["id"], 12)
    asks = {row["sequence_number"]: row["ask_price"] for row in reader.rows("quotes")}
    assert asks == {one["sequence_number"]: one["ask_price"] / DOLLAR for one in QUOTES}
    assert last_bars(reader) == ON_TAPE
    assert {row["event_ns"] - row["window_start_ns"] for row in reader.rows("sector")} == {60 * SECOND}
    assert sorted(row["sip_ns"] for row in reader.rows("luld")) == [one["sip_ns"] for one in LULD]
    assert {message.key() for message in reader.messages["news"]} == {b"ABCD", b"LMNO"}
    assert statistics.messages == PLAYED | {"news": 2}
    assert statistics.heard_at == "2026-06-08T14:00:00+00:00"
    # By a clock that stands at 10:00; the last quote is of 09:33:59.5, the first trade of 09:30:00.25.
    assert (statistics.shortest_lag, statistics.longest_lag) == (1_560.5, 1_799.75)
    assert (statistics.gaps, statistics.dead_letters, statistics.duplicates) == (0, {}, 0)


def test_connections_that_break_lose_nothing_that_rest_has_and_double_nothing(
    settings: Settings, kafka: KafkaSettings, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "SETTLE_SECONDS", 0.1)
    whole = {name: count for name, count in PLAYED.items() if name != "luld"}

    def enough(reader: Reader) -> bool:
        return whole.items() <= counts(reader).items()

    faults = Faults(abort_after=40)
    with running(market, KEY, day=MONDAY, speed=SPEED, start=time_of_day(9, 30), faults=faults) as place:
        reader, statistics = ingested(settings, kafka, place, enough)
    assert statistics.reconnects > 2
    assert statistics.backfilled > 0
    assert statistics.duplicates > 0
    # Limit bands are nowhere else.
    assert 0 < statistics.gaps_lost < statistics.gaps
    assert {(row["symbol"], row["sequence_number"]) for row in reader.rows("trades")} == {
        (one["symbol"], one["sequence_number"]) for one in TRADES
    }
    for name in ("trades", "quotes", "luld"):
        assert set(reader.identities(name).values()) <= {1}
    assert counts(reader) | {"luld": 2} == PLAYED
    assert last_bars(reader) == ON_TAPE


def test_what_nobody_heard_between_two_processes_is_asked_for(
    settings: Settings, kafka: KafkaSettings, market: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "SETTLE_SECONDS", 0.1)
    whole = {name: count for name, count in PLAYED.items() if name != "luld"}
    clock = {"clock": lambda: at(MONDAY, "10:00:00")}

    def some(reader: Reader) -> bool:
        return counts(reader).get("bars", 0) >= 2

    def last(reader: Reader) -> bool:
        return whole.items() <= counts(reader).items()

    with running(market, KEY, day=MONDAY, speed=SPEED, start=time_of_day(9, 30)) as place:
        reader, first = ingested(settings, kafka, place, some, **clock)
        heard = len(reader.identities("trades"))
        time.sleep(60 / SPEED)
        reader, second = ingested(settings, kafka, place, last, **clock)
    assert first.gaps == 0
    assert 0 < heard < len(TRADES) - 60
    # Of every channel but that of limit bands, of which there may be none before.
    assert second.gaps >= 3
    assert second.backfilled > 0
    assert counts(reader) | {"luld": 2} == PLAYED
    assert last_bars(reader) == ON_TAPE
    # Another day's process asks from where its session begins; on a day without one nothing is missed.
    tuesday, sunday = MONDAY + timedelta(days=1), MONDAY - timedelta(days=1)
    assert set(left_off(kafka, at(tuesday, "09:00:00")).known_ns.values()) == {at(tuesday, "04:00:00")}
    known = left_off(kafka, at(MONDAY, "10:00:00"))
    assert known.symbols == {"ABCD", "LMNO", "SPY"}
    assert known.known_ns["T"] == TRADES[-1]["sip_ns"]
    with Outlet(kafka) as outlet:
        outlet.send("trades", None, b"no message of ours")
    assert left_off(kafka, at(MONDAY, "10:00:00")) == known
    for moment in (at(tuesday, "03:00:00"), at(sunday, "10:00:00")):
        assert left_off(kafka, moment) == ({}, frozenset())


def test_a_broker_that_is_killed_and_comes_again_has_everything_once(
    settings: Settings, kafka: KafkaSettings, market: Path, broker: Broker
) -> None:
    def kill_and_start() -> None:
        time.sleep(2)
        broker.kill()
        time.sleep(0.5)
        broker.start()

    with running(market, KEY, day=MONDAY, speed=SPEED, start=time_of_day(9, 30)) as place:
        reader, statistics = ingested(settings, kafka, place, lambda reader: counts(reader) == PLAYED, kill_and_start)
    assert {name: len(reader.messages[name]) for name in PLAYED} == PLAYED == statistics.messages


def listened(
    settings: Settings,
    kafka: KafkaSettings,
    script: Callable[[Line], Awaitable[None]],
    enough: Callable[[Reader], bool],
    patience: Patience = QUICK,
) -> tuple[Reader, LiveStatistics | FailedDependency]:
    """Listen to a socket that behaves as scripted until there is enough; what was read, and what was told or the error."""
    found: list[LiveStatistics | FailedDependency] = []
    stop, reader = threading.Event(), Reader(kafka)

    async def play() -> None:
        async with socket_server(script) as server:
            own = pointed(settings, kafka, server.url)
            ending = asyncio.create_task(asyncio.to_thread(ingest_live, own, Key(KEY), patience=patience, stop=stop))
            await asyncio.to_thread(reader.until, lambda: enough(reader) or ending.done())
            stop.set()
            try:
                found.append(await ending)
            except FailedDependency as error:
                found.append(error)

    run(play())
    return reader, found[0]


def test_what_cannot_be_taken_is_a_dead_letter_and_the_rest_goes_on(settings: Settings, kafka: KafkaSettings) -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(TRADE, TRADE | {"p": "ten", "q": 1}, QUOTE | {"sym": None}, BAND)
        await line.socket.send("{ no JSON")
        await line.send(BAR | {"ev": "AM"}, BAR | {"ev": "AM"}, {"ev": "NEW", "sym": "AAPL"})
        await line.send(TRADE | {"i": "x" * 70_000}, TRADE | {"q": 2})
        await line.hold()

    reasons = {"unparsable_value": 1, "missing_value": 1, "not JSON": 1, "unknown_channel": 1, "oversized": 1}

    def enough(reader: Reader) -> bool:
        return len(reader.messages["trades"]) == 2 and len(reader.messages["dead_letters"]) == len(reasons)

    reader, statistics = listened(settings, kafka, script, enough)
    assert isinstance(statistics, LiveStatistics)
    assert statistics.dead_letters == reasons
    assert (statistics.messages, statistics.duplicates) == ({"trades": 2, "luld": 1, "bars": 1}, 1)
    letters = reader.messages["dead_letters"]
    assert {tuple(value for _, value in letter.headers() or ()) for letter in letters} == {
        (b"unparsable_value", b"T"),
        (b"missing_value", b"Q"),
        (b"unknown_channel", b"NEW"),
        (b"oversized", b"T"),
        (
            b"not JSON: Expecting property name enclosed in double quotes: line 1 column 3 (char 2)",
            b"unreadable",
        ),
    }
    assert b"{ no JSON" in [letter.value() for letter in letters]
    assert [row["sequence_number"] for row in reader.rows("trades")] == [TRADE["q"], 2]


def test_a_feed_that_ends_for_good_is_an_error_after_what_was_received_has_arrived(
    settings: Settings, kafka: KafkaSettings
) -> None:
    async def script(line: Line) -> None:
        if line.number == 0:
            await line.open()
            await line.send(TRADE)
        line.abort()

    reader, error = listened(settings, kafka, script, lambda _: False, replace(QUICK, failures=1))
    assert isinstance(error, FailedDependency)
    reader.until(lambda: counts(reader) == {"trades": 1})
    assert counts(reader) == {"trades": 1}


def test_without_topics_or_time_it_is_bad_input(settings: Settings, broker: Broker) -> None:
    with pytest.raises(BadInput, match="0 seconds are no time"):
        ingest_live(settings, Key(KEY), seconds=0)
    with pytest.raises(BadInput, match="has no topic trades"):
        ingest_live(pointed(settings, broker.kafka, "ws://127.0.0.1:9/stocks"), Key(KEY))


def test_news_come_once_a_ticker_and_no_article_twice(market: Path) -> None:
    with running(market, KEY) as place:
        desk = NewsDesk(RestClient(place.origin, KEY, Pace(1e3)), lambda: at(THURSDAY, "10:00:00"))
        first, second = desk.ask(), desk.ask()
        monday = NewsDesk(RestClient(place.origin, KEY, Pace(1e3)), lambda: at(MONDAY, "10:00:00")).ask()
    named = [(json.loads(letter.value)["vendor_id"], letter.key) for letter in first]
    of_monday = [("N4", "ABCD"), ("N4", "LMNO"), ("N3", "LMNO")]
    assert named == [("N1", "ABCD"), ("N2", "ABCD"), ("N2", "LMNO"), *of_monday]
    assert second == []
    assert [(json.loads(letter.value)["vendor_id"], letter.key) for letter in monday] == of_monday


def test_news_that_cannot_be_asked_for_are_asked_for_again(market: Path, caplog: pytest.LogCaptureFixture) -> None:
    stop, found = threading.Event(), list[Letter]()

    def send(letters: list[Letter]) -> None:
        found.extend(letters)
        stop.set()

    with running(market, KEY) as place:
        client = RestClient(place.origin, "wrong", Pace(1e3))
        answers = iter([client, RestClient(place.origin, KEY, Pace(1e3))])

        class Either:
            def pages(self, *asked: Any) -> Any:
                return next(answers).pages(*asked)

        poll_news(Either(), send, 0.01, stop, lambda: at(MONDAY, "10:00:00"))  # type: ignore[arg-type]
    assert [letter.key for letter in found] == ["ABCD", "LMNO", "LMNO"]
    assert "The news could not be asked for" in caplog.text


def test_a_broker_that_stays_away_is_an_error(
    settings: Settings, kafka: KafkaSettings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last of the file: nobody starts the broker again."""
    monkeypatch.setattr("smallcaps.streaming.kafka.DELIVERY_SECONDS", 1.5)

    async def script(line: Line) -> None:
        await line.open()
        broker.kill()
        await line.send(TRADE)
        await line.hold()

    assert "did not take 1 messages" in str(listened(settings, kafka, script, lambda _: False)[1])
