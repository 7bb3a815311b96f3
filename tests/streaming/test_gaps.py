"""What the feed missed is asked for symbol by symbol; what cannot be had is counted, and the rest goes on."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from smallcaps.errors import BadData, FailedDependency
from smallcaps.sources.polygon.events import Gap
from smallcaps.sources.polygon.rest import Body
from smallcaps.streaming import gaps
from smallcaps.streaming.gaps import Refill, pieces

AT_NS = 1781622376 * 10**9
RECORD = {"price": 1.5, "size": 10, "sequence_number": 1, "sip_timestamp": AT_NS, "exchange": 4, "id": "1"}


def gap(*topics: str) -> Gap:
    return Gap(topics, AT_NS, AT_NS + 10**9, "closed")


class Client:
    """Has a trade of each symbol, or what `trouble` has of one."""

    def __init__(self, **trouble: Exception) -> None:
        self.trouble = trouble
        self.asked: list[str] = []

    def pages(self, path: str, _: Any) -> Iterator[Body]:
        symbol = path.rpartition("/")[2]
        self.asked.append(symbol)
        if symbol in self.trouble:
            raise self.trouble[symbol]
        yield Body(path, 200, json.dumps({"results": [RECORD]}).encode(), datetime(2026, 6, 16, tzinfo=UTC))


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "SETTLE_SECONDS", 0.0)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert condition()


def refill(client: Client) -> Refill:
    return Refill(client, 1)  # type: ignore[arg-type]


def answered(filling: Refill) -> list[str | None]:
    return [event.symbol for _ in range(filling.answers.qsize()) for event in filling.answers.get_nowait()]


def test_a_gap_is_asked_for_by_symbol_where_rest_has_its_channel() -> None:
    assert pieces(gap("T.*"), {"B", "A"}) == [gap("T.A"), gap("T.B")]
    assert pieces(gap("Q.C", "Q.D.E"), {"A"}) == [gap("Q.C"), gap("Q.D.E")]
    assert pieces(gap("LULD.*"), {"A"}) == pieces(gap("T.*"), ()) == pieces(gap(), {"A"}) == []


def test_what_rest_has_becomes_events() -> None:
    filling = refill(Client())
    filling.fill(gap("T.*"), ["A", "B"])
    until(lambda: filling.answers.qsize() == 2)
    assert answered(filling) == ["A", "B"]
    assert filling.lost == 0


def test_what_nobody_has_is_lost_and_said(caplog: pytest.LogCaptureFixture) -> None:
    filling = refill(Client())
    filling.fill(gap("LULD.*"), ["A"])
    assert filling.lost == 1
    assert "A gap of the feed is not filled: REST has nothing of it" in caplog.text


def test_a_bad_answer_spoils_its_symbol_a_refusal_the_rest_of_the_gap() -> None:
    client = Client(B=BadData("torn"), E=FailedDependency("down"))
    filling = refill(client)
    filling.fill(gap("T.A", "T.B", "T.C"), ())
    filling.fill(gap("T.D", "T.E", "T.F"), ())
    filling.fill(gap("T.G"), ())
    until(lambda: "G" in client.asked)
    until(lambda: filling.answers.qsize() == 4)
    assert client.asked == ["A", "B", "C", "D", "E", "G"]
    assert answered(filling) == ["A", "C", "D", "G"]
    assert filling.lost == 2


def test_what_is_not_answered_at_the_end_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "SETTLE_SECONDS", 60.0)
    filling = refill(Client())
    filling.fill(gap("T.A"), ())
    filling.close()
    assert filling.lost == 1
