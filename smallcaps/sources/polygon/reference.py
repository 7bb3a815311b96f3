"""The vendor's reference bodies, as JSON or as CSV with the same field names."""

import csv
import io
import json

SPLIT_FIELDS = ("ticker", "execution_date", "split_from", "split_to")


def parse_splits(content: bytes) -> list[tuple[str | None, ...]]:
    """Rows of (ticker, execution_date, split_from, split_to) as text from a splits body or a CSV file.

    Raises ValueError saying what is wrong where the content is neither, or lacks a field for every row.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text ({error})") from error
    if text.lstrip()[:1] in ("{", "["):
        try:
            body = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"it begins like JSON and is not ({error})") from error
        records = body.get("results", []) if isinstance(body, dict) else body
        if not isinstance(records, list):
            raise ValueError("its results are not a list")
        if not all(isinstance(record, dict) for record in records):
            raise ValueError("a record is not an object")
        if records and (missing := [name for name in SPLIT_FIELDS if all(name not in record for record in records)]):
            raise ValueError(f"its records lack {', '.join(missing)}")
        return [tuple(_text(record.get(name)) for name in SPLIT_FIELDS) for record in records]
    header, *rows = [*csv.reader(io.StringIO(text))] or [[]]
    if missing := [name for name in SPLIT_FIELDS if name not in header]:
        raise ValueError(f"its header lacks {', '.join(missing)}")
    places = [header.index(name) for name in SPLIT_FIELDS]
    # A blank line is a row of nothing, so that rows keep their line numbers.
    return [tuple(row[place] if place < len(row) else None for place in places) for row in rows]


def _text(value: object) -> str | None:
    return None if value is None else str(value)
