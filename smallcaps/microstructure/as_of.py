"""The quotes in force at trades, or some time before or after them: an as-of join with one shuffle of either side.

1. The names of a day are dealt into groups, and the rows of each are packed into Arrow messages, so that Spark shuffles and
sorts messages instead of rows. 2. Each group is joined in numpy: one sort of its quotes, and a binary search for each offset. So
neither many thin names nor wide trades nor many offsets cost much.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DoubleType, LongType, StructField, StructType

TIME, PUBLISHED = "participant_ns", "sip_ns"
GROUPS_A_DAY = 64
"""What a task joins at once is a day's names by so many, however many days there are; a name's day is never divided."""
ROWS_PACKED = 1 << 19
"""So many rows are packed at once, a message for each group among them."""
_NAME, _DAY, _ORDER, _GROUP = "symbol", "session_date", "sequence_number", "_group"
_QUOTE = StructType(
    [StructField("bid", DoubleType()), StructField("ask", DoubleType()), StructField("quote_ns", LongType())]
)
_TAKEN = {"bid": "bid_price", "ask": "ask_price", "quote_ns": TIME}


def with_quotes(trades: DataFrame, quotes: DataFrame, offsets_ns: Mapping[str, int]) -> DataFrame:
    """`trades` with, for each name of `offsets_ns`, a struct column of that name: bid, ask and quote_ns of the last of
    `quotes` that was made strictly before the trade's time + offset; null where there is none. Of quotes of one instant the last
    by sequence_number counts. A quote that was published after the trade (of a later offset: after its publication + offset)
    could not be seen, and the one before it counts: what is known of a trade when it is published stays so.

    `trades` have the name, day and times of silver.trades and any other columns, `quotes` are rows of silver.quotes. A group's
    messages, compressed, must not exceed 2 GiB.
    """
    offsets = dict(offsets_ns)
    needed = [_NAME, TIME, PUBLISHED, _ORDER, "bid_price", "ask_price"]
    trade_schema, quote_schema = (to_arrow_schema(one.schema) for one in (trades, quotes.select(needed)))

    def joined(some_trades: pa.Table, some_quotes: pa.Table) -> pa.Table:
        return beside_quotes(_unpacked(some_trades, trade_schema), _unpacked(some_quotes, quote_schema), offsets)

    schema = StructType([*trades.schema.fields, *(StructField(name, _QUOTE) for name in offsets)])
    tape, book = _packed(trades, trades.columns), _packed(quotes, needed)
    return tape.groupBy(_DAY, _GROUP).cogroup(book.groupBy(_DAY, _GROUP)).applyInArrow(joined, schema)


def _packed(rows: DataFrame, columns: Sequence[str]) -> DataFrame:
    """These columns of rows as Arrow messages, each of a day and group."""

    def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for some in _gathered(batches):
            days, groups = some[_DAY].cast(pa.int32()).to_numpy(), some[_GROUP].to_numpy()
            key = days.astype(np.int64) * GROUPS_A_DAY + groups
            order = np.argsort(key, kind="stable")
            starts = np.flatnonzero(np.diff(key[order], prepend=-1))
            ends = np.append(starts[1:], len(key))
            packed = some.select(columns).take(pa.array(order)).combine_chunks()
            messages = [_message(packed.slice(start, end - start)) for start, end in zip(starts, ends, strict=True)]
            firsts = some.select([_DAY, _GROUP]).take(pa.array(order[starts])).combine_chunks()
            yield from firsts.append_column("message", pa.array(messages, pa.binary())).to_batches()

    group = F.pmod(F.xxhash64(_NAME), F.lit(GROUPS_A_DAY)).alias(_GROUP)
    kept = dict.fromkeys([*columns, _DAY])
    return rows.select(*kept, group).mapInArrow(pack, f"{_DAY} date, {_GROUP} bigint, message binary")


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches as tables of ROWS_PACKED rows or a few more; the last one has fewer, none is empty."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        if sum(map(len, held)) >= ROWS_PACKED:
            yield pa.Table.from_batches(held)
            held = []
    if sum(map(len, held)):
        yield pa.Table.from_batches(held)


def _message(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(rows)
    return bytes(sink.getvalue())


def _unpacked(messages: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows of messages; without any a table of this schema."""
    pieces = [pa.ipc.open_stream(one.as_buffer()).read_all() for one in messages["message"]]
    return pa.concat_tables(pieces) if pieces else schema.empty_table()


def beside_quotes(trades: pa.Table, quotes: pa.Table, offsets_ns: Mapping[str, int]) -> pa.Table:
    """`with_quotes` of the trades and quotes of one session day in memory; the trades stay in their order."""
    trade_name, quote_name, names = _numbered(trades[_NAME], quotes[_NAME])
    trade_made, trade_published, quote_made, quote_published = (
        table[column].to_numpy() for table in (trades, quotes) for column in (TIME, PUBLISHED)
    )
    by_quote_name, by_trade_name = (np.argsort(one, kind="stable") for one in (quote_name, trade_name))
    firsts, ends = (np.searchsorted(quote_name[by_quote_name], np.arange(names), side) for side in ("left", "right"))
    rows_of_names = np.split(by_trade_name, np.searchsorted(trade_name[by_trade_name], np.arange(names), "right"))[:-1]
    sequence = quotes[_ORDER].to_numpy()
    # What is in order already costs a name's sort nothing, but would a sort by name and time.
    of_names = (by_quote_name[begin:end] for begin, end in zip(firsts, ends, strict=True))
    sorted_names = [rows[np.lexsort((sequence[rows], quote_made[rows]))] for rows in of_names]
    order = np.concatenate([np.empty(0, dtype=np.int64), *sorted_names])
    quote_made, quote_published = quote_made[order], quote_published[order]
    first = firsts[trade_name]
    for column, offset in offsets_ns.items():
        place = np.empty(len(trades), dtype=np.int64)
        for begin, end, rows in zip(firsts, ends, rows_of_names, strict=True):
            # Where a trade and a quote have one instant the quote was not before the trade.
            place[rows] = begin + np.searchsorted(quote_made[begin:end], trade_made[rows] + offset, "left") - 1
        limit = trade_published + max(offset, 0) - (offset > 0)
        asked = np.arange(len(trades))
        while len(asked := asked[place[asked] >= first[asked]]):
            asked = asked[quote_published[place[asked]] > limit[asked]]
            place[asked] -= 1
        places = pa.array(place, mask=place < first)
        trades = trades.append_column(column, _quotes_at(quotes, pa.array(order).take(places)))
    return trades


def _numbered(*columns: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray, int]:
    """Numbers for the values of columns, the same for the same value, and how many there are."""
    encoded = pc.dictionary_encode(pa.chunked_array([chunk for column in columns for chunk in column.chunks]))
    numbers = encoded.combine_chunks().indices.to_numpy()
    return numbers[: len(columns[0])], numbers[len(columns[0]) :], int(numbers.max(initial=-1)) + 1


def _quotes_at(quotes: pa.Table, places: pa.Array) -> pa.Array:
    """The quotes at these places as structs; null where the place is."""
    taken = quotes.select(list(_TAKEN.values())).take(places).combine_chunks()
    parts = [taken[name].combine_chunks() for name in _TAKEN.values()]
    return pa.StructArray.from_arrays(parts, names=list(_TAKEN), mask=places.is_null())
