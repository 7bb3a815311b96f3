"""`smallcaps dataset …`: freeze training sets, make them again, compare them."""

import json
from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

import typer
from rich.table import Table as RichTable

from smallcaps.cli.console import From, To, days_from_to, messages, opened, output, timed, working

dataset_app = typer.Typer(help="Freeze training sets.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The dataset.")]


@dataset_app.command("build")
def dataset_build_command(
    name: Name,
    first: From,
    last: To,
    of: Annotated[str, typer.Option(help="Which of the settings' definitions of datasets.")] = "daily",
) -> None:
    """Freeze what was known of labelled events, what came of them, folds and weights under a name."""
    from smallcaps.models.frozen import build_dataset

    days = days_from_to(first, last)
    lake, settings = opened()
    frozen = timed("dataset build", lake.spark, lambda: build_dataset(lake, settings, name, of, *days))
    output.print_json(json.dumps(asdict(frozen)))


@dataset_app.command("rebuild")
def dataset_rebuild_command(name: Name) -> None:
    """Make a dataset again from the versions of the tables that it was made of, and compare the hash of its rows."""
    from smallcaps.models.frozen import rebuild_dataset

    lake, _ = opened()
    frozen = timed("dataset rebuild", lake.spark, lambda: rebuild_dataset(lake, name))
    messages.print(f"{name} is as it was frozen.")
    output.print_json(json.dumps(asdict(frozen)))


@dataset_app.command("diff")
def dataset_diff_command(
    one: Annotated[str, typer.Argument(metavar="ONE", help="A dataset.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="Another.")],
) -> None:
    """Show how two datasets differ: what they are made of, their inputs, their rows."""
    from smallcaps.models.frozen import dataset_difference

    lake, _ = opened()
    with working("dataset diff", lake.spark):
        found = dataset_difference(lake, one, other)
    if not found.facts:
        output.print("They are the same.")
        return
    table = RichTable("", one, other)
    for fact, (first, second) in found.facts.items():
        table.add_row(fact, _told(first), _told(second))
    table.add_row("inputs of it alone", ", ".join(found.only_first), ", ".join(found.only_second))
    table.add_row("events of it alone", f"{found.rows_only_first:,}", f"{found.rows_only_second:,}")
    output.print(table)
    output.print(f"{found.rows_changed:,} events of both differ" + (":" if found.changed else "."))
    if found.changed:
        changes = RichTable("column or input", "events")
        for column, count in sorted(found.changed.items(), key=lambda item: (-item[1], item[0])):
            changes.add_row(column, f"{count:,}")
        output.print(changes)


@dataset_app.command("list")
def dataset_list_command() -> None:
    """Show the frozen datasets."""
    lake, _ = opened()
    if not lake.exists("gold.datasets"):
        output.print("No dataset is frozen yet.")
        return
    with working("dataset list", lake.spark):
        rows = lake.read("gold.datasets").orderBy("dataset").collect()
    table = RichTable("dataset", "from", "to", "events", "inputs", "folds", "hash")
    for row in rows:
        days = str(row["first_day"]), str(row["last_day"])
        numbers = f"{row['rows']:,}", str(len(row["input_names"])), str(len(row["folds"]))
        table.add_row(row["dataset"], *days, *numbers, row["content_hash"][:12])
    output.print(table)


def _told(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)
