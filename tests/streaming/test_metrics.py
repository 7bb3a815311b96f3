"""Metrics: in the text format, read by the format's own rules; for whoever has the token, on this machine."""

import json
import logging
import os
import re
import stat
import threading
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from smallcaps.config import Settings
from smallcaps.prometheus import Metric, exposition
from smallcaps.streaming.health import KINDS, Alarm, Compared
from smallcaps.streaming.metrics import PREFIX, measured, metrics_of, token_of, watch
from smallcaps.streaming.process import State, born, running_as, states, write_state

NOW = datetime(2026, 1, 5, 16, tzinfo=UTC)
_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"')
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_UNESCAPED = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
Sample = tuple[str, frozenset[tuple[str, str]]]


def parsed(text: str) -> dict[Sample, float]:
    """Samples by name and labels. Fails where the text breaks the format: a family stands together, after its HELP and TYPE, no
    sample comes twice.
    """
    assert text.endswith("\n")
    found: dict[Sample, float] = {}
    families: list[str] = []
    for line in text.splitlines():
        if line.startswith("# HELP "):
            families.append(line.split()[2])
            assert len(set(families)) == len(families)
        elif line.startswith("# TYPE "):
            assert line.split()[2:] in ([families[-1], "gauge"], [families[-1], "counter"])
        else:
            sample = _SAMPLE.fullmatch(line)
            assert sample, line
            name, inner, value = sample.groups()
            assert name == families[-1]
            labels = _LABEL.findall(inner or "")
            assert ",".join(f'{label}="{text}"' for label, text in labels) == (inner or "")
            key = name, frozenset((label, _unescaped(text)) for label, text in labels)
            assert key not in found
            found[key] = float(value)
    return found


def _unescaped(text: str) -> str:
    return re.sub(r'\\[\\"n]', lambda match: _UNESCAPED[match[0]], text)


def sample(name: str, **labels: str) -> Sample:
    return f"smallcaps_live_{name}", frozenset(labels.items())


def test_what_labels_and_helps_hold_is_escaped() -> None:
    odd = 'a "b"\\c\nd, e="f"'
    text = exposition(
        [Metric("odd", "gauge", "One\nline \\ alone", [({"of": odd, "part": ""}, 1.5), ({}, 2.0)])], PREFIX
    )
    assert text.splitlines()[0] == "# HELP smallcaps_live_odd One\\nline \\\\ alone"
    assert parsed(text) == {sample("odd", of=odd, part=""): 1.5, sample("odd"): 2.0}
    assert exposition([]) == ""


def test_what_parts_say_becomes_samples_of_one_family_each() -> None:
    here, began = born(os.getpid()), NOW - timedelta(hours=1)
    facts = {"new": 5, "retracted": 1, "too_late": 2, "day": "2026-01-05", "catching_up": True, "behind": 7}
    parts = [
        State("detect", os.getpid(), began, NOW - timedelta(seconds=2.5), facts, here),
        State(
            "land",
            os.getpid(),
            began,
            NOW,
            {"landed": 100, "batch_seconds": None, "alert_seconds": {"0.5": 1.25}},
            here,
        ),
        State("ingest", 1, began, NOW, {"messages": {"trades": 9, "bars": 1}, "lag": 0.25, "longest_lag": None}, None),
    ]
    wrong = [Alarm("down", "ingest", "ingest is not running"), Alarm("down", "x", "x"), Alarm("lag", "detect", "far")]
    compared = Compared("2026-01-02", ["minute"], 4, None, [0.5, 1.0, 2.0, 3.0])
    found = parsed(exposition(metrics_of(parts, compared, wrong, NOW), PREFIX))

    def of(name: str) -> dict[frozenset[tuple[str, str]], float]:
        return {labels: value for (called, labels), value in found.items() if called == f"smallcaps_live_{name}"}

    assert found[sample("up", part="detect")] == 1
    assert found[sample("up", part="ingest")] == 0
    assert found[sample("said_seconds", part="detect")] == 2.5
    assert found[sample("start_time_seconds", part="land")] == began.timestamp()
    assert found[sample("alerts_total", part="detect", kind="new")] == 5
    assert found[sample("alerts_total", part="detect", kind="retracted")] == 1
    assert found[sample("catching_up", part="detect")] == 1
    assert found[sample("behind_messages", part="detect")] == 7
    assert found[sample("ingested_total", part="ingest", topic="trades")] == 9
    assert found[sample("feed_lag_seconds", part="ingest", of="newest")] == 0.25
    assert len(of("feed_lag_seconds")) == 1
    assert of("batch_seconds") == {}
    assert found[sample("alert_seconds", part="land", quantile="0.5")] == 1.25
    assert len(of("alarms")) == len(KINDS)
    assert {kind: found[sample("alarms", kind=kind)] for kind in ("down", "lag", "parity")} == {
        "down": 2,
        "lag": 1,
        "parity": 0,
    }
    assert found[sample("parity_differences", day="2026-01-02")] == 4
    assert found[sample("parity_alert_seconds", since="kafka", quantile="0.95")] == 1
    assert len(of("parity_alert_seconds")) == 4


def asked(address: str, path: str | None = None, **headers: str) -> tuple[int, str | None, str]:
    """Status, type and text of an answer."""
    where = urlsplit(address)
    connection = HTTPConnection(where.hostname or "", where.port or 0, timeout=30)
    try:
        connection.request("GET", path or where.path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()
    finally:
        connection.close()


def test_they_are_served_to_whoever_has_the_token_and_to_nobody_else(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METRICS_TOKEN", raising=False)
    with measured(tmp_path, settings.live, 0) as address:
        file = tmp_path / "metrics.token"
        token = file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": token}):
            status, _, text = asked(address, **wrong)
            assert (status, text) == (401, "Wrong token.\n")
        assert asked(address, Authorization=f"Bearer {token}", Host="elsewhere.example")[0] == 400
        assert asked(address, "/", Authorization=f"Bearer {token}")[0] == 404

        write_state(tmp_path / "land.json", os.getpid(), datetime.now(UTC), {"landed": 12})
        status, kind, text = asked(address, Authorization=f"Bearer {token}")
        assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert parsed(text)[sample("landed_total", part="land")] == 12
    assert token_of(tmp_path) == token
    monkeypatch.setenv("METRICS_TOKEN", "given")
    assert token_of(tmp_path) == "given"


def test_alarms_are_logged_when_they_begin_and_when_they_end(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("smallcaps.streaming.metrics.BEAT_SECONDS", 0.05)
    caplog.set_level(logging.INFO, "smallcaps")
    file = tmp_path / "land.json"
    write_state(file, os.getpid(), datetime.now(UTC), {})
    file.write_text(json.dumps(json.loads(file.read_text()) | {"born": "1"}))

    def until(words: str) -> None:
        while words not in caplog.text:
            assert watching.is_alive()

    with running_as(tmp_path, "metrics") as part:
        watching = threading.Thread(target=watch, args=(tmp_path, settings.live, part), daemon=True)
        watching.start()
        until("land is not running")
        file.unlink()
        until("Over: land is not running")
        part.stopping.set()
        watching.join()
        assert {state.part: state.facts for state in states(tmp_path)} == {"metrics": {"alarms": 0}}
    (began, ended) = caplog.records
    assert (began.levelname, began.facts) == ("WARNING", {"alarm": "down", "part": "land"})  # type: ignore[attr-defined]
    assert ended.levelname == "INFO"
