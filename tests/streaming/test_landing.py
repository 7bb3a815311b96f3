"""Landing: every message once, whatever is lost in between; what cannot be taken is kept with the reason. Alerts into gold."""

import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.lake import Lake, recorded_run
from smallcaps.lake.topics import ALERTS, TRADES
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.kafka import Outlet, client_options
from smallcaps.streaming.landing import Landing, landing
from smallcaps.streaming.live_events import LiveEvents, keeping
from smallcaps.streaming.messages import encoded
from tests.small_disk import needs_mounts, on_small_disk
from tests.streaming.test_messages import TRADE, said

ALERT: dict[str, Any] = {
    "event_ns": 1,
    "received_at": datetime(2026, 1, 5, 15, 1, tzinfo=UTC),
    "security_id": "X",
    "symbol": "ABC",
    "session_date": date(2026, 1, 5),
    "ts": datetime(2026, 1, 5, 15, 0, tzinfo=UTC),
    "known_at": datetime(2026, 1, 5, 15, 1, tzinfo=UTC),
    "grain": "minute",
    "detector": "volume_spike",
    "detector_version": 2,
    "params_hash": "p",
    "direction": 1,
    "strength": 1.5,
    "price": 2.0,
    "number": 600,
    "is_known_symbol": True,
    "produced_at": datetime(2026, 1, 5, 15, 1, tzinfo=UTC),
    "sent_at": datetime(2026, 1, 5, 15, 1, 2, tzinfo=UTC),
}

MANY = 100_000
LANDED = """
import deltalake, sys
trades = deltalake.DeltaTable(sys.argv[1] + "/bronze/trades").to_pyarrow_table(columns=["kafka_partition", "kafka_offset"])
print(len(trades), len(trades.group_by(trades.column_names).aggregate([])))
"""
LAND_TWICE = f"""
landed() {{ {sys.executable} -c '{LANDED}' "$SMALLCAPS_LAKE"; }}
smallcaps live land --trigger 1; echo "full $?"
landed
more_room
smallcaps live land --trigger 1 > /dev/null & landing=$!
for _ in $(seq 120); do [ "$(landed)" = "{MANY} {MANY}" ] && break; sleep 1; done
landed
pkill -P $landing; wait $landing
"""


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"), spark)


def land(lake: Lake, settings: Settings, spoil: bool = False) -> Landing:
    """Land all that the topics hold; where it is to be spoilt, the process dies after the table was written."""
    with recorded_run(lake, "live land", {}, "x") as run, Outlet(settings.kafka) as outlet:
        work = Landing(run, settings, outlet, [TRADES])
        if spoil:
            work.run.append = lambda *given: (type(run).append(run, *given), 1 / 0)[0]  # type: ignore[method-assign]
        with landing(work, "0 seconds") as query:
            query.processAllAvailable()
    return work


def test_every_message_lands_once_whatever_is_lost(lake: Lake, broker: Broker, settings: Settings) -> None:
    settings = settings.model_copy(update={"kafka": broker.kafka})
    with Outlet(settings.kafka) as outlet:
        for number in range(50):
            row = TRADE | {"symbol": f"S{number % 7}", "sequence_number": number}
            outlet.send("trades", row["symbol"], encoded(row, TRADES))
        outlet.send("trades", "ABCw", said(price="cheap"))
        outlet.send("trades", None, b"\xff\x00")

    with pytest.raises(Exception, match="ZeroDivisionError"):
        land(lake, settings, spoil=True)
    rows = lake.read("bronze.trades")
    assert rows.count() == 50
    assert land(lake, settings).landed == 0

    with Outlet(settings.kafka) as outlet:
        outlet.send("trades", "S1", encoded(TRADE | {"symbol": "S1", "sequence_number": 50}, TRADES))
    assert land(lake, settings).landed == 1
    found = lake.read("bronze.trades").toArrow().to_pylist()
    assert sorted(row["sequence_number"] for row in found) == list(range(51))
    assert len({(row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]) for row in found}) == 51
    assert {row["price"] for row in found} == {TRADE["price"]}

    dead = lake.read("ops.dead_letters").toArrow().to_pylist()
    assert sorted((row["rule"], row["message"]) for row in dead) == [
        ("malformed", said(price="cheap")),
        ("malformed", b"\xff\x00"),
    ]
    consumer = Consumer(client_options(settings.kafka) | {"group.id": "test"})
    consumer.assign([TopicPartition("dead_letters", 0, 0)])
    letters = consumer.consume(2, timeout=20)
    consumer.close()
    assert {letter.value() for letter in letters} == {row["message"] for row in dead}
    assert {dict(letter.headers())["rule"] for letter in letters} == {b"malformed"}


@pytest.mark.long
@pytest.mark.guarantee
@needs_mounts
def test_on_a_full_disk_it_ends_and_with_room_goes_on_after_what_it_has(tmp_path: Path, broker: Broker) -> None:
    luck = random.Random(4)

    def trade_for_trade() -> None:
        with Outlet(broker.kafka) as outlet:
            for number in range(MANY):
                row = {"symbol": f"S{number % 9}", "sequence_number": number, "trade_id": luck.randbytes(32).hex()}
                outlet.send(TRADES.name, row["symbol"], encoded(TRADE | row, TRADES))
                if number % 2_000 == 0:
                    time.sleep(1)

    (tmp_path / "lake").mkdir()
    with ThreadPoolExecutor(1) as sender:
        sending = sender.submit(trade_for_trade)
        done = on_small_disk(4, LAND_TWICE, tmp_path / "lake", SMALLCAPS_KAFKA__SERVERS=broker.address)
        sending.result()
    said = done.stdout.splitlines()
    assert said[-3] == "full 4", done.stdout + done.stderr
    had, once = map(int, said[-2].split())
    assert 0 < had == once < MANY
    assert said[-1] == f"{MANY} {MANY}", done.stderr
    assert "disk is full" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_the_events_that_stand_are_those_of_the_last_alerts(lake: Lake, broker: Broker, settings: Settings) -> None:
    settings = settings.model_copy(update={"kafka": broker.kafka})

    def tell(*alerts: tuple[str, str, int, float]) -> list[tuple[str, int, float]]:
        with Outlet(settings.kafka) as outlet:
            for event_id, kind, revision, strength in alerts:
                row = ALERT | {"event_id": event_id, "kind": kind, "revision": revision, "strength": strength}
                event_ns = int(ALERT["received_at"].timestamp()) * 10**9
                outlet.send(ALERTS.name, "ABC", encoded(row | {"event_ns": event_ns}, ALERTS))
        with recorded_run(lake, "live land", {}, "x") as run:
            work = LiveEvents(run, settings)
            assert work.facts() == {"alerts_read": 0, "alert_seconds": None}
            with keeping(work, "0 seconds") as query:
                query.processAllAvailable()
        # ALERT was sent 2 s after its evidence came.
        assert work.facts()["alert_seconds"] == {"0.5": 2.0, "0.95": 2.0, "0.99": 2.0}
        rows = lake.read("gold.live_events").select("event_id", "revision", "strength").collect()
        return sorted((row.event_id, row.revision, row.strength) for row in rows)

    assert tell(("a", "new", 0, 1.5), ("b", "new", 0, 2.0), ("a", "new", 0, 1.5)) == [("a", 0, 1.5), ("b", 0, 2.0)]
    assert tell(("a", "corrected", 1, 1.25), ("b", "retracted", 1, 2.0)) == [("a", 1, 1.25)]
    # What comes again from the topic's beginning changes nothing.
    assert tell() == [("a", 1, 1.25)]
    assert tell(("b", "new", 2, 3.0)) == [("a", 1, 1.25), ("b", 2, 3.0)]
    assert lake.read("gold.event_revisions").count() == 5
