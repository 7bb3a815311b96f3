"""The engines that benchmarks/detectors.py compares find the same events, and its comparison can fail."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.registry import detectors_of
from tests.benchmarks.scripts import imported


@pytest.fixture(scope="module")
def benchmark() -> Iterator[ModuleType]:
    """The script, as its folder sees it."""
    with imported("detectors", "detector_rivals", "detector_rows", "footprint") as module:
        yield module


@pytest.mark.slow
@pytest.mark.long
def test_every_engine_finds_the_events_that_ours_finds(
    benchmark: ModuleType, spark: SparkSession, settings: Settings, tmp_path: Path
) -> None:
    market = tmp_path / "market"
    assert 15_000 < benchmark.write_market(market, 20_000) < 25_000
    benchmark.ours(spark, settings, market, tmp_path / "ours")
    benchmark.naive(spark, market, tmp_path / "naive")
    benchmark.naive_together(spark, market, tmp_path / "together")
    benchmark.duck(market, tmp_path / "sliding", running=False)
    benchmark.duck(market, tmp_path / "running", running=True)
    benchmark.polars(market, tmp_path / "polars")
    found = benchmark.counted(tmp_path / "ours")
    assert set(found) == {one.name for one in detectors_of("minute")}
    for rival in ("naive", "together", "sliding", "running", "polars"):
        assert benchmark.differing(tmp_path / "ours", tmp_path / rival) == 0, rival


@pytest.mark.slow
@pytest.mark.parametrize(("grain", "rows"), [("daily", 20_000), ("trade", 50_000)])
def test_the_rows_of_the_other_grains_hold_events_of_each_detector(
    benchmark: ModuleType, spark: SparkSession, tmp_path: Path, grain: str, rows: int
) -> None:
    assert benchmark.single(grain, rows, 1, tmp_path) > 0
    assert set(benchmark.counted(tmp_path / "out")) == {one.name for one in detectors_of(grain)}


def test_an_event_that_is_missing_or_has_another_strength_is_noticed(benchmark: ModuleType, tmp_path: Path) -> None:
    market = tmp_path / "market"
    benchmark.write_market(market, 5_000)
    benchmark.polars(market, tmp_path / "polars")
    events = benchmark.polars_events(market)
    for name, other in {
        "missing": events[1:],
        "stronger": events.with_columns(strength=events["strength"] * (1 + 1e-7)),
    }.items():
        (tmp_path / name).mkdir()
        other.write_parquet(tmp_path / name / "events.parquet")
    assert benchmark.differing(tmp_path / "polars", tmp_path / "missing") == 1
    assert benchmark.differing(tmp_path / "polars", tmp_path / "stronger") == len(events) > 0
