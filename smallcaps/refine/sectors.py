"""How names go with the market and with their sector: sectors by SIC code, returns, rolling betas and correlations.

1. Sector: sectors.csv has it by SIC code and date. A company's code is what the vendor said last before the day. For the days
   before it was first said it is that first one, marked as hindsight. Funds are of the sector they are on.
2. Return: from the close of the session before to that of the day, in the shares of the day. There is none where either has no
   bar or no volume (its price is carried), or where a split may be missing.
3. Of the SESSIONS sessions up to the day, those count on which name and fund both have a return. Fewer than LEAST: nothing is
   known. A fund that never moved has no beta to it, and what never moved goes with nothing.

A window is made anew for every row, from its own rows in their order: it is the same however many lie before or after.
"""

import csv
from datetime import date
from importlib.resources import files

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.lake import declared
from smallcaps.refine.rounding import significant
from smallcaps.refine.securities import BEGINNING, own_identity

FUNDS = {
    "communication": "XLC",
    "consumer_discretionary": "XLY",
    "consumer_staples": "XLP",
    "energy": "XLE",
    "financials": "XLF",
    "health_care": "XLV",
    "industrials": "XLI",
    "materials": "XLB",
    "real_estate": "XLRE",
    "technology": "XLK",
    "utilities": "XLU",
}
"""The fund on each sector: the Select Sector SPDRs, of large companies."""
MARKET, SMALL_CAP = "SPY", "IWM"
"""The funds on the market (S&P 500) and on its small companies (Russell 2000)."""
SESSIONS, LEAST = 60, 40
LOOK_BACK_DAYS = 105
"""Calendar days that hold the sessions that a row looks back at, and the one before the first return."""
_END = date(9999, 12, 31)
_COLUMNS = tuple(column.name for column in declared("silver.sectors").columns)


def sector_codes() -> list[tuple[int, int, date, date, str]]:
    """sectors.csv: first and last SIC code, first day and the day after the last, sector."""
    with (files("smallcaps.refine") / "sectors.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
    return [
        (
            int(row["sic_first"]),
            int(row["sic_last"]),
            date.fromisoformat(row["valid_from"]) if row["valid_from"] else BEGINNING,
            date.fromisoformat(row["valid_to"]) if row["valid_to"] else _END,
            row["sector"],
        )
        for row in rows
    ]


def classified(details: DataFrame) -> DataFrame:
    """Whose sector was which, of rows of bronze.ticker_details: security_id, sic_code, known_from, sector, valid_from, valid_to
    (exclusive).

    A code that was first said on a day is known from known_from on, the day after; it stands for the days before as well.
    """
    said = (
        details.withColumn("security_id", own_identity())
        .withColumn("sic", F.expr("try_cast(sic_code AS int)"))
        .where("sic IS NOT NULL AND security_id IS NOT NULL")
        .groupBy("security_id", "as_of")
        .agg(F.min("sic").alias("sic"))
    )
    in_order = Window.partitionBy("security_id").orderBy("as_of")
    former = F.lag("sic").over(in_order)
    changes = said.withColumn("_is_new", ~F.col("sic").eqNullSafe(former)).where("_is_new")
    known_from = F.date_add("as_of", 1)
    stretches = changes.select(
        "security_id",
        "sic",
        known_from.alias("known_from"),
        F.when(F.row_number().over(in_order) == 1, F.lit(BEGINNING)).otherwise(known_from).alias("_from"),
        F.coalesce(F.date_add(F.lead("as_of").over(in_order), 1), F.lit(_END)).alias("_to"),
    )
    schema = "sic_first int, sic_last int, first date, last date, sector string"
    codes = details.sparkSession.createDataFrame(sector_codes(), schema)
    meets = F.expr("sic BETWEEN sic_first AND sic_last AND _from < last AND first < _to")
    return stretches.join(F.broadcast(codes), meets, "left").select(
        *("security_id", F.format_string("%04d", "sic").alias("sic_code"), "known_from", "sector"),
        F.greatest("_from", "first").alias("valid_from"),
        F.least("_to", "last").alias("valid_to"),
    )


def with_return(bars: DataFrame) -> DataFrame:
    """Rows of silver.bars_1d with daily_return."""
    in_order = Window.partitionBy("security_id").orderBy("session_number")
    before = {
        name: F.lag(name).over(in_order) for name in ("session_number", "zero_volume", "close", "cumulative_factor")
    }
    carried = before["close"] * F.col("cumulative_factor") / before["cumulative_factor"]
    is_made = (
        (before["session_number"] == F.col("session_number") - 1)
        & ~before["zero_volume"]
        & ~F.col("zero_volume")
        & ~F.col("possible_missing_split")
    )
    return bars.withColumn("daily_return", F.when(is_made, F.col("close") / carried - 1))


def fund_returns(bars: DataFrame) -> DataFrame:
    """session_date and funds, the returns of the funds by symbol."""
    funds = with_return(bars.where(F.col("symbol").isin(MARKET, SMALL_CAP, *FUNDS.values())))
    entries = F.collect_list(F.struct("symbol", "daily_return"))
    return funds.groupBy("session_date").agg(F.map_from_entries(entries).alias("funds"))


def sectors(bars: DataFrame, classes: DataFrame, funds: DataFrame) -> DataFrame:
    """Rows of silver.sectors for every one of `bars`, rows of silver.bars_1d from LOOK_BACK_DAYS before the days wanted.

    `classes` as `classified` makes them, `funds` as `fund_returns` does.
    """
    stretch = (
        (F.col("bar.security_id") == F.col("class.security_id"))
        & (F.col("bar.session_date") >= F.col("class.valid_from"))
        & (F.col("bar.session_date") < F.col("class.valid_to"))
    )
    named = with_return(bars).alias("bar").join(F.broadcast(classes).alias("class"), stretch, "left")
    sector_of = F.create_map(*[F.lit(word) for sector, fund in FUNDS.items() for word in (fund, sector)])
    fund_of = F.create_map(*[F.lit(word) for pair in FUNDS.items() for word in pair])
    own = F.try_element_at(sector_of, F.col("symbol"))
    placed = named.select(
        "bar.*",
        "class.sic_code",
        F.coalesce(own, "class.sector").alias("sector"),
        F.when(own.isNotNull(), True)
        .otherwise(F.col("session_date") >= F.col("class.known_from"))
        .alias("is_sector_known"),
    ).withColumn("sector_fund", F.try_element_at(fund_of, F.col("sector")))
    beside = placed.join(F.broadcast(funds), "session_date", "left").withColumns(
        {
            "market_return": F.try_element_at("funds", F.lit(MARKET)),
            "small_cap_return": F.try_element_at("funds", F.lit(SMALL_CAP)),
            "sector_return": F.try_element_at("funds", F.col("sector_fund")),
        }
    )
    constants = {"market_fund": F.lit(MARKET), "small_cap_fund": F.lit(SMALL_CAP), "known_at": F.col("close_at")}
    return _with_measures(beside).withColumns(constants).select(*_COLUMNS)


def _with_measures(rows: DataFrame) -> DataFrame:
    """`rows` with daily_return and a return of each benchmark, and n, beta and correlation."""
    trailing = Window.partitionBy("security_id").orderBy("session_number").rangeBetween(-(SESSIONS - 1), 0)
    moments: dict[str, Column] = {"n": F.count("daily_return").over(trailing).cast("int")}
    exact: dict[str, Column] = {}
    for name in ("market", "small_cap", "sector"):
        own, other = F.col("daily_return"), F.col(f"{name}_return")
        moments |= {
            f"_pairs_{name}": F.count(own + other).over(trailing),
            f"_together_{name}": F.covar_pop(own, other).over(trailing),
            f"_own_{name}": F.var_pop(F.when(other.isNotNull(), own)).over(trailing),
            f"_other_{name}": F.var_pop(F.when(own.isNotNull(), other)).over(trailing),
        }
        enough, together = F.col(f"_pairs_{name}") >= LEAST, F.col(f"_together_{name}")
        spread = F.sqrt(F.col(f"_own_{name}") * F.col(f"_other_{name}"))
        exact |= {
            f"_beta_{name}": F.when(enough, F.try_divide(together, F.col(f"_other_{name}"))),
            f"_correlation_{name}": F.when(enough, F.try_divide(together, spread)),
        }
    rounded = {name.removeprefix("_"): F.expr(significant(name)) for name in exact}
    return rows.withColumns(moments).withColumns(exact).withColumns(rounded)
