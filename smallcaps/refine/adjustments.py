"""Splits → factors that are applied, and what each day's prices must be multiplied by to be compared with another's."""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import Rule, judge, judge_repeats

RATIOS = (1.5, *range(2, 11))
RATIO_TOLERANCE = 0.03
"""Splits of 2:3 and of 1:2 to 1:10, either way, are looked for; how near a logarithm must come, as a share of it (DOMAIN.md)."""
UNEXPLAINED = 0.15
"""What may be left of an overnight return (a logarithm) that a split explains; more is not unusual, but not of another ratio."""


def like_a_split(move: str) -> str:
    """SQL condition that `move`, the absolute logarithm of an overnight return, is that of one of RATIOS."""
    listed = ", ".join(f"{ratio}D" for ratio in RATIOS)
    return f"exists(array({listed}), ratio -> abs({move} - ln(ratio)) <= {RATIO_TOLERANCE}D * ln(ratio))"


_WITH = "abs(ln(open_after / (close_before * price_factor)))"
_WITHOUT = "abs(ln(open_after / close_before))"
RULES = (
    Rule(
        "impossible_ratio",
        "NOT (split_from > 0 AND split_to > 0) OR isnan(split_from) OR isnan(split_to) "
        "OR split_from = double('infinity') OR split_to = double('infinity')",
        "a side of the ratio is zero, negative or not finite",
    ),
    Rule("no_change", "split_from = split_to", "the ratio is 1"),
    Rule(
        "split_contradicts_price",
        f"{_WITH} > {_WITHOUT}",
        "the overnight return is larger with the split than without it",
    ),
    Rule(
        "split_of_another_ratio",
        f"{_WITH} > {UNEXPLAINED} AND {like_a_split(_WITHOUT)}",
        "the overnight return is that of a split of another ratio",
    ),
)
DUPLICATE = "duplicate_split"
REASONS = {rule.name: rule.reason for rule in RULES} | {
    DUPLICATE: "another split of the security has the same execution date"
}


NEW_ENDPOINT = "splits"
_SAME = ("symbol", "execution_date", "split_from", "split_to")


def current_splits(splits: DataFrame) -> DataFrame:
    """Of bronze.splits what the vendor says now, and from files what it does not say.

    Now is the latest as-of day; where both endpoints were asked then, the new one.
    """
    said = splits.where("as_of IS NOT NULL")
    is_new = F.coalesce(F.col("endpoint") == NEW_ENDPOINT, F.lit(False))
    latest = said.agg(F.max(F.struct("as_of", is_new.alias("is_new"))).alias("latest"))
    now = (
        said.crossJoin(F.broadcast(latest))
        .where((F.col("as_of") == F.col("latest.as_of")) & (is_new == F.col("latest.is_new")))
        .drop("latest")
    )
    from_files = splits.where("as_of IS NULL").join(now.select(*_SAME), list(_SAME), "left_anti")
    return now.unionByName(from_files)


def judged_splits(splits: DataFrame, bars: DataFrame) -> DataFrame:
    """Current splits (with security_id) judged against clean daily `bars` (security_id, session_date, open, close), in
    silver.adjustments' columns. A split with no bar before or after it cannot be checked and is applied.
    """
    keyed = splits.alias("split").join(
        F.broadcast(splits.select("security_id").distinct()).join(bars, "security_id").alias("bar"),
        F.col("split.security_id") == F.col("bar.security_id"),
        "left",
    )
    before, after = "bar.session_date < execution_date", "bar.session_date >= execution_date"
    names = ("security_id", "symbol", "execution_date", "split_from", "split_to")
    around = keyed.groupBy(*[F.col(f"split.{name}").alias(name) for name in names], "source_sha256", "source_line").agg(
        F.expr(f"max_by(bar.close, bar.session_date) FILTER (WHERE {before})").alias("close_before"),
        F.expr(f"min_by(bar.open, bar.session_date) FILTER (WHERE {after})").alias("open_after"),
    )
    factored = around.withColumn("price_factor", F.expr("try_divide(split_from, split_to)"))
    checked = factored.withColumn(
        "checked_against_price", F.expr("close_before IS NOT NULL AND open_after IS NOT NULL")
    )
    sound = judge(judge(checked, RULES[:2]), [_where_checked(rule) for rule in RULES[2:]])
    return judge_repeats(sound, ("security_id", "execution_date"), ("source_sha256", "source_line"), DUPLICATE)


def _where_checked(rule: Rule) -> Rule:
    return Rule(rule.name, f"checked_against_price AND ({rule.broken})", rule.reason)


def cumulative_factors(adjustments: DataFrame) -> DataFrame:
    """Stretches of constant factor: security_id, from_date (inclusive), to_date (exclusive), cumulative_factor.

    The factor of a day is the product of all factors effective up to it, so it never changes when a later split
    arrives; price(s) × factor(t) / factor(s) is the price of day s in the shares of day t.
    """
    in_order = Window.partitionBy("security_id").orderBy("execution_date")
    so_far = F.collect_list("price_factor").over(in_order.rowsBetween(Window.unboundedPreceding, Window.currentRow))
    return adjustments.select(
        "security_id",
        F.col("execution_date").alias("from_date"),
        F.coalesce(F.lead("execution_date").over(in_order), F.lit("9999-12-31").cast("date")).alias("to_date"),
        F.aggregate(so_far, F.lit(1.0), lambda product, factor: product * factor).alias("cumulative_factor"),
    )


def with_factor(frame: DataFrame, factors: DataFrame, day: str) -> DataFrame:
    """`frame` (security_id) with cumulative_factor of the day in column `day`, 1 where no split was before it.

    `factors` as `cumulative_factors` makes them.
    """
    stretch = (
        (F.col("frame.security_id") == F.col("factor.security_id"))
        & (F.col(f"frame.{day}") >= F.col("factor.from_date"))
        & (F.col(f"frame.{day}") < F.col("factor.to_date"))
    )
    joined = frame.alias("frame").join(F.broadcast(factors.alias("factor")), stretch, "left")
    return joined.select("frame.*", F.coalesce("factor.cumulative_factor", F.lit(1.0)).alias("cumulative_factor"))
