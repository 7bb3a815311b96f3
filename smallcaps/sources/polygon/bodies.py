"""From a REST body to rows of text, by an endpoint's declaration. Numbers keep the digits they came with."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from smallcaps.errors import BadData
from smallcaps.sources.fields import Field
from smallcaps.sources.polygon.endpoints import Endpoint, Shape

Record = dict[str, Any]


class Number(str):
    """A JSON number as it was written, but for a `.0` at its end."""

    __slots__ = ()


def parse(content: bytes) -> Any:
    """The body with every number as a `Number`."""
    return json.loads(content, parse_int=Number, parse_float=_whole, parse_constant=Number)


def records_of(endpoint: Endpoint, body: Any) -> list[Record]:
    """What becomes a row each, of a parsed body.

    A list inside an object that is itself inside the body has the object's own values beside each record's. Raises BadData
    where the records are not a list of objects.
    """
    found, around = body, {}
    for name in filter(None, endpoint.records.split(".")):
        if found is None:
            break
        if not isinstance(found, dict):
            raise BadData(f"The body has no {endpoint.records}: what should hold {name} is no object.")
        around, found = found, found.get(name)
    if found is None:
        return []
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise BadData(f"The body's {endpoint.records or 'content'} is not a list of objects.")
    if "." in endpoint.records:
        found = [around | record for record in found]
    if endpoint.shape is Shape.VALUE:
        return [row for record in found for row in _values(endpoint, record)]
    return found


def text_columns(endpoint: Endpoint, records: list[Record]) -> dict[str, pa.Array]:
    """A text column for each of the endpoint's fields, under the name of its bronze column; absent, or empty, is null."""
    readers = {one.column: _reader(endpoint, one) for one in endpoint.fields}
    return {column: _as_text([read(record) for record in records]) for column, read in readers.items()}


def _whole(text: str) -> Number:
    return Number(text.removesuffix(".0"))


def _is_figure(value: Any) -> bool:
    return isinstance(value, Number | int | float) and not isinstance(value, bool)


def _values(endpoint: Endpoint, record: Record) -> Iterator[Record]:
    """A record for each value that no field reads, with the fields' own beside it."""
    for name, value in _rest(endpoint, record).items():
        yield {one.text: record.get(one.text) for one in endpoint.fields} | {"series": name, "value": value}


def _rest(endpoint: Endpoint, record: Record) -> Record:
    """The figures of a record that no field names. A text that the vendor adds is none."""
    named = {path.split(".")[0] for one in endpoint.fields for path in one.text.split("|")}
    return {name: value for name, value in record.items() if name not in named and _is_figure(value)}


def _reader(endpoint: Endpoint, one: Field) -> Callable[[Record], str]:
    """What gives a field's text of a record."""
    if one.text == "*":
        return lambda record: json.dumps(_rest(endpoint, record))
    paths = [path.split(".") for path in one.text.split("|")]
    if "*" in paths[0]:
        return lambda record: json.dumps(dict(_matches(record, paths[0])))
    in_words = one.type == "array<int>"

    def read(record: Record) -> str:
        for path in paths:
            value: Any = record
            for name in path:
                value = _inside(value, name)
            if value is not None:
                return ",".join(map(_text, value)) if in_words and isinstance(value, list) else _text(value)
        return ""

    return read


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return value.get(name)
    return value[0] if isinstance(value, list) and value and name == "0" else None


def _matches(value: Any, path: list[str], found: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every value that a path with wildcards leads to, named by what the wildcards stood for."""
    if not path:
        if _is_figure(value):
            yield ".".join(found), value
    elif isinstance(value, dict):
        for name in value if path[0] == "*" else [path[0]]:
            yield from _matches(value.get(name), path[1:], (*found, name) if path[0] == "*" else found)


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value)


def _as_text(values: list[str]) -> pa.Array:
    given = [value or None for value in values]
    try:
        return pa.array(given, pa.string())
    except UnicodeEncodeError:  # Half of a surrogate pair is legal in JSON and in no encoding.
        return pa.array([value and value.encode("utf-8", "replace").decode() for value in given], pa.string())
