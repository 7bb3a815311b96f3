"""Who owns what, as it was filed: insiders' forms 3 and 4, institutions' 13F, a row a line of a filing.

1. A filing is all its lines, known by the rule of filings. Where a later snapshot has other lines under its number, they are a
   further version, all of them together (see `versions`).
2. An amendment is a filing of its own, known when it was filed itself. Whether it stands in place of what it amends or adds to it
   the vendor does not tell, so both are there.
3. Insiders' filings are of the company that the vendor names, as other filings are. Institutions name a security by its CUSIP
   alone. Of a security that went public while the vendor kept listings (bronze.ipos) the code is on file; nothing else here tells
   whose a CUSIP is, and a name is no identity. The other positions are sound all the same, and stay without one.
4. Shares are those of the filing, before later splits.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import RULE, Rule, declared, judge
from smallcaps.refine import versions
from smallcaps.refine.publication import impossible_day
from smallcaps.refine.securities import NO_IDENTITY

FORMS = ("3", "3/A", "4", "4/A", "13F-HR", "13F-HR/A")
RELATIONS = ("director", "officer", "ten_percent_owner", "other")
LISTING_DAYS = 7
"""A listing is that of the security whose symbol began so many days before it at most."""
RULES = (
    Rule(NO_IDENTITY.name, f"kind = 'insider' AND {NO_IDENTITY.broken}", NO_IDENTITY.reason),
    impossible_day("filing_date"),
    Rule("unknown_form", f"form NOT IN {FORMS}", "the form is missing, or none of 3, 4, 13F-HR and their amendments"),
    Rule(
        "after_its_filing",
        "coalesce(transaction_date, IF(kind = 'insider', filing_date, period)) > filing_date",
        "the transaction or the end of the quarter is later than the filing, or the quarter is missing",
    ),
    Rule("no_cusip", "kind = 'institution' AND cusip IS NULL", "a position names no security"),
    Rule(
        "impossible_figure",
        "coalesce(least(shares, shares_after, principal), 0) < 0 OR coalesce(least(price, value), 0D) < 0",
        "a figure is negative",
    ),
)
REASONS = {rule.name: rule.reason for rule in RULES}
_SOURCE = ("as_of", "source_sha256", "source_line")
_FILING = ("accession_number", "form")
_OURS = ("security_id", "symbol", "line", "version", "known_at", "as_of", "source_sha256")
_SAID = tuple(column.name for column in declared("silver.ownership").columns if column.name not in _OURS)
"""What a filing says, and not we of it."""


def filed_lines(insiders: DataFrame, institutions: DataFrame) -> DataFrame:
    """Rows of bronze.insider_filings and bronze.institutional_holdings in one, in silver.ownership's terms."""
    lines = _insiders(insiders).unionByName(_institutions(institutions), allowMissingColumns=True)
    return lines.withColumn("form", F.upper(F.trim("form"))).withColumn("is_amendment", F.col("form").endswith("/A"))


def _insiders(rows: DataFrame) -> DataFrame:
    is_trade = F.coalesce(F.col("record_type") == "transaction", F.col("transaction_code").isNotNull())
    relations = [F.when(F.col(f"is_{name}"), name) for name in RELATIONS]
    kind = F.lower(F.regexp_replace("security_type", "[^A-Za-z]", ""))
    return rows.select(
        *(F.lit("insider").alias("kind"), F.col("form_type").alias("form")),
        *("accession_number", "filing_date", "symbol", F.col("issuer_cik").alias("cik"), "issuer_name"),
        F.col("date_of_original_submission").alias("amends_filing_of"),
        F.col("period_of_report").alias("period"),
        *(F.col("owner_cik").alias("holder_cik"), F.col("owner_name").alias("holder_name"), "officer_title"),
        F.array_compact(F.array(*relations)).alias("relations"),
        F.when(kind == "derivative", "derivative").when(kind == "nonderivative", "non_derivative").alias("instrument"),
        "security_title",
        F.when(is_trade, "transaction").otherwise("holding").alias("entry"),
        *("transaction_date", "transaction_code"),
        F.col("transaction_acquired_disposed").alias("acquired_or_disposed"),
        F.col("aff_10b5_one").alias("is_by_plan"),
        F.col("transaction_shares").alias("shares"),
        F.col("transaction_price_per_share").alias("price"),
        F.coalesce("shares_owned_following_transaction", "shares_owned").alias("shares_after"),
        F.col("transaction_value").alias("value"),
        (F.col("direct_or_indirect") == "D").alias("is_direct"),
        *(F.col("underlying_security_shares").alias("underlying_shares"), "exercise_price", "expiration_date"),
        *_SOURCE,
    )


def _institutions(rows: DataFrame) -> DataFrame:
    amount, option = F.col("shares_or_principal_amount"), F.lower("put_call")
    is_debt = F.coalesce(F.col("shares_or_principal_type") == "PRN", F.lit(False))
    return rows.select(
        *(F.lit("institution").alias("kind"), F.col("form_type").alias("form")),
        *("accession_number", "filing_date", F.lit(None).cast("string").alias("symbol"), "issuer_name", "period"),
        F.col("filer_cik").alias("holder_cik"),
        F.array().cast("array<string>").alias("relations"),
        F.upper(F.trim("cusip")).alias("cusip"),
        F.when(option.isin("put", "call"), option)
        .otherwise(F.when(is_debt, "debt").otherwise("non_derivative"))
        .alias("instrument"),
        F.col("title_of_class").alias("security_title"),
        F.lit("holding").alias("entry"),
        F.when(~is_debt, amount).cast("decimal(20,6)").alias("shares_after"),
        F.when(is_debt, amount).alias("principal"),
        F.col("market_value").cast("double").alias("value"),
        *_SOURCE,
    )


def cusips(listings: DataFrame, securities: DataFrame) -> DataFrame:
    """cusip and security_id: whose code it is by rows of bronze.ipos, where one security alone has it.

    A listing is of whoever had its symbol from about that day on: who had it long before is somebody else.
    """
    code = F.coalesce("us_code", F.expr("IF(isin LIKE 'US%', substring(isin, 3, 9), NULL)"))
    named = listings.select("symbol", "listing_date", F.upper(F.trim(code)).alias("cusip")).distinct()
    begun = F.datediff("listing_date", "valid_from").between(0, LISTING_DAYS)
    whose = named.join(F.broadcast(securities.select("symbol", "security_id", "valid_from")), "symbol").where(begun)
    one = whose.groupBy("cusip").agg(F.collect_set("security_id").alias("_all"))
    return one.where("cusip IS NOT NULL AND size(_all) = 1").select("cusip", F.col("_all")[0].alias("security_id"))


def judged_ownership(lines: DataFrame, cusips: DataFrame) -> DataFrame:
    """Lines (as `filed_lines`, with known_at by rule and the filer's security_id), judged, as versions in silver.ownership's
    columns; `cusips` as the function of that name makes them.
    """
    coded = cusips.withColumnRenamed("security_id", "_coded")
    whose = lines.join(F.broadcast(coded), "cusip", "left")
    judged = judge(whose.withColumn("security_id", F.coalesce("security_id", "_coded")).drop("_coded"), RULES)
    is_sound = F.col(RULE).isNull()
    # Lines in another order say the same, so they are told by their number and the sum of their hashes.
    of_snapshot = (
        judged.where(is_sound)
        .groupBy(*_FILING, "as_of", RULE)
        .agg(
            F.count("*").alias("lines"),
            F.sum(F.xxhash64(F.to_json(F.struct(*_SAID))).cast("decimal(20,0)")).alias("hashes"),
            *(F.max(name).alias(name) for name in ("known_at", "source_sha256", "source_line")),
        )
    )
    numbered = versions.versions(of_snapshot, _FILING, ("lines", "hashes"))
    said = numbered.select(*_FILING, "as_of", "version", "known_at")
    place = F.row_number().over(Window.partitionBy(*_FILING, "as_of").orderBy("source_sha256", "source_line"))
    kept = judged.where(is_sound).drop("known_at").join(said, [*_FILING, "as_of"]).withColumn("line", place)
    return kept.unionByName(judged.where(~is_sound), allowMissingColumns=True)
