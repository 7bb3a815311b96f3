"""The live tape on a simulated day: a market with planted episodes, a model of its earlier sessions, the last one
replayed through broker, landing, detection and scoring as the processes that they are, and what came of it.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from confluent_kafka import Consumer, TopicPartition

from smallcaps.config import KafkaSettings, Settings
from smallcaps.detectors.detect import detect
from smallcaps.detectors.registry import INTRADAY
from smallcaps.errors import FailedDependency
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.labels.barriers import label_events
from smallcaps.lake import Lake
from smallcaps.lake.topics import ALERTS
from smallcaps.models.frozen import current_dataset
from smallcaps.models.training import train
from smallcaps.refine.job import refine
from smallcaps.serving.detection_episodes import TARGETS
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.simulator.layout import read_episodes, tape_days
from smallcaps.sources.simulator.settings import MarketSettings
from smallcaps.streaming.kafka import Outlet, client_options, partitions_of
from smallcaps.streaming.live_events import STANDING
from smallcaps.streaming.process import State, states
from smallcaps.streaming.replay import Disorder, replay

SIMULATED = MarketSettings(
    symbols=60, days=14, last_day=date(2026, 10, 16), seed=11, tick_days=1, tick_symbols=25, episodes=300
)
KINDS = ("day_aggs_v1", "minute_aggs_v1", "trades_v1", "quotes_v1")
REFINED = (
    *("silver.calendar", "silver.securities", "silver.adjustments", "silver.bars_1d", "silver.halts", "silver.trades"),
    *("silver.bars_1m", "silver.universe", "silver.baselines", "silver.session_volumes", "silver.volume_curves"),
)
"""What detection needs to know before the open, and what the replay plays."""
DISORDER = Disorder(late=0.01, doubled=0.01, revised=0.01, lateness_seconds=45)
MODEL_OF = "intraday"
"""The definition of datasets whose model scores. It need be no champion: a fortnight is too short to judge it by."""
QUIET_SECONDS = 15.0
"""Of parts that are not behind: those that have told nothing for so long are done."""
BEST = 5
"""Signals that are shown."""


def steps(lake: Lake, settings: Settings, market: Path) -> list[tuple[str, Callable[[], object]]]:
    """What comes before the session, as named steps: the market, and history up to and with its last day."""
    # Here, since it needs the extra `simulator`.
    from smallcaps.sources.simulator.build import build_market

    def build() -> object:
        return "it is there" if (market / "settings.json").exists() else build_market(lake.spark, SIMULATED, market)

    def days() -> tuple[date, date]:
        found = tape_days(market, "day")
        return found[0], found[-1]

    def first(grain: str) -> date:
        # There are trades of the last day alone.
        return days()[0 if grain == "minute" else 1]

    def learn() -> object:
        label_events(lake, settings, days()[0], tape_days(market, "day")[-2])
        (trained,) = train(lake, settings, current_dataset(lake, settings, MODEL_OF), ["gradient_boosting"])
        return f"{trained.events:,} events"

    return [
        ("simulate a market", build),
        ("ingest it", lambda: ingest_flatfiles(lake, settings, Folder(str(market)), KINDS, *days(), None)),
        ("refine it", lambda: refine(lake, settings, *days(), REFINED)),
        *(
            (f"detect {grain}, as history", lambda grain=grain: detect(lake, settings, grain, first(grain), days()[1]))
            for grain in INTRADAY
        ),
        ("learn from what came before", learn),
    ]


@contextmanager
def replaying(lake: Lake, settings: Settings, day: date, speed: float) -> Iterator[Callable[[], tuple[int, int]]]:
    """The session, played beside the block; yields what gives messages sent and their total (0 until that is known), and raises
    what the replay failed of.
    """
    sent, stopping = [0, 0], threading.Event()
    failed: list[Exception] = []

    def told(count: int, total: int) -> None:
        sent[:] = [count, total]

    def play() -> None:
        try:
            with Outlet(settings.kafka) as outlet:
                replay(lake, settings, outlet, day, speed, disorder=DISORDER, told=told, stopping=stopping)
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failed.append(error)

    def so_far() -> tuple[int, int]:
        if failed:
            raise failed[0]
        return sent[0], sent[1]

    thread = threading.Thread(target=play, name="replay", daemon=True)
    thread.start()
    try:
        yield so_far
    finally:
        stopping.set()
        thread.join()


def told_alerts(kafka: KafkaSettings) -> Iterator[list[dict[str, Any]]]:
    """Alerts of the topic from its beginning on, those that came since the last time each time; with `arrived`, when."""
    consumer = Consumer(client_options(kafka) | {"group.id": "live-demo"})
    consumer.assign(
        [TopicPartition(f"{kafka.prefix}{ALERTS.name}", one, 0) for one in partitions_of(kafka, ALERTS.name)]
    )
    try:
        while True:
            found = []
            for message in consumer.consume(1_000, timeout=0.5):
                if message.error() is None and (value := message.value()) is not None:
                    arrived = datetime.fromtimestamp(message.timestamp()[1] / 1000).astimezone()
                    found.append(json.loads(value) | {"arrived": arrived})
            yield found
    finally:
        consumer.close()


def latency(alert: dict[str, Any]) -> float:
    """Seconds from the evidence's way into Kafka to the alert's."""
    produced = datetime.fromisoformat(alert["produced_at"])
    return float((alert["arrived"] - produced).total_seconds())


def part(folder: Path, name: str) -> State:
    """How a part is. Raises FailedDependency where it has ended."""
    for state in states(folder):
        if state.part == name and state.is_running:
            return state
    raise FailedDependency(f"{name} has ended; see {folder}/{name}.log.")


def is_done(folder: Path, sent: tuple[int, int], told_at: float) -> bool:
    """Whether all was sent, looked at, scored and landed, and nothing has been told for QUIET_SECONDS."""
    detected, scored, landed = (part(folder, name).facts for name in ("detect", "score", "land"))
    caught_up = not any(facts.get("behind") for facts in (detected, scored)) and not scored.get("waiting")
    caught_up &= landed.get("landed", 0) + landed.get("refused", 0) >= sent[0]
    return 0 < sent[1] <= sent[0] and caught_up and time.monotonic() - told_at > QUIET_SECONDS


@dataclass(frozen=True)
class Signals:
    """What the model expected of the day's alerts that stand: how many it scored and called signals, how long after the alert in
    the median, and of the most likely ones symbol, detector, probability and reasons.
    """

    scored: int
    signals: int
    threshold: float
    median_seconds: float
    best: tuple[tuple[str, str, float, str], ...]


def signals(lake: Lake, day: date) -> Signals | None:
    """Of gold.signals; None where nothing was scored."""
    rows = lake.read("gold.signals").where(f"session_date = DATE'{day}' AND continuation IS NOT NULL").toPandas()
    if rows.empty:
        return None
    last = rows.sort_values("revision").groupby("event_id").tail(1).sort_values("continuation", ascending=False)
    seconds = (last["sent_at"] - last["alerted_at"]).dt.total_seconds().median()
    best = tuple(
        (str(row["symbol"]), str(row["detector"]), float(row["continuation"]), _why(row["reasons"]))
        for row in last.head(BEST).to_dict("records")
    )
    return Signals(len(last), int(last["is_signal"].sum()), float(last["threshold"].iloc[0]), float(seconds), best)


def _why(reasons: Sequence[Any]) -> str:
    """Inputs with what they added to the log odds, in words."""
    return ", ".join(f"{one['input']} {one['adds']:+.2f}" for one in reasons[:3])


@dataclass(frozen=True)
class Recall:
    """Of a kind of episode how many were planted that day, and how many an alert told of that is meant to."""

    kind: str
    planted: int
    told: int
    median_seconds: float | None


def recall(lake: Lake, market: Path, day: date) -> list[Recall]:
    """The day's planted episodes, near misses left out, that an event of the live tape lies on: from the minute of the onset
    until its detector's time after the peak. `median_seconds`: from the onset to when the first one could be known.
    """
    planted = read_episodes(market)
    planted = planted[(planted["session_date"] == day) & ~planted["near_miss"]]
    rows = lake.read(STANDING).where(f"session_date = DATE'{day}'")
    events = rows.selectExpr("symbol", "detector", "unix_micros(ts) AS at", "unix_micros(known_at) AS known").toPandas()
    found = []
    for kind, of_kind in planted.groupby("kind"):
        meant = {name: target for name, target in TARGETS.items() if kind in target.kinds}
        if not meant.keys() & set(events["detector"]):
            continue
        delays = [delay for _, episode in of_kind.iterrows() if (delay := _delay(episode, events, meant)) is not None]
        median = float(pd.Series(delays).median()) if delays else None
        found.append(Recall(str(kind), len(of_kind), len(delays), median))
    return found


def _delay(episode: Any, events: pd.DataFrame, meant: dict[str, Any]) -> float | None:
    """Seconds from an episode's onset to when the first event on it could be known; None where there is none."""
    onset, peak = episode["onset_ns"] // 1_000, episode["peak_ns"] // 1_000
    minutes = events["detector"].map({name: target.minutes or 960 for name, target in meant.items()})
    on = (events["symbol"] == episode["symbol"]) & minutes.notna()
    on &= (events["at"] >= onset // 60_000_000 * 60_000_000) & (events["at"] <= peak + minutes * 60_000_000)
    return None if not on.any() else float(events.loc[on, "known"].min() - onset) / 1e6
