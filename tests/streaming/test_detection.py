"""Detection on the live tape: the events are those of the batch job, however messages arrive."""

import time
from typing import Any

import pytest

from smallcaps.config import Settings
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.detection import Detection, day_began, detecting
from smallcaps.streaming.kafka import Outlet
from smallcaps.streaming.replay import Disorder, replay
from tests.streaming.conftest import GRAINS, Market


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
        started = time.time()
        sent = replay(market.lake, settings, outlet, market.day, None, disorder=Disorder(0.02, 0.02, 0, 0.02, 60))
        print(sent, time.time() - started)
        detection, found = told(market, settings, outlet)
    assert found == market.events
    assert detection.alerts.sent["new"] >= len(market.events)
    # A process that takes over has nothing to tell: it was told.
    with Outlet(settings.kafka) as outlet:
        again, found = told(market, settings, outlet)
    assert found == market.events
    assert again.alerts.sent == {"new": 0, "corrected": 0, "retracted": 0}
