"""Detection under the load of benchmarks/live_latency.py: it keeps up, takes a burst in, and what it keeps is bounded."""

import argparse
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.detect import rows_before
from smallcaps.detectors.tape import LATE_NUMBERS
from smallcaps.lake import Lake
from smallcaps.streaming.broker import Broker
from smallcaps.streaming.detection import SPARE_ROWS
from tests.benchmarks.scripts import imported

BURST = 10


@pytest.mark.long
@pytest.mark.guarantee
@pytest.mark.usefixtures("compiled")
def test_a_rate_is_kept_a_burst_is_taken_in_and_neither_rows_nor_memory_pile_up(
    spark: SparkSession, settings: Settings, tmp_path: Path, full_size: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    symbols, rate, seconds, burst_seconds = (2_000, 5_000, 600, 60) if full_size else (100, 250, 60, 5)
    arguments = argparse.Namespace(
        symbols=symbols,
        seconds=seconds,
        warm_minutes=20,
        burst=BURST,
        burst_seconds=burst_seconds,
        grains="minute,trade",
    )
    lake = Lake(str(tmp_path / "lake"), spark)
    with (
        imported("live_latency", "footprint") as benchmark,
        Broker(tmp_path / "broker", settings.cache) as broker,
    ):
        benchmark.prepare(lake, symbols)
        load = benchmark.measure(settings, lake, broker, arguments, rate)
        with capsys.disabled():
            load.show()
    # The burst is behind it, and what is unread is what came during a few micro-batches.
    assert load.unread[-1] < max(load.unread)
    assert load.unread[-1] < 10 * rate
    if full_size:
        assert {grain for grain, _ in load.alerts} == {"minute", "trade"}
    bars = symbols * (arguments.warm_minutes + seconds // 60 + 1)
    needed = rows_before(settings, "trade")
    assert needed is not None
    assert load.kept[-1]["minute"] <= bars
    # At the full size most of the trades have been forgotten.
    assert load.kept[-1]["trade"] <= rate / benchmark.TRADES_OF * (needed + LATE_NUMBERS + 2 * SPARE_ROWS["trade"])
    assert load.memory[-1] < 1.5 * load.memory[0]
