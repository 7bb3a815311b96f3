"""A real broker: topics are made once, what was acknowledged outlives a kill."""

import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from smallcaps.config import KafkaSettings, Settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.ports import free_port
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.kafka import (
    Outlet,
    client_options,
    make_topics,
    partitions_of,
    spark_options,
    unread,
    watermarks,
)
from tests.streaming.secured import authority


def received(kafka: KafkaSettings, topic: str, count: int) -> list[bytes]:
    """The first messages of partition 0."""
    consumer = Consumer(client_options(kafka) | {"group.id": "test", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 0, 0)])
    try:
        return [message.value() for message in consumer.consume(count, timeout=20)]
    finally:
        consumer.close()


def test_what_was_acknowledged_outlives_a_kill(settings: Settings, tmp_path: Path) -> None:
    broker = Broker(tmp_path, settings.cache).start()
    try:
        assert make_topics(broker.kafka, [("bars", 2, 1)]) == ["bars"]
        assert make_topics(broker.kafka, [("bars", 2, 1), ("luld", 1, 1)]) == ["luld"]
        assert partitions_of(broker.kafka, "bars") == [0, 1]
        with Outlet(broker.kafka) as outlet:
            for number in range(100):
                outlet.send("luld", "A", b"%d" % number)
        assert outlet.delivered == 100

        broker.kill()
        broker.start()

        # It answers before it leads its partitions again, and is asked until it does.
        assert watermarks(broker.kafka, ["luld"]) == {("luld", 0): (0, 100)}
        assert received(broker.kafka, "luld", 100) == [b"%d" % number for number in range(100)]
        with pytest.raises(BadInput, match="has no topic trades"):
            partitions_of(broker.kafka, "trades")
    finally:
        broker.stop()


def test_unread_is_what_came_since_an_instant_after_what_was_read(settings: Settings, tmp_path: Path) -> None:
    with Broker(tmp_path, settings.cache) as broker:
        make_topics(broker.kafka, [("bars", 1, 1), ("luld", 1, 1)])
        with Outlet(broker.kafka) as outlet:
            for number in range(3):
                outlet.send("bars", "A", f"{number}".encode())
        bars = ("bars", 0)
        assert unread(broker.kafka, ["bars", "luld"], None, {}) == {bars: 3}
        assert unread(broker.kafka, ["bars", "luld"], None, {bars: 1}) == {bars: 3}
        assert unread(broker.kafka, ["bars", "luld"], None, {bars: 2}) == {}
        # What is there is of an earlier day: nobody who begins today will read it.
        tomorrow = int((time.time() + 86_400) * 1_000)
        assert unread(broker.kafka, ["bars", "luld"], tomorrow, {}) == {}


def test_without_a_broker_it_is_said_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = settings.kafka.model_copy(update={"servers": f"127.0.0.1:{free_port()}"})
    monkeypatch.setattr("smallcaps.streaming.kafka.ANSWER_SECONDS", 0.5)
    with pytest.raises(FailedDependency, match="does not answer"):
        make_topics(nobody, [("bars", 1, 1)])


def test_a_password_and_certificates_are_asked_for(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _ = authority(tmp_path, "authority")
    place = str(file)
    secured = settings.kafka.model_copy(update={"protocol": "SASL_SSL", "mechanism": "PLAIN", "authority": place})
    monkeypatch.delenv("KAFKA_USERNAME", raising=False)
    with pytest.raises(BadInput, match="KAFKA_USERNAME and KAFKA_PASSWORD"):
        client_options(secured)
    monkeypatch.setenv("KAFKA_USERNAME", "desk")
    monkeypatch.setenv("KAFKA_PASSWORD", 'a "quoted" word')

    assert client_options(secured)["ssl.ca.location"] == place
    options = spark_options(secured)
    assert 'password="a \\"quoted\\" word"' in options["kafka.sasl.jaas.config"]
    assert options["kafka.ssl.truststore.location"] == place
    for name, words in (("nothing.pem", "cannot be read"), ("empty.pem", "holds no certificate")):
        (tmp_path / "empty.pem").touch()
        with pytest.raises(BadInput, match=f"{name} {words}"):
            client_options(secured.model_copy(update={"authority": str(tmp_path / name)}))
