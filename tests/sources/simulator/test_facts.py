"""The simulated market has the stylised facts of real ones, measured on its tape."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from smallcaps.errors import BadInput
from smallcaps.sources.simulator.build import build_market
from smallcaps.sources.simulator.facts import Fact, hill, measure
from smallcaps.sources.simulator.settings import MarketSettings


@pytest.mark.parametrize("index", [2.0, 3.5])
def test_hills_index_finds_that_of_a_power_law(index: float) -> None:
    values = (1 - np.random.default_rng(1).random(400_000)) ** (-1 / index)
    assert hill(values) == pytest.approx(index, rel=0.05)


def test_a_fact_holds_at_the_ends_of_its_range() -> None:
    assert [Fact("", "", value, 1.0, 2.0, "M").holds for value in (0.99, 1.0, 2.0, 2.01, float("nan"))] == [
        *(False, True, True, False, False)
    ]


def test_a_folder_without_a_market_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no market"):
        measure(tmp_path)


@pytest.mark.slow
def test_the_facts_of_a_market_lie_in_the_ranges_of_real_ones(spark: SparkSession, tmp_path: Path) -> None:
    settings = MarketSettings(symbols=150, days=20, tick_days=1, tick_symbols=80, seed=11)
    build_market(spark, settings, tmp_path / "market")
    facts = measure(tmp_path / "market")
    assert len(facts) >= 32
    assert {fact.name: fact.value for fact in facts if not fact.holds} == {}
