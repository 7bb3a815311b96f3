"""The book behind the best quotes: what it begins with, how it goes on, and what episodes do to it."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from smallcaps.sources.simulator.depth import LEVELS, book_rows
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT, TAPE
from smallcaps.sources.simulator.plan import SECOND_NS, DayPlan, Drive, Pause
from smallcaps.sources.simulator.session import Quotes, simulate_session
from smallcaps.sources.simulator.universe import LIQUIDITY
from tests.sources.simulator.plans import NO_COMMON, plan

CENT = PRICE_UNIT // 100
SIDES = {"bids": -1, "asks": 1}


def made(seed: int = 3, **changes: Any) -> tuple[DayPlan, Quotes, pa.Table]:
    one = plan(seed, **changes)
    quotes = simulate_session(one, NO_COMMON, True).quotes
    assert quotes is not None
    return one, quotes, book_rows(one, quotes)


def side(rows: pa.Table, name: str, part: str) -> np.ndarray:
    """Prices or sizes by book and level; NaN where there is no level."""
    filled = np.full((rows.num_rows, LEVELS), np.nan)
    for place, levels in enumerate(rows[name].to_pylist()):
        filled[place, : len(levels)] = [level[part] for level in levels]
    return filled


def seconds_of(rows: pa.Table) -> np.ndarray:
    return (rows["made_ns"].to_numpy() - plan().hours.start_ns) / SECOND_NS


def test_every_book_begins_with_the_quote_of_its_instant() -> None:
    _, quotes, rows = made()
    assert rows.schema == TAPE["book"]
    at = np.searchsorted(quotes.sip_ns, rows["published_ns"].to_numpy())
    assert (quotes.sip_ns[at] == rows["published_ns"].to_numpy()).all()
    assert (quotes.participant_ns[at] == rows["made_ns"].to_numpy()).all()
    for name, price, size in (
        ("bids", quotes.bid_price, quotes.bid_size),
        ("asks", quotes.ask_price, quotes.ask_size),
    ):
        assert (side(rows, name, "price")[:, 0] == price[at]).all()
        assert (side(rows, name, "size")[:, 0] == size[at]).all()


def test_a_book_is_shown_where_the_best_prices_are_new_and_only_there() -> None:
    _, quotes, rows = made()
    both = np.stack([quotes.bid_price, quotes.ask_price])
    new = np.concatenate([[True], (both[:, 1:] != both[:, :-1]).any(axis=0)])
    assert rows["published_ns"].to_pylist() == quotes.sip_ns[new].tolist()
    assert 100 < rows.num_rows < len(quotes.sip_ns)
    assert len(np.unique(seconds_of(rows).astype(int))) == rows.num_rows


@pytest.mark.parametrize("name", SIDES)
def test_prices_lead_away_on_the_tick_and_sizes_are_whole_lots(name: str) -> None:
    _, _, rows = made()
    price, size = side(rows, name, "price"), side(rows, name, "size")
    assert price.shape[1] == 10
    assert not np.isnan(price).any()
    assert (np.diff(price, axis=1) * SIDES[name] >= CENT).all()
    assert (price % CENT == 0).all()
    assert (size >= 100 * SIZE_UNIT).all()
    assert (size % (100 * SIZE_UNIT) == 0).all()


def test_the_same_plan_gives_the_same_book_and_another_seed_another() -> None:
    assert made()[2].equals(made()[2])
    assert not made()[2].equals(made(4)[2])


def test_sizes_grow_away_from_the_best_price() -> None:
    sizes = np.concatenate([side(made(seed)[2], name, "size") for seed in range(4) for name in SIDES])
    mean = sizes.mean(axis=0)
    # Level 10 has 1 + 9 × 0.3 = 3.7 times the first, give or take the noise's means.
    assert 2.5 < mean[9] / mean[0] < 5
    assert (np.diff(mean[1:]) > 0).all()
    # And they differ from book to book, yet not wholly.
    deep = np.log(side(made()[2], "bids", "size")[:, 9])
    assert 0.3 < deep.std() < 1.2
    assert np.corrcoef(deep[:-1], deep[1:])[0, 1] > 0.6


def test_a_thin_name_has_holes_and_a_liquid_one_hardly_any() -> None:
    steps = {}
    for name in ("liquid", "mid", "thin"):
        rows = made(liquidity=LIQUIDITY[name])[2]
        steps[name] = float(np.diff(side(rows, "asks", "price"), axis=1).mean() / CENT)
    assert steps["liquid"] < 1.3
    assert steps["liquid"] <= steps["mid"] < steps["thin"]
    # Half of the usual spread, in ticks.
    assert steps["thin"] == pytest.approx(LIQUIDITY["thin"].spread_ticks / 2, rel=0.15)


def test_a_name_below_a_cent_has_no_level_at_a_price_that_is_not_there() -> None:
    cheap = dict.fromkeys(("prior_close", "start_price", "open_price", "close_price", "end_price"), 0.004)
    _, _, rows = made(**cheap)
    lengths = [len(levels) for levels in rows["bids"].to_pylist()]
    assert 1 <= min(lengths) < LEVELS
    assert np.nanmin(side(rows, "bids", "price")) >= 1
    assert {len(levels) for levels in rows["asks"].to_pylist()} == {LEVELS}


def test_while_trading_is_halted_a_book_has_no_levels() -> None:
    start, end = 25_000, 26_200
    _, _, rows = made(pauses=(Pause(start, end, "T1"),))
    inside = (seconds_of(rows) >= start) & (seconds_of(rows) < end)
    assert inside.sum() == 1
    lengths = np.array([[len(levels) for levels in rows[name].to_pylist()] for name in SIDES])
    assert not lengths[:, inside].any()
    assert (lengths[:, ~inside] == LEVELS).all()


@pytest.mark.parametrize(("move", "name"), [(0.01, "bids"), (-0.01, "asks")])
def test_spoofing_lays_size_behind_the_price_it_pushes_from_and_takes_it_away(move: float, name: str) -> None:
    start, end = 30_000, 30_480
    laid, usual = [], []
    for seed in range(6):
        rows = made(seed, drives=(Drive(start, end, move, orders=60, spoof=12.0),))[2]
        sizes, at = side(rows, name, "size") / SIZE_UNIT, seconds_of(rows)
        laid.append(sizes[(at >= start) & (at < end)])
        usual.append(sizes[(at >= end) & (at < end + 3_600)])
    inside, after = np.concatenate(laid), np.concatenate(usual)
    ratio = inside.mean(axis=0) / after.mean(axis=0)
    assert (ratio[1:4] > 3).all()
    # No deeper than four levels; what is left there is noise.
    assert (ratio[4:] < 2).all()
    # It comes and goes: about 60 % of the books show it.
    shown = (inside[:, 1] > 4 * np.median(after[:, 1])).mean()
    assert 0.4 < shown < 0.8
    # When the drive ends it is gone at once.
    assert (after[:, 1] > 8 * np.median(after[:, 1])).mean() < 0.02


@pytest.mark.parametrize(("move", "eaten", "other"), [(0.06, "asks", "bids"), (-0.06, "bids", "asks")])
def test_a_drive_eats_the_side_it_moves_towards_which_fills_up_again(move: float, eaten: str, other: str) -> None:
    start, end = 30_000, 30_600
    ratio: dict[str, list[float]] = {"during": [], "after": []}
    for seed in range(8):
        rows = made(seed, drives=(Drive(start, end, move, orders=400),))[2]
        at = seconds_of(rows)
        for name, part in (("during", (at >= start) & (at < end)), ("after", (at >= end + 600) & (at < end + 3_600))):
            mean = {one: np.log(side(rows, one, "size")[part][:, 1:]).mean() for one in (eaten, other)}
            ratio[name].append(float(mean[eaten] - mean[other]))
    # 60 % of it is eaten: the log falls by −ln 0.4 = 0.92. Ten minutes later exp(−600/90) = 0.1 % of that is left.
    assert np.mean(ratio["during"]) == pytest.approx(-0.92, abs=0.3)
    assert np.mean(ratio["after"]) == pytest.approx(0, abs=0.2)
