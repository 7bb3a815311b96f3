"""The simulated market has the stylised facts of real ones, measured on its tape."""

from concurrent.futures import ProcessPoolExecutor
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import SparkSession

from smallcaps.errors import BadInput
from smallcaps.sources.simulator.build import build_market
from smallcaps.sources.simulator.facts import Fact, hill, measure, pause_facts
from smallcaps.sources.simulator.history import common_minutes, factor_minutes, make_history
from smallcaps.sources.simulator.plan import DayPlan
from smallcaps.sources.simulator.session import generators_of, simulate_course
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


@pytest.mark.long
def test_the_facts_of_a_market_lie_in_the_ranges_of_real_ones(spark: SparkSession, tmp_path: Path) -> None:
    settings = MarketSettings(symbols=150, days=20, tick_days=1, tick_symbols=80, seed=11)
    build_market(spark, settings, tmp_path / "market")
    facts = measure(tmp_path / "market")
    assert len(facts) >= 32
    assert {fact.name: fact.value for fact in facts if not fact.holds} == {}


def pauses_of(day: tuple[int, list[DayPlan]]) -> list[tuple[float, float]]:
    """Limit pauses of a day's plans: seconds after the open, and how long."""
    seed, plans = day
    factors = factor_minutes(seed, plans[0].hours.day)
    found = []
    for plan in plans:
        course = simulate_course(generators_of(plan)[0], plan, common_minutes(plan, factors))
        pauses = [pause for pause in course.pauses if pause.reason == "LUDP"]
        found += [(pause.start - plan.hours.open, pause.end - pause.start) for pause in pauses]
    return found


@pytest.mark.long
def test_limit_pauses_come_when_and_last_as_long_as_in_real_markets() -> None:
    # A market of the usual size without its prints: pauses are few, and follow from the price.
    settings = MarketSettings(seed=11)
    days = groupby(
        sorted(make_history(settings).plans, key=lambda plan: plan.hours.day), key=lambda plan: plan.hours.day
    )
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        found = pool.map(pauses_of, [(settings.seed, list(plans)) for _, plans in days])
    facts = pause_facts([pause for pauses in found for pause in pauses])
    assert len(facts) == 2
    assert {fact.name: fact.value for fact in facts if not fact.holds} == {}
