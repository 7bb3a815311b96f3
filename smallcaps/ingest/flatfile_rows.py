"""A raw flat file as typed rows of bronze, and those apart that break a rule. Arrow only: it runs in a task."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from smallcaps.sources.columns import Mask, read_column
from smallcaps.sources.fields import Field
from smallcaps.sources.polygon.flatfiles import read_rows
from smallcaps.sources.polygon.ticks import PRICE, QUOTE, SIZE, trade_fields

BRONZE = {
    "day_aggs_v1": "bronze.bars_1d",
    "minute_aggs_v1": "bronze.bars_1m",
    "trades_v1": "bronze.trades",
    "quotes_v1": "bronze.quotes",
    "book_v1": "bronze.book",
}

_BAR = (
    Field("window_start_ns", "window_start", "bigint"),
    *(Field(name, name, PRICE) for name in ("open", "high", "low", "close")),
    Field("volume", "volume", SIZE),
    Field("transactions", "transactions", "bigint", optional=True),
)
_BOOK = (
    Field("published_ns", "published_timestamp", "bigint"),
    Field("made_ns", "made_timestamp", "bigint", optional=True, zero_is_none=True),
    Field("sequence_number", "sequence_number", "bigint"),
    *(Field(side, side, f"array<struct<price:{PRICE},size:{SIZE}>>") for side in ("bids", "asks")),
)
FIELDS: dict[str, tuple[Field, ...]] = {
    "day_aggs_v1": _BAR,
    "minute_aggs_v1": _BAR,
    "trades_v1": trade_fields("size"),
    "quotes_v1": QUOTE,
    "book_v1": _BOOK,
}
"""What each kind of file becomes."""

REASONS = {
    "wrong_field_count": "the line has more or fewer fields than the header",
    "missing_symbol": "the ticker is empty",
    "missing_value": "a required field is empty",
    "unparsable_number": "a number cannot be read",
}
"""The rules, the first that a row breaks being the one that it is refused for."""
_RULES = [*REASONS]


@dataclass(frozen=True)
class Block:
    """Rows of one stretch of a file: `sound` as the table's files have them, `refused` as text, with each one's `rule`."""

    lines: int
    sound: pa.RecordBatch
    refused: pa.RecordBatch


def read_blocks(
    stream: pa.NativeFile, kind: str, schema: pa.Schema, constants: Mapping[str, object], symbols: Sequence[str] | None
) -> Iterator[Block]:
    """The rows of a gzipped file of `kind`, block by block; with `symbols` only theirs.

    `schema` is that of the table's files; `constants` are columns that are the same in every row. Raises FileFault as
    `read_rows` does, which may be after blocks were given.
    """
    wanted = None if symbols is None else pa.array(symbols, pa.string())
    for everything in read_rows(stream, kind):
        text = everything if wanted is None else everything.filter(pc.is_in(everything["ticker"], wanted))
        yield Block(everything.num_rows, *_judged(text, kind, schema, constants))


def _judged(
    text: pa.RecordBatch, kind: str, schema: pa.Schema, constants: Mapping[str, object]
) -> tuple[pa.RecordBatch, pa.RecordBatch]:
    """The sound rows, typed, and the others as they are, with the rule that they break."""
    rows = text.num_rows
    columns = {"symbol": text["ticker"], "source_line": text["line"]}
    broken = {rule: np.zeros(rows, dtype=bool) for rule in _RULES}
    broken["wrong_field_count"] |= _mask(text["raw"].is_valid())
    broken["missing_symbol"] |= _mask(text["ticker"].is_null())
    for field in FIELDS[kind]:
        given = text[field.text]
        columns[field.column], unread = read_column(given, field, schema.field(field.column).type)
        if unread is not None:
            broken["unparsable_number"] |= unread
        if not field.optional and given.null_count:
            broken["missing_value"] |= _mask(given.is_null())
    columns |= {
        name: pa.repeat(pa.scalar(value, schema.field(name).type), rows)
        for name, value in constants.items()
        if name in schema.names
    }
    sound = pa.RecordBatch.from_arrays(
        [columns[one.name] if one.name in columns else pa.nulls(rows, one.type) for one in schema], schema=schema
    )
    verdict = np.select([broken[rule] for rule in _RULES], range(len(_RULES)), len(_RULES))
    keep = verdict == len(_RULES)
    if keep.all():
        return sound, text.slice(0, 0).append_column("rule", pa.array([], pa.string()))
    refused = text.filter(pa.array(~keep))
    rules = pa.array([_RULES[number] for number in verdict[~keep]], pa.string())
    return sound.filter(pa.array(keep)), refused.append_column("rule", rules)


def _mask(values: pa.BooleanArray) -> Mask:
    return np.asarray(values)
