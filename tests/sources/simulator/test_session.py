"""From orders to prints and quotes."""

from collections import Counter
from dataclasses import astuple

import numpy as np
import pytest

from smallcaps.sources.polygon.conditions import FORM_T, ODD_LOT
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT
from smallcaps.sources.simulator.plan import Drive, Pause
from smallcaps.sources.simulator.session import (
    CLOSING,
    CONDITION_SETS,
    OFF_EXCHANGE,
    OFFICIAL_CLOSE,
    OFFICIAL_OPEN,
    OPENING,
    REOPENING,
    Prints,
    Session,
    simulate_session,
)
from tests.sources.simulator.plans import HALF_DAY, NO_COMMON, plan

SECOND_NS = 1_000_000_000


def day(seed: int = 3, with_quotes: bool = True, **changes: object) -> Session:
    return simulate_session(plan(seed, **changes), NO_COMMON, with_quotes)


def seconds_of(prints: Prints) -> np.ndarray:
    return (prints.participant_ns - plan().hours.start_ns) / SECOND_NS


def has(prints: Prints, condition: int) -> np.ndarray:
    marked = np.array([condition in conditions for conditions in CONDITION_SETS])
    return marked[prints.conditions]


def test_the_same_plan_gives_the_same_day_with_quotes_or_without() -> None:
    one, other = day(), day(with_quotes=False)
    assert all((left == right).all() for left, right in zip(astuple(one.prints), astuple(other.prints), strict=True))
    assert other.quotes is None
    assert (day(4).prints.price[:50] != one.prints.price[:50]).any()


def test_prints_are_reported_after_they_were_made_and_in_order() -> None:
    prints = day().prints
    assert (np.diff(prints.sip_ns) >= 0).all()
    assert (prints.sip_ns > prints.participant_ns).all()
    off = prints.exchange == OFF_EXCHANGE
    assert ((prints.trf_id > 0) == off).all()
    assert (prints.trf_ns[off] >= prints.participant_ns[off]).all()
    assert (prints.trf_ns[off] <= prints.sip_ns[off]).all()
    assert not prints.trf_ns[~off].any()


def test_prints_lie_in_the_session_and_carry_form_t_outside_regular_hours_alone() -> None:
    for hours in (plan().hours, HALF_DAY):
        prints = simulate_session(plan(hours=hours), NO_COMMON, False).prints
        at = (prints.participant_ns - hours.start_ns) / SECOND_NS
        assert at.min() >= 0
        assert at.max() < hours.end
        auction = has(prints, CLOSING) | has(prints, OFFICIAL_CLOSE)
        outside = (at < hours.open) | (at >= hours.close)
        assert (has(prints, FORM_T) == outside)[~auction].all()


def test_an_exchange_print_is_at_the_quote_that_stood_before_it() -> None:
    session = day()
    prints, quotes = session.prints, session.quotes
    assert quotes is not None
    before = np.searchsorted(quotes.participant_ns, prints.participant_ns) - 1
    bid, ask = quotes.bid_price[before], quotes.ask_price[before]
    plain = (prints.exchange != OFF_EXCHANGE) & (prints.conditions < 16) & (before >= 0) & (bid > 0)
    assert plain.sum() > 500
    at_quote = (prints.price == bid) | (prints.price == ask)
    assert at_quote[plain].all()


def test_off_exchange_prints_lie_within_the_quote_and_some_are_below_a_penny() -> None:
    session = day()
    prints, quotes = session.prints, session.quotes
    assert quotes is not None
    before = np.searchsorted(quotes.participant_ns, prints.participant_ns) - 1
    off = (prints.exchange == OFF_EXCHANGE) & (prints.conditions < 16) & (before >= 0) & (quotes.bid_price[before] > 0)
    assert (prints.price[off] >= quotes.bid_price[before][off]).all()
    assert (prints.price[off] <= quotes.ask_price[before][off]).all()
    assert (prints.price[off] % (PRICE_UNIT // 100) != 0).any()


def test_quotes_are_two_sided_on_the_tick_and_never_crossed() -> None:
    quotes = day().quotes
    assert quotes is not None
    live = ~quotes.halted
    assert (quotes.bid_price[live] < quotes.ask_price[live]).all()
    assert (quotes.bid_price % (PRICE_UNIT // 100) == 0).all()
    assert (quotes.bid_size[live] % (100 * SIZE_UNIT) == 0).all()
    assert (np.diff(quotes.participant_ns) >= 0).all()


def test_a_name_below_a_dollar_is_quoted_in_hundredths_of_a_cent() -> None:
    quotes = day(prior_close=0.5, start_price=0.5, open_price=0.5, close_price=0.5, end_price=0.5).quotes
    assert quotes is not None
    assert (quotes.bid_price % 100 != 0).any()


def test_auctions_print_once_and_again_as_official_summaries() -> None:
    prints = day(liquidity=plan().liquidity.__class__(**{**plan().liquidity.__dict__, "auction": 1.0})).prints
    for auction, summary, share in ((OPENING, OFFICIAL_OPEN, (0.003, 0.03)), (CLOSING, OFFICIAL_CLOSE, (0.01, 0.06))):
        one, other = has(prints, auction), has(prints, summary)
        assert one.sum() == other.sum() == 1
        assert prints.size[one] == prints.size[other]
        assert prints.price[one] == prints.price[other]
        assert share[0] < prints.size[one][0] / prints.size.sum() < share[1]


def test_small_sizes_are_marked_as_odd_lots() -> None:
    prints = day().prints
    plain = prints.conditions < 16
    assert (has(prints, ODD_LOT) == (prints.size < 100 * SIZE_UNIT))[plain].all()


def test_a_news_pause_stops_prints_shows_an_empty_quote_and_reopens_with_an_auction() -> None:
    start, end = 25_000, 26_200
    session = day(pauses=(Pause(start, end, "T1"),))
    at = seconds_of(session.prints)
    assert not ((at >= start) & (at < end)).any()
    reopening = has(session.prints, REOPENING)
    assert reopening.sum() == 1
    assert end <= at[reopening][0] < end + 1
    quotes = session.quotes
    assert quotes is not None
    moment = (quotes.participant_ns - plan().hours.start_ns) / SECOND_NS
    inside = (moment >= start) & (moment < end)
    assert inside.sum() == 1
    assert quotes.bid_price[inside][0] == quotes.ask_price[inside][0] == 0


@pytest.mark.parametrize("move", [0.08, -0.06])
def test_a_drive_moves_prints_by_its_move_through_orders_on_its_side(move: float) -> None:
    start, end = 30_000, 30_600
    with_drive = day(drives=(Drive(start, end, move, orders=400),))
    at = seconds_of(with_drive.prints)
    before = np.median(with_drive.prints.price[(at > start - 300) & (at < start)])
    after = np.median(with_drive.prints.price[(at > end + 30) & (at < end + 330)])
    # A mid-liquid name's own five minutes have a deviation of about 0.5 %.
    assert np.log(after / before) == pytest.approx(move, abs=0.02)
    quiet = day()
    count = [((seconds_of(one.prints) > start) & (seconds_of(one.prints) < end)).sum() for one in (with_drive, quiet)]
    assert count[0] > count[1] + 250


def test_a_quiet_stretch_has_fewer_prints() -> None:
    start, end = 28_800, 32_400
    counts = Counter()
    for seed in range(6):
        for quiet in (1.0, 0.3):
            at = seconds_of(day(seed, False, drives=(Drive(start, end, quiet=quiet),)).prints)
            counts[quiet] += int(((at > start) & (at < end)).sum())
    assert 0.2 < counts[0.3] / counts[1.0] < 0.45


def test_spoofing_shows_size_on_the_side_it_pushes_from() -> None:
    start, end = 30_000, 30_400
    quotes = day(drives=(Drive(start, end, 0.01, orders=60, spoof=12.0),)).quotes
    assert quotes is not None
    moment = (quotes.participant_ns - plan().hours.start_ns) / SECOND_NS
    inside = (moment > start) & (moment < end)
    assert np.mean(quotes.bid_size[inside]) > 4 * np.mean(quotes.ask_size[inside])
    assert np.mean(quotes.bid_size[~inside]) < 2 * np.mean(quotes.ask_size[~inside])


def test_where_it_is_volatile_the_spread_is_wider_and_the_depth_thinner() -> None:
    spreads, sizes = Counter(), Counter()
    for seed in range(6):
        quotes = day(seed).quotes
        assert quotes is not None
        moment = (quotes.participant_ns - plan().hours.start_ns) / SECOND_NS - plan().hours.open
        # The first minutes are the most volatile ones.
        for name, part in (("open", (moment >= 0) & (moment < 600)), ("noon", (moment > 9_000) & (moment < 12_600))):
            spreads[name] += float(np.mean((quotes.ask_price - quotes.bid_price)[part]))
            sizes[name] += float(np.mean(quotes.bid_size[part]))
    assert spreads["open"] > 1.2 * spreads["noon"]
    assert sizes["open"] < 0.8 * sizes["noon"]
