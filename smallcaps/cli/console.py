"""What a person sees: results on stdout, progress and errors on stderr."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyspark.sql import SparkSession
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from smallcaps.config import Settings
from smallcaps.lake.runs import WARNINGS
from smallcaps.spark import open_session

PAGE_WIDTH = 150
"""Columns of a table that goes to a file or a pipe."""

output = Console(width=None if sys.stdout.isatty() else PAGE_WIDTH)
messages = Console(stderr=True)

POLL_SECONDS = 0.3
DAY = ["%Y-%m-%d"]
"""How a day is written on the command line."""


def started(settings: Settings) -> SparkSession:
    """The session of `settings`, with a word on stderr while it starts."""
    with messages.status("starting Spark"):
        return open_session(settings)


@contextmanager
def working(title: str, spark: SparkSession) -> Iterator[None]:
    """A progress bar over Spark's tasks while the block runs; without a terminal nothing is drawn."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(progress, task, spark, done), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _watch(progress: Progress, task: TaskID, spark: SparkSession, done: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not done.wait(POLL_SECONDS):
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        active = [stage for stage in stages if stage is not None]
        total = sum(stage.numTasks for stage in active)
        progress.update(task, total=total or None, completed=sum(stage.numCompletedTasks for stage in active))


def timed(title: str, spark: SparkSession, work: Callable[[], Any]) -> Any:
    """Do `work` under a progress bar, then say on stderr what it came to, how long it took and what quality suites warn of."""
    started = time.monotonic()
    with _warnings() as warned, working(title, spark):
        result = work()
    messages.print(f"[green]✓[/green] {title}: {told(result)} [dim]({time.monotonic() - started:.1f} s)[/dim]")
    for warning in warned:
        messages.print(f"  [yellow]![/yellow] {escape(warning)}", soft_wrap=True)
    return result


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What the quality suites warn of while the block runs: to be told after it, not in the middle of a progress bar."""
    told_of: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told_of.append(record.getMessage())

    keeper, propagated = Keeper(), WARNINGS.propagate
    WARNINGS.addHandler(keeper)
    WARNINGS.propagate = False
    try:
        yield told_of
    finally:
        WARNINGS.removeHandler(keeper)
        WARNINGS.propagate = propagated


def told(result: object) -> str:
    """A result in one line."""
    if isinstance(result, dict):
        return ", ".join(f"{name} {count:,}" for name, count in result.items())
    return f"{result:,} rows" if isinstance(result, int) else str(result)
