"""News by ticker, known a minute after it was published.

1. Articles are versions (see `versions`): the vendor may correct one, and what it said first is kept.
2. Each ticker of an article is a row, and belongs to whoever had the symbol on New York's day of publication: that is whom the
   article means. An article about nobody is no row.
3. The vendor's sentiment is taken as it stands. A model made it, at a time that the vendor does not tell: for old articles
   long after known_at.
"""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.lake import RULE, Rule, judge
from smallcaps.lake.quality import RECEIVED
from smallcaps.refine import versions
from smallcaps.refine.publication import NEWS_DELAY, impossible_day
from smallcaps.refine.securities import NO_IDENTITY, identify

SENTIMENTS = ("positive", "neutral", "negative")
ARTICLE_RULES = (impossible_day("published_on"),)
RULES = (
    NO_IDENTITY,
    Rule(
        "unknown_sentiment",
        f"sentiment IS NOT NULL AND sentiment NOT IN {SENTIMENTS}",
        "the sentiment is none of positive, neutral and negative",
    ),
)
REASONS = {rule.name: rule.reason for rule in (*ARTICLE_RULES, *RULES)} | versions.REASONS
_SAID = ("published_at", "title", "description", "keywords", "tickers", "insights")


def judged_news(articles: DataFrame, securities: DataFrame) -> DataFrame:
    """Rows of bronze.news, judged, as versions by ticker in silver.news' columns."""
    known = articles.withColumns(
        {
            "published_on": F.to_date(F.from_utc_timestamp("published_at", "America/New_York")),
            "known_at": F.col("published_at") + F.lit(NEWS_DELAY),
            # Quarantine names a row by its place in a body, and that is the article's: it has to hold all tickers.
            RECEIVED: F.struct(*articles.columns),
        }
    )
    said = versions.versions(judge(known, ARTICLE_RULES), ("vendor_id",), _SAID)
    by_ticker = said.withColumn("symbol", F.explode_outer(F.array_distinct("tickers")))
    of_somebody = by_ticker.where((F.col("symbol") != "") | F.col(RULE).isNotNull())
    insight = F.get(F.filter("insights", lambda one: one["ticker"] == F.col("symbol")), 0)
    felt = of_somebody.withColumn("_insight", insight).withColumns(
        {name: F.col("_insight")[name] for name in ("sentiment", "sentiment_reasoning")}
    )
    return judge(identify(felt, securities, "published_on"), RULES).withColumnRenamed("vendor_id", "article_id")
