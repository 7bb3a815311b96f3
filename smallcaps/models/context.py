"""What could be known of an event's company and market when the event was known, beside the tape.

Every fact is joined on `known_at`. A table that is not there gives nulls, counts of articles 0. A company's figures are those
of its security_id.
"""

from collections.abc import Mapping

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

TABLES = (
    *("silver.universe", "silver.short_interest", "silver.short_volume", "silver.float", "silver.fundamentals"),
    *(
        "silver.filings",
        "silver.ownership",
        "silver.news",
        "silver.macro",
        "silver.sectors",
        "silver.short_sale_restrictions",
    ),
)
"""Where it comes from."""

_RECENT = "datediff(session_date, sectors.session_date) <= 5"
"""SQL of whether the last bar of the name is of this week: returns of older ones say nothing of the market now."""

RUN_UPS = (5, 20)
"""Sessions over which the name's own return is told."""

FEATURES: dict[str, str] = {
    "log_market_cap": "ln(universe.market_cap)",
    "log_free_float": "ln(universe.free_float)",
    "is_low_float": "cast(universe.is_low_float AS double)",
    "is_small_cap": "cast(universe.is_small_cap AS double)",
    "free_float_percent": "free_float.free_float_percent",
    "days_to_cover": "short_interest.days_to_cover",
    "short_volume_share": "try_divide(cast(short_volume.short_volume AS double), cast(short_volume.total_volume AS double))",
    "revenue_yield": "try_divide(income.revenue, universe.market_cap)",
    "earnings_yield": "try_divide(income.net_income, universe.market_cap)",
    "book_yield": "try_divide(balance.total_equity, universe.market_cap)",
    "cash_yield": "try_divide(balance.cash, universe.market_cap)",
    "debt_yield": "try_divide(balance.long_term_debt, universe.market_cap)",
    "days_since_filing": "cast(datediff(session_date, filings.filing_date) AS double)",
    "takedowns_365d": "cast(filings.takedowns_365d AS double)",
    "has_open_registration": "cast(filings.has_open_registration AS double)",
    "may_be_at_the_market": "cast(filings.may_be_at_the_market AS double)",
    "reverse_splits_2y": "cast(filings.reverse_splits_2y AS double)",
    "insider_net_share": "try_divide(insiders.dollars, universe.market_cap)",
    "institutions": "cast(institutions.holders AS double)",
    "news_1d": "cast(coalesce(news.articles_1d, 0) AS double)",
    "news_7d": "cast(coalesce(news.articles_7d, 0) AS double)",
    "news_sentiment_7d": "try_divide(cast(news.sentiment AS double), cast(news.rated AS double))",
    "policy_rate": "macro.policy_rate_upper",
    "yield_10_year": "macro.yield_10_year",
    "term_spread": "macro.yield_10_year - macro.yield_2_year",
    "inflation": "macro.cpi_year_over_year",
    "unemployment_rate": "macro.unemployment_rate",
    "market_return": f"IF({_RECENT}, sectors.market_return, NULL)",
    "small_cap_return": f"IF({_RECENT}, sectors.small_cap_return, NULL)",
    "sector_return": f"IF({_RECENT} AND sectors.is_sector_known, sectors.sector_return, NULL)",
    **{f"return_{sessions}d": f"IF({_RECENT}, sectors.return_{sessions}d, NULL)" for sessions in RUN_UPS},
    "beta_small_cap": "sectors.beta_small_cap",
    "correlation_small_cap": "sectors.correlation_small_cap",
    "is_short_sale_restricted": "IF(restrictions.event_id IS NULL, 0D, 1D)",
}
"""Inputs as SQL over what `with_context` joins. Yields are of twelve months, as shares of the market value; insiders' is what
they bought less what they sold in the market, filed in 90 days, amendments left out; institutions are those whose 13F of 135 days
holds it; returns are of the last session that was over, the name's own up to it, null where a session of them has none; sectors
are those known then; sentiment is of what was rated.
"""

_SERIES = ("policy_rate_upper", "yield_10_year", "yield_2_year", "cpi_year_over_year", "unemployment_rate")
_SCORES = "CASE sentiment WHEN 'positive' THEN 1 WHEN 'negative' THEN -1 WHEN 'neutral' THEN 0 END"


def with_context(events: DataFrame, tables: Mapping[str, DataFrame]) -> DataFrame:
    """Rows of gold.events with the columns FEATURES, one row each; `tables` has every one of TABLES. Pure."""
    key = ["security_id", "known_at"]
    asked = events.select("event_id", *key, "session_date")
    universe = tables["silver.universe"].select(
        "security_id", "session_date", F.col("known_at").alias("said_at"), F.struct("*").alias("universe")
    )
    wide = (
        asked.join(universe, ["security_id", "session_date"], "left")
        .withColumn("universe", F.expr("IF(said_at <= known_at, universe, NULL)"))
        .drop("said_at")
    )
    yearly = tables["silver.fundamentals"].where("timeframe IN ('trailing_twelve_months', 'annual')")
    latest = {
        "income": (yearly, ("period_end", "timeframe", "filing_date", "version"), ("revenue", "net_income")),
        "short_interest": (tables["silver.short_interest"], ("settlement_date", "version"), ("days_to_cover",)),
        "short_volume": (tables["silver.short_volume"], ("session_date", "version"), ("short_volume", "total_volume")),
        "free_float": (tables["silver.float"], ("known_at", "version"), ("free_float_percent",)),
        "balance": (
            tables["silver.fundamentals"],
            ("period_end", "filing_date", "timeframe", "version"),
            ("total_equity", "cash", "long_term_debt"),
        ),
        "filings": (
            tables["silver.filings"],
            ("filing_date", "known_at", "accession_number", "version"),
            ("filing_date", "takedowns_365d", "has_open_registration", "may_be_at_the_market", "reverse_splits_2y"),
        ),
        "sectors": (
            _with_run_ups(tables["silver.sectors"]),
            ("session_date",),
            (
                *("session_date", "is_sector_known", "market_return", "small_cap_return", "sector_return"),
                *("beta_small_cap", "correlation_small_cap", *(f"return_{sessions}d" for sessions in RUN_UPS)),
            ),
        ),
    }
    for name, (facts, order, values) in latest.items():
        wide = wide.join(latest_known(asked, facts, "security_id", order, values, name), "event_id", "left")
    others = {
        "insiders": _insiders(asked, tables["silver.ownership"]),
        "institutions": _institutions(asked, tables["silver.ownership"]),
        "news": _news(asked, tables["silver.news"]),
        "macro": _macro(asked, tables["silver.macro"]),
        "restrictions": _restrictions(asked, tables["silver.short_sale_restrictions"]),
    }
    for name, frame in others.items():
        wide = wide.join(frame.select("event_id", F.struct("*").alias(name)), "event_id", "left")
    found = wide.select("event_id", *[F.expr(sql).alias(name) for name, sql in FEATURES.items()])
    return events.join(found, "event_id")


def latest_known(
    asked: DataFrame, facts: DataFrame, key: str, order: tuple[str, ...], values: tuple[str, ...], name: str
) -> DataFrame:
    """event_id and a struct `name` of `values`: of the facts of its `key` known by its known_at the last by `order`; null where
    there is none. One sort of both together: an event may have thousands of facts before it.
    """
    fact = F.struct(F.struct(*order).alias("place"), F.struct(*values).alias("values"))
    said = facts.where(F.col(key).isNotNull()).select(
        key, "known_at", F.lit(None).cast("string").alias("event_id"), fact.alias("fact")
    )
    questions = asked.select(key, "known_at", "event_id", F.lit(None).cast(said.schema["fact"].dataType).alias("fact"))
    so_far = (
        Window.partitionBy(key)
        .orderBy("known_at", F.col("event_id").isNotNull())
        .rowsBetween(Window.unboundedPreceding, 0)
    )
    known = said.unionByName(questions).withColumn("fact", F.max("fact").over(so_far))
    return known.where("event_id IS NOT NULL").select("event_id", F.col("fact.values").alias(name))


def _with_run_ups(sectors: DataFrame) -> DataFrame:
    """silver.sectors with return_<n>d: the name's own return over the n sessions up to the day, null where one has none."""
    order = Window.partitionBy("security_id").orderBy("session_date")
    columns = {}
    for sessions in RUN_UPS:
        of_sessions = order.rowsBetween(1 - sessions, 0)
        together = F.exp(F.sum(F.log1p("daily_return")).over(of_sessions)) - 1
        columns[f"return_{sessions}d"] = F.when(F.count("daily_return").over(of_sessions) == sessions, together)
    return sectors.withColumns(columns)


def _told(asked: DataFrame, facts: DataFrame) -> DataFrame:
    """Events beside the facts of their security that were known."""
    told = facts.withColumnRenamed("known_at", "told_at").drop("session_date", "symbol")
    return asked.join(told, "security_id").where("told_at <= known_at")


def _insiders(asked: DataFrame, ownership: DataFrame) -> DataFrame:
    """$ that insiders bought less what they sold in the market, of the last version of each filing."""
    lines = ownership.where("kind = 'insider' AND NOT is_amendment")
    known = _told(asked, lines).where("told_at > known_at - INTERVAL 90 DAYS")
    traded = "instrument = 'non_derivative' AND entry = 'transaction' AND transaction_code IN ('P', 'S')"
    cents = "try_cast(rint(IF(transaction_code = 'P', 1, -1) * cast(shares AS double) * price * 100) AS bigint)"
    filings = known.groupBy("event_id", "accession_number", "version").agg(
        F.expr(f"coalesce(sum({cents}) FILTER (WHERE {traded}), 0)").alias("cents"),
        F.expr(f"count_if({traded} AND price IS NOT NULL)").alias("trades"),
    )
    last = filings.groupBy("event_id", "accession_number").agg(
        F.max_by(F.struct("cents", "trades"), "version").alias("last")
    )
    sums = last.where("last.trades > 0").groupBy("event_id")
    return sums.agg((F.sum("last.cents") / 100).alias("dollars"))


def _institutions(asked: DataFrame, ownership: DataFrame) -> DataFrame:
    held = _told(asked, ownership.where("kind = 'institution'")).where("told_at > known_at - INTERVAL 135 DAYS")
    return held.groupBy("event_id").agg(F.count_distinct("holder_cik").alias("holders"))


def _news(asked: DataFrame, news: DataFrame) -> DataFrame:
    """Articles of a day and of a week, as they stood, and the sum of the week's sentiment over those that have one. Who rates old
    articles knows what came after: a rating counts from the end of the day on which it was taken in.
    """
    rated_at = F.to_utc_timestamp(F.date_add("as_of", 1).cast("timestamp"), "America/New_York")
    told = _told(asked, news.withColumns({"score": F.expr(_SCORES), "rated_at": rated_at}))
    told = told.where("published_at > known_at - INTERVAL 7 DAYS")
    rating = F.expr("IF(rated_at <= known_at, score, NULL)")
    articles = told.groupBy("event_id", "known_at", "article_id").agg(
        F.max_by(F.struct("published_at", rating.alias("score")), "version").alias("last")
    )
    return articles.groupBy("event_id").agg(
        F.expr("count_if(last.published_at > known_at - INTERVAL 1 DAY)").alias("articles_1d"),
        F.count("*").alias("articles_7d"),
        F.sum("last.score").alias("sentiment"),
        F.count("last.score").alias("rated"),
    )


def _macro(asked: DataFrame, macro: DataFrame) -> DataFrame:
    """The latest figure known of each series; where both sources have it, FRED's."""
    columns = []
    wide = asked.select("event_id")
    for series in _SERIES:
        of_series = macro.where(F.col("series") == series).withColumn("is_fred", F.col("source") == "fred")
        order, values = ("observation_date", "is_fred", "version"), ("value",)
        wide = wide.join(
            latest_known(asked.withColumn("series", F.lit(series)), of_series, "series", order, values, series),
            "event_id",
            "left",
        )
        columns.append(F.col(f"{series}.value").alias(series))
    return wide.select("event_id", *columns)


def _restrictions(asked: DataFrame, restrictions: DataFrame) -> DataFrame:
    """Events at which short sales below the bid were barred."""
    barred = restrictions.select(
        "security_id", F.col("session_date").alias("since"), "last_session", F.col("known_at").alias("told_at")
    )
    met = asked.join(barred, "security_id").where("told_at <= known_at AND session_date BETWEEN since AND last_session")
    return met.select("event_id").distinct()
