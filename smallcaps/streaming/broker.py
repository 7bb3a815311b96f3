"""A Kafka broker on this machine: one node without ZooKeeper, out of pinned jars. For development, the demo and the tests."""

import os
import signal
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyspark

from smallcaps.config import KafkaSettings, configuration_folder
from smallcaps.errors import BadInput, FailedDependency, SmallcapsError
from smallcaps.ports import HOST, free_port
from smallcaps.spark.jars import BROKER, fetch_jars
from smallcaps.spark.java import require_java
from smallcaps.streaming.kafka import answers

START_SECONDS = 60.0
STOP_SECONDS = 20.0
MEMORY = ("-Xms128m", "-Xmx384m", "-XX:+UseSerialGC")
_PLAIN = {"listeners": "PLAINTEXT", "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}


class Broker:
    """A broker whose log lies under `folder`, where a later one goes on with it; `port` 0: any that is free.

    `properties` are further ones of Kafka's server; those of a listener that asks for certificates or passwords are given with
    `kafka`, by which clients reach it.
    """

    def __init__(
        self,
        folder: Path,
        cache: Path,
        port: int = 0,
        kafka: KafkaSettings | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._cache = folder, cache
        self.port = port or free_port()
        self._controller = free_port()
        self.address = f"{HOST}:{self.port}"
        plain = KafkaSettings(
            servers=self.address, prefix="", protocol="PLAINTEXT", mechanism=None, authority=None, replication=1
        )
        self.kafka = (kafka or plain).model_copy(update={"servers": self.address})
        self._properties = dict(properties or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process's number. Raises BadInput where it was not started."""
        if self._process is None:
            raise BadInput("The broker has not been started.")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> "Broker":
        """Start it and wait until it answers. Raises FailedDependency where it does not, or refuses `kafka`'s clients."""
        require_java()
        # Its log goes through what Spark's goes through, which has to be found first.
        spark = Path(pyspark.__file__).parent / "jars"
        logging = [*spark.glob("slf4j-api-*.jar"), *spark.glob("log4j-[acs]*.jar")]
        jars = os.pathsep.join(map(str, [*logging, *fetch_jars(self._cache, lock=BROKER)]))
        self.folder.mkdir(parents=True, exist_ok=True)
        server = self.folder / "server.properties"
        log = self.folder / "log"
        if not (log / "meta.properties").is_file():
            self._write(server, log)
            self._java(
                jars, "kafka.tools.StorageTool", ["format", f"--cluster-id={_identifier()}", f"--config={server}"]
            )
        self._write(server, log)
        with (self.folder / "broker.out").open("ab") as out:
            self._process = subprocess.Popen(
                _command(jars, self.folder, "kafka.Kafka", [str(server)]),
                stdout=out,
                stderr=out,
                # A Ctrl-C at the terminal is for the command that runs the broker, which then stops it.
                start_new_session=True,
            )
        try:
            self._wait(self._process)
        except SmallcapsError:
            self.kill()
            raise
        return self

    def stop(self) -> None:
        """Have it end in order."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End it at once, as a machine that loses power would."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def __enter__(self) -> "Broker":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait(self, process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + START_SECONDS
        while not answers(self.kafka, seconds=1):
            if process.poll() is not None or time.monotonic() > deadline:
                raise FailedDependency(
                    f"The Kafka broker did not start on {self.address}. Is the port taken? See {self.folder}/broker.log."
                )

    def _write(self, server: Path, log: Path) -> None:
        """The server's properties."""
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self._controller}",
            "controller.listener.names": "CONTROLLER",
            **_PLAIN,
            "log.dirs": str(log),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            **self._properties,
        }
        listener = properties.pop("listeners")
        properties["listeners"] = f"{listener}://{self.address},CONTROLLER://{HOST}:{self._controller}"
        properties["advertised.listeners"] = f"{listener}://{self.address}"
        # Passwords of a secured listener stand in it.
        server.touch(mode=0o600)
        server.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8")

    def _java(self, jars: str, main: str, arguments: Sequence[str]) -> None:
        command = _command(jars, self.folder, main, arguments)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise FailedDependency(
                f"Kafka's {main} failed in {self.folder}: {done.stderr.strip() or done.stdout.strip()}"
            )


def _command(jars: str, folder: Path, main: str, arguments: Sequence[str]) -> list[str]:
    logging = configuration_folder() / "log4j2.properties"
    told = [f"-Dsmallcaps.log={folder}/broker.log", f"-Dlog4j2.configurationFile=file:{logging}"]
    return ["java", *MEMORY, *told, "-cp", jars, main, *arguments]


def _identifier() -> str:
    """A cluster's id as Kafka writes it."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
