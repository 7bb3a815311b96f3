"""What a person sees while something long is done: what is done and left, on a terminal only, and warnings afterwards."""

import io
import time

import pytest
from pyspark.sql import SparkSession
from rich.console import Console

from smallcaps.cli import console
from smallcaps.lake.runs import WARNINGS
from smallcaps.log import progress


def seen(spark: SparkSession, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> str:
    """What `timed` writes to stderr about some work that warns and says how far it is."""
    written = Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)
    monkeypatch.setattr(console, "messages", written)

    def work() -> int:
        for number in range(3):
            progress(number, 3, "tables", f"t{number}")
            time.sleep(0.3)
        WARNINGS.warning("%s: few rows", "t2")
        return 1200

    assert console.timed("refine", spark, work) == 1200
    return written.file.getvalue()


def test_a_terminal_shows_what_is_done_and_what_is_left(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = seen(spark, monkeypatch, terminal=True)
    for number in range(3):
        assert f"refine: {number} of 3 tables: t{number}" in drawn
    assert drawn.index("2 of 3 tables") < drawn.index("✓ refine: 1,200 rows") < drawn.index("! t2: few rows")


def test_elsewhere_there_is_a_line_for_the_step_and_one_for_each_warning(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, warning = seen(spark, monkeypatch, terminal=False).strip().splitlines()
    assert step.startswith("✓ refine: 1,200 rows (")
    assert warning.strip() == "! t2: few rows"
