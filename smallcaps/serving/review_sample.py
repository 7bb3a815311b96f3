"""A sample of events to be reviewed by people, with decoys among them.

1. The seed is a hash of the id and version of gold.events: nobody chooses it. 2. Of each detector the events are put in order
of month, third of dollar volume and lot, and every n-th is taken: each part has its share, each event the same chance.
3. To four events come at least two decoys: near misses, and random moments above the liquidity floor (detectors/decoys.py).
Where there are too few decoys for that, fewer events are shown. 4. Each item gets an id that tells nothing, and charts that
end when it was known.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.decoys import any_moments, clear_of, near_misses
from smallcaps.detectors.detect import EXPECTED_VIEW, INPUT_TABLE, first_day_needed
from smallcaps.detectors.registry import GRAINS, all_detectors
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, between
from smallcaps.log import progress
from smallcaps.serving.page import words
from smallcaps.serving.report_data import records
from smallcaps.serving.review_charts import charts_of, read_bars
from smallcaps.serving.review_files import Sample, charts_file, prepare, write_sample
from smallcaps.version import code_version

EVENTS_A_DECOY = 4
"""Of either kind there is a decoy to so many events; at most so many events are shown to a decoy of any kind."""
BANDS = 3
SPARE = 100
"""Random moments are looked for among so many times as many as are wanted: events and the floor take some away."""
CHUNK = 500
"""Items whose bars are held at a time."""
_KEPT = ("detector", "grain", "symbol", "security_id", "session_date", "price")


@dataclass(frozen=True)
class Drawn:
    """Where a sample was written, and what each item of it is."""

    folder: Path
    items: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"{len(self.items):,} items"


def draw_sample(
    lake: Lake, settings: Settings, size: int, first: date | None, last: date | None, folder: Path | None
) -> Drawn:
    """Draw a sample of up to `size` events of each detector from `first` to `last` (None: no bound) and write it into `folder`,
    which is the lake's review/SAMPLE_ID unless given.

    The same tables, settings and arguments give the same files. Raises BadInput where there is no event, or no decoy.
    """
    wanted = ("gold.events", "silver.bars_1d", "silver.bars_1m", "silver.trades", *EXPECTED_VIEW)
    versions = {name: lake.version(name) for name in wanted if lake.exists(name)}
    events = lake.read("gold.events", versions.get("gold.events"))
    start, end = events.agg(F.min("session_date"), F.max("session_date")).collect()[0]
    start, end = max(first or date.min, start or date.max), min(last or date.max, end or date.min)
    if start > end or (events := events.where(between("session_date", start, end))).isEmpty():
        raise BadInput(f"gold.events has nothing from {first or 'the first day'} to {last or 'the last'}.")
    seed = hashlib.sha256(f"{lake.identity('gold.events')}|{versions['gold.events']}".encode()).hexdigest()[:16]
    sample_id = hashlib.sha256(f"{seed}|{start}|{end}|{size}".encode()).hexdigest()[:16]
    place = folder or Path(lake.root) / "review" / sample_id
    sample = Sample(sample_id, seed, versions, str(start), str(end), size, settings.digest(), code_version())
    prepare(place, sample)
    items = _items(lake, settings, sample, events)
    if not items:
        raise BadInput("No decoys were found, so no sample: silver has no rows beside those of the events.")
    for number in range(0, len(items), CHUNK):
        progress(number, len(items), "items")
        chunk = items[number : number + CHUNK]
        bars = read_bars(lake, versions, chunk, settings.publication_delay_seconds)
        for item in chunk:
            charts_file(place, item["item_id"]).write_text(charts_of(item, bars), encoding="utf-8")
    patterns = {detector.name: detector.summary for detector in all_detectors()}
    key = [{name: str(value) if name == "session_date" else value for name, value in item.items()} for item in items]
    shown = [
        {
            "item_id": item["item_id"],
            "question": f"{words(item['detector'])}?",
            "pattern": patterns[item["detector"]],
        }
        for item in items
    ]
    write_sample(place, sample, key, shown)
    return Drawn(place, items)


def _items(lake: Lake, settings: Settings, sample: Sample, events: DataFrame) -> list[dict[str, Any]]:
    """Events and decoys of every detector, in order of their ids."""
    there = {row["detector"]: row["count"] for row in events.groupBy("detector").count().collect()}
    asked = {detector: min(sample.size, count) for detector, count in there.items()}
    first, last = date.fromisoformat(sample.first), date.fromisoformat(sample.last)
    known = lake.read("gold.events", sample.tables["gold.events"])
    near: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    floor = _floor(lake, settings, sample, first, last)
    grains = [grain for grain in GRAINS if INPUT_TABLE[grain] in sample.tables]
    for number, grain in enumerate(grains):
        progress(number, len(grains), "grains", grain)
        rows, expected = _rows(lake, settings, sample, grain, first, last)
        days = between("session_date", first, last)
        missed = clear_of(near_misses(rows, settings, grain, expected).where(days), known)
        near += _first(missed, sample, _each(sample.size))
        one_in = max(1, rows.where(days).count() // (SPARE * sample.size))
        moments = any_moments(rows, settings, grain, sample.seed, one_in).where(days)
        if floor is not None and grain != "daily":
            moments = moments.join(floor, ["security_id", "session_date"], "left_anti")
        others += _first(clear_of(moments, known), sample, 2 * _each(sample.size))
    decoys = {detector: _decoys(detector, _each(count), near, others) for detector, count in asked.items()}
    shown = {detector: min(count, EVENTS_A_DECOY * len(decoys[detector])) for detector, count in asked.items()}
    taken = records(_marked(systematic(events, sample.seed, shown), sample, "event_id").toPandas())
    items = [item | {"kind": "event"} for item in taken] + [one for of in decoys.values() for one in of]
    return sorted(items, key=lambda item: str(item["item_id"]))


def _each(events: int) -> int:
    """How many decoys of a kind come to so many events."""
    return -(-events // EVENTS_A_DECOY)


def _decoys(detector: str, each: int, near: list[dict[str, Any]], others: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """So many near misses, and twice as many decoys in all."""
    missed = [one | {"kind": "near_miss"} for one in near if one["detector"] == detector][:each]
    ids = {one["item_id"] for one in missed}
    rest = [one | {"kind": "random"} for one in others if one["detector"] == detector and one["item_id"] not in ids]
    return missed + rest[: 2 * each - len(missed)]


def _rows(
    lake: Lake, settings: Settings, sample: Sample, grain: str, first: date, last: date
) -> tuple[DataFrame, dict[str, DataFrame]]:
    """The grain's rows that matter for the days, and what is to be expected on them."""
    rows = lake.read(INPUT_TABLE[grain], sample.tables[INPUT_TABLE[grain]]).where(F.col("session_date") <= F.lit(last))
    if GRAINS[grain].stays_in_session:
        days = between("session_date", first, last)
        usual = {name: lake.read(name, sample.tables[name]) for name in EXPECTED_VIEW if name in sample.tables}
        return rows.where(days), {name: table.where(days) for name, table in usual.items()}
    start = first_day_needed(rows, settings, grain, first, last)
    return (rows if start is None else rows.where(F.col("session_date") >= F.lit(start))), {}


def _floor(lake: Lake, settings: Settings, sample: Sample, first: date, last: date) -> DataFrame | None:
    """Names' days (security_id, session_date) that are not above the liquidity floor; None where no day is known."""
    if "silver.bars_1d" not in sample.tables:
        return None
    rows, _ = _rows(lake, settings, sample, "daily", first, last)
    # The guard of the daily grain is the floor.
    above = any_moments(rows, settings, "daily", sample.seed, 1).select("security_id", "session_date").distinct()
    return rows.select("security_id", "session_date").join(above, ["security_id", "session_date"], "left_anti")


def systematic(events: DataFrame, seed: str, wanted: Mapping[str, int]) -> DataFrame:
    """So many events of each detector, every n-th in order of month, third of dollar volume and lot; all, where it has no more.

    Pure. The n-th is counted from a place that `seed` decides.
    """
    of_detector = Window.partitionBy("detector")
    band = F.ntile(BANDS).over(of_detector.orderBy("dollar_volume", "event_id"))
    placed = events.withColumn("band", band).withColumn("lot", F.sha2(F.concat_ws("|", F.lit(seed), "event_id"), 256))
    ordered = of_detector.orderBy(F.date_format("session_date", "yyyy-MM"), "band", "lot", "event_id")
    counts = events.sparkSession.createDataFrame([*wanted.items()], "detector string, wanted bigint")
    placed = (
        placed.withColumn("place", F.row_number().over(ordered).cast("bigint"))
        .withColumn("there", F.count("*").over(of_detector))
        .join(F.broadcast(counts), "detector")
        .withColumn("begin", F.pmod(F.xxhash64(F.lit(seed), "detector"), F.col("there")))
    )
    taken = placed.where("(wanted * place + begin) div there > (wanted * (place - 1) + begin) div there")
    return taken.select(*events.columns)


def _first(moments: DataFrame, sample: Sample, most: int) -> list[dict[str, Any]]:
    """So many moments of each detector by lot, with ids."""
    by_lot = Window.partitionBy("detector").orderBy(_hash("lot", sample), "symbol")
    drawn = moments.withColumn("place", F.row_number().over(by_lot)).where(F.col("place") <= most)
    rows = _marked(drawn, sample, "cast(NULL AS string) AS event_id", "place").toPandas()
    return records(rows.sort_values(["detector", "place"]).drop(columns="place"))


def _marked(moments: DataFrame, sample: Sample, *more: str) -> DataFrame:
    """Moments as items."""
    item_id = F.substring(_hash("item", sample), 1, 16).alias("item_id")
    times = ("unix_micros(ts) AS ts_micros", "unix_micros(known_at) AS known_micros")
    return moments.select(item_id, *map(F.expr, (*_KEPT, *times, *more)))


def _hash(purpose: str, sample: Sample) -> Column:
    """A moment's hash for a purpose. Ids are made apart from lots: decoys are those with the lowest lots."""
    parts = (F.lit(purpose), F.lit(sample.sample_id), "detector", "security_id", F.unix_micros("ts").cast("string"))
    return F.sha2(F.concat_ws("|", *parts), 256)
