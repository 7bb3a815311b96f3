"""Spark's history server: what jobs did that have ended, from their event logs, on the loopback."""

import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smallcaps.errors import FailedDependency
from smallcaps.ports import HOST, free_port
from smallcaps.spark.daemons import configure, start, stop
from smallcaps.spark.jars import fetch_jars
from smallcaps.spark.java import require_java
from smallcaps.spark.session import event_logs

START_SECONDS = 60.0


@contextmanager
def history(events: str, folder: Path, cache: Path, port: int = 0) -> Iterator[str]:
    """The server for the logs under `events` (a folder, or s3a://), its own files in `folder`; yields its page, with the token.

    Raises FailedDependency where it does not start.
    """
    require_java()
    port = port or free_port()
    # Spark's network library is another version than the one among these.
    jars = [jar for jar in fetch_jars(cache) if not jar.name.startswith("netty")] if "://" in events else []
    told = {"spark.history.fs.logDirectory": event_logs(events), "spark.history.ui.port": str(port)}
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
