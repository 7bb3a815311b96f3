"""A standalone Spark cluster on this machine: a master and workers on the loopback. For development, the demo and the tests.

Who has its folder can use it: `conf/` there is the configuration of drivers, too, with the secret that they, the master, the
workers and executors know each other by.
"""

import json
import secrets
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

from smallcaps.errors import FailedDependency
from smallcaps.ports import HOST, free_port, require_free
from smallcaps.spark.daemons import configure, start, stop
from smallcaps.spark.java import require_java

START_SECONDS = 120.0


@dataclass
class Cluster:
    """A master and its workers, whose files lie under `folder`; `cores` and `memory` are a worker's and its executor's.

    Executors have the environment of the process that starts it: the lake's and the vendor's keys come from there.
    """

    folder: Path
    cache: Path
    cores: int = 1
    memory: str = "1g"
    port: int = 0
    page_port: int = 0
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _master: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    _token: str = ""

    @property
    def url(self) -> str:
        """What a driver takes for master."""
        return f"spark://{HOST}:{self.port}"

    @property
    def page(self) -> str:
        """The master's page, with its token."""
        return f"http://{HOST}:{self.page_port}/?token={self._token}"

    @property
    def told(self) -> dict[str, str]:
        """The environment that makes a job's driver one of the cluster's."""
        return {
            "SPARK_CONF_DIR": str(self.folder / "conf"),
            "SMALLCAPS_SPARK__MASTER": self.url,
        }

    def start(self, workers: int = 2) -> "Cluster":
        """Start it and wait until the workers have come. Raises FailedDependency where they do not, or a port is taken."""
        require_java()
        self.port, self.page_port = self.port or free_port(), self.page_port or free_port()
        require_free(self.port, self.page_port)
        events = self.folder / "events"
        events.mkdir(parents=True, exist_ok=True)
        self._token = configure(
            self.folder,
            self.cache,
            {
                "spark.master": self.url,
                "spark.authenticate": "true",
                "spark.authenticate.secret": secrets.token_urlsafe(32),
                # The other way of handing in an application, which knows no secret.
                "spark.master.rest.enabled": "false",
                "spark.driver.host": HOST,
                "spark.driver.bindAddress": HOST,
                "spark.executor.memory": self.memory,
                "spark.eventLog.enabled": "true",
                "spark.eventLog.dir": events.resolve().as_uri(),
            },
        )
        addresses = ("--host", HOST, "--port", str(self.port), "--webui-port", str(self.page_port))
        self._master = [start(self.folder, "master.Master", *addresses)]
        try:
            self.add_workers(workers)
        except BaseException:
            self.stop()
            raise
        return self

    def add_workers(self, workers: int) -> None:
        """Start further workers and wait for them. Raises FailedDependency where they do not come."""
        wanted = len(self.alive()) + workers
        for _ in range(workers):
            has = ("--cores", str(self.cores), "--memory", self.memory, "--work-dir", str(self.folder / "work"))
            addresses = ("--host", HOST, "--webui-port", str(free_port()), self.url)
            self.workers.append(start(self.folder, "worker.Worker", *has, *addresses))
        deadline = time.monotonic() + START_SECONDS
        while len(self.alive()) < wanted:
            if time.monotonic() > deadline or self._master[0].poll() is not None:
                raise FailedDependency(f"The cluster did not start on {self.url}. See {self.folder}/logs.")
            time.sleep(0.2)

    def alive(self) -> list[dict[str, Any]]:
        """What the master says of each worker that it can use; of none before it answers."""
        bearer = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(f"http://{HOST}:{self.page_port}/json/", headers=bearer)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the master's own page
                said = json.loads(answer.read())
        except (OSError, HTTPException, ValueError):
            return []
        return [worker for worker in said["workers"] if worker["state"] == "ALIVE"]

    def stop(self) -> None:
        """Have all end in order."""
        stop([*self.workers, *self._master])
        self.workers, self._master = [], []

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
