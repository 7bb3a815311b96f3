"""`smallcaps status` and `smallcaps lineage`: how tables and jobs are, for people and for other programs."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from pyspark.sql import functions as F
from rich.table import Table as RichTable

from smallcaps.cli.console import DAY, opened, output, working
from smallcaps.lake import REGISTRY, declared
from smallcaps.lake.health import PREFIX, Health, LastRun, health, last_runs, metrics
from smallcaps.lake.openlineage import lineage_events
from smallcaps.prometheus import exposition

MEGABYTE = 1_000_000


def status_command(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table.")] = None,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print it in Prometheus's text format, for its textfile collector.")
    ] = False,
) -> None:
    """Show how the tables are (rows, files, size, age, stale days, failed expectations), and the last run of each job."""
    lake, _ = opened()
    with working("status", lake.spark):
        tables = health(lake, list(REGISTRY) if name is None else [declared(name).name])
        runs = last_runs(lake)
    if prometheus:
        sys.stdout.write(exposition(metrics(tables, runs), PREFIX))
        return
    now = datetime.now(UTC)
    output.print(_tables(tables, now))
    if name is None:
        output.print(_jobs(runs, now))


def lineage_command(
    since: Annotated[datetime | None, typer.Option("--from", formats=DAY, help="First day of runs, UTC.")] = None,
    target: Annotated[Path | None, typer.Option("--output", "-o", help="Write into this file instead.")] = None,
) -> None:
    """Print the runs as OpenLineage events, one a line: what each read and wrote, in which version."""
    lake, _ = opened()
    runs = lake.read("ops.runs").orderBy("started_at")
    if since is not None:
        runs = runs.where(F.col("started_at") >= F.lit(since.replace(tzinfo=UTC)))
    lines = (json.dumps(event) + "\n" for event in lineage_events(runs.toLocalIterator(), lake.root))
    if target is None:
        sys.stdout.writelines(lines)
    else:
        with target.open("w", encoding="utf-8") as file:
            file.writelines(lines)


def _tables(tables: list[Health], now: datetime) -> RichTable:
    table = RichTable("table", "rows", "files", "MB", "version", "written ago", "stale days", "failed expectations")
    for one in tables:
        table.add_row(
            one.table,
            f"{one.size.rows:,}",
            f"{one.size.files:,}",
            f"{one.size.bytes / MEGABYTE:,.1f}",
            str(one.version),
            ago(now - one.written_at),
            f"[yellow]{one.stale}[/yellow]" if one.stale else "",
            " ".join(
                f"[{colour}]{', '.join(names)}[/{colour}]"
                for colour, names in (("red", one.stopped), ("yellow", one.warned))
                if names
            ),
        )
    return table


def _jobs(runs: list[LastRun], now: datetime) -> RichTable:
    table = RichTable("job", "last run", "ended ago", "s", "rows in", "kept", "quarantined")
    for one in runs:
        outcome = one.outcome if one.outcome == "succeeded" else f"[red]{one.outcome}[/red]"
        counts = [f"{one.rows[kind]:,}" for kind in ("in", "kept", "quarantined")]
        table.add_row(one.job, outcome, ago(now - one.ended_at), f"{one.seconds:.1f}", *counts)
    return table


def ago(span: timedelta) -> str:
    """A span in its two largest units."""
    minutes, hours = divmod(int(span.total_seconds()) // 60, 60)[::-1]
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
