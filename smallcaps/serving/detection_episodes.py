"""The detectors' events beside the episodes that the market was made with, which know of no detector.

1. TARGETS says which kinds a detector is meant to find, and until when. 2. Events of symbol-days above the liquidity floor are
matched to the episodes of those days, one to one. 3. As many alerts are taken by a rule of one line, and drawn at random,
from the same symbol-days.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.detectors.detect import INPUT_TABLE
from smallcaps.detectors.registry import GRAINS, detectors_of
from smallcaps.lake import Lake
from smallcaps.models.alert_score import RANDOM_DRAWS, SEED, Rival, Score, by_date, clustered, f1, mean_rival, score
from smallcaps.models.evaluation import Estimate
from smallcaps.sources.simulator.layout import read_episodes

MINUTE_US = 60_000_000
_DRIVES = ("flush_and_reversal", "squeeze", "pump_and_dump", "consolidation_break")


@dataclass(frozen=True)
class Target:
    """Kinds of episodes that a detector is meant to find, of those outcomes; `minutes`: how long after the peak it may, None: the
    whole session; `sessions`: how many bars a name must have before; `why` it is meant to.
    """

    kinds: tuple[str, ...]
    why: str
    minutes: int | None = 10
    outcomes: tuple[str, ...] = ("continuation", "reversal", "nothing")
    sessions: int = 0


TARGETS: dict[str, Target] = {
    "gap": Target(("gap",), "a gap is driven before the open and stands at it", None),
    "range_explosion": Target(
        ("pump_and_dump", "flush_and_reversal", "squeeze", "halt_and_resume"),
        "moves of 10 % and more within the regular session widen the day whatever follows; openings and breaks are smaller",
        None,
    ),
    "atr_breakout": Target(
        ("gap", "pump_and_dump", "flush_and_reversal", "squeeze", "halt_and_resume"),
        "the close is far where a large move was not taken back; ATR14 needs 30 bars",
        None,
        ("continuation", "nothing"),
        30,
    ),
    "flush_reversal": Target(
        ("flush_and_reversal", "pump_and_dump", "squeeze"),
        "a large move in the session that was taken back; the others end at their extreme",
        None,
        ("reversal",),
    ),
    "volume_spike": Target(
        (*_DRIVES, "halt_and_resume"),
        "drives of five and more times the usual orders; a gap's and an opening drive's meet hours of other expectations",
    ),
    "vwap_break": Target(_DRIVES, "moves in the session that cross the VWAP where they begin on its other side"),
    "vwap_break_premarket": Target(("gap", *_DRIVES), "the same, and moves before the open"),
    "price_momentum": Target(
        _DRIVES, "moves of minutes; after a halt, and just after the open, σ is not known", sessions=0
    ),
    "consolidation_break": Target(("consolidation_break",), "planted after 40 to 70 quiet minutes"),
    **{
        f"opening_range_break_{minutes}": Target(
            ("opening_drive",), "a drive from the open that goes on beyond the first minutes", 60
        )
        for minutes in (5, 15, 30)
    },
    "tape_speed": Target(
        ("tape_burst", *_DRIVES, "halt_and_resume"), "bursts of trades, and drives of many times the usual orders"
    ),
}
"""By detector. A spoof moves the price by a hundredth and is meant for none."""

_SOURCE = {
    "daily": "FROM bars WINDOW by_day AS (PARTITION BY security_id ORDER BY session_number)",
    "minute": """FROM bars WHERE NOT is_auction
WINDOW
  five AS (PARTITION BY security_id, session_date, session, segment ORDER BY minute RANGE BETWEEN 4 PRECEDING AND CURRENT ROW),
  earlier AS (
    PARTITION BY security_id, session_date, session, segment ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 5 PRECEDING
  ),
  so_far AS (PARTITION BY security_id, session_date, session ORDER BY minute ROWS UNBOUNDED PRECEDING),
  day_so_far AS (PARTITION BY security_id, session_date ORDER BY minute ROWS UNBOUNDED PRECEDING)""",
    "trade": """FROM (
  SELECT security_id, session_date, min(date_trunc('second', ts)) AS ts, count(*) AS trades
  FROM trades WHERE updates_volume AND session <> 'closed' GROUP BY security_id, session_date, second DIV 10
)""",
}
_TIME = {"daily": "close_at", "minute": "ts", "trade": "ts"}
_VOLUME = "sum(volume) OVER five"
_VWAP = "abs(close / try_divide(sum((high + low + close) / 3 * volume) OVER {0}, sum(volume) OVER {0}) - 1)"
NAIVE: dict[str, str] = {
    "gap": "abs(open / lag(close) OVER by_day - 1)",
    "range_explosion": "(high - low) / lag(close) OVER by_day",
    "atr_breakout": "abs(close / lag(close) OVER by_day - 1)",
    "flush_reversal": "greatest(high - open, open - low) / open",
    "volume_spike": _VOLUME,
    "vwap_break": f"CASE WHEN session = 'regular' THEN {_VWAP.format('so_far')} END",
    "vwap_break_premarket": f"CASE WHEN session <> 'post' THEN {_VWAP.format('day_so_far')} END",
    "price_momentum": "abs(close / last_value(close) OVER earlier - 1)",
    "consolidation_break": "CASE WHEN session = 'regular' THEN volume END",
    **{
        f"opening_range_break_{minutes}": (
            f"CASE WHEN session = 'regular' AND minute - 330 BETWEEN {minutes} AND 90 THEN {_VOLUME} END"
        )
        for minutes in (5, 15, 30)
    },
    "tape_speed": "trades",
}
"""By detector what a rule of one line measures at each row: the largest values are its alerts."""
_BUCKET_US = 15 * MINUTE_US
"""The naive rule, too, alerts a name once in a quarter of an hour."""


@dataclass(frozen=True)
class Found:
    """One detector's events among the market's own episodes. `lead`: its F1 less the naive rule's, on the same days."""

    detector: str
    grain: str
    target: Target
    score: Score
    naive: Rival
    random: Rival
    lead: Estimate


def find_episodes(lake: Lake, market: Path) -> list[Found]:
    """Every detector whose rows the lake has, beside the episodes of the market that they lie on."""
    episodes = read_episodes(market)
    rows = lake.read("gold.events").selectExpr("detector", "security_id", "session_date", "unix_micros(ts) AS at")
    events = rows.toPandas()
    found = []
    for grain, name in INPUT_TABLE.items():
        if not lake.exists(name):
            continue
        days = _days(lake, grain)
        best = _best(lake, grain, days)
        for detector in detectors_of(grain):
            own = _of_days(events[events["detector"] == detector.name], days)
            found.append(_found(episodes, days, detector.name, grain, own, best))
    return found


def windows_of(episodes: pd.DataFrame, days: pd.DataFrame, target: Target) -> pd.DataFrame:
    """symbol, session_date, start, end, onset, multiple, near_miss, meant of the episodes on symbol-days of `days`, in µs: from
    the minute of the onset until `target.minutes` after the peak, or the whole session.
    """
    there = episodes.merge(days[["symbol", "session_date", "first", "last"]], on=["symbol", "session_date"])
    onset = there["onset_ns"] // 1_000 // MINUTE_US * MINUTE_US
    if target.minutes is None:
        start, end = there["first"], there["last"]
    else:
        start, end = onset, there["peak_ns"] // 1_000 + target.minutes * MINUTE_US
    meant = there["kind"].isin(target.kinds) & there["outcome"].isin(target.outcomes)
    columns = there[["symbol", "session_date", "multiple", "near_miss"]]
    return columns.assign(start=start, end=end, onset=onset, meant=meant)


def _found(
    episodes: pd.DataFrame, days: pd.DataFrame, detector: str, grain: str, events: pd.DataFrame, best: DataFrame
) -> Found:
    target = TARGETS[detector]
    late = days[days["sessions_before"] >= target.sessions]
    alerts = events[events["session_date"].isin(late["session_date"])].reset_index(drop=True)
    windows = windows_of(episodes, late, target)
    meant = windows[windows["meant"]]
    dates = sorted(late["session_date"].unique())
    largest = _largest(best, detector, dates, len(alerts))
    naive = _of_days(largest, late)
    drawn = [_random(late, grain, detector, len(alerts), draw) for draw in range(RANDOM_DRAWS)]
    counts = by_date(alerts, meant, dates)
    rival = by_date(naive, meant, dates)
    lead = clustered(
        counts.join(rival[["alerts", "matched"]].add_prefix("naive_")), lambda sums: f1(sums) - f1(sums, "naive_")
    )
    # Of a daily bar there is no delay but the session's.
    bar = {"daily": float("inf"), "minute": MINUTE_US, "trade": MINUTE_US / 60}[grain]
    return Found(
        detector,
        grain,
        target,
        score(alerts, meant, windows, dates, bar),
        mean_rival([rival]),
        mean_rival([by_date(one, meant, dates) for one in drawn]),
        lead,
    )


def _days(lake: Lake, grain: str) -> pd.DataFrame:
    """security_id, symbol, session_date, sessions_before (in the lake), and in µs first, last, open_at, close_at of the
    symbol-days above the floor with rows of the grain.
    """
    calendar = lake.read("silver.calendar")
    bars = lake.read(INPUT_TABLE["daily"]).select("session_date").distinct()
    (first,) = bars.join(calendar, "session_date").agg(F.min("session_number")).collect()[0]
    there = lake.read(INPUT_TABLE[grain]).select("security_id", "session_date").distinct()
    times = {"first": "pre_open_at", "last": "post_close_at", "open_at": "open_at", "close_at": "close_at"}
    return (
        lake.read("silver.universe")
        .where("passes_floor")
        .join(there, ["security_id", "session_date"], "left_semi")
        .join(calendar, "session_date")
        .selectExpr(
            *("security_id", "symbol", "session_date", f"session_number - {first} - 1 AS sessions_before"),
            *(f"unix_micros({time}) AS {name}" for name, time in times.items()),
        )
        .orderBy("session_date", "security_id")
        .toPandas()
    )


def _of_days(alerts: pd.DataFrame, days: pd.DataFrame) -> pd.DataFrame:
    """The alerts of the symbol-days, with their symbol."""
    names = days[["security_id", "session_date", "symbol"]]
    return alerts.merge(names, on=["security_id", "session_date"]).sort_values(["at", "symbol"], ignore_index=True)


def _best(lake: Lake, grain: str, days: pd.DataFrame) -> DataFrame:
    """Of each name and quarter of an hour on these days, a column a detector: what its rule of one line measured at most, and
    when first, as a struct of the two, the time negative.
    """
    columns = "security_id string, session_date date"
    wanted = F.broadcast(lake.spark.createDataFrame(days[["security_id", "session_date"]], columns))
    there = lake.read(INPUT_TABLE[grain])
    if GRAINS[grain].stays_in_session:
        there = there.join(wanted, ["security_id", "session_date"], "left_semi")
    there.createOrReplaceTempView("trades" if grain == "trade" else "bars")
    detectors = [detector.name for detector in detectors_of(grain)]
    measured = ", ".join(f"{NAIVE[name]} AS {name}" for name in detectors)
    rows = lake.spark.sql(
        f"SELECT security_id, session_date, unix_micros({_TIME[grain]}) AS at, {measured} {_SOURCE[grain]}"
    )
    of_days = rows.join(wanted, ["security_id", "session_date"], "left_semi")
    quarter = F.expr(f"at DIV {_BUCKET_US}").alias("quarter")
    most = [F.expr(f"max(struct({name} AS measure, -at AS before))").alias(name) for name in detectors]
    return of_days.groupBy("security_id", "session_date", quarter).agg(*most).localCheckpoint()


def _largest(best: DataFrame, detector: str, dates: list[datetime.date], count: int) -> pd.DataFrame:
    """The `count` alerts of the rule of one line: the largest values, one a name in a quarter of an hour."""
    rows = best.where(F.col("session_date").isin(dates)).where(f"{detector}.measure IS NOT NULL")
    ordered = rows.orderBy(F.desc(f"{detector}.measure"), "security_id", F.desc(f"{detector}.before")).limit(count)
    return ordered.selectExpr("security_id", "session_date", f"-{detector}.before AS at").toPandas()


def _random(days: pd.DataFrame, grain: str, detector: str, count: int, draw: int) -> pd.DataFrame:
    """`count` alerts at symbol-days drawn at random, at the time of a daily bar or any time of the regular session."""
    generator = np.random.default_rng([SEED, draw])
    some = days.iloc[generator.integers(0, len(days), count)].reset_index(drop=True)
    if grain == "daily":
        at = some["open_at" if detector == "gap" else "close_at"].to_numpy()
    else:
        length = (some["close_at"] - some["open_at"]).to_numpy()
        at = some["open_at"].to_numpy() + (generator.random(count) * length).astype(np.int64)
    return some[["symbol", "session_date"]].assign(at=at)
