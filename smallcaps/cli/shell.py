"""The shell of `smallcaps sql`: history, completion, queries of several lines, pages."""

import re
import readline
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.markup import escape

from smallcaps.cli.console import messages
from smallcaps.cli.sql import Format, Queries, refuse_target, statements, without_comments
from smallcaps.errors import BadInput, SmallcapsError
from smallcaps.lake import REGISTRY, VIEWS
from smallcaps.lake.registry import LAYERS

PROMPT, CONTINUED = "smallcaps> ", "      ...> "
KEPT_LINES = 5_000
KEYWORDS = [
    "SELECT",
    "DISTINCT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "WITH",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "BETWEEN",
    "LIKE",
    "IS NULL",
    "IS NOT NULL",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "UNION ALL",
    "OVER",
    "PARTITION BY",
    "ASC",
    "DESC",
    "VERSION AS OF",
    "TIMESTAMP AS OF",
    "SHOW",
    "DESCRIBE",
    "EXPLAIN",
    "DATE",
    "TIMESTAMP",
    "INTERVAL",
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "median",
    "percentile",
    "max_by",
    "min_by",
    "coalesce",
]
HELP = """A query ends with ; and may have several lines. Tab completes tables, columns and keywords.
\\d            tables and views       \\d NAME       columns of one
\\o FILE       write the next query's rows to FILE, .csv or .parquet
\\f FORMAT     print rows as table, csv or json
\\q            leave, as does Ctrl-D; Ctrl-C stops a query"""


def completions(statement: str, word: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """What `word` of a statement may become: tables, columns (of the tables that the statement names, else of all), keywords.

    `known` has the columns of each table.
    """
    owner, dot, start = word.rpartition(".")
    tables = [name for name in known if name.startswith(word)]
    if owner in LAYERS:
        return tables
    named = [name for name in re.findall(r"\w+\.\w+", statement) if name in known]
    columns = dict.fromkeys(column for name in named or known for column in known[name])
    fitting = [f"{owner}{dot}{column}" for column in columns if column.startswith(start)]
    if dot:
        return fitting
    keywords = [keyword for keyword in KEYWORDS if keyword.lower().startswith(word.lower())]
    return [*tables, *fitting, *(keyword.lower() if word.islower() else keyword for keyword in keywords)]


class Shell:
    """Asks for queries until it is left; what is wrong with one is told, and the next may come."""

    def __init__(self, queries: Queries, form: Format, most: int, history: Path) -> None:
        self.queries, self.form, self.most, self.history = queries, form, most, history
        self.declared = {name: (REGISTRY | VIEWS)[name] for name in queries.known}
        self.columns = {name: [column.name for column in one.columns] for name, one in self.declared.items()}
        self.target: Path | None = None
        self._pending = ""
        self._found: list[str] = []

    def run(self) -> None:
        """Until the end of the input."""
        self._prepare()
        messages.print(f"{len(self.columns)} tables and views. A query ends with ;, \\? is for help.")
        try:
            while self._go_on():
                pass
        finally:
            self.history.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(self.history)

    def _prepare(self) -> None:
        if self.history.exists():
            readline.read_history_file(self.history)
        readline.set_history_length(KEPT_LINES)
        # A query is one entry, whatever its lines.
        readline.set_auto_history(False)
        readline.set_completer(self._complete)
        readline.set_completer_delims(" \t\n,;()=<>+-*/%|'\"`")
        is_editline = "libedit" in (readline.__doc__ or "")
        readline.parse_and_bind("bind ^I rl_complete" if is_editline else "tab: complete")

    def _complete(self, word: str, state: int) -> str | None:
        if state == 0:
            self._found = completions(self._pending + readline.get_line_buffer(), word, self.columns)
        return self._found[state] if state < len(self._found) else None

    def _go_on(self) -> bool:
        """Take a line; False where it was the last."""
        try:
            line = input(CONTINUED if self._pending else PROMPT)
        except EOFError:
            messages.print()
            return False
        except KeyboardInterrupt:
            self._pending = ""
            messages.print()
            return True
        if line.startswith("\\"):
            readline.add_history(line)
            return self._obey(line)
        ended, rest = statements(f"{self._pending}{line}\n")
        self._pending = f"{rest}\n" if rest else ""
        for query in ended:
            readline.add_history(" ".join(without_comments(query).splitlines()) + ";")
            self._attempt(query)
        return True

    def _attempt(self, query: str) -> None:
        target, self.target = self.target, None
        try:
            self.queries.answer(query, self.form, self.most, target)
        except SmallcapsError as error:
            _complain(error)
        except KeyboardInterrupt:
            messages.print("Stopped.")

    def _obey(self, line: str) -> bool:
        command, _, argument = line.strip().partition(" ")
        try:
            if command == "\\q":
                return False
            if command == "\\d":
                self._describe(argument)
            elif command == "\\o":
                target = Path(argument).expanduser()
                refuse_target(target)
                self.target = target
            elif command == "\\f" and argument in [*Format]:
                self.form = Format(argument)
            else:
                messages.print(HELP, markup=False, highlight=False)
        except BadInput as error:
            _complain(error)
        return True

    def _describe(self, name: str) -> None:
        if not name:
            for known, one in self.declared.items():
                messages.print(f"[bold]{known}[/bold]  {escape(one.comment)}")
        elif name in self.declared:
            for column in self.declared[name].columns:
                messages.print(f"[bold]{column.name}[/bold] {escape(column.type)}  {escape(column.described)}")
        else:
            raise BadInput(f"There is no table or view {name}; \\d lists them.")


def _complain(error: SmallcapsError) -> None:
    messages.print(f"[red]Error:[/red] {escape(str(error))}", soft_wrap=True)
