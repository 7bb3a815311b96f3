"""Snapshots → what was said and when it was known: a record that is in several snapshots is one row, until it changes.

1. Of sound records with the same key in the same snapshot all but one are repeats.
2. A record that says what the snapshot before said is no row. Of what remains, in order of as_of, each is a version, from 1.
3. The first version is known by the rule of its table: it stands for what was published then. A later one is a change that
   nobody saw before the end of the as_of day it first appeared in.

A snapshot that does not have a record says nothing about it. Versions look back only, so a later snapshot changes no
earlier version. Of two versions known at the same instant the higher one holds.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import RULE, judge_repeats
from smallcaps.refine.publication import end_of

DUPLICATE = "duplicate_record"
REASONS = {DUPLICATE: "another record of the snapshot has the same key"}


def versions(judged: DataFrame, key: Sequence[str], said: Sequence[str | Column]) -> DataFrame:
    """Judged records of snapshots (as_of, known_at by rule) as judged versions: with version and its known_at.

    `key` names a record within a snapshot, `said` is what makes a version where it differs. Refused records stay.
    """
    once = judge_repeats(judged, (*key, "as_of"), ("source_sha256", "source_line"), DUPLICATE)
    sound = F.col(RULE).isNull()
    in_order = Window.partitionBy(*key, sound).orderBy("as_of")
    before = F.lag("_said").over(in_order)
    changed = once.withColumn("_said", F.struct(*said)).withColumn("_changed", ~F.col("_said").eqNullSafe(before))
    numbered = changed.withColumn("version", F.when(sound, F.count_if("_changed").over(in_order)).cast("int"))
    known_at = F.when(F.col("version") > 1, F.greatest("known_at", end_of("as_of"))).otherwise(F.col("known_at"))
    return numbered.where(~sound | F.col("_changed")).withColumn("known_at", known_at).drop("_said", "_changed")
