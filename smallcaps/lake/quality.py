"""Rules that rows must meet, and where rows go that don't. Rows in = rows kept + rows refused."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake.declaration import Expectation

RULE = "_rule"
"""The first rule a judged row breaks; null where it breaks none."""

RECEIVED = "_received"
"""A judged frame may carry the row as it came in this struct; else the row itself is what quarantine keeps."""

UNFIT = 10_000
"""Rows kept of those that make an expectation fail, which may be all; the first by id, so that a second run adds none."""


@dataclass(frozen=True)
class Rule:
    """A reason to refuse a row: `broken` is a SQL condition; unknown counts as broken."""

    name: str
    broken: str
    reason: str


def judge(frame: DataFrame, rules: Sequence[Rule]) -> DataFrame:
    """`frame` with column `_rule`. A rule already broken stays; the first of `rules` counts otherwise."""
    already = F.col(RULE) if RULE in frame.columns else F.lit(None).cast("string")
    return frame.withColumn(RULE, F.coalesce(already, verdict(rules)))


def verdict(rules: Sequence[Rule]) -> Column:
    """The first of the rules that a row breaks; null where it breaks none."""
    broken = " ".join(f"WHEN coalesce(({rule.broken}), true) THEN '{rule.name}'" for rule in rules)
    return F.expr(f"CASE {broken} END")


def judge_repeats(frame: DataFrame, key: Sequence[str], order: Sequence[str | Column], name: str) -> DataFrame:
    """Judges all but the first (by `order`) of the sound rows that share `key` to be repeats (rule `name`).

    Rows are sorted by `key` in its order: one like that of the table's files is cheap.
    """
    sound = F.col(RULE).isNull()
    place = F.row_number().over(Window.partitionBy(*key, sound).orderBy(*order))
    return (
        frame.withColumn("_place", place)
        .withColumn(RULE, F.when(sound & (F.col("_place") > 1), F.lit(name)).otherwise(F.col(RULE)))
        .drop("_place")
    )


def sound(judged: DataFrame) -> DataFrame:
    """The rows of a judged frame that break no rule, without the verdict."""
    return judged.where(F.col(RULE).isNull()).drop(RULE)


def refused(judged: DataFrame, table: str, reasons: dict[str, str]) -> DataFrame:
    """The refused rows as rows of ops.quarantine. Rows that were computed name no line of a file: each is its own source."""
    broken = judged.where(F.col(RULE).isNotNull())
    if "source_line" not in judged.columns:
        row = F.struct(*[name for name in judged.columns if name != RULE])
        own = F.sha2(F.to_json(row), 256)
        broken = broken.select(row.alias(RECEIVED), own.alias("source_sha256"), F.lit(1).alias("source_line"), RULE)
    return broken.select(*quarantined(broken, table, reasons))


def in_words(reasons: dict[str, str]) -> Column:
    """The rule that a judged row broke in words; its name where there are none."""
    words = F.create_map(*[F.lit(part) for pair in reasons.items() for part in pair])
    return F.coalesce(words[F.col(RULE)], F.col(RULE))


def quarantined(judged: DataFrame, table: str, reasons: dict[str, str]) -> list[Column]:
    """The columns of ops.quarantine, of a refused row of `judged`."""
    columns = [f"{RECEIVED}.*"] if RECEIVED in judged.columns else [name for name in judged.columns if name != RULE]
    identity = F.concat_ws("|", F.lit(table), F.col(RULE), "source_sha256", F.col("source_line").cast("string"))
    return [
        F.sha2(identity, 256).alias("quarantine_id"),
        F.lit(table).alias("table_name"),
        F.col(RULE).alias("rule"),
        in_words(reasons).alias("reason"),
        F.col("source_sha256"),
        F.col("source_line").cast("bigint").alias("source_line"),
        F.to_json(F.struct(*columns)).alias("payload"),
    ]


def unfit(rows: DataFrame, table: str, expectation: Expectation) -> DataFrame:
    """Sound rows that an expectation of their table makes unfit, as rows of ops.quarantine; UNFIT of them at most."""
    rule = f"suite:{expectation.name}"
    found = refused(rows.withColumn(RULE, F.lit(rule)), table, {rule: expectation.words})
    return found.orderBy("quarantine_id").limit(UNFIT)
