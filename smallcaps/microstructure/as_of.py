"""The quotes in force at trades, or some time before or after them: an as-of join with one shuffle of either side.

1. The names of a day are dealt into groups and the day into slices, and the rows of each group and slice are packed into Arrow
messages, so that Spark shuffles and sorts messages instead of rows. Names are runs there, and the numbers of quotes are
differences, so that messages are short.
2. Each group and slice is joined in numpy: the runs of its quotes are laid end to end and sorted only where that leaves them out
of order, and there is a binary search for all offsets. So neither many thin names nor wide trades nor many offsets cost much, and
a giant name is joined by several tasks.

A trade lies in one slice, together with every quote that any of its offsets may need. Call the earlier of when a row was made and
when it was published its early time, the later one its late time. A trade goes to the slice of its early time.
- A quote is seen by no trade whose early time is before its own less the longest offset (0 at least): by none in a slice before
that instant's.
- A quote is seen by every trade whose early time is after its late time less the most negative offset (0 at most): by all in the
slices after that instant's. Of such quotes each of these slices needs only the one made last.
- So a quote goes to the slices from the first instant's to the second's, and to all later ones if none of its name that is packed
with it, and whose second instant is in the same slice, was made later.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DoubleType, LongType, StructField, StructType

TIME, PUBLISHED = "participant_ns", "sip_ns"
GROUPS_A_DAY = 16
"""What a task joins at once is a slice of a day's names by so many, however many days there are."""
SLICES_BEGIN = (13, 16, 19)
"""Hours, UTC, of a session's date at which its second slice and the later ones begin; the regular session has a part in three."""
HOUR_NS = 3_600_000_000_000
ROWS_PACKED = 1 << 19
"""So many rows are packed at once, a message for each group and slice among them."""
ROWS_RETURNED = 20_000
"""So many joined rows go back to Java at a time: for larger batches it takes memory that it has not used before."""
_SLICES = len(SLICES_BEGIN) + 1
_NAME, _DAY, _ORDER, _GROUP = "symbol", "session_date", "sequence_number", "_group"
_PRICES = ("bid_price", "ask_price")
_QUOTE = StructType(
    [StructField("bid", DoubleType()), StructField("ask", DoubleType()), StructField("quote_ns", LongType())]
)


def with_quotes(trades: DataFrame, quotes: DataFrame, offsets_ns: Mapping[str, int]) -> DataFrame:
    """`trades` with, for each name of `offsets_ns`, a struct column of that name: bid, ask and quote_ns of the last of
    `quotes` that was made strictly before the trade's time + offset; null where there is none. Of quotes of one instant the last
    by sequence_number counts. A quote that was published after the trade (of a later offset: after its publication + offset)
    could not be seen, and the one before it counts: what is known of a trade when it is published stays so.

    `trades` have the name, day and times of silver.trades and any other columns, `quotes` are rows of silver.quotes. The
    messages of a group's slice, compressed, must not exceed 2 GiB.
    """
    offsets = dict(offsets_ns)
    schema = StructType([*trades.schema.fields, *(StructField(name, _QUOTE) for name in offsets)])
    nothing = to_arrow_schema(schema).empty_table()

    def joined(some_trades: pa.Table, some_quotes: pa.Table) -> pa.Table:
        if not len(some_trades):
            return nothing
        book = Book(_unpacked(some_quotes), sum(some_quotes["rows"].to_pylist()))
        met = pa.concat_tables([book.beside(one, offsets) for one in _unpacked(some_trades)])
        return pa.Table.from_batches(met.select(nothing.column_names).to_batches(ROWS_RETURNED))

    needed = quotes.select(_NAME, _DAY, TIME, PUBLISHED, _ORDER, *_PRICES)
    tape, book = _packed(trades, dealt), _packed(needed, partial(dealt, offsets_ns=[*offsets.values()]))
    return tape.groupBy(_GROUP).cogroup(book.groupBy(_GROUP)).applyInArrow(joined, schema)


def _packed(rows: DataFrame, deal: Callable[[pa.Table], Iterator[tuple[int, pa.Table]]]) -> DataFrame:
    """Rows as Arrow messages, each of a day, group and slice."""

    def pack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for some in _gathered(batches):
            messages = [(group, *_message(piece), len(piece)) for group, piece in deal(some)]
            columns = [pa.array(part) for part in zip(*messages, strict=True)]
            yield pa.record_batch(columns, [_GROUP, "message", "size", "rows"])

    return rows.mapInArrow(pack, f"{_GROUP} bigint, message binary, size bigint, rows bigint")


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


class _Runs(NamedTuple):
    """Runs of rows: each of one name and one day, all its rows going to the same slices, the first to the last."""

    begins: np.ndarray
    ends: np.ndarray
    days: np.ndarray
    names: np.ndarray
    first: np.ndarray
    last: np.ndarray

    def at(self, places: np.ndarray) -> "_Runs":
        return _Runs(*(of_runs[places] for of_runs in self))

    def and_also(self, others: "_Runs") -> "_Runs":
        return _Runs(*map(np.append, self, others))


def dealt(rows: pa.Table, offsets_ns: Collection[int] | None = None) -> Iterator[tuple[int, pa.Table]]:
    """Trades by day, group and slice, the rows of a name together and in their order, its name run-end encoded. Where there are
    offsets, quotes in short instead, in every slice whose trades may need them.
    """
    names, runs = _runs_of_rows(rows, offsets_ns)
    if offsets_ns is not None:
        runs = runs.and_also(_of_later_slices(rows[TIME].to_numpy(), runs))
    groups, runs = _by_group(runs, names)
    moved, ends = _rows_of(runs.begins, runs.ends)
    firsts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    begins = np.append(0, ends)[firsts]
    others = rows.drop_columns(_NAME).combine_chunks().take(pa.array(moved))
    if offsets_ns is not None:
        others = in_short(others, begins)
    for one, other, begin in zip(firsts, [*firsts[1:], len(groups)], begins, strict=True):
        named = _named(names, runs.names[one:other], ends[one:other] - begin)
        yield int(groups[one]), others.slice(begin, len(named)).append_column(_NAME, named)


def _runs_of_rows(rows: pa.Table, offsets_ns: Collection[int] | None) -> tuple[pa.Array, _Runs]:
    """Names, and the runs in which they lie: where rows come sorted by name and time those are few."""
    days = rows[_DAY].cast(pa.int32()).to_numpy().astype(np.int64)
    first, last = _slices_of(rows, days, offsets_ns)
    encoded = pc.run_end_encode(rows[_NAME].combine_chunks())
    labels = encoded.values.dictionary_encode()
    ends = np.union1d(encoded.run_ends, np.flatnonzero(np.diff(days) | np.diff(first) | np.diff(last)) + 1)
    begins = np.append(0, ends[:-1])
    names = np.asarray(labels.indices, np.int64)[np.searchsorted(encoded.run_ends, begins, "right")]
    return labels.dictionary, _Runs(begins, ends, days[begins], names, first[begins], last[begins])


def _slices_of(rows: pa.Table, days: np.ndarray, offsets_ns: Collection[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """Of each row the first of the slices it goes to, and the last; quotes have offsets."""
    made, published = rows[TIME].to_numpy(), rows[PUBLISHED].to_numpy()
    early, late = np.minimum(made, published), np.maximum(made, published)
    if offsets_ns is None:
        alone = _slices(early, days)
        return alone, alone
    return _slices(early - max([0, *offsets_ns]), days), _slices(late - min([0, *offsets_ns]), days)


def _of_later_slices(made: np.ndarray, runs: _Runs) -> _Runs:
    """The quotes made last of each name, day and last slice, each a run that goes to all slices after that."""
    alike = (runs.days * (runs.names.max() + 1) + runs.names) * _SLICES + runs.last
    rows = _made_last(made, runs.begins, alike)
    again = runs.at(np.searchsorted(runs.ends, rows, "right"))
    return again._replace(begins=rows, ends=rows + 1, first=again.last + 1, last=np.full(len(rows), _SLICES - 1))


def _by_group(runs: _Runs, names: pa.Array) -> tuple[np.ndarray, _Runs]:
    """The runs once for each slice they go to, in order of day, group, slice, name and row, and the group of each."""
    of_names = np.array([crc32(name.encode()) % GROUPS_A_DAY for name in names.to_pylist()])
    slices, ends = _rows_of(runs.first, runs.last + 1)
    runs = runs.at(np.repeat(np.arange(len(ends)), np.diff(ends, prepend=0)))
    groups = (runs.days * GROUPS_A_DAY + of_names[runs.names]) * _SLICES + slices
    order = np.lexsort((runs.begins, runs.names, groups))
    return groups[order], runs.at(order)


def _named(names: pa.Array, places: np.ndarray, ends: np.ndarray) -> pa.RunEndEncodedArray:
    """The names at these places, each up to its end; those that follow one another are one run."""
    whole = np.flatnonzero(np.append(np.diff(places), 1))
    return pa.RunEndEncodedArray.from_arrays(pa.array(ends[whole], pa.int32()), names.take(pa.array(places[whole])))


def _slices(instants: np.ndarray, days: np.ndarray) -> np.ndarray:
    """The slice of its day in which each instant lies."""
    since = instants - days * (24 * HOUR_NS)
    return np.asarray(sum((since >= begin * HOUR_NS).view(np.int8) for begin in SLICES_BEGIN))


def _made_last(made: np.ndarray, begins: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """The rows made last of each kind, of runs of rows that have a kind each."""
    _, kinds = np.unique(kinds, return_inverse=True)
    last = np.full(kinds.max() + 1, np.iinfo(np.int64).min)
    np.maximum.at(last, kinds, np.maximum.reduceat(made, begins))
    return np.flatnonzero(made == np.repeat(last[kinds], np.diff(begins, append=len(made))))


def _rows_of(begins: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of runs laid end to end, and where each run then ends."""
    lengths = ends - begins
    ends = np.cumsum(lengths)
    return np.repeat(begins - ends + lengths, lengths) + np.arange(lengths.sum()), ends


def in_short(quotes: pa.Table, begins: np.ndarray) -> pa.Table:
    """Quotes with their numbers as differences, which begin anew at `begins`; these in halves, the higher ones mostly zero."""
    made, published, sequence = (quotes[name].to_numpy() for name in (TIME, PUBLISHED, _ORDER))
    differences = {TIME: np.diff(made, prepend=0), PUBLISHED: published - made, _ORDER: np.diff(sequence, prepend=0)}
    differences[TIME][begins], differences[_ORDER][begins] = made[begins], sequence[begins]
    halves = {name: of_name.view(np.int32).reshape(-1, 2).T for name, of_name in differences.items()}
    low, high = ({f"{name}.{half}": of_name[half] for name, of_name in halves.items()} for half in (0, 1))
    return pa.table(low | high | {name: quotes[name] for name in _PRICES})


def _in_full(short: pa.Table, made: np.ndarray, published: np.ndarray, sequence: np.ndarray) -> None:
    """Fill these with the numbers of which `in_short` kept the differences."""
    for name, numbers in ((TIME, made), (PUBLISHED, published), (_ORDER, sequence)):
        halves = numbers.view(np.int32).reshape(-1, 2)
        halves[:, 0], halves[:, 1] = short[f"{name}.0"], short[f"{name}.1"]
    np.cumsum(made, out=made)
    np.cumsum(sequence, out=sequence)
    published += made


def _message(rows: pa.Table) -> tuple[bytes, int]:
    """A message and how long it is when decompressed."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    message = sink.getvalue()
    # As a whole: column by column, as Arrow does it, takes three times as long where messages are short.
    return pa.compress(message, "lz4_raw", asbytes=True), message.size


def _unpacked(messages: pa.Table) -> Iterator[pa.Table]:
    for one, size in zip(messages["message"], messages["size"].to_pylist(), strict=True):
        yield pa.ipc.open_stream(pa.decompress(one.as_buffer(), size, "lz4_raw")).read_all()


def _spans(piece: pa.Table) -> Iterator[tuple[str, int, int]]:
    """Where the rows of each name begin and end."""
    names = piece[_NAME].chunk(0)
    ends = [0, *names.run_ends.to_pylist()]
    return zip(names.values.to_pylist(), ends[:-1], ends[1:], strict=True)


class Book:
    """The quotes of some names on one day, in order of name, time and sequence number."""

    def __init__(self, pieces: Iterable[pa.Table], rows: int) -> None:
        """The quotes of pieces that were dealt in short, so many in all: each array is made once, as long as it has to be."""
        self._made, self._published, self._sequence = np.empty((3, rows), dtype=np.int64)
        prices, absent = np.empty((2, rows)), np.zeros((2, rows), dtype=bool)
        runs: list[tuple[str, int, int]] = []
        begin = 0
        for piece in pieces:
            span = slice(begin, begin + len(piece))
            _in_full(piece, self._made[span], self._published[span], self._sequence[span])
            for name, of_name, without in zip(_PRICES, prices, absent, strict=True):
                of_name[span], without[span] = piece[name], piece[name].is_null()
            runs += [(name, begin + first, begin + last) for name, first, last in _spans(piece)]
            begin = span.stop
        self._prices = pa.table(
            [pa.array(of_name, mask=without) for of_name, without in zip(prices, absent, strict=True)], _PRICES
        )
        self._lay_end_to_end(sorted(runs, key=lambda run: (run[0], self._made[run[1]])))
        self._sort()

    def _lay_end_to_end(self, runs: list[tuple[str, int, int]]) -> None:
        """Put the rows in the order of these runs, of which a name's lie together; each is a name, its begin and its end."""
        begins, ends = (np.array([run[place] for run in runs], dtype=np.int64) for place in (1, 2))
        if (np.diff(begins) < 0).any():
            order, ends = _rows_of(begins, ends)
            self._reorder(order)
        self._spans: dict[str, slice] = {}
        for (name, *_), first, last in zip(runs, [0, *ends[:-1]], ends, strict=False):
            self._spans[name] = slice(self._spans[name].start if name in self._spans else first, last)

    def _sort(self) -> None:
        """Put in order the names that are not."""
        made, sequence = self._made, self._sequence
        back = (made[1:] < made[:-1]) | ((made[1:] == made[:-1]) & (sequence[1:] < sequence[:-1]))
        back[[span.stop - 1 for span in self._spans.values()][:-1]] = False
        if back.any():
            order = np.arange(len(made))
            for span in self._spans.values():
                if back[span.start : span.stop - 1].any():
                    order[span] = span.start + np.lexsort((sequence[span], made[span]))
            self._reorder(order)

    def _reorder(self, order: np.ndarray) -> None:
        self._made, self._published, self._sequence = (
            numbers[order] for numbers in (self._made, self._published, self._sequence)
        )
        self._prices = self._prices.take(pa.array(order))

    def beside(self, trades: pa.Table, offsets_ns: Mapping[str, int]) -> pa.Table:
        """`with_quotes` of trades that were dealt; they stay in their order."""
        made, published = trades[TIME].to_numpy(), trades[PUBLISHED].to_numpy()
        first = np.zeros(len(trades), dtype=np.int64)
        asked = made + np.array([*offsets_ns.values()])[:, None]
        places = np.zeros_like(asked)
        for name, begin, end in _spans(trades):
            if span := self._spans.get(name):
                first[begin:end] = span.start
                # Where a trade and a quote have one instant the quote was not before the trade.
                places[:, begin:end] = self._made[span].searchsorted(asked[:, begin:end], "left")
        places += first - 1
        met = trades.drop_columns(_NAME).append_column(_NAME, pc.run_end_decode(trades[_NAME]))
        for place, (column, offset) in zip(places, offsets_ns.items(), strict=True):
            limit = published + max(offset, 0) - (offset > 0)
            asked = np.arange(len(trades))
            while len(asked := asked[place[asked] >= first[asked]]):
                asked = asked[self._published[place[asked]] > limit[asked]]
                place[asked] -= 1
            met = met.append_column(column, self._at(place, place < first))
        return met

    def _at(self, places: np.ndarray, nowhere: np.ndarray) -> pa.Array:
        """The quotes at these places as structs; null where there is none."""
        masked = pa.array(places, mask=nowhere)
        made = pa.array(self._made).take(masked)
        bid, ask = (prices.combine_chunks() for prices in self._prices.take(masked).columns)
        return pa.StructArray.from_arrays([bid, ask, made], names=_QUOTE.names, mask=pa.array(nowhere))
