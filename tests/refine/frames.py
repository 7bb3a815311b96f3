"""Bronze rows made of what a vendor's file would hold, typed as ingest types them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.lake import RULE, declared

_BAR = ("volume", "open", "high", "low", "close")


def _frame(spark: SparkSession, table: str, rows: list[dict[str, object]]) -> DataFrame:
    columns = declared(table).columns
    schema = ", ".join(f"{column.name} {column.type}" for column in columns)
    return spark.createDataFrame([tuple(row.get(column.name) for column in columns) for row in rows], schema)


def _source(day: str, row: Mapping[str, str], line: int) -> dict[str, object]:
    """A file a day, named by the day."""
    return {
        "symbol": row["ticker"],
        "session_date": date.fromisoformat(day),
        "source_sha256": f"file of {day}",
        "source_line": line,
    }


def bronze_bars(spark: SparkSession, table: str, rows: Iterable[tuple[str, Mapping[str, str]]]) -> DataFrame:
    """Rows of (day of the file, bar), on lines 2, 3, …"""
    return _frame(
        spark,
        table,
        [
            _source(day, row, line)
            | {"window_start_ns": int(row["window_start"])}
            | {name: Decimal(row[name]) for name in _BAR}
            | {"transactions": int(row["transactions"]) if row["transactions"] else None}
            for line, (day, row) in enumerate(rows, start=2)
        ],
    )


def bronze_trades(spark: SparkSession, rows: Iterable[tuple[str, Mapping[str, str]]]) -> DataFrame:
    """Rows of (day of the file, trade), on lines 2, 3, …"""
    return _frame(
        spark,
        "bronze.trades",
        [
            _source(day, row, line)
            | {"sip_ns": int(row["sip_timestamp"]), "trade_id": row["id"]}
            | {"participant_ns": int(row["participant_timestamp"]) or None, "trf_ns": int(row["trf_timestamp"]) or None}
            | {"sequence_number": int(row["sequence_number"]), "exchange": int(row["exchange"])}
            | {"trf_id": int(row["trf_id"]) or None, "tape": int(row["tape"]), "price": Decimal(row["price"])}
            | {"size": Decimal(row["size"]), "correction": int(row["correction"]) if row["correction"] else None}
            | {"conditions": [int(item) for item in row["conditions"].split(",") if item]}
            for line, (day, row) in enumerate(rows, start=2)
        ],
    )


def bronze_quotes(spark: SparkSession, rows: Iterable[tuple[str, Mapping[str, str]]]) -> DataFrame:
    """Rows of (day of the file, quote), on lines 2, 3, …"""
    sides = [f"{side}_{part}" for side in ("bid", "ask") for part in ("price", "size")]
    return _frame(
        spark,
        "bronze.quotes",
        [
            _source(day, row, line)
            | {"sip_ns": int(row["sip_timestamp"])}
            | {"participant_ns": int(row["participant_timestamp"]) or None}
            | {"sequence_number": int(row["sequence_number"]), "indicators": []}
            | {"conditions": [int(item) for item in row["conditions"].split(",") if item]}
            | {name: Decimal(row[name]) for name in sides}
            for line, (day, row) in enumerate(rows, start=2)
        ],
    )


def snapshots(spark: SparkSession, table: str, rows: Iterable[Mapping[str, object]]) -> DataFrame:
    """Rows of a bronze table of snapshots, all with as_of; what is not named is null. A body a snapshot, lines from 1."""
    return _frame(
        spark,
        table,
        [
            {"source_sha256": f"body of {row['as_of']}", "source_line": line} | row
            for line, row in enumerate(rows, start=1)
        ],
    )


def collected(judged: DataFrame) -> list[dict[str, Any]]:
    """The rows of a judged frame, known_at as an instant in UTC whatever the machine's clock."""
    rows = judged.withColumn("known_at", F.unix_seconds("known_at")).collect()
    return [
        row.asDict(recursive=True) | {"known_at": row.known_at and datetime.fromtimestamp(row.known_at, UTC)}
        for row in rows
    ]


def kept(rows: Sequence[Mapping[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    """These columns of the rows that break no rule, in order."""
    rows_kept = [tuple(row[name] for name in columns) for row in rows if row[RULE] is None]
    return sorted(rows_kept, key=lambda row: [str(value) for value in row])


def refusals(rows: Sequence[Mapping[str, Any]], column: str = "symbol") -> set[tuple[Any, str]]:
    """What was refused, and by which rule."""
    return {(row[column], row[RULE]) for row in rows if row[RULE] is not None}
