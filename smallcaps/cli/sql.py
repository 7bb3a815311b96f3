"""`smallcaps sql`: questions to the lake, from the command line, a file, a pipe or a shell. Nothing is changed by them."""

import csv
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TextIO

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from smallcaps.cli.console import messages, opened, output, working
from smallcaps.errors import BadInput
from smallcaps.lake import REGISTRY, VIEWS, Lake

READS = ("select", "with", "values", "from", "describe", "desc", "show", "explain", "table")
SUFFIXES = (".csv", ".parquet")
_PARTS = re.compile(
    r"""
    --[^\n]* | /\*.*?(?:\*/|\Z)
    | '(?:[^'\\]|\\.)*(?:'|\Z) | "(?:[^"\\]|\\.)*(?:"|\Z) | `[^`]*(?:`|\Z)
    | ; | [^;'"`/-]+ | .
    """,
    re.DOTALL | re.VERBOSE,
)
"""What a text of SQL consists of: comments, quoted texts and names (the last one may be open), semicolons, all else."""
_TOLD = re.compile(r"\[[A-Z][A-Z0-9_.]+\] (.+?) SQLSTATE: (?:0A|21|22|42|P0)\w{3}", re.DOTALL)
"""How Spark tells of what is wrong with a query or its values, by the classes of SQL's states."""
_PLACE = re.compile(r"line (\d+),? (pos|position) (\d+)")


class Format(StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def sql_command(
    query: Annotated[
        str | None,
        typer.Argument(help="SELECT … FROM gold.events …; without one a shell, or what comes through a pipe."),
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Queries, each ended by a semicolon.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print the rows.")] = Format.table,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the rows of one query to this file, .csv or .parquet.")
    ] = None,
    most: Annotated[int, typer.Option("--rows", min=1, help="How many rows a table shows at most.")] = 1_000,
) -> None:
    """Query the lake, in a shell if no query is given; only the result goes to stdout."""
    if target is not None:
        refuse_target(target)
    text = _given(query, file)
    if text is None:
        from smallcaps.cli.shell import Shell

        lake, settings = opened()
        Shell(Queries(lake), form, most, settings.cache / "sql_history").run()
        return
    ended, rest = statements(text)
    asked = [*ended, *([rest] if rest or not ended else [])]
    if target is not None and len(asked) > 1:
        raise BadInput("--output takes the rows of one query.")
    lake, _ = opened()
    queries = Queries(lake)
    for one in asked:
        queries.answer(one, form, most, target)


def _given(query: str | None, file: Path | None) -> str | None:
    """The text that holds the queries; None where somebody is to be asked."""
    if query is not None and file is not None:
        raise BadInput("A query and --file exclude each other.")
    if file is None:
        return query if query is not None or sys.stdin.isatty() else sys.stdin.read()
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file} cannot be read: {error}") from error


def refuse_target(target: Path) -> None:
    """Raises BadInput where rows cannot be written to such a file."""
    if target.suffix not in SUFFIXES:
        raise BadInput(f"{target} ends with neither {' nor '.join(SUFFIXES)}.")
    if not target.parent.is_dir() or not os.access(target.parent, os.W_OK):
        raise BadInput(f"{target.parent} is no folder that can be written to.")


def statements(text: str) -> tuple[list[str], str]:
    """The statements that a semicolon ends, and what comes after the last; of comments alone nothing."""
    found = [""]
    for part in _PARTS.findall(text):
        if part == ";":
            found.append("")
        else:
            found[-1] += part
    *ended, rest = (one.strip() if without_comments(one).strip() else "" for one in found)
    return [one for one in ended if one], rest


def without_comments(text: str) -> str:
    """SQL without its comments; Spark's hints stay."""
    comments = ("--", "/*")
    return "".join(
        " " if part.startswith(comments) and not part.startswith("/*+") else part for part in _PARTS.findall(text)
    )


class Queries:
    """Queries of the lake's tables and views by their names, `known`. What is wrong with one is a BadInput of one line."""

    def __init__(self, lake: Lake) -> None:
        self.spark = lake.spark
        self.known = [*lake.register(), *VIEWS]

    def answer(self, query: str, form: Format, most: int, target: Path | None = None) -> None:
        """Print the rows of a query, or write them to a file; a table shows `most` of them."""
        started = time.monotonic()
        self._refuse_changes(query)
        with working("query", self.spark), self._told():
            rows = self.spark.sql(query)
            if target is not None:
                with _in_place(target) as part:
                    (_write_csv if target.suffix == ".csv" else _write_parquet)(rows, part)
            elif form is Format.csv:
                _print_csv(rows, sys.stdout)
            elif form is Format.json:
                for line in rows.toJSON().toLocalIterator():
                    sys.stdout.write(line + "\n")
            else:
                shown = _as_text(rows.limit(most + 1)).collect()
        took = f"[dim]({time.monotonic() - started:.1f} s)[/dim]"
        if target is not None:
            messages.print(f"The rows are in {escape(str(target))} {took}", soft_wrap=True)
        elif form is Format.table:
            table = RichTable(*map(escape, rows.columns))
            for row in shown[:most]:
                table.add_row(*["" if value is None else escape(value) for value in row])
            _show(table)
            more = " of more; csv, json and files have all" if len(shown) > most else ""
            messages.print(f"{min(len(shown), most):,} rows{more} {took}")

    def _refuse_changes(self, query: str) -> None:
        """Raises BadInput for a statement that could change the lake: tables are written by jobs alone."""
        words = without_comments(query).split(maxsplit=1)
        if words and words[0].lower().lstrip("(") in READS:
            with self._told():
                parsed = self.spark._jsparkSession.sessionState().sqlParser().parsePlan(query)
            if "InsertIntoStatement" not in parsed.toString():
                return
        raise BadInput(
            "Only queries are run here (SELECT, WITH, SHOW, DESCRIBE, EXPLAIN); the tables are written by jobs."
        )

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (PySparkException, Py4JError) as error:
            if (said := in_a_line(str(error), self.known)) is None:
                raise
            raise BadInput(said) from error


def in_a_line(error: str, known: Iterable[str]) -> str | None:
    """What Spark says is wrong with a query, and where in it; None where the query is not what is wrong."""
    if (told := _TOLD.search(error)) is None:
        return None
    said = told[1].splitlines()[0].split(" If necessary set ")[0].strip()
    if lacking := re.match(r"The table or view (\S+) cannot be found", said):
        said = _not_there(lacking[1].replace("`", ""), known)
    if (place := _PLACE.search(error)) is None:
        return said
    column = int(place[3]) + (place[2] == "pos")  # Spark counts a pos from 0.
    return f"{said} (line {place[1]}, column {column})"


def _not_there(name: str, known: Iterable[str]) -> str:
    if name in REGISTRY:
        return f"{name} has not been written in this lake yet."
    full = {words: one for one in known for words in (one, one.split(".")[1])}
    alike = get_close_matches(name, full, n=1)
    return f"There is no table or view {name}.{f' Did you mean {full[alike[0]]}?' if alike else ''}"


def _as_text(rows: DataFrame) -> DataFrame:
    """Every value as Spark writes it: instants in UTC, whatever the machine's clock."""
    # By place, since two columns may have one name.
    numbered = rows.toDF(*[str(number) for number in range(len(rows.columns))])
    return numbered.select(*[F.col(f"`{name}`").cast("string") for name in numbered.columns])


def _show(table: RichTable) -> None:
    """Print a table; where the terminal is too small for it, through the user's pager at full width."""
    width = Console(width=10_000).measure(table).maximum
    if not output.is_terminal or (width <= output.width and table.row_count + 5 <= output.height):
        output.print(table)
        return
    os.environ.setdefault("LESS", "FRSX")  # Lines are not folded but scrolled.
    page = Console(width=max(width, output.width))
    with page.pager(styles=False):
        page.print(table)


def _print_csv(rows: DataFrame, file: TextIO) -> None:
    """Rows as they come, so that a large result needs no memory."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(rows.columns)
    for row in _as_text(rows).toLocalIterator():
        writer.writerow(["" if value is None else value for value in row])


def _write_csv(rows: DataFrame, file: Path) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened_file:
        _print_csv(rows, opened_file)


def _write_parquet(rows: DataFrame, file: Path) -> None:
    """Likewise, batch by batch."""
    if repeated := {name for name in rows.columns if rows.columns.count(name) > 1}:
        raise BadInput(f"Several columns are called {', '.join(sorted(repeated))}: name them by AS.")

    # Within, so that it goes to Spark's workers by its code: they need not load the command line.
    def packed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, batch.schema) as stream:
                stream.write_batch(batch)
            yield pa.record_batch({"batch": [sink.getvalue().to_pybytes()]})

    schema = to_arrow_schema(rows.schema)
    with pq.ParquetWriter(file, schema) as writer:
        for row in rows.mapInArrow(packed, "batch binary").toLocalIterator():
            with pa.ipc.open_stream(row.batch) as stream:
                writer.write_table(stream.read_all().cast(schema))


@contextmanager
def _in_place(target: Path) -> Iterator[Path]:
    """A file beside `target` that takes its place when the block has ended well."""
    part = target.with_name(f"{target.name}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
