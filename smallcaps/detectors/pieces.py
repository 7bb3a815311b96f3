"""Detection while the rows arrive: the statement of the whole, over the pieces that changed.

A caller keeps the rows of its keys (the grain's: a security, or one on a day), as they last were, and a seed of some of
them. When rows are new or not as they were, the events from the first such row of a key on are computed again, from the
rows before that the look-back asks for and the seed of those before them. Where a seed stands too late for that (a row came
very late) or is not there, from all rows of the key.

A caller writes events first, then seeds, rows last, and does a step again that was broken off: what changed is told by the
rows that it has, so rows written before their events and seeds would never be looked at again.
"""

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.detect import numbered_events, rows_before, seeds_of
from smallcaps.detectors.registry import GRAINS
from smallcaps.errors import BadInput


def rows_needed(settings: Settings, grain: str) -> int:
    """How many rows before a piece it takes beside a seed. Raises BadInput where none are enough."""
    if (rows := rows_before(settings, grain)) is None:
        raise BadInput(
            f"A detector of the {grain} grain looks back through a window that is neither bounded nor carried on."
        )
    return rows


def events_from(
    rows: DataFrame,
    first: DataFrame,
    settings: Settings,
    grain: str,
    expected: Mapping[str, DataFrame] | None = None,
    seeds: DataFrame | None = None,
) -> DataFrame:
    """The events of each key of `first` from the row on whose number `first` gives; with `number`, that of the event's row.

    `first`: the grain's key and `first`. `rows`: all rows of these keys, as they are now. The events stand in place of those
    that were computed earlier of the same key and numbers. Equal to those of the whole, whatever the pieces were.
    """
    piece, seeds_of_piece = _piece(rows, first, settings, grain, seeds)
    found = numbered_events(piece, settings, grain, expected, seeds_of_piece)
    key = list(GRAINS[grain].key)
    return found.join(F.broadcast(first), key).where(F.col("number") >= F.col("first")).drop("first")


def _piece(
    rows: DataFrame, first: DataFrame, settings: Settings, grain: str, seeds: DataFrame | None
) -> tuple[DataFrame, DataFrame | None]:
    """The rows that the events from `first` on need, and the seeds of the rows in front of them."""
    key, number = list(GRAINS[grain].key), F.col(GRAINS[grain].order)
    changed = rows.join(F.broadcast(first), key)
    if seeds is None:
        return changed.drop("first"), None
    seeded = changed.join(seeds.select(*key, "after"), key)
    before = F.when((number > F.col("after")) & (number < F.col("first")), number)
    far_enough = seeded.groupBy(*key).agg(F.count_distinct(before).alias("before"))
    usable = seeds.join(
        far_enough.where(F.col("before") >= rows_needed(settings, grain)).select(*key), key, "left_semi"
    )
    piece = changed.join(usable.select(*key, "after"), key, "left")
    return piece.where(f"after IS NULL OR {GRAINS[grain].order} > after").drop("first", "after"), usable


def advanced(
    rows: DataFrame,
    first: DataFrame,
    settings: Settings,
    grain: str,
    keep: int,
    expected: Mapping[str, DataFrame] | None = None,
    seeds: DataFrame | None = None,
) -> DataFrame:
    """Seeds that leave the last `keep` rows of each key of `rows` outside, where a key has more; else those of `seeds` that still
    hold, since no row up to them changed (`first`, as for `events_from`).

    With `keep` above the look-back rows may come late by so many rows without the key being computed from its first row on.
    """
    key, order = list(GRAINS[grain].key), GRAINS[grain].order
    later = rows
    if seeds is not None:
        seeds = seeds.join(F.broadcast(first), key, "left").where("first IS NULL OR first > after").drop("first")
        later = (
            rows.join(seeds.select(*key, "after"), key, "left").where(f"after IS NULL OR {order} > after").drop("after")
        )
    latest_first = Window.partitionBy(*key).orderBy(F.desc("after"))
    numbered = seeds_of(later, settings, grain, expected, seeds).withColumn("place", F.row_number().over(latest_first))
    further = numbered.where(F.col("place") == keep + 1).drop("place")
    return further if seeds is None else further.unionByName(seeds.join(further.select(*key), key, "left_anti"))
