"""What tells of manipulation, minute by minute: how far and how a name has run, and how its quotes and its book lean and flicker.

1. Sound quotes of regular hours, and what the book shows behind them, are summed up by minute. 2. They meet the minute's trades.
3. Windows that end with the minute compare its last minutes with the day so far. Every value is known when the minute's bar is.
"""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from smallcaps.config.settings import MicrostructureSettings
from smallcaps.microstructure.signing import is_valid

TABLES = ("silver.bars_1m", "silver.quotes", "silver.book", "silver.baselines", "silver.sectors", "silver.calendar")
"""What it is made of; silver.book, silver.baselines and silver.sectors may be empty, which leaves nulls."""
WITH_HISTORY = ("silver.sectors", "silver.calendar")
"""Those of which it takes MONTH_BEFORE_DAYS before the first day, too."""
VOLATILITY_SESSIONS, FEWEST_SESSIONS = 20, 10
"""Before the day, of which the daily volatility is, and how many of them must have a return."""
RUNS = (5, 15, 30, 60)
"""Minutes over which a move is told."""
RECENT, LONG = 5, 30
"""Minutes of quoting and pace that are told against those of the day before them, and of volume and direction."""
_SIDES = ("bid", "ask")
_KEY = ["security_id", "session_date"]
_BEHIND = "aggregate(slice({0}s, 2, 3), 0D, (sum, level) -> sum + level.size)"
"""SQL of the size at the three prices behind the best one."""
_BY_MINUTE = "PARTITION BY security_id, session_date ORDER BY minute"
_WINDOWS = {
    "so_far": f"({_BY_MINUTE} ROWS UNBOUNDED PRECEDING)",
    "before": f"({_BY_MINUTE} RANGE BETWEEN UNBOUNDED PRECEDING AND {RECENT} PRECEDING)",
    **{
        f"last_{minutes}": f"({_BY_MINUTE} RANGE BETWEEN {minutes - 1} PRECEDING AND CURRENT ROW)"
        for minutes in (RECENT, LONG)
    },
    **{f"since_{minutes}": f"({_BY_MINUTE} RANGE BETWEEN {minutes} PRECEDING AND CURRENT ROW)" for minutes in RUNS},
}
_ELAPSED = "(minute - open_minute + 1)"
_SIZE = "try_divide(sum(volume) OVER {0}, sum(transactions) OVER {0})"


def _after(minutes: int, value: str) -> str:
    """SQL of a value, null before so many minutes of the session are over: a window that is not full would be another measure."""
    return f"IF({_ELAPSED} >= {minutes}, {value}, NULL)"


def _against(value: str) -> str:
    """SQL of ln of a mean over the last minutes, over that of the day before them."""
    return f"ln(try_divide(avg({value}) OVER last_{RECENT}, avg({value}) OVER before))"


def _pace(value: str) -> str:
    """SQL of ln of a sum a minute over the last minutes, over that of the day before them."""
    earlier = f"try_divide(sum({value}) OVER before, {_ELAPSED} - {RECENT})"
    return f"ln(try_divide(sum({value}) OVER last_{RECENT} / {RECENT}, {earlier}))"


def _quoting(prefix: str) -> dict[str, str]:
    measures = {f"{prefix}imbalance_{RECENT}m": _after(RECENT, f"avg({prefix}imbalance) OVER last_{RECENT}")}
    for side in _SIDES:
        measures[f"{prefix}{side}_weight_{RECENT}m"] = _against(f"{prefix}{side}_size")
        measures[f"{prefix}{side}_flicker_{RECENT}m"] = _after(
            RECENT, f"avg({prefix}{side}_flicker) OVER last_{RECENT}"
        )
    return {f"{prefix}imbalance_1m": f"{prefix}imbalance", **measures}


INPUTS: dict[str, str] = {
    "minutes_since_regular_open": "cast(minute - open_minute AS double)",
    **{
        f"run_{minutes}m": _after(minutes + 1, f"ln(mid / first_value(mid, true) OVER since_{minutes}) / volatility")
        for minutes in RUNS
    },
    "above_low": "ln(mid / min(mid) OVER so_far) / volatility",
    "below_high": "ln(max(mid) OVER so_far / mid) / volatility",
    f"direction_{LONG}m": _after(LONG, f"avg(sign(step)) OVER last_{LONG}"),
    f"log_relative_volume_{LONG}m": _after(
        LONG, f"ln(try_divide(sum(volume) OVER last_{LONG}, median_volume * {LONG} / 390))"
    ),
    f"volume_pace_{RECENT}m": _pace("volume"),
    f"trade_pace_{RECENT}m": _pace("transactions"),
    f"trade_size_{LONG}m": _after(LONG, f"ln(try_divide({_SIZE.format(f'last_{LONG}')}, {_SIZE.format('so_far')}))"),
    f"quote_pace_{RECENT}m": _pace("quotes"),
    f"spread_{RECENT}m": _against("spread"),
    **_quoting(""),
    **_quoting("deep_"),
}
"""Inputs as SQL over a minute's sums. Moves of the last mid are logarithms in the name's daily volatility; weights, paces and
sizes logarithms of the last minutes' mean over that of the day before them; a direction is the share of rising less that of
falling minutes; an imbalance is (bid − ask) / (bid + ask) of sizes, a flicker the standard deviation of the logarithm of a side's
size within a minute; `deep_` is of the three prices behind the best. What needs more minutes than the session has had is null.
"""


def surveillance(tables: Mapping[str, DataFrame], micro: MicrostructureSettings, delay_seconds: int) -> DataFrame:
    """One row a name and minute of regular hours with a sound quote: security_id, symbol, session_date, session_number, ts (the
    minute's start), known_at, and the columns INPUTS. `tables` has every one of TABLES, of the same whole days, those of
    WITH_HISTORY with a month before; `delay_seconds`: from a minute's end until its bar can be acted on. Pure.
    """
    calendar = tables["silver.calendar"]
    day = F.broadcast(
        calendar.selectExpr(
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
    traded = tables["silver.bars_1m"].where("session = 'regular'")
    traded = traded.select(*key, *(F.col(one).cast("double") for one in ("volume", "transactions")))
    wide = (
        # What is traded or shown in a minute without a sound quote counts in the windows of others.
        of_quotes.join(traded, key, "full")
        .join(of_book, key, "full")
        .join(tables["silver.baselines"].select(*_KEY, "median_volume"), _KEY, "left")
        .join(_volatility(tables["silver.sectors"], calendar), _KEY, "left")
        .join(day, "session_date")
        .fillna(0, ["quotes", "volume", "transactions"])
    )
    last = f"last_value(mid, true) OVER ({_BY_MINUTE} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    stepped = wide.sparkSession.sql(f"SELECT *, mid - {last} AS step FROM {{wide}}", wide=wide)
    windows = ", ".join(f"{name} AS {window}" for name, window in _WINDOWS.items())
    begins, micros = "four + minute * 60000000L", (60 + delay_seconds) * 1_000_000
    known = f"timestamp_micros({begins}) AS ts, timestamp_micros({begins} + {micros}L) AS known_at"
    measures = ", ".join(f"cast({sql} AS double) AS {name}" for name, sql in INPUTS.items())
    kept = "security_id, symbol, session_date, session_number, mid"
    measured = stepped.sparkSession.sql(
        f"SELECT {kept}, {known}, {measures} FROM {{rows}} WINDOW {windows}", rows=stepped
    )
    return measured.where("mid IS NOT NULL").drop("mid")


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


def _volatility(sectors: DataFrame, calendar: DataFrame) -> DataFrame:
    """security_id, session_date and the standard deviation of the log returns of the VOLATILITY_SESSIONS sessions before it, null
    where fewer than FEWEST_SESSIONS of them have one.
    """
    numbers = F.broadcast(calendar.select("session_date", "session_number"))
    moved = sectors.where("daily_return IS NOT NULL").join(numbers, "session_date")
    later = F.explode(F.sequence(F.col("session_number") + 1, F.col("session_number") + VOLATILITY_SESSIONS))
    counting = moved.select("security_id", F.log1p("daily_return").alias("moved"), later.alias("session_number"))
    enough = F.expr(f"IF(count(moved) >= {FEWEST_SESSIONS}, nullif(stddev_samp(moved), 0D), NULL)")
    return counting.join(numbers, "session_number").groupBy(*_KEY).agg(enough.alias("volatility"))
