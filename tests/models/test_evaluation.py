"""Metrics by hand on a dozen rows, and what their intervals do."""

import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from smallcaps.models.evaluation import Estimate, area_under_curve, brier, evaluate, skill, top_decile_lift

DAY = dt.date(2024, 3, 4)


def scored(rows: list[tuple[float, int]], dates: list[dt.date] | None = None, base_rate: float = 0.5) -> pd.DataFrame:
    """(probability, continued) rows as gold.predictions has them; event ids in the order of the rows."""
    return pd.DataFrame(
        {
            "event_id": [f"e{place:04d}" for place in range(len(rows))],
            "session_date": dates or [DAY] * len(rows),
            "probability": [probability for probability, _ in rows],
            "continued": [continued for _, continued in rows],
            "base_rate": base_rate,
        }
    )


FOUR = scored([(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)])


def test_auc_is_the_share_of_pairs_in_the_right_order() -> None:
    # Pairs (continued, not): 0.35 > 0.1, 0.35 < 0.4, 0.8 > 0.1, 0.8 > 0.4: three of four. Ties count half.
    assert area_under_curve(FOUR) == 0.75
    assert area_under_curve(scored([(0.5, 0), (0.5, 1)])) == 0.5
    assert math.isnan(area_under_curve(scored([(0.2, 1), (0.7, 1)])))


def test_brier_is_the_mean_squared_error() -> None:
    # 0.1² + 0.4² + 0.65² + 0.2² = 0.01 + 0.16 + 0.4225 + 0.04 = 0.6325.
    assert brier(FOUR) == pytest.approx(0.6325 / 4)


def test_lift_compares_the_best_tenth_with_all() -> None:
    # 20 rows of which 5 continued (25 %); of the two highest probabilities one did: 50 % / 25 % = 2.
    rows = [(0.9, 1), (0.8, 0), *[(0.5, 1)] * 4, *[(0.1, 0)] * 14]
    assert top_decile_lift(scored(rows)) == pytest.approx(2)
    # Fewer than ten rows: the single best.
    assert top_decile_lift(FOUR) == pytest.approx(1 / 0.5)
    assert math.isnan(top_decile_lift(scored([(0.5, 0)] * 10)))


def test_lift_breaks_ties_by_event_id_whatever_the_order_of_the_rows() -> None:
    rows = scored([(0.5, 1), *[(0.5, 0)] * 9])
    assert top_decile_lift(rows) == top_decile_lift(rows.iloc[::-1]) == pytest.approx(10)


def test_skill_is_what_log_loss_gains_on_the_folds_base_rates() -> None:
    # Base rate 0.5: ln 2. Probabilities 0.8 for what continued and 0.2 for what did not: −ln 0.8.
    rows = scored([(0.8, 1), (0.2, 0)])
    assert skill(rows) == pytest.approx(1 - math.log(0.8) / math.log(0.5))
    assert skill(scored([(0.5, 1), (0.5, 0)])) == pytest.approx(0)
    # Each row against its own fold's base rate: −(ln 0.9 + ln 0.6)/2 is the reference.
    rows["base_rate"] = [0.9, 0.4]
    assert skill(rows) == pytest.approx(1 - math.log(0.8) * 2 / (math.log(0.9) + math.log(0.6)))


def coin_flips(seed: int, weeks: int = 30, a_week: int = 20) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    dates = [
        DAY + dt.timedelta(weeks=week, days=int(day)) for week in range(weeks) for day in random.integers(0, 5, a_week)
    ]
    rows = [(float(random.random()), int(random.integers(0, 2))) for _ in dates]
    return scored(rows, dates)


def test_the_interval_of_a_coin_flip_covers_one_half() -> None:
    """Of 12 coins a 95 % interval misses about one, and more than three only twice in a thousand times."""
    estimates = [evaluate(coin_flips(seed, weeks=15), samples=30, seed=seed)["auc"] for seed in range(12)]
    assert all(estimate.low <= estimate.value <= estimate.high for estimate in estimates)
    assert sum(not estimate.low <= 0.5 <= estimate.high for estimate in estimates) <= 3
    assert all(estimate.high - estimate.low < 0.25 for estimate in estimates)


def test_the_bootstrap_is_seeded() -> None:
    rows = coin_flips(1)
    assert evaluate(rows, samples=30, seed=7) == evaluate(rows, samples=30, seed=7)
    assert evaluate(rows, samples=30, seed=7) != evaluate(rows, samples=30, seed=8)


def test_without_draws_there_is_no_interval() -> None:
    estimate = evaluate(FOUR, samples=0, seed=1)["auc"]
    assert estimate.value == 0.75
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_whole_iso_weeks_are_drawn() -> None:
    """One week drawn again and again is always the same week: no width. 30 December 2024 and 2 January 2025 share one."""
    rows = [(0.1, 0), (0.4, 0), (0.35, 1), (0.8, 1)]
    days = [dt.date(2024, 12, 30), dt.date(2024, 12, 31), dt.date(2025, 1, 2), dt.date(2025, 1, 3)]
    one_week = evaluate(scored(rows, days), samples=20, seed=1)
    assert one_week["auc"] == Estimate(0.75, 0.75, 0.75)
    assert one_week["brier"].low == one_week["brier"].high == pytest.approx(0.6325 / 4)
    # The first of January of two years, and the first weeks of two years, are different weeks.
    days = [dt.date(2024, 1, 2), dt.date(2024, 1, 2), dt.date(2025, 1, 2), dt.date(2025, 1, 2)]
    two_weeks = evaluate(scored([(0.1, 0), (0.9, 0), (0.3, 1), (0.8, 1)], days), samples=60, seed=1)
    assert two_weeks["brier"].low < two_weeks["brier"].value < two_weeks["brier"].high


def test_a_week_counts_as_one_observation_however_many_events_it_has() -> None:
    """Copies of one week's events make the rows more, not the evidence: the interval stays as wide."""
    rows = coin_flips(3, weeks=8, a_week=10)
    copied = pd.concat([rows.assign(event_id=rows["event_id"] + f" {copy}") for copy in range(5)])
    once, often = (evaluate(frame, samples=60, seed=5)["auc"] for frame in (rows, copied))
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
