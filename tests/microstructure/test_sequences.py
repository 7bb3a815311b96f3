"""gold.event_sequences: by hand, against the oracle on real ticks, and against a future that was tampered with."""

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.lake import declared
from smallcaps.microstructure.sequences import event_sequences
from tests.microstructure import oracle
from tests.microstructure.real import worlds
from tests.microstructure.tables import around
from tests.microstructure.tape import event, ns, quote, trade


@pytest.fixture(scope="module")
def micro(settings: Settings) -> MicrostructureSettings:
    return settings.microstructure.model_copy(update={"seconds_before": 10, "seconds_after": 10})


def by_second(frame: DataFrame) -> dict[str, dict[int, dict]]:
    """Name → second → its row."""
    found: dict[str, dict[int, dict]] = {}
    for row in frame.collect():
        found.setdefault(row["symbol"], {})[row["second"]] = row.asDict()
    return found


@pytest.fixture(scope="module")
def seconds(spark: SparkSession, micro: MicrostructureSettings) -> dict[str, dict[int, dict]]:
    quotes = [
        quote(-12, 9.99, 100, 10.01, 200),  # stands when the window begins
        quote(-6, 9.96, 300, 10.00, 100),
        quote(-5.5, 10.02, 900, 10.01, 900),  # crossed: not sound
        quote(-0.5, 10.00, 200, 10.02, 200) | {"sip_ns": ns(0.2)},  # made before the event, published after it
        quote(12, 10.00, 900, 10.30, 900),  # after the window
        quote(-5, 5.0, 1, 5.1, 1, name="SILENT"),
    ]
    trades = [
        trade(-11, 9.00, 700),  # before the window
        trade(-9, 10.01, 100),  # above 10.00: bought
        trade(-8.1, 9.99, 200),  # below 10.00: sold
        trade(-8.9, 10.02, 50),  # bought, in the same second and before it
        trade(-0.3, 9.99, 400, sip_ns=ns(0.1)),  # made before the event, published after it
        trade(0, 10.01, 30),
        trade(9.999, 10.03, 10),
        trade(10, 10.01, 800),  # at the end, so outside
        trade(-3, 10.0, 900, is_late=True),
        trade(-3, 10.0, 900, updates_volume=False),
        trade(-3, 10.0, 100, name="DAILY"),
    ]
    events = [event("TAPE"), event("SILENT"), event("DAILY", grain="daily")]
    frame = event_sequences(
        around(spark, events, reversed(trades), reversed(quotes)),
        micro,
    )
    assert frame.columns == [column.name for column in declared("gold.event_sequences").columns]
    return by_second(frame)


def part(row: dict, *names: str) -> tuple:
    return tuple(row[name] for name in names)


def test_every_second_of_the_window_has_a_row_where_anything_was_traded(seconds: dict[str, dict[int, dict]]) -> None:
    assert set(seconds) == {"TAPE"}
    assert sorted(seconds["TAPE"]) == list(range(-10, 10))


def test_a_seconds_trades_are_summed_by_side(seconds: dict[str, dict[int, dict]]) -> None:
    row = seconds["TAPE"][-9]
    assert part(row, "trades", "volume", "bought", "sold") == (3, 350, 150, 200)
    assert row["dollar_volume"] == pytest.approx(1001 + 501 + 1998)
    assert part(row, "high", "low", "last_price") == (10.02, 9.99, 9.99)
    assert part(seconds["TAPE"][9], "trades", "volume", "last_price") == (1, 10, 10.03)


def test_prices_and_quotes_stand_until_the_next_one(seconds: dict[str, dict[int, dict]]) -> None:
    rows = seconds["TAPE"]
    best = ("bid_price", "bid_size", "ask_price", "ask_size")
    assert part(rows[-10], "trades", "volume", "high", "low", "last_price", "quotes") == (0, 0, None, None, None, 0)
    assert part(rows[-10], *best) == (9.99, 100, 10.01, 200)
    assert part(rows[-7], *best) == (9.99, 100, 10.01, 200)
    assert part(rows[-6], "quotes", *best) == (1, 9.96, 300, 10.00, 100)
    assert part(rows[-5], "quotes", "last_price", *best) == (0, 9.99, 9.96, 300, 10.00, 100)
    assert part(rows[9], *best) == (10.00, 200, 10.02, 200)


def test_what_is_published_after_the_event_counts_then(seconds: dict[str, dict[int, dict]]) -> None:
    rows = seconds["TAPE"]
    assert part(rows[-1], "trades", "quotes", "bid_price") == (0, 0, 9.96)
    # The print of −0.3 and that of 0; the last one by the venues' clock stands.
    assert part(rows[0], "trades", "volume", "quotes", "bid_price", "last_price") == (2, 430, 1, 10.00, 10.01)


def test_seconds_of_real_ticks_are_what_the_oracle_finds_and_those_before_know_no_future(
    spark: SparkSession, settings: Settings
) -> None:
    named = {name: world for name, world in worlds().items() if name.endswith("0")}
    events, trades, quotes = zip(*named.values(), strict=True)
    found = by_second(
        event_sequences(
            around(spark, events, pd.concat(trades), pd.concat(quotes)),
            settings.microstructure,
        )
    )
    for name, (one, tape, book) in named.items():
        expected = oracle.sequences(one, tape, book, settings.microstructure)
        assert [row["second"] for row in expected] == sorted(found[name])
        unlike = {row["second"]: oracle.differences(row, found[name][row["second"]]) for row in expected}
        assert {second: names for second, names in unlike.items() if names} == {}, name
    before = {
        name: [
            part(rows[second], "volume", "bought", "last_price", "bid_price", "ask_size") for second in range(-300, 0)
        ]
        for name, rows in found.items()
    }
    assert before["NOISE0"] == before["CUT0"] == before["SHUFFLED0"] == before["REAL0"]
    assert sum(found["REAL0"][second]["trades"] for second in range(-300, 0)) > 50
