"""The minute detectors of docs/detectors.md, written again by hand: in SQL for Spark and DuckDB, and in Polars.

`statement` is one text for both engines. With sliding frames it is what one writes first: each value by the frame that its
definition names. With running sums a value over the last minutes is the difference of two sums from the segment's start, but for
the squared returns of an hour, of which a difference of doubles would tell other ninth digits. Both yield the columns COLUMNS of
each event; an event's id follows from them and costs nothing, so it is left out.
"""

from collections.abc import Iterable
from pathlib import Path

import polars as pl

from smallcaps.detectors.expressions import ten_thousandths
from smallcaps.refine.rounding import significant

KEY = ("security_id", "session_date", "ts", "detector")
NUMBERS = (
    *("direction", "strength", "price", "volume", "dollar_volume", "pct_change", "atr", "vwap_distance"),
    *("relative_volume", "rvol_n", "minutes_since_open"),
)
COLUMNS = (*KEY, "symbol", "baseline", *NUMBERS)
RANGES = (5, 15, 30)
"""Minutes of the opening ranges."""

WINDOWS = {
    "day": "PARTITION BY security_id, session_date ORDER BY session_order, segment, minute "
    "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "session_so_far": "PARTITION BY security_id, session_date, session_order ORDER BY segment, minute "
    "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
    "session_before": "PARTITION BY security_id, session_date, session_order ORDER BY segment, minute "
    "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
    **{
        name: f"PARTITION BY security_id, session_date, session_order, segment ORDER BY minute {frame}".strip()
        for name, frame in {
            "bars_in_order": "",
            "so_far": "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
            "six_bars": "ROWS BETWEEN 6 PRECEDING AND 1 PRECEDING",
            "to_1_ago": "RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING",
            "to_5_ago": "RANGE BETWEEN UNBOUNDED PRECEDING AND 5 PRECEDING",
            "to_20_ago": "RANGE BETWEEN UNBOUNDED PRECEDING AND 20 PRECEDING",
            "to_65_ago": "RANGE BETWEEN UNBOUNDED PRECEDING AND 65 PRECEDING",
            "five": "RANGE BETWEEN 4 PRECEDING AND CURRENT ROW",
            "five_before": "RANGE BETWEEN 5 PRECEDING AND 1 PRECEDING",
            "fifteen_before": "RANGE BETWEEN 15 PRECEDING AND 1 PRECEDING",
            "nineteen_before": "RANGE BETWEEN 19 PRECEDING AND 1 PRECEDING",
            "twenty": "RANGE BETWEEN 19 PRECEDING AND CURRENT ROW",
            "hour": "RANGE BETWEEN 64 PRECEDING AND 5 PRECEDING",
        }.items()
    },
}

DUCKDB_MACROS = """
CREATE OR REPLACE MACRO sig9(x) AS coalesce(
  round_even(x * pow(10, 8 - floor(log10(abs(nullif(x, 0))))), 0) / pow(10, 8 - floor(log10(abs(nullif(x, 0))))), x)
"""


class Dialect:
    """What Spark and DuckDB spell differently."""

    def __init__(self, spark: bool) -> None:
        self.spark = spark

    def whole(self, price: str) -> str:
        """A price in 1/10,000 $; DuckDB adds doubles, which are exact here, faster than its wide integers."""
        return ten_thousandths(price) if self.spark else f"round_even(round_even({price} * 1000000, 0) / 100, 0)"

    def sig9(self, name: str) -> str:
        return significant(name) if self.spark else f"sig9({name})"

    @property
    def volume(self) -> str:
        return "volume" if self.spark else "volume::DOUBLE"


def _ago(total: str, running: bool, frame: str, since: str, until: str = "so_far") -> str:
    """An aggregate over the last minutes: by its own frame, or as the difference of two that begin with the segment."""
    if running:
        return f"coalesce({total} OVER {until}, 0) - coalesce({total} OVER {since}, 0)"
    return f"coalesce({total} OVER {frame}, 0)"


def statement(spark: bool, running: bool, detectors: Iterable[str] | None = None) -> str:
    """The events of views bars, baselines and curves: of all detectors or of those named, and what these need."""
    dialect = Dialect(spark)
    whole = dialect.whole
    conditions = {name: CONDITIONS[name] for name in detectors or CONDITIONS}
    outcomes = {name: OUTCOMES[name] for name in conditions}

    def recent(name: str) -> str:
        return f"coalesce(bool_or(met_{name}) OVER fifteen_before, false) AS recent_{name}"

    levels = {
        "labelled": f"""
SELECT b.security_id, b.symbol, b.session_date, b.ts, b.session, b.segment, b.segment_start, b.minute, b.open, b.close,
  b.{dialect.volume} AS volume, b.is_auction,
  {whole("b.high")} AS p_high, {whole("b.low")} AS p_low, {whole("b.close")} AS p_close,
  CASE b.session WHEN 'pre' THEN 0 WHEN 'regular' THEN 1 ELSE 2 END AS session_order,
  u.bars AS history_bars, u.median_volume, c.volume_share, c.volume_share_5m
FROM bars AS b LEFT JOIN baselines AS u ON u.security_id = b.security_id AND u.session_date = b.session_date
LEFT JOIN curves AS c ON c.session_date = b.session_date AND c.minute = b.minute""",
        "priced": """
SELECT *, (p_high + p_low + p_close) * volume AS typical,
  CASE WHEN p_close >= 10000 THEN 100 ELSE 1 END AS tick FROM labelled""",
        "seen": f"""
SELECT *, {_ago("sum(volume)", running, "five", "to_5_ago")} AS volume_5m,
  {_ago("sum(typical)", running, "five", "to_5_ago")} AS typical_5m,
  sum(volume) OVER to_5_ago AS volume_to_5_ago, sum(volume) OVER to_1_ago AS volume_to_1_ago,
  last_value(close) OVER to_5_ago AS close_5_ago, lag(close) OVER bars_in_order AS previous_close,
  lag(p_close) OVER bars_in_order AS previous_p_close, lead(minute) OVER bars_in_order AS next_minute,
  {_ago("count(*)", running, "twenty", "to_20_ago")} AS bars_20m,
  {_ago("count(*)", running, "hour", "to_65_ago", "to_5_ago")} AS bars_hour,
  first_value(minute) OVER so_far AS first_minute, first_value(minute) OVER twenty AS first_of_20,
  last_value(p_close) OVER to_20_ago AS p_close_20_ago,
  max(p_high) OVER six_bars AS box_high, min(p_low) OVER six_bars AS box_low, count(*) OVER six_bars AS box_bars,
  sum(typical) OVER session_so_far AS session_typical, sum(volume) OVER session_so_far AS session_volume,
  first_value(segment_start) OVER session_so_far AS session_start, first_value(open) OVER session_so_far AS first_open,
  sum(typical) OVER day AS day_typical, sum(volume) OVER day AS day_volume
FROM priced""",
        "derived": """
SELECT *, typical_5m / 30000 AS dollars_exact,
  coalesce(minute - segment_start >= 4 AND median_volume * volume_share_5m > 0, false) AS of_history,
  coalesce(nullif(median_volume * volume_share, 0), CASE WHEN minute - segment_start >= 30
    THEN nullif(volume_to_1_ago / (minute - segment_start), 0) END) AS expected_1m,
  close / close_5_ago - 1 AS change_exact, ln(close / close_5_ago) AS return_5m_exact,
  coalesce(ln(close / previous_close), 0) AS return_exact,
  greatest(p_high, previous_p_close) - least(p_low, previous_p_close) AS true_range,
  session_typical / (30000 * nullif(session_volume, 0)) AS vwap_exact,
  day_typical / (30000 * nullif(day_volume, 0)) AS day_vwap_exact,
  p_close * (next_minute - minute) AS held, p_close * p_close * (next_minute - minute) AS held_squared,
  CASE WHEN session = 'regular' THEN minute - session_start END AS session_minute
FROM seen""",
        "expected": f"""
SELECT *, volume_5m / nullif(CASE WHEN of_history THEN median_volume * volume_share_5m
    WHEN minute - 4 - segment_start >= 30 THEN 5 * volume_to_5_ago / (minute - 4 - segment_start) END, 0) AS relative_exact,
  volume / (1.5 * expected_1m) AS multiple_exact,
  {dialect.sig9("return_exact")} AS log_return, {dialect.sig9("return_5m_exact")} AS log_return_5m,
  {dialect.sig9("vwap_exact")} AS vwap, {dialect.sig9("day_vwap_exact")} AS day_vwap,
  {dialect.sig9("dollars_exact")} AS dollars_5m, {dialect.sig9("change_exact")} AS change_5m
FROM derived""",
        "sided": f"""
SELECT *, sign(close - vwap) AS side, sign(close - day_vwap) AS day_side, close / vwap - 1 AS distance_exact,
  log_return * log_return AS squared,
  {dialect.sig9("relative_exact")} AS relative_volume,
  {dialect.sig9("multiple_exact")} AS multiple
FROM expected""",
        "ranged": f"""
SELECT *, {_ago("sum(true_range)", running, "twenty", "to_20_ago")} AS ranges_20m,
  sum(squared) OVER hour AS squares,
  {_ago("sum(held)", running, "nineteen_before", "to_20_ago", "to_1_ago")} AS held_19m,
  {_ago("sum(held_squared)", running, "nineteen_before", "to_20_ago", "to_1_ago")} AS held_squared_19m,
  last_value(side) OVER to_5_ago AS side_5_ago,
  min(side) OVER five_before AS lowest_side, max(side) OVER five_before AS highest_side,
  last_value(day_side) OVER to_5_ago AS day_side_5_ago,
  min(day_side) OVER five_before AS lowest_day_side, max(day_side) OVER five_before AS highest_day_side,
  {
            ", ".join(
                f'''max(CASE WHEN session_minute < {n} THEN p_high END) OVER session_so_far AS high_{n},
  min(CASE WHEN session_minute < {n} THEN p_low END) OVER session_so_far AS low_{n},
  count(CASE WHEN session_minute < {n} THEN 1 END) OVER session_so_far AS bars_{n}'''
                for n in RANGES
            )
        }
FROM sided""",
        "measured": f"""
SELECT *, CASE WHEN bars_20m >= 10 THEN ranges_20m / (10000 * bars_20m) END AS atr_exact,
  CASE WHEN bars_hour >= 15 THEN sqrt(squares / least(60, minute - 4 - segment_start)) END AS sigma_exact,
  held_19m + p_close + coalesce(p_close_20_ago * (first_of_20 - minute + 19), 0) AS sum_20m,
  held_squared_19m + p_close * p_close
    + coalesce(p_close_20_ago * p_close_20_ago * (first_of_20 - minute + 19), 0) AS sum_squared_20m,
  {
            ", ".join(
                f'''(high_{n} - low_{n}) / (100 * first_open) AS width_exact_{n},
  coalesce(session_minute >= {n} AND (p_close > high_{n} OR p_close < low_{n}), false) AS beyond_{n}'''
                for n in RANGES
            )
        }
FROM ranged""",
        "rounded": f"""
SELECT *, {dialect.sig9("atr_exact")} AS atr, {dialect.sig9("sigma_exact")} AS sigma, {
            dialect.sig9("distance_exact")
        } AS vwap_distance,
  2 * CASE WHEN first_minute <= minute - 19
    THEN sqrt((20 * sum_squared_20m - sum_20m * sum_20m) / 400) / 10000 END AS bollinger_exact,
  {
            ", ".join(
                f'''{dialect.sig9(f"width_exact_{n}")} AS width_{n},
  coalesce(bool_or(beyond_{n}) OVER session_before, false) AS beyond_before_{n}'''
                for n in RANGES
            )
        }
FROM measured""",
        "margins": """
SELECT *, 1.5 * atr AS keltner_exact, abs(log_return_5m) / nullif(4 * sigma * sqrt(5), 0) AS momentum_exact,
  abs(close - vwap) / greatest(2 * tick / 10000, 0.25 * sqrt(5) * atr) AS break_exact,
  abs(close - day_vwap) / greatest(2 * tick / 10000, 0.25 * sqrt(5) * atr) AS day_break_exact,
  relative_volume / 8 AS spike_exact, relative_volume / 2 AS range_exact
FROM rounded""",
        "strengths": f"""
SELECT *, coalesce({dialect.sig9("bollinger_exact")} < {dialect.sig9("keltner_exact")}, false) AS squeezed,
  {dialect.sig9("momentum_exact")} AS momentum_strength, {dialect.sig9("spike_exact")} AS spike_strength,
  CASE WHEN atr IS NOT NULL THEN {dialect.sig9("break_exact")} END AS break_strength,
  CASE WHEN atr IS NOT NULL THEN {dialect.sig9("day_break_exact")} END AS day_break_strength,
  {dialect.sig9("range_exact")} AS range_strength
FROM margins""",
        "boxed": "SELECT *, bool_and(squeezed) OVER six_bars AS box_squeezed FROM strengths",
        "judged": "SELECT *, "
        + ", ".join(
            f"coalesce(NOT is_auction AND ({condition}), false) AS met_{name}" for name, condition in conditions.items()
        )
        + " FROM boxed",
    }
    any_met = " OR ".join(f"met_{name}" for name in conditions)
    recents = ", ".join(map(recent, conditions))
    if spark:
        levels["edges"] = f"SELECT *, {recents} FROM judged"
    else:
        levels["candidates"] = f"SELECT * FROM judged WHERE {any_met}"
        levels["edges"] = f"SELECT *, {recents} FROM candidates"
    texts = []
    for name, text in levels.items():
        used = [
            f"{one} AS ({frame})"
            for one, frame in WINDOWS.items()
            if f"OVER {one} " in text + " " or f"OVER {one}," in text
        ]
        window = "\nWINDOW " + ", ".join(used) if used else ""
        kept = " AS MATERIALIZED" if name == "edges" and not spark else " AS"
        texts.append(f"{name}{kept} ({text.strip()}{window})")
    common = (
        "symbol, security_id, session_date, ts, close AS price, cast(volume_5m AS bigint) AS volume, "
        "dollars_5m AS dollar_volume, change_5m AS pct_change, "
        "atr, vwap_distance, relative_volume, CASE WHEN of_history THEN history_bars END AS rvol_n, "
        "CASE WHEN relative_volume IS NULL THEN NULL WHEN of_history THEN 'history' ELSE 'session' END AS baseline, "
        "cast(minute - session_start AS double) AS minutes_since_open"
    )
    if spark:
        structs = ", ".join(
            f"struct(met_{name} AND NOT recent_{name} AS fires, '{name}' AS detector, cast({strength} AS double) AS strength, "
            f"cast({direction} AS int) AS direction)"
            for name, (strength, direction) in outcomes.items()
        )
        return (
            f"WITH {', '.join(texts)} SELECT {', '.join(COLUMNS)} FROM "
            f"(SELECT {common}, inline(array({structs})) FROM edges WHERE {any_met}) WHERE fires"
        )
    union = " UNION ALL ".join(
        f"SELECT {common}, '{name}' AS detector, {strength} AS strength, cast({direction} AS int) AS direction "
        f"FROM edges WHERE met_{name} AND NOT recent_{name}"
        for name, (strength, direction) in outcomes.items()
    )
    return f"WITH {', '.join(texts)} SELECT {', '.join(COLUMNS)} FROM ({union})"


def _crossing(prefix: str, strength: str, sessions: str) -> str:
    return (
        f"session IN ({sessions}) AND {strength} >= 1 AND multiple >= 1 AND "
        f"(({prefix}side = 1 AND {prefix}side_5_ago = -1 AND coalesce(highest_{prefix}side, -1) = -1) "
        f"OR ({prefix}side = -1 AND {prefix}side_5_ago = 1 AND coalesce(lowest_{prefix}side, 1) = 1))"
    )


CONDITIONS = {
    "volume_spike": "relative_volume >= 8 AND dollars_5m >= 50000",
    "vwap_break": _crossing("", "break_strength", "'regular'"),
    "vwap_break_premarket": _crossing("day_", "day_break_strength", "'pre', 'regular'"),
    "price_momentum": "momentum_strength >= 1 AND abs(log_return_5m) >= 0.02",
    "consolidation_break": (
        "box_bars = 6 AND box_squeezed AND box_high - box_low >= 4 * tick AND (p_close > box_high OR p_close < box_low) "
        "AND multiple >= 1"
    ),
    **{
        f"opening_range_break_{n}": (
            f"beyond_{n} AND NOT beyond_before_{n} AND bars_{n} >= 3 AND high_{n} - low_{n} >= 4 * tick AND width_{n} >= 1 "
            "AND relative_volume >= 2"
        )
        for n in RANGES
    },
}
OUTCOMES = {
    "volume_spike": ("spike_strength", "coalesce(sign(close - close_5_ago), 0)"),
    "vwap_break": ("break_strength", "side"),
    "vwap_break_premarket": ("day_break_strength", "day_side"),
    "price_momentum": ("momentum_strength", "sign(log_return_5m)"),
    "consolidation_break": ("multiple", "CASE WHEN p_close > box_high THEN 1 ELSE -1 END"),
    **{
        f"opening_range_break_{n}": ("range_strength", f"CASE WHEN p_close > high_{n} THEN 1 ELSE -1 END")
        for n in RANGES
    },
}
"""Of each detector its strength and its direction."""


def _nine(value: pl.Expr) -> pl.Expr:
    """Polars has no rounding half-even to a column's scale: ties of the ninth digit go to even by adding and taking away 2^52."""
    scale = pl.lit(10.0).pow(8 - value.abs().log10().floor())
    scaled = value * scale
    whole = (scaled.abs() + 2.0**52) - 2.0**52
    return pl.when(value == 0).then(0.0).otherwise(whole * value.sign() / scale)


def _whole(price: str) -> pl.Expr:
    millionths = (pl.col(price) * 1e6).round()
    return ((millionths / 100 + 2.0**52) - 2.0**52).cast(pl.Int64)


def polars_events(folder: Path) -> pl.DataFrame:
    """The same events by Polars. Frames of minutes become positions on one line, on which segments lie 10,000 apart: no window of
    minutes reaches across, and what lay so many minutes ago is found by one binary search a row. Running sums are over the
    segment or, for values of the session and the day, over those.
    """
    c = pl.col
    bars = pl.scan_parquet(folder / "bars" / "*" / "*.parquet", hive_partitioning=True, try_parse_hive_dates=True)
    parts = {"pre": 0, "regular": 1, "post": 2}
    rows = (
        bars.join(
            pl.scan_parquet(folder / "baselines.parquet").drop("symbol"), on=["security_id", "session_date"], how="left"
        )
        .join(pl.scan_parquet(folder / "curves.parquet"), on=["session_date", "minute"], how="left")
        .with_columns(
            *(_whole(name).alias(f"p_{name}") for name in ("high", "low", "close")),
            session_order=c("session").replace_strict(parts, return_dtype=pl.Int8),
        )
        .sort("security_id", "session_date", "session_order", "segment", "minute")
        .with_columns(
            day=pl.struct("security_id", "session_date").rle_id(),
            part=pl.struct("security_id", "session_date", "session_order").rle_id(),
            stretch=pl.struct("security_id", "session_date", "session_order", "segment").rle_id(),
        )
        .with_columns(
            at=c("stretch").cast(pl.Int64) * 10_000 + c("minute"),
            typical=(c("p_high") + c("p_low") + c("p_close")) * c("volume"),
            tick=pl.when(c("p_close") >= 10_000).then(100).otherwise(1),
            row=pl.int_range(pl.len(), dtype=pl.Int64),
        )
        .collect()
    )
    at = rows["at"]
    positions = {ago: at.search_sorted(at - ago, side="right").cast(pl.Int64) - 1 for ago in (1, 5, 20, 65)}
    rows = rows.with_columns(**{f"to_{ago}": position for ago, position in positions.items()})
    first = c("row").first().over("stretch")
    rows = rows.with_columns(first=first).with_columns(
        **{f"to_{ago}": pl.when(c(f"to_{ago}") >= c("first")).then(c(f"to_{ago}")) for ago in positions}
    )

    def then(name: str, ago: int) -> pl.Expr:
        return c(name).gather(c(f"to_{ago}"))

    def so_far(name: str, over: str = "stretch") -> pl.Expr:
        return c(name).cum_sum().over(over)

    def within(total: str, since: int, until: int | None = None) -> pl.Expr:
        end = c(total) if until is None else then(total, until).fill_null(0)
        return end - then(total, since).fill_null(0)

    def bars_in(since: int, until: int | None = None) -> pl.Expr:
        end = c("row") if until is None else c(f"to_{until}").fill_null(c("first") - 1)
        return end - c(f"to_{since}").fill_null(c("first") - 1)

    rows = rows.with_columns(
        *(so_far(name).alias(f"{name}_so_far") for name in ("volume", "typical")),
        *(so_far(name, "part").alias(f"session_{name}") for name in ("volume", "typical")),
        *(so_far(name, "day").alias(f"day_{name}") for name in ("volume", "typical")),
        *(c(name).shift(1).over("stretch").alias(f"previous_{name}") for name in ("close", "p_close", "minute")),
        first_p_close=c("p_close").first().over("stretch"),
        first_minute=c("minute").first().over("stretch"),
        session_start=c("segment_start").first().over("part"),
        first_open=c("open").first().over("part"),
        bars_20m=bars_in(20),
        bars_hour=bars_in(65, 5),
        close_5_ago=then("close", 5),
        box_bars=pl.min_horizontal(c("row") - c("first"), 6),
        box_high=c("p_high").shift(1).rolling_max(6),
        box_low=c("p_low").shift(1).rolling_min(6),
    )
    elapsed = c("minute") - 4 - c("segment_start")
    since_start = c("minute") - c("segment_start")
    usual_5m = c("median_volume") * c("volume_share_5m")
    usual_1m = c("median_volume") * c("volume_share")
    held = (c("minute") - c("previous_minute")).cast(pl.Int64)
    before = c("previous_p_close") - c("first_p_close")
    rows = rows.with_columns(
        volume_5m=within("volume_so_far", 5),
        dollars_5m=_nine(within("typical_so_far", 5) / 30_000),
        of_history=((since_start >= 4) & (usual_5m > 0)).fill_null(value=False),
        expected_1m=pl.coalesce(
            pl.when(usual_1m != 0).then(usual_1m),
            pl.when((since_start >= 30) & (c("volume_so_far") > c("volume"))).then(
                (c("volume_so_far") - c("volume")) / since_start
            ),
        ),
        change_5m=_nine(c("close") / c("close_5_ago") - 1),
        log_return=_nine((c("close") / c("previous_close")).log().fill_null(0.0)),
        log_return_5m=_nine((c("close") / c("close_5_ago")).log()),
        vwap=_nine(c("session_typical") / (30_000 * c("session_volume"))),
        day_vwap=_nine(c("day_typical") / (30_000 * c("day_volume"))),
        true_range=pl.max_horizontal("p_high", "previous_p_close") - pl.min_horizontal("p_low", "previous_p_close"),
        q=c("p_close") - c("first_p_close"),
        held=(before * held).fill_null(0),
        held_squared=(before * before * held).fill_null(0),
        session_minute=pl.when(c("session_order") == 1).then(c("minute") - c("session_start")),
    )
    volume_to_5 = then("volume_so_far", 5).fill_null(0)
    expected_5m = pl.when("of_history").then(usual_5m).when(elapsed >= 30).then(5 * volume_to_5 / elapsed)
    rows = rows.with_columns(
        relative_volume=_nine(c("volume_5m") / pl.when(expected_5m != 0).then(expected_5m)),
        multiple=_nine(c("volume") / (1.5 * c("expected_1m"))),
        side=(c("close") - c("vwap")).sign(),
        day_side=(c("close") - c("day_vwap")).sign(),
        vwap_distance=_nine(c("close") / c("vwap") - 1),
        ranges_so_far=so_far("true_range"),
        squares_so_far=(c("log_return") ** 2).cum_sum().over("stretch"),
        held_so_far=so_far("held"),
        held_squared_so_far=so_far("held_squared"),
        **{
            f"{name}_{n}": pl.when(c("session_minute") < n).then(c(f"p_{name}")).max().over("part")
            if name == "high"
            else pl.when(c("session_minute") < n).then(c(f"p_{name}")).min().over("part")
            for n in RANGES
            for name in ("high", "low")
        },
        **{f"bars_{n}": (c("session_minute") < n).sum().over("part") for n in RANGES},
    )
    # The line's minutes as an index of rolling frames: [t-5, t-1] is five to the left of t, without t.
    rows = rows.with_columns(
        atr=_nine(pl.when(c("bars_20m") >= 10).then(within("ranges_so_far", 20) / (10_000 * c("bars_20m")))),
        sigma=_nine(
            pl.when(c("bars_hour") >= 15).then(
                (within("squares_so_far", 65, 5) / pl.min_horizontal(60, elapsed)).sqrt()
            )
        ),
        q_20_ago=then("q", 20),
        minute_20_ago=then("minute", 20),
        **{
            f"{which}_{name}": getattr(c(name), f"rolling_{how}_by")("at", window_size="5i", closed="left")
            for name in ("side", "day_side")
            for which, how in (("lowest", "min"), ("highest", "max"))
        },
        **{f"{name}_5_ago": then(name, 5) for name in ("side", "day_side")},
        **{
            f"beyond_{n}": (
                (c("session_minute") >= n) & ((c("p_close") > c(f"high_{n}")) | (c("p_close") < c(f"low_{n}")))
            ).fill_null(value=False)
            for n in RANGES
        },
    )
    still = (c("minute") - 19 - c("minute_20_ago")).cast(pl.Int64)
    total = within("held_so_far", 20) + c("q") - (c("q_20_ago") * still).fill_null(0)
    squares = within("held_squared_so_far", 20) + c("q") ** 2 - (c("q_20_ago") ** 2 * still).fill_null(0)
    deviation = ((20 * squares - total**2) / 400).sqrt() / 10_000
    deviation = pl.when(c("first_minute") <= c("minute") - 19).then(deviation)
    margin = pl.max_horizontal(2 * c("tick") / 10_000, 0.25 * 5**0.5 * c("atr"))
    spread = 4 * c("sigma") * 5**0.5
    rows = rows.with_columns(
        squeezed=(_nine(2 * deviation) < _nine(1.5 * c("atr"))).fill_null(value=False),
        momentum_strength=_nine(c("log_return_5m").abs() / pl.when(spread != 0).then(spread)),
        break_strength=_nine(pl.when(c("atr").is_not_null()).then((c("close") - c("vwap")).abs() / margin)),
        day_break_strength=_nine(pl.when(c("atr").is_not_null()).then((c("close") - c("day_vwap")).abs() / margin)),
        spike_strength=_nine(c("relative_volume") / 8),
        range_strength=_nine(c("relative_volume") / 2),
        **{f"beyond_before_{n}": c(f"beyond_{n}").cast(pl.Int32).cum_sum().over("part") > 1 for n in RANGES},
    ).with_columns(box_squeezed=c("squeezed").cast(pl.Int8).shift(1).rolling_min(6) == 1)

    def crossing(prefix: str, strength: str, sessions: list[str]) -> pl.Expr:
        side, ago = c(f"{prefix}side"), c(f"{prefix}side_5_ago")
        up = (side == 1) & (ago == -1) & (c(f"highest_{prefix}side").fill_null(-1) == -1)
        down = (side == -1) & (ago == 1) & (c(f"lowest_{prefix}side").fill_null(1) == 1)
        return c("session").is_in(sessions) & (c(strength) >= 1) & (c("multiple") >= 1) & (up | down)

    range_of = {n: c(f"high_{n}") - c(f"low_{n}") for n in RANGES}
    conditions = {
        "volume_spike": (c("relative_volume") >= 8) & (c("dollars_5m") >= 50_000),
        "vwap_break": crossing("", "break_strength", ["regular"]),
        "vwap_break_premarket": crossing("day_", "day_break_strength", ["pre", "regular"]),
        "price_momentum": (c("momentum_strength") >= 1) & (c("log_return_5m").abs() >= 0.02),
        "consolidation_break": (
            (c("box_bars") == 6)
            & c("box_squeezed")
            & (c("box_high") - c("box_low") >= 4 * c("tick"))
            & ((c("p_close") > c("box_high")) | (c("p_close") < c("box_low")))
            & (c("multiple") >= 1)
        ),
        **{
            f"opening_range_break_{n}": c(f"beyond_{n}")
            & ~c(f"beyond_before_{n}")
            & (c(f"bars_{n}") >= 3)
            & (range_of[n] >= 4 * c("tick"))
            & (_nine(range_of[n] / (100 * c("first_open"))) >= 1)
            & (c("relative_volume") >= 2)
            for n in RANGES
        },
    }
    outcomes = {
        "volume_spike": ("spike_strength", (c("close") - c("close_5_ago")).sign().fill_null(0)),
        "vwap_break": ("break_strength", c("side")),
        "vwap_break_premarket": ("day_break_strength", c("day_side")),
        "price_momentum": ("momentum_strength", c("log_return_5m").sign()),
        "consolidation_break": ("multiple", pl.when(c("p_close") > c("box_high")).then(1).otherwise(-1)),
        **{
            f"opening_range_break_{n}": ("range_strength", pl.when(c("p_close") > c(f"high_{n}")).then(1).otherwise(-1))
            for n in RANGES
        },
    }
    found = []
    for name, condition in conditions.items():
        strength, direction = outcomes[name]
        met = rows.filter(condition.fill_null(value=False) & ~c("is_auction")).sort("at")
        recent = c("at").shift(1) >= c("at") - 15
        found.append(
            met.filter(~recent.fill_null(value=False)).select(
                *("symbol", "security_id", "session_date"),
                pl.lit(name).alias("detector"),
                "ts",
                direction.cast(pl.Int32).alias("direction"),
                c(strength).alias("strength"),
                c("close").alias("price"),
                c("volume_5m").alias("volume"),
                c("dollars_5m").alias("dollar_volume"),
                c("change_5m").alias("pct_change"),
                *("atr", "vwap_distance", "relative_volume"),
                pl.when("of_history").then(c("bars")).alias("rvol_n"),
                pl.when(c("relative_volume").is_not_null())
                .then(pl.when("of_history").then(pl.lit("history")).otherwise(pl.lit("session")))
                .alias("baseline"),
                (c("minute") - c("session_start")).cast(pl.Float64).alias("minutes_since_open"),
            )
        )
    return pl.concat(found)
