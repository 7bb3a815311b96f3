"""Text columns as typed Arrow columns, as their Fields declare it. What is absent is null.

A text means what Spark's casts take it for; a test holds the two against each other.
"""

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
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
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE](-[0-9]{1,8}|\+?0*[0-9]{1,3}))?")
_SPACES = "".join(map(chr, range(33)))
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(_DATE.pattern + r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}:?[0-9]{2})?)?")
_TRUTH = dict.fromkeys(("true", "t", "yes", "y", "1"), True) | dict.fromkeys(("false", "f", "no", "n", "0"), False)


def read_column(text: pa.StringArray, field: Field, type_: pa.DataType) -> tuple[pa.Array, Mask | None]:
    """Texts of a field as values of `type_`, and the places of those that cannot be read (None where all can).

    Types: string, bool, int32, int64, double, decimal128, date32, timestamp in UTC, map of double, lists of int32, strings or
    structs of strings or decimals. A value is null where there is no text or it cannot be read.
    """
    if field.missing is not None:
        text = pc.if_else(pc.equal(text, field.missing), None, text)
    if pa.types.is_string(type_):
        return text, None
    read, unread = _reader(type_), None
    values = read(text, type_)
    if field.times != 1:
        most = ((1 << 63) - 1) // field.times
        within = pc.and_(pc.less_equal(values, most), pc.greater_equal(values, -most))
        values = pc.multiply(pc.if_else(within, values, None), field.times)
    # No text is an empty list of numbers; else it is nothing.
    if values.null_count > (0 if read is _lists else text.null_count):
        unread = np.asarray(pc.and_(text.is_valid(), values.is_null()))
    if field.zero_is_none:
        values = pc.if_else(pc.equal(values, 0), pa.scalar(None, type_), values)
    return values, unread


def _reader(type_: pa.DataType) -> Callable[[pa.StringArray, pa.DataType], pa.Array]:
    if pa.types.is_list(type_):
        return _lists if pa.types.is_int32(type_.value_type) else _objects
    if pa.types.is_map(type_):
        return partial(_one_by_one, read=_figures)
    if pa.types.is_boolean(type_):
        return partial(_one_by_one, read=lambda one: _TRUTH.get(one.strip(_SPACES).lower()))
    return _values


def _values(text: pa.StringArray, type_: pa.DataType) -> pa.Array:
    # Arrow reads all at once or none; then each is read by itself. It takes 0x10 for 16, which nobody means.
    if b"x" not in (characters := bytes(text.buffers()[2] or b"")) and b"X" not in characters:
        with suppress(pa.ArrowInvalid):
            return _finite(pc.cast(text, type_))
    return _finite(_one_by_one(text, type_, _READERS[type_.id](type_)))


def _finite(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(values), values, None) if pa.types.is_float64(values.type) else values


def _one_by_one(text: pa.StringArray, type_: pa.DataType, read: Callable[[str], Any]) -> pa.Array:
    return pa.array(_each(text, read), type_)


def _lists(text: pa.StringArray, type_: pa.DataType) -> pa.Array:
    """Whole numbers with commas between; no text is an empty list. Few texts differ, so each is read once."""
    encoded = text.dictionary_encode()
    lists = pa.array([*_each(encoded.dictionary, _list), []], type_)
    return lists.take(encoded.indices.fill_null(len(lists) - 1))


def _objects(text: pa.StringArray, type_: pa.ListType) -> pa.Array:
    """JSON: a list of texts, or of objects; what an object lacks is null."""
    # Arrow reads all at once or none, and takes no name that is not in the struct; then each is read by itself.
    lines = pc.binary_join_element_wise('{"value":', text.fill_null("null"), "}", "")
    content = "\n".join(lines.to_pylist()).encode()
    options = pj.ParseOptions(explicit_schema=pa.schema([("value", type_)]), unexpected_field_behavior="error")
    reading = pj.ReadOptions(use_threads=False, block_size=len(content) + 1)
    with suppress(pa.ArrowInvalid):
        values = pj.read_json(pa.BufferReader(content), reading, options)["value"].combine_chunks()
        if len(values) == len(text):
            return values
    return _one_by_one(text, type_, partial(_items, type_=type_.value_type))


def _items(text: str, type_: pa.DataType) -> list[Any] | None:
    """The items of a list in JSON; None where it is none, or one of them is not what it should be."""
    try:
        items = json.loads(text, parse_int=str, parse_float=str)
        return [_part(item, type_) for item in items] if isinstance(items, list) else None
    except (ValueError, AttributeError, RecursionError):
        return None


def _part(value: Any, type_: pa.DataType) -> Any:
    """A value in JSON. Raises ValueError where it is no number, AttributeError where it is no object."""
    if value is None:
        return None
    if pa.types.is_struct(type_):
        return {part.name: _part(value.get(part.name), part.type) for part in type_}
    if pa.types.is_string(type_):
        # Half of a surrogate pair is legal in JSON and in no encoding.
        return (value if isinstance(value, str) else _spelled(value)).encode("utf-8", "replace").decode()
    if not isinstance(value, str) or (number := _decimal(value, type_)) is None:
        raise ValueError(value)
    return number


def _spelled(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _figures(text: str) -> list[tuple[str, float]] | None:
    """Numbers by name in JSON; None where one is none."""
    try:
        figures = [(name, _float(value)) for name, value in json.loads(text, parse_int=str, parse_float=str).items()]
    except (ValueError, AttributeError, TypeError):
        return None
    return None if any(value is None for _, value in figures) else figures  # type: ignore[return-value]


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


def _float(text: str) -> float | None:
    if not _DECIMAL.fullmatch(text := text.strip(_SPACES)):
        return None
    return number if math.isfinite(number := float(text)) else None


def _date(text: str) -> date | None:
    with suppress(ValueError):
        return date.fromisoformat(text) if _DATE.fullmatch(text) else None
    return None


def _time(text: str) -> datetime | None:
    """An instant; without a zone it is UTC's."""
    with suppress(ValueError):
        if _TIME.fullmatch(text := text.strip(_SPACES)):
            time = datetime.fromisoformat(text)
            return time if time.tzinfo else time.replace(tzinfo=UTC)
    return None


_Reader = Callable[[pa.DataType], Callable[[str], Any]]
_READERS: dict[int, _Reader] = {
    pa.int32().id: lambda _: partial(_whole, bits=32),
    pa.int64().id: lambda _: partial(_whole, bits=64),
    pa.float64().id: lambda _: _float,
    pa.decimal128(1).id: lambda type_: partial(_decimal, type_=type_),
    pa.date32().id: lambda _: _date,
    pa.timestamp("us").id: lambda _: _time,
}
"""How one text is read, by the id of the type."""
