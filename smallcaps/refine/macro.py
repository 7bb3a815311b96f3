"""The economy by vintage: each figure as it was said and as it was changed, and from when on either was known.

1. FRED's archive dates a figure to the day. A request cuts the stretch in which it was in force to its own, so what says the same
   as the stretch before is nothing new; the others are versions, each of the first day on which it was seen in force.
2. A vintage is known at the minute that the calendar of releases has for that day and series, else when the day is over in New
   York. So all that a release says of a series, of the new month and of those before, is known at once.
3. The vendor has the latest figure only. One of those that nobody revises, the yields, is known by the lag of its release. One
   that may have been revised is what it was when it was received: known when the as_of day is over, whatever period it is about.
   One that changed from a snapshot to the next is a further version (see `versions`).
4. Whoever reads at a moment takes the highest version known by then, of each series, observation and source.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.lake import RULE, Rule, judge
from smallcaps.refine import versions
from smallcaps.refine.publication import end_of, impossible_day
from smallcaps.sources.economy.figures import FIGURES
from smallcaps.sources.economy.releases import release_frames, with_known_at

UNKNOWN = Rule("unknown_series", "series IS NULL", "no series of ours has this name there (sources/economy/figures.py)")
ARCHIVE_RULES = (
    UNKNOWN,
    Rule("impossible_stretch", "realtime_end < realtime_start", "it was in force to a day before the first one"),
)
RULES = (UNKNOWN, impossible_day("observation_date"))
CONTRADICTED = "contradicted"
REASONS = (
    {rule.name: rule.reason for rule in (*ARCHIVE_RULES, *RULES)}
    | versions.REASONS
    | {CONTRADICTED: "a later answer of the archive has another figure for that day"}
)
_PERIOD = ("series", "observation_date")


def judged_macro(vintages: DataFrame, snapshots: DataFrame) -> DataFrame:
    """Rows of bronze.macro_vintages and bronze.economy, judged, as versions in silver.macro's columns."""
    return _archived(vintages).unionByName(_received(snapshots), allowMissingColumns=True)


def _archived(vintages: DataFrame) -> DataFrame:
    judged = judge(_named(vintages, "fred"), ARCHIVE_RULES)
    sound = F.col(RULE).isNull()
    answers = Window.partitionBy(*_PERIOD, "realtime_start", sound).orderBy(
        F.desc("received_at"), "source_sha256", "source_line"
    )
    asked = judged.withColumns({"_place": F.row_number().over(answers), "_last": F.first("value").over(answers)})
    differs = sound & ~F.col("value").eqNullSafe(F.col("_last"))
    once = asked.withColumn(RULE, F.when(differs, CONTRADICTED).otherwise(F.col(RULE)))
    stretches = once.where(~sound | (F.col("_place") == 1))
    in_order = Window.partitionBy(*_PERIOD, sound).orderBy("realtime_start")
    # A figure that is not there yet is no version; one that is taken back is.
    changed = ~F.col("value").eqNullSafe(F.lag("value").over(in_order))
    numbered = stretches.withColumn("_changed", changed).withColumn(
        "version", F.when(sound, F.count_if("_changed").over(in_order)).cast("int")
    )
    dated = release_frames(vintages.sparkSession)[0].withColumn(
        "realtime_start", F.to_date(F.from_utc_timestamp("released_at", str(NEW_YORK)))
    )
    of_day = dated.groupBy("series", "realtime_start").agg(F.max("released_at").alias("_released_at"))
    known = numbered.where(~sound | F.col("_changed")).join(F.broadcast(of_day), ["series", "realtime_start"], "left")
    return known.withColumns(
        {
            "vintage": F.col("realtime_start"),
            "known_at": F.coalesce("_released_at", end_of("realtime_start")),
            "known_by": F.when(F.col("_released_at").isNotNull(), "calendar").otherwise("vintage"),
        }
    ).drop("_place", "_last", "_changed", "_released_at")


def _received(snapshots: DataFrame) -> DataFrame:
    out = with_known_at(_named(snapshots, "vendor"))
    known = out.withColumn(
        "known_at", F.when(F.col("revised"), F.greatest("known_at", end_of("as_of"))).otherwise(F.col("known_at"))
    )
    said = versions.versions(judge(known, RULES), _PERIOD, ("value",))
    by_receipt = F.col("revised") | (F.col("version") > 1)
    return said.withColumn("known_by", F.when(by_receipt, "receipt").otherwise("lag")).drop("revised")


def _named(rows: DataFrame, source: str) -> DataFrame:
    """`rows` under our names, with what is declared of each; null where its name is not declared at the source."""
    names = [
        (called, one.name, one.unit, one.release.name, one.grain.value, one.revised)
        for one in FIGURES
        if (called := getattr(one, source)) is not None
    ]
    schema = "source_series string, series string, unit string, release string, grain string, revised boolean"
    ours = rows.sparkSession.createDataFrame(names, schema)
    theirs = rows.withColumnRenamed("series", "source_series").withColumn("source", F.lit(source))
    return theirs.join(F.broadcast(ours), "source_series", "left")
