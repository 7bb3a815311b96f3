"""`smallcaps live …` as a person runs it: a broker, its topics, the feed into them, each ended by a signal."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import time
from pathlib import Path

import pytest

from smallcaps.cli.app import main
from smallcaps.cli.live import parts_folder, show_parity
from smallcaps.config import load_settings
from smallcaps.errors import BadData
from smallcaps.lake import TOPICS
from smallcaps.sources.simulator.server import running
from smallcaps.streaming.health import Compared, read_compared
from smallcaps.streaming.parity import Comparison, Parity
from tests.conftest import REPOSITORY
from tests.sources.simulator.server.market import KEY, MONDAY, write_market

pytestmark = pytest.mark.slow


@contextmanager
def command(*words: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The command, which ends with the block, whatever becomes of that."""
    with subprocess.Popen(
        [sys.executable, "-m", "smallcaps.cli.app", "live", *words],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def test_a_broker_is_started_topics_are_made_and_the_feed_is_taken_in_until_a_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_market(tmp_path / "market")
    with command("broker", "--folder", str(tmp_path / "broker"), "--port", "0") as broker:
        assert broker.stdout is not None
        address = broker.stdout.readline().split()[-1]
        monkeypatch.setenv("SMALLCAPS_KAFKA__SERVERS", address)
        monkeypatch.setenv("SMALLCAPS_KAFKA__PREFIX", "desk.")
        for state in ("made", "was there"):
            assert main(["live", "topics"]) == 0
            said = capsys.readouterr().out
            assert said.count(state) == len(TOPICS) + 1
            assert {"desk.trades", "desk.dead_letters"} <= set(said.split())

        with running(tmp_path / "market", KEY, day=MONDAY, speed=20.0, start=time(9, 30)) as place:
            vendor = {"SMALLCAPS_VENDOR__FEED": place.socket, "SMALLCAPS_VENDOR__ORIGIN": place.origin}
            options = ("--symbols", "ABCD", "--news-seconds", "0")
            own = {**vendor, "POLYGON_API_KEY": KEY, "SMALLCAPS_CACHE": str(tmp_path)}
            with command("ingest", *options, "--seconds", "60", **own) as ingest:
                assert ingest.stderr is not None
                assert "counts are in" in ingest.stderr.readline()
                while _size(address) < 3 and ingest.poll() is None:
                    pass
                ingest.send_signal(signal.SIGTERM)
                output, errors = ingest.communicate(timeout=60)
        assert (ingest.returncode, errors) == (0, "")
        assert json.loads(output)["messages"]["trades"] >= 3
        told = [json.loads(line) for line in (tmp_path / "logs" / "smallcaps.log").read_text().splitlines()]
        assert told[-1]["messages"] == json.loads(output)["messages"]
        assert KEY not in output + str(told)

        broker.send_signal(signal.SIGTERM)
        assert broker.wait(60) == 0
    assert not _answers(address)


def test_a_parity_that_differs_is_bad_data_and_an_alarm_until_one_agrees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLCAPS_CACHE", str(tmp_path))
    settings = load_settings()
    # Of a replay: it was long ago that the exchange stamped.
    late = [9e7, 9e7, 9e7, 9e7], [0.5, 1.0, 2.0, 3.0]
    wrong = Parity(MONDAY, [Comparison("gap", 7, 1, 0, 2)], None, *late)
    with pytest.raises(BadData, match=f"3 events of {MONDAY} were told otherwise"):
        show_parity(wrong, ["minute"], settings)
    compared = read_compared(parts_folder(settings))
    assert compared == Compared(str(MONDAY), ["minute"], 3, None, late[1])
    assert main(["live", "status"]) == 4
    said = capsys.readouterr()
    assert f"see `smallcaps parity {MONDAY}`" in " ".join(said.err.split())
    assert "after its way into Kafka: p50 0.50 s" in said.out

    show_parity(Parity(MONDAY, [Comparison("gap", 10, 0, 0, 0)], None, None, None), ["minute"], settings)
    assert main(["live", "status"]) == 0


def _size(address: str) -> int:
    """Messages in the topic of trades."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": address, "group.id": "test"})
    try:
        parts = consumer.list_topics("desk.trades", timeout=10).topics["desk.trades"].partitions
        places = [TopicPartition("desk.trades", part) for part in parts]
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    finally:
        consumer.close()


def _answers(address: str) -> bool:
    from smallcaps.config import load_settings
    from smallcaps.streaming.kafka import answers

    return answers(load_settings().kafka.model_copy(update={"servers": address}), seconds=1)


def test_wrong_wishes_are_bad_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("POLYGON_API_KEY", "MASSIVE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["live", "ingest", "--symbols", ","]) == 2
    assert main(["live", "ingest"]) == 2
    assert "There is no API key" in capsys.readouterr().err
