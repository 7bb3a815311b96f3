"""`smallcaps cluster` and `smallcaps history`: Spark's own servers on this machine, until interrupted."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from smallcaps.cli.console import messages
from smallcaps.config import load_settings
from smallcaps.errors import BadInput
from smallcaps.spark.cluster import Cluster
from smallcaps.spark.history import history

MASTER_PORT = 7077


def _folder(cache: Path, port: int) -> Path:
    """Where the files of the cluster on this port lie."""
    return cache / f"cluster-{port}"


def cluster_command(
    workers: Annotated[int, typer.Option(min=1, help="Worker processes.")] = 2,
    cores: Annotated[int, typer.Option(min=1, help="Tasks at a time, of each worker.")] = 1,
    memory: Annotated[str, typer.Option(help="Memory of each worker's executor.")] = "2g",
    port: Annotated[int, typer.Option(help="Of the master.")] = MASTER_PORT,
    page_port: Annotated[int, typer.Option(help="Of the master's page.")] = 8081,
) -> None:
    """Run a standalone Spark cluster on this machine, until interrupted, and print what makes jobs run on it."""
    settings = load_settings()
    with (
        _until_told() as told,
        Cluster(_folder(settings.cache, port), settings.cache, cores, memory, port, page_port) as cluster,
    ):
        cluster.start(workers)
        for name, value in cluster.told.items():
            sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.flush()
        messages.print(f"{workers} workers on {cluster.url}; the master's page is {cluster.page}", soft_wrap=True)
        told.wait()


def history_command(
    events: Annotated[
        str | None, typer.Option(help="Folder or s3a:// place; default: spark.events, else the cluster's.")
    ] = None,
    port: Annotated[int, typer.Option(help="Of the page.")] = 18080,
) -> None:
    """Show what Spark did in jobs that have ended, by their event logs, until interrupted."""
    settings = load_settings()
    of_cluster = _folder(settings.cache, MASTER_PORT) / "events"
    place = events or settings.spark.events or (str(of_cluster) if of_cluster.is_dir() else None)
    if place is None:
        raise BadInput(
            "No event logs: set spark.events (SMALLCAPS_SPARK__EVENTS=FOLDER) and run jobs, or name --events."
        )
    if "://" not in place and not Path(place).is_dir():
        raise BadInput(f"There is no folder {place} with event logs.")
    with _until_told() as told, history(place, settings.cache / "history", settings.cache, port) as page:
        messages.print(f"Jobs that have ended: {page}", soft_wrap=True)
        told.wait()


@contextmanager
def _until_told() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and the terminal's end set."""
    told = threading.Event()
    before = {one: signal.signal(one, lambda *_: told.set()) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield told
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
