"""The detectors' events beside the episodes that the market was made with, which know of no detector.

1. TARGETS says which kinds a detector is meant to find, and until when. 2. Events of symbol-days above the liquidity floor are
matched to the episodes of those days, one to one. 3. As many alerts are taken by a rule of one line, and drawn at random,
from the same symbol-days.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pyspark.sql import functions as F

from smallcaps.detectors.detect import INPUT_TABLE
from smallcaps.detectors.registry import all_detectors
from smallcaps.lake import Lake
from smallcaps.models.evaluation import Estimate
from smallcaps.serving.detection_score import SEED, Score, by_date, clustered, f1, score
from smallcaps.sources.simulator.layout import read_records

RANDOM_DRAWS = 20
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

_DAILY = """
SELECT security_id, session_date, unix_micros({at}) AS at, {measure} AS measure FROM bars
WINDOW by_day AS (PARTITION BY security_id ORDER BY session_number)
"""
_MINUTE = """
SELECT security_id, session_date, unix_micros(ts) AS at, {measure} AS measure FROM bars WHERE {rows}
WINDOW
  five AS (PARTITION BY security_id, session_date, session, segment ORDER BY minute RANGE BETWEEN 4 PRECEDING AND CURRENT ROW),
  earlier AS (
    PARTITION BY security_id, session_date, session, segment ORDER BY minute RANGE BETWEEN UNBOUNDED PRECEDING AND 5 PRECEDING
  ),
  so_far AS (PARTITION BY security_id, session_date, session ORDER BY minute ROWS UNBOUNDED PRECEDING),
  day_so_far AS (PARTITION BY security_id, session_date ORDER BY minute ROWS UNBOUNDED PRECEDING)
"""
_TRADE = """
SELECT security_id, session_date, unix_micros(min(date_trunc('second', ts))) AS at, count(*) AS measure FROM trades
WHERE updates_volume AND session <> 'closed' GROUP BY security_id, session_date, second DIV 10
"""
_VOLUME, _REGULAR = "sum(volume) OVER five", "session = 'regular' AND NOT is_auction"
_VWAP = "abs(close / try_divide(sum((high + low + close) / 3 * volume) OVER {0}, sum(volume) OVER {0}) - 1)"
NAIVE: dict[str, str] = {
    "gap": _DAILY.format(at="open_at", measure="abs(open / lag(close) OVER by_day - 1)"),
    "range_explosion": _DAILY.format(at="close_at", measure="(high - low) / lag(close) OVER by_day"),
    "atr_breakout": _DAILY.format(at="close_at", measure="abs(close / lag(close) OVER by_day - 1)"),
    "flush_reversal": _DAILY.format(at="close_at", measure="greatest(high - open, open - low) / open"),
    "volume_spike": _MINUTE.format(measure=_VOLUME, rows="NOT is_auction"),
    "vwap_break": _MINUTE.format(measure=_VWAP.format("so_far"), rows=_REGULAR),
    "vwap_break_premarket": _MINUTE.format(
        measure=_VWAP.format("day_so_far"), rows="session <> 'post' AND NOT is_auction"
    ),
    "price_momentum": _MINUTE.format(measure="abs(close / last_value(close) OVER earlier - 1)", rows="NOT is_auction"),
    "consolidation_break": _MINUTE.format(measure="volume", rows=_REGULAR),
    **{
        f"opening_range_break_{minutes}": _MINUTE.format(
            measure=_VOLUME, rows=f"session = 'regular' AND minute - 330 BETWEEN {minutes} AND 90"
        )
        for minutes in (5, 15, 30)
    },
    "tape_speed": _TRADE,
}
"""By detector what a rule of one line measures at each row: the largest values are its alerts."""
_BUCKET_US = 15 * MINUTE_US
"""The naive rule, too, alerts a name once in a quarter of an hour."""


@dataclass(frozen=True)
class Rival:
    """Precision, recall and F1 of another way to as many alerts."""

    precision: float
    recall: float
    f1: float


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
    episodes = pd.DataFrame(read_records(market / "truth" / "episodes.jsonl"))
    found = []
    for detector in all_detectors():
        if lake.exists(INPUT_TABLE[detector.grain]):
            found.append(_found(lake, episodes, detector.name, detector.grain))
    return found


def windows_of(episodes: pd.DataFrame, days: pd.DataFrame, target: Target) -> pd.DataFrame:
    """symbol, session_date, start, end, onset, multiple, near_miss, meant of the episodes on symbol-days of `days`, in µs: from
    the minute of the onset until `target.minutes` after the peak, or the whole session.
    """
    there = episodes.assign(session_date=pd.to_datetime(episodes["session_date"]).dt.date)
    there = there.merge(days[["symbol", "session_date", "first", "last"]], on=["symbol", "session_date"])
    onset = there["onset_ns"] // 1_000 // MINUTE_US * MINUTE_US
    if target.minutes is None:
        start, end = there["first"], there["last"]
    else:
        start, end = onset, there["peak_ns"] // 1_000 + target.minutes * MINUTE_US
    meant = there["kind"].isin(target.kinds) & there["outcome"].isin(target.outcomes)
    columns = there[["symbol", "session_date", "multiple", "near_miss"]]
    return columns.assign(start=start, end=end, onset=onset, meant=meant)


def _found(lake: Lake, episodes: pd.DataFrame, detector: str, grain: str) -> Found:
    target, days = TARGETS[detector], _days(lake, grain, TARGETS[detector].sessions)
    windows = windows_of(episodes, days, target)
    meant = windows[windows["meant"]]
    dates = sorted(days["session_date"].unique())
    own = lake.read("gold.events").where(F.col("detector") == detector)
    alerts = _of_days(own.selectExpr("security_id", "session_date", "unix_micros(ts) AS at").toPandas(), days)
    naive = _of_days(_naive(lake, detector, grain, days, len(alerts)), days)
    drawn = [_random(days, grain, detector, len(alerts), draw) for draw in range(RANDOM_DRAWS)]
    counts = by_date(alerts, meant, dates)
    rival = by_date(naive, meant, dates)[["alerts", "matched"]].add_prefix("naive_")
    lead = clustered(counts.join(rival), lambda sums: f1(sums) - f1(sums, "naive_"))
    # Of a daily bar there is no delay but the session's.
    bar = {"daily": float("inf"), "minute": MINUTE_US, "trade": MINUTE_US / 60}[grain]
    return Found(
        detector,
        grain,
        target,
        score(alerts, meant, windows, dates, bar),
        _rival([by_date(naive, meant, dates)]),
        _rival([by_date(one, meant, dates) for one in drawn]),
        lead,
    )


def _rival(draws: list[pd.DataFrame]) -> Rival:
    """The mean over draws."""
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = [{str(name): total for name, total in counts.sum().items()} for counts in draws]
        return Rival(
            float(np.mean([one["matched"] / one["alerts"] for one in sums])),
            float(np.mean([one["matched"] / one["episodes"] for one in sums])),
            float(np.mean([f1(one) for one in sums])),
        )


def _days(lake: Lake, grain: str, sessions: int) -> pd.DataFrame:
    """security_id, symbol, session_date, and in µs first, last, open_at, close_at of the symbol-days above the floor with rows of
    the grain, from the day on which `sessions` are behind.
    """
    calendar = lake.read("silver.calendar")
    (first,) = (
        lake.read(INPUT_TABLE["daily"]).join(calendar, "session_date").agg(F.min(calendar.session_number)).collect()[0]
    )
    there = lake.read(INPUT_TABLE[grain]).select("security_id", "session_date").distinct()
    times = {"first": "pre_open_at", "last": "post_close_at", "open_at": "open_at", "close_at": "close_at"}
    return (
        lake.read("silver.universe")
        .where("passes_floor")
        .join(there, ["security_id", "session_date"], "left_semi")
        .join(calendar.where(F.col("session_number") > first + sessions), "session_date")
        .selectExpr(
            "security_id", "symbol", "session_date", *(f"unix_micros({time}) AS {name}" for name, time in times.items())
        )
        .orderBy("session_date", "security_id")
        .toPandas()
    )


def _of_days(alerts: pd.DataFrame, days: pd.DataFrame) -> pd.DataFrame:
    """The alerts of the symbol-days, with their symbol."""
    names = days[["security_id", "session_date", "symbol"]]
    return alerts.merge(names, on=["security_id", "session_date"]).sort_values(["at", "symbol"], ignore_index=True)


def _naive(lake: Lake, detector: str, grain: str, days: pd.DataFrame, count: int) -> pd.DataFrame:
    """The `count` alerts of the rule of one line: the largest values, one a name in a quarter of an hour."""
    lake.read(INPUT_TABLE[grain]).createOrReplaceTempView("trades" if grain == "trade" else "bars")
    rows = lake.spark.createDataFrame(days[["security_id", "session_date"]], "security_id string, session_date date")
    measured = lake.spark.sql(NAIVE[detector]).join(F.broadcast(rows), ["security_id", "session_date"], "left_semi")
    best = measured.where("measure IS NOT NULL").groupBy(
        "security_id", "session_date", F.expr(f"at DIV {_BUCKET_US}").alias("bucket")
    )
    largest = best.agg(F.max("measure").alias("measure"), F.expr("max_by(at, struct(measure, -at))").alias("at"))
    ordered = largest.orderBy(F.desc("measure"), "security_id", "at").limit(count)
    return ordered.select("security_id", "session_date", "at").toPandas()


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
