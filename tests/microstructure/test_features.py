"""gold.event_features by hand: many small tapes, each under a name of its own, in one query.

Windows here are 10 s before and 10 s after KNOWN; times are seconds relative to it. Every quote and trade is written out
and every expected number is derived beside it.
"""

import datetime as dt
import math

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.lake import declared
from smallcaps.microstructure.features import event_features
from tests.microstructure.tables import around
from tests.microstructure.tape import KNOWN, Row, event, ns, quote, quote_at, trade, trade_at

NAN = (None, None)


@pytest.fixture(scope="module")
def micro(settings: Settings) -> MicrostructureSettings:
    """The shipped numbers but for shorter windows: prints from $20,000, blocks of 10,000 shares or $200,000, stale after 60 s."""
    shipped = settings.microstructure
    assert (shipped.large_print_dollars, shipped.large_print_quantile) == (20_000, 0.99)
    assert (shipped.block_shares, shipped.block_dollars) == (10_000, 200_000)
    assert (shipped.stale_quote_seconds, shipped.maximum_relative_spread) == (60, 0.5)
    return shipped.model_copy(update={"seconds_before": 10, "seconds_after": 10})


def tape() -> tuple[list[Row], list[Row]]:
    """The worked example."""
    quotes = [
        quote(-12, 9.99, 100, 10.01, 200),  # mid 10.00, spread 0.02
        quote(-6, 9.96, 300, 10.00, 100),  # mid 9.98, spread 0.04
        quote(-2, 10.00, 200, 10.02, 200),  # mid 10.01, spread 0.02
        quote(4, 10.01, 100, 10.03, 100),  # mid 10.02, spread 0.02
        quote(12, 10.00, 900, 10.30, 900),  # after the window
    ]
    trades = [
        trade(-11, 9.99, 700),  # before the window
        trade(-9, 10.01, 100),  # above 10.00: bought
        trade(-6.5, 9.99, 200),  # below 10.00: sold
        trade(-1, 10.01, 300),  # at 10.01, up from 9.99: bought
        trade(-0.5, 10.00, 400),  # below 10.01: sold
        trade(0, 10.02, 50),  # at known_at, so after; above 10.01: bought
        trade(5, 10.01, 150),  # below 10.02: sold
        trade(10, 10.01, 800),  # at the end, so outside
    ]
    return trades, quotes


def edges() -> tuple[list[Row], list[Row]]:
    """A share count of its own for each side of each border, one nanosecond apart."""
    at = {
        ns(-10) - 1: 1,
        ns(-10): 2,
        ns(0) - 1: 4,
        ns(0): 8,
        ns(10) - 1: 16,
        ns(10): 32,
    }
    trades = [trade_at(time, 10.0, size, name="EDGES", sequence=size) for time, size in at.items()]
    quotes = [quote_at(time, 9.9, 1, 10.1, 1, name="EDGES", sequence=size) for time, size in at.items()]
    return trades, quotes


def flow() -> tuple[list[Row], list[Row]]:
    """Every branch of e; a crossed quote between two sound ones is no best quote."""
    quotes = [
        quote(-9, 10.00, 100, 10.02, 100, name="FLOW"),  # the day's first: nothing to compare with, 0
        quote(-8, 10.00, 150, 10.02, 130, name="FLOW"),  # same prices: +150 − 100 − 130 + 100 = +20
        quote(-7, 9.99, 500, 10.01, 70, name="FLOW"),  # both fall: −150 − 70 = −220
        quote(-6, 10.05, 999, 10.01, 999, name="FLOW"),  # crossed
        quote(-5, 9.99, 400, 10.03, 60, name="FLOW"),  # bid stays, ask rises: +400 − 500 + 70 = −30
        quote(3, 10.00, 10, 10.03, 20, name="FLOW"),  # bid rises, ask stays: +10 − 20 + 60 = +50
    ]
    return [trade(-1, 10.0, 100, name="FLOW")], quotes


def identity() -> tuple[list[Row], list[Row]]:
    """Trades whose second has ended by known_at, with quotes that move under them."""
    mids = [(-10.5, 10.00), (-8.2, 10.03), (-7.5, 9.97), (-5.1, 10.01), (-4.6, 10.06), (-1.05, 9.99), (-0.4, 10.02)]
    quotes = [quote(at, mid - 0.01, 100, mid + 0.01, 100, name="IDENTITY") for at, mid in mids]
    prices = [(-9, 10.01), (-8, 10.02), (-5, 10.03), (-1.01, 9.98)]
    return [trade(at, price, 100 * (1 + place), name="IDENTITY") for place, (at, price) in enumerate(prices)], quotes


def flags() -> tuple[list[Row], list[Row]]:
    """20,000 shares before and 1,000 after; nothing is known of the sessions before, so a large print is $20,000."""
    trades = [
        trade(-9, 10.00, 10_000, name="FLAGS", is_off_exchange=True),  # a block by shares, a large print
        trade(-8, 10.00, 9_999, name="FLAGS", is_sweep=True),  # no block: $99,990
        trade(-7, 10.00, 1, name="FLAGS", is_odd_lot=True),
        trade(1, 250.00, 800, name="FLAGS"),  # $200,000: a block by dollars
        trade(2, 100.00, 200, name="FLAGS", is_sweep=True, is_off_exchange=True),  # $20,000: just a large print
    ]
    return trades, []


def own_limit() -> tuple[list[Row], list[Row]]:
    """Prints around the limit of `sizes`, exp(12) = 162,754.79 $. What traded earlier in the session does not move it."""
    trades = [trade(-200 + k, 10.0, 1_000_000, name="OWN") for k in range(10)]
    trades += [
        trade(-9, 1.0, 162_755, name="OWN"),
        trade(-8, 1.0, 162_754, name="OWN"),
        trade(-7, 1.0, 20_000, name="OWN"),
        trade(3, 1.0, 5_000_000, name="OWN"),
    ]
    # Its own quantile is exp(9) = 8,103 $: the fixed sum is more.
    trades += [trade(-9, 1.0, 20_000, name="MODEST"), trade(-8, 1.0, 19_999, name="MODEST")]
    return trades, []


def sizes() -> list[Row]:
    """Rows of silver.trade_sizes before 2025-05-20, whose 20 sessions before begin on 2025-04-22.

    Of OWN 98 trades of one bucket and 2 of a higher one: the 99th percentile lies 0.99 · 99 = 98.01 places above the first,
    between the 2. A hundred of exp(15) $ each are of the session before these 20, of the day itself, and of another security.
    """
    rows = [
        ("OWN", dt.date(2025, 5, 19), 700, 98),
        ("OWN", dt.date(2025, 4, 22), 1_200, 2),
        ("OWN", dt.date(2025, 4, 21), 1_500, 100),
        ("OWN", dt.date(2025, 5, 20), 1_500, 100),
        ("OTHER", dt.date(2025, 5, 19), 1_500, 100),
        ("MODEST", dt.date(2025, 5, 19), 900, 1),
    ]
    return [
        {"security_id": event(name)["security_id"], "session_date": day, "bucket": bucket, "trades": trades}
        for name, day, bucket, trades in rows
    ]


def stale() -> tuple[list[Row], list[Row]]:
    """One quote, at −64 s."""
    trades = [
        trade(-70, 10.0, 100, name="STALE"),
        trade(-4.0, 10.0, 100, name="STALE"),  # 60 s old: not yet stale
        trade(-3.9, 10.0, 100, name="STALE"),
        trade(2, 10.0, 100, name="STALE"),
        trade(3, 10.0, 100, name="STALE"),
    ]
    return trades, [quote(-64, 9.9, 100, 10.1, 100, name="STALE")]


def dropped() -> tuple[list[Row], list[Row]]:
    """A sound quote, then one of every kind that is dropped, then the widest that is kept."""
    quotes = [
        quote(-30, 10.01, 100, 10.00, 100, name="DROPPED"),  # dropped, but not inside
        quote(-9, 9.99, 100, 10.01, 100, name="DROPPED"),  # holds 1 s
        quote(-8, 10.02, 100, 10.01, 100, name="DROPPED"),  # crossed
        quote(-7, 10.00, 100, 10.00, 100, name="DROPPED"),  # locked
        quote(-6, None, 0, 10.01, 100, name="DROPPED"),  # one-sided
        quote(-5, 9.99, 100, None, 0, name="DROPPED"),  # one-sided
        quote(-4, 1.49, 100, 2.51, 100, name="DROPPED"),  # 1.02 of a mid of 2: too wide
        quote(-3, 1.50, 300, 2.50, 300, name="DROPPED"),  # 1.00 of 2: just kept, holds 3 s before and 1 s after
        quote(1, 2.10, 100, 2.00, 100, name="DROPPED"),  # crossed to the end
    ]
    return [trade(-1, 2.0, 100, name="DROPPED"), trade(2, 2.2, 100, name="DROPPED")], quotes


def agreement() -> tuple[list[Row], list[Row]]:
    """A quote 3 ms before one of two trades turns its sign."""
    quotes = [
        quote(-9, 9.98, 100, 10.00, 100, name="AGREE"),  # mid 9.99
        quote(-4.003, 10.01, 100, 10.03, 100, name="AGREE"),  # mid 10.02
    ]
    # 10.00 is above 9.99: bought. At −4 it is below 10.02: sold, by the quote 5 ms older it would have been bought.
    return [trade(-8, 10.00, 300, name="AGREE"), trade(-4, 10.00, 100, name="AGREE")], quotes


def clocks() -> tuple[list[Row], list[Row]]:
    """Four trades within one second of the venues' clock, published over two; two more in the next second."""
    published = {-5.9: -5.85, -5.5: -5.4, -5.2: -4.95, -5.1: -4.9, -4.8: -4.75, -4.7: -3.9}
    trades = [trade(at, 10.0, 100, name="CLOCKS", sip_ns=ns(sip)) for at, sip in published.items()]
    return trades, []


def toxic() -> tuple[list[Row], list[Row]]:
    """TOXIC: 10 buckets are bought, then 150 shares sold, 150 bought, and so on; of three buckets of 100 the first is sold, the
    second half and half, the third bought. CALM: 49 buckets.
    """
    # The first trade has no tick; its bucket and the 10 bought ones fall out of the last 50.
    trades = [trade(-9.5, 10.0, 100, name="TOXIC"), trade(-9, 10.01, 1_000, name="TOXIC")]
    for place in range(34):
        trades.append(trade(-8.9 + 0.1 * place, 10.0 + 0.01 * (place % 2), 150, name="TOXIC"))
    # 1,100 + 34 · 150 = 6,200 shares: 62 buckets, of which the last 50 are of the 51 in turn.
    calm = [trade(-9 + 0.1 * place, 10.0 + 0.01 * (place % 2), 100, name="CALM") for place in range(49)]
    calm.append(trade(-0.5, 10.0, 100, name="CALM", sip_ns=ns(0.5)))  # the fiftieth is published after the event
    return trades + calm, []


def context() -> tuple[list[Row], list[Row]]:
    """Halts and baselines: ONLYBEFORE was halted at −15, −7, 0 and 5 s; buckets are of 100 shares."""

    def identity(name: str) -> Row:
        return {key: event(name)[key] for key in ("symbol", "security_id", "session_date")}

    halts = [identity("ONLYBEFORE") | {"start_ns": ns(start), "sources": ["feed"]} for start in (-15, -7, 0, 5)]
    same = {"known_at": KNOWN, "bars": 20, "counted_bars": 20, "median_volume": 5_000.0}
    # Another security had TOXIC's ticker the day before.
    other = identity("TOXIC") | same | {"security_id": "T:OTHER", "median_volume": 1_000.0}
    return halts, [other, *(identity(name) | same for name in ("TOXIC", "CALM"))]


def simple(name: str) -> tuple[list[Row], list[Row]]:
    return [trade(-5, 10.0, 100, name=name)], [quote(-20, 9.99, 100, 10.01, 100, name=name)]


def scenarios() -> tuple[list[Row], list[Row], list[Row]]:
    """Events, trades and quotes of all."""
    parts = [tape(), edges(), flow(), identity(), flags(), own_limit(), stale(), dropped(), agreement(), clocks()]
    names = ["TAPE", "EDGES", "FLOW", "IDENTITY", "FLAGS", "OWN", "STALE", "DROPPED", "AGREE", "CLOCKS"]
    parts.append(toxic())
    names += ["TOXIC", "CALM", "MODEST"]
    # The last quote of the name stands; nothing ever replaces it.
    parts.append(([trade(-5, 10.0, 100, name="LASTING")], [quote(-4, 9.99, 100, 10.01, 300, name="LASTING")]))
    # Two quotes at the very start of the window.
    ties = [quote_at(ns(-10), 10.00, size, 10.02, 100, name="TIES", sequence=size) for size in (100, 250)]
    parts.append(([trade(-5, 10.0, 100, name="TIES")], [quote(-20, 9.99, 70, 10.02, 100, name="TIES"), *ties]))
    # Quotes but no trades; trades that count for nothing; a daily event on a busy name; another day's tape.
    parts.append(([], [quote(-5, 9.99, 100, 10.01, 100, name="SILENT")]))
    parts.append(([trade(-5, 10.0, 100, name="UNCOUNTED", updates_volume=False)], []))
    parts.append(simple("DAILY"))
    parts.append(([trade(-5, 10.0, 100, name="OTHERDAY", session_date=dt.date(2025, 5, 19))], []))
    # One that counts beside one that does not.
    mixed = [trade(-5, 10.0, 100, name="MIXED"), trade(-4, 11.0, 900, name="MIXED", updates_volume=False)]
    parts.append((mixed, []))
    # No quotes at all; nothing before; nothing after.
    parts.append(([trade(at, price, 100, name="BOOKLESS") for at, price in ((-5, 10.0), (-4, 10.1), (-3, 10.1))], []))
    parts.append(([trade(5, 10.0, 100, name="ONLYAFTER")], [quote(1, 9.99, 100, 10.01, 100, name="ONLYAFTER")]))
    parts.append(simple("ONLYBEFORE"))
    # Twins: one has a print made before known_at and published half a minute after it.
    for name in ("PUNCTUAL", "LATE"):
        trades = [trade(at, price, 100, name=name) for at, price in ((-6, 10.0), (-5, 10.01), (-3, 10.01))]
        if name == "LATE":
            late = {"sip_ns": ns(30), "is_late": True, "is_off_exchange": True}
            trades.append(trade(-4, 10.05, 50_000, name=name, **late))
        quotes = [quote(-20, 10.00, 100, 10.02, 100, name=name), quote(20, 9.99, 1, 10.03, 1, name=name)]
        if name == "LATE":
            quotes.append(quote(-4.5, 9.90, 700, 10.20, 100, name=name, sip_ns=ns(0)))
            # Made before the trade of −3, which it would put on a downtick.
            trades.append(trade(-3.5, 10.20, 100, name=name, sip_ns=ns(1)))
        parts.append((trades, quotes))
    # Prices off the tick.
    pennies = [trade(-5, 10.005, 100, name="PENNIES"), trade(-4, 10.01, 300, name="PENNIES")]
    pennies += [trade(4, 0.50005, 100, name="PENNIES"), trade(5, 0.5001, 200, name="PENNIES")]
    parts.append((pennies, []))
    # Late reports published within the window.
    for name, published in (("SLOW", 2), ("FAST", -1)):
        report = trade(-5, 10.0, 700, name=name, sip_ns=ns(published), is_late=True, is_off_exchange=True)
        parts.append(([trade(-6, 10.0, 100, name=name), report], []))
    names += ["PENNIES", "SLOW", "FAST"]
    names += ["LASTING", "TIES", "SILENT", "UNCOUNTED", "OTHERDAY", "MIXED", "BOOKLESS", "ONLYAFTER", "ONLYBEFORE"]
    names += ["PUNCTUAL", "LATE"]
    events = [event(name) for name in names] + [event("DAILY", grain="daily"), event("NOBODY")]
    # A second event on the worked example, 3 s later.
    events.append(event("TAPE", KNOWN + dt.timedelta(seconds=3), event_id="second event of TAPE"))
    return events, [row for trades, _ in parts for row in trades], [row for _, quotes in parts for row in quotes]


@pytest.fixture(scope="module")
def rows(spark: SparkSession, micro: MicrostructureSettings) -> dict[str, dict]:
    """Event id without its "event of " → row of gold.event_features."""
    events, trades, quotes = scenarios()
    frame = event_features(
        around(spark, events, reversed(trades), reversed(quotes), *context(), sizes()),
        micro,
    )
    assert frame.columns == [column.name for column in declared("gold.event_features").columns]
    found = frame.collect()
    assert len({row["event_id"] for row in found}) == len(found)
    return {row["event_id"].removeprefix("event of "): row.asDict() for row in found}


def of_intervals() -> tuple[list[Row], list[Row], list[Row]]:
    """Tapes of more intervals than a short window has: a trade every ten seconds from −295 s."""
    trades, events = [], [event(name) for name in ("SLOPE", "SHORT", "MOVES")]
    for name, count in (("SLOPE", 21), ("SHORT", 20)):
        price = 10.0
        for place in range(count):
            # The first sets the price. Its sign is the tick's, since there is no quote.
            root = 0 if place == 0 else (10 + place) * (-1) ** (place // 3)
            price *= math.exp(1e-4 * root)
            trades.append(trade(-295 + 10 * place, price, round((root**2 or 100) / price, 6), name=name))
    for place, (price, dollars) in enumerate([(10.0, 500), (10 * math.exp(0.01), 1_000), (10.0, 2_000)]):
        trades.append(trade(-295 + 10 * place, price, round(dollars / price, 6), name="MOVES"))
    return events, trades, []


@pytest.fixture(scope="module")
def wide_rows(spark: SparkSession, micro: MicrostructureSettings) -> dict[str, dict]:
    """The same of windows of 300 s before."""
    events, trades, quotes = of_intervals()
    frame = event_features(
        around(spark, events, trades, quotes),
        micro.model_copy(update={"seconds_before": 300}),
    )
    return {row["symbol"]: row.asDict() for row in frame.collect()}


def both(row: dict, name: str) -> tuple[float | None, float | None]:
    return row[f"{name}_before"], row[f"{name}_after"]


def test_a_row_names_its_event_and_the_instant_that_divides(rows: dict[str, dict]) -> None:
    row = rows["TAPE"]
    assert (row["symbol"], row["session_date"]) == ("TAPE", dt.date(2025, 5, 20))
    assert row["known_at"].astimezone(dt.UTC) == KNOWN
    # Six trades within 10 s of it, and the quotes at −6, −2 and +4.
    assert (row["trades_used"], row["quotes_used"], row["quotes_dropped"]) == (6, 3, 0)


def test_the_quoted_spread_is_weighted_by_the_time_it_stood(rows: dict[str, dict]) -> None:
    # Before: the quote of −12 stands 4 s of the window, that of −6 4 s, that of −2 2 s. After: 4 s, then 6 s.
    before = (4 * 0.02 / 10.00 + 4 * 0.04 / 9.98 + 2 * 0.02 / 10.01) / 10
    after = (4 * 0.02 / 10.01 + 6 * 0.02 / 10.02) / 10
    assert both(rows["TAPE"], "quoted_spread") == pytest.approx((before, after))


def test_depth_is_weighted_by_the_time_it_stood(rows: dict[str, dict]) -> None:
    # (4·300 + 4·400 + 2·400)/10 = 360; (4·400 + 6·200)/10 = 280.
    assert both(rows["TAPE"], "depth") == pytest.approx((360, 280))
    # (4·(−100/300) + 4·(200/400) + 2·0)/10 = (−4/3 + 2)/10 = 1/15.
    assert both(rows["TAPE"], "depth_imbalance") == pytest.approx((1 / 15, 0))


def test_the_effective_spread_is_weighted_by_dollars(rows: dict[str, dict]) -> None:
    # 2·sign·(price − mid)/mid: 2·0.01/10, 2·0.01/10, 0 at the mid, 2·0.01/10.01; dollars 1001, 1998, 3003, 4000.
    before = (0.002 * 1001 + 0.002 * 1998 + 0 * 3003 + 0.02 / 10.01 * 4000) / (1001 + 1998 + 3003 + 4000)
    # After: bought 0.01 above 10.01 for $501, sold 0.01 below 10.02 for $1501.50.
    after = (0.02 / 10.01 * 501 + 0.02 / 10.02 * 1501.5) / (501 + 1501.5)
    assert both(rows["TAPE"], "effective_spread") == pytest.approx((before, after))


def test_realised_spread_and_impact_use_only_trades_whose_second_ended_by_known_at(rows: dict[str, dict]) -> None:
    # −9: mid still 10.00 at −8: realised 0.002, impact 0. −6.5: mid 9.98 at −5.5: realised −2·(9.99 − 9.98)/10 = −0.002,
    # impact −2·(9.98 − 10)/10 = 0.004. −1: its second ends at known_at itself: counts, mid unchanged, 0 and 0.
    # −0.5: ends at +0.5: left out.
    dollars = 1001 + 1998 + 3003
    assert rows["TAPE"]["realised_spread_1s"] == pytest.approx((0.002 * 1001 - 0.002 * 1998) / dollars)
    assert rows["TAPE"]["price_impact_1s"] == pytest.approx(0.004 * 1998 / dollars)
    # No trade of a 10-second window is 15 seconds old at its end.
    assert [
        rows["TAPE"][f"{name}_{tau}s"] for name in ("realised_spread", "price_impact") for tau in (15, 60, 300)
    ] == [None] * 6


def test_the_effective_spread_is_realised_spread_plus_impact(rows: dict[str, dict]) -> None:
    row = rows["IDENTITY"]
    assert row["realised_spread_1s"] + row["price_impact_1s"] == pytest.approx(row["effective_spread_before"])
    assert min(abs(row["realised_spread_1s"]), abs(row["price_impact_1s"])) > 1e-5


def test_trade_imbalance_is_bought_less_sold_over_both(rows: dict[str, dict]) -> None:
    # (100 − 200 + 300 − 400)/1000; (50 − 150)/200.
    assert both(rows["TAPE"], "trade_imbalance") == pytest.approx((-0.2, -0.5))
    assert both(rows["TAPE"], "signed_share") == (1, 1)


def test_order_flow_imbalance_adds_what_each_best_quote_changed(rows: dict[str, dict]) -> None:
    # −6: bid falls −100, ask falls −100. −2: bid rises +200, ask rises +100. Sum +100. +4: +100 + 200.
    assert both(rows["TAPE"], "order_flow_imbalance") == (100, 300)
    assert both(rows["FLOW"], "order_flow_imbalance") == (0 + 20 - 220 - 30, 50)


def test_trades_are_counted_and_summed_on_either_side(rows: dict[str, dict]) -> None:
    row = rows["TAPE"]
    assert both(row, "trades_per_second") == pytest.approx((4 / 10, 2 / 10))
    assert both(row, "volume") == (1000, 200)
    assert both(row, "dollar_volume") == pytest.approx((1001 + 1998 + 3003 + 4000, 501 + 1501.5))
    # −1 and −0.5 fall into one clock second.
    assert both(row, "peak_trades_1s") == (2, 1)


def test_a_trade_at_known_at_comes_after_and_borders_belong_to_what_follows_them(rows: dict[str, dict]) -> None:
    # Before: 2 + 4 shares (from −10 s to 1 ns before known_at); after: 8 + 16; 1 and 32 lie outside.
    assert both(rows["EDGES"], "volume") == (2 + 4, 8 + 16)
    # So do quotes: those of sizes 2, 4, 8 and 16 were posted inside.
    assert (rows["EDGES"]["trades_used"], rows["EDGES"]["quotes_used"]) == (4, 4)


def test_large_prints_blocks_sweeps_off_exchange_and_odd_lots_are_shares_of_volume(rows: dict[str, dict]) -> None:
    row = rows["FLAGS"]
    # Before: $100,000 and $99,990 are large, the single share is not.
    assert both(row, "large_print_share") == pytest.approx((19_999 / 20_000, 1))
    assert both(row, "block_share") == pytest.approx((10_000 / 20_000, 800 / 1000))
    assert both(row, "sweep_share") == pytest.approx((9_999 / 20_000, 200 / 1000))
    assert both(row, "off_exchange_share") == pytest.approx((10_000 / 20_000, 200 / 1000))
    assert both(row, "odd_lot_share") == pytest.approx((1 / 20_000, 0))


def test_a_large_print_is_as_large_as_the_names_own_of_the_20_sessions_before(rows: dict[str, dict]) -> None:
    # Only the $162,755 print reaches the limit; $162,754 and $20,000 do not.
    assert both(rows["OWN"], "large_print_share") == (pytest.approx(162_755 / (162_755 + 162_754 + 20_000)), 1)
    assert rows["MODEST"]["large_print_share_before"] == pytest.approx(20_000 / (20_000 + 19_999))


def test_stale_share_counts_quotes_older_than_a_minute(rows: dict[str, dict]) -> None:
    # 60.0 s, 60.1 s, 66 s and 67 s old: three of four.
    assert rows["STALE"]["stale_share"] == pytest.approx(3 / 4)
    assert rows["TAPE"]["stale_share"] == 0


def test_dropped_quotes_are_counted_and_stand_for_no_time(rows: dict[str, dict]) -> None:
    row = rows["DROPPED"]
    # Crossed, locked, two one-sided, too wide; after known_at one more crossed. Kept: −9 and −3.
    assert (row["quotes_used"], row["quotes_dropped"]) == (2, 6)
    # 1 s of 0.02/10 and 3 s of 1.00/2 before; 1 s of 1.00/2 after.
    assert both(row, "quoted_spread") == pytest.approx(((1 * 0.002 + 3 * 0.5) / 4, 0.5))
    assert both(row, "depth") == pytest.approx(((1 * 200 + 3 * 600) / 4, 600))
    # The trade of −1 is at the kept quote's mid of 2.00 and has no tick; that of +2 looks past the crossed quote: bought.
    assert both(row, "signed_share") == (0, 1)
    assert both(row, "effective_spread") == (None, pytest.approx(2 * 0.2 / 2.0))


def test_sign_agreement_is_the_volume_that_older_quotes_sign_alike(rows: dict[str, dict]) -> None:
    # −8: both bought, 300 shares. −4: sold now, bought by the quote of 5 ms before, 100 shares.
    agreements = [rows["AGREE"][f"sign_agreement_{ms}ms"] for ms in (1, 5, 25, 1_000)]
    # The quote turned 3 ms before: that of 1 ms before is the same as now. A second before −8 there was none and no tick.
    assert agreements == pytest.approx([1, 300 / 400, 300 / 400, 0 / 100])


def test_the_tape_is_measured_by_its_gaps_and_by_its_busiest_ten_seconds(rows: dict[str, dict]) -> None:
    # Gaps 2.5, 5.5 and 0.5 s before; 5 s after.
    assert both(rows["TAPE"], "inter_arrival_median") == pytest.approx((2.5, 5))
    spread = ((2.5**2 + 5.5**2 + 0.5**2) / 3 - (8.5 / 3) ** 2) ** 0.5
    assert both(rows["TAPE"], "inter_arrival_cv") == pytest.approx((spread / (8.5 / 3), 0))
    assert both(rows["TAPE"], "peak_trades_10s") == (4, 2)
    # −9 to the quote of −12: 3 s, then 5.5, 1 and 1.5 s; after: 2 and 1 s.
    assert both(rows["TAPE"], "quote_age") == pytest.approx(((3 + 5.5 + 1 + 1.5) / 4, (2 + 1) / 2))


def test_fractions_of_a_tick_are_a_share_of_volume(rows: dict[str, dict]) -> None:
    # 10.005 is half a cent; below $1 a hundredth of a cent is the tick: 0.50005 is half of it, 0.5001 is not.
    assert both(rows["PENNIES"], "sub_penny_share") == pytest.approx((100 / 400, 100 / 300))


def test_late_reports_are_told_of_beside_the_volume_when_they_are_published(rows: dict[str, dict]) -> None:
    # Made at −4, published 30 s after known_at: outside of a window of 10 s. SLOW's was published at +2 and FAST's at −1.
    assert both(rows["LATE"], "late_volume") == (0, 0)
    assert [both(rows[name], "late_volume") for name in ("SLOW", "FAST")] == [(0, 700), (700, 0)]
    assert [rows[name]["volume_before"] for name in ("SLOW", "FAST")] == [100, 100]


def test_kyles_lambda_is_the_slope_of_twenty_intervals_or_unknown(wide_rows: dict[str, dict]) -> None:
    # Every ten seconds one trade buys or sells a square number of dollars and moves the price by 0.0001 of its root.
    assert wide_rows["SLOPE"]["kyle_lambda_before"] == pytest.approx(1e-4, rel=1e-5)
    # 20 trades make 19 returns.
    assert wide_rows["SHORT"]["kyle_lambda_before"] is None


def test_amihuds_measure_is_the_mean_move_of_a_million_dollars(wide_rows: dict[str, dict]) -> None:
    # $1,000 move 1 %, then $2,000 move 1 %; the first interval has nothing before it.
    assert wide_rows["MOVES"]["amihud_before"] == pytest.approx((0.01 / 1_000 + 0.01 / 2_000) / 2 * 1e6)


def test_a_quote_published_after_the_event_counts_from_then(rows: dict[str, dict]) -> None:
    # LATE's spread turns from 2 to 30 cents at the event, though the quote was made 4.5 s before.
    assert both(rows["LATE"], "quoted_spread") == pytest.approx((0.02 / 10.01, 0.30 / 10.05))
    # The bid fell: −100; the offer rose: +100.
    assert both(rows["LATE"], "order_flow_imbalance") == (None, 0)


def test_vpin_is_the_mean_imbalance_of_the_last_fifty_buckets_or_unknown(rows: dict[str, dict]) -> None:
    # The last 50 of the 51 in turn; |1|, 0, |1| from the first on. The first 50 have 11 that are bought or unknown.
    imbalances = [(1, 0, 1)[place % 3] for place in range(51)][1:]
    assert rows["TOXIC"]["vpin"] == pytest.approx(sum(imbalances) / 50)
    assert rows["CALM"]["vpin"] is None
    assert rows["TAPE"]["vpin"] is None


def test_halts_are_counted_where_they_begin(rows: dict[str, dict]) -> None:
    # That of −15 s began before the window.
    assert both(rows["ONLYBEFORE"], "halts") == (1, 2)
    assert both(rows["TAPE"], "halts") == (0, 0)


def test_a_change_is_after_less_before_and_unknown_where_either_is(rows: dict[str, dict]) -> None:
    row = rows["TAPE"]
    assert row["volume_change"] == 200 - 1000
    assert row["trade_imbalance_change"] == pytest.approx(-0.5 + 0.2)
    assert rows["ONLYAFTER"]["volume_change"] is None


def test_an_event_without_a_trade_in_its_window_has_no_row(rows: dict[str, dict]) -> None:
    assert not {"SILENT", "UNCOUNTED", "OTHERDAY", "NOBODY"} & set(rows)


def test_daily_events_have_no_row(rows: dict[str, dict]) -> None:
    assert "DAILY" not in rows


def test_trades_that_do_not_count_towards_volume_are_left_out(rows: dict[str, dict]) -> None:
    assert (rows["MIXED"]["trades_used"], rows["MIXED"]["volume_before"]) == (1, 100)


def test_what_nothing_stands_behind_is_null(rows: dict[str, dict]) -> None:
    bookless = rows["BOOKLESS"]
    assert [both(bookless, name) for name in ("quoted_spread", "effective_spread", "depth", "depth_imbalance")] == [
        NAN
    ] * 4
    assert both(bookless, "order_flow_imbalance") == NAN
    assert [bookless[name] for name in ("realised_spread_1s", "price_impact_1s", "stale_share")] == [None] * 3
    assert (bookless["quotes_used"], bookless["quotes_dropped"]) == (0, 0)
    # The tick rule still signs: unknown, up, up.
    assert bookless["trade_imbalance_before"] == 1
    assert bookless["signed_share_before"] == pytest.approx(2 / 3)
    of_trades = [
        "effective_spread",
        "trade_imbalance",
        "volume",
        "dollar_volume",
        "peak_trades_1s",
        "large_print_share",
    ]
    of_trades += ["block_share", "sweep_share", "off_exchange_share", "odd_lot_share", "signed_share"]
    assert [rows["ONLYAFTER"][f"{name}_before"] for name in of_trades] == [None] * len(of_trades)
    assert [rows["ONLYBEFORE"][f"{name}_after"] for name in of_trades] == [None] * len(of_trades)
    assert rows["ONLYAFTER"]["quoted_spread_before"] is None
    assert rows["ONLYBEFORE"]["order_flow_imbalance_before"] is None


def test_two_events_of_one_name_are_measured_apart(rows: dict[str, dict]) -> None:
    row = rows["second event of TAPE"]
    # Windows −7…3…13: trades −6.5, −1, −0.5 and 0 before; 5 and 10 after.
    assert both(row, "volume") == (200 + 300 + 400 + 50, 150 + 800)
    # Quotes: 1 s of 0.02/10, 4 s of 0.04/9.98, 5 s of 0.02/10.01.
    assert row["quoted_spread_before"] == pytest.approx((0.02 / 10 + 4 * 0.04 / 9.98 + 5 * 0.02 / 10.01) / 10)
    # Now the second of the trade at −0.5 has ended as well.
    dollars = 1998 + 3003 + 4000 + 501
    realised = -0.002 * 1998 + 0 + 0.02 / 10.01 * 4000 + 0.02 / 10.01 * 501
    assert row["realised_spread_1s"] == pytest.approx(realised / dollars)


def test_the_last_quote_of_the_tape_stands_until_the_window_ends(rows: dict[str, dict]) -> None:
    """On the live tape the last quote is always the one in force."""
    row = rows["LASTING"]
    assert both(row, "quoted_spread") == pytest.approx((0.02 / 10, 0.02 / 10))
    assert both(row, "depth") == pytest.approx((400, 400))


def test_quotes_that_share_the_first_instant_of_the_window_are_all_counted(rows: dict[str, dict]) -> None:
    # From 9.99 × 70: bid rises to 10.00, +100; then 100 → 250 at the same price, +150; the ask never changes.
    assert rows["TIES"]["quotes_used"] == 2
    assert rows["TIES"]["order_flow_imbalance_before"] == 100 + 150


def test_the_peak_second_is_one_of_the_clock_that_orders_the_trades(rows: dict[str, dict]) -> None:
    # Venue seconds −6 and −5: four trades and two. Published: two in −6, three in −5, one in −4.
    assert rows["CLOCKS"]["peak_trades_1s_before"] == 4


def test_a_print_published_after_known_at_is_not_known_before_it(rows: dict[str, dict]) -> None:
    before = declared("gold.event_features").known_at_event
    late, punctual = ({name: rows[one][name] for name in before} for one in ("LATE", "PUNCTUAL"))
    assert late == punctual
