"""The live feed against a real server on the loopback that errs as the vendor does."""

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from http import HTTPStatus
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from smallcaps.errors import BadInput, FailedDependency
from smallcaps.sources.polygon import websocket
from smallcaps.sources.polygon.backfill import backfill
from smallcaps.sources.polygon.events import UNREADABLE, Event, Gap, Seen, identity
from smallcaps.sources.polygon.rest import Pace, RestClient
from smallcaps.sources.polygon.websocket import Feed, Patience
from tests.sources.socket_server import Line, SocketServer, acknowledgement, run, socket_server
from tests.sources.vendor_server import Answer, vendor_server

KEY = "the-key-that-nobody-may-see"
QUICK = Patience(backoff_seconds=0.01, eviction_seconds=0.01, failures=3, evictions=2)
SHORT = replace(QUICK, acknowledge_seconds=0.5)
START_MS = 1781622376000
NOW_NS = 1781622999 * 10**9


def trade(number: int, **changes: Any) -> dict[str, Any]:
    """Trade `number` of ABC, a second after the one before."""
    return {
        "ev": "T", "sym": "ABC", "i": str(number), "x": 11, "p": 5.25, "s": 100, "ds": "100.0", "z": 1, "q": number,
        "t": START_MS + 1000 * number, "pt": START_MS + 1000 * number - 3, **changes,
    }  # fmt: skip


def instant(number: int) -> int:
    """When trade `number` happened, in ns."""
    return (START_MS + 1000 * number) * 10**6


def feed(server: SocketServer, *topics: str, patience: Patience = QUICK, capacity: int = 1000) -> Feed:
    return Feed(server.url, KEY, topics or ("T.*",), patience, capacity, clock=lambda: NOW_NS)


async def until(feed: Feed, enough: Callable[[Event | Gap], bool]) -> list[Event | Gap]:
    """What comes up to the record that is enough; statuses are left out."""
    records = []
    async for record in feed:
        if isinstance(record, Gap) or record.channel != "status":
            records.append(record)
        if enough(record):
            break
    return records


async def read(feed: Feed, into: list[Event | Gap]) -> None:
    """Everything, to the error that ends it."""
    async for record in feed:
        into.append(record)


def is_trade(number: int) -> Callable[[Event | Gap], bool]:
    return lambda record: isinstance(record, Event) and record.body.get("i") == str(number)


def trades(records: list[Event | Gap]) -> list[int]:
    return [record.body["q"] for record in records if isinstance(record, Event) and record.channel == "T"]


def gaps(records: list[Event | Gap]) -> list[Gap]:
    return [record for record in records if isinstance(record, Gap)]


def scenario(
    script: Callable[[Line], Awaitable[None]],
    enough: Callable[[Event | Gap], bool],
    *topics: str,
    patience: Patience = QUICK,
) -> tuple[list[Event | Gap], Feed, SocketServer]:
    """Play `script`, read until there is enough."""
    result: list[Any] = []

    async def play() -> None:
        async with socket_server(script) as server:
            async with feed(server, *topics, patience=patience) as reading:
                result.append(await until(reading, enough))
            result.extend((reading, server))

    run(play())
    records, reading, server = result
    return records, reading, server


def never(_: object) -> bool:
    return False


# The protocol


def test_greeting_key_and_topics_are_exchanged_in_the_vendors_order() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(trade(1))
        await line.hold()

    records, reading, server = scenario(script, is_trade(1), "T.ABC", "Q.*", "T.ABC")
    assert server.heard == [[{"action": "auth", "params": KEY}, {"action": "subscribe", "params": "T.ABC,Q.*"}]]
    assert records == [Event("T", "ABC", trade(1), NOW_NS, 1)]
    assert reading.missing == frozenset()
    assert server.ends == [1000]


def test_nothing_is_sent_before_the_greeting() -> None:
    async def script(line: Line) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await line.hear()
        await line.open()
        await line.send(trade(1))
        await line.hold()

    scenario(script, is_trade(1))


@pytest.mark.parametrize("batched", [True, False])
def test_acknowledgements_come_in_one_frame_or_one_by_one_or_among_events(batched: bool) -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        topics = (await line.hear())["params"].split(",")
        if batched:
            await line.send(*map(acknowledgement, topics))
        else:
            for number, topic in enumerate(topics):
                await line.send(acknowledgement(topic), trade(number))
        await line.send(trade(9))
        await line.hold()

    records, reading, _ = scenario(script, is_trade(9), "T.ABC", "A.*", "AM.*", "LULD.*")
    assert trades(records) == ([9] if batched else [0, 1, 2, 3, 9])
    assert reading.missing == frozenset()


def test_statuses_reach_the_consumer_and_one_without_a_message_harms_nothing() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.socket.send("[]")
        await line.send({"ev": "status"}, {"ev": "status", "status": "new", "message": 7})
        await line.send(trade(1))
        await line.hold()

    async def play() -> None:
        async with socket_server(script) as server, feed(server) as reading:
            said = []
            async for record in reading:
                assert isinstance(record, Event)
                if record.channel != "status":
                    break
                said.append(record.body.get("status"))
            assert said == ["connected", "auth_success", "success", None, "new"]

    run(play())


@pytest.mark.parametrize("message", ["authentication failed", "Your plan doesn't include websocket access."])
def test_a_refused_key_or_plan_is_told_at_once_and_not_tried_again(message: str) -> None:
    async def script(line: Line) -> None:
        await line.say("connected", "Connected Successfully")
        await line.hear()
        await line.say("auth_failed", message)
        line.abort()

    async def play() -> None:
        async with socket_server(script) as server, feed(server) as reading:
            with pytest.raises(BadInput, match=message):
                await until(reading, never)
            assert len(server.heard) == 1

    run(play())


@pytest.mark.parametrize(
    "stage", ["before the greeting", "greeting", "silent", "auth_timeout", "key", "success", "topics"]
)
def test_a_connection_that_fails_before_it_is_subscribed_is_tried_again(stage: str) -> None:
    async def script(line: Line) -> None:
        if line.number == 0:
            match stage:
                case "before the greeting":
                    pass
                case "greeting":
                    await line.say("connected", "Connected Successfully")
                case "silent":
                    await line.say("connected", "Connected Successfully")
                    await line.hold()
                case "auth_timeout":
                    await line.say("auth_timeout", "No authentication request received.")
                    await line.hold()
                case "key":
                    await line.say("connected", "Connected Successfully")
                    await line.hear()
                case "success":
                    await line.authenticate()
                case "topics":
                    await line.authenticate()
                    await line.hear()
            line.abort()
            return
        await line.open()
        await line.send(trade(1))
        await line.hold()

    patience = replace(QUICK, authenticate_seconds=1) if stage == "silent" else QUICK
    records, reading, server = scenario(script, is_trade(1), patience=patience)
    # Nothing was subscribed to before, so nothing was missed.
    assert records == [Event("T", "ABC", trade(1), NOW_NS, 2)]
    assert len(server.heard) == 2
    assert reading.statistics.reconnects == 0


def test_a_server_that_is_not_there_is_told_after_the_tries_are_used_up() -> None:
    async def play() -> None:
        async with socket_server(Line.open) as server:
            pass
        async with feed(server) as reading:
            with pytest.raises(
                FailedDependency, match=r"was lost 4 times in a row, at last: no connection .* Try later"
            ):
                await until(reading, never)
            with pytest.raises(FailedDependency):
                await anext(reading)

    run(play())


def test_a_refused_topic_is_found_by_what_is_missing_and_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        await line.hear()
        await line.say("error", "not authorized")
        await line.send(acknowledgement("T.*"), acknowledgement("AM.*"))
        await line.send(trade(1))
        await line.hold()

    async def play() -> None:
        patient = replace(QUICK, acknowledge_seconds=3600)
        async with socket_server(script) as server, feed(server, "NOI.*", "T.*", "AM.*", patience=patient) as reading:
            assert trades(await until(reading, is_trade(1))) == [1]
            assert reading.missing == {"NOI.*"}

    run(play())
    assert "1 topics were not acknowledged, 1 refused: NOI.*" in caplog.text


def test_topics_that_are_all_refused_are_bad_input() -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        await line.hear()
        await line.say("error", "not authorized")
        await line.hold()

    async def play() -> None:
        async with socket_server(script) as server, feed(server, "NOI.*") as reading:
            with pytest.raises(BadInput, match=r"plan does not cover any of the topics asked for: NOI\.\*"):
                await until(reading, never)

    run(play())


def test_an_unknown_topic_is_noticed_by_its_silence_and_holds_nothing_up(caplog: pytest.LogCaptureFixture) -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        await line.hear()
        await line.send(acknowledgement("T.*"), trade(1))
        await line.hold()

    async def play() -> None:
        async with socket_server(script) as server, feed(server, "XX.*", "T.*", patience=SHORT) as reading:
            assert trades(await until(reading, is_trade(1))) == [1]
            while not caplog.records:
                await asyncio.sleep(0.01)
            assert reading.missing == {"XX.*"}

    run(play())
    assert "1 topics were not acknowledged, 0 refused: XX.*" in caplog.text


def test_a_late_acknowledgement_counts() -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        await line.hear()
        await line.send(acknowledgement("T.*"))
        await asyncio.sleep(1)
        await line.send(acknowledgement("AM.*"), trade(1))
        await line.hold()

    _, reading, _ = scenario(script, is_trade(1), "T.*", "AM.*", patience=SHORT)
    assert reading.missing == frozenset()


def test_an_acknowledgement_of_what_was_not_asked_for_is_no_topic_of_a_gap() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(acknowledgement("T.XYZ"), acknowledgement("T.*"), trade(line.number))
        if line.number == 0:
            line.abort()
        await line.hold()

    records, _, _ = scenario(script, is_trade(1))
    assert [gap.topics for gap in gaps(records)] == [("T.*",)]


def test_only_unknown_topics_look_like_a_sick_server_and_end_with_their_names() -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        await line.hear()
        await line.hold()

    async def play() -> None:
        async with socket_server(script) as server, feed(server, "XX.*", patience=SHORT) as reading:
            with pytest.raises(FailedDependency, match=r"no topic was acknowledged: XX\.\*"):
                await until(reading, never)
            assert len(server.heard) == 4

    run(play())


def test_a_topic_that_is_not_acknowledged_again_is_no_subscription() -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        await line.hear()
        await line.send(*([acknowledgement("T.*")] if line.number != 1 else []), acknowledgement("AM.*"))
        await line.send(trade(line.number))
        if line.number == 0:
            line.abort()
        await line.hold()

    records, reading, server = scenario(script, is_trade(2), "T.*", "AM.*", patience=SHORT)
    assert trades(records) == [0, 1, 2]
    assert [(gap.topics, gap.from_ns) for gap in gaps(records)] == [(("T.*",), instant(0)), (("AM.*",), NOW_NS)]
    assert len(server.heard) == 3
    assert reading.statistics.reconnects == 1


@pytest.mark.parametrize(
    ("url", "key", "topics"),
    [
        ("https://x/stocks", KEY, ["T.*"]),
        ("nonsense", KEY, ["T.*"]),
        ("ws://x/stocks", "", ["T.*"]),
        (f"ws://x/stocks?apiKey={KEY}", KEY, ["T.*"]),
        ("ws://x/stocks", KEY, []),
        ("ws://x/stocks", KEY, ["T"]),
        ("ws://x/stocks", KEY, ["T.A,T.B"]),
        ("ws://x/stocks", KEY, ["T. A"]),
    ],
)
def test_a_feed_that_cannot_be_is_refused_before_it_connects(url: str, key: str, topics: list[str]) -> None:
    with pytest.raises(BadInput) as refused:
        Feed(url, key, topics)
    assert KEY not in str(refused.value)


# Loss and return


def drop(code: int | None) -> Callable[[Line], Awaitable[None]]:
    """Two trades, then a close with `code` or none; the next connection begins with trade 5."""

    async def script(line: Line) -> None:
        await line.open()
        if line.number == 0:
            await line.send(trade(1), trade(2))
            if code is None:
                line.abort()
            else:
                await line.socket.close(code, "as scripted")
            return
        await line.send(trade(5))
        await line.hold()

    return script


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1009, 1011, 1012, 1013, 4000, None])
def test_whatever_the_close_code_the_feed_comes_back_with_its_topics_and_tells_the_gap(code: int | None) -> None:
    records, reading, server = scenario(drop(code), is_trade(5), "T.*", "Q.ABC")
    assert trades(records) == [1, 2, 5]
    trades_gap, quotes_gap = gaps(records)
    assert (trades_gap.topics, trades_gap.from_ns, trades_gap.to_ns) == (("T.*",), instant(2), NOW_NS)
    # No quote was ever seen: the gap begins where the topic was first acknowledged.
    assert (quotes_gap.topics, quotes_gap.from_ns, quotes_gap.to_ns) == (("Q.ABC",), NOW_NS, NOW_NS)
    assert ("no close frame" if code is None else f"{code}") in trades_gap.reason
    assert server.heard[0] == server.heard[1]
    assert [record.connection for record in records if isinstance(record, Event)] == [1, 1, 2]
    assert (reading.statistics.reconnects, reading.statistics.gaps) == (1, 2)


def test_a_gap_reaches_back_to_the_last_event_however_many_connections_fail_in_between() -> None:
    async def script(line: Line) -> None:
        if line.number in (1, 2):
            await line.authenticate()
            await line.hear()
            await line.send(trade(3))
            line.abort()
            return
        await line.open()
        await line.send(trade(line.number + 1))
        if line.number == 0:
            line.abort()
        await line.hold()

    records, _, _ = scenario(script, is_trade(4))
    assert [(gap.from_ns, gap.to_ns) for gap in gaps(records)] == [(instant(1), NOW_NS)]


@pytest.mark.parametrize("status", ["slow_consumer", "force_disconnect"])
def test_a_status_that_announces_the_end_is_taken_for_it_after_the_frames_events(status: str) -> None:
    async def script(line: Line) -> None:
        await line.open()
        if line.number == 0:
            await line.send({"ev": "status", "status": status, "message": "too slow"}, trade(1))
        else:
            await line.send(trade(2))
        await line.hold()

    records, _, server = scenario(script, is_trade(2))
    assert trades(records) == [1, 2]
    (gap,) = gaps(records)
    assert (gap.from_ns, gap.reason) == (instant(1), f"the vendor says {status} (too slow)")
    assert len(server.heard) == 2


def test_a_connection_that_neither_speaks_nor_answers_a_ping_is_left() -> None:
    left = asyncio.Event()

    async def script(line: Line) -> None:
        await line.open()
        await line.send(trade(line.number))
        if line.number == 0:
            line.stop_reading()
            await left.wait()
        else:
            await line.hold()

    async def play() -> None:
        async with (
            socket_server(script) as server,
            feed(server, patience=replace(QUICK, silence_seconds=0.1)) as reading,
        ):
            records = await until(reading, is_trade(1))
            assert gaps(records) == [Gap(("T.*",), instant(0), NOW_NS, "silent for 0.2 s, a ping was not answered")]
            left.set()

    run(play())


def test_a_connection_that_is_silent_and_answers_is_kept() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await asyncio.sleep(1.2)
        await line.send(trade(1))
        await line.hold()

    records, _, server = scenario(script, is_trade(1), patience=replace(QUICK, silence_seconds=0.1))
    assert trades(records) == [1]
    assert len(server.heard) == 1


def test_a_gap_ends_the_feed_before_the_error_that_does() -> None:
    async def script(line: Line) -> None:
        if line.number == 0:
            await line.open()
            await line.send(trade(1))
        line.abort()

    async def play() -> None:
        records: list[Event | Gap] = []
        async with socket_server(script) as server, feed(server) as reading:
            with pytest.raises(FailedDependency, match="was lost 4 times in a row, at last: closed"):
                await read(reading, records)
            assert len(server.heard) == 4
        assert [(gap.topics, gap.from_ns, gap.to_ns) for gap in gaps(records)] == [(("T.*",), instant(1), NOW_NS)]

    run(play())


def test_a_refusal_while_events_come_ends_the_feed_with_its_gap() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(trade(1))
        await line.say("auth_failed", "Your plan doesn't include websocket access.")
        line.abort()

    async def play() -> None:
        records: list[Event | Gap] = []
        async with socket_server(script) as server, feed(server) as reading:
            with pytest.raises(BadInput, match="refuses the key or its plan"):
                await read(reading, records)
        assert [(gap.topics, gap.from_ns) for gap in gaps(records)] == [(("T.*",), instant(1))]

    run(play())


def test_a_key_that_is_withdrawn_in_the_middle_ends_the_feed_with_its_gap() -> None:
    async def script(line: Line) -> None:
        if line.number == 0:
            await line.open()
            await line.send(trade(1))
            line.abort()
            return
        await line.say("connected", "Connected Successfully")
        await line.hear()
        await line.say("auth_failed", "authentication failed")
        line.abort()

    async def play() -> None:
        records: list[Event | Gap] = []
        async with socket_server(script) as server, feed(server) as reading:
            with pytest.raises(BadInput, match="authentication failed"):
                await read(reading, records)
        assert [(gap.topics, gap.from_ns) for gap in gaps(records)] == [(("T.*",), instant(1))]

    run(play())


def test_losses_are_in_a_row_only_while_connections_do_not_last() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(trade(line.number))
        if line.number < 6:
            await asyncio.sleep(0.1)
            line.abort()
        await line.hold()

    steady = replace(QUICK, longest_backoff_seconds=0.02)
    assert steady.steady_seconds == 0.04
    records, reading, _ = scenario(script, is_trade(6), patience=steady)
    assert trades(records) == [0, 1, 2, 3, 4, 5, 6]
    assert reading.statistics.reconnects == 6


def test_waits_double_up_to_the_longest() -> None:
    patience = Patience(backoff_seconds=0.5, longest_backoff_seconds=60)
    assert [patience.backoff(losses) for losses in (1, 2, 3, 7, 8, 9, 5000)] == [0.5, 1, 2, 32, 60, 60, 60]


CAP = "Maximum number of websocket connections exceeded. You have reached the connection limit."


def test_an_older_connection_that_is_thrown_out_comes_back_when_the_other_has_gone() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(trade(line.number))
        if line.number == 0:
            await line.say("max_connections", CAP)
            await line.socket.close(1008)
        await line.hold()

    records, _, _ = scenario(script, is_trade(1))
    (gap,) = gaps(records)
    assert (gap.from_ns, gap.reason) == (instant(0), f"the vendor says max_connections ({CAP})")


@pytest.mark.parametrize("way", ["status", "close reason", "before the key"])
def test_two_clients_with_one_key_do_not_throw_each_other_out_for_ever(way: str) -> None:
    async def script(line: Line) -> None:
        if way == "before the key":
            await line.say("max_connections", CAP)
        else:
            await line.open()
        if way == "status":
            await line.say("max_connections", CAP)
        await line.socket.close(1008, CAP if way == "close reason" else "")

    async def play() -> None:
        async with socket_server(script) as server, feed(server, patience=replace(QUICK, failures=9)) as reading:
            with pytest.raises(FailedDependency, match="Another client uses the key"):
                await until(reading, never)
            assert len(server.heard) == 3

    run(play())


def test_a_rival_gets_the_longer_wait(caplog: pytest.LogCaptureFixture) -> None:
    async def script(line: Line) -> None:
        await line.say("max_connections", CAP)
        await line.hold()

    async def play() -> None:
        patient = replace(QUICK, eviction_seconds=3600)
        async with socket_server(script) as server, feed(server, patience=patient):
            while "The next in" not in caplog.text:
                await asyncio.sleep(0.01)

    run(play())
    assert 1800 <= float(caplog.messages[0].split("The next in ")[1].split(" s")[0]) <= 3600


def test_a_redirect_is_not_followed_lest_the_key_go_with_it() -> None:
    async def play() -> None:
        async with socket_server(Line.open) as elsewhere:

            def redirect(connection: ServerConnection, _: Request) -> Response:
                response = connection.respond(HTTPStatus.FOUND, "")
                response.headers["Location"] = elsewhere.url
                return response

            async with socket_server(Line.open, process_request=redirect) as server, feed(server) as reading:
                with pytest.raises(FailedDependency, match="HTTP 302"):
                    await until(reading, never)
            assert elsewhere.heard == []

    run(play())


def test_leaving_the_feed_ends_it() -> None:
    async def play() -> None:
        async with socket_server(drop(None)) as server:
            async with feed(server) as reading:
                await until(reading, is_trade(5))
            while [record async for record in reading]:
                pass
            assert server.ends == [1006, 1000]

    run(play())


def test_a_fault_of_the_reader_reaches_the_consumer() -> None:
    def broken() -> int:
        raise ZeroDivisionError

    async def play() -> None:
        async with socket_server(Line.open) as server, Feed(server.url, KEY, ["T.*"], QUICK, clock=broken) as reading:
            with pytest.raises(ZeroDivisionError):
                await until(reading, never)

    run(play())


# Frames


def test_a_frame_over_a_mebibyte_is_read() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(*(trade(number) for number in range(12_000)))
        await line.hold()

    async def play() -> None:
        async with socket_server(script) as server, feed(server, capacity=20_000) as reading:
            assert trades(await until(reading, is_trade(11_999))) == list(range(12_000))
            assert reading.statistics.frames == 4

    assert len(json.dumps([trade(number) for number in range(12_000)])) > 1 << 20
    run(play())


def test_a_frame_over_the_limit_is_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MAXIMUM_FRAME_BYTES", 10_000)

    async def script(line: Line) -> None:
        await line.open()
        await line.send(trade(1))
        if line.number == 0:
            await line.send(*(trade(number) for number in range(2, 200)))
        await line.send(trade(300))
        await line.hold()

    records, _, _ = scenario(script, is_trade(300))
    assert trades(records) == [1, 1, 300]
    assert "1009" in gaps(records)[0].reason


def test_frames_that_are_no_events_are_kept_and_the_connection_with_them() -> None:
    async def script(line: Line) -> None:
        await line.open()
        for frame in ("<html>", '{"ev":"T"}', '[{"ev":"T"', b"\xff\xfe"):
            await line.socket.send(frame)
        await line.socket.send(b"\xff", text=True)
        await line.send(trade(1))
        await line.hold()

    records, reading, server = scenario(script, is_trade(1))
    assert [record.channel for record in records if isinstance(record, Event)] == [UNREADABLE] * 5 + ["T"]
    assert reading.statistics.events[UNREADABLE] == 5
    assert len(server.heard) == 1


def test_repeated_and_backward_sequence_numbers_are_passed_on_and_counted() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(*(trade(number, q=q) for number, q in enumerate([5, 5, 7, 6, 8])), trade(9, sym="X", q=1))
        await line.send({"ev": "Q", "sym": "ABC", "q": 1, "t": START_MS}, trade(10, q=9))
        await line.hold()

    records, reading, _ = scenario(script, is_trade(10))
    assert trades(records) == [5, 5, 7, 6, 8, 1, 9]
    statistics = reading.statistics
    assert (statistics.duplicates, statistics.backward) == (1, 1)
    assert (statistics.events["T"], statistics.events["Q"], statistics.events["status"]) == (7, 1, 3)
    assert statistics.frames == 5


# A slow consumer


async def received(feed: Feed, count: int) -> None:
    """Wait until the reader has so many trades, taking none."""
    while feed.statistics.events["T"] < count:
        await asyncio.sleep(0.001)


def test_a_consumer_that_is_too_slow_holds_nothing_up_and_what_it_lost_stands_in_one_gap() -> None:
    taken = asyncio.Event()

    async def script(line: Line) -> None:
        await line.open()
        for first in range(0, 100, 5):
            await line.send(*(trade(number) for number in range(first, first + 5)))
        await taken.wait()
        await line.send(trade(100))
        await line.hold()

    async def play() -> None:
        async with socket_server(script) as server, feed(server, capacity=13) as reading:
            await received(reading, 100)
            # Three statuses took the first places.
            records = [await anext(reading) for _ in range(14)]
            assert trades(records) == list(range(10))
            assert records[-1] == Gap(("T.*",), instant(10), instant(99), "slow consumer")
            taken.set()
            assert trades(await until(reading, is_trade(100))) == [100]
            assert (reading.statistics.dropped, reading.statistics.gaps) == (90, 1)
            assert len(server.heard) == 1

    run(play())


def test_a_consumer_that_never_waits_leaves_the_reader_its_turns() -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(*(trade(number) for number in range(200)))
        await line.hold()

    async def play() -> None:
        async with socket_server(script) as server, feed(server) as reading:
            await received(reading, 200)
            turns = 0

            async def other() -> None:
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            other_task = asyncio.create_task(other())
            for _ in range(200):
                await anext(reading)
            other_task.cancel()
            assert turns >= 3

    run(play())


# The key


def test_the_key_stands_in_the_one_message_and_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("websockets", "websockets.client", "smallcaps.sources.polygon.websocket", "asyncio"):
        caplog.set_level(logging.DEBUG, name)
    told: list[str] = []
    records: list[Event | Gap] = []

    async def script(line: Line) -> None:
        await line.say("connected", f"Hello {KEY}")
        await line.hear()
        if line.number == 2:
            await line.say("auth_failed", f"no such key: {KEY}")
            line.abort()
            return
        await line.send({"ev": "status", "status": "auth_success", "message": KEY})
        await line.acknowledge()
        if line.number == 0:
            await line.socket.close(1011, f"because of {KEY}")
        else:
            await line.say("force_disconnect", f"go away, {KEY[:9]}")
            await line.hold()

    async def play() -> None:
        asyncio.get_running_loop().set_debug(True)
        async with socket_server(script) as server, feed(server) as reading:
            with pytest.raises(BadInput) as failed:
                await read(reading, records)
            told.extend(map(repr, records))
            told.extend(traceback.format_exception(failed.value))
            told.append(repr(reading))
            told.append(repr(reading.statistics))
            assert [heard[0]["params"] for heard in server.heard] == [KEY] * 3

    run(play())
    told.append(caplog.text)
    assert "because of [key]" in caplog.text
    assert all(KEY not in text and KEY[:20] not in text for text in told)


# Feed and back-fill together

ALL = [
    *(trade(number) for number in range(1, 200)),
    trade(200, q=199),  # two prints of one message
    trade(201, i="1", x=4, trfi=201, q=7),  # a step back, and an id that others have too
    trade(201, i="1", x=4, trfi=202, q=7),
    trade(202),
]


def record_of(event: dict[str, Any]) -> dict[str, Any]:
    """The trade as REST knows it, to the nanosecond."""
    facility = {"trf_id": event["trfi"], "trf_timestamp": event["t"] * 10**6} if "trfi" in event else {}
    return {
        "id": event["i"], "exchange": event["x"], "price": event["p"], "size": float(event["s"]), "decimal_size": "100.0",
        "tape": event["z"], "sequence_number": event["q"], "sip_timestamp": event["t"] * 10**6 + 999_999,
        "participant_timestamp": event["pt"] * 10**6 + 17, **facility,
    }  # fmt: skip


RECORDS = [record_of(event) for event in ALL]


@pytest.fixture(scope="module")
def vendor() -> Iterator[RestClient]:
    """The vendor's REST, with all trades, fifty a page."""
    origin = ""

    def respond(_: int, path: str) -> Answer:
        query = parse_qs(urlsplit(path).query)
        first, last, page = (int(query.get(name, ["0"])[0]) for name in ("timestamp.gte", "timestamp.lte", "cursor"))
        found = [record for record in RECORDS if first <= record["sip_timestamp"] <= last]
        body: dict[str, Any] = {"status": "OK", "results": found[page : page + 50]}
        if page + 50 < len(found):
            query["cursor"] = [str(page + 50)]
            body["next_url"] = f"{origin}/v3/trades/ABC?{urlencode(query, doseq=True)}"
        return Answer(body)

    with vendor_server(respond) as server:
        origin = server.origin
        yield RestClient(origin, KEY, Pace(10_000))


def identities(events: list[dict[str, Any]]) -> list[tuple[str | int | None, ...] | None]:
    return sorted((identity(Event("T", "ABC", event, 1, 1)) for event in events), key=repr)


def test_feed_and_back_fill_hold_every_trade_once_though_the_connection_drops_in_the_middle(vendor: RestClient) -> None:
    market = {"now": instant(0)}

    async def script(line: Line) -> None:
        """Trades 1-80, 131-160, then 151 to the end: two drops, and an overlap as if the vendor sent some again."""
        first, last = [(0, 80), (130, 160), (150, len(ALL))][line.number]
        market["now"] = ALL[first]["t"] * 10**6
        await line.open()
        for start in range(first, last, 7):
            events = ALL[start : min(start + 7, last)]
            market["now"] = events[-1]["t"] * 10**6 + 10**9
            await line.send(*events, {"ev": "AM", "sym": "ABC"})
        if line.number == 0:
            line.abort()
        elif line.number == 1:
            await line.socket.close(1001)
        await line.hold()

    live: list[Event] = []
    filled: list[Event] = []
    union: list[Event] = []

    async def play() -> None:
        seen = Seen()
        async with (
            socket_server(script) as server,
            Feed(server.url, KEY, ["T.*"], QUICK, clock=lambda: market["now"]) as reading,
        ):
            async for record in reading:
                if isinstance(record, Gap):
                    found = await asyncio.to_thread(list, backfill(record, vendor, ["ABC"]))
                    filled.extend(found)
                    union.extend(filter(seen.admit, found))
                elif record.channel == "T":
                    live.append(record)
                    union.extend(filter(seen.admit, [record]))
                    if record.body == ALL[-1]:
                        break
            assert reading.statistics.gaps == 2
            assert (reading.statistics.duplicates, reading.statistics.backward) == (2, 2)

    run(play())
    expected = identities(ALL)
    assert len(set(expected)) == len(ALL) == 203
    assert identities([event.body for event in union]) == expected
    # What each part lacks or has too often, so that the test could fail.
    assert len({identity(event) for event in live}) == 203 - 50
    assert len(live) + len(filled) > len(union)
    assert 50 < len(filled) < 203


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, len(ALL)), min_size=2, max_size=6, unique=True), again=st.integers(0, 12))
def test_wherever_the_feed_is_cut_nothing_is_missing_and_nothing_twice(
    vendor: RestClient, cuts: list[int], again: int
) -> None:
    seen = Seen()
    union: list[Event] = []
    last_ns = START_MS * 10**6
    for number, (first, end) in enumerate(pairwise([0, *sorted(cuts), len(ALL)])):
        if number % 2:
            gap = Gap(("T.ABC",), last_ns, ALL[min(end, len(ALL) - 1)]["t"] * 10**6, "cut")
            union.extend(filter(seen.admit, backfill(gap, vendor, [])))
        else:
            part = ALL[max(0, first - again) : end]
            union.extend(filter(seen.admit, (Event("T", "ABC", event, 1, 1) for event in part)))
            last_ns = max([last_ns, *(event["t"] * 10**6 for event in part)])
    assert identities([event.body for event in union]) == identities(ALL)


# Trying a key


def tried(script: Callable[[Line], Awaitable[None]]) -> tuple[Exception | None, SocketServer]:
    """What trying the key comes to."""
    result: list[Any] = []

    async def play() -> None:
        async with socket_server(script) as server:
            try:
                await feed(server, patience=replace(QUICK, authenticate_seconds=0.5)).try_key()
                result.append(None)
            except (BadInput, FailedDependency) as error:
                result.append(error)
            result.append(server)

    run(play())
    error, server = result
    return error, server


def test_a_key_is_tried_without_a_subscription_and_the_connection_closed() -> None:
    async def script(line: Line) -> None:
        await line.authenticate()
        await line.hold()

    error, server = tried(script)
    assert error is None
    assert server.heard == [[{"action": "auth", "params": KEY}]]
    assert server.ends == [1000]


def test_a_key_that_is_refused_is_bad_input_and_tried_once() -> None:
    async def script(line: Line) -> None:
        await line.say("connected", "Connected Successfully")
        await line.hear()
        await line.say("auth_failed", f"authentication failed for {KEY}")

    error, server = tried(script)
    assert isinstance(error, BadInput)
    assert "authentication failed for [key]" in str(error)
    assert len(server.heard) == 1


def test_a_server_that_says_nothing_to_the_key_is_a_failed_dependency() -> None:
    async def script(line: Line) -> None:
        await line.hold()

    error, server = tried(script)
    assert isinstance(error, FailedDependency)
    assert "does not answer to the key: no greeting or no answer to the key in 0.5 s" in str(error)
    assert len(server.heard) == 1
