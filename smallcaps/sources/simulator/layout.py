"""The folder that holds a simulated market: what is where, and in which columns.

<market>/
  settings.json                         what it was made from
  us_stocks_sip/<kind>/YYYY/MM/<day>.csv.gz   the vendor's flat files
  smallcaps/book_v1/YYYY/MM/<day>.csv.gz      order books in the same layout, which the vendor has not
  republished/us_stocks_sip/…           files that the vendor replaces later
  tape/<kind>/<day>.arrow               the same and more, exact, sorted by symbol and time
  reference/<name>.jsonl                records as the vendor's REST gives them
  truth/<name>.jsonl                    what was planted

Prices are whole 1/10,000 $, sizes whole 1/1,000,000 shares, instants nanoseconds since 1970 UTC: the vendor's decimals and
stamps, without a rounding anywhere.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather

from smallcaps.errors import BadInput

REPUBLISHED = "republished"
PRICE_UNIT = 10_000
SIZE_UNIT = 1_000_000

_INT, _TEXT, _INTS = pa.int64(), pa.string(), pa.list_(pa.int32())
_BAR = pa.schema(
    [
        ("symbol", _TEXT),
        ("start_ns", _INT),
        *((name, _INT) for name in ("open", "high", "low", "close", "volume")),
        ("vwap", pa.float64()),
        ("trades", _INT),
    ]
)
TAPE: dict[str, pa.Schema] = {
    "day": _BAR,
    "hour": _BAR,
    "minute": _BAR,
    "trades": pa.schema(
        [
            ("symbol", _TEXT),
            *((name, _INT) for name in ("sip_ns", "participant_ns", "trf_ns", "sequence_number")),
            ("id", _TEXT),
            *((name, pa.int32()) for name in ("exchange", "trf_id", "tape")),
            *((name, _INT) for name in ("price", "size")),
            ("conditions", _INTS),
            ("correction", pa.int32()),
        ]
    ),
    "quotes": pa.schema(
        [
            ("symbol", _TEXT),
            *((name, _INT) for name in ("sip_ns", "participant_ns", "sequence_number")),
            *((f"{side}_{what}", _INT) for side in ("bid", "ask") for what in ("price", "size")),
            *((f"{side}_exchange", pa.int32()) for side in ("bid", "ask")),
            ("tape", pa.int32()),
            ("conditions", _INTS),
            ("indicators", _INTS),
        ]
    ),
    "book": pa.schema(
        [
            ("symbol", _TEXT),
            *((name, _INT) for name in ("published_ns", "made_ns", "sequence_number")),
            *((side, pa.list_(pa.struct([("price", _INT), ("size", _INT)]))) for side in ("bids", "asks")),
        ]
    ),
    "luld": pa.schema(
        [
            ("symbol", _TEXT),
            *((name, _INT) for name in ("sip_ns", "sequence_number", "high", "low")),
            ("tape", pa.int32()),
            ("indicators", _INTS),
        ]
    ),
}
"""Columns by kind. `trf_id` and `trf_ns` are 0 off the facilities, `correction` 0 for a normal print; a quote's side with
price and size 0 is absent, a book's is a list without levels. Rows are sorted by symbol, then by start_ns, or by sip_ns (book:
published_ns) and sequence_number."""


def read_settings(market: Path) -> dict[str, Any]:
    """What the market in a folder was made from. Raises BadInput where the folder holds no whole market."""
    described = market / "settings.json"
    if not described.is_file():
        raise BadInput(f"{market} holds no market: settings.json is missing. Build one: smallcaps simulate build.")
    return dict(json.loads(described.read_text(encoding="utf-8")))


def read_episodes(market: Path) -> pd.DataFrame:
    """What was planted in the market in a folder: truth/episodes.jsonl, with session_date as dates. Raises BadInput where the
    folder holds no whole market or nothing was planted.
    """
    read_settings(market)
    episodes = pd.DataFrame(read_records(market / "truth" / "episodes.jsonl"))
    if episodes.empty:
        raise BadInput(f"Nothing is planted in {market}. Build a market with more episodes, names or days.")
    return episodes.assign(session_date=pd.to_datetime(episodes["session_date"]).dt.date)


def tape_path(market: Path, kind: str, day: date) -> Path:
    """Where the rows of a kind and day lie."""
    return market / "tape" / kind / f"{day}.arrow"


def write_tape(market: Path, kind: str, day: date, rows: pa.Table) -> None:
    """Write the rows of a kind and day, uncompressed so that they can be mapped into memory."""
    path = tape_path(market, kind, day)
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(rows.cast(TAPE[kind]), path, compression="uncompressed")


def read_tape(market: Path, kind: str, day: date) -> pa.Table:
    """The rows of a kind and day, mapped and not read; none where there is no file."""
    path = tape_path(market, kind, day)
    if not path.is_file():
        return TAPE[kind].empty_table()
    return feather.read_table(path, memory_map=True)


def symbol_bounds(rows: pa.Table) -> tuple[list[str], list[int]]:
    """The symbols of a table that is sorted by them, in order, and where each begins; last, where the table ends."""
    if not rows.num_rows:
        return [], [0]
    encoded = rows["symbol"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy()
    starts = [0, *(np.flatnonzero(np.diff(codes)) + 1).tolist()]
    names = encoded.dictionary.to_pylist()
    return [names[codes[start]] for start in starts], [*starts, rows.num_rows]


def tape_days(market: Path, kind: str) -> list[date]:
    """The days for which there are rows of a kind, in order."""
    return sorted(date.fromisoformat(path.stem) for path in (market / "tape" / kind).glob("*.arrow"))


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Write one JSON object a line, keys in the order given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of lines; none where there is no file."""
    if path.is_file():
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)
