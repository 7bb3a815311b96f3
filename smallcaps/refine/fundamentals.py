"""Fundamentals as they were filed: a row a company, period and filing; a restatement is a filing of its own.

1. Reports of the three statement endpoints and of the old one are judged, ratios left out: the vendor computes those from
   today's price.
2. Where the new endpoints have a company's period, nothing of the old one is used from that snapshot on.
3. The statements of a filing become one map, figures named `statement.name` as the old endpoint names them. A snapshot in which
   a statement is not there says nothing about it: the one before holds.
4. What remains is versions (see `versions`). A statement asked for only later is a change, and known only then.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import RULE, Rule, judge, judge_repeats
from smallcaps.lake.quality import sound
from smallcaps.refine import versions
from smallcaps.refine.publication import impossible_day
from smallcaps.refine.securities import NO_IDENTITY

TIMEFRAMES = ("quarterly", "annual", "trailing_twelve_months")
RULES = (
    NO_IDENTITY,
    impossible_day("filing_date"),
    Rule("filed_before_its_end", "filing_date < period_end", "the period ends after the filing, or its end is missing"),
    Rule("unknown_timeframe", f"timeframe NOT IN {TIMEFRAMES}", "it is of no quarter, year or twelve months"),
)
REASONS = {rule.name: rule.reason for rule in RULES} | versions.REASONS
FIGURES = {
    "revenue": ("income_statement.revenue", "income_statement.revenues"),
    "net_income": (
        "income_statement.consolidated_net_income_loss",
        "cash_flow_statement.net_income",
        "income_statement.net_income_loss",
    ),
    "total_equity": ("balance_sheet.total_equity", "balance_sheet.equity"),
    "cash": ("balance_sheet.cash_and_equivalents", "balance_sheet.cash"),
    "long_term_debt": (
        "balance_sheet.long_term_debt_and_capital_lease_obligations",
        "balance_sheet.long_term_debt",
    ),
    "shares_outstanding": (
        "income_statement.basic_shares_outstanding",
        "income_statement.basic_average_shares",
        "income_statement.diluted_shares_outstanding",
        "income_statement.diluted_average_shares",
    ),
}
"""Columns of their own: the first of these figures that is there, of the new endpoints and of the old one."""

_STATEMENTS = ("income_statements", "balance_sheets", "cash_flow_statements")
_OLD = "old_financials"
_KEY = ("security_id", "period_end", "timeframe", "filing_date")


def judged_fundamentals(reports: DataFrame) -> DataFrame:
    """Rows of bronze.financials with security_id and known_at by rule, judged, as versions in silver.fundamentals' columns."""
    named = reports.where("endpoint <> 'ratios'").replace({"ttm": TIMEFRAMES[2]}, subset=["timeframe"])
    judged = judge_repeats(
        *(judge(named, RULES), ("endpoint", "as_of", *_KEY)),
        *(("source_sha256", "source_line"), versions.DUPLICATE),
    )
    filed = versions.versions(_merged(_current(sound(judged))), _KEY, [F.map_entries("items")])
    return filed.unionByName(judged.where(F.col(RULE).isNotNull()), allowMissingColumns=True)


def _current(reports: DataFrame) -> DataFrame:
    """Reports but for those of the old endpoint of a period that a new one had by then."""
    of_period = Window.partitionBy("security_id", "period_end", "timeframe")
    since = F.min(F.when(F.col("endpoint") != _OLD, F.col("as_of"))).over(of_period)
    superseded = (F.col("endpoint") == _OLD) & F.coalesce(F.col("as_of") >= F.col("_since"), F.lit(False))
    return reports.withColumn("_since", since).where(~superseded)


def _merged(reports: DataFrame) -> DataFrame:
    """A judged row a filing and snapshot: all that was known of the filing by then."""
    of_snapshot = reports.groupBy(*_KEY, "as_of").agg(
        *[F.min(name).alias(name) for name in ("symbol", "cik", "known_at", "source_sha256", "source_line")],
        F.array_sort(F.collect_set("endpoint")).alias("endpoints"),
        *[
            F.first(F.when(F.col("endpoint") == name, F.col("items")), True).alias(name)
            for name in (*_STATEMENTS, _OLD)
        ],
    )
    so_far = Window.partitionBy(*_KEY).orderBy("as_of")
    held = of_snapshot.withColumns({name: F.last(name, True).over(so_far) for name in (*_STATEMENTS, _OLD)})
    new = F.map_concat(*[_named(statement) for statement in _STATEMENTS])
    is_new = F.coalesce(*_STATEMENTS).isNotNull()
    items = F.when(is_new, new).otherwise(F.col(_OLD))
    # In order, so that the same figures are the same map.
    merged = held.withColumn("items", F.map_from_entries(F.array_sort(F.map_entries(items))))
    figures = {column: F.coalesce(*map(_figure, names)) for column, names in FIGURES.items()}
    return merged.withColumns(figures).withColumn(RULE, F.lit(None).cast("string")).drop(*_STATEMENTS, _OLD)


def _named(statement: str) -> Column:
    """The figures of a statement under `statement.name`; none where it is not there."""
    prefix = F.lit(f"{statement.removesuffix('s')}.")
    there = F.coalesce(statement, F.expr("cast(map() AS map<string,double>)"))
    return F.transform_keys(there, lambda name, _: F.concat(prefix, name))


def _figure(name: str) -> Column:
    return F.try_element_at("items", F.lit(name))
