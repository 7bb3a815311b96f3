"""What became of every fault that was planted in a simulated market: found, mended or refused, and by which word.

A fault counts as accounted for where a row of silver, ops.quarantine, ops.differences or ops.ledger names its symbol and day (and
its moment, where it has one) with one of the words of its kind. Rows that carry such words and that no fault explains
are what sound rows suffered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.lake import Lake, declared
from smallcaps.sources.simulator import faults as kinds
from smallcaps.sources.simulator.layout import read_records

_REFUSED = """
SELECT rule AS word, get_json_object(payload, '$.symbol') AS symbol,
  cast(coalesce(get_json_object(payload, '$.session_date'), get_json_object(payload, '$.execution_date')) AS date)
    AS session_date,
  cast(NULL AS timestamp) AS ts, cast(NULL AS string) AS trade_id, table_name
FROM ops_quarantine
"""
_DIFFERENT = """
SELECT reason AS word, symbol, session_date, ts, cast(NULL AS string) AS trade_id, 'ops.differences' AS table_name
FROM ops_differences
"""
_WITHDRAWN = """
SELECT 'withdrawn_ns' AS word, symbol, session_date, ts, trade_id, 'silver.trades' AS table_name
FROM silver_trades WHERE withdrawn_ns IS NOT NULL
"""
_FLAGGED = """
SELECT 'possible_missing_split' AS word, symbol, session_date, cast(NULL AS timestamp) AS ts, cast(NULL AS string) AS trade_id,
  'silver.bars_1d' AS table_name
FROM silver_bars_1d WHERE possible_missing_split
"""
_REUSED = """
SELECT 'two securities' AS word, symbol, cast(NULL AS date) AS session_date, cast(NULL AS timestamp) AS ts,
  cast(NULL AS string) AS trade_id, 'silver.securities' AS table_name
FROM silver_securities GROUP BY symbol HAVING count(DISTINCT security_id) > 1
"""
_REPLACED = """
SELECT 'two files' AS word, cast(NULL AS string) AS symbol, session_date, cast(NULL AS timestamp) AS ts,
  cast(NULL AS string) AS trade_id, 'ops.ledger' AS table_name
FROM ops_ledger WHERE session_date IS NOT NULL GROUP BY kind, session_date HAVING count(DISTINCT sha256) > 1
"""
_FINDINGS = {
    "ops.quarantine": _REFUSED,
    "ops.differences": _DIFFERENT,
    "silver.trades": _WITHDRAWN,
    "silver.bars_1d": _FLAGGED,
    "silver.securities": _REUSED,
    "ops.ledger": _REPLACED,
}
WORDS = {
    kinds.BAD_PRINT: ("isolated_price", "late_report"),
    kinds.CANCELLED: ("withdrawn_ns",),
    kinds.MISSING_MINUTE: ("minutes_missing", "vendor_lacks_minute"),
    kinds.BARS_STOP: ("minutes_missing", "vendor_lacks_minute"),
    kinds.WRONG_HOUR: ("contradicts_minutes", "outside_day"),
    kinds.VWAP_OUTSIDE: ("vwap_outside",),
    kinds.DUPLICATE_ROWS: ("duplicate_row",),
    kinds.REPUBLISHED: ("minutes_missing", "two files"),
    kinds.SPLIT_MISSING: ("possible_missing_split", "move_without_volume"),
    kinds.SPLIT_DOUBLED: ("duplicate_split",),
    kinds.SPLIT_WRONG: ("split_contradicts_price", "split_of_another_ratio", "move_without_volume"),
    kinds.REUSED_TICKER: ("two securities",),
    kinds.TWO_COMPANIES: ("ticker_listed_twice",),
}
"""By kind of fault: the words that account for it."""
_AT_ITS_MOMENT = (kinds.BAD_PRINT, kinds.MISSING_MINUTE)
_OF_THE_SYMBOL = (kinds.REUSED_TICKER, kinds.TWO_COMPANIES)
"""Faults of no day."""
_NO_ALARM = ("late_report", "withdrawn", "withdrawn_ns", "order", "two securities", "two files")
"""Words for what happens on sound days too: trades are reported late and withdrawn, tickers are used again."""


@dataclass(frozen=True)
class Account:
    """A kind of fault: how many were planted, by which word how many were accounted for, and where the others are."""

    kind: str
    planted: int
    words: dict[str, int]
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Alarm:
    """What a word says of rows that no fault explains: so many of the rows of its table."""

    table: str
    word: str
    rows: int
    of: int

    @property
    def share(self) -> float:
        """Share of the table's rows."""
        return self.rows / self.of if self.of else 0.0


def account(lake: Lake, market: Path) -> tuple[list[Account], list[Alarm]]:
    """The planted faults of the market on days that `lake` has refined, and what sound rows suffered."""
    found = _findings(lake).localCheckpoint()
    planted = _planted(lake, market).localCheckpoint()
    own = F.col("fault.symbol") == F.col("finding.symbol")
    day = F.col("fault.session_date") == F.col("finding.session_date")
    of_symbol = F.col("kind").isin(*_OF_THE_SYMBOL)
    # A bad print stands in the minute of its report or in the one in which it was made.
    moments = [F.col("fault.at"), F.col("fault.at") - F.expr(f"INTERVAL {kinds.LATE_SECONDS} SECONDS")]
    minutes = [F.date_trunc("minute", at) for at in moments]
    hours = [F.date_trunc("hour", F.col(name)) for name in ("finding.ts", "fault.at")]
    at = F.when(F.col("kind") == kinds.BAD_PRINT, F.col("finding.ts").isin(*minutes)).otherwise(hours[0] == hours[1])
    meets = (
        F.array_contains("words", F.col("word"))
        & (own | F.col("finding.symbol").isNull())
        & (day | of_symbol)
        & (at | ~F.col("kind").isin(*_AT_ITS_MOMENT))
        & (F.col("finding.trade_id").isNull() | F.array_contains("trade_ids", F.col("finding.trade_id")))
    )
    met = planted.alias("fault").join(found.alias("finding"), meets, "left")
    faults = met.groupBy("number", "kind", "fault.symbol", "fault.session_date").agg(F.min("word").alias("word"))
    return _accounts(faults), _alarms(lake, found, planted)


def _findings(lake: Lake) -> DataFrame:
    parts = []
    for name, statement in _FINDINGS.items():
        rows = lake.read(name) if lake.exists(name) else lake.empty(name)
        rows.createOrReplaceTempView(name.replace(".", "_"))
        parts.append(f"({statement})")
    return lake.spark.sql(" UNION ALL ".join(parts))


def _planted(lake: Lake, market: Path) -> DataFrame:
    """The faults with the moment (UTC) and the words that account for them, of days that are there."""
    records = list(read_records(market / "truth" / "faults.jsonl"))
    names = ("kind", "symbol", "session_date", "second")
    rows = [
        (number, *(one[name] for name in names), [*WORDS[one["kind"]]], one.get("trade_ids", []))
        for number, one in enumerate(records)
    ]
    schema = (
        "number int, kind string, symbol string, day string, second int, words array<string>, trade_ids array<string>"
    )
    days = lake.read("silver.calendar").select("session_date", "pre_open_at")
    faults = lake.spark.createDataFrame(rows, schema).withColumn("session_date", F.expr("cast(day AS date)"))
    return faults.join(days, "session_date").withColumn("at", F.expr("timestampadd(SECOND, second, pre_open_at)"))


def _accounts(faults: DataFrame) -> list[Account]:
    rows = faults.orderBy("kind", "session_date", "symbol").collect()
    accounts = []
    for kind in WORDS:
        ones = [row for row in rows if row.kind == kind]
        words = sorted({row.word for row in ones if row.word is not None})
        missed = tuple(f"{row.symbol} {row.session_date}" for row in ones if row.word is None)
        counts = {word: sum(row.word == word for row in ones) for word in words}
        accounts.append(Account(kind, len(ones), counts, missed))
    return [one for one in accounts if one.planted]


def _alarms(lake: Lake, found: DataFrame, planted: DataFrame) -> list[Alarm]:
    """Findings on symbols and days without a fault. A wrong split is wrong on all days before it, too."""
    whole = planted.where(F.col("kind").isin(*_OF_THE_SYMBOL, *kinds.SPLIT_FAULTS)).select("symbol").distinct()
    days = planted.select("symbol", "session_date").distinct()
    said = found.where(~F.col("word").isin(*_NO_ALARM))
    clean = said.join(days, ["symbol", "session_date"], "left_anti").join(whole, "symbol", "left_anti")
    rows = clean.groupBy("table_name", "word").count().orderBy("table_name", "word").collect()
    compared = {
        "minutes_missing": "silver.bars_1h",
        "move_without_volume": "silver.bars_1d",
        "adjustment": "silver.bars_1d",
    }
    alarms = []
    for row in rows:
        table = compared.get(row.word, "silver.bars_1m" if row.table_name == "ops.differences" else row.table_name)
        of = lake.read(declared(table).name).count() if lake.exists(table) else 0
        alarms.append(Alarm(table, row.word, row["count"], of))
    return alarms


def unaccounted(accounts: Sequence[Account]) -> list[str]:
    """Faults that nothing accounts for, in words."""
    return [f"{one.kind} {place}" for one in accounts for place in one.missed]
