"""The as-of join in memory: against loops on arbitrary tapes, and where tables are empty, wide or of another order."""

import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smallcaps.microstructure.as_of import beside_quotes
from tests.microstructure import oracle
from tests.microstructure.tape import DAY

NAMES = st.sampled_from(["A", "B", "C", "ONLY"])
INSTANTS = st.integers(0, 9)
"""Few of them for many rows: bursts of equal timestamps."""
DELAYS = st.sampled_from([0, 0, 1, 4])
OFFSETS = {"now": 0, "older": -3, "later": 2, "far": 1_000, "never": -1_000}
TRADE_SCHEMA = pa.schema(
    {"symbol": pa.string(), "session_date": pa.date32(), "participant_ns": pa.int64(), "sip_ns": pa.int64()}
)
QUOTE_SCHEMA = pa.schema(
    {"symbol": pa.string(), "session_date": pa.date32(), "participant_ns": pa.int64(), "sip_ns": pa.int64()}
    | {"sequence_number": pa.int64(), "bid_price": pa.float64(), "ask_price": pa.float64()}
)


def tables(trades: list, quotes: list) -> tuple[pa.Table, pa.Table]:
    """Trades as (name, instant, delay of publication), quotes with a sequence number beside, which gives them their price."""
    tape = [
        {"symbol": name, "session_date": DAY, "participant_ns": at, "sip_ns": at + delay} for name, at, delay in trades
    ]
    book = [
        {"symbol": name, "session_date": DAY, "participant_ns": at, "sip_ns": at + delay, "sequence_number": sequence}
        | {"bid_price": None if sequence % 5 == 0 else float(sequence), "ask_price": sequence + 0.5}
        for name, at, delay, sequence in quotes
    ]
    return pa.Table.from_pylist(tape, TRADE_SCHEMA), pa.Table.from_pylist(book, QUOTE_SCHEMA)


@hypothesis_settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(
    trades=st.lists(st.tuples(NAMES, INSTANTS, DELAYS), max_size=30),
    quotes=st.lists(
        st.tuples(st.sampled_from(["A", "B", "C", "OTHER"]), INSTANTS, DELAYS, st.integers(1, 99)),
        max_size=30,
        unique_by=lambda one: (one[0], one[3]),
    ),
)
def test_arbitrary_tapes_meet_the_quotes_that_loops_find(trades: list, quotes: list) -> None:
    tape, book = tables(trades, quotes)
    found = beside_quotes(tape, book, OFFSETS)
    assert found.select(tape.column_names).equals(tape)
    for name, offset in OFFSETS.items():
        expected = oracle.asof_quotes(tape.to_pandas(), book.to_pandas(), offset).astype("float64")
        got = pd.DataFrame(
            [one or dict.fromkeys(("bid", "ask", "quote_ns")) for one in found[name].to_pylist()],
            columns=["bid", "ask", "quote_ns"],
        ).astype("float64")
        pd.testing.assert_frame_equal(got, expected, check_dtype=False, check_exact=True)


def test_without_trades_or_quotes_there_is_nothing_to_find() -> None:
    tape, book = tables([("A", 1, 0)], [("A", 0, 0, 1)])
    assert beside_quotes(tape.slice(1), book, {"now": 0}).num_rows == 0
    assert beside_quotes(tape, book.slice(1), {"now": 0})["now"].to_pylist() == [None]


def test_wide_trades_keep_every_column_as_it_was() -> None:
    tape, book = tables([("B", 5, 0), ("A", 5, 0)], [("A", 1, 0, 1), ("B", 2, 0, 2)])
    for place in range(99):
        tape = tape.append_column(f"more_{place}", pa.array([[place], None]))
    found = beside_quotes(tape, book, {"now": 0})
    assert found.drop_columns(["now"]).equals(tape)
    assert [one["bid"] for one in found["now"].to_pylist()] == [2.0, 1.0]
