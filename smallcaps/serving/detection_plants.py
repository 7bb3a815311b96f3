"""Recall and false alarms by the size of what is planted, in units of the detector's own threshold.

1. Symbol-days above the liquidity floor without an episode on them or next to them are drawn from silver, and in each a row
where a plant is `alone`. 2. Into a copy of each, one for every multiple, one move is put (`smallcaps.detectors.plants`); one copy
stays as it is. 3. The detectors run over all copies of a grain in one statement. 4. An event of the detector, in the direction
of the move, from the plant's first bar until shortly after its last, finds it.
"""

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.detect import EXPECTED_VIEW, INPUT_TABLE, chosen_detectors, events, expectations
from smallcaps.detectors.plants import daily, minute, trade
from smallcaps.detectors.plants.daily import Series
from smallcaps.detectors.plants.minute import Day
from smallcaps.detectors.plants.recipe import Parameters, Recipe
from smallcaps.detectors.plants.trade import Tape
from smallcaps.detectors.registry import GRAINS
from smallcaps.lake import Lake
from smallcaps.models.alert_score import SEED, clustered, quartiles, share
from smallcaps.models.evaluation import Estimate
from smallcaps.refine.ticks import WHOLE_DAYS
from smallcaps.sources.simulator.layout import read_records

MULTIPLES = (0.5, 0.65, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0)
"""Sizes of plants, in thresholds."""
NEAR_MISS, CLEAR = 0.8, 1.5
"""The sizes that the bar is set at: below the one there should be no event, at the other nearly always."""
BAR_RECALL, BAR_FALSE = 0.9, 0.05
"""The bar: lower bound of recall at CLEAR, most false alarms at NEAR_MISS."""
SESSIONS_BEFORE, SESSIONS_AFTER = 1, 2
"""Around an episode no plant is made: what it leaves goes on for two sessions."""
AFTER = {"daily": 0, "minute": 5, "trade": 10}
"""How long after its last row a plant may be found, in the grain's units of time: sessions, minutes, seconds."""
EDGE = {"daily": 0, "minute": 15, "trade": 900}
"""How far a rising edge looks back, in the grain's units of time."""
UNIT = {"daily": 86_400_000_000, "minute": 60_000_000, "trade": 1_000_000}
"""The grain's unit of time, in µs."""
RECIPES: dict[str, tuple[Recipe, ...]] = {"daily": daily.RECIPES, "minute": minute.RECIPES, "trade": trade.RECIPES}
_SITES_A_PLANT, _ROUNDS = 2, 4
"""Symbol-days drawn for a plant that is wanted, since not all fit, and how often each is tried."""
_MINUTES = 960
_PRICES = ("open", "high", "low", "close")
BASELINES, CURVES = EXPECTED_VIEW
_COPY = (
    *("key", "security_id", "detector", "site", "session_date", "multiple", "direction"),
    *("at", "first", "last", "naive"),
)


@dataclass(frozen=True)
class Site:
    """A symbol-day that plants can be put into: its rows, the columns that a plant leaves alone, and who it is."""

    security_id: str
    session_date: datetime.date
    rows: Series | Day | Tape
    table: pa.Table


@dataclass(frozen=True)
class Curve:
    """What became of one detector's plants of one size; 0: of the same symbol-days without one."""

    multiple: float
    plants: int
    found: Estimate
    duplicates: int


@dataclass(frozen=True)
class Planted:
    """One detector's plants. `naive_recall` and `naive_false`: of the rule of one line with as many alerts among the plants at
    CLEAR and NEAR_MISS; `lead`: recall at CLEAR less the naive one. `delay`: 25th, 50th and 75th percentile of the bars
    from the row that completes a plant at CLEAR to its event. `dates`: how many sessions they lie on.
    """

    detector: str
    grain: str
    scaled: str
    held: str
    naive_rule: str
    dates: int
    curve: tuple[Curve, ...]
    naive_recall: Estimate | None
    naive_false: Estimate | None
    lead: Estimate | None
    delay: tuple[float, float, float] | None

    def at(self, multiple: float) -> Curve:
        """The plants of one size."""
        return next(one for one in self.curve if one.multiple == multiple)

    @property
    def fails(self) -> list[str]:
        """Which parts of the bar it fails, in words."""
        if not self.at(CLEAR).plants:
            return ["no plant could be made"]
        recall, false = self.at(CLEAR).found, self.at(NEAR_MISS).found
        found = [] if recall.low >= BAR_RECALL else [f"recall at {CLEAR:g} may be as low as {recall.low:.3f}"]
        return found + ([] if false.value < BAR_FALSE else [f"{false.value:.1%} false alarms at {NEAR_MISS:g}"])


def plant_everywhere(lake: Lake, settings: Settings, market: Path, wanted: int) -> list[Planted]:
    """Plant `wanted` moves a detector and size, where the lake has rows for so many, and see what is found."""
    found: list[Planted] = []
    for grain in RECIPES:
        if lake.exists(INPUT_TABLE[grain]):
            chosen = _sites(lake, market, grain, _SITES_A_PLANT * wanted)
            found += measure(lake, settings, grain, list(_READERS[grain](lake, settings, chosen)), wanted)
    return found


def measure(lake: Lake, settings: Settings, grain: str, sites: Sequence[Site], wanted: int) -> list[Planted]:
    """Plant into the sites of a grain, run its detectors once, and account for every copy."""
    parameters = {one.detector.name: one.parameters for one in chosen_detectors(settings, grain)}
    copies, tables = [], []
    for recipe in RECIPES[grain]:
        for copy, table in _copies(recipe, grain, sites, parameters[recipe.detector], wanted):
            copies.append(copy)
            tables.append(table)
    account = pd.DataFrame(copies, columns=_COPY)
    if not copies:
        alerts = pd.DataFrame(columns=["key", "at", "direction"])
    else:
        alerts = _alerts(lake, settings, grain, account, pa.concat_tables(tables))
    account = accounted(account, alerts, UNIT[grain])
    return [_planted(recipe, grain, account[account["detector"] == recipe.detector]) for recipe in RECIPES[grain]]


def _copies(
    recipe: Recipe, grain: str, sites: Sequence[Site], parameters: Parameters, wanted: int
) -> Iterator[tuple[tuple[Any, ...], pa.Table]]:
    """A record and the rows of every copy: of each place one without a plant (multiple 0) and one of each size."""
    # A seed of its own for every detector: one more of them changes no other's plants.
    generator = np.random.default_rng([SEED, *recipe.detector.encode()])
    made = 0
    for site in [site for _ in range(_ROUNDS) for site in sites]:
        if made == wanted:
            return
        rows = site.rows
        direction = 1 if generator.random() < 0.5 else -1
        places = [len(rows.time) - 1] if grain == "daily" else generator.permutation(_judged(rows)).tolist()
        wants = (one for one in places if recipe.fits(rows, one, parameters))
        place = next((one for one in wants if alone(recipe, grain, rows, one, direction, parameters)), None)
        if place is None:
            continue
        if recipe.way is not None:
            direction = recipe.way(rows, place)
        planted = {one: recipe.plant(rows, place, one, direction, parameters) for one in MULTIPLES}
        if any(one is None for one in planted.values()):
            continue
        time = int(rows.time[place])
        at = site.table["at"][place].as_py()
        for multiple, changed in {0.0: rows, **planted}.items():
            key = f"{recipe.detector}|{made}|{multiple:g}"
            there = int(np.searchsorted(changed.time, time, side="right")) - 1
            copy = (
                *(key, site.security_id, recipe.detector, made, site.session_date, multiple),
                *(direction if recipe.two_sided else 0, at, at - int(recipe.reach * UNIT[grain])),
                *(at + AFTER[grain] * UNIT[grain], recipe.naive(changed, there)),
            )
            yield copy, _table(site.table, changed, key, time + AFTER[grain])
        made += 1


def alone(
    recipe: Recipe, grain: str, rows: Series | Day | Tape, place: int, direction: int, parameters: Parameters
) -> bool:
    """Whether a plant at the row would be the market's only event there: none before it that the rising edge would see, and a
    near miss that stays one at every row near it, whatever the market itself does next. True for detectors without a `size`.
    """
    if recipe.size is None or isinstance(rows, Series):
        return True
    first, last = rows.time[place] - recipe.reach, rows.time[place] + AFTER[grain]
    near_miss = recipe.plant(rows, place, NEAR_MISS, direction, parameters)
    for some, begin, end in ((rows, first - EDGE[grain], first - 1), (near_miss, first, last)):
        near = _judged(some)
        near = near[(some.part[near] == rows.part[place]) & (some.time[near] >= begin) & (some.time[near] <= end)]
        if any(recipe.size(some, int(one), parameters) >= 1 for one in near):
            return False
    return True


def _judged(rows: Day | Tape | Series) -> np.ndarray[Any, Any]:
    """Places at which a detector can fire."""
    return np.flatnonzero(~rows.is_auction) if isinstance(rows, Day) else np.arange(len(rows.time))


def _table(table: pa.Table, rows: Series | Day | Tape, key: str, until: int) -> pa.Table:
    """The rows of a copy under its own name, up to a time."""
    end = int(np.searchsorted(rows.time, until, side="right"))
    if isinstance(rows, Tape):
        first = _first_needed(rows, until)
        moved = pa.array(rows.shift[first:end] * 1_000_000_000)
        made = table.take(pa.array(rows.source[first:end]))
        changed = {
            "second": pa.array(rows.second[first:end], pa.int32()),
            "sip_ns": pc.add(made["sip_ns"], moved),
            "at": pc.add(made["at"], pc.divide(moved, 1_000)),
        }
    else:
        made = table.slice(0, end)
        changed = {name: pa.array(getattr(rows, name)[:end], pa.float64()) for name in _PRICES}
        changed["volume"] = pa.array(rows.volume[:end].astype(np.int64))
    for name, values in changed.items():
        made = made.set_column(made.schema.get_field_index(name), name, values)
    own = pa.repeat(pa.scalar(key), len(made))
    return made.append_column("security_id", own).append_column("symbol", own)


def _first_needed(tape: Tape, until: int) -> int:
    """The place from which a tape is needed: where sessions before tell what to expect, what the rising edge looks back at and a
    little more; else all of it, since the segment so far tells.
    """
    earliest = max(until - EDGE["trade"] - 30, 0)
    usual = tape.median_trades * tape.shares[earliest // 60 : until // 60 + 1]
    return int(np.searchsorted(tape.time, earliest)) if (usual > 0).all() else 0


def _alerts(lake: Lake, settings: Settings, grain: str, account: pd.DataFrame, rows: pa.Table) -> pd.DataFrame:
    """key, at, direction of the events that the detectors of the copies find in them."""
    frame = lake.spark.createDataFrame(rows)
    made = {
        "daily": {"open_at": F.timestamp_micros("open_us"), "close_at": F.timestamp_micros("at")},
        "minute": {"ts": F.timestamp_micros("at")},
        "trade": {"ts": F.timestamp_micros("at"), "size": F.col("size").cast("decimal(20,6)")},
    }
    expected = _expected(lake, account) if GRAINS[grain].stays_in_session else {}
    found = events(frame.withColumns(made[grain]), settings, grain, expected)
    own = found.where("startswith(security_id, concat(detector, '|'))")
    return own.selectExpr("security_id AS key", "unix_micros(ts) AS at", "direction").toPandas()


def _expected(lake: Lake, account: pd.DataFrame) -> dict[str, DataFrame]:
    """What is to be expected of the copies: what is of the symbol-days that they were made from."""
    expected = expectations(lake)
    if BASELINES in expected:
        rows = account[["key", "security_id", "session_date"]]
        copies = lake.spark.createDataFrame(rows, "key string, security_id string, session_date date")
        of_source = expected[BASELINES].join(F.broadcast(copies), ["security_id", "session_date"])
        expected[BASELINES] = of_source.drop("security_id").withColumnRenamed("key", "security_id")
    return expected


def accounted(account: pd.DataFrame, alerts: pd.DataFrame, unit: int) -> pd.DataFrame:
    """`account` with the events of each copy: found, duplicates, delay (from the plant's last row, in units of time)."""
    met = account.merge(alerts, on="key", suffixes=("", "_event"))
    met = met[met["at_event"].between(met["first"], met["last"])]
    met = met[(met["direction"] == 0) | (met["direction"] == met["direction_event"])]
    of_copy = met.groupby("key")["at_event"].agg(["size", "min"]).reindex(account["key"])
    delay = (of_copy["min"].to_numpy() - account["at"].to_numpy()) / unit
    count = of_copy["size"].fillna(0).astype(int).to_numpy()
    return account.assign(found=count > 0, duplicates=np.maximum(count - 1, 0), delay=delay)


def _planted(recipe: Recipe, grain: str, account: pd.DataFrame) -> Planted:
    curve = []
    for multiple in (0.0, *MULTIPLES):
        some = account[account["multiple"] == multiple]
        found, again = share(some["found"], some["session_date"]), int(some["duplicates"].sum())
        curve.append(Curve(multiple, len(some), found, again))
    clear, near = (account[account["multiple"] == multiple] for multiple in (CLEAR, NEAR_MISS))
    naive_recall, naive_false, lead = _naive(clear, near) if len(clear) else (None, None, None)
    return Planted(
        recipe.detector,
        grain,
        recipe.scaled,
        recipe.held,
        recipe.naive_rule,
        account["session_date"].nunique(),
        tuple(curve),
        naive_recall,
        naive_false,
        lead,
        quartiles(clear["delay"].dropna()),
    )


def _naive(clear: pd.DataFrame, near: pd.DataFrame) -> tuple[Estimate, Estimate, Estimate]:
    """Recall, false alarms and the detector's lead in recall, where the naive rule takes as many plants as the detector did."""
    both = pd.concat([clear, near])
    most = both.sort_values(["naive", "site"], ascending=[False, True]).head(int(both["found"].sum()))
    both = both.assign(taken=both["key"].isin(most["key"]))
    clear, near = both[both["multiple"] == CLEAR], both[both["multiple"] == NEAR_MISS]
    counts = clear.assign(of=1)[["found", "taken", "of"]].astype(float).groupby(clear["session_date"]).sum()
    lead = clustered(counts, lambda sums: (sums["found"] - sums["taken"]) / sums["of"])
    return share(clear["taken"], clear["session_date"]), share(near["taken"], near["session_date"]), lead


def _sites(lake: Lake, market: Path, grain: str, wanted: int) -> pd.DataFrame:
    """security_id, symbol, session_date of symbol-days above the floor that no episode is on or next to, drawn at random."""
    numbers = lake.read("silver.calendar").select("session_date", "session_number")
    records = [(one["symbol"], one["session_date"]) for one in read_records(market / "truth" / "episodes.jsonl")]
    planted = lake.spark.createDataFrame(records, "symbol string, day string")
    around = (
        planted.withColumn("session_date", F.expr("cast(day AS date)"))
        .join(numbers, "session_date")
        .selectExpr(
            "symbol",
            f"explode(sequence(session_number - {SESSIONS_BEFORE}, session_number + {SESSIONS_AFTER})) AS session_number",
        )
    )
    there = lake.read(INPUT_TABLE[grain]).select("security_id", "session_date").distinct()
    quiet = (
        lake.read("silver.universe")
        .where("passes_floor")
        .select("security_id", "symbol", "session_date")
        .join(there, ["security_id", "session_date"], "left_semi")
        .join(numbers, "session_date")
        .join(around, ["symbol", "session_number"], "left_anti")
    )
    drawn = F.xxhash64(F.lit(SEED), "security_id", "session_date")
    return quiet.orderBy(drawn, "security_id").limit(wanted).toPandas()


def _daily_sites(lake: Lake, settings: Settings, sites: pd.DataFrame) -> Iterator[Site]:
    names = lake.spark.createDataFrame(sites[["security_id"]].drop_duplicates(), "security_id string")
    columns = ("session_number", *_PRICES, "volume", "cumulative_factor", "possible_missing_split")
    bars = _sent(
        lake.read(INPUT_TABLE["daily"]).join(F.broadcast(names), "security_id", "left_semi"),
        ("security_id", "session_number"),
        *("security_id", "session_date", *columns, "unix_micros(open_at) AS open_us", "unix_micros(close_at) AS at"),
    )
    for site, of_name in _of_sites(bars, sites, ["security_id"]):
        own = of_name.filter(pc.less_equal(of_name["session_date"], pa.scalar(site.session_date)))
        series = Series(*(own[name].to_numpy() for name in columns[:-1]))
        if len(series.close) > 1 and series.passes(settings.floor):
            yield Site(site.security_id, site.session_date, series, own.drop_columns(["security_id"]))


def _minute_sites(lake: Lake, settings: Settings, sites: pd.DataFrame) -> Iterator[Site]:
    columns = ("session", "segment", "segment_start", "minute", *_PRICES, "volume", "is_auction")
    bars = _sent(
        _of_days(lake, "minute", sites),
        ("security_id", "session_date", "minute"),
        *("security_id", "session_date", *columns, "unix_micros(ts) AS at"),
    )
    usual, curves = _usual(lake, sites, "median_volume"), _curves(lake, sites)
    for site, own in _of_sites(bars, sites, ["security_id", "session_date"]):
        some = {name: own[name].to_numpy() for name in columns}
        day = Day(
            minute=some["minute"],
            part=_parts(some),
            segment_start=some["segment_start"],
            session=some["session"].astype(str),
            is_auction=some["is_auction"],
            **{name: some[name] for name in (*_PRICES, "volume")},
            median_volume=usual.get((site.security_id, site.session_date), float("nan")),
            shares=curves[site.session_date],
        )
        yield Site(site.security_id, site.session_date, day, own.drop_columns(["security_id"]))


def _trade_sites(lake: Lake, settings: Settings, sites: pd.DataFrame) -> Iterator[Site]:
    columns = ("session", "segment", "segment_start", "second", "sip_ns", "sequence_number", "price")
    trades = _sent(
        _of_days(lake, "trade", sites).where(f"updates_volume AND session <> 'closed' AND {WHOLE_DAYS}"),
        ("security_id", "session_date", "second", "sip_ns", "sequence_number"),
        *("security_id", "session_date", *columns, "cast(size AS double) AS size", "updates_volume", "is_whole_day"),
        "unix_micros(ts) AS at",
    )
    usual, curves = _usual(lake, sites, "median_trades"), _curves(lake, sites)
    for site, own in _of_sites(trades, sites, ["security_id", "session_date"]):
        some = {name: own[name].to_numpy() for name in columns}
        tape = Tape(
            second=some["second"],
            part=_parts(some),
            segment_start=some["segment_start"],
            source=np.arange(len(own)),
            shift=np.zeros(len(own), dtype=np.int64),
            median_trades=usual.get((site.security_id, site.session_date), float("nan")),
            shares=curves[site.session_date]["trades_share"],
        )
        yield Site(site.security_id, site.session_date, tape, own.drop_columns(["security_id"]))


_READERS: dict[str, Callable[[Lake, Settings, pd.DataFrame], Iterator[Site]]] = {
    "daily": _daily_sites,
    "minute": _minute_sites,
    "trade": _trade_sites,
}


def _of_days(lake: Lake, grain: str, sites: pd.DataFrame) -> DataFrame:
    """The grain's rows of the symbol-days."""
    rows = sites[["security_id", "session_date"]]
    wanted = lake.spark.createDataFrame(rows, "security_id string, session_date date")
    return lake.read(INPUT_TABLE[grain]).join(F.broadcast(wanted), ["security_id", "session_date"], "left_semi")


def _sent(rows: DataFrame, order: Sequence[str], *columns: str) -> pa.Table:
    """Columns of rows in an order, here: as many as the sites have, which are counted."""
    return rows.selectExpr(*columns).toArrow().sort_by([(name, "ascending") for name in order])


def _of_sites(rows: pa.Table, sites: pd.DataFrame, by: list[str]) -> Iterator[tuple[Any, pa.Table]]:
    """Each site with its rows, which lie together."""
    keys = rows.select(by).to_pandas()
    starts = np.flatnonzero((keys != keys.shift()).any(axis=1).to_numpy())
    ends = [*starts[1:], len(keys)]
    spans = {tuple(keys.iloc[start]): (start, end - start) for start, end in zip(starts, ends, strict=True)}
    for site in sites.itertuples():
        if (span := spans.get(tuple(getattr(site, name) for name in by))) is not None:
            yield site, rows.slice(*span)


def _parts(some: dict[str, np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
    """Numbers of the segments, which follow one another."""
    new = (some["session"][1:] != some["session"][:-1]) | (some["segment"][1:] != some["segment"][:-1])
    return np.concatenate([[0], np.cumsum(new)])


def _usual(lake: Lake, sites: pd.DataFrame, column: str) -> dict[tuple[str, datetime.date], float]:
    if not lake.exists(BASELINES):
        return {}
    rows = lake.read(BASELINES).where(F.col("session_date").isin(sites["session_date"].unique().tolist()))
    frame = rows.select("security_id", "session_date", column).toPandas()
    return {(row[0], row[1]): float(row[2]) for row in frame.itertuples(index=False)}


def _curves(lake: Lake, sites: pd.DataFrame) -> dict[datetime.date, dict[str, np.ndarray[Any, Any]]]:
    """By day and share an array over the minutes since 04:00; NaN where nothing is known."""
    names = ("volume_share", "volume_share_5m", "trades_share")
    days = sites["session_date"].unique().tolist()
    curves = {day: {name: np.full(_MINUTES, np.nan) for name in names} for day in days}
    if lake.exists(CURVES):
        rows = lake.read(CURVES).where(F.col("session_date").isin(days)).select("session_date", "minute", *names)
        for day, some in rows.toPandas().groupby("session_date"):
            for name in names:
                curves[day][name][some["minute"]] = some[name]
    return curves
