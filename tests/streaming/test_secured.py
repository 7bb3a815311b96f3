"""A real broker that asks for TLS and a password: clients and Spark get in by configuration, no password is shown."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from pyspark.sql import DataFrame, SparkSession

from smallcaps.config import KafkaSettings, Settings
from smallcaps.errors import FailedDependency
from smallcaps.lake import Lake, recorded_run
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.kafka import Outlet, answers, client_options, make_topics, partitions_of, topic_ids, watermarks
from smallcaps.streaming.process import attend, running_as
from smallcaps.streaming.query import messages_of, streaming
from tests.streaming.secured import PASSWORD, USER, authority, secured_broker

pytestmark = pytest.mark.slow
WRONG = "what-nobody-may-read"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has the user and the password."""
    monkeypatch.setenv("KAFKA_USERNAME", USER)
    monkeypatch.setenv("KAFKA_PASSWORD", PASSWORD)


@pytest.fixture(scope="module")
def broker(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A secured broker with a topic."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KAFKA_USERNAME", USER)
        patch.setenv("KAFKA_PASSWORD", PASSWORD)
        running = secured_broker(tmp_path_factory.mktemp("secured"), settings).start()
        make_topics(running.kafka, [("bars", 2, 1)])
    try:
        yield running
    finally:
        running.stop()


def read_by_spark(spark: SparkSession, kafka: KafkaSettings) -> list[bytes]:
    """What a query over the topic is given."""
    found: list[bytes] = []

    def step(batch: DataFrame, number: int) -> None:
        found.extend(bytes(row.value) for row in batch.select("value").collect())

    options: dict[str, str | int] = {"startingOffsets": "earliest"}
    with streaming(messages_of(spark, kafka, ["bars"], options), "secured", "0 seconds", step) as query:
        query.processAllAvailable()
    return found


def test_clients_and_spark_get_in_by_configuration_with_plain_and_with_scram(
    broker: Broker, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert make_topics(broker.kafka, [("bars", 2, 1)]) == []
    with Outlet(broker.kafka) as outlet:
        outlet.send("bars", "A", b"one")
    assert sum(high for _, high in watermarks(broker.kafka, ["bars"]).values()) == 1
    assert topic_ids(broker.kafka, ["bars"])["bars"].startswith("desk.bars:")
    assert read_by_spark(spark, broker.kafka) == [b"one"]

    word = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    admin = AdminClient(client_options(broker.kafka))
    made = admin.alter_user_scram_credentials([UserScramCredentialUpsertion("second", word, PASSWORD.encode())])
    assert [outcome.result(20) for outcome in made.values()] == [None]
    monkeypatch.setenv("KAFKA_USERNAME", "second")
    scram = broker.kafka.model_copy(update={"mechanism": "SCRAM-SHA-512"})
    assert partitions_of(scram, "bars") == [0, 1]
    assert read_by_spark(spark, scram) == [b"one"]


def test_a_wrong_password_is_refused_with_what_to_do(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", WRONG)
    with pytest.raises(FailedDependency, match="Are KAFKA_USERNAME and KAFKA_PASSWORD right") as refused:
        make_topics(broker.kafka, [("bars", 2, 1)])
    assert WRONG not in str(refused.value)
    with pytest.raises(FailedDependency, match="Are KAFKA_USERNAME"):
        answers(broker.kafka)
    outlet = Outlet(broker.kafka)
    outlet.send("bars", "A", b"two")
    with pytest.raises(FailedDependency, match="Are KAFKA_USERNAME"):
        outlet.flush()
    other = broker.kafka.model_copy(update={"mechanism": "SCRAM-SHA-256"})
    with pytest.raises(FailedDependency, match=r"supported mechanisms: PLAIN,SCRAM-SHA-512.*kafka\.mechanism"):
        partitions_of(other, "bars")


def test_an_unknown_authority_is_refused_with_what_to_do(broker: Broker, tmp_path: Path) -> None:
    stranger, _ = authority(tmp_path, "stranger")
    for named in (str(stranger), None):
        with pytest.raises(FailedDependency, match=r"Does kafka\.authority name who signed it"):
            partitions_of(broker.kafka.model_copy(update={"authority": named}), "bars")


def test_a_password_is_in_no_error_no_log_and_no_run_record(
    broker: Broker, settings: Settings, spark: SparkSession, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", WRONG)
    options: dict[str, str | int] = {"startingOffsets": "earliest"}
    stream = messages_of(spark, broker.kafka, ["bars"], options)
    with (
        pytest.raises(FailedDependency, match="The query secured ended") as refused,
        running_as(tmp_path / "parts", "land") as part,
        recorded_run(lake, "live land", {}, settings.digest()) as run,
        streaming(stream, "secured", "0 seconds", lambda batch, number: None) as query,
    ):
        attend(part, run, [query], 60, dict)
    recorded = "".join(str(row) for row in lake.read("ops.runs").collect())
    assert "Authentication failed" in recorded

    kafka = broker.kafka
    own = {
        **{f"SMALLCAPS_KAFKA__{name.upper()}": str(value) for name, value in kafka.model_dump().items()},
        "SMALLCAPS_CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "smallcaps.cli.app", "live", "topics"]
    for word, code in ((WRONG, 4), (PASSWORD, 0)):
        known = {**os.environ, **own, "KAFKA_PASSWORD": word}
        done = subprocess.run(command, env=known, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert word not in done.stdout + done.stderr

    logs = [file.read_text() for file in (broker.folder / "broker.log", broker.folder / "broker.out")]
    logs += [file.read_text() for file in tmp_path.rglob("*") if file.suffix in {".log", ".json"}]
    logs += [file.read_text() for file in (settings.cache / "logs").glob("spark.log")]
    for word in (WRONG, PASSWORD):
        for said in (str(refused.value), recorded, *logs):
            assert word not in said
            assert word.replace('"', '\\"') not in said
