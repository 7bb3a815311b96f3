"""Spark's history server: what jobs did that have ended, from their event logs, on the loopback."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smallcaps.errors import FailedDependency
from smallcaps.ports import HOST, free_port, require_free
from smallcaps.spark.daemons import configure, start, stop
from smallcaps.spark.jars import fetch_jars, locked_jars
from smallcaps.spark.java import require_java
from smallcaps.spark.session import event_logs, s3_options

START_SECONDS = 60.0


@contextmanager
def history(events: str, folder: Path, cache: Path, port: int = 0) -> Iterator[str]:
    """The server for the logs under `events` (a folder, or s3a://), its own files in `folder`; yields its page, with the token.

    Raises FailedDependency where it does not start, or the port is taken.
    """
    require_java()
    port = port or free_port()
    require_free(port)
    # Spark has its own version of the network library that is among these.
    jars = (
        fetch_jars(cache, [jar.artifact for jar in locked_jars() if jar.group != "io.netty"]) if "://" in events else []
    )
    told = {"spark.history.fs.logDirectory": event_logs(events), "spark.history.ui.port": str(port), **s3_options()}
    token = configure(folder, cache, told, jars)
    server = start(folder, "history.HistoryServer")
    try:
        page = f"http://{HOST}:{port}/?token={token}"
        deadline = time.monotonic() + START_SECONDS
        while not _answers(page):
            if server.poll() is not None or time.monotonic() > deadline:
                raise FailedDependency(f"The history server did not start on {HOST}:{port}. See {folder}/logs.")
            time.sleep(0.2)
        yield page
    finally:
        stop([server])


def _answers(page: str) -> bool:
    try:
        with urllib.request.urlopen(page, timeout=10) as answer:  # noqa: S310 - the server's own page
            return bool(answer.status == 200)
    except OSError:
        return False
