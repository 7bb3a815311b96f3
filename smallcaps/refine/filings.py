"""Filings, and what a company's earlier ones say about shares that may come: shelves, registrations, takedowns.

1. A filing's form tells its kind (DILUTION). Filings of a company are those of a CIK.
2. The state that a filing stands in comes from filings of days before it alone: within a day their order is not known. The
   filing itself counts for those after it. An accession counts once, as it was first said. One of an earlier day that a later
   snapshot is the first to have counts as known by the rule, as everywhere: else history that is loaded later would be none.
3. Forms say that shares may be sold. Whether they were, to whom, and whether the SEC had declared a shelf effective, the index
   does not tell.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import RULE, Rule, judge
from smallcaps.refine import versions
from smallcaps.refine.publication import impossible_day
from smallcaps.refine.securities import NO_IDENTITY

DILUTION = {
    "shelf": ("S-3", "S-3/A", "S-3ASR", "F-3", "F-3/A", "F-3ASR"),
    "registration": ("S-1", "S-1/A", "F-1", "F-1/A"),
    "takedown": ("424B1", "424B2", "424B3", "424B4", "424B5", "424B7"),
}
"""Kinds of form that go with new shares, and their names in the SEC's index."""
_PRICED = ("424B1", "424B4")
"""Prospectuses that end a registration's wait."""
SHELF_MONTHS, TAKEDOWN_DAYS, REGISTRATION_DAYS, SPLIT_MONTHS = 36, 365, 180, 24

RULES = (
    NO_IDENTITY,
    impossible_day("filing_date"),
    Rule("no_form", "form_type IS NULL", "the form is missing"),
)
REASONS = {rule.name: rule.reason for rule in RULES} | versions.REASONS


def judged_filings(records: DataFrame, adjustments: DataFrame) -> DataFrame:
    """Rows of bronze.filings with security_id and known_at by rule, judged, as versions in silver.filings' columns."""
    said = versions.versions(judge(records, RULES), ("accession_number", "security_id"), ("form_type", "filing_date"))
    kinds = [F.when(F.col("form_type").isin(*forms), kind) for kind, forms in DILUTION.items()]
    return _with_splits(_with_state(said.withColumn("dilution", F.coalesce(*kinds))), adjustments)


def _with_state(filings: DataFrame) -> DataFrame:
    """Judged filings with the state of their company by the filings of earlier days."""
    company = Window.partitionBy(F.coalesce("cik", "security_id")).orderBy(F.unix_date("filing_date"))
    before, recent = (company.rangeBetween(start, -1) for start in (Window.unboundedPreceding, -TAKEDOWN_DAYS))
    counts = F.col(RULE).isNull() & (F.col("version") == 1)

    def last(condition: Column) -> Column:
        return F.max(F.when(counts & condition, F.col("filing_date"))).over(before)

    takedowns = F.count_if(counts & F.col("dilution").eqNullSafe("takedown")).over(recent)
    stood = filings.withColumns(
        {
            "shelf_until": F.add_months(last(F.col("dilution") == "shelf"), SHELF_MONTHS),
            "takedowns_365d": takedowns.cast("int"),
            "_registered": last(F.col("dilution") == "registration"),
            "_priced": last(F.col("form_type").isin(*_PRICED)),
        }
    )
    return stood.withColumns(
        {
            "has_open_registration": F.expr(
                f"coalesce(date_add(_registered, {REGISTRATION_DAYS}) >= filing_date "
                "AND (_priced IS NULL OR _priced < _registered), false)"
            ),
            "may_be_at_the_market": F.expr("coalesce(form_type = '424B5' AND filing_date <= shelf_until, false)"),
        }
    ).drop("_registered", "_priced")


def _with_splits(filings: DataFrame, adjustments: DataFrame) -> DataFrame:
    """Filings with the reverse splits of their security in the two years up to the day."""
    reverse = adjustments.where("price_factor > 1").groupBy("security_id")
    days = F.broadcast(reverse.agg(F.collect_list("execution_date").alias("_days")))
    recent = f"filter(_days, day -> day <= filing_date AND day > add_months(filing_date, -{SPLIT_MONTHS}))"
    count = F.expr(f"coalesce(size({recent}), 0)")
    return filings.join(days, "security_id", "left").withColumn("reverse_splits_2y", count).drop("_days")
