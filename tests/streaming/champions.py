"""A champion that scores a day's alerts: who that is, what is told of them, and what the batch functions expect."""

import json
from typing import Any

import numpy as np
import pandas as pd
from confluent_kafka import Consumer, TopicPartition
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.lake import Lake, recorded_run
from smallcaps.lake.topics import ALERTS, SIGNALS
from smallcaps.microstructure.features import CONTEXT, event_features
from smallcaps.microstructure.job import Around
from smallcaps.models.champion import Champion
from smallcaps.models.event_model import Calibrated, EventModel
from smallcaps.models.frozen import INPUT_TABLES, definition_of, event_inputs, input_names
from smallcaps.models.logistic_regression import Line
from smallcaps.models.registry import CHAMPION, OUT_OF_SAMPLE
from smallcaps.models.scoring import with_probabilities
from smallcaps.models.targets import TARGETS, problem
from smallcaps.models.tracking import client_of, log_frame, log_model, started_run
from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.ticks import judged_quotes, judged_trades
from smallcaps.streaming.detection import Detection, day_began, detecting, load_day, named
from smallcaps.streaming.kafka import Outlet, client_options, partitions_of
from smallcaps.streaming.landing import Landing, landing
from smallcaps.streaming.messages import encoded
from smallcaps.streaming.replay import Disorder, replay
from smallcaps.streaming.scoring import Scoring, scoring
from tests.streaming.conftest import GRAINS, Market

SHARE = 0.25


def register(lake: Lake, settings: Settings, seed: int) -> EventModel:
    """A model that looks at every input, registered as the champion; out of sample it gave 0.00, 0.01, … 0.99."""
    definition = definition_of(settings, "intraday")
    names = tuple(input_names(definition))
    luck, zeros = np.random.default_rng(seed), np.zeros(len(names))
    lines = {
        target: Line(zeros, zeros, np.ones(len(names)), luck.normal(size=len(names)) / 1_000, 0.1) for target in TARGETS
    }
    model = EventModel(
        problem(definition),
        "logistic_regression",
        "inputs",
        names,
        {target: Calibrated(line, 0.9, -0.1) for target, line in lines.items()},
    )
    client = client_of(settings, lake)
    said = pd.DataFrame({"target": "continuation", "probability": np.arange(100) / 100})
    with started_run(settings, lake, model.problem, model.algorithm) as run:
        log_frame(said, OUT_OF_SAMPLE)
        tags = {"algorithm": model.algorithm, "dataset": "intraday-1", "certain_before": "1", "newest_fold": "1"}
        version = log_model(client, run, model, tags)
    client.set_registered_model_alias(model.problem, CHAMPION, version)
    return model


def signals(settings: Settings) -> list[dict[str, Any]]:
    """All messages of the topic."""
    consumer = Consumer(client_options(settings.kafka) | {"group.id": "test", "enable.partition.eof": True})
    places = [TopicPartition(SIGNALS.name, one, 0) for one in partitions_of(settings.kafka, SIGNALS.name)]
    consumer.assign(places)
    found, ended = [], 0
    while ended < len(places):
        for message in consumer.consume(1_000, timeout=1):
            if message.error() is not None:
                ended += 1
            else:
                found.append(json.loads(message.value() or b""))
    consumer.close()
    return found


def play(market: Market, settings: Settings, lake: Lake) -> None:
    """The day of the names that have events into the topics, its alerts, and its messages into `lake`."""
    with Outlet(settings.kafka) as outlet:
        symbols = sorted({event["symbol"] for event in market.events.values()})
        disorder = Disorder(0.02, 0.02, 0, 0.02, 60)
        replay(market.lake, settings, outlet, market.day, None, disorder=disorder, symbols=symbols)
        detection = Detection(market.lake, settings, market.day, GRAINS, outlet)
        with detecting(detection, "0 seconds", day_began(None)) as query:
            query.processAllAvailable()
        with recorded_run(lake, "live land", {}, "x") as run:
            work = Landing(run, settings, outlet)
            with landing(work, "0 seconds") as query:
                query.processAllAvailable()


def tell_again(settings: Settings, events: list[dict[str, Any]]) -> None:
    """Correct the first of the events that have signals, and take the other back."""
    with Outlet(settings.kafka) as outlet:
        for event, kind in zip(events, ("corrected", "retracted"), strict=True):
            said = {"kind": kind, "revision": 9, "number": 0, "is_known_symbol": True}
            came = {"sent_at": event["alerted_at"], "produced_at": event["received_at"]}
            outlet.send(ALERTS.name, event["symbol"], encoded(event | said | came, ALERTS))


def score_all(market: Market, settings: Settings, champion: Champion) -> Scoring:
    """A scoring that has gone through all that the topics hold."""
    with Outlet(settings.kafka) as outlet:
        work = Scoring(market.lake, settings, market.day, champion, outlet)
        with scoring(work, "0 seconds", day_began(None)) as query:
            query.processAllAvailable()
    return work


def by_batch(market: Market, settings: Settings, landed: Lake, model: EventModel) -> dict[str, dict[str, Any]]:
    """Inputs and probabilities of the day's events by the batch functions, of what landed."""
    lake, day, calendar = market.lake, market.day, calendar_frame(market.lake.spark, market.day, market.day)
    whose = load_day(lake, day).securities

    def silver(judged: DataFrame) -> DataFrame:
        return named(judged, whose).persist().where("_rule IS NULL").drop("_rule")

    def known(name: str) -> DataFrame:
        return lake.read(name) if lake.exists(name) else lake.empty(name)

    events = lake.read("gold.events").drop("run_id").where(F.col("session_date") == F.lit(day))
    around = Around(
        events,
        silver(judged_trades(landed.read("bronze.trades"), calendar)),
        silver(judged_quotes(landed.read("bronze.quotes"), calendar)),
        {name: known(name) for name in CONTEXT} | {"silver.halts": known("silver.halts")},
    )
    tables = {name: known(name) for name in INPUT_TABLES} | {
        "gold.event_features": event_features(around, settings.microstructure),
        "gold.event_sequences": lake.empty("gold.event_sequences"),
    }
    inputs = event_inputs(events.withColumn("fold", F.lit(0)), tables, definition_of(settings, "intraday")).persist()
    found: dict[str, dict[str, Any]] = {
        row.event_id: dict(zip(model.input_names, row.inputs, strict=True)) for row in inputs.collect()
    }
    for row in with_probabilities(inputs, {0: model}).collect():
        found[row.event_id][row.target] = row.probability
    return found
