"""Kafka as clients see it: how they connect, which topics there are, and a producer that loses and doubles nothing."""

import os
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from smallcaps.config import KafkaSettings
from smallcaps.errors import BadInput, FailedDependency

VARIABLES = ("KAFKA_USERNAME", "KAFKA_PASSWORD")
HOUR_MS = 3_600_000
ANSWER_SECONDS = 20.0
DELIVERY_SECONDS = 120.0
_CERTIFICATE = "-----BEGIN CERTIFICATE-----"


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """How librdkafka connects. Raises BadInput where the broker wants a password and there is none, or kafka.authority is no file
    of certificates.
    """
    options: dict[str, Any] = {
        "bootstrap.servers": kafka.servers,
        "security.protocol": kafka.protocol,
        # What it has to say is in the errors that are raised.
        "log_level": 0,
    }
    if kafka.authority is not None:
        options["ssl.ca.location"] = _certificates(kafka.authority)
    if kafka.mechanism is not None:
        user, password = _credentials()
        options |= {"sasl.mechanism": kafka.mechanism, "sasl.username": user, "sasl.password": password}
    return options


def spark_options(kafka: KafkaSettings) -> dict[str, str]:
    """How Spark's source connects; raises as `client_options`."""
    options = {"kafka.bootstrap.servers": kafka.servers, "kafka.security.protocol": kafka.protocol}
    if kafka.authority is not None:
        place = _certificates(kafka.authority)
        options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": place}
    if kafka.mechanism is not None:
        user, password = (value.replace("\\", "\\\\").replace('"', '\\"') for value in _credentials())
        module = "plain.PlainLoginModule" if kafka.mechanism == "PLAIN" else "scram.ScramLoginModule"
        options |= {
            "kafka.sasl.mechanism": kafka.mechanism,
            "kafka.sasl.jaas.config": f"org.apache.kafka.common.security.{module} required "
            f'username="{user}" password="{password}";',
        }
    return options


def _credentials() -> tuple[str, str]:
    user, password = (os.environ.get(name, "").strip() for name in VARIABLES)
    if not user or not password:
        raise BadInput(f"The Kafka broker asks for a user and a password: set {' and '.join(VARIABLES)}.")
    return user, password


def _certificates(file: str) -> str:
    try:
        if _CERTIFICATE in Path(file).read_text(encoding="ascii", errors="replace"):
            return file
    except OSError as error:
        raise BadInput(f"kafka.authority {file} cannot be read ({error.strerror}): it names a PEM file.") from error
    raise BadInput(f"kafka.authority {file} holds no certificate in PEM: it is of who signed the broker's.")


class NoAnswer(FailedDependency):
    """No broker is there: nothing says that it refuses us."""


class Refusal:
    """Hears what librdkafka tells beside its answers; `why` is the last reason that no trying again mends, in words."""

    def __init__(self) -> None:
        self.why: str | None = None

    def __call__(self, error: KafkaError) -> None:
        said = error.str()
        if error.code() == KafkaError._AUTHENTICATION:
            self.why = f"lets us not in: {said}. Are {' and '.join(VARIABLES)} right, and kafka.mechanism?"
        elif error.code() == KafkaError._SSL and "verif" in said:
            self.why = (
                f"shows a certificate that is not to be trusted: {said}. Does kafka.authority name who signed it?"
            )


def answers(kafka: KafkaSettings, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether a broker is there. Raises FailedDependency where one refuses us."""
    try:
        _connected(kafka, seconds)
    except NoAnswer:
        return False
    return True


def make_topics(kafka: KafkaSettings, topics: Collection[tuple[str, int, int]]) -> list[str]:
    """Make those of the topics (name, partitions, hours that messages are kept) that are not there; returns their names.

    One that is there keeps its partitions: a key's messages must stay in one. Raises FailedDependency where the broker does not
    answer or refuses.
    """
    admin, cluster = _connected(kafka)
    there = set(cluster.topics)
    new = [
        NewTopic(
            f"{kafka.prefix}{name}",
            num_partitions=partitions,
            replication_factor=kafka.replication,
            config={"retention.ms": str(hours * HOUR_MS)},
        )
        for name, partitions, hours in topics
        if f"{kafka.prefix}{name}" not in there
    ]
    made: dict[str, Future[None]] = admin.create_topics(new, request_timeout=ANSWER_SECONDS) if new else {}
    for name, outcome in made.items():
        try:
            outcome.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise FailedDependency(f"Kafka at {kafka.servers} made no topic {name}: {_words(error)}.") from error
    return list(made)


def partitions_of(kafka: KafkaSettings, topic: str) -> list[int]:
    """The partitions of a topic. Raises BadInput where there is none of the name."""
    found = _connected(kafka)[1].topics.get(f"{kafka.prefix}{topic}")
    if found is None:
        raise BadInput(
            f"Kafka at {kafka.servers} has no topic {kafka.prefix}{topic}. `smallcaps live topics` makes them."
        )
    return sorted(found.partitions)


Place = tuple[str, int]
"""A topic, as we name it, and a partition of it."""


def topic_ids(kafka: KafkaSettings, topics: Collection[str]) -> dict[str, str]:
    """Of each topic its name and the id that the broker gave it when it was made: one that is made anew has another.

    Raises BadInput where there is none of the name, FailedDependency where the broker does not answer.
    """
    names = {f"{kafka.prefix}{topic}": topic for topic in topics}
    admin = AdminClient(client_options(kafka))
    described = admin.describe_topics(TopicCollection([*names]))
    found = {}
    for name, outcome in described.items():
        try:
            found[names[name]] = f"{name}:{outcome.result(ANSWER_SECONDS).topic_id}"
        except KafkaException as error:
            is_missing = error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART
            kind = BadInput if is_missing else FailedDependency
            raise kind(f"Kafka at {kafka.servers} tells nothing of topic {name}: {_words(error)}.") from error
    return found


def watermarks(
    kafka: KafkaSettings, topics: Collection[str], since_ms: int | None = None
) -> dict[Place, tuple[int, int]]:
    """Of each partition the offset of its first message that is kept (that came since an instant, in ms of 1970), and that of the
    one to come; the same twice where there is none.
    """
    places = [(topic, partition) for topic in topics for partition in partitions_of(kafka, topic)]
    first = OffsetSpec.earliest() if since_ms is None else OffsetSpec.for_timestamp(since_ms)  # type: ignore[no-untyped-call]
    ends = [_offsets(kafka, places, spec) for spec in (first, OffsetSpec.latest())]  # type: ignore[no-untyped-call]
    found = {}
    for topic, partition in places:
        low, high = (end[topic, partition] for end in ends)
        found[topic, partition] = (high if low < 0 else low, high)
    return found


def messages_from(kafka: KafkaSettings, begins: Mapping[Place, int]) -> Iterator[tuple[str, Message]]:
    """Topics and messages of partitions from these offsets to where each ends by now, those of a partition in their order.

    Raises FailedDependency where the broker gives none for ANSWER_SECONDS.
    """
    if not begins:
        return
    options = {"group.id": f"{kafka.prefix}smallcaps", "enable.auto.commit": False, "enable.partition.eof": True}
    consumer = Consumer(client_options(kafka) | options | {"auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(f"{kafka.prefix}{name}", part, offset) for (name, part), offset in begins.items()])
    unfinished, heard = set(begins), time.monotonic()
    try:
        while unfinished:
            for message in consumer.consume(10_000, timeout=0.5):
                heard, error = time.monotonic(), message.error()
                topic = str(message.topic()).removeprefix(kafka.prefix)
                if error is None:
                    yield topic, message
                elif error.code() == KafkaError._PARTITION_EOF:
                    unfinished -= {(topic, message.partition())}
            if time.monotonic() - heard > ANSWER_SECONDS:
                told = ", ".join(sorted(f"{name}:{part}" for name, part in unfinished))
                raise FailedDependency(f"Kafka at {kafka.servers} gives no messages of {told}.")
    finally:
        consumer.close()


def _offsets(kafka: KafkaSettings, places: Collection[Place], spec: OffsetSpec) -> dict[Place, int]:
    """The offset of each partition that a broker which has just started, and does not lead it yet, is asked for again."""
    admin, deadline = AdminClient(client_options(kafka)), time.monotonic() + ANSWER_SECONDS
    asked = {TopicPartition(f"{kafka.prefix}{topic}", partition): spec for topic, partition in places}
    while True:
        told = admin.list_offsets(asked, request_timeout=ANSWER_SECONDS)
        try:
            found = {(one.topic, one.partition): outcome.result().offset for one, outcome in told.items()}
            return {(topic, partition): found[f"{kafka.prefix}{topic}", partition] for topic, partition in places}
        except KafkaException as error:
            if time.monotonic() >= deadline:
                raise FailedDependency(
                    f"Kafka at {kafka.servers} does not say where its topics end: {_words(error)}."
                ) from error
            time.sleep(0.2)


def _connected(kafka: KafkaSettings, seconds: float | None = None) -> tuple[AdminClient, Any]:
    """A client that the broker has answered, and what it said of the cluster, within `seconds` (ANSWER_SECONDS).

    Raises FailedDependency where the broker refuses us, at once, or does not answer (NoAnswer).
    """
    refusal = Refusal()
    admin = AdminClient(client_options(kafka) | {"error_cb": refusal})
    deadline, patience = time.monotonic() + (ANSWER_SECONDS if seconds is None else seconds), 0.5
    while True:
        # Asked anew, since a refusal is heard of between: longer each time, for a broker that is slow.
        patience *= 2
        try:
            return admin, admin.list_topics(timeout=max(0.1, min(patience, deadline - time.monotonic())))
        except KafkaException as error:
            admin.poll(0)
            if refusal.why is not None:
                raise FailedDependency(f"Kafka at {kafka.servers} {refusal.why}") from error
            if time.monotonic() >= deadline:
                raise NoAnswer(
                    f"Kafka at {kafka.servers} does not answer: {_words(error)}. Is it up, and is its listener {kafka.protocol}?"
                ) from error


def unread(
    kafka: KafkaSettings, topics: Collection[str], since_ms: int | None, read: Mapping[Place, int]
) -> dict[Place, int]:
    """Where those partitions end, by now, that hold messages (that came since an instant) after the offsets that were `read`."""
    found = watermarks(kafka, topics, since_ms)
    return {place: high for place, (low, high) in found.items() if high > max(low, read.get(place, -1) + 1)}


class Outlet:
    """Sends messages: each once and in order, even where the broker is away for a while.

    with Outlet(kafka) as outlet:
        outlet.send("trades", "ABC", b"...")

    A message that could not be delivered in DELIVERY_SECONDS is told by the next call as FailedDependency: at the latest by
    `flush`, after which all have arrived. So is a broker that refuses us from the start, at once.
    """

    def __init__(self, kafka: KafkaSettings, linger_ms: int = 5) -> None:
        self._kafka = kafka
        self.delivered = 0
        self._failed: list[str] = []
        self._refusal = Refusal()
        self._producer = Producer(
            client_options(kafka)
            | {
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                "queue.buffering.max.messages": 1_000_000,
                "error_cb": self._refusal,
            }
        )

    def send(
        self,
        topic: str,
        key: str | bytes | None,
        value: bytes,
        headers: dict[str, str | bytes | None] | None = None,
    ) -> None:
        """Queue a message. Blocks while the queue is full."""
        name = f"{self._kafka.prefix}{topic}"
        while True:
            try:
                self._producer.produce(name, value, key, headers=headers, on_delivery=self._told)
                break
            except BufferError:
                self._producer.poll(0.1)
        self.look()

    def look(self) -> None:
        """Hear what has become of messages: for when there is nothing to send."""
        self._producer.poll(0)
        self._complain()

    def flush(self) -> None:
        """Wait until all have arrived."""
        while self._producer.flush(1):
            self._complain()
        self._complain()

    def __enter__(self) -> "Outlet":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.flush(1)

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self._failed.append(f"{message.topic()}: {error.str()}")

    def _complain(self) -> None:
        # One that has taken messages may be starting again, and is given time.
        if self._refusal.why is not None and not self.delivered:
            raise FailedDependency(f"Kafka at {self._kafka.servers} {self._refusal.why}")
        if self._failed:
            said, count = self._failed[0], len(self._failed)
            self._failed.clear()
            raise FailedDependency(
                f"Kafka at {self._kafka.servers} did not take {count} messages; the first, of {said}."
            )


def _words(error: KafkaException) -> str:
    return str(error.args[0].str()) if error.args and isinstance(error.args[0], KafkaError) else str(error)
