"""Kafka as clients see it: how they connect, which topics there are, and a producer that loses and doubles nothing."""

import os
from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from smallcaps.config import KafkaSettings
from smallcaps.errors import BadInput, FailedDependency

VARIABLES = ("KAFKA_USERNAME", "KAFKA_PASSWORD")
HOUR_MS = 3_600_000
ANSWER_SECONDS = 20.0
DELIVERY_SECONDS = 120.0


def client_options(kafka: KafkaSettings) -> dict[str, Any]:
    """How librdkafka connects. Raises BadInput where the broker wants a password and there is none."""
    options: dict[str, Any] = {
        "bootstrap.servers": kafka.servers,
        "security.protocol": kafka.protocol,
        # What it has to say is in the errors that are raised.
        "log_level": 0,
    }
    if kafka.authority is not None:
        options["ssl.ca.location"] = kafka.authority
    if kafka.mechanism is not None:
        user, password = _credentials()
        options |= {"sasl.mechanism": kafka.mechanism, "sasl.username": user, "sasl.password": password}
    return options


def spark_options(kafka: KafkaSettings) -> dict[str, str]:
    """How Spark's source connects; raises as `client_options`."""
    options = {"kafka.bootstrap.servers": kafka.servers, "kafka.security.protocol": kafka.protocol}
    if kafka.authority is not None:
        options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": kafka.authority}
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


def answers(kafka: KafkaSettings, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether a broker is there."""
    try:
        AdminClient(client_options(kafka)).list_topics(timeout=seconds)
    except KafkaException:
        return False
    return True


def make_topics(kafka: KafkaSettings, topics: Collection[tuple[str, int, int]]) -> list[str]:
    """Make those of the topics (name, partitions, hours that messages are kept) that are not there; returns their names.

    One that is there keeps its partitions: a key's messages must stay in one. Raises FailedDependency where the broker does not
    answer or refuses.
    """
    admin = AdminClient(client_options(kafka))
    there = set(_listed(admin, kafka).topics)
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
    found = _listed(AdminClient(client_options(kafka)), kafka).topics.get(f"{kafka.prefix}{topic}")
    if found is None:
        raise BadInput(
            f"Kafka at {kafka.servers} has no topic {kafka.prefix}{topic}. `smallcaps live topics` makes them."
        )
    return sorted(found.partitions)


Place = tuple[str, int]
"""A topic, as we name it, and a partition of it."""


def topic_ids(kafka: KafkaSettings, topics: Collection[str]) -> dict[str, str]:
    """Of each topic its name and the id that the broker gave it when it was made: one that is made anew has another.

    Raises BadInput where there is none of the name.
    """
    names = {f"{kafka.prefix}{topic}": topic for topic in topics}
    admin = AdminClient(client_options(kafka))
    described = admin.describe_topics(TopicCollection([*names]))
    found = {}
    for name, outcome in described.items():
        try:
            found[names[name]] = f"{name}:{outcome.result(ANSWER_SECONDS).topic_id}"
        except KafkaException as error:
            raise BadInput(f"Kafka at {kafka.servers} tells nothing of topic {name}: {_words(error)}.") from error
    return found


def watermarks(
    kafka: KafkaSettings, topics: Collection[str], since_ms: int | None = None
) -> dict[Place, tuple[int, int]]:
    """Of each partition the offset of its first message that is kept (that came since an instant, in ms of 1970), and that of the
    one to come; the same twice where there is none.
    """
    admin = AdminClient(client_options(kafka))
    places = [(topic, partition) for topic in topics for partition in partitions_of(kafka, topic)]
    first = OffsetSpec.earliest() if since_ms is None else OffsetSpec.for_timestamp(since_ms)  # type: ignore[no-untyped-call]
    ends: list[dict[Place, int]] = []
    for spec in (first, OffsetSpec.latest()):  # type: ignore[no-untyped-call]
        asked = {TopicPartition(f"{kafka.prefix}{topic}", partition): spec for topic, partition in places}
        told = admin.list_offsets(asked, request_timeout=ANSWER_SECONDS)
        ends.append({(one.topic, one.partition): outcome.result().offset for one, outcome in told.items()})
    found = {}
    for topic, partition in places:
        low, high = (end[f"{kafka.prefix}{topic}", partition] for end in ends)
        found[topic, partition] = (high if low < 0 else low, high)
    return found


def _listed(admin: AdminClient, kafka: KafkaSettings) -> Any:
    try:
        return admin.list_topics(timeout=ANSWER_SECONDS)
    except KafkaException as error:
        raise FailedDependency(f"Kafka at {kafka.servers} does not answer: {_words(error)}. Is it up?") from error


class Outlet:
    """Sends messages: each once and in order, even where the broker is away for a while.

    with Outlet(kafka) as outlet:
        outlet.send("trades", "ABC", b"...")

    A message that could not be delivered in DELIVERY_SECONDS is told by the next call as FailedDependency: at the latest by
    `flush`, after which all have arrived.
    """

    def __init__(self, kafka: KafkaSettings, linger_ms: int = 5) -> None:
        self._kafka = kafka
        self.delivered = 0
        self._failed: list[str] = []
        self._producer = Producer(
            client_options(kafka)
            | {
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "delivery.timeout.ms": int(DELIVERY_SECONDS * 1000),
                "queue.buffering.max.messages": 1_000_000,
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
        if self._failed:
            said, count = self._failed[0], len(self._failed)
            self._failed.clear()
            raise FailedDependency(
                f"Kafka at {self._kafka.servers} did not take {count} messages; the first, of {said}."
            )


def _words(error: KafkaException) -> str:
    return str(error.args[0].str()) if error.args and isinstance(error.args[0], KafkaError) else str(error)
