"""The WebSocket's protocol, frame by frame, with a plain client; and each of its faults."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.sync.client import ClientConnection, connect

from smallcaps.sources.simulator.server import Faults, Place, running
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import KEY, MONDAY, ms

CONNECTED = {"ev": "status", "status": "connected", "message": "Connected Successfully"}
AUTHENTICATED = {"ev": "status", "status": "auth_success", "message": "authenticated"}
DAY_IN_A_BLINK = 100_000.0
MINUTES_IN_A_SECOND = 200.0
WAIT = 20
QUIET = 0.2


class Client:
    """One connection."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def say(self, action: str, params: str) -> None:
        self.connection.send(json.dumps({"action": action, "params": params}))

    def frame(self) -> list[dict[str, Any]]:
        """The next frame, an array of objects."""
        frame: list[dict[str, Any]] = json.loads(self.connection.recv(timeout=WAIT))
        return frame

    def nothing(self) -> bool:
        """Whether nothing comes."""
        try:
            self.connection.recv(timeout=QUIET)
        except TimeoutError:
            return True
        return False

    def events_until(self, channel: str, count: int) -> list[dict[str, Any]]:
        """Events until so many of a channel have come."""
        events: list[dict[str, Any]] = []
        while sum(event["ev"] == channel for event in events) < count:
            events += [event for event in self.frame() if event["ev"] != "status"]
        return events

    def closed(self) -> ConnectionClosed:
        """How the connection ends, after what still comes."""
        try:
            while True:
                self.connection.recv(timeout=WAIT)
        except ConnectionClosed as ended:
            return ended


@contextmanager
def client(place: Place, authenticate: bool = True, **options: Any) -> Iterator[Client]:
    """A client that has read the greeting, and shown the right key."""
    with connect(place.socket, max_size=None, close_timeout=1, **options) as connection:
        one = Client(connection)
        assert one.frame() == [CONNECTED]
        if authenticate:
            one.say("auth", KEY)
            assert one.frame() == [AUTHENTICATED]
        yield one


@contextmanager
def playing(market: Path, speed: float = DAY_IN_A_BLINK, **faults: Any) -> Iterator[Place]:
    start = time(4) if speed == DAY_IN_A_BLINK else time(9, 30)
    with running(market, KEY, speed=speed, faults=Faults(**faults), start=start) as place:
        yield place


def acks(*topics: str, done: str = "subscribed to") -> list[dict[str, str]]:
    return [{"ev": "status", "status": "success", "message": f"{done}: {topic}"} for topic in topics]


def test_topics_are_acknowledged_in_one_frame_repeats_and_unknown_channels_not_at_all(vendor: Place) -> None:
    with client(vendor) as one:
        one.say("subscribe", "T.NOPE, LULD.NOPE,XX.NOPE,T,AM.BApA.B")
        assert one.frame() == acks("T.NOPE", "LULD.NOPE", "AM.BApA.B")
        one.say("subscribe", "T.NOPE")
        one.say("subscribe", "XX.*")
        one.say("unsubscribe", "T.NOPE,Q.NOPE")
        assert one.frame() == acks("T.NOPE", done="unsubscribed to")
        one.say("dance", "T.*")
        one.connection.send("no json")
        one.connection.send("[1]")
        assert one.nothing()


def test_a_channel_of_another_plan_is_refused_without_a_name_before_the_acks(vendor: Place) -> None:
    with client(vendor) as one:
        one.say("subscribe", "NOI.*,T.NOPE")
        assert one.frame() == [{"ev": "status", "status": "error", "message": "not authorized"}]
        assert one.frame() == acks("T.NOPE")


def test_older_servers_send_a_frame_for_each_ack(market: Path) -> None:
    with playing(market, single_acks=True) as place, client(place) as one:
        one.say("subscribe", "T.NOPE,Q.NOPE")
        assert [one.frame(), one.frame()] == [acks("T.NOPE"), acks("Q.NOPE")]


@pytest.mark.parametrize(
    ("faults", "said", "status", "message"),
    [
        ({}, ("auth", "wrong"), "auth_failed", "authentication failed"),
        ({}, ("subscribe", "T.*"), "auth_failed", "authentication failed"),
        ({"refuse_key": True}, ("auth", KEY), "auth_failed", "authentication failed"),
        ({"plan_without_socket": True}, ("auth", KEY), "auth_failed", "Your plan doesn't include websocket access."),
        ({"auth_seconds": 0.05}, None, "auth_timeout", "No authentication request received."),
    ],
)
def test_without_the_right_key_the_socket_says_why_and_drops_without_a_close_frame(
    market: Path, faults: dict[str, Any], said: tuple[str, str] | None, status: str, message: str
) -> None:
    with playing(market, **faults) as place, client(place, authenticate=False) as one:
        if said:
            one.say(*said)
        assert one.frame() == [{"ev": "status", "status": status, "message": message}]
        ended = one.closed()
        assert isinstance(ended, ConnectionClosedError)
        assert ended.rcvd is None


def test_the_whole_day_comes_on_all_channels_several_events_a_frame(market: Path) -> None:
    with playing(market) as place, client(place) as one:
        one.say("subscribe", "T.*,Q.*,A.*,AM.*,LULD.*")
        assert len(one.frame()) == 5
        frames: list[list[dict[str, Any]]] = []
        while sum(event["ev"] == "AM" for frame in frames for event in frame) < 17:
            frames.append(one.frame())
        events = [event for frame in frames for event in frame]
        assert [event["q"] for event in events if event["ev"] == "T"] == [1, 2, 3, 4, 13, 14, 5, 6, 7, 8, 10, 11, 12]
        assert [event["q"] for event in events if event["ev"] == "Q"] == [101, 102, 104, 103]
        assert [event["i"] for event in events if event["ev"] == "LULD"] == [[17], [18]]
        assert sum(event["ev"] == "A" for event in events) == 8
        assert {event["sym"] for event in events if event["ev"] == "AM"} == {"ABCD", "BApA", "LMNO", "WXYZ"}
        assert max(len({event["ev"] for event in frame}) for frame in frames) > 1
        assert Asking(place.origin).served("wss://stocks/T") == {
            "requests": 0,
            "bodies": 0,
            "records": 13,
            "distinct": 13,
        }
        assert one.nothing()  # The day is over.


def test_each_client_gets_what_it_asked_for(market: Path) -> None:
    with playing(market, 2_000.0) as place, client(place) as one, client(place) as other:
        one.say("subscribe", "AM.WXYZ,T.WXYZ")
        other.say("subscribe", "AM.BApA")
        for listener, symbol in ((one, "WXYZ"), (other, "BApA")):
            events: list[dict[str, Any]] = []
            while not events or events[-1]["s"] != ms(MONDAY, "10:15:00"):
                events += [event for event in listener.frame() if event["ev"] != "status"]
            assert {event["sym"] for event in events} == {symbol}


def test_what_is_unsubscribed_stops(market: Path) -> None:
    with playing(market, MINUTES_IN_A_SECOND) as place, client(place) as one:
        one.say("subscribe", "T.ABCD,AM.LMNO")
        one.events_until("T", 1)
        one.say("unsubscribe", "T.ABCD")
        while acks("T.ABCD", done="unsubscribed to")[0] not in one.frame():
            pass
        assert {event["ev"] for event in one.events_until("AM", 1)} == {"AM"}


def test_rest_follows_the_clock_of_a_live_day(market: Path) -> None:
    with running(market, KEY, day=MONDAY, speed=DAY_IN_A_BLINK) as place, client(place) as one:
        asking = Asking(place.origin)
        assert asking.body("/v3/trades/ABCD")["results"] == []
        one.say("subscribe", "T.*,AM.WXYZ")
        one.events_until("AM", 5)
        assert [row["id"] for row in asking.body("/v3/trades/ABCD?limit=1")["results"]] == ["12"]
        assert asking.body("/v2/reference/news")["results"][0]["id"] == "N3"


def test_a_clock_that_need_not_wait_runs_before_anyone_listens(market: Path) -> None:
    options = {"day": MONDAY, "speed": DAY_IN_A_BLINK, "start_at_once": True}
    with running(market, KEY, **options) as place:
        asking = Asking(place.origin)
        while asking.body("/v1/marketstatus/now")["market"] != "closed":
            pass
        assert len(asking.body("/v3/trades/ABCD")["results"]) == 12


def test_above_the_limit_the_oldest_connection_is_closed(market: Path) -> None:
    with playing(market, max_connections=1) as place, client(place) as old, client(place) as new:
        assert old.frame()[0]["status"] == "max_connections"
        assert old.closed().rcvd.code == 1008  # type: ignore[union-attr]
        new.say("subscribe", "T.NOPE")
        assert new.frame() == acks("T.NOPE")


def test_above_the_limit_the_newcomer_is_closed_after_its_acknowledgement(market: Path) -> None:
    with playing(market, max_connections=1, over_limit="newcomer") as place, client(place) as old, client(place) as new:
        new.say("subscribe", "T.NOPE")
        assert new.frame() == acks("T.NOPE")
        assert new.frame()[0]["message"].startswith("Maximum number of websocket connections exceeded.")
        assert new.closed().rcvd.code == 1008  # type: ignore[union-attr]
        old.say("subscribe", "T.NOPE")
        assert old.frame() == acks("T.NOPE")


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013])
def test_a_connection_is_closed_with_a_code_after_so_many_frames(market: Path, code: int) -> None:
    with playing(market, MINUTES_IN_A_SECOND, close_after=2, close_code=code) as place, client(place) as one:
        one.say("subscribe", "T.*,Q.*")
        assert one.frame() == acks("T.*", "Q.*")
        assert (len(one.frame()) > 0, len(one.frame()) > 0) == (True, True)
        assert one.closed().rcvd.code == code  # type: ignore[union-attr]


def test_a_connection_breaks_without_a_close_frame(market: Path) -> None:
    with playing(market, MINUTES_IN_A_SECOND, abort_after=1) as place, client(place) as one:
        one.say("subscribe", "T.*")
        assert one.closed().rcvd is None


def test_a_socket_falls_silent_and_answers_no_ping(market: Path) -> None:
    with playing(market, MINUTES_IN_A_SECOND, silent_after=1) as place, client(place, ping_interval=None) as one:
        one.say("subscribe", "T.*")
        one.events_until("T", 1)
        assert not one.connection.ping().wait(QUIET)
        assert one.nothing()


def test_a_frame_may_be_too_large_and_still_be_sound(market: Path) -> None:
    with playing(market, oversize_every=1) as place, client(place) as one:
        one.say("subscribe", "T.*")
        one.frame()
        text = one.connection.recv(timeout=WAIT)
        assert len(text) > 1 << 20
        assert json.loads(text)[0]["ev"] == "T"


@pytest.mark.parametrize("manner", ["close", "abort"])
def test_who_reads_too_slowly_is_cut_off(market: Path, manner: str) -> None:
    faults = {"oversize_every": 1, "buffer_frames": 2, "slow_consumer": manner}
    with playing(market, 60.0, **faults) as place, _narrow(place) as line, client(place, sock=line, max_queue=1) as one:
        one.say("subscribe", "T.*,Q.*,A.*,AM.*")
        asking = Asking(place.origin)
        while "wss://stocks" not in asking.body("/simulator/served")["endpoints"]:
            pass  # By 09:32:03 there are some fifteen frames of a megabyte, of which none is read.
        statuses = [event for event in _drained(one) if event["ev"] == "status"]
        ended = one.closed().rcvd
        if manner == "close":
            assert (statuses[-1]["status"], ended and ended.code) == ("slow_consumer", 1008)
        else:
            assert ended is None


def _narrow(place: Place) -> socket.socket:
    """A connection that takes little before it is read."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    line.connect(("127.0.0.1", place.port))
    return line


def _drained(one: Client) -> Iterator[dict[str, Any]]:
    """What still comes before the end."""
    try:
        while True:
            yield from one.frame()
    except ConnectionClosed:
        return
