"""The engines that benchmarks/as_of.py compares find the same quotes, and its comparison can fail."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pyspark.sql import SparkSession

from tests.benchmarks.scripts import imported


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The script, as its folder sees it."""
    with imported("as_of") as module:
        yield module


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["thin", "bursts", "giant", "wide"])
def test_every_engine_finds_the_quotes_that_ours_finds(
    benchmark: ModuleType, spark: SparkSession, tmp_path: Path, shape: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark.compare(spark, shape, tmp_path / shape, 20_000, 1)
    assert shape in capsys.readouterr().out


def test_another_count_or_sum_is_noticed(benchmark: ModuleType) -> None:
    assert benchmark.alike((5, 10.0), (5, 10.0), True)
    assert not benchmark.alike((4, 10.0), (5, 10.0), True)
    assert not benchmark.alike((5, 10.1), (5, 10.0), True)
    assert benchmark.alike((5, 10.1), (5, 10.0), False)
