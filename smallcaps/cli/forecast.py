"""`smallcaps ingest … --dry-run`: forecasts as a table for people on stderr, and as JSON on stdout."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from smallcaps.cli.console import PAGE_WIDTH, messages, output, working
from smallcaps.ingest.forecast import Forecast
from smallcaps.ingest.routine import Step, carry_out
from smallcaps.lake import Lake

UNKNOWN = "?"


def foretell(lake: Lake, steps: Sequence[Step]) -> None:
    """Carry out steps that come to forecasts, and print these. Raises as `carry_out` does."""

    def around(title: str, work: Callable[[], Any]) -> Any:
        with working(title, lake.spark):
            return work()

    show(carry_out(steps, around))


def show(forecasts: Mapping[str, Forecast]) -> None:
    """Print forecasts by their names: a table on stderr, JSON on stdout."""
    wide = messages if messages.is_terminal else Console(stderr=True, width=PAGE_WIDTH)
    wide.print(_table(forecasts))
    output.print_json(json.dumps({name: asdict(one) for name, one in forecasts.items()}))


def _table(forecasts: Mapping[str, Forecast]) -> RichTable:
    table = RichTable("", "requests", "here already", "pages", "bytes", "time", "", title="What would be asked for")
    for name, one in forecasts.items():
        table.add_row(
            name, *_figures(one.requests, one.known, one.pages, one.size_bytes, one.seconds), escape(one.basis)
        )
    known = [one for one in forecasts.values() if one.requests is not None]
    sums = [
        sum(getattr(one, part) for one in known) for part in ("requests", "known", "pages", "size_bytes", "seconds")
    ]
    table.add_section()
    table.add_row("all" if len(known) == len(forecasts) else "all that are known", *_figures(*sums), "")
    return table


def _figures(
    requests: int | None, known: int, pages: int | None, size_bytes: int | None, seconds: float | None
) -> tuple[str, ...]:
    return (
        UNKNOWN if requests is None else f"{requests:,}",
        f"{known:,}",
        UNKNOWN if pages is None else f"{pages:,}",
        UNKNOWN if size_bytes is None else f"{size_bytes / 1e6:,.1f} MB",
        UNKNOWN if seconds is None else str(timedelta(seconds=round(seconds))),
    )
