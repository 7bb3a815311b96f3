"""The command line: exit codes, streams, and the jobs that stand for the commands."""

import ast
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from py4j.protocol import Py4JError, Py4JNetworkError

from smallcaps.cli import app as module
from smallcaps.cli.app import app, main
from smallcaps.cli.console import report_folder, told
from smallcaps.errors import BadData, BadInput, FailedDependency
from tests.conftest import REPOSITORY

ON_SPARK = {
    *("demo", "ingest flatfiles", "ingest reference", "ingest rest", "ingest all", "ingest feed", "refine"),
    *("detect daily", "detect intraday", "manifest", "features", "label", "train", "report", "sql", "tables", "trace"),
    *(
        "quality",
        "simulate build",
        "simulate faults",
        "stale",
        "refresh",
        "upgrade",
        "maintain",
        "show",
        "manifest explain",
    ),
    *(
        "review sample",
        "review score",
        "detectors truth",
        "score",
        "model list",
        "model judge",
        "model search",
        "model drift",
        "model report",
        "model truth",
    ),
    *(
        "manipulation train",
        "manipulation score",
        "live detect",
        "live score",
        "live land",
        "live demo",
        "replay",
        "parity",
    ),
    *("status", "lineage"),
    *("dataset build", "dataset rebuild", "dataset diff", "dataset list"),
    *("manifest plan", "ingest windows", "detectors account", "sequences"),
}
ALIASES = {"ingest --all"}
WITHOUT = {
    *("doctor", "jars", "version", "detectors list", "detectors sql", "detectors explain"),
    *("simulate serve", "simulate facts", "review serve", "cluster", "history"),
    *(
        "live topics",
        "live ingest",
        "live broker",
        "live notify",
        "live metrics",
        "live up",
        "live status",
        "live down",
    ),
}


def commands(group: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every command by its words."""
    if not hasattr(group, "commands"):
        return {" ".join(path): group}
    # A group may be a command itself.
    found: dict[str, Any] = {" ".join(path): group} if group.invoke_without_command else {}
    for name, command in group.commands.items():
        found |= commands(command, (*path, name))
    return found


COMMANDS = commands(typer.main.get_command(app))


def job_command(job: Path) -> str:
    """The words that a job calls `main` with."""
    calls = [node for node in ast.walk(ast.parse(job.read_text())) if isinstance(node, ast.Call)]
    call = next(node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "main")
    assert isinstance(call.args[0], ast.List)
    return " ".join(word.value for word in call.args[0].elts if isinstance(word, ast.Constant))


def test_every_command_that_needs_spark_has_a_job_that_calls_it() -> None:
    assert set(COMMANDS) == ON_SPARK | ALIASES | WITHOUT
    assert {job_command(job) for job in (REPOSITORY / "jobs").glob("*.py")} == ON_SPARK


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_and_option_has_a_help_text(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words.split(), "--help"]) == 0
    assert "Usage" in capsys.readouterr().out
    command = COMMANDS[words]
    assert command.help
    for option in command.params:
        assert getattr(option, "help", None) or words.startswith("detectors"), option.name


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["refine"], ["tables", "--nothing"], ["sql", "x", "--format", "xml"]]
)
def test_a_command_line_that_is_wrong_is_bad_input(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (BadInput("No such day."), 2, "Error: No such day."),
        (BadData("A file is torn."), 3, "Error: A file is torn."),
        (FailedDependency("No Java."), 4, "Error: No Java."),
        (ModuleNotFoundError("No module named 'mlflow'", name="mlflow"), 4, "pip install 'smallcaps[models]'"),
        (OSError(28, "No space left on device"), 4, "The disk is full"),
        (Py4JError("An error occurred: No space left on device"), 4, "The disk is full"),
        (Py4JError("Job aborted: most recent failure: ExecutorLostFailure (executor 1 exited)"), 4, "Spark lost what"),
        (Py4JNetworkError("Answer from Java side is empty"), 4, "Spark lost what"),
        (KeyboardInterrupt(), 130, ""),
        (ValueError("first line\n\tat org.apache.spark.Thing"), 70, "first line This is a bug of ours"),
    ],
)
def test_each_kind_of_failure_has_its_exit_code_and_one_sentence(
    error: BaseException,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> str:
        raise error

    monkeypatch.setenv("SMALLCAPS_CACHE", str(tmp_path))
    monkeypatch.setattr(module, "code_version", fail)
    assert main(["version"]) == code
    said = capsys.readouterr()
    assert words in " ".join(said.err.split())
    assert "at org.apache" not in said.err
    assert said.out == ""
    if code == 70:
        assert "ValueError: first line" in (tmp_path / "logs" / "error.log").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not on this system")
def test_a_result_that_could_not_be_written_is_a_failure() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "smallcaps.cli.app", "tables", "--markdown"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 4
    assert "The disk is full" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("result", "line"),
    [({"gold.events": 12345, "ops.runs": 0}, "gold.events 12,345, ops.runs 0"), (1234, "1,234 rows"), ("page", "page")],
)
def test_a_result_is_told_in_one_line(result: object, line: str) -> None:
    assert told(result) == line


def test_the_report_goes_into_a_lake_on_this_machine_only() -> None:
    here: Any = SimpleNamespace(root="/lake")
    away: Any = SimpleNamespace(root="s3a://bucket/lake")
    assert report_folder(here, None) == Path("/lake/report")
    assert report_folder(away, Path("out")) == Path("out")
    with pytest.raises(BadInput, match="name a local folder"):
        report_folder(away, None)


def test_a_reader_that_has_seen_enough_is_no_fault_of_anybody() -> None:
    script = f"{sys.executable} -m smallcaps.cli.app tables --markdown | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.strip() in {"0", "1"}  # 0 where everything fitted into the pipe before it closed.
    assert done.stderr == ""


def test_ingest_all_says_in_a_line_that_fred_is_left_out_without_a_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("FRED_API_KEY", "POLYGON_API_KEY", "MASSIVE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    days = ["--from", "2024-01-02", "--to", "2024-01-03"]
    assert main(["ingest", "all", *days]) == 2  # The vendor's key is needed.
    said = capsys.readouterr().err
    assert said.splitlines()[0].startswith("FRED_API_KEY is not set")
    assert main(["ingest", "rest", "--endpoints", "macro_vintages", *days]) == 2
    assert "set FRED_API_KEY" in capsys.readouterr().err.replace("\n", " ")
