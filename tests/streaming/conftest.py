"""A simulated day in a lake, its events by the batch job, and a broker."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.detect import detect
from smallcaps.detectors.registry import INTRADAY
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.lake import TOPICS, Lake
from smallcaps.lake.topics import DEAD_LETTERS
from smallcaps.live_demo import KINDS, REFINED
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.simulator.build import build_market
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.sources.simulator.settings import MarketSettings
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.kafka import make_topics

GRAINS = INTRADAY
LARGE = MarketSettings(
    symbols=300, days=12, last_day=date(2026, 10, 16), seed=5, tick_days=1, tick_symbols=300, episodes=500
)


@dataclass(frozen=True)
class Market:
    """A lake, the day of which there are ticks, and what the batch job found on it, by id."""

    lake: Lake
    settings: Settings
    day: date
    events: dict[str, dict[str, Any]]


def refined(spark: SparkSession, settings: Settings, simulated: Path, lake: Path) -> Market:
    """A simulated market in a lake, and the events of its last day."""
    here = settings.model_copy(update={"lake": str(lake)})
    filled = Lake(here.lake, spark)
    days = tape_days(simulated, "day")
    ingest_flatfiles(filled, here, Folder(str(simulated)), KINDS, days[0], days[-1], None)
    refine(filled, here, days[0], days[-1], REFINED)
    for grain in GRAINS:
        detect(filled, here, grain, days[-1], days[-1])
    found = filled.read("gold.events").drop("run_id").toArrow().to_pylist()
    return Market(filled, here, days[-1], {event["event_id"]: event for event in found})


@pytest.fixture(scope="session")
def market(
    spark: SparkSession, settings: Settings, simulated_market: Path, tmp_path_factory: pytest.TempPathFactory
) -> Market:
    """The demo's market, refined, and the events of its last day."""
    return refined(spark, settings, simulated_market, tmp_path_factory.mktemp("live") / "lake")


@pytest.fixture(scope="session")
def large_market(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Market:
    """300 names, each with ticks, and so many episodes that every detector speaks often, up and down."""
    folder = tmp_path_factory.mktemp("large")
    build_market(spark, LARGE, folder / "market")
    return refined(spark, settings, folder / "market", folder / "lake")


@pytest.fixture
def broker(settings: Settings, tmp_path: Path) -> Iterator[Broker]:
    """A broker of the test's own, with our topics in few partitions."""
    with Broker(tmp_path / "broker", settings.cache) as running:
        make_topics(running.kafka, [(topic.name, 3, topic.retention_hours) for topic in TOPICS.values()])
        make_topics(running.kafka, [DEAD_LETTERS])
        yield running
