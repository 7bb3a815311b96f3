"""docs/extending.md is followed to the letter, in a copy of the package: its detector, table and job must work."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

JOB_TEST = """
from datetime import date

from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.lake import Lake, declared
from smallcaps.serving.breadth import measure_breadth, session_breadth


def test_breadth(spark: SparkSession, settings: Settings, lake: Lake) -> None:
    day = date(2015, 3, 20)
    rows = [("daily", day, "A", 1), ("daily", day, "A", -1), ("daily", day, "B", 1), ("minute", day, "C", 1)]
    events = spark.createDataFrame(rows, "grain string, session_date date, symbol string, direction int")
    assert [tuple(row) for row in session_breadth(events).collect()] == [(day, 3, 2, 2 / 3)]
    lake.replace("gold.events", spark.createDataFrame([], declared("gold.events").schema), None, "r")
    assert measure_breadth(lake, settings, day, day) == 0
    assert lake.read("ops.runs").where("job = 'breadth'").count() == 1
"""


def blocks() -> list[str]:
    """The Python of the document, in order."""
    text = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
    return [
        textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)
    ]


def block_with(words: str) -> str:
    found = [block for block in blocks() if words in block]
    assert len(found) == 1, words
    return found[0]


def test_what_the_document_adds_works(tmp_path: Path) -> None:
    for folder in ("smallcaps", "tests", "conf", "jobs"):
        shutil.copytree(REPOSITORY / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    (tmp_path / "data").symlink_to(REPOSITORY / "data")

    (tmp_path / "smallcaps/detectors/daily/inside_day.py").write_text(block_with("DETECTOR = Detector("))
    (tmp_path / "tests/detectors/test_inside_day.py").write_text(block_with("The inside day, by hand"))
    gold = tmp_path / "smallcaps/lake/gold.py"
    table = block_with("SESSION_BREADTH = Table(")
    gold.write_text(gold.read_text().replace("TABLES = (", f"{table}\nTABLES = (SESSION_BREADTH, "))
    (tmp_path / "smallcaps/serving/breadth.py").write_text(block_with("def measure_breadth("))
    app = tmp_path / "smallcaps/cli/app.py"
    command = "from smallcaps.serving.breadth import measure_breadth\n\n\n" + block_with('@app.command("breadth")')
    app.write_text(app.read_text().replace('@app.command("version")', f'{command}\n\n@app.command("version")'))
    (tmp_path / "jobs/breadth.py").write_text(block_with('main(["breadth"'))
    (tmp_path / "tests/docs/test_breadth.py").write_text(JOB_TEST)

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    tests = ["tests/detectors/test_inside_day.py", "tests/docs/test_breadth.py"]
    flags = ["-p", "no:cacheprovider", "-p", "no:xdist", "-o", "addopts="]
    for arguments in (["-m", "pytest", *flags, *tests], ["jobs/breadth.py", "--help"]):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Measure how much of the market moved" in done.stdout
