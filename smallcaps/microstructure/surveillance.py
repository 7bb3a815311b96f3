"""What tells of manipulation, minute by minute: how far and how a name has run, and how its quotes and its book lean and flicker.

1. Sound quotes of regular hours, and what the book shows behind them, are summed up by minute. 2. They meet the minute's trades.
3. Windows that end with the minute compare its last minutes with the day so far. Every value is known when the minute's bar is.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from smallcaps.config.settings import MicrostructureSettings
from smallcaps.microstructure.signing import is_valid

TABLES = ("silver.bars_1m", "silver.quotes", "silver.book", "silver.baselines", "silver.bars_1d", "silver.calendar")
"""What it is made of; silver.book, silver.baselines and silver.bars_1d may be empty, which leaves nulls."""
HISTORY_DAYS = 45
"""So many calendar days of silver.bars_1d before the first day hold VOLATILITY_SESSIONS sessions."""
VOLATILITY_SESSIONS = 20
RUNS = (5, 15, 30, 60)
"""Minutes over which a move is told."""
RECENT = 5
"""Minutes of quoting that are told, against those of the day before them."""
_SIDES = ("bid", "ask")
_KEY = ["security_id", "session_date"]
_BEHIND = "aggregate(slice({0}s, 2, 3), 0D, (sum, level) -> sum + level.size)"
"""SQL of the size at the three prices behind the best one."""
_BY_MINUTE = "PARTITION BY security_id, session_date ORDER BY minute"
_WINDOWS = {
    "so_far": f"({_BY_MINUTE} ROWS UNBOUNDED PRECEDING)",
    "before": f"({_BY_MINUTE} RANGE BETWEEN UNBOUNDED PRECEDING AND {RECENT} PRECEDING)",
    **{f"last_{minutes}": f"({_BY_MINUTE} RANGE BETWEEN {minutes - 1} PRECEDING AND CURRENT ROW)" for minutes in RUNS},
}


_SIZE = "try_divide(sum(volume) OVER {0}, sum(transactions) OVER {0})"


def _against(value: str) -> str:
    """SQL of ln of a mean over the last minutes, over that of the day before them."""
    return f"ln(try_divide(avg({value}) OVER last_{RECENT}, avg({value}) OVER before))"


def _rate(value: str) -> str:
    return (
        f"ln(try_divide(sum({value}) OVER last_{RECENT} / {RECENT}, sum({value}) OVER before / count(*) OVER before))"
    )


def _quoting(prefix: str) -> dict[str, str]:
    measures = {f"{prefix}imbalance_{RECENT}m": f"avg({prefix}imbalance) OVER last_{RECENT}"}
    for side in _SIDES:
        measures[f"{prefix}{side}_weight_{RECENT}m"] = _against(f"{prefix}{side}_size")
        measures[f"{prefix}{side}_flicker_{RECENT}m"] = f"avg({prefix}{side}_flicker) OVER last_{RECENT}"
    return {f"{prefix}imbalance_1m": f"{prefix}imbalance", **measures}


INPUTS: dict[str, str] = {
    "minutes_since_open": "cast(minute - open_minute AS double)",
    **{f"run_{minutes}m": f"ln(mid / first_value(mid) OVER last_{minutes}) / volatility" for minutes in RUNS},
    "above_low": "ln(mid / min(mid) OVER so_far) / volatility",
    "below_high": "ln(max(mid) OVER so_far / mid) / volatility",
    "up_share_30m": "avg(IF(step > 0, 1D, 0D)) OVER last_30 - avg(IF(step < 0, 1D, 0D)) OVER last_30",
    "log_relative_volume_30m": "ln(try_divide(sum(volume) OVER last_30, median_volume * 30 / 390))",
    f"volume_pace_{RECENT}m": _rate("volume"),
    f"trade_pace_{RECENT}m": _rate("transactions"),
    "trade_size_30m": f"ln(try_divide({_SIZE.format('last_30')}, {_SIZE.format('so_far')}))",
    f"quote_pace_{RECENT}m": _rate("quotes"),
    f"spread_{RECENT}m": _against("spread"),
    **_quoting(""),
    **_quoting("deep_"),
}
"""Inputs as SQL over a minute's sums. Moves are logarithms in the name's daily volatility (20 sessions before); weights, paces
and sizes logarithms of the last minutes' mean over that of the day before them; an imbalance is (bid − ask) / (bid + ask) of
sizes, a flicker the standard deviation of the logarithm of a side's size within a minute; `deep_` is of the three prices behind
the best.
"""


def surveillance(tables: Mapping[str, DataFrame], micro: MicrostructureSettings, delay_seconds: int) -> DataFrame:
    """One row a name and minute of regular hours with a sound quote: security_id, symbol, session_date, session_number, ts (the
    minute's start), known_at, and the columns INPUTS. `tables` has every one of TABLES, of the same whole days, silver.bars_1d
    also of HISTORY_DAYS before; `delay_seconds`: from a minute's end until its bar can be acted on. Pure.
    """
    day = F.broadcast(
        tables["silver.calendar"].selectExpr(
            *("session_date", "session_number", "unix_micros(pre_open_at) AS four"),
            "cast((unix_micros(open_at) - unix_micros(pre_open_at)) div 60000000 AS int) AS open_minute",
        )
    )
    key = [*_KEY, "symbol", "minute"]
    quotes = _by_minute(tables["silver.quotes"].where("session = 'regular'").where(is_valid(micro)), day, "sip_ns")
    of_quotes = quotes.groupBy(*key).agg(
        F.count("*").cast("double").alias("quotes"),
        F.expr("max_by((bid_price + ask_price) / 2, struct(sip_ns, sequence_number))").alias("mid"),
        F.expr("avg((ask_price - bid_price) / (ask_price + bid_price) * 2)").alias("spread"),
        *_of_sizes("", {side: f"{side}_size" for side in _SIDES}),
    )
    books = _by_minute(tables["silver.book"].where("session = 'regular' AND is_two_sided"), day, "published_ns")
    of_book = books.groupBy(*key).agg(*_of_sizes("deep_", {side: _BEHIND.format(side) for side in _SIDES}))
    traded = tables["silver.bars_1m"].select(*key, *(F.col(one).cast("double") for one in ("volume", "transactions")))
    usual = tables["silver.baselines"].select(*_KEY, "median_volume")
    wide = (
        of_quotes.join(of_book, key, "left")
        .join(traded, key, "left")
        .join(F.broadcast(usual), _KEY, "left")
        .join(F.broadcast(_volatility(tables["silver.bars_1d"], tables["silver.calendar"])), _KEY, "left")
        .join(day, "session_date")
        .fillna(0, ["volume", "transactions"])
    )
    stepped = wide.sparkSession.sql(f"SELECT *, mid - lag(mid) OVER ({_BY_MINUTE}) AS step FROM {{wide}}", wide=wide)
    windows = ", ".join(f"{name} AS {window}" for name, window in _WINDOWS.items())
    begins, micros = "four + minute * 60000000L", (60 + delay_seconds) * 1_000_000
    known = f"timestamp_micros({begins}) AS ts, timestamp_micros({begins} + {micros}L) AS known_at"
    measures = ", ".join(f"cast({sql} AS double) AS {name}" for name, sql in INPUTS.items())
    kept = "security_id, symbol, session_date, session_number"
    return stepped.sparkSession.sql(f"SELECT {kept}, {known}, {measures} FROM {{rows}} WINDOW {windows}", rows=stepped)


def _by_minute(rows: DataFrame, day: DataFrame, instant: str) -> DataFrame:
    minute = F.expr(f"cast(({instant} div 1000 - four) div 60000000 AS int)")
    return rows.join(day.select("session_date", "four"), "session_date").withColumn("minute", minute)


def _of_sizes(prefix: str, sizes: Mapping[str, str]) -> list[Column]:
    """Mean size, flicker and imbalance of the two sides' sizes, given as SQL."""
    bid, ask = sizes["bid"], sizes["ask"]
    columns = {f"{prefix}imbalance": f"avg(try_divide({bid} - {ask}, {bid} + {ask}))"}
    for side, size in sizes.items():
        columns[f"{prefix}{side}_size"] = f"avg({size})"
        columns[f"{prefix}{side}_flicker"] = f"stddev_pop(ln(nullif({size}, 0D)))"
    return [F.expr(sql).alias(name) for name, sql in columns.items()]


def _volatility(bars: DataFrame, calendar: DataFrame) -> DataFrame:
    """security_id, session_date and the standard deviation of the daily log returns, splits taken out, of the sessions before."""
    moved = bars.sparkSession.sql(
        "SELECT security_id, session_number, ln(close / cumulative_factor) - lag(ln(close / cumulative_factor)) OVER "
        "(PARTITION BY security_id ORDER BY session_number) AS moved FROM {bars} WHERE NOT zero_volume",
        bars=bars,
    )
    later = F.explode(F.sequence(F.col("session_number") + 1, F.col("session_number") + VOLATILITY_SESSIONS))
    counting = moved.select("security_id", "moved", later.alias("session_number"))
    met = counting.join(F.broadcast(calendar.select("session_date", "session_number")), "session_number")
    return met.groupBy(*_KEY).agg(F.expr("nullif(stddev_samp(moved), 0D)").alias("volatility"))
