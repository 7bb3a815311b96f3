"""The as-of join in memory: against loops on arbitrary tapes, and where tables are empty, wide, unordered or far apart."""

import math
from datetime import timedelta
from itertools import product

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smallcaps.microstructure.as_of import GROUPS_A_DAY, HOUR_NS, SLICES_BEGIN, Book, dealt
from tests.microstructure import oracle
from tests.microstructure.tape import DAY, KNOWN_NS

NAMES = st.sampled_from(["A", "A", "B", "ONLY"])
DAYS = st.sampled_from([DAY, DAY + timedelta(days=1)])
BEGINS = [KNOWN_NS + (hour - 14) * HOUR_NS for hour in SLICES_BEGIN]
"""Of the slices of DAY after the first."""
INSTANTS = st.builds(int.__add__, st.sampled_from(BEGINS), st.integers(-3, 2))
"""Few of them for many rows, around where slices begin: bursts of equal timestamps."""
DELAYS = st.sampled_from([0, 0, 1, 4, -2, 3 * HOUR_NS, -3 * HOUR_NS, -4 * HOUR_NS])
OFFSETS = {
    "now": 0,
    "older": -3,
    "later": 2,
    "far": 1_000,
    "hours": 3 * HOUR_NS,
    "before": -3 * HOUR_NS,
    "never": -24 * HOUR_NS,
}
ANSWER = {"bid": "float64", "ask": "float64", "quote_ns": "Int64"}
TRADE_SCHEMA = pa.schema(
    {"symbol": pa.string(), "session_date": pa.date32(), "participant_ns": pa.int64(), "sip_ns": pa.int64()}
)
QUOTE_SCHEMA = pa.schema(
    {"symbol": pa.string(), "session_date": pa.date32(), "participant_ns": pa.int64(), "sip_ns": pa.int64()}
    | {"sequence_number": pa.int64(), "bid_price": pa.float64(), "ask_price": pa.float64()}
)


def tables(trades: list, quotes: list) -> tuple[pa.Table, pa.Table]:
    """Trades as (name, instant, delay of publication, day), quotes with a sequence number too, which gives them their price."""
    tape = [
        {"symbol": name, "session_date": day, "participant_ns": at, "sip_ns": at + delay}
        for name, at, delay, day in trades
    ]
    book = [
        {"symbol": name, "session_date": day, "participant_ns": at, "sip_ns": at + delay, "sequence_number": sequence}
        | {"bid_price": None if sequence % 5 == 0 else float(sequence), "ask_price": sequence + 0.5}
        for name, at, delay, day, sequence in quotes
    ]
    return pa.Table.from_pylist(tape, TRADE_SCHEMA), pa.Table.from_pylist(book, QUOTE_SCHEMA)


def joined(trades: pa.Table, quotes: pa.Table, offsets: dict[str, int], rows_packed: int = 1_000) -> pa.Table:
    """Trades beside their quotes in the order of `trades`, when so many rows are packed at once."""
    numbered = trades.append_column("row", pa.array(range(len(trades)), pa.int64()))
    tape, book = (
        [
            piece
            for begin in range(0, len(rows), rows_packed)
            for piece in dealt(rows[begin : begin + rows_packed], asked)
        ]
        for rows, asked in ((numbered, None), (quotes, offsets.values()))
    )
    quoted: dict[int, list[pa.Table]] = {group: [] for group, _ in tape + book}
    for group, piece in book:
        quoted[group].append(piece)
    books = {group: Book(pieces, sum(map(len, pieces))) for group, pieces in quoted.items()}
    found = [books[group].beside(piece, offsets) for group, piece in tape]
    return pa.concat_tables(found).sort_by("row").drop_columns("row")


@hypothesis_settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    trades=st.lists(st.tuples(NAMES, INSTANTS, DELAYS, DAYS), min_size=1, max_size=30),
    quotes=st.lists(
        st.tuples(st.sampled_from(["A", "A", "B", "OTHER"]), INSTANTS, DELAYS, DAYS, st.integers(1, 99)),
        max_size=30,
        unique_by=lambda one: (one[0], one[3], one[4]),
    ),
    in_order=st.booleans(),
    rows_packed=st.integers(1, 40),
    offsets=st.sets(st.sampled_from([*OFFSETS]), min_size=1, max_size=2),
)
def test_arbitrary_tapes_meet_the_quotes_that_loops_find(
    trades: list, quotes: list, in_order: bool, rows_packed: int, offsets: set[str]
) -> None:
    if in_order:
        trades, quotes = sorted(trades), sorted(quotes, key=lambda one: (one[3], one[0], one[1], one[4]))
    tape, book = tables(
        *(
            [(name, at + (day - DAY).days * 24 * HOUR_NS, delay, day, *more) for name, at, delay, day, *more in rows]
            for rows in (trades, quotes)
        )
    )
    assert_as_loops_find(tape, book, {name: OFFSETS[name] for name in offsets}, rows_packed)


def test_any_two_quotes_and_trade_around_where_slices_begin_meet_as_loops_find() -> None:
    kinds = [*product(BEGINS[:2], (-1, 0), (0, 1, -1, 3 * HOUR_NS, -3 * HOUR_NS))]
    pairs = [*enumerate(product(kinds, repeat=2))]
    quotes = [
        (f"N{number}", at + after, delay, DAY, sequence)
        for number, pair in pairs
        for sequence, (at, after, delay) in enumerate(pair, 1)
    ]
    trades = [(f"N{number}", at + after, delay, DAY) for number, _ in pairs for at, after, delay in kinds]
    for offset, rows_packed in product((0, 2, -2, 3 * HOUR_NS, -3 * HOUR_NS), (1_000, 7)):
        assert_as_loops_find(*tables(trades, quotes), {"alone": offset}, rows_packed)


def assert_as_loops_find(tape: pa.Table, book: pa.Table, offsets: dict[str, int], rows_packed: int) -> None:
    """Fails where a trade's row or quotes are not as they ought to be."""
    found = joined(tape, book, offsets, rows_packed)
    assert found.select(tape.column_names).equals(tape)
    for name, offset in offsets.items():
        expected = oracle.asof_quotes(tape.to_pandas(), book.to_pandas(), offset).astype(ANSWER)
        got = pd.DataFrame(
            [one or dict.fromkeys(ANSWER) for one in found[name].to_pylist()], columns=[*ANSWER], dtype="object"
        ).astype(ANSWER)
        pd.testing.assert_frame_equal(got, expected, check_dtype=False, check_exact=True)


def test_without_quotes_there_is_nothing_to_find() -> None:
    tape, book = tables([("A", 1, 0, DAY)], [("A", 0, 0, DAY, 1)])
    assert joined(tape, book[1:], {"now": 0})["now"].to_pylist() == [None]


def test_a_price_that_is_no_number_stays_apart_from_one_that_is_absent() -> None:
    tape, book = tables([("A", 1, 0, DAY), ("A", 3, 0, DAY)], [("A", 0, 0, DAY, 1), ("A", 2, 0, DAY, 2)])
    book = book.set_column(book.schema.get_field_index("bid_price"), "bid_price", pa.array([None, float("nan")]))
    absent, no_number = (one["bid"] for one in joined(tape, book, {"now": 0})["now"].to_pylist())
    assert absent is None
    assert math.isnan(no_number)


def test_wide_trades_keep_every_column_as_it_was() -> None:
    tape, book = tables([("B", 5, 0, DAY), ("A", 5, 0, DAY)], [("A", 1, 0, DAY, 1), ("B", 2, 0, DAY, 2)])
    for place in range(99):
        tape = tape.append_column(f"more_{place}", pa.array([[place], None]))
    found = joined(tape, book, {"now": 0})
    assert found.drop_columns(["now"]).select(tape.column_names).equals(tape)
    assert [one["bid"] for one in found["now"].to_pylist()] == [2.0, 1.0]


def test_a_name_and_slice_of_a_day_is_one_group_wherever_it_is_dealt() -> None:
    names = [f"N{number}" for number in range(1_000)]
    tape, _ = tables([(name, 0, 0, DAY) for name in names], [])
    together = {name: group for group, piece in dealt(tape) for name in pc.run_end_decode(piece["symbol"]).to_pylist()}
    alone = {name: next(iter(dealt(tape[row : row + 1])))[0] for row, name in enumerate(names)}
    assert together == alone
    assert len(set(together.values())) == GROUPS_A_DAY


def test_a_names_day_is_divided_among_slices() -> None:
    hours = range(-1, 8)
    tape, book = tables(
        [("A", BEGINS[0] + hour * HOUR_NS, 0, DAY) for hour in hours],
        [("A", BEGINS[0] + hour * HOUR_NS, 0, DAY, hour + 2) for hour in hours],
    )
    assert [len(piece) for _, piece in dealt(tape)] == [1, 3, 3, 2]
    # A slice's own, and of each earlier one the last.
    assert [len(piece) for _, piece in dealt(book, [0])] == [1, 1 + 3, 2 + 3, 3 + 2]


def test_quotes_may_be_any_time_and_publication_apart() -> None:
    instants = [2**62, -(2**62), 0, 2**32, 2**31 - 1]
    quotes = [("A", at, (-1) ** place * 2 ** (30 + place), DAY, 2**60 - place) for place, at in enumerate(instants)]
    trades = [("A", at + 1, 2**40, DAY) for at in instants]
    assert [one["quote_ns"] for one in joined(*tables(trades, quotes), {"now": 0})["now"].to_pylist()] == instants


def test_of_unsorted_sources_every_name_is_sorted() -> None:
    quotes = [(name, at, 0, DAY, at + 1) for at in range(98, -1, -2) for name in ("B", "A", "C")]
    trades = [(name, at, 0, DAY) for at in range(1, 100, 2) for name in ("C", "A", "B")]
    for rows_packed in (1, 7, 1_000):
        found = joined(*tables(trades, quotes), {"now": 0}, rows_packed)
        assert [one["quote_ns"] for one in found["now"].to_pylist()] == [at - 1 for _, at, *_ in trades]
