"""The live tape for Prometheus: what its parts say, and how many alarms there are, in the text format, on the loopback."""

import hmac
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from smallcaps.config import LiveSettings
from smallcaps.log import tell
from smallcaps.loopback import listening
from smallcaps.ports import HOST
from smallcaps.prometheus import CONTENT_TYPE, Labels, Metric, exposition
from smallcaps.streaming.health import KINDS, Alarm, Compared, alarms, read_compared
from smallcaps.streaming.process import BEAT_SECONDS, Part, State, states

PORT = 9108
TOKEN = "METRICS_TOKEN"  # noqa: S105 - a variable's name
PREFIX = "live_"
QUANTILES = ("0.5", "0.95", "0.99", "1")
Alarms = Mapping[tuple[str, str], Alarm]
"""Those that stand, by kind and part."""


@dataclass(frozen=True)
class Fact:
    """A metric that one fact of a part is a sample of; `label` names the keys of a fact that has many values."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    label: str | None = None
    labels: Labels = field(default_factory=dict)


def _alerts(kind: str) -> Fact:
    return Fact("alerts_total", "counter", "Alerts that detection has sent", labels={"kind": kind})


def _lag(of: str) -> Fact:
    words = "From an event to its way into Kafka, in the last ten seconds: of which event"
    return Fact("feed_lag_seconds", "gauge", words, labels={"of": of})


FACTS: Mapping[str, Fact] = {
    "behind": Fact("behind_messages", "gauge", "Messages of the partition furthest behind that wait"),
    "batches": Fact("batches_total", "counter", "Micro-batches of detection"),
    "batch_seconds": Fact("batch_seconds", "gauge", "Length of the last micro-batch, of a part's slowest query"),
    "new": _alerts("new"),
    "corrected": _alerts("corrected"),
    "retracted": _alerts("retracted"),
    "too_late": Fact("too_late_total", "counter", "Rows that came too late to be looked at"),
    "barred": Fact("barred", "gauge", "Securities beyond what detection computes with"),
    "catching_up": Fact(
        "catching_up", "gauge", "1 while detection reads what the topics hold already and tells nothing"
    ),
    "scored": Fact("scored_total", "counter", "Alerts that the model scored"),
    "signals": Fact("signals_total", "counter", "Alerts of which it expects enough to be signals"),
    "not_whole": Fact("not_whole_total", "counter", "Alerts that came when what they rest on was no longer at hand"),
    "waiting": Fact("waiting", "gauge", "Alerts that wait to be scored"),
    "seconds": Fact("signal_seconds", "gauge", "From the last scored alert to its signal"),
    "landed": Fact("landed_total", "counter", "Messages written into bronze"),
    "refused": Fact("refused_total", "counter", "Messages that could not be taken into bronze"),
    "alerts_read": Fact("alerts_read_total", "counter", "Alerts of the topic that were read"),
    "alert_seconds": Fact(
        "alert_seconds",
        "gauge",
        "To the first alerts of the last thousand events, since Kafka had the evidence",
        label="quantile",
    ),
    "messages": Fact("ingested_total", "counter", "Messages sent to Kafka", label="topic"),
    "dead_letters": Fact("dead_letters_total", "counter", "What the feed said that could not be typed", label="reason"),
    "duplicates": Fact("duplicates_total", "counter", "Events that came again and were dropped"),
    "backfilled": Fact("backfilled_total", "counter", "Events that REST filled gaps with"),
    "gaps": Fact("gaps_total", "counter", "Gaps of the feed"),
    "gaps_lost": Fact("gaps_lost_total", "counter", "Gaps of the feed that were not filled whole"),
    "reconnects": Fact("reconnects_total", "counter", "Connections to the feed after the first"),
    "rate": Fact("ingested_per_second", "gauge", "Messages a second in the last ten seconds"),
    "shortest_lag": _lag("shortest"),
    "lag": _lag("newest"),
    "longest_lag": _lag("longest"),
    "sent": Fact("replayed_total", "counter", "Messages of the replay sent to Kafka"),
    "read": Fact("alerts_read_total", "counter", "Alerts of the topic that were read"),
    "told": Fact("told_total", "counter", "Messages to people", label="way"),
    "failed": Fact("untold_total", "counter", "Messages to people that were given up", label="way"),
}


def metrics_of(
    parts: Sequence[State], compared: Compared | None, wrong: Sequence[Alarm], now: datetime
) -> list[Metric]:
    """What parts, the last comparison and alarms come to, each metric that has a sample."""
    found = [
        Metric("up", "gauge", "Whether a part that was started runs"),
        Metric("said_seconds", "gauge", "Since a part said how it is"),
        Metric("start_time_seconds", "gauge", "When a part began, since 1970"),
        Metric("alarms", "gauge", "What is wrong, by what it is"),
    ]
    up, said, began, alarmed = (metric.samples for metric in found)
    for state in parts:
        of = {"part": state.part}
        up.append((of, float(state.is_running)))
        said.append((of, (now - state.said_at).total_seconds()))
        began.append((of, state.began_at.timestamp()))
    alarmed += [({"kind": kind}, float(sum(alarm.kind == kind for alarm in wrong))) for kind in KINDS]
    of_facts = {fact.name: Metric(fact.name, fact.kind, fact.help) for fact in FACTS.values()}
    for state in parts:
        for name, labels, value in _samples(state):
            of_facts[name].samples.append((labels, value))
    found += [*of_facts.values(), *_of_comparison(compared)]
    return [metric for metric in found if metric.samples]


def _samples(state: State) -> Iterator[tuple[str, Labels, float]]:
    for name, value in state.facts.items():
        fact = FACTS.get(name)
        if fact is None or value is None:
            continue
        labels = {"part": state.part, **fact.labels}
        if fact.label is None:
            yield fact.name, labels, float(value)
        else:
            yield from ((fact.name, {**labels, fact.label: key}, float(one)) for key, one in value.items())


def _of_comparison(compared: Compared | None) -> list[Metric]:
    if compared is None:
        return []
    differences = Metric("parity_differences", "gauge", "Events that the last parity found told otherwise")
    differences.samples.append(({"day": compared.day}, float(compared.differences)))
    latency = Metric("parity_alert_seconds", "gauge", "To an event's first alert, on the day of the last parity")
    for since, seconds in (("exchange", compared.from_exchange), ("kafka", compared.from_kafka)):
        for quantile, value in zip(QUANTILES, seconds or (), strict=False):
            latency.samples.append(({"since": since, "quantile": quantile}, value))
    return [differences, latency]


def create_app(text: Callable[[], str], token: str) -> Starlette:
    """GET /metrics for whoever has the token (`Authorization: Bearer …`)."""

    def show(request: Request) -> Response:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
            return PlainTextResponse("Wrong token.\n", 401, {"WWW-Authenticate": "Bearer"})
        return Response(text(), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    # The host is looked at, since another site's name may lead here.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False)
    return Starlette(routes=[Route("/metrics", show)], middleware=[hosts])


def token_file(folder: Path) -> Path:
    """Where the token lies that only this user can read."""
    return folder / "metrics.token"


def token_of(folder: Path) -> str:
    """The token of METRICS_TOKEN, else that of the parts' folder, made where there is none."""
    if given := os.environ.get(TOKEN, "").strip():
        return given
    file = token_file(folder)
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(24), encoding="ascii")
    return file.read_text(encoding="ascii").strip()


@contextmanager
def measured(folder: Path, limits: LiveSettings, port: int = PORT) -> Iterator[str]:
    """The parts of a folder, served in a thread; yields the address. Raises FailedDependency where it cannot listen."""

    def text() -> str:
        parts, compared, now = states(folder), read_compared(folder), datetime.now(UTC)
        return exposition(metrics_of(parts, compared, alarms(parts, compared, now, limits), now), PREFIX)

    with listening(create_app(text, token_of(folder)), port, "metrics", ws="none", lifespan="off") as listens:
        yield f"http://{HOST}:{listens}/metrics"


def watch(folder: Path, limits: LiveSettings, part: Part, **facts: Any) -> None:
    """Log each alarm when it begins and when it ends, until the part is told to stop; `facts` are said of it."""
    before: Alarms = {}
    while True:
        found = alarms(states(folder), read_compared(folder), datetime.now(UTC), limits)
        now: Alarms = {(alarm.kind, alarm.part): alarm for alarm in found}
        _tell_changes(before, now)
        before = now
        part.say(**facts, alarms=len(found))
        if part.stopping.wait(BEAT_SECONDS):
            return


def _tell_changes(before: Alarms, now: Alarms) -> None:
    for key in now.keys() - before.keys():
        tell(now[key].words, logging.WARNING, alarm=now[key].kind, part=now[key].part)
    for key in before.keys() - now.keys():
        tell(f"Over: {before[key].words}", alarm=before[key].kind, part=before[key].part)
