"""What a person sees: results on stdout, progress and errors on stderr."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pyspark.sql import SparkSession
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from smallcaps.config import Settings, load_settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.lake.runs import WARNINGS
from smallcaps.log import LOG, PROGRESS, write_log
from smallcaps.spark import open_session

if TYPE_CHECKING:
    from smallcaps.models.evaluation import Estimate

PAGE_WIDTH = 150
"""Columns of a table that goes to a file or a pipe."""

output = Console(width=None if sys.stdout.isatty() else PAGE_WIDTH)
messages = Console(stderr=True)

POLL_SECONDS = 0.3
DAY = ["%Y-%m-%d"]
"""How a day is written on the command line."""


From = Annotated[datetime, typer.Option("--from", formats=DAY, help="First day, YYYY-MM-DD.")]
To = Annotated[datetime, typer.Option("--to", formats=DAY, help="Last day, YYYY-MM-DD.")]


def opened() -> tuple[Lake, Settings]:
    """The lake of the settings, and these."""
    settings = load_settings()
    return Lake(settings.lake, started(settings), settings.quality.suites), settings


def days_from_to(first: datetime, last: datetime) -> tuple[date, date]:
    """The days of `From` and `To`. Raises BadInput where there is none."""
    if first > last:
        raise BadInput(f"The range is empty: --from {first:%Y-%m-%d} is after --to {last:%Y-%m-%d}.")
    return first.date(), last.date()


def names_of(symbols: str | None) -> list[str] | None:
    """The names of `--symbols`; None where it was not given. Raises BadInput where it names none."""
    if symbols is None:
        return None
    if not (names := [name for name in symbols.split(",") if name]):
        raise BadInput("--symbols names no symbol.")
    return names


def report_folder(lake: Lake, given: Path | None) -> Path:
    """Where the report goes: as given, else into a lake on this machine. Raises BadInput where neither is possible."""
    if given is None and "://" in lake.root:
        raise BadInput("The lake is not on this machine: name a local folder for the report.")
    return given or Path(lake.root) / "report"


def started(settings: Settings) -> SparkSession:
    """The session of `settings`, with a word on stderr while it starts. What is said from now on is in the log."""
    write_log(settings.cache / "logs")
    with messages.status("starting Spark"):
        return open_session(settings)


@contextmanager
def working(title: str, spark: SparkSession) -> Iterator[list[str]]:
    """A progress bar while the block runs: what of the work is done and left, where it says so, and Spark's tasks.

    Yields what quality suites warn of: to be told after the block, not in the middle of a bar. Without a terminal nothing
    is drawn.
    """
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bars:
        whole, tasks = bars.add_task(title, total=None), bars.add_task("  tasks of Spark", total=None)
        done = threading.Event()
        watcher = threading.Thread(target=_watch, args=(bars, tasks, spark, done), daemon=True)
        watcher.start()
        try:
            with _listening(title, bars, whole) as warned:
                yield warned
        finally:
            done.set()
            watcher.join()


def _watch(bars: Progress, tasks: TaskID, spark: SparkSession, done: threading.Event) -> None:
    tracker = spark.sparkContext.statusTracker()
    while not done.wait(POLL_SECONDS):
        stages = [tracker.getStageInfo(stage) for stage in tracker.getActiveStageIds()]
        active = [stage for stage in stages if stage is not None]
        total = sum(stage.numTasks for stage in active)
        completed = sum(stage.numCompletedTasks for stage in active)
        said = f"  tasks of Spark: {completed:,} of {total:,}"
        bars.update(tasks, description=said, total=total or None, completed=completed)


@contextmanager
def _listening(title: str, bars: Progress, whole: TaskID) -> Iterator[list[str]]:
    """Move the bar by what is told of progress; keep warnings of the quality suites."""
    warned: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.name == PROGRESS.name:
                facts = record.__dict__["facts"]
                said = f"{title}: {record.getMessage()}"
                bars.update(whole, description=said, total=facts["total"], completed=facts["done"])
            elif record.name == WARNINGS.name:
                warned.append(record.getMessage())

    listener, propagated = Listener(), LOG.propagate
    LOG.addHandler(listener)
    LOG.propagate = False
    try:
        yield warned
    finally:
        LOG.removeHandler(listener)
        LOG.propagate = propagated


def timed(title: str, spark: SparkSession, work: Callable[[], Any]) -> Any:
    """Do `work` under a progress bar, then say on stderr what it came to, how long it took and what quality suites warn of."""
    started = time.monotonic()
    with working(title, spark) as warned:
        result = work()
    messages.print(f"[green]✓[/green] {title}: {told(result)} [dim]({time.monotonic() - started:.1f} s)[/dim]")
    for warning in warned:
        messages.print(f"  [yellow]![/yellow] {escape(warning)}", soft_wrap=True)
    return result


def interval(estimate: "Estimate") -> str:
    """A figure with its 95 % interval, where there is one; – where it cannot be told."""
    if estimate.value != estimate.value:
        return "–"
    if estimate.low != estimate.low:
        return f"{estimate.value:.3f}"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def told(result: object) -> str:
    """A result in one line."""
    if isinstance(result, dict):
        return ", ".join(f"{name} {count:,}" for name, count in result.items())
    if isinstance(result, list):
        return "; ".join(map(str, result))
    return f"{result:,} rows" if isinstance(result, int) else str(result)
