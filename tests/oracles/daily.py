"""The four daily detectors a second time, without Spark: DuckDB SQL and one numpy fold.

Written from the definitions of the domain alone; the Spark detectors are compared with it.
How one run goes:

1. Each split is put on the first bar at or after its ex-date. `f` of a bar is the product of
   the splits between it and the bar before; `cum` is the running product of `f`, so a value of
   bar s in units of bar t is value x cum(t) / cum(s) for prices, and / for volumes.
2. True ranges, and Wilder's ATR as a fold over the last 300 of them (numpy).
3. Trailing context: previous bar, medians over the bars of the 20 previous sessions, mean range
   of the 20 previous bars.
4. The liquidity floor, then one SELECT a detector.

Readings. The domain gives counts for 2015-03-20 ... 2016-06-30. They are reproduced exactly
(2,588 / 6,148 / 4,025 / 807 / 908, and its "7 of 31 split days") by the readings below with
all 299 splits applied and nothing rounded. The defaults here, the contradicted splits left out
and rounding on, give 2,593 / 6,157 / 4,023 / 815 / 919, all within 1.3 %.

- floor: previous close unscaled, 1 and 20 included; the medians count zero-volume bars; the
  previous XNYS session must have a bar and that bar volume
- zero-volume bars belong to the series (true ranges, means, medians, and day t itself)
- mean range: up to 20 previous *bars*, fewer at the start (demanding all 20: 2.9 % short)
- relative volume: median over the bars of the 20 previous *sessions*, at least 10
- ATR: null unless bar t-1 is at least the 30th of its series. ATR breakout then cannot fire;
  flush and blow-off take the larger of what is known, so 10 % of the open alone
  (demanding an ATR there too: 4.2 % and 5.2 % short)
- rounding to 9 digits: every compared quantity, both sides of a comparison
"""

from pathlib import Path

import duckdb
import exchange_calendars
import numpy as np
import pandas as pd

PARAMETERS = {
    # liquidity floor
    "price_min": 1.0,
    "price_max": 20.0,
    "dollar_volume_min": 250_000.0,
    "baseline_sessions": 20,
    "baseline_bars_min": 10,
    # average true range
    "atr_bars": 14,
    "atr_fold": 300,
    "atr_bars_min": 30,
    # detectors
    "gap_min": 0.10,
    "range_bars": 20,
    "range_multiple": 2.5,
    "range_return_min": 0.08,
    "range_rvol_min": 2.0,
    "atr_multiple": 2.0,
    "atr_return_min": 0.08,
    "atr_rvol_min": 2.0,
    "flush_return_min": 0.10,
    "flush_retrace_min": 0.5,
    "flush_clv_min": 0.6,
    "flush_rvol_min": 1.5,
}

COLUMNS = [
    "symbol", "session_date", "detector", "direction", "strength", "price", "pct_change",
    "gap_pct", "atr", "relative_volume", "rvol_n", "dollar_volume",
]  # fmt: skip

# Half-even to 9 significant digits. NULL and 0 pass through.
ROUND_MACRO = """
CREATE MACRO r9(x) AS CASE
    WHEN x = 0 THEN 0.0
    ELSE round_even(x * pow(10.0, 8 - floor(log10(abs(x)))), 0)
         / pow(10.0, 8 - floor(log10(abs(x))))
END
"""

# `f`: what changed between the previous bar and this one; `cum`: the running product.
SERIES_SQL = """
CREATE TABLE series AS
WITH bar AS (
    SELECT b.symbol, b.session_date, s.n, b.open, b.high, b.low, b.close, b.volume,
           row_number() OVER past AS k,
           lag(b.close) OVER past AS close_before
    FROM bars b JOIN sessions s USING (session_date)
    WINDOW past AS (PARTITION BY b.symbol ORDER BY s.n)
),
effective AS (
    SELECT bar.symbol, bar.session_date, product(split.price_factor) AS f
    FROM splits split ASOF JOIN bar
      ON split.symbol = bar.symbol AND split.ex_date <= bar.session_date
    GROUP BY ALL
),
factored AS (
    -- a split before the first bar changes nothing that can be seen
    SELECT bar.*, CASE WHEN k = 1 THEN 1.0 ELSE coalesce(f, 1.0) END AS f
    FROM bar LEFT JOIN effective USING (symbol, session_date)
)
SELECT *,
       product(f) OVER (PARTITION BY symbol ORDER BY n
                        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS cum,
       CASE WHEN k = 1 THEN high - low
            ELSE greatest(high - low,
                          abs(high - close_before * f),
                          abs(low - close_before * f)) END AS true_range
FROM factored
ORDER BY symbol, n
"""

# Everything a detector may look at, in units of day t. `atr` is that of bar t-1.
CONTEXT_SQL = """
CREATE TABLE context AS
SELECT symbol, session_date, n, open, high, low, close, volume, f,
       close_before,
       close_before * f AS reference,
       lag(volume) OVER past AS volume_before,
       lag(n) OVER past AS n_before,
       CASE WHEN k - 1 >= $atr_bars_min
            THEN r9(lag(atr_over_cum) OVER past * cum) END AS atr,
       avg((high - low) / cum) OVER (past ROWS BETWEEN $range_bars PRECEDING
                                                   AND 1 PRECEDING) * cum AS mean_range,
       count(*) OVER baseline AS baseline_bars,
       median(close * volume) OVER baseline AS trailing_dollar_volume,
       median(volume * cum) OVER baseline / cum AS median_volume
FROM series
WINDOW past AS (PARTITION BY symbol ORDER BY n),
       baseline AS (PARTITION BY symbol ORDER BY n
                    RANGE BETWEEN $baseline_sessions PRECEDING AND 1 PRECEDING)
"""

FLOOR_SQL = """
CREATE TABLE floored AS
SELECT *,
       r9(abs(open / reference - 1)) AS gap_size,
       r9(open / reference - 1) AS gap_pct,
       r9(abs(close / reference - 1)) AS return_size,
       r9(close / reference - 1) AS pct_change,
       CASE WHEN baseline_bars >= $baseline_bars_min AND median_volume > 0
            THEN r9(volume / median_volume) END AS rvol
FROM context
WHERE close_before BETWEEN $price_min AND $price_max
  AND baseline_bars >= $baseline_bars_min
  AND r9(trailing_dollar_volume) >= $dollar_volume_min
  AND n_before = n - 1 AND volume_before > 0
"""

# (what moved, what it must reach) a detector; greatest() skips a missing ATR.
EVENTS_SQL = """
WITH gap AS (
    SELECT *, 'gap' AS detector, sign(gap_pct) AS direction,
           gap_size AS measured, $gap_min AS threshold
    FROM floored
    WHERE gap_size >= $gap_min
),
range_explosion AS (
    SELECT *, 'range_explosion' AS detector, sign(close - open) AS direction,
           r9(high - low) AS measured, r9($range_multiple * mean_range) AS threshold
    FROM floored
    WHERE r9(high - low) >= r9($range_multiple * mean_range)
      AND r9(high - low) >= r9($range_return_min * reference)
      AND rvol >= $range_rvol_min
),
atr_breakout AS (
    SELECT *, 'atr_breakout' AS detector, sign(pct_change) AS direction,
           r9(abs(close - reference)) AS measured, r9($atr_multiple * atr) AS threshold
    FROM floored
    WHERE r9(abs(close - reference)) > r9($atr_multiple * atr)
      AND return_size >= $atr_return_min
      AND rvol >= $atr_rvol_min
),
flush AS (
    SELECT *, 'flush_reversal' AS detector, 1 AS direction,
           r9(open - low) AS measured,
           r9(greatest(atr, $flush_return_min * open)) AS threshold
    FROM floored
    WHERE high > low
      AND r9(open - low) >= r9(greatest(atr, $flush_return_min * open))
      AND r9(close - low) >= r9($flush_retrace_min * (open - low))
      AND r9((close - low) / (high - low)) >= $flush_clv_min
      AND rvol >= $flush_rvol_min
),
blow_off AS (
    SELECT *, 'flush_reversal' AS detector, -1 AS direction,
           r9(high - open) AS measured,
           r9(greatest(atr, $flush_return_min * open)) AS threshold
    FROM floored
    WHERE high > low
      AND r9(high - open) >= r9(greatest(atr, $flush_return_min * open))
      AND r9(high - close) >= r9($flush_retrace_min * (high - open))
      AND r9((high - close) / (high - low)) >= $flush_clv_min
      AND rvol >= $flush_rvol_min
),
fired AS (
    FROM gap UNION ALL FROM range_explosion UNION ALL FROM atr_breakout
    UNION ALL FROM flush UNION ALL FROM blow_off
)
SELECT symbol, session_date, detector, CAST(direction AS INTEGER) AS direction,
       r9(measured / threshold) AS strength,
       -- a gap is known at the open: nothing of day t but the open
       CASE WHEN detector = 'gap' THEN open ELSE close END AS price,
       CASE WHEN detector = 'gap' THEN gap_pct ELSE pct_change END AS pct_change,
       gap_pct,
       atr,
       CASE WHEN detector <> 'gap' THEN rvol END AS relative_volume,
       baseline_bars AS rvol_n,
       r9(CASE WHEN detector = 'gap' THEN trailing_dollar_volume
               ELSE close * volume END) AS dollar_volume
FROM fired
ORDER BY symbol, session_date, detector, direction
"""

CONTRADICTION_SQL = """
WITH overnight AS (
    SELECT symbol, session_date, open,
           lag(close) OVER (PARTITION BY symbol ORDER BY session_date) AS close_before
    FROM bars
)
SELECT split.*,
       r9(abs(ln(o.open / o.close_before))) AS without_split,
       r9(abs(ln(o.open / (o.close_before * split.price_factor)))) AS with_split
FROM splits split ASOF LEFT JOIN overnight o
  ON split.symbol = o.symbol AND split.ex_date <= o.session_date
ORDER BY split.symbol, split.ex_date
"""


def daily_events(bars: pd.DataFrame, splits: pd.DataFrame, parameters: dict | None = None) -> pd.DataFrame:
    """The events of all four detectors on clean, as-traded bars; all `splits` are applied."""
    unknown = set(parameters or {}) - set(PARAMETERS)
    if unknown:
        raise ValueError(f"unknown parameters: {sorted(unknown)}")
    p = PARAMETERS | (parameters or {})
    if bars.duplicated(["symbol", "session_date"]).any():
        raise ValueError("more than one bar for a (symbol, session_date)")
    if bars.empty:
        return pd.DataFrame(columns=COLUMNS)

    with _database(bars, splits) as db:
        db.register("sessions", _sessions(bars["session_date"]))
        db.execute(SERIES_SQL)
        series = db.execute("SELECT symbol, n, cum, true_range FROM series ORDER BY symbol, n").df()
        series["atr_over_cum"] = _wilder_fold(
            (series["true_range"] / series["cum"]).to_numpy(),
            series["symbol"].ne(series["symbol"].shift()).to_numpy(),
            p["atr_bars"],
            p["atr_fold"],
        )
        db.register("atr", series[["symbol", "n", "atr_over_cum"]])
        # NaN (too few bars) is a number to SQL, NULL is not
        db.execute(
            "CREATE OR REPLACE TABLE series AS "
            "SELECT series.*, CASE WHEN NOT isnan(atr_over_cum) THEN atr_over_cum END "
            "AS atr_over_cum FROM series JOIN atr USING (symbol, n)"
        )
        for statement in (CONTEXT_SQL, FLOOR_SQL):
            db.execute(_filled(statement, p))
        events = db.execute(_filled(EVENTS_SQL, p)).df()
    events["session_date"] = pd.to_datetime(events["session_date"]).dt.date
    return events[COLUMNS]


def apply_price_contradiction(bars: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """The splits to apply: those whose overnight log return is not larger with them than without.

    Overnight is from the last close before the ex-date to the first open at or after it. Each
    split is judged alone; one without a bar on either side is kept, nothing contradicts it.
    """
    with _database(bars, splits) as db:
        judged = db.execute(CONTRADICTION_SQL).df()
    contradicted = judged["with_split"] > judged["without_split"]  # NaN compares as false
    kept = judged.loc[~contradicted, list(splits.columns)].reset_index(drop=True)
    kept["ex_date"] = pd.to_datetime(kept["ex_date"]).dt.date
    return kept


def load_market(root: str | Path) -> pd.DataFrame:
    """Clean daily bars of the flat files under `root`, the data folder (../shared/data)."""
    folder = Path(root) / "flatfiles" / "us_stocks_sip" / "day_aggs_v1"
    # all text and no null string that could occur: `NA` and `TRUE` are tickers
    text = duckdb.sql(
        f"""
        SELECT ticker AS symbol, CAST(window_start AS BIGINT) AS window_start,
               CAST(open AS DOUBLE) AS open, CAST(high AS DOUBLE) AS high,
               CAST(low AS DOUBLE) AS low, CAST(close AS DOUBLE) AS close,
               CAST(volume AS DOUBLE) AS volume
        FROM read_csv('{folder}/*/*/*.csv.gz', header = true, all_varchar = true,
                      nullstr = '<no value is null>')
        """
    ).df()
    starts = text["window_start"].drop_duplicates()
    new_york = pd.to_datetime(starts, unit="ns", utc=True).dt.tz_convert("America/New_York").dt.date
    text["session_date"] = text["window_start"].map(dict(zip(starts, new_york, strict=True)))
    return clean_bars(text.drop(columns="window_start"))


def clean_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """What silver keeps: positive consistent prices, XNYS sessions, one row of exact duplicates."""
    prices = bars[["open", "high", "low", "close"]]
    inside = bars[["open", "close"]].ge(bars["low"], axis=0) & bars[["open", "close"]].le(bars["high"], axis=0)
    on_session = bars["session_date"].isin(set(_sessions(bars["session_date"])["session_date"].dt.date))
    good = prices.gt(0).all(axis=1) & (bars["high"] >= bars["low"]) & inside.all(axis=1) & on_session
    columns = ["symbol", "session_date", "open", "high", "low", "close", "volume"]
    kept = bars.loc[good, columns].drop_duplicates()
    return kept.sort_values(["symbol", "session_date"], ignore_index=True)


def load_splits(csv: str | Path) -> pd.DataFrame:
    """The derived split events: ex-date = the XNYS session after `last_pre_split_date`."""
    text = pd.read_csv(csv, dtype=str, keep_default_na=False)
    last = pd.to_datetime(text["last_pre_split_date"])
    sessions = _sessions(last, margin_days=10)["session_date"]
    after = sessions.to_numpy().searchsorted(last.to_numpy().astype("datetime64[ns]"), side="right")
    return pd.DataFrame(
        {
            "symbol": text["symbol"],
            "ex_date": sessions.iloc[after].dt.date.to_numpy(),
            "price_factor": text["factor"].astype(float),
        }
    )


def _wilder_fold(true_range: np.ndarray, first_of_series: np.ndarray, length: int, fold: int) -> np.ndarray:
    """ATR of every bar from exactly its last `fold` true ranges (fewer at the start).

    All bars advance together: step i adds the i-th true range of each bar's own window.
    """
    bar = np.arange(len(true_range))
    series_start = np.maximum.accumulate(np.where(first_of_series, bar, 0))
    window_start = np.maximum(series_start, bar - fold + 1)

    seed = sum(true_range[np.minimum(window_start + i, bar)] for i in range(length)) / length
    atr = np.where(bar - window_start + 1 >= length, seed, np.nan)
    for i in range(length, fold):
        at = window_start + i
        within = np.flatnonzero(at <= bar)
        atr[within] = ((length - 1) * atr[within] + true_range[at[within]]) / length
    return atr


def _sessions(dates: pd.Series, margin_days: int = 0) -> pd.DataFrame:
    """XNYS sessions from the first date to the last, numbered."""
    first, last = pd.Timestamp(min(dates)), pd.Timestamp(max(dates))
    margin = pd.Timedelta(days=10)  # the calendar must hold a session, the range need not
    calendar = exchange_calendars.get_calendar("XNYS", start=first - margin, end=last + margin)
    sessions = calendar.sessions
    sessions = sessions[(sessions >= first) & (sessions <= last + pd.Timedelta(days=margin_days))]
    return pd.DataFrame({"session_date": sessions, "n": np.arange(len(sessions))})


def _database(bars: pd.DataFrame, splits: pd.DataFrame) -> duckdb.DuckDBPyConnection:
    """An empty database that sees the two frames, their dates as dates."""
    db = duckdb.connect()
    db.execute("SET threads = 2")
    db.execute(ROUND_MACRO)
    for name, frame, date in (("bars", bars, "session_date"), ("splits", splits, "ex_date")):
        db.register("given", frame.assign(**{date: pd.to_datetime(frame[date])}))
        db.execute(f"CREATE TABLE {name} AS SELECT * REPLACE (CAST({date} AS DATE) AS {date}) FROM given")
        db.unregister("given")
    return db


def _filled(statement: str, parameters: dict) -> str:
    """The statement with each `$name` replaced by its number (longest names first)."""
    for name in sorted(parameters, key=len, reverse=True):
        statement = statement.replace(f"${name}", repr(parameters[name]))
    return statement
