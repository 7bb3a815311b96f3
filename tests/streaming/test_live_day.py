"""A day on the live tape: its events are those of the batch job, however messages arrive and whatever is killed on the way."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from smallcaps.config import Settings
from smallcaps.lake import Lake
from smallcaps.lake.topics import ALERTS, BARS, LULD, QUOTES, TRADES
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.detection import Detection, day_began, detecting
from smallcaps.streaming.kafka import Outlet, watermarks
from smallcaps.streaming.parity import compared, parity
from smallcaps.streaming.replay import Disorder, replay
from tests.streaming.conftest import GRAINS, Market

KILLS, AT_FULL_SIZE = 4, 20
SEED = 3
DISORDERLY = ("--late", "0.02", "--revised", "0.02", "--doubled", "0.02")
PLAYED = (BARS.name, TRADES.name, QUOTES.name, LULD.name)


def told(market: Market, settings: Settings, outlet: Outlet) -> tuple[Detection, dict[str, dict[str, Any]]]:
    """A detection that has gone through all that the topics hold, and the events that stand by it."""
    detection = Detection(market.lake, settings, market.day, GRAINS, outlet)
    with detecting(detection, "0 seconds", day_began(None)) as query:
        query.processAllAvailable()
    columns = list(next(iter(market.events.values())))
    found = [event for tape in detection.tapes.values() for event in tape.events_that_stand()]
    return detection, {event["event_id"]: {name: event[name] for name in columns} for event in found}


@pytest.mark.slow
def test_a_replayed_day_has_the_events_of_the_batch_job_whatever_comes_late_twice_or_revised(
    market: Market, broker: Broker
) -> None:
    settings = market.settings.model_copy(update={"kafka": broker.kafka})
    with Outlet(settings.kafka) as outlet:
        replay(market.lake, settings, outlet, market.day, None, disorder=Disorder(0.02, 0.02, 0, 0.02, 60))
        detection, found = told(market, settings, outlet)
    assert found == market.events
    assert detection.alerts.sent["new"] >= len(market.events)
    # A process that takes over has nothing to tell: it was told.
    with Outlet(settings.kafka) as outlet:
        again, found = told(market, settings, outlet)
    assert found == market.events
    assert again.alerts.sent == {"new": 0, "corrected": 0, "retracted": 0}


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


def until(is_so: Callable[[], bool], seconds: float, words: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, words()
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.guarantee
def test_processes_killed_at_random_lose_nothing_and_tell_nothing_twice(
    market: Market, broker: Broker, tmp_path: Path, full_size: bool
) -> None:
    kills = AT_FULL_SIZE if full_size else KILLS
    own = market.settings.model_copy(update={"kafka": broker.kafka})
    day = market.day.isoformat()
    commands = {
        "detect": ("live", "detect", "--date", day, "--from-earliest"),
        "land": ("live", "land", "--trigger", "2"),
        "replay": ("replay", day, "--speed", "400" if full_size else "1500", *DISORDERLY),
    }
    luck = random.Random(SEED)
    with parts(own.lake, broker, tmp_path) as running:
        for name, words in commands.items():
            running.start(name, *words)
        until(
            lambda: sum(high for _, high in watermarks(own.kafka, PLAYED).values()) > 1_000,
            120,
            lambda: running.said("replay"),
        )
        victims = [
            "detect",
            "land",
            "broker",
            "replay",
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
        assert running.running["replay"].wait(300) == 0, running.said("replay")

        lake = Lake(own.lake, market.lake.spark)

        def is_over() -> bool:
            for name in ("detect", "land"):
                assert running.running[name].poll() is None, running.said(name)
            if not lake.exists("gold.live_events"):
                return False
            found = {row.event_id for row in lake.read("gold.live_events").select("event_id").collect()}
            return found == set(market.events) and landed(lake) == sent(own)

        until(is_over, 300, lambda: f"{running.said('detect')}\n{running.said('land')}\n{landed(lake)} of {sent(own)}")

    columns = list(next(iter(market.events.values())))
    stands = lake.read("gold.live_events").select(*columns).toArrow().to_pylist()
    assert {event["event_id"]: event for event in stands} == market.events
    places = lake.read("bronze.trades").where("kafka_offset IS NOT NULL")
    assert places.count() == places.select("kafka_topic", "kafka_partition", "kafka_offset").distinct().count()
    told = lake.read("gold.event_revisions").select("event_id", "revision").collect()
    assert len(told) == len({(row.event_id, row.revision) for row in told})
    assert sum(high for _, high in watermarks(own.kafka, [ALERTS.name]).values()) >= len(told)
    report = parity(lake, own, market.day, GRAINS)
    assert report.differences == 0
    assert report.arrival == compared(market.events, market.events)


def landed(lake: Lake) -> int:
    """Messages in bronze."""
    tables = [name for name in ("bronze.bars_1m", "bronze.trades", "bronze.quotes", "bronze.luld") if lake.exists(name)]
    return sum(lake.read(name).where("kafka_offset IS NOT NULL").count() for name in tables)


def sent(settings: Settings) -> int:
    """Messages in the topics."""
    return sum(high - low for low, high in watermarks(settings.kafka, PLAYED).values())
