"""The account of the daily detectors over a market: how often they fire, where, and what floor and splits keep them from.

1. `days` says of each bar what floor and splits say of it. 2. `bare_events` are what the same detectors fire on without liquidity
floor and without splits. 3. `judged` gives each event, in force or bare, the first of REASONS that holds. 4. `collect` counts;
`render` is pure.

A reason is no proof of a false alarm: it says what the event would have been kept out by, or may come of.
"""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import LiquidityFloor, Settings
from smallcaps.detectors.compiler import compile_statement
from smallcaps.detectors.detect import INPUT_VIEW, chosen_detectors, rules_of
from smallcaps.detectors.registry import GRAINS
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, between
from smallcaps.serving import charts
from smallcaps.serving.page import render_page

SESSIONS_A_YEAR = 252
PUBLISHED = {"gap": 4.0, "range_explosion": 9.5, "atr_breakout": 6.2, "flush": 1.2, "blow_off": 1.4}
"""Events of 1,000 floored symbol-days on the market of 2015-03 to 2016-06, as DOMAIN.md has them."""
PUBLISHED_DAYS_A_YEAR, SOURCE_EVENTS = 7_400, 7_000
"""Symbol-days with an event a year, by the same; the events that the source design speaks of."""
BANDS = ("1–2 $", "2–5 $", "5–10 $", "10–20 $")
BUSIEST = 10
REPEATS_WITHIN = 3
RETURNED = 0.2
"""An isolated price: so much of the way there, at most, is left at the next open."""
REASONS = {
    "split_on_file": "a split is in force from that day on",
    "possible_missing_split": "the return over night is that of a split, and none is on file",
    "below_the_price_floor": "the close before was below the floor's least price",
    "above_the_price_ceiling": "the close before was above the floor's highest price",
    "no_volume_the_session_before": "there was no bar, or one without volume, the session before",
    "thin": "the median day of 20 sessions is below the floor's dollars, or has too few bars",
    "isolated_price": "at the next open the price is back: four fifths of the way and more",
    "none_of_these": "none of these",
}
FILTERS = {
    "split_on_file": "in force: prices before it are carried into the shares of the day",
    "possible_missing_split": "in force as a flag of the event; the event stands",
    "below_the_price_floor": "in force: liquidity floor",
    "above_the_price_ceiling": "in force: liquidity floor",
    "no_volume_the_session_before": "in force: liquidity floor",
    "thin": "in force: liquidity floor",
    "isolated_price": "none: at the event nobody knows the next open; ask the minutes or the trades",
    "none_of_these": "none",
}
_KIND = "CASE WHEN detector <> 'flush_reversal' THEN detector WHEN direction = 1 THEN 'flush' ELSE 'blow_off' END"
_FIRED = (
    "CASE kind WHEN 'gap' THEN open WHEN 'atr_breakout' THEN close WHEN 'flush' THEN low WHEN 'blow_off' THEN high "
    "ELSE IF(high / close_before > close_before / low, high, low) END"
)


@dataclass(frozen=True)
class Account:
    """What the page says. Frames: `counts` (month, kind, band, events), `reasons` (kind, reason, in_force, bare, kept_out),
    `busiest` (session_date, events). `floored`: symbol-days above the floor; `symbol_days`: those with an event;
    `repeats`: those of them with one of the same name within REPEATS_WITHIN sessions before.
    """

    first: date
    last: date
    sessions: int
    floored: int
    symbol_days: int
    repeats: int
    counts: pd.DataFrame
    reasons: pd.DataFrame
    busiest: pd.DataFrame

    @property
    def events(self) -> int:
        """Events in force."""
        return int(self.counts["events"].sum())

    @property
    def days_a_year(self) -> float:
        """Symbol-days with an event, of a year's sessions."""
        return self.symbol_days * SESSIONS_A_YEAR / self.sessions

    @property
    def busiest_share(self) -> float:
        """Share of the events that the busiest sessions have."""
        return float(self.busiest["events"].sum()) / self.events

    @property
    def rates(self) -> pd.DataFrame:
        """Of each kind: events, events of 1,000 floored symbol-days, and what DOMAIN.md has."""
        events = self.counts.groupby("kind")["events"].sum().reindex(list(PUBLISHED), fill_value=0)
        frame = pd.DataFrame({"events": events, "rate": 1_000 * events / self.floored, "published": PUBLISHED})
        return frame.rename_axis("kind").reset_index()


def days(bars: DataFrame, floor: LiquidityFloor) -> DataFrame:
    """What floor and splits say of each bar of silver.bars_1d: its prices, close_before and next_open in its shares, raw close
    before, what REASONS ask, and whether it is `floored`. Pure.
    """
    by_day = "(PARTITION BY security_id ORDER BY session_number)"
    prior = "(PARTITION BY security_id ORDER BY session_number RANGE BETWEEN 20 PRECEDING AND 1 PRECEDING)"
    told = bars.selectExpr(
        *("security_id", "session_date", "session_number", "open", "high", "low", "close"),
        f"lag(close) OVER {by_day} AS raw_close_before",
        f"lag(close / cumulative_factor) OVER {by_day} * cumulative_factor AS close_before",
        f"lead(open / cumulative_factor) OVER {by_day} * cumulative_factor AS next_open",
        f"coalesce(cumulative_factor <> lag(cumulative_factor) OVER {by_day}, false) AS split_on_file",
        "possible_missing_split",
        f"coalesce(lag(session_number) OVER {by_day} < session_number - 1 OR lag(volume) OVER {by_day} = 0, true) "
        "AS no_volume_the_session_before",
        f"percentile(close * volume, 0.5D) OVER {prior} AS usual_dollars",
        f"count(*) OVER {prior} AS bars_before",
    )
    marked = told.selectExpr(
        "*",
        f"coalesce(raw_close_before < {floor.minimum_price}D, false) AS below_the_price_floor",
        f"coalesce(raw_close_before > {floor.maximum_price}D, false) AS above_the_price_ceiling",
        f"bars_before < {floor.minimum_bars} OR usual_dollars < {floor.minimum_dollar_volume}D AS thin",
    )
    return marked.selectExpr(
        "*",
        "raw_close_before IS NOT NULL AND NOT below_the_price_floor AND NOT above_the_price_ceiling "
        "AND NOT no_volume_the_session_before AND NOT coalesce(thin, true) AS floored",
    )


def bare_events(bars: DataFrame, settings: Settings) -> DataFrame:
    """What the daily detectors fire on without liquidity floor and with prices as traded, splits left alone. Pure."""
    grain, chosen = GRAINS["daily"], chosen_detectors(settings, "daily")
    # No detector fires on a day that stays nearer to the close before; of those the dear average true range is spared.
    least = min(one.parameters.get("minimum_move", one.parameters.get("threshold", 0.0)) for one in chosen)
    true_range = "greatest(high, previous_close) - least(low, previous_close)"
    far = f"coalesce({true_range} >= {least!r}D * least(low, previous_close), false)"
    features = tuple(replace(one, sql=far) if one.name == "floored" else one for one in grain.features)
    rules = rules_of(settings)
    bars.withColumn("cumulative_factor", F.lit(1.0)).createOrReplaceTempView(INPUT_VIEW["daily"])
    return bars.sparkSession.sql(compile_statement(replace(grain, features=features), chosen, rules).nested)


def judged(events: DataFrame, of_days: DataFrame) -> DataFrame:
    """security_id, session_date, session_number, kind, band and reason of daily events, by `days`. Pure."""
    met = events.selectExpr("security_id", "session_date", "direction", f"{_KIND} AS kind").join(
        of_days, ["security_id", "session_date"]
    )
    moves = ("abs(ln(next_open / close_before)) AS stays", "abs(ln(fired / close_before)) AS goes")
    moved = met.withColumn("fired", F.expr(_FIRED)).selectExpr("*", *moves)
    held = moved.withColumn("isolated_price", F.expr(f"coalesce(stays <= {RETURNED}D * goes, false)"))
    *asked, rest = REASONS
    reason = " ".join(f"WHEN {name} THEN '{name}'" for name in asked)
    edges = " ".join(
        f"WHEN raw_close_before < {edge} THEN '{band}'" for edge, band in zip((2, 5, 10), BANDS[:3], strict=True)
    )
    return held.selectExpr(
        *("security_id", "session_date", "session_number", "kind"),
        f"CASE {edges} ELSE '{BANDS[3]}' END AS band",
        f"CASE {reason} ELSE '{rest}' END AS reason",
    )


def counted(in_force: DataFrame, bare: DataFrame) -> tuple[DataFrame, DataFrame]:
    """Of judged events: month, kind, band and events of those in force; kind, reason, and how many are in force, bare, and bare
    but not in force (kept_out). Pure.
    """
    months = in_force.groupBy(F.date_format("session_date", "yyyy-MM").alias("month"), "kind", "band")
    key = ["security_id", "session_date", "kind"]
    there = in_force.select(*key, "reason", F.lit(1).alias("in_force"))
    both = bare.select(*key, "reason", F.lit(1).alias("bare")).join(there, [*key, "reason"], "full")
    reasons = both.groupBy("kind", "reason").agg(
        F.count("in_force").alias("in_force"),
        F.count("bare").alias("bare"),
        F.count_if(F.col("in_force").isNull()).alias("kept_out"),
    )
    return months.agg(F.count("*").alias("events")), reasons


def collect(lake: Lake, settings: Settings, first: date, last: date) -> Account:
    """Count over silver.bars_1d and gold.events. Raises BadInput where there is nothing of the range to count."""
    for name in ("silver.bars_1d", "gold.events"):
        if not lake.exists(name):
            raise BadInput(f"{name} not written yet: refine and detect first.")
    range_ = between("session_date", first, last)
    bars = lake.read("silver.bars_1d").where(F.col("session_date") <= F.lit(last))
    events = lake.read("gold.events").where("grain = 'daily'").where(range_)
    if events.isEmpty():
        raise BadInput(f"gold.events has no daily events from {first} to {last}. Run `smallcaps detect daily` first.")
    of_days = days(bars, settings.floor).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        in_force = judged(events, of_days).persist(StorageLevel.MEMORY_AND_DISK)
        months, reasons = counted(in_force, judged(bare_events(bars, settings).where(range_), of_days))
        (row,) = of_days.where(range_).agg(F.countDistinct("session_date"), F.count_if("floored")).collect()
        sessions, floored = row
        in_turn = "(PARTITION BY security_id ORDER BY session_number)"
        with_event = in_force.select("security_id", "session_number").distinct()
        since = with_event.selectExpr(f"session_number - lag(session_number) OVER {in_turn} AS since")
        (row,) = since.agg(F.count("*"), F.count_if(F.col("since") <= REPEATS_WITHIN)).collect()
        symbol_days, repeats = row
        busiest = in_force.groupBy("session_date").agg(F.count("*").alias("events"))
        return Account(
            *(first, last, sessions, floored, symbol_days, repeats),
            months.toPandas().sort_values(["month", "kind", "band"], ignore_index=True),
            reasons.toPandas(),
            busiest.orderBy(F.desc("events"), "session_date").limit(BUSIEST).toPandas(),
        )
    finally:
        of_days.unpersist()


def write_account(lake: Lake, settings: Settings, first: date, last: date, page: Path | None) -> Account:
    """Count, and write the page where one is named (its folder is made if need be)."""
    account = collect(lake, settings, first, last)
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(render(account), encoding="utf-8")
    return account


def bands(account: Account) -> pd.DataFrame:
    """Events of each kind by price band."""
    table = account.counts.pivot_table(index="kind", columns="band", values="events", aggfunc="sum", fill_value=0)
    return table.reindex(index=list(PUBLISHED), columns=list(BANDS), fill_value=0)


def why(account: Account, which: str = "kept_out") -> pd.DataFrame:
    """Events of each reason by kind, and all of them, in the order in which reasons are asked: those kept out, or in_force."""
    table = account.reasons.pivot_table(index="reason", columns="kind", values=which, aggfunc="sum", fill_value=0)
    table = table.reindex(index=list(REASONS), columns=list(PUBLISHED), fill_value=0)
    return table.assign(all=table.sum(axis=1))


def render(account: Account) -> str:
    """The page as HTML: no reads, no clock, no outside resources."""
    months = account.counts.rename(columns={"kind": "detector"})
    figures = {
        "months": charts.fragment(charts.months_chart(months), "Events by month"),
        "reasons": charts.fragment(_reasons_chart(account), "What floor and splits keep out, by reason"),
    }
    return render_page(
        "detector_account.html",
        account=account,
        figures=figures,
        rates=account.rates.to_dict("records"),
        bands=bands(account),
        kept_out=why(account),
        in_force=why(account, "in_force"),
        words_of=REASONS,
        filters=FILTERS,
        source_events=SOURCE_EVENTS,
        published_days=PUBLISHED_DAYS_A_YEAR,
        repeats_within=REPEATS_WITHIN,
    )


def _reasons_chart(account: Account) -> go.Figure:
    """Events kept out, a bar a reason, kinds stacked."""
    table = why(account).iloc[::-1]
    colours = ("#124e82", "#1f6fb2", "#a9cbe8", "#d9730d", "#ecc89b")
    figure = go.Figure()
    for kind, colour in zip(PUBLISHED, colours, strict=True):
        figure.add_bar(
            y=[reason.replace("_", " ") for reason in table.index],
            x=table[kind].tolist(),
            name=kind.replace("_", " "),
            orientation="h",
            marker={"color": colour},
            hovertemplate="%{y}, " + kind.replace("_", " ") + ": %{x:,}<extra></extra>",
        )
    charts.dress(figure, 60 + 36 * len(table))
    figure.update_layout(barmode="stack", showlegend=True, margin={"l": 210}, legend={"orientation": "h", "y": 1.08})
    return figure
