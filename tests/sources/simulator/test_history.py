"""The days of every security hang together."""

from collections import defaultdict
from datetime import date

import numpy as np
import pytest

from smallcaps.errors import BadInput
from smallcaps.sources.simulator.history import History, factor_minutes, make_history, session_hours
from smallcaps.sources.simulator.settings import MarketSettings
from smallcaps.sources.simulator.universe import MARKET_FUND, TEST_SYMBOL


@pytest.fixture(scope="module")
def history() -> History:
    return make_history(MarketSettings(symbols=120, days=30))


def test_the_same_settings_give_the_same_history_and_another_seed_another(history: History) -> None:
    again = make_history(MarketSettings(symbols=120, days=30))
    assert again.plans == history.plans
    assert again.episodes == history.episodes
    assert make_history(MarketSettings(symbols=120, days=30, seed=8)).plans[0] != history.plans[0]


def test_sessions_are_those_of_new_york_half_days_included() -> None:
    hours = session_hours(date(2026, 11, 30), 4)
    assert [str(one.day) for one in hours] == ["2026-11-24", "2026-11-25", "2026-11-27", "2026-11-30"]
    assert [one.close for one in hours] == [43_200, 43_200, 32_400, 43_200]
    assert hours[2].end == 46_800
    assert hours[0].start_ns == 1_795_510_800_000_000_000


def test_a_name_is_planned_on_the_days_on_which_it_is_listed_under_the_symbol_it_has_then(history: History) -> None:
    days = [hours.day for hours in history.sessions]
    planned = defaultdict(set)
    for plan in history.plans:
        planned[plan.seed[2]].add((plan.hours.day, plan.symbol))
    for security in history.securities:
        expected = {(day, security.symbol_on(day)) for day in days if security.symbol_on(day)}
        assert planned[security.number] == expected
    assert any(security.delisted for security in history.securities)
    assert any(security.former for security in history.securities)
    assert any(security.listed > days[0] for security in history.securities)


def test_a_symbol_belongs_to_one_security_a_day_though_one_is_used_again(history: History) -> None:
    of_days = [(plan.symbol, plan.hours.day) for plan in history.plans]
    assert len(of_days) == len(set(of_days))
    owners = defaultdict(set)
    for plan in history.plans:
        owners[plan.symbol].add(plan.seed[2])
    assert sum(len(numbers) > 1 for numbers in owners.values()) == 1


def test_each_day_begins_where_the_one_before_ended_but_for_splits(history: History) -> None:
    split_at = {(split.number, split.day): split.old / split.new for split in history.splits}
    moved = {(episode.number, episode.session_date): episode.total_move for episode in history.episodes}
    previous = {}
    for plan in history.plans:
        number, day = plan.seed[2], plan.hours.day
        if number in previous:
            before, before_day = previous[number]
            ended = before.end_price * np.exp(moved.get((number, before_day), 0.0))
            assert plan.prior_close == pytest.approx(ended * split_at.get((number, day), 1.0))
        previous[number] = plan, day
    assert history.splits


def test_stocks_move_with_the_market(history: History) -> None:
    closes = history.closes
    returns = np.diff(np.log(closes), axis=1)
    market = next(security.number for security in history.securities if security.symbol == MARKET_FUND)
    stocks = [security.number for security in history.securities if security.kind == "CS"]
    average = np.nanmean(np.clip(returns[stocks], -0.1, 0.1), axis=0)
    assert np.corrcoef(average, returns[market])[0, 1] > 0.6


def test_factors_are_the_days_own_and_zero_outside_regular_hours() -> None:
    one, same, other = (factor_minutes(7, date(2026, 10, day)) for day in (29, 29, 30))
    assert (one == same).all()
    assert (one != other).any()
    assert not one[:, :330].any()
    assert not one[:, 720:].any()


def test_the_exchanges_test_symbol_is_there_unless_faults_are_not_wanted(history: History) -> None:
    assert TEST_SYMBOL in {plan.symbol for plan in history.plans}
    clean = make_history(MarketSettings(symbols=20, days=5, faults=False, tick_days=0))
    assert TEST_SYMBOL not in {plan.symbol for plan in clean.plans}


@pytest.mark.parametrize(
    "wrong", [{"symbols": 9}, {"days": 1}, {"tick_days": 31}, {"hidden_share": 1.5}, {"episodes": -1}]
)
def test_settings_that_make_no_market_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        MarketSettings(**wrong)
