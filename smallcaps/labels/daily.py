"""Triple-barrier labels of daily events, from daily bars.

1. Entry: the next session's open, worse by the modelled half-spread. 2. Barriers: entry ± width × ATR14 of the event, in the
entry's shares. 3. Bar by bar to the horizon: a bar that opens beyond a barrier fills there at the open; one that reaches
one barrier fills at it; one that reaches both is unresolved. 4. No barrier by the horizon: none, at the last close. A name
that disappears while the market goes on, and is not back in a quarter, is closed at its last close × (1 + delisting return).
5. `gave_back`: beyond the extreme of the event's own session, half of the way from the event's price to the new extreme was
given back, on a later bar or by the same bar's close.
Prices of later days are carried back into the event day's shares by the ratio of cumulative factors.
"""

from datetime import date, timedelta

from pyspark.sql import DataFrame

from smallcaps.config import Settings
from smallcaps.config.settings import LabelSettings
from smallcaps.lake import Lake, between, declared, recorded_run

QUARTER = 63
"""So many sessions after the longest horizon a name may come back and was not gone; no later bar changes a label."""


def daily_labels(events: DataFrame, bars: DataFrame, labels: LabelSettings) -> DataFrame:
    """gold.event_labels (without run_id) of the daily-grain rows of gold.events, from silver.bars_1d. Pure.

    Events without direction or ATR have no barriers and get no labels.
    """
    spark = events.sparkSession
    daily = events.where("grain = 'daily' AND direction <> 0 AND atr > 0")
    columns = ("event_id", "security_id", "symbol", "session_date", "direction", "price", "atr")
    daily.select(*columns).createOrReplaceTempView("label_events")
    # A security goes on under another symbol.
    bars.drop("symbol").createOrReplaceTempView("label_bars")
    return spark.sql(_statement(labels)).select(*[column.name for column in declared("gold.event_labels").columns])


def _statement(labels: LabelSettings) -> str:
    reach = max(labels.horizons) + QUARTER
    widths = ", ".join(f"{width}D" for width in labels.barrier_widths)
    horizons = ", ".join(str(horizon) for horizon in labels.horizons)
    kept = 1 - labels.give_back_share
    return f"""
WITH sessions AS (
  SELECT session_number AS number, max(close_at) AS ends_at FROM label_bars GROUP BY session_number
),
known AS (
  SELECT event.*, bar.session_number, bar.cumulative_factor AS event_factor,
    direction * IF(direction > 0, bar.high, bar.low) AS event_extreme,
    least((SELECT max(number) FROM sessions), bar.session_number + {reach}) AS last_session
  FROM label_events AS event JOIN label_bars AS bar USING (security_id, session_date)
),
-- Later bars in the event day's shares, direction taken out: up is with the event.
later AS (
  SELECT known.event_id, bar.session_number - known.session_number AS step, bar.session_date AS bar_date, bar.close_at,
    bar.zero_volume, bar.cumulative_factor AS factor,
    direction * bar.open * event_factor / bar.cumulative_factor AS open,
    direction * bar.close * event_factor / bar.cumulative_factor AS close,
    direction * IF(direction > 0, bar.high, bar.low) * event_factor / bar.cumulative_factor AS best,
    direction * IF(direction > 0, bar.low, bar.high) * event_factor / bar.cumulative_factor AS worst
  FROM known JOIN label_bars AS bar
    ON bar.security_id = known.security_id AND bar.session_number > known.session_number
    AND bar.session_number <= known.session_number + {reach}
),
names AS (
  SELECT event_id, known.session_number + coalesce(max(step), 0) AS last_bar
  FROM known LEFT JOIN later USING (event_id) GROUP BY event_id, known.session_number
),
entered AS (
  SELECT known.*, later.bar_date AS entry_date, later.factor AS entry_factor,
    later.open + abs(later.open) * {labels.half_spread}D AS entry
  FROM known LEFT JOIN later ON later.event_id = known.event_id AND later.step = 1 AND NOT later.zero_volume
),
asked AS (
  SELECT entered.*, barrier_width, horizon, entry + barrier_width * atr AS upper, entry - barrier_width * atr AS lower
  FROM entered
  LATERAL VIEW explode(array({widths})) AS barrier_width
  LATERAL VIEW explode(array({horizons})) AS horizon
),
-- One row an event, width, horizon and later bar: what each barrier would have filled at.
walked AS (
  SELECT asked.event_id, barrier_width, horizon, step, close_at, open, close, best, worst,
    CASE
      WHEN open >= upper THEN struct('continuation' AS outcome, open AS fill)
      WHEN open <= lower THEN struct('reversal' AS outcome, open AS fill)
      WHEN best >= upper AND worst <= lower THEN struct('unresolved' AS outcome, cast(NULL AS double) AS fill)
      WHEN best >= upper THEN struct('continuation' AS outcome, upper AS fill)
      WHEN worst <= lower THEN struct('reversal' AS outcome, lower AS fill)
    END AS touch,
    max(best) OVER so_far AS extreme,
    max(best) OVER before AS earlier_extreme
  FROM asked JOIN later ON later.event_id = asked.event_id AND later.step <= asked.horizon
  WINDOW
    so_far AS (PARTITION BY asked.event_id, barrier_width, horizon ORDER BY step ROWS UNBOUNDED PRECEDING),
    before AS (PARTITION BY asked.event_id, barrier_width, horizon ORDER BY step
               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
ended AS (
  SELECT event_id, barrier_width, horizon,
    min(step) FILTER (WHERE touch IS NOT NULL) AS touch_step,
    min_by(touch, step) FILTER (WHERE touch IS NOT NULL) AS touch,
    max(step) AS last_step, max_by(close, step) AS last_close, max_by(close_at, step) AS last_close_at,
    collect_list(struct(step, best, worst)) AS path,
    collect_list(struct(extreme, earlier_extreme, close, worst)) AS extremes
  FROM walked GROUP BY event_id, barrier_width, horizon
),
judged AS (
  SELECT asked.*, touch_step, touch, last_step, last_close, coalesce(ends_at, last_close_at) AS ends_at, path, extremes,
    session_number + horizon <= last_session AS complete,
    session_number + horizon <= last_session AND last_bar < session_number + horizon AS gone,
    session_number + horizon <= last_session AND last_bar < session_number + horizon
      AND last_session - last_bar >= {labels.delisting_sessions} AS delisted
  FROM asked JOIN names USING (event_id) LEFT JOIN ended USING (event_id, barrier_width, horizon)
    LEFT JOIN sessions ON number = session_number + horizon
),
valued AS (
  SELECT *,
    CASE
      WHEN entry IS NULL THEN 'censored'
      WHEN touch IS NOT NULL THEN touch.outcome
      WHEN delisted THEN IF(direction > 0, 'reversal', 'continuation')
      WHEN NOT complete OR gone THEN 'censored'
      ELSE 'none'
    END AS outcome,
    CASE
      WHEN touch IS NOT NULL THEN touch.fill
      WHEN delisted THEN last_close * (1 + {labels.delisting_return}D)
      WHEN complete THEN last_close
    END AS exit,
    coalesce(touch_step, IF(delisted, last_step, horizon)) AS exit_step
  FROM judged
)
SELECT event_id, symbol, session_date, barrier_width, horizon, entry_date,
  direction * entry * entry_factor / event_factor AS entry_price, outcome,
  IF(outcome IN ('unresolved', 'censored'), 0D, 1D) AS weight,
  IF(outcome = 'censored', NULL, cast(exit_step AS int)) AS sessions_to_exit,
  IF(outcome = 'censored', NULL, (exit - entry) / abs(entry)) AS `return`,
  IF(outcome = 'censored', NULL, (aggregate(filter(path, bar -> bar.step <= exit_step), greatest(entry, exit),
     (best, bar) -> greatest(best, bar.best)) - entry) / abs(entry)) AS favourable_excursion,
  IF(outcome = 'censored', NULL, (aggregate(filter(path, bar -> bar.step <= exit_step), least(entry, exit),
     (worst, bar) -> least(worst, bar.worst)) - entry) / abs(entry)) AS adverse_excursion,
  IF(outcome = 'censored' OR NOT complete, NULL, exists(extremes, bar -> coalesce(
    (bar.extreme > event_extreme
     AND bar.close <= direction * price + {kept}D * (bar.extreme - direction * price))
    OR (bar.earlier_extreme > event_extreme
     AND bar.worst <= direction * price + {kept}D * (bar.earlier_extreme - direction * price)), false))) AS gave_back,
  coalesce(delisted AND touch IS NULL AND entry IS NOT NULL, false) AS delisted,
  IF(outcome = 'censored', NULL, ends_at) AS known_at
FROM valued
"""


def label_daily(lake: Lake, settings: Settings, first: date, last: date) -> int:
    """Label the daily events from `first` to `last` and replace their labels; returns the rows written."""
    with recorded_run(lake, "label", {"from": first, "to": last}, settings.digest()) as run:
        days = between("session_date", first, last)
        # Five sessions are a week, and no ten years have so many holidays in a row.
        ahead = last + timedelta(days=(max(settings.labels.horizons) + QUARTER) * 7 // 5 + 14)
        events, bars = run.read_days("gold.events", first, last), run.read_days("silver.bars_1d", first, ahead)
        return run.replace("gold.event_labels", daily_labels(events, bars, settings.labels), days).rows
