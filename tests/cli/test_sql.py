"""`smallcaps sql`: what is asked, what is refused, what is written; and the shell on a terminal."""

import csv
import datetime as dt
import io
import os
import pty
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from smallcaps.cli import sql
from smallcaps.cli.app import main
from smallcaps.cli.shell import completions
from smallcaps.cli.sql import Queries, statements
from smallcaps.lake import Lake
from tests.lake.frames import DAY, adjustments

TABLE = "silver.adjustments"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def root(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lake of one table: A, and in a later version B, too."""
    folder = tmp_path_factory.mktemp("sql")
    lake = Lake(str(folder), spark)
    lake.append(TABLE, adjustments(spark, ("A", DAY, 0.5)), "one")
    lake.append(TABLE, adjustments(spark, ("B", DAY, 0.25)), "two")
    yield folder
    for layer in ("bronze", "silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`smallcaps sql` on that lake: exit code, stdout, stderr in one line."""
    monkeypatch.setenv("SMALLCAPS_LAKE", str(root))

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["sql", *arguments])
        said = capsys.readouterr()
        return code, said.out, " ".join(said.err.split())

    return command


@pytest.mark.parametrize(
    ("text", "ended", "rest"),
    [
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1; SELECT\n 2;", ["SELECT 1", "SELECT\n 2"], ""),
        ("SELECT ';' AS `;`, \";\" -- ;\n; x", ["SELECT ';' AS `;`, \";\" -- ;"], "x"),
        ("SELECT 'it\\'s; /* '; /* ; */ SELECT 4 - 2 / 1;", ["SELECT 'it\\'s; /* '", "/* ; */ SELECT 4 - 2 / 1"], ""),
        ("SELECT 'open; ", [], "SELECT 'open;"),
        ("/* open; ", [], ""),
        (" ; -- nothing\n ;", [], ""),
    ],
)
def test_a_semicolon_ends_a_statement_unless_it_is_quoted_or_in_a_comment(
    text: str, ended: list[str], rest: str
) -> None:
    assert statements(text) == (ended, rest)


KNOWN = {"gold.events": ["event_id", "symbol", "strength"], "gold.cohorts": ["events", "median_return"]}


@pytest.mark.parametrize(
    ("statement", "word", "expected"),
    [
        ("SELECT * FROM gold.e", "gold.e", ["gold.events"]),
        ("SELECT * FROM go", "go", ["gold.events", "gold.cohorts"]),
        ("SELECT st FROM gold.events", "st", ["strength"]),
        ("SELECT e.s FROM gold.events AS e", "e.s", ["e.symbol", "e.strength"]),
        ("SELECT med FROM gold.cohorts", "med", ["median_return", "median"]),
        # No table is named yet: any column may be meant.
        ("SELECT event", "event", ["event_id", "events"]),
        ("sel", "sel", ["select"]),
        ("SEL", "SEL", ["SELECT"]),
        ("SELECT * FROM gold.events VER", "VER", ["VERSION AS OF"]),
        ("nothing", "nothing", []),
    ],
)
def test_a_word_is_completed_by_what_may_stand_there(statement: str, word: str, expected: list[str]) -> None:
    assert completions(statement, word, KNOWN) == expected


@pytest.mark.parametrize(
    "query",
    [
        *(
            "DROP TABLE silver.adjustments",
            "SET x = 1",
            "-- SELECT\nDELETE FROM silver.adjustments",
            "CALL x()",
            "-- only",
        ),
        "/* */ WITH x AS (SELECT * FROM silver.adjustments) INSERT INTO silver.adjustments SELECT * FROM x",
    ],
)
def test_what_is_no_query_is_refused_before_it_runs(run: Command, root: Path, spark: SparkSession, query: str) -> None:
    version = Lake(str(root), spark).version(TABLE)
    code, out, said = run("--", query)
    assert (code, out) == (2, "")
    assert (
        said
        == "Error: Only queries are run here (SELECT, WITH, SHOW, DESCRIBE, EXPLAIN); the tables are written by jobs."
    )
    assert Lake(str(root), spark).version(TABLE) == version


DIVIDED = "SELECT 1 / (price_factor - price_factor) FROM silver.adjustments"


@pytest.mark.parametrize("form", ["table", "csv"])
@pytest.mark.parametrize(
    ("query", "said", "column"),
    [
        (
            "SELECT 1 FROM silver.adjustment",
            "There is no table or view silver.adjustment. Did you mean silver.adjustments?",
            15,
        ),
        ("SELECT 1 FROM adjustments", "There is no table or view adjustments. Did you mean silver.adjustments?", 15),
        ("SELECT 1 FROM nowhere", "There is no table or view nowhere.", 15),
        ("SELECT 1 FROM gold.events", "gold.events has not been written in this lake yet.", 15),
        ("SELECT count( FROM x", "Syntax error at or near 'x'.", 20),
        (DIVIDED, "Division by zero. Use `try_divide` to tolerate divisor being 0 and return NULL instead.", 8),
        (
            "SELECT (SELECT symbol FROM silver.adjustments)",
            "More than one row returned by a subquery used as an expression.",
            8,
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_line_with_its_place(
    run: Command, query: str, said: str, column: int, form: str
) -> None:
    code, _, told = run(query, "--format", form)
    assert (code, told) == (2, f"Error: {said} (line 1, column {column})")


def test_the_place_names_the_line_and_what_has_no_place_is_told_without(run: Command) -> None:
    assert run("SELECT symbol\nFROM silver.adjustments\nWHERE nothing = 1")[2].endswith("(line 3, column 7)")
    code, _, said = run("SELECT * FROM gold.cohorts VERSION AS OF 1")
    assert (code, "Time travel on the relation" in said, "line" in said) == (2, True, False)


def test_a_version_of_before_can_be_asked_for(run: Command) -> None:
    query = "-- How it was\nSELECT symbol FROM silver.adjustments VERSION AS OF 1 ORDER BY symbol"
    assert run("--format", "csv", "--", query)[:2] == (0, "symbol\nA\n")
    assert run("--format", "csv", "--", query.replace("OF 1", "OF 2"))[:2] == (0, "symbol\nA\nB\n")
    code, _, said = run("--", query.replace("OF 1", "OF 7"))
    assert code == 2
    assert "version" in said.lower()


def test_queries_come_from_a_file_or_through_a_pipe(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "SELECT 1 AS one; SELECT symbol FROM silver.adjustments WHERE price_factor = 0.25 -- the last"
    file = tmp_path / "queries.sql"
    file.write_text(text)
    assert run("-f", str(file), "--format", "csv")[:2] == (0, "one\n1\nsymbol\nB\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    assert run("--format", "json")[:2] == (0, '{"one":1}\n{"symbol":"B"}\n')
    assert run("-f", str(tmp_path / "nothing.sql"))[0] == 2
    assert "exclude each other" in run("SELECT 1", "-f", str(file))[2]
    assert "one query" in run("-f", str(file), "-o", str(tmp_path / "rows.csv"))[2]


EVERYTHING = (
    "SELECT TIMESTAMP'2024-03-08 14:30:00.5' AS at, DATE'2024-03-08' AS day, 1.50BD AS price, array(1, null) AS list, "
    "named_struct('a', 'x,\"y\"') AS pair, map('k', 2L) AS map, cast(null AS string) AS nothing, true AS so"
)


def test_rows_go_to_a_csv_file_with_instants_in_utc(run: Command, tmp_path: Path) -> None:
    # The machine's clock is that of Los Angeles (conftest.py).
    target = tmp_path / "rows.csv"
    code, out, said = run(EVERYTHING, "--output", str(target))
    assert (code, out) == (0, "")
    assert "The rows are in" in said
    rows = list(csv.reader(target.open(encoding="utf-8")))
    assert rows == [
        ["at", "day", "price", "list", "pair", "map", "nothing", "so"],
        ["2024-03-08 14:30:00.5", "2024-03-08", "1.50", "[1, null]", '{x,"y"}', "{k -> 2}", "", "true"],
    ]


def test_rows_go_to_a_parquet_file_with_their_types(run: Command, tmp_path: Path) -> None:
    target = tmp_path / "rows.parquet"
    assert run(EVERYTHING, "--output", str(target))[0] == 0
    at = pa.timestamp("us", "UTC")
    found = pq.read_table(target)
    assert (found.schema.field("at").type, found.schema.field("price").type) == (at, pa.decimal128(3, 2))
    assert found.to_pylist()[0]["at"] == dt.datetime(2024, 3, 8, 14, 30, 0, 500_000, dt.UTC)
    others = {"day": dt.date(2024, 3, 8), "price": Decimal("1.50"), "list": [1, None], "pair": {"a": 'x,"y"'}}
    others |= {"map": [("k", 2)], "nothing": None, "so": True}
    assert found.drop_columns("at").to_pylist() == [others]
    # Rows of several partitions stay in order; none leave a file with columns.
    assert run("SELECT id FROM range(0, 5000, 1, 4) ORDER BY id DESC", "--output", str(target))[0] == 0
    assert pq.read_table(target)["id"].to_pylist() == list(range(4999, -1, -1))
    assert run("SELECT symbol FROM silver.adjustments WHERE false", "--output", str(target))[0] == 0
    assert (pq.read_table(target).num_rows, pq.read_table(target).column_names) == (0, ["symbol"])


def test_a_file_is_replaced_only_by_all_rows_of_a_query(run: Command, tmp_path: Path) -> None:
    target = tmp_path / "rows.csv"
    target.write_text("before")
    assert run("SELECT 1 / (id - 3) FROM range(10)", "--output", str(target))[0] == 2
    assert "Several columns are called x" in run("SELECT 1 AS x, 2 AS x", "--output", str(tmp_path / "x.parquet"))[2]
    assert (target.read_text(), [one.name for one in tmp_path.iterdir()]) == ("before", ["rows.csv"])
    assert "ends with neither .csv nor .parquet" in run("SELECT 1", "--output", str(tmp_path / "rows.xml"))[2]
    assert "no folder" in run("SELECT 1", "--output", str(tmp_path / "none" / "rows.csv"))[2]


def test_a_table_shows_so_many_rows_and_says_that_there_are_more(run: Command) -> None:
    code, out, said = run("SELECT id, id AS id FROM range(9)", "--rows", "3")
    assert code == 0
    assert re.findall(r"│ (\d) +│ (\d) +│", out) == [("0", "0"), ("1", "1"), ("2", "2")]
    assert "3 rows of more" in said
    assert "of more" not in run("SELECT id FROM range(3)", "--rows", "3")[2]


def test_a_table_that_is_too_large_for_the_terminal_goes_through_the_pager(
    root: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    paged: list[str] = []
    monkeypatch.setattr("pydoc.pager", paged.append)
    screen = sql.Console(file=io.StringIO(), force_terminal=True, width=60, height=20)
    monkeypatch.setattr(sql, "output", screen)
    queries = Queries(Lake(str(root), spark))
    queries.answer("SELECT symbol FROM silver.adjustments", sql.Format.table, 100)
    assert (paged, "symbol" in screen.file.getvalue()) == ([], True)  # type: ignore[attr-defined]
    wide = "x" * 80
    queries.answer(f"SELECT '{wide}' AS text", sql.Format.table, 100)
    queries.answer("SELECT id FROM range(30)", sql.Format.table, 100)
    assert wide in paged[0]  # Not folded.
    assert len(paged[1].splitlines()) > 30


ON_A_TERMINAL = """
import sys
from pathlib import Path
from smallcaps.cli.shell import Shell
from smallcaps.cli.sql import Format
from smallcaps.errors import BadInput

class Queries:
    known = ["gold.events", "gold.event_labels", "gold.cohorts"]
    def answer(self, query, form, most, target=None):
        if "wrong" in query:
            raise BadInput("It is wrong.")
        if "slow" in query:
            import time; print("running", flush=True); time.sleep(60)
        print(f"<{query!r} {form} {target and target.name}>", flush=True)

Shell(Queries(), Format.table, 10, Path(sys.argv[1])).run()
print("left")
"""


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, *command: str) -> None:
        self.process, self.screen = pty.fork()
        if self.process == 0:
            os.environ["TERM"] = "dumb"
            os.execv(command[0], command)
        self.seen = ""

    def until(self, words: str, seconds: float = 60) -> str:
        """What it shows up to `words`."""
        deadline = time.monotonic() + seconds
        while words not in self.seen:
            assert select.select([self.screen], [], [], max(0, deadline - time.monotonic()))[0], self.seen
            try:
                self.seen += os.read(self.screen, 4096).decode()
            except OSError:
                raise AssertionError(self.seen) from None
        shown, _, self.seen = self.seen.partition(words)
        return shown + words

    def type(self, keys: str) -> None:
        os.write(self.screen, keys.encode())

    def interrupt(self, words: str) -> None:
        """Ctrl-C until it shows `words`: Python sees one that comes between readline's prompt and its wait with the next key."""
        for _ in range(30):
            self.type("\x03")
            try:
                self.until(words, 2)
            except AssertionError:
                continue
            return
        raise AssertionError(self.seen)


def test_the_shell_completes_remembers_and_goes_on_after_errors(tmp_path: Path) -> None:
    history = tmp_path / "cache" / "history"
    terminal = Terminal(sys.executable, "-c", ON_A_TERMINAL, str(history))
    terminal.until("smallcaps> ")
    # Tab completes tables and columns; a query ends with its semicolon, some lines later.
    terminal.type("SELECT strengt\t FROM gold.co\t\n")
    terminal.until("...> ")
    terminal.type("-- a word\nWHERE 1 = 1;\n")
    assert "<'SELECT strength FROM gold.cohorts\\n-- a word\\nWHERE 1 = 1' table None>" in terminal.until("None>")
    terminal.until("smallcaps> ")
    terminal.type("SELECT wrong;\n")
    terminal.until("Error: It is wrong.")
    terminal.until("smallcaps> ")
    terminal.type(f"\\o {tmp_path / 'rows.parquet'}\n")
    terminal.until("smallcaps> ")
    terminal.type("\\o rows.xml\n")
    terminal.until("ends with neither .csv nor .parquet")
    terminal.until("smallcaps> ")
    terminal.type("\\f csv\n")
    terminal.until("smallcaps> ")
    terminal.type("SELECT 1; SELECT 2;\n")
    terminal.until("<'SELECT 1' csv rows.parquet>")
    terminal.until("<'SELECT 2' csv None>")
    terminal.type("\\d gold.cohorts\n")
    terminal.until("median_return")
    terminal.until("smallcaps> ")
    # Ctrl-C stops a query, or what was typed of one; Ctrl-D leaves.
    terminal.type("SELECT slow;\n")
    terminal.until("running")
    terminal.interrupt("Stopped.")
    terminal.until("smallcaps> ")
    terminal.type("SELECT half\n")
    terminal.until("...> ")
    terminal.interrupt("smallcaps> ")
    terminal.type("\x04")
    terminal.until("left")
    os.waitpid(terminal.process, 0)
    kept = history.read_text().splitlines()
    assert kept[0].split() == ["SELECT", "strength", "FROM", "gold.cohorts", "WHERE", "1", "=", "1;"]

    again = Terminal(sys.executable, "-c", ON_A_TERMINAL, str(history))
    again.until("smallcaps> ")
    again.type("\x10\x10\x10\n")  # Three entries up.
    again.until("<'SELECT 2' table None>")
    again.type("\\q\n")
    again.until("left")
    os.waitpid(again.process, 0)
