"""A day on the live tape: its events are those of the batch job, however messages arrive and whatever is killed on the way."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import urllib3
from pyspark.sql import functions as F

from smallcaps.cli.app import main
from smallcaps.config import Settings
from smallcaps.detectors.detect import detect
from smallcaps.detectors.registry import detectors_of
from smallcaps.errors import BadInput
from smallcaps.lake import TOPICS, Lake, recorded_run
from smallcaps.lake.topics import ALERTS, BARS, LULD, QUOTES, TRADES
from smallcaps.models import champion as champions
from smallcaps.models.champion import Champion
from smallcaps.models.registry import CHAMPION
from smallcaps.models.targets import TARGETS
from smallcaps.ports import HOST, free_port
from smallcaps.streaming import scoring as live
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.detection import Detection, day_began, detecting
from smallcaps.streaming.kafka import Outlet, make_topics, watermarks
from smallcaps.streaming.live_events import LiveEvents, keeping
from smallcaps.streaming.parity import compared, parity
from smallcaps.streaming.process import State, born, states
from smallcaps.streaming.replay import Disorder, replay
from tests.notebooks import ran
from tests.streaming.champions import SHARE, by_batch, play, register, score_all, signals, tell_again
from tests.streaming.conftest import GRAINS, Market

KILLS, AT_FULL_SIZE = 4, 20
SEED = 3
WAYS = [(1, "0 seconds", 100.0), (4, "2 seconds", 200.0), (8, "5 seconds", 1_000.0)]
"""Partitions, trigger, and how many times as fast as it was a day is played."""
QUICK = 2, "1 second", 20_000.0
SCORED = 6
"""Names whose alerts are scored."""
DISORDER = Disorder(late=0.02, doubled=0.02, revised=0.02, lateness_seconds=60)
DISORDERLY = ("--late", "0.02", "--revised", "0.02", "--doubled", "0.02")
PLAYED = (BARS.name, TRADES.name, QUOTES.name, LULD.name)


def told(
    market: Market, settings: Settings, outlet: Outlet, trigger: str = "0 seconds", speed: float | None = None
) -> tuple[Detection, dict[str, dict[str, Any]]]:
    """A detection that has gone through all that the topics hold, and what is played meanwhile where there is a speed; and what
    events stand by it.
    """
    detection = Detection(market.lake, settings, market.day, GRAINS, outlet)
    with detecting(detection, trigger, day_began(None)) as query:
        if speed is not None:
            replay(market.lake, settings, outlet, market.day, speed, disorder=DISORDER)
        query.processAllAvailable()
    columns = list(next(iter(market.events.values())))
    found = [event for tape in detection.tapes.values() for event in tape.events_that_stand()]
    return detection, {event["event_id"]: {name: event[name] for name in columns} for event in found}


def detected_again(market: Market, settings: Settings, folder: Path) -> dict[str, dict[str, Any]]:
    """The day's events by the batch job under other settings, in a copy of the lake."""
    lake = Lake(str(shutil.copytree(market.lake.root, folder)), market.lake.spark)
    detect(lake, settings, "minute", market.day, market.day)
    found = lake.read("gold.events").drop("run_id").toArrow().to_pylist()
    return {event["event_id"]: event for event in found}


@pytest.mark.slow
@pytest.mark.guarantee
def test_a_replayed_day_has_the_events_of_the_batch_job_whatever_comes_late_twice_or_revised_and_so_after_an_upgrade(
    market: Market, broker: Broker, tmp_path: Path
) -> None:
    settings = market.settings.model_copy(update={"kafka": broker.kafka})
    with Outlet(settings.kafka) as outlet:
        replay(market.lake, settings, outlet, market.day, None, disorder=DISORDER)
        detection, found = told(market, settings, outlet)
    assert found == market.events
    assert detection.alerts.sent["new"] >= len(market.events)
    # A process that takes over has nothing to tell: it was told.
    with Outlet(settings.kafka) as outlet:
        again, found = told(market, settings, outlet)
    assert found == market.events
    assert again.alerts.sent == {"new": 0, "corrected": 0, "retracted": 0}
    # One with another threshold tells what that changes, and no more.
    upgraded = settings.model_copy(update={"detectors": {**settings.detectors, "volume_spike": {"multiple": 4}}})
    events = detected_again(market, upgraded, tmp_path / "lake")
    with Outlet(settings.kafka) as outlet:
        again, found = told(market, upgraded, outlet)
    assert found == events
    new, gone = events.keys() - market.events.keys(), market.events.keys() - events.keys()
    assert new
    assert gone
    assert {events[event_id]["detector"] for event_id in new} == {
        market.events[event_id]["detector"] for event_id in gone
    }
    assert again.alerts.sent == {"new": len(new), "corrected": 0, "retracted": len(gone)}


@pytest.mark.slow
@pytest.mark.guarantee
def test_a_day_that_is_played_has_the_events_of_the_batch_job_in_any_partitions_triggers_and_speed(
    request: pytest.FixtureRequest,
    settings: Settings,
    tmp_path: Path,
    full_size: bool,
) -> None:
    market: Market = request.getfixturevalue("large_market" if full_size else "market")
    for place, (partitions, trigger, speed) in enumerate(WAYS if full_size else [QUICK]):
        with Broker(tmp_path / f"broker-{place}", settings.cache) as broker, Outlet(broker.kafka) as outlet:
            make_topics(broker.kafka, [(topic.name, partitions, topic.retention_hours) for topic in TOPICS.values()])
            own = market.settings.model_copy(update={"kafka": broker.kafka})
            detection, found = told(market, own, outlet, trigger, speed)
        assert found == market.events, (partitions, trigger, speed)
        assert detection.batches > 1
    if full_size:
        halts = market.lake.read("silver.halts").where(F.col("session_date") == F.lit(market.day)).collect()
        assert {row.symbol for row in halts} & {event["symbol"] for event in market.events.values()}
        often = Counter((event["detector"], event["direction"]) for event in market.events.values())
        names = [one.name for grain in GRAINS for one in detectors_of(grain)]
        assert {(name, way): often[name, way] for name in names for way in (1, -1) if often[name, way] < 20} == {}


class Parts:
    """The product's processes, on a lake and a broker."""

    def __init__(self, lake: str, broker: Broker, folder: Path) -> None:
        self._folder = folder
        self._own = {
            **os.environ,
            "SMALLCAPS_LAKE": lake,
            "SMALLCAPS_KAFKA__SERVERS": broker.address,
            "SMALLCAPS_SPARK__DRIVER_MEMORY": "1g",
            "SMALLCAPS_SPARK__SHUFFLE_PARTITIONS": "2",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str) -> None:
        with (self._folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "smallcaps.cli.app", *arguments],
                stdout=log,
                stderr=log,
                env=self._own,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """The process and its Java, at once."""
        process = self.running.pop(name)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def said(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()[-2_000:]


@contextmanager
def parts(lake: str, broker: Broker, folder: Path) -> Iterator[Parts]:
    started = Parts(lake, broker, folder)
    try:
        yield started
    finally:
        for name in [*started.running]:
            started.kill(name)


_T = [time.monotonic()]


def mark(w):
    n = time.monotonic()
    print("MARK", w, round(n - _T[0], 1), file=sys.stderr)
    _T[0] = n


def until(is_so: Callable[[], bool], seconds: float, words: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, words()
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.guarantee
def test_processes_killed_at_random_lose_nothing_and_tell_nothing_twice(
    market: Market, broker: Broker, tmp_path: Path, full_size: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kills = AT_FULL_SIZE if full_size else KILLS
    own = market.settings.model_copy(update={"kafka": broker.kafka})
    day = market.day.isoformat()
    commands = {
        "detect": ("live", "detect", "--date", day, "--from-earliest"),
        "land": ("live", "land", "--trigger", "2"),
        "replay": ("replay", day, "--speed", "400" if full_size else "3000", *DISORDERLY),
    }
    luck = random.Random(SEED)
    mark("start")
    with parts(own.lake, broker, tmp_path) as running:
        for name, words in commands.items():
            running.start(name, *words)
        until(
            lambda: sum(high for _, high in watermarks(own.kafka, PLAYED).values()) > 1_000,
            120,
            lambda: running.said("replay"),
        )
        mark("first 1000")
        victims = [
            "replay",
            "detect",
            "land",
            "broker",
            *luck.choices(["detect", "land", "broker"], k=kills - 4),
        ]
        for victim in victims:
            time.sleep(luck.uniform(1, 10))
            if victim == "broker":
                broker.kill()
                broker.start()
            else:
                running.kill(victim)
                running.start(victim, *commands[victim])
        mark("kills")
        assert running.running["replay"].wait(300) == 0, running.said("replay")

        mark("replay")
        lake = Lake(own.lake, market.lake.spark)

        def is_over() -> bool:
            for name in ("detect", "land"):
                assert running.running[name].poll() is None, running.said(name)
            if not lake.exists("gold.live_events"):
                return False
            found = {row.event_id for row in lake.read("gold.live_events").select("event_id").collect()}
            return found == set(market.events) and landed(lake) == sent(own)

        until(is_over, 300, lambda: f"{running.said('detect')}\n{running.said('land')}\n{landed(lake)} of {sent(own)}")

    mark("over")
    columns = list(next(iter(market.events.values())))
    stands = lake.read("gold.live_events").select(*columns).toArrow().to_pylist()
    assert {event["event_id"]: event for event in stands} == market.events
    places = lake.read("bronze.trades").where("kafka_offset IS NOT NULL")
    assert places.count() == places.select("kafka_topic", "kafka_partition", "kafka_offset").distinct().count()
    told = lake.read("gold.event_revisions").select("event_id", "revision").collect()
    assert len(told) == len({(row.event_id, row.revision) for row in told})
    assert sum(high for _, high in watermarks(own.kafka, [ALERTS.name]).values()) >= len(told)
    mark("checks")
    report = parity(lake, own, market.day, GRAINS)
    assert report.differences == 0
    assert report.arrival == compared(market.events, market.events)
    mark("parity")
    monkeypatch.setenv("SMALLCAPS_LAKE", lake.root)
    assert ran("live_parity")["report"] == report
    mark("notebook")


@dataclass(frozen=True)
class Desk:
    """`smallcaps live …` as a person runs it, on a cache of its own, so that no broker's log is shared."""

    cache: Path
    capture: pytest.CaptureFixture[str]

    def live(self, *words: str) -> tuple[int, str, str]:
        """Exit code, and what was printed and complained of."""
        code = main(["live", *words])
        return code, *self.capture.readouterr()

    @property
    def folder(self) -> Path:
        (found,) = (self.cache / "live").iterdir()
        return found

    def part(self, name: str) -> State:
        return next(state for state in states(self.folder) if state.part == name)

    def said(self) -> str:
        return "\n".join(file.read_text()[-2_000:] for file in self.folder.glob("*.log"))


def scraped(address: str, token: str) -> tuple[int, str]:
    answer = urllib3.request("GET", address, headers={"Authorization": f"Bearer {token}"}, retries=False)
    return answer.status, answer.data.decode()


@pytest.fixture
def desk(
    market: Market,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Desk]:
    """A desk on the market's lake and a broker's port; all is down at the end."""
    (tmp_path / "jars").symlink_to(settings.cache / "jars")
    own = {
        "SMALLCAPS_LAKE": market.settings.lake,
        "SMALLCAPS_CACHE": str(tmp_path),
        "SMALLCAPS_KAFKA__SERVERS": f"{HOST}:{free_port()}",
        "SMALLCAPS_SPARK__DRIVER_MEMORY": "1g",
        "SMALLCAPS_SPARK__SHUFFLE_PARTITIONS": "2",
        "ALERT_WEBHOOK_URL": f"http://{HOST}:9/nobody",
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("METRICS_TOKEN", raising=False)
    at = Desk(tmp_path, capsys)
    try:
        yield at
    finally:
        at.live("down")


@pytest.mark.slow
def test_all_parts_come_up_say_that_they_are_well_are_measured_and_go_down(market: Market, desk: Desk) -> None:
    replayed = ("up", "--replay", market.day.isoformat(), "--speed", "60", "--metrics-port", "0")
    code, _, complained = desk.live(*replayed)
    assert code == 0, complained + desk.said()
    parts = {state.part: state.pid for state in states(desk.folder)}
    assert set(parts) == {"broker", "metrics", "notify", "land", "detect", "replay"}
    until(lambda: desk.part("land").facts.get("landed", 0) > 0, 120, desk.said)
    code, told, complained = desk.live("status")
    assert code == 0, complained
    assert told.count("well") == len(parts)
    code, _, complained = desk.live(*replayed)
    assert (code, "running already" in complained) == (2, True)

    address, token = desk.part("metrics").facts["address"], (desk.folder / "metrics.token").read_text()
    assert scraped(address, "wrong")[0] == 401
    code, text = scraped(address, token)
    assert code == 200
    for name in parts:
        assert f'smallcaps_live_up{{part="{name}"}} 1.0' in text
    assert 'smallcaps_live_alarms{kind="down"} 0.0' in text
    assert 'smallcaps_live_landed_total{part="land"}' in text

    os.kill(parts["replay"], signal.SIGKILL)
    until(lambda: 'smallcaps_live_alarms{kind="down"} 1.0' in scraped(address, token)[1], 30, desk.said)
    code, _, complained = desk.live("status")
    assert (code, "replay is not running" in complained) == (4, True)
    log = desk.cache / "logs" / "smallcaps.log"
    until(lambda: "replay is not running" in log.read_text(), 30, desk.said)

    _, told, _ = desk.live("down")
    assert [line.split(":")[0] for line in told.splitlines()] == [
        *("replay", "detect", "notify", "land", "metrics", "broker")
    ]
    assert "killed" not in told
    assert not [name for name, pid in parts.items() if born(pid)]
    assert "Nothing is up" in desk.live("status")[1]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {"live land", "live detect"} <= {line["job"] for line in lines}
    assert {line["job"] for line in lines if "rows to bronze" in line["message"]} == {"live land"}
    for words in ("Kafka is at", "metrics are at"):
        assert [line for line in lines if line["message"].startswith(words)], words


def landed(lake: Lake) -> int:
    """Messages in bronze."""
    tables = [name for name in ("bronze.bars_1m", "bronze.trades", "bronze.quotes", "bronze.luld") if lake.exists(name)]
    return sum(lake.read(name).where("kafka_offset IS NOT NULL").count() for name in tables)


def sent(settings: Settings) -> int:
    """Messages in the topics."""
    return sum(high - low for low, high in watermarks(settings.kafka, PLAYED).values())


@pytest.mark.usefixtures("compiled")
@pytest.mark.slow
def test_alerts_get_what_the_batch_functions_expect_and_another_champion_takes_over(
    market: Market, broker: Broker, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of some names, in as many pieces as make quotes be forgotten, and a process that is behind.
    names = sorted({event["symbol"] for event in market.events.values() if event["grain"] == "trade"})[:SCORED]
    events = {event_id: event for event_id, event in market.events.items() if event["symbol"] in names}
    market = replace(market, events=events)
    monkeypatch.setattr(live, "MOST_MESSAGES", 40_000)
    monkeypatch.setattr(live, "BEHIND_SECONDS", 0.0)
    monkeypatch.setattr(champions, "LOOK_SECONDS", 0.0)
    every_input = market.settings.signals.model_copy(update={"best_share": SHARE, "reasons": 1_000})
    settings = market.settings.model_copy(update={"kafka": broker.kafka, "signals": every_input})
    with pytest.raises(BadInput, match="no champion"):
        Champion(market.lake, settings, "intraday", CHAMPION)
    model = register(market.lake, settings, 1)
    play(market, settings, lake)
    champion = Champion(market.lake, settings, "intraday", CHAMPION)
    work = score_all(market, settings, champion)
    told = {one["event_id"]: one for one in signals(settings)}
    expected = by_batch(market, settings, lake, model)
    assert len(told) == len(signals(settings)) == len(market.events) == work.scored
    assert work.facts()["waiting"] == 0
    # Quotes were forgotten on the way.
    assert work.around.counts()[QUOTES.name] < lake.read("bronze.quotes").count() / 2
    assert work.around.counts()[TRADES.name] == lake.read("bronze.trades").count()
    for event_id, one in told.items():
        batch = expected[event_id]
        assert {reason["input"]: reason.get("value") for reason in one["reasons"]} == {
            name: batch[name] for name in model.input_names
        }, one
        assert {target: one[target] for target in TARGETS} == {target: batch[target] for target in TARGETS}
        added = [abs(reason["adds"]) for reason in one["reasons"]]
        assert added == sorted(added, reverse=True)
        assert one["is_signal"] == (one["continuation"] >= one["threshold"])
        assert one["model"] == f"{model.problem}@1"
    assert {round(one["threshold"], 9) for one in told.values()} == {round(0.99 * (1 - SHARE), 9)}
    assert any(batch["trades_per_second_before"] for batch in expected.values())

    # One alert is corrected, another taken back, and another model is the champion. Who takes over says nothing else.
    register(market.lake, settings, 2)
    first, second = sorted(market.events)[:2]
    tell_again(settings, [market.events[first] | told[first], market.events[second] | told[second]])
    assert score_all(market, settings, champion).scored == 1
    assert len(signals(settings)) == len(told) + 2
    again = {one["event_id"]: one for one in signals(settings) if one["revision"] == 9}
    assert {event_id: one["kind"] for event_id, one in again.items()} == {first: "corrected", second: "retracted"}
    assert {one["model"] for one in again.values()} == {f"{model.problem}@2"}
    assert "continuation" not in again[second]
    assert again[first]["continuation"] != told[first]["continuation"]

    with recorded_run(lake, "live alerts", {}, "x") as run, keeping(LiveEvents(run, settings), "0 seconds") as query:
        query.processAllAvailable()
    kept = lake.read("gold.signals").collect()
    assert {(row.event_id, row.revision) for row in kept} == {
        (one["event_id"], one["revision"]) for one in signals(settings)
    }
    assert {row.event_id: row.continuation for row in kept if row.revision < 9} == {
        event_id: one["continuation"] for event_id, one in told.items()
    }
