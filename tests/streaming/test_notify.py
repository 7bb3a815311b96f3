"""People are told of alerts by a real webhook and a real mail server, each once, and together where there are too many."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from smallcaps.config import NotifySettings, Settings
from smallcaps.errors import BadInput
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.kafka import Outlet
from smallcaps.streaming.notify import Allowance, Seen, messages, notify_people, told_together, wanted, words

ALERT: dict[str, Any] = {
    "event_id": "a",
    "revision": 0,
    "kind": "new",
    "symbol": "ABC",
    "detector": "volume_spike",
    "direction": 1,
    "strength": 2.5,
    "price": 3.14159,
    "known_at": "2026-01-05T15:31:02.000000+00:00",
}
NOTIFY = NotifySettings(
    least_strength=1.5, detectors=(), per_minute=20, mail_server=None, mail_from="desk@localhost", mail_to=()
)


def test_an_alert_is_said_in_one_line_and_many_by_the_strongest() -> None:
    assert words(ALERT) == "ABC ▲ volume_spike at $3.14, 2.50 times its threshold, known at 15:31:02 UTC"
    assert words(ALERT | {"kind": "retracted", "direction": 0}).endswith("UTC, retracted")
    many = told_together([ALERT | {"symbol": f"S{number}", "strength": number} for number in range(1, 31)]).split("\n")
    assert [line.split()[0] for line in many[:2]] == ["S30", "S29"]
    assert many[-1] == "… and 10 more"


def test_only_what_is_strong_and_new_or_taken_back_is_told_and_once() -> None:
    seen = Seen()
    assert wanted(ALERT, NOTIFY, seen)
    assert not wanted(ALERT, NOTIFY, seen)
    assert wanted(ALERT | {"revision": 1, "kind": "retracted"}, NOTIFY, seen)
    assert not wanted(ALERT | {"event_id": "b", "kind": "corrected"}, NOTIFY, seen)
    assert not wanted(ALERT | {"event_id": "b", "strength": 1.4}, NOTIFY, seen)
    other = NOTIFY.model_copy(update={"detectors": ("tape_speed",)})
    assert not wanted(ALERT | {"event_id": "b"}, other, seen)


def test_what_comes_faster_than_allowed_waits_or_is_told_together() -> None:
    allowance = Allowance(3)
    start = allowance.at
    alerts = [ALERT | {"event_id": str(number)} for number in range(10)]
    due, waiting = messages(alerts, allowance)
    assert [len(some) for some in due] == [1, 1, 8]
    assert waiting == []
    assert messages(alerts, allowance) == ([], alerts)
    assert allowance.take(5, start + 21) == 1
    assert allowance.take(5, start + 1_000) == 3


@contextmanager
def webhook(refuses: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that takes posts; the first few it refuses."""
    taken: list[dict[str, Any]] = []
    left = [refuses]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            left[0] -= 1
            if left[0] < 0:
                taken.append(body)
            self.send_response(503 if left[0] >= 0 else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/secret", taken
        server.shutdown()


@contextmanager
def mail_server() -> Iterator[tuple[str, list[str]]]:
    """A server that speaks as much SMTP as it takes to get a mail."""
    mails: list[str] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 here\r\n")
            while line := self.rfile.readline():
                if line.upper().startswith(b"DATA"):
                    self.wfile.write(b"354 go on\r\n")
                    body = b""
                    while not body.endswith(b"\r\n.\r\n"):
                        body += self.rfile.readline()
                    mails.append(body.decode())
                self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 fine\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", mails
        server.shutdown()


def test_people_get_each_alert_once_though_the_webhook_refuses_at_first_and_the_process_is_started_anew(
    settings: Settings, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallcaps.streaming.notify.WAIT_SECONDS", 0.01)
    with webhook(refuses=2) as (address, posts), mail_server() as (server, mails):
        monkeypatch.setenv("ALERT_WEBHOOK_URL", address)
        notify = NOTIFY.model_copy(update={"mail_server": server, "mail_to": ("trader@localhost",)})
        own = settings.model_copy(update={"kafka": broker.kafka, "notify": notify})

        def run(count: int, *alerts: dict[str, Any]) -> dict[str, Any]:
            """Send alerts once the process listens, until so many posts have come in all."""
            stopping, sent = threading.Event(), []

            def said(facts: dict[str, Any]) -> None:
                if not sent:
                    sent.append(True)
                    with Outlet(broker.kafka) as outlet:
                        for alert in alerts:
                            outlet.send("alerts", "ABC", json.dumps(alert).encode())
                if len(posts) >= count and len(mails) >= count:
                    stopping.set()

            return vars(notify_people(own, stopping, said))

        with Outlet(broker.kafka) as outlet:
            outlet.send("alerts", "ABC", json.dumps(ALERT | {"event_id": "weak", "strength": 1.0}).encode())
        monkeypatch.setattr("smallcaps.streaming.notify.FROM", "earliest")
        told = run(2, ALERT, ALERT, ALERT | {"revision": 1, "kind": "retracted"})
        assert (told["told"], told["failed"]) == ({"webhook": 2, "mail": 2}, {})
        assert [post["alerts"][0]["revision"] for post in posts] == [0, 1]
        assert "volume_spike at $3.14" in mails[0].split("\n\n")[0]
        assert "To: trader@localhost" in mails[0]

        told = run(3, ALERT | {"event_id": "c"})
        assert told["told"] == {"webhook": 1, "mail": 1}
        assert [post["alerts"][0]["event_id"] for post in posts] == ["a", "a", "c"]


def test_without_anybody_to_tell_it_is_said_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALERT_WEBHOOK_URL", raising=False)
    with pytest.raises(BadInput, match="ALERT_WEBHOOK_URL"):
        notify_people(settings, threading.Event(), lambda facts: None)
