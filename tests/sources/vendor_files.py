"""Small files in the vendor's layout, written by nothing of the product."""

import csv
import gzip
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

BAR_COLUMNS = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
TRADE_COLUMNS = (
    *("ticker", "conditions", "correction", "exchange", "id", "participant_timestamp", "price", "sequence_number"),
    *("sip_timestamp", "size", "tape", "trf_id", "trf_timestamp"),
)
QUOTE_COLUMNS = (
    *("ticker", "ask_exchange", "ask_price", "ask_size", "bid_exchange", "bid_price", "bid_size", "conditions"),
    *("indicators", "participant_timestamp", "sequence_number", "sip_timestamp", "tape", "trf_timestamp"),
)
COLUMNS = {
    "day_aggs_v1": BAR_COLUMNS,
    "minute_aggs_v1": BAR_COLUMNS,
    "trades_v1": TRADE_COLUMNS,
    "quotes_v1": QUOTE_COLUMNS,
}
NEW_YORK = ZoneInfo("America/New_York")


def new_york_ns(day: str, clock: str = "00:00") -> int:
    """Nanoseconds of a New York wall clock: `clock` is HH:MM[:SS[.fffffffff]]."""
    whole, _, fraction = clock.partition(".")
    instant = datetime.fromisoformat(f"{day}T{whole}").replace(tzinfo=NEW_YORK)
    return int(instant.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0") if fraction else 0)


def bar(ticker: str, day: str, clock: str = "00:00", **values: object) -> dict[str, str]:
    """A bar of 1,000 shares at $10–11 (open 10.00, high 11.00, low 9.50, close 10.50) unless `values` say otherwise."""
    row: dict[str, object] = {"ticker": ticker, "volume": 1000, "open": "10.00", "close": "10.50", "high": "11.00"}
    row |= {"low": "9.50", "window_start": new_york_ns(day, clock), "transactions": 25}
    return {name: str(value) for name, value in (row | values).items()}


def trade(ticker: str, day: str, clock: str, number: int, **values: object) -> dict[str, str]:
    """An ordinary trade of 100 shares at $10 on exchange 11; `number` is both its id and sequence number."""
    at = new_york_ns(day, clock)
    row: dict[str, object] = {"ticker": ticker, "conditions": "", "correction": 0, "exchange": 11, "id": number}
    row |= {"participant_timestamp": at - 1_000_000, "price": "10.00", "sequence_number": number, "sip_timestamp": at}
    row |= {"size": 100, "tape": 3, "trf_id": 0, "trf_timestamp": 0}
    return {name: str(value) for name, value in (row | values).items()}


def quote(ticker: str, day: str, clock: str, number: int, **values: object) -> dict[str, str]:
    """A quote 9.99 × 10.01, 200 shares a side."""
    at = new_york_ns(day, clock)
    row: dict[str, object] = {"ticker": ticker, "ask_exchange": 11, "ask_price": "10.01", "ask_size": 200}
    row |= {"bid_exchange": 12, "bid_price": "9.99", "bid_size": 200, "conditions": 1, "indicators": ""}
    row |= {"participant_timestamp": at, "sequence_number": number, "sip_timestamp": at, "tape": 3, "trf_timestamp": 0}
    return {name: str(value) for name, value in (row | values).items()}


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    """Header and rows; only what needs quotes is quoted, as the vendor does."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="raise")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def compressed(text: str | bytes) -> bytes:
    """One gzip member whose bytes depend on the text alone."""
    return gzip.compress(text.encode() if isinstance(text, str) else text, mtime=0)


def place(root: Path, kind: str, day: str, content: bytes) -> Path:
    """Lay `content` where the vendor would."""
    path = root / "us_stocks_sip" / kind / day[:4] / day[5:7] / f"{date.fromisoformat(day)}.csv.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_rows(root: Path, kind: str, day: str, rows: Iterable[Mapping[str, str]]) -> Path:
    """A sound file of `rows`."""
    return place(root, kind, day, compressed(csv_text(COLUMNS[kind], rows)))
