"""Alerts told to people: by webhook and by mail, each once, no more than so many a minute.

A consumer group keeps its place in the topic; it moves on when what it read has been told, so that a process that was killed
tells at most its last few again. What comes faster than the limit is told together, in one message.
"""

import json
import os
import smtplib
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

import urllib3
from confluent_kafka import Consumer, KafkaException

from smallcaps.config import NotifySettings, Settings
from smallcaps.errors import BadInput
from smallcaps.lake.topics import ALERTS
from smallcaps.log import tell
from smallcaps.streaming.kafka import client_options, partitions_of

WEBHOOK, MAIL_USER, MAIL_PASSWORD = "ALERT_WEBHOOK_URL", "MAIL_USERNAME", "MAIL_PASSWORD"
GROUP = "smallcaps-notify"
FROM = "latest"
"""Where a group that has no place yet begins: what was told to nobody while nobody listened stays untold."""
REMEMBERED = 100_000
LISTED = 20
"""Of alerts that are told together so many are named."""
TRIES, WAIT_SECONDS = 4, 1.0
ANSWER_SECONDS = 10.0
Alert = dict[str, Any]
Send = Callable[[str, Sequence[Alert]], None]
"""Takes the words and the alerts they are about. Raises OSError or urllib3's errors."""


def words(alert: Alert) -> str:
    """An alert in one line."""
    arrow = {1: "▲", -1: "▼"}.get(alert["direction"], "–")
    was = "" if alert["kind"] == "new" else f", {alert['kind']}"
    return (
        f"{alert['symbol']} {arrow} {alert['detector']} at ${alert['price']:.2f}, {alert['strength']:.2f} times its threshold, "
        f"known at {alert['known_at'][11:19]} UTC{was}"
    )


def told_together(alerts: Sequence[Alert]) -> str:
    """Alerts in one message: the strongest of many."""
    strongest = sorted(alerts, key=lambda alert: -alert["strength"])[:LISTED]
    more = f"\n… and {len(alerts) - LISTED} more" if len(alerts) > LISTED else ""
    return "\n".join(map(words, strongest)) + more


def wanted(alert: Alert, notify: NotifySettings, seen: "Seen") -> bool:
    """Whether people are told of an alert: one that is strong enough, new or taken back, and was not told before."""
    if notify.detectors and alert["detector"] not in notify.detectors:
        return False
    return alert["kind"] != "corrected" and alert["strength"] >= notify.least_strength and seen.admit(alert)


class Seen:
    """Remembers the last alerts by event and revision."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, int], None] = OrderedDict()

    def admit(self, alert: Alert) -> bool:
        """Whether it is the first time; it is remembered."""
        key = alert["event_id"], alert["revision"]
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


@dataclass
class Allowance:
    """Up to `per_minute` messages at once, one more each time that a part of a minute has passed."""

    per_minute: int
    left: float = field(init=False)
    at: float = field(init=False)

    def __post_init__(self) -> None:
        self.left, self.at = float(self.per_minute), time.monotonic()

    def take(self, most: int, now: float | None = None) -> int:
        """How many of `most` messages may be sent now."""
        now = time.monotonic() if now is None else now
        self.left = min(float(self.per_minute), self.left + (now - self.at) * self.per_minute / 60)
        self.at = now
        taken = min(most, int(self.left))
        self.left -= taken
        return taken


def messages(waiting: Sequence[Alert], allowance: Allowance) -> tuple[list[list[Alert]], list[Alert]]:
    """Alerts as the messages that may be sent now, the last of them about all that are left; and those that wait."""
    allowed = allowance.take(len(waiting))
    if allowed == 0:
        return [], list(waiting)
    alone = [[alert] for alert in waiting[: allowed - 1]]
    rest = list(waiting[allowed - 1 :])
    return [*alone, rest], []


def is_wanted(notify: NotifySettings) -> bool:
    """Whether it is set how people are told."""
    return bool(os.environ.get(WEBHOOK, "").strip()) or (notify.mail_server is not None and bool(notify.mail_to))


def channels(notify: NotifySettings) -> dict[str, Send]:
    """How people are told, by name. Raises BadInput where nothing is set."""
    found: dict[str, Send] = {}
    if address := os.environ.get(WEBHOOK, "").strip():
        found["webhook"] = lambda text, alerts: _post(address, text, alerts)
    if notify.mail_server is not None and notify.mail_to:
        found["mail"] = lambda text, alerts: _mail(notify, text, alerts)
    if not found:
        raise BadInput(f"Nobody is told of alerts: set {WEBHOOK}, or notify.mail_server and notify.mail_to.")
    return found


_HTTP = urllib3.PoolManager(timeout=ANSWER_SECONDS, retries=False)


def _post(address: str, text: str, alerts: Sequence[Alert]) -> None:
    body = json.dumps({"text": text, "alerts": list(alerts)}).encode()
    answer = _HTTP.request("POST", address, body=body, headers={"Content-Type": "application/json"}, redirect=False)
    if answer.status >= 300:
        raise OSError(f"it answered {answer.status}")


def _mail(notify: NotifySettings, text: str, alerts: Sequence[Alert]) -> None:
    assert notify.mail_server is not None
    host, _, port = notify.mail_server.partition(":")
    mail = EmailMessage()
    mail["From"], mail["To"] = notify.mail_from, ", ".join(notify.mail_to)
    mail["Subject"] = words(alerts[0]) if len(alerts) == 1 else f"{len(alerts)} alerts"
    mail.set_content(text)
    with smtplib.SMTP(host, int(port), timeout=ANSWER_SECONDS) as server:
        if user := os.environ.get(MAIL_USER, "").strip():
            server.starttls(context=ssl.create_default_context())
            server.login(user, os.environ.get(MAIL_PASSWORD, ""))
        server.send_message(mail)


@dataclass
class Statistics:
    """What became of alerts: read, told (by channel, messages), and messages that could not be told."""

    read: int = 0
    told: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)


def notify_people(settings: Settings, stopping: threading.Event, said: Callable[[dict[str, Any]], None]) -> Statistics:
    """Tell people of the topic's alerts until `stopping` is set. `said` is given the statistics now and then.

    A channel that fails is tried TRIES times; then the message is given up, counted and logged: an old alert is worth nothing.
    Raises BadInput where there is nobody to tell or no topic, FailedDependency where the broker does not answer or refuses us.
    """
    ways, statistics, seen = channels(settings.notify), Statistics(), Seen()
    # A consumer that is not let in only waits.
    partitions_of(settings.kafka, ALERTS.name)
    allowances = {name: Allowance(settings.notify.per_minute) for name in ways}
    waiting: dict[str, list[Alert]] = {name: [] for name in ways}
    consumer = Consumer(
        client_options(settings.kafka)
        | {"group.id": f"{settings.kafka.prefix}{GROUP}", "enable.auto.commit": False, "auto.offset.reset": FROM}
    )
    consumer.subscribe([f"{settings.kafka.prefix}{ALERTS.name}"])
    has_read = False
    try:
        while not stopping.is_set():
            came = consumer.consume(1_000, timeout=0.5)
            alerts = [alert for one in came if one.error() is None and (alert := _read(one.value())) is not None]
            statistics.read += len(alerts)
            fresh = [alert for alert in alerts if wanted(alert, settings.notify, seen)]
            for name, send in ways.items():
                waiting[name] += fresh
                due, waiting[name] = messages(waiting[name], allowances[name])
                for some in due:
                    if not stopping.is_set():
                        _tell(name, send, some, statistics, stopping)
            has_read |= bool(came)
            if has_read and not any(waiting.values()) and not stopping.is_set():
                has_read = not _keep_place(consumer)
            said(vars(statistics))
    finally:
        consumer.close()
    return statistics


def _read(value: bytes | None) -> Alert | None:
    """An alert; None where the message is none."""
    try:
        alert = json.loads(value or b"")
        _ = words(alert), alert["event_id"], alert["revision"]
    except (ValueError, KeyError, TypeError):
        tell("A message of the topic of alerts cannot be read; nobody is told of it.")
        return None
    return dict(alert)


def _keep_place(consumer: Consumer) -> bool:
    """Whether the broker has taken the group's place; where it has not, the next time does."""
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        tell(f"Kafka did not keep the place in the topic of alerts: {error}.")
        return False
    return True


def _tell(name: str, send: Send, alerts: Sequence[Alert], statistics: Statistics, stopping: threading.Event) -> None:
    text = words(alerts[0]) if len(alerts) == 1 else told_together(alerts)
    for attempt in range(TRIES):
        try:
            send(text, alerts)
        except (OSError, urllib3.exceptions.HTTPError, smtplib.SMTPException) as error:
            # Not the error itself: a webhook's address is a secret and stands in it.
            tell(f"The {name} did not take an alert ({type(error).__name__}), try {attempt + 1} of {TRIES}.")
            stopping.wait(WAIT_SECONDS * 2**attempt)
        else:
            statistics.told[name] = statistics.told.get(name, 0) + 1
            return
    statistics.failed[name] = statistics.failed.get(name, 0) + 1
