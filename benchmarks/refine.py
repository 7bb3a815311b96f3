"""Bronze → silver of trades, quotes and minute bars: ours against DuckDB doing the same cleaning to Parquet.

python benchmarks/refine.py MARKET [--times 4] [--rounds 3]

MARKET is a simulated market (`smallcaps simulate build`); its last day of ticks is used, under `--times` sets of symbols. Both
read the same Parquet files of bronze on two cores, in turn; a first round warms up and is not counted, the figure is the best of
the others. The rows that come out are counted and compared, and so are sums over them. Ours does more: it keeps refused rows with
their reasons, counts in and out, and commits to Delta; quality suites are off (benchmarks/quality.py has their cost).
`--memory` refines the day and one four times as large, each in a process of its own, and prints the most resident memory of
each with everything below it.
"""

import argparse
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import duckdb
from footprint import peak_alone
from pyspark.sql import functions as F

from smallcaps.config import Settings, load_settings
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.lake import Lake
from smallcaps.refine import ticks
from smallcaps.refine.job import make_again
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.polygon.conditions import (
    CORRECTION_RECORDS,
    FORM_T,
    ODD_LOT,
    OFF_EXCHANGE,
    SWEEP,
    conditions_that_forbid,
)
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.spark import open_session

CORES = 2
KINDS = ("minute_aggs_v1", "trades_v1", "quotes_v1")
BRONZE = ("bronze.bars_1m", "bronze.trades", "bronze.quotes")
SILVER = ("silver.trades", "silver.quotes", "silver.bars_1m")
SUMS = {
    "silver.trades": "count(*), sum(size), sum(cast(updates_high_low AS int)), sum(second), count(withdrawn_ns)",
    "silver.quotes": "count(*), sum(bid_size), sum(cast(is_crossed AS int)), count(bid_price)",
    "silver.bars_1m": "count(*), sum(volume), sum(minute), sum(transactions)",
}


def prepared(market: Path, day: date, times: int, settings: Settings) -> Lake:
    """A lake with the day's bronze, under so many sets of symbols, and what refining ticks reads of silver."""
    lake = Lake(settings.lake, open_session(settings))
    ingest_flatfiles(lake, settings, Folder(str(market)), KINDS, day, day, None)
    copies = lake.spark.range(times).withColumnRenamed("id", "copy")
    name = F.when(F.col("copy") == 0, F.col("symbol")).otherwise(F.concat("symbol", F.col("copy").cast("string")))
    for table in BRONZE:
        rows = lake.read(table).crossJoin(F.broadcast(copies)).withColumn("symbol", name).drop("copy", "run_id")
        lake.replace(table, rows, f"session_date = DATE'{day}'", "copies")
    for table in ("silver.calendar", "silver.securities"):
        make_again(lake, settings, table, day, day)
    return lake


def ours(lake: Lake, settings: Settings, day: date) -> dict[str, float]:
    """Seconds of the product's own steps, by table."""
    seconds = {}
    for table in SILVER:
        started = time.perf_counter()
        make_again(lake, settings, table, day, day)
        seconds[table] = time.perf_counter() - started
    return seconds


def files(lake: Lake, table: str) -> str:
    """A table's Parquet files, as DuckDB reads them."""
    named = ", ".join(f"'{lake.location(table)}/{path}'" for path in lake.files(table))
    return f"read_parquet([{named}], hive_partitioning=true)"


CALENDAR = """
  (SELECT session_date, session_number, pre_open_at, (epoch(open_at) - epoch(pre_open_at))::INT AS open_s,
    (epoch(close_at) - epoch(pre_open_at))::INT AS close_s, (epoch(post_close_at) - epoch(pre_open_at))::INT AS last_s
   FROM {calendar})
"""
SESSION = """CASE WHEN session_number IS NULL OR second < 0 OR second >= last_s THEN 'closed'
    WHEN second < open_s THEN 'pre' WHEN second < close_s THEN 'regular' ELSE 'post' END"""
SEGMENT = """CASE session WHEN 'pre' THEN 0 WHEN 'regular' THEN 1 WHEN 'post' THEN 2 ELSE -1 END AS segment,
    CASE session WHEN 'regular' THEN open_s WHEN 'post' THEN close_s ELSE 0 END // 60 AS segment_start"""
DAY_OF = "(make_timestamptz({ns} // 1000) AT TIME ZONE 'America/New_York')::DATE"
IDENTITY = """LEFT JOIN {securities} AS whose ON whose.symbol = rows.symbol AND rows.session_date >= whose.valid_from
    AND rows.session_date < coalesce(whose.valid_to, DATE '9999-12-31')"""


def _trades(lake: Lake) -> str:
    records = ", ".join(map(str, CORRECTION_RECORDS))

    def eligible(use: str) -> str:
        forbidden = ", ".join(map(str, conditions_that_forbid(use)))
        others = f"list_filter(conditions, lambda one: one <> {FORM_T})"
        counted = f"CASE WHEN session IN ('pre', 'post') THEN {others} ELSE conditions END"
        return f"NOT list_has_any({counted}, [{forbidden}]) AND coalesce(correction, 0) NOT IN ({records}) AS {use}"

    key = "symbol, session_date, exchange, trf_id, trade_id, sequence_number"
    same = " AND ".join(f"t.{name} IS NOT DISTINCT FROM r.{name}" for name in key.split(", "))
    uses = ", ".join(map(eligible, ("updates_high_low", "updates_open_close", "updates_volume")))
    return f"""
WITH t AS (SELECT * FROM {files(lake, "bronze.trades")}),
r AS (SELECT {key}, min(sip_ns) AS at FROM t WHERE coalesce(correction, 0) IN ({records}) GROUP BY ALL),
labelled AS (
  SELECT t.*, CASE WHEN coalesce(correction, 0) NOT IN ({records}) THEN r.at END AS withdrawn_ns, c.* EXCLUDE (session_date),
    (sip_ns // 1000000000 - epoch(pre_open_at)::BIGINT)::INT AS second
  FROM t LEFT JOIN r ON {same} LEFT JOIN {CALENDAR.format(calendar=files(lake, "silver.calendar"))} AS c
    ON c.session_date = t.session_date
),
in_session AS (SELECT *, {SESSION} AS session FROM labelled),
judged AS (
  SELECT *, {SEGMENT},
    CASE WHEN session_number IS NULL THEN 'not_a_session' WHEN {DAY_OF.format(ns="sip_ns")} <> session_date THEN 'wrong_day'
      WHEN price <= 0 THEN 'non_positive_price' WHEN size <= 0 THEN 'non_positive_size' END AS rule
  FROM in_session
),
rows AS (
  SELECT *, row_number() OVER (PARTITION BY {key}, correction, rule IS NULL ORDER BY source_sha256, source_line) AS place
  FROM judged
)
SELECT security_id, rows.symbol, session_date, make_timestamptz(sip_ns // 1000) AS ts, sip_ns,
  coalesce(participant_ns, sip_ns) AS participant_ns, sequence_number, trade_id, session, segment, segment_start, second,
  price::DOUBLE AS price, size, exchange, trf_id, conditions, coalesce(correction, 0) AS correction, withdrawn_ns, {uses},
  exchange = {OFF_EXCHANGE} AND trf_id IS NOT NULL AS is_off_exchange,
  list_contains(conditions, {ODD_LOT}) OR size < 100 AS is_odd_lot, list_contains(conditions, {SWEEP}) AS is_sweep,
  sip_ns - coalesce(participant_ns, sip_ns) > {ticks.LATE_NS} AS is_late,
  true AS is_whole_day
FROM rows {IDENTITY.format(securities=files(lake, "silver.securities"))}
WHERE rule IS NULL AND place = 1 AND security_id IS NOT NULL ORDER BY rows.symbol, sip_ns, sequence_number"""


def _quotes(lake: Lake) -> str:
    key = "symbol, session_date, sip_ns, sequence_number"
    two_sided = "bid_price > 0 AND ask_price > 0"

    def side(name: str) -> str:
        price = f"CASE WHEN {name}_price > 0 THEN {name}_price::DOUBLE END AS {name}_price"
        return f"{price}, ({name}_size * coalesce(unit, 1))::DOUBLE AS {name}_size"

    return f"""
WITH q AS (SELECT * FROM {files(lake, "bronze.quotes")}),
units AS (
  SELECT session_date, CASE WHEN avg(CASE WHEN size % 100 = 0 THEN 1 ELSE 0 END) < 0.5 THEN 100 ELSE 1 END AS unit
  FROM (SELECT session_date, unnest([bid_size, ask_size]) AS size FROM q WHERE session_date < DATE '{ticks.IN_SHARES_FROM}')
  WHERE size > 0 GROUP BY ALL
),
labelled AS (
  SELECT q.*, unit, c.* EXCLUDE (session_date), (sip_ns // 1000000000 - epoch(pre_open_at)::BIGINT)::INT AS second
  FROM q LEFT JOIN units USING (session_date)
    LEFT JOIN {CALENDAR.format(calendar=files(lake, "silver.calendar"))} AS c USING (session_date)
),
judged AS (
  SELECT *, {SESSION} AS session,
    CASE WHEN session_number IS NULL THEN 'not_a_session' WHEN {DAY_OF.format(ns="sip_ns")} <> session_date THEN 'wrong_day'
      WHEN least(bid_price, ask_price, bid_size, ask_size) < 0 THEN 'negative_quote' END AS rule
  FROM labelled
),
rows AS (
  SELECT *, row_number() OVER (PARTITION BY {key}, rule IS NULL ORDER BY source_sha256, source_line) AS place FROM judged
)
SELECT security_id, rows.symbol, session_date, make_timestamptz(sip_ns // 1000) AS ts, sip_ns,
  coalesce(participant_ns, sip_ns) AS participant_ns, sequence_number, session, {side("bid")}, {side("ask")},
  rows.{two_sided.replace("AND ", "AND rows.")} AS is_two_sided,
  rows.{two_sided.replace("AND ", "AND rows.")} AND rows.bid_price > rows.ask_price AS is_crossed,
  rows.{two_sided.replace("AND ", "AND rows.")} AND rows.bid_price = rows.ask_price AS is_locked,
  sip_ns - coalesce(participant_ns, sip_ns) > {ticks.STALE_NS} AS is_stale,
  coalesce(list_contains(conditions, {ticks.PAUSED}), false) AS is_paused
FROM rows {IDENTITY.format(securities=files(lake, "silver.securities"))}
WHERE rule IS NULL AND place = 1 AND security_id IS NOT NULL ORDER BY rows.symbol, sip_ns, sequence_number"""


def _minutes(lake: Lake, trades: Path) -> str:
    first = "struct_pack(sip_ns, sequence_number)"
    sets, ranges = "updates_open_close AND NOT is_late", "updates_high_low AND NOT is_late"
    return f"""
WITH t AS (SELECT *, second // 60 AS minute FROM read_parquet('{trades}')),
built AS (
  SELECT security_id, symbol, session_date, session, segment, segment_start, minute,
    arg_min(price, {first}) FILTER (WHERE {sets}) AS open, max(price) FILTER (WHERE {ranges}) AS high,
    min(price) FILTER (WHERE {ranges}) AS low, arg_max(price, {first}) FILTER (WHERE {sets}) AS close,
    round_even(coalesce(sum(size) FILTER (WHERE updates_volume), 0), 0)::BIGINT AS volume,
    count(*) FILTER (WHERE updates_volume) AS transactions, min(ts) AS first_ts
  FROM t WHERE session <> 'closed' AND coalesce(withdrawn_ns // 60000000000 > sip_ns // 60000000000, true) GROUP BY ALL
),
labelled AS (
  SELECT b.*, c.* EXCLUDE (session_date), (window_start_ns // 1000000000 - epoch(pre_open_at)::BIGINT)::INT AS second
  FROM {files(lake, "bronze.bars_1m")} AS b
    LEFT JOIN {CALENDAR.format(calendar=files(lake, "silver.calendar"))} AS c USING (session_date)
),
in_session AS (SELECT *, {SESSION} AS session FROM labelled),
judged AS (
  SELECT *, {SEGMENT},
    CASE WHEN session_number IS NULL THEN 'not_a_session'
      WHEN {DAY_OF.format(ns="window_start_ns")} <> session_date THEN 'wrong_day'
      WHEN least(open, high, low, close) <= 0 THEN 'non_positive_price' WHEN high < low THEN 'high_below_low'
      WHEN greatest(open, close) > high OR least(open, close) < low THEN 'price_outside_range'
      WHEN volume < 0 THEN 'negative_volume' WHEN session = 'closed' THEN 'outside_hours'
      WHEN window_start_ns % 60000000000 <> 0 THEN 'not_on_the_minute' END AS rule
  FROM in_session
),
rows AS (
  SELECT *, row_number() OVER (
    PARTITION BY symbol, window_start_ns, rule IS NULL ORDER BY source_sha256, source_line) AS place FROM judged
),
vendor AS (
  SELECT security_id, rows.symbol, session_date, make_timestamptz(window_start_ns // 1000) AS ts, session, segment, segment_start,
    second // 60 AS minute, open::DOUBLE AS open, high::DOUBLE AS high, low::DOUBLE AS low, close::DOUBLE AS close,
    round_even(volume, 0)::BIGINT AS volume, transactions, 'vendor' AS source
  FROM rows {IDENTITY.format(securities=files(lake, "silver.securities"))}
  WHERE rule IS NULL AND place = 1 AND security_id IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM built WHERE built.symbol = rows.symbol AND built.session_date = rows.session_date)
)
SELECT *, minute = segment_start AND session IN ('regular', 'post') AS is_auction FROM (
  SELECT * FROM vendor UNION ALL
  SELECT security_id, symbol, session_date, date_trunc('minute', first_ts), session, segment, segment_start, minute, open,
    high, low, close, volume, transactions, 'trades' FROM built WHERE open IS NOT NULL
) ORDER BY symbol, ts"""


def rival(lake: Lake, out: Path) -> dict[str, float]:
    """Seconds of DuckDB, by table."""
    connection = duckdb.connect()
    connection.execute(f"SET threads={CORES}; SET TimeZone='UTC'")
    trades = out / "silver.trades.parquet"
    statements = dict(zip(SILVER, (_trades(lake), _quotes(lake), _minutes(lake, trades)), strict=True))
    seconds = {}
    for table, statement in statements.items():
        started = time.perf_counter()
        connection.execute(f"COPY ({statement}) TO '{out}/{table}.parquet' (FORMAT parquet, COMPRESSION snappy)")
        seconds[table] = time.perf_counter() - started
    return seconds


def agree(lake: Lake, out: Path) -> bool:
    """Whether both made the same rows, as far as counts and sums tell."""
    connection, same = duckdb.connect(), True
    for table, sums in SUMS.items():
        mine, theirs = (
            connection.execute(f"SELECT {sums} FROM {rows}").fetchone()
            for rows in (files(lake, table), f"read_parquet('{out}/{table}.parquet')")
        )
        print(
            f"{table}: {mine[0]:,} rows, {'the same sums' if mine == theirs else f'NOT the same: {mine} and {theirs}'}"
        )
        same &= mine == theirs
    return same


def footprint(market: Path, day: date, times: int) -> int:
    """The most resident memory of a process that refines the day so many times over, and of all below it."""
    with tempfile.TemporaryDirectory() as folder:
        return peak_alone(_refined_once, market, day, times, folder, since=Path(folder) / "refining")


def _refined_once(market: Path, day: date, times: int, folder: str) -> None:
    settings = load_settings(lake=f"{folder}/lake")
    lake = prepared(market, day, times, settings)
    (Path(folder) / "refining").touch()
    ours(lake, settings, day)


def main() -> int:
    """Run and print; the exit status says whether ours stays within three times of DuckDB on the same rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("market", type=Path)
    parser.add_argument("--times", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    asked = parser.parse_args()
    day = tape_days(asked.market, "trades")[-1]
    if asked.memory:
        peaks = {times: footprint(asked.market, day, times) for times in (asked.times, 4 * asked.times)}
        for times, peak in peaks.items():
            print(f"{times} times the day: at most {peak / 1e9:.2f} GB resident")
        print(f"growth for four times the day: {peaks[4 * asked.times] / peaks[asked.times]:.2f}")
        return 0
    best: dict[str, dict[str, float]] = {"ours": {}, "duckdb": {}}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "duckdb"
        out.mkdir()
        settings = load_settings(lake=f"{folder}/lake")
        lake = prepared(asked.market, day, asked.times, settings)
        for turn in range(asked.rounds + 1):
            for who, seconds in (("ours", ours(lake, settings, day)), ("duckdb", rival(lake, out))):
                told = ", ".join(f"{table} {taken:.2f} s" for table, taken in seconds.items())
                print(f"  {who:6s} {told}{'' if turn else ' (warm-up)'}", flush=True)
                if turn:
                    best[who] |= {table: min(taken, best[who].get(table, taken)) for table, taken in seconds.items()}
        same = agree(lake, out)
    ratios = {table: best["ours"][table] / best["duckdb"][table] for table in SILVER}
    for table, ratio in ratios.items():
        print(f"{table}: ours {best['ours'][table]:.2f} s, DuckDB {best['duckdb'][table]:.2f} s, ratio {ratio:.2f}")
    whole = sum(best["ours"].values()) / sum(best["duckdb"].values())
    print(f"all three, ours / DuckDB: {whole:.2f}")
    return 0 if same and whole <= 3 else 1


if __name__ == "__main__":
    sys.exit(main())
