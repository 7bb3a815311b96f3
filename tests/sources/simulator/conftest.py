"""Fixtures of the simulator's tests."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.sources.simulator.build import build_market
from tests.sources.simulator.market import SMALL_MARKET


@pytest.fixture(scope="session")
def market(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SMALL_MARKET in a folder."""
    folder = tmp_path_factory.mktemp("simulated") / "market"
    build_market(spark, SMALL_MARKET, folder)
    return folder
