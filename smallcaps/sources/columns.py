"""Text columns as typed Arrow columns, as their Fields declare it: for bulk, where reading as SQL would take too long.

What a text means is the same as in `fields`; a test holds the two against each other. Absent is null here, not empty text.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from smallcaps.sources.fields import Field

Mask = NDArray[np.bool_]

_WHOLE = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE](-[0-9]{1,8}|\+?[0-9]{1,3}))?")
_SPACES = "".join(map(chr, range(33)))


def read_column(text: pa.StringArray, field: Field, type_: pa.DataType) -> tuple[pa.Array, Mask | None]:
    """Texts of a field as values of `type_`, and the places of those that cannot be read (None where all can).

    Types: string, int32, int64, decimal128, list of int32, list of structs of decimals. A value is null where there is no text
    or it cannot be read.
    """
    if pa.types.is_string(type_):
        return text, None
    read = _numbers
    if pa.types.is_list(type_):
        read = _records if pa.types.is_struct(type_.value_type) else _lists
    values, unread = read(text, type_), None
    # No text is an empty list of numbers; else it is nothing.
    if values.null_count > (0 if read is _lists else text.null_count):
        unread = np.asarray(pc.and_(text.is_valid(), values.is_null()))
    if field.zero_is_none:
        values = pc.if_else(pc.equal(values, 0), pa.scalar(None, type_), values)
    return values, unread


def _numbers(text: pa.StringArray, type_: pa.DataType) -> pa.Array:
    # Arrow reads all at once or none; then each is read by itself. It takes 0x10 for 16, which nobody means.
    if b"x" not in (characters := bytes(text.buffers()[2] or b"")) and b"X" not in characters:
        with suppress(pa.ArrowInvalid):
            return pc.cast(text, type_)
    read = partial(_decimal, type_=type_) if pa.types.is_decimal(type_) else partial(_whole, bits=type_.bit_width)
    return pa.array(_each(text, read), type_)


def _lists(text: pa.StringArray, type_: pa.DataType) -> pa.Array:
    """Whole numbers with commas between; no text is an empty list. Few texts differ, so each is read once."""
    encoded = text.dictionary_encode()
    lists = pa.array([*_each(encoded.dictionary, _list), []], type_)
    return lists.take(encoded.indices.fill_null(len(lists) - 1))


def _records(text: pa.StringArray, type_: pa.ListType) -> pa.Array:
    """JSON: a list of objects; what an object lacks is null."""
    # Arrow reads all at once or none, and takes no name that is not in the struct; then each is read by itself.
    lines = pc.binary_join_element_wise('{"value":', text.fill_null("null"), "}", "")
    content = "\n".join(lines.to_pylist()).encode()
    options = pj.ParseOptions(explicit_schema=pa.schema([("value", type_)]), unexpected_field_behavior="error")
    reading = pj.ReadOptions(use_threads=False, block_size=len(content) + 1)
    with suppress(pa.ArrowInvalid):
        values = pj.read_json(pa.BufferReader(content), reading, options)["value"].combine_chunks()
        if len(values) == len(text):
            return values
    return pa.array(_each(text, partial(_objects, parts=list(type_.value_type))), type_)


def _objects(text: str, parts: list[pa.Field]) -> list[dict[str, Decimal | None]] | None:
    try:
        items = json.loads(text, parse_int=str, parse_float=str)
        read = [{part.name: _part(item.get(part.name), part.type) for part in parts} for item in items]
    except (ValueError, AttributeError, TypeError, RecursionError):
        return None
    return read


def _part(value: str | None, type_: pa.Decimal128Type) -> Decimal | None:
    """A value of an object. Raises ValueError where it is no number."""
    if value is None:
        return None
    if (number := _decimal(value, type_)) is None:
        raise ValueError(value)
    return number


def _each(text: pa.StringArray, read: Callable[[str], Any]) -> list[Any]:
    return [None if value is None else read(value) for value in text.to_pylist()]


def _whole(text: str, bits: int) -> int | None:
    if not _WHOLE.fullmatch(text := text.strip(_SPACES)):
        return None
    number = int(text)
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None


def _list(text: str) -> list[int] | None:
    numbers = [_whole(item, 32) for item in text.split(",")]
    return None if None in numbers else numbers  # type: ignore[return-value]


def _decimal(text: str, type_: pa.Decimal128Type) -> Decimal | None:
    if not _DECIMAL.fullmatch(text := text.strip(_SPACES)):
        return None
    number = Decimal(text)
    if number.adjusted() >= type_.precision - type_.scale and number:
        return None
    rounded = number.quantize(Decimal(1).scaleb(-type_.scale), ROUND_HALF_UP)
    return rounded if rounded.adjusted() < type_.precision - type_.scale or not rounded else None
