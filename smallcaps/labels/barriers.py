"""Triple-barrier labels: which barrier a position in the event's direction reaches first.

1. A path of what one could trade at after the event was known: sound quotes of the event's own session outside halts, without
quotes of the whole day its minute bars, then daily bars. A daily event that is known at the close has daily bars alone.
2. Entry: the first of the path, at the quote's far side; at a bar's open, worse by the modelled half-spread. 3. Barriers:
entry ± width × reach. 4. Along the path to the horizon: what opens beyond a barrier fills there, what reaches one barrier
fills at it; a bar that reaches both is unresolved, and so is an entry whose spread alone is as wide as the barrier. 5. No barrier
by the horizon: none, at the last price. A name that disappears while the market goes on, and is not back in a quarter, is closed
at its last close × (1 + delisting return). 6. `gave_back`: beyond the extreme before the event, half of the way from the
event's price to the new extreme was given back.
Prices of later days are carried back into the event day's shares by the ratio of cumulative factors.
"""

from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import LabelSettings, MicrostructureSettings
from smallcaps.labels.horizons import minutes, sessions
from smallcaps.lake import Lake, between, declared, recorded_run
from smallcaps.microstructure.signing import is_valid
from smallcaps.microstructure.windows import ENDLESS_NS, NANOSECONDS
from smallcaps.refine.ticks import WHOLE_DAYS

QUARTER = 63
"""So many sessions after the longest horizon a name may come back and was not gone; no later bar changes a label."""
MINUTE_NS = 60 * NANOSECONDS
SESSION_MINUTES = 390
"""Of a session, for barriers: a short one counts as much, so that they do not depend on days to come."""


@dataclass(frozen=True)
class Aftermath:
    """Events and what came after them: silver tables, of which all but the daily bars may be empty."""

    events: DataFrame
    bars_1d: DataFrame
    bars_1m: DataFrame
    trades: DataFrame
    quotes: DataFrame
    halts: DataFrame


def event_labels(after: Aftermath, labels: LabelSettings, micro: MicrostructureSettings) -> DataFrame:
    """gold.event_labels (without run_id) of rows of gold.events. Pure.

    Events without direction, ATR or a daily bar of their own have no barriers and get no labels.
    """
    spark = after.events.sparkSession
    columns = ("event_id", "security_id", "symbol", "session_date", "grain", "known_at", "direction", "price", "atr")
    after.events.where("direction <> 0").select(*columns).createOrReplaceTempView("label_events")
    after.bars_1d.createOrReplaceTempView("label_bars")
    names = F.broadcast(after.events.select("symbol", "session_date").distinct())
    key = ["symbol", "session_date"]
    after.bars_1m.join(names, key, "left_semi").createOrReplaceTempView("label_minutes")
    # Quotes that came as windows around some event end with them; trades, which came with them, tell.
    whole = after.trades.where(WHOLE_DAYS).select(*key).distinct()
    quotes = (
        after.quotes.join(names, key, "left_semi").join(whole, key, "left_semi").withColumn("is_valid", is_valid(micro))
    )
    quotes.createOrReplaceTempView("label_quotes")
    after.halts.createOrReplaceTempView("label_halts")
    return spark.sql(_statement(labels)).select(*[column.name for column in declared("gold.event_labels").columns])


def _asked(labels: LabelSettings) -> str:
    """SQL array of every width and horizon."""
    each = (
        f"struct({width}D AS barrier_width, '{horizon}' AS horizon, cast({minutes(horizon) or 'NULL'} AS bigint) AS minutes, "
        f"{sessions(horizon)} AS sessions)"
        for width in labels.barrier_widths
        for horizon in labels.horizons
    )
    return f"array({', '.join(each)})"


def _statement(labels: LabelSettings) -> str:
    reach = _longest(labels) + QUARTER
    kept = 1 - labels.give_back_share
    return f"""
WITH sessions AS (
  SELECT session_number AS number, max(close_at) AS ends_at FROM label_bars GROUP BY session_number
),
-- Bars that traded, one a security and session: it may go on under another symbol, or have two.
days AS (
  SELECT * FROM (
    SELECT *, row_number() OVER (PARTITION BY security_id, session_number ORDER BY volume DESC, symbol) AS place
    FROM label_bars WHERE NOT zero_volume
  ) WHERE place = 1
),
-- An ATR of minutes where the detector has none: mean true range of the bars among the last 20 minutes of the segment.
true_ranges AS (
  SELECT symbol, session_date, ts, segment,
    greatest(high, coalesce(previous, high)) - least(low, coalesce(previous, low)) AS true_range
  FROM (SELECT *, lag(close) OVER (PARTITION BY symbol, session_date, segment ORDER BY ts) AS previous FROM label_minutes)
),
tape_ranges AS (
  SELECT event_id, max_by(atr, segment) AS atr FROM (
  SELECT event_id, segment, sum(cast(bround(true_range * 10000, 0) AS bigint)) / count(*) / 10000 AS atr
  FROM label_events AS event JOIN true_ranges AS bar USING (symbol, session_date)
  WHERE event.grain = 'trade' AND event.atr IS NULL
    AND bar.ts + INTERVAL 1 MINUTE <= event.known_at
    AND bar.ts >= date_trunc('MINUTE', event.known_at) - INTERVAL 20 MINUTES
  GROUP BY event_id, segment
  ) GROUP BY event_id
),
events AS (
  SELECT event.* EXCEPT (event.atr), coalesce(event.atr, tape_ranges.atr) AS atr, unix_micros(known_at) * 1000 AS known_ns
  FROM label_events AS event LEFT JOIN tape_ranges USING (event_id)
),
-- A halt is a quote that nobody can trade against, in force until the first one after it.
told AS (
  SELECT quote.symbol, quote.session_date, sip_ns AS at, sequence_number,
    IF(is_valid, bid_price, NULL) AS bid, IF(is_valid, ask_price, NULL) AS ask
  FROM label_quotes AS quote LEFT ANTI JOIN label_halts AS halt
    ON quote.symbol = halt.symbol AND quote.session_date = halt.session_date
    AND sip_ns >= start_ns AND sip_ns < coalesce(end_ns, {ENDLESS_NS})
  UNION ALL
  SELECT symbol, session_date, start_ns, {ENDLESS_NS}, NULL, NULL FROM label_halts
),
-- What stood last of each instant, where it is not what stood before.
standing AS (
  SELECT *, coalesce(lead(at) OVER tape, {ENDLESS_NS}) AS until_ns FROM (
    SELECT *, lag(struct(bid, ask)) OVER tape AS last_state FROM (
      SELECT *, lead(at) OVER (PARTITION BY symbol, session_date ORDER BY at, sequence_number) AS next_at FROM told
    ) WHERE next_at IS NULL OR next_at > at
    WINDOW tape AS (PARTITION BY symbol, session_date ORDER BY at, sequence_number)
  ) WHERE NOT struct(bid, ask) <=> last_state
  WINDOW tape AS (PARTITION BY symbol, session_date ORDER BY at, sequence_number)
),
tape_extremes AS (
  SELECT event_id, max(direction * IF(direction > 0, high, low)) AS extreme
  FROM events JOIN label_minutes AS bar USING (symbol, session_date)
  WHERE bar.ts + INTERVAL 1 MINUTE <= known_at GROUP BY event_id
),
known AS (
  SELECT *, (is_quoted OR is_minuted) AND known_ns < day_ends_ns AS within,
    IF(within, greatest(direction * price, tape_extreme), direction * IF(direction > 0, high, low)) AS event_extreme
  FROM (
    SELECT event.*, bar.session_number, bar.cumulative_factor AS event_factor, bar.high, bar.low,
      unix_micros(bar.close_at) * 1000 AS close_ns,
      CASE
        WHEN known_at < bar.close_at THEN unix_micros(bar.close_at) * 1000
        WHEN grain = 'daily' THEN known_ns
        ELSE unix_micros(to_utc_timestamp(cast(session_date AS timestamp) + INTERVAL 20 HOURS, 'America/New_York')) * 1000
      END AS day_ends_ns,
      tape_extremes.extreme AS tape_extreme, quoted.symbol IS NOT NULL AS is_quoted, minuted.symbol IS NOT NULL AS is_minuted,
      least((SELECT max(number) FROM sessions), bar.session_number + {reach}) AS last_session
    FROM events AS event JOIN label_bars AS bar USING (security_id, session_date, symbol)
      LEFT JOIN tape_extremes USING (event_id)
      LEFT JOIN (SELECT DISTINCT symbol, session_date FROM label_quotes WHERE is_valid) AS quoted USING (symbol, session_date)
      LEFT JOIN (SELECT DISTINCT symbol, session_date FROM label_minutes) AS minuted USING (symbol, session_date)
    WHERE event.atr > 0
  )
),
names AS (
  SELECT event_id, coalesce(max(bar.session_number), known.session_number) AS last_bar FROM known LEFT JOIN days AS bar
    ON bar.security_id = known.security_id AND bar.session_number BETWEEN known.session_number AND known.session_number + {reach}
  GROUP BY event_id, known.session_number
),
halted AS (
  SELECT event_id, min(start_ns) AS halt_ns FROM known JOIN label_halts AS halt
    ON halt.security_id = known.security_id AND halt.session_date >= known.session_date
    AND coalesce(end_ns, {ENDLESS_NS}) > known_ns
  GROUP BY event_id
),
-- Directed, so that up is with the event, and in the event day's shares.
steps AS (
  SELECT event_id, session_number, greatest(at, known_ns) AS opens_ns, greatest(at, known_ns) AS ends_ns, event_factor AS factor,
    direction * IF(direction > 0, ask, bid) AS entry, direction * IF(direction > 0, bid, ask) AS open,
    direction * IF(direction > 0, bid, ask) AS close, direction * IF(direction > 0, bid, ask) AS best,
    direction * IF(direction > 0, bid, ask) AS worst
  FROM known JOIN standing USING (symbol, session_date)
  WHERE within AND until_ns > known_ns AND at < day_ends_ns AND bid IS NOT NULL
  UNION ALL
  SELECT event_id, session_number, unix_micros(ts) * 1000, unix_micros(ts) * 1000 + {MINUTE_NS}, event_factor,
    direction * bar.open + bar.open * {labels.half_spread}D, direction * bar.open, direction * bar.close,
    direction * IF(direction > 0, bar.high, bar.low), direction * IF(direction > 0, bar.low, bar.high)
  FROM known JOIN label_minutes AS bar USING (symbol, session_date)
  WHERE within AND NOT is_quoted AND ts >= known_at AND unix_micros(ts) * 1000 < day_ends_ns
  UNION ALL
  SELECT event_id, bar.session_number, unix_micros(bar.open_at) * 1000, unix_micros(bar.close_at) * 1000, bar.cumulative_factor,
    IF(bar.session_number = known.session_number + 1,
       (direction * bar.open + bar.open * {labels.half_spread}D) * event_factor / bar.cumulative_factor, NULL),
    direction * bar.open * event_factor / bar.cumulative_factor,
    direction * bar.close * event_factor / bar.cumulative_factor,
    direction * IF(direction > 0, bar.high, bar.low) * event_factor / bar.cumulative_factor,
    direction * IF(direction > 0, bar.low, bar.high) * event_factor / bar.cumulative_factor
  FROM known JOIN days AS bar
    ON bar.security_id = known.security_id AND bar.session_number > known.session_number
    AND bar.session_number <= known.session_number + {_longest(labels)}
),
path AS (
  SELECT *, first_value(struct(entry, opens_ns, factor)) OVER so_far AS way_in,
    max(best) OVER so_far AS extreme, min(worst) OVER so_far AS least,
    max(best) OVER (PARTITION BY event_id ORDER BY ends_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier_extreme
  FROM steps
  WINDOW so_far AS (PARTITION BY event_id ORDER BY ends_ns ROWS UNBOUNDED PRECEDING)
),
horizons AS (
  SELECT known.*, ask.*, session_number + ask.sessions AS end_number,
    CASE
      WHEN ask.sessions > 0 THEN coalesce(unix_micros(ends_at) * 1000, {ENDLESS_NS})
      WHEN ask.minutes IS NULL THEN close_ns
      ELSE least(known_ns + ask.minutes * {MINUTE_NS}, day_ends_ns)
    END AS until_ns
  FROM known CROSS JOIN (SELECT explode({_asked(labels)}) AS ask)
    LEFT JOIN sessions ON number = session_number + ask.sessions
  WHERE ask.sessions > 0 OR within AND (ask.minutes IS NOT NULL OR known_ns < close_ns)
),
asked AS (
  SELECT *, barrier_width * atr * CASE
      WHEN grain = 'daily' AND sessions > 0 THEN 1
      WHEN grain = 'daily' THEN sqrt((until_ns - known_ns) / {MINUTE_NS}D / {SESSION_MINUTES})
      WHEN sessions > 0 THEN sqrt(greatest(close_ns - known_ns, 0) / {MINUTE_NS}D + sessions * {SESSION_MINUTES})
      ELSE sqrt((until_ns - known_ns) / {MINUTE_NS}D)
    END AS reach
  FROM horizons
),
walked AS (
  SELECT event_id, barrier_width, horizon, min(ends_ns) AS first_ns, max(ends_ns) AS last_ns,
    min(ends_ns) FILTER (WHERE best >= way_in.entry + reach OR worst <= way_in.entry - reach) AS touch_ns,
    bool_or(coalesce(
      (extreme > event_extreme AND close <= direction * price + {kept}D * (extreme - direction * price))
      OR (earlier_extreme > event_extreme AND worst <= direction * price + {kept}D * (earlier_extreme - direction * price)),
      false)) AS gave_back
  FROM asked JOIN path USING (event_id)
  WHERE ends_ns <= until_ns GROUP BY event_id, barrier_width, horizon
),
-- The first session from the horizon's on in which the name traded.
back AS (
  SELECT event_id, end_number, min(bar.session_number) AS back_number
  FROM (SELECT DISTINCT event_id, security_id, session_number, end_number FROM horizons WHERE sessions > 0) AS horizon
    JOIN days AS bar ON bar.security_id = horizon.security_id
    AND bar.session_number BETWEEN end_number AND horizon.session_number + {reach}
  GROUP BY event_id, end_number
),
judged AS (
  SELECT asked.*, way_in.opens_ns AS entry_ns, way_in.factor AS entry_factor, way_in.entry AS entry,
    way_in.entry + reach AS upper, way_in.entry - reach AS lower, touch_ns, first_ns, last_ns,
    path.ends_ns AS exit_ns, path.session_number AS exit_number,
    open, close, best, worst, extreme, least, gave_back, halt_ns,
    IF(sessions > 0 AND touch_ns IS NULL, least(coalesce(back_number, last_session), last_session), end_number) AS settled_number,
    end_number <= last_session AS complete,
    end_number <= last_session AND last_bar < end_number AS gone,
    end_number <= last_session AND last_bar < end_number AND last_session - last_bar >= {labels.delisting_sessions} AS delisted
  FROM asked JOIN names USING (event_id) LEFT JOIN halted USING (event_id)
    LEFT JOIN walked USING (event_id, barrier_width, horizon)
    LEFT JOIN back USING (event_id, end_number)
    LEFT JOIN path ON path.event_id = asked.event_id AND path.ends_ns = coalesce(touch_ns, last_ns)
),
valued AS (
  SELECT *,
    CASE
      WHEN entry IS NULL THEN 'censored'
      WHEN touch_ns IS NULL AND delisted THEN IF(direction > 0, 'reversal', 'continuation')
      WHEN touch_ns IS NULL AND (NOT complete OR gone) THEN 'censored'
      WHEN touch_ns IS NULL THEN 'none'
      WHEN open >= upper THEN 'continuation'
      WHEN open <= lower AND exit_ns = first_ns THEN 'unresolved'
      WHEN open <= lower THEN 'reversal'
      WHEN best >= upper AND worst <= lower THEN 'unresolved'
      WHEN best >= upper THEN 'continuation'
      ELSE 'reversal'
    END AS outcome,
    CASE
      WHEN touch_ns IS NULL AND delisted THEN close * (1 + {labels.delisting_return}D)
      WHEN touch_ns IS NULL THEN close
      WHEN open <= lower AND exit_ns = first_ns THEN NULL
      WHEN open >= upper OR open <= lower THEN open
      WHEN best >= upper AND worst <= lower THEN NULL
      WHEN best >= upper THEN upper
      ELSE lower
    END AS exit,
    touch_ns IS NULL AND NOT delisted AS lasted
  FROM judged
),
told_of AS (
  SELECT *, outcome = 'censored' AS unknown, direction * entry_factor / event_factor AS to_price FROM valued
)
SELECT event_id, symbol, session_date, barrier_width, horizon,
  IF(entry IS NULL, NULL, timestamp_micros(entry_ns div 1000)) AS entry_at,
  entry * to_price AS entry_price, upper * to_price AS continuation_price, lower * to_price AS reversal_price, outcome,
  IF(outcome IN ('unresolved', 'censored'), 0D, 1D) AS weight,
  IF(unknown, NULL, timestamp_micros(IF(lasted, until_ns, exit_ns) div 1000)) AS exit_at,
  IF(unknown, NULL, cast(IF(lasted, sessions, exit_number - session_number) AS int)) AS sessions_to_exit,
  IF(unknown, NULL, (exit - entry) / abs(entry)) AS `return`,
  IF(unknown, NULL, (greatest(entry, exit, extreme) - entry) / abs(entry)) AS favourable_excursion,
  IF(unknown, NULL, (least(entry, exit, least) - entry) / abs(entry)) AS adverse_excursion,
  IF(unknown OR NOT complete, NULL, gave_back) AS gave_back,
  coalesce(delisted AND touch_ns IS NULL AND entry IS NOT NULL, false) AS delisted,
  IF(unknown, NULL, coalesce(halt_ns <= IF(lasted, until_ns, exit_ns), false)) AS halted,
  IF(unknown, NULL, timestamp_micros(IF(until_ns = {ENDLESS_NS}, last_ns,
    IF(settled_number > end_number, unix_micros(settled.ends_at) * 1000, until_ns)) div 1000)) AS known_at
FROM told_of LEFT JOIN sessions AS settled ON settled.number = settled_number
"""


def _longest(labels: LabelSettings) -> int:
    return max(sessions(horizon) for horizon in labels.horizons)


def label_events(lake: Lake, settings: Settings, first: date, last: date) -> int:
    """Label the events from `first` to `last` and replace their labels; returns the rows written."""
    with recorded_run(lake, "label", {"from": first, "to": last}, settings.digest()) as run:
        days = between("session_date", first, last)
        # Five sessions are a week, and no ten years have so many holidays in a row.
        ahead = last + timedelta(days=(_longest(settings.labels) + QUARTER) * 7 // 5 + 14)
        after = Aftermath(
            events=run.read_days("gold.events", first, last),
            bars_1d=run.read_days("silver.bars_1d", first, ahead),
            bars_1m=run.read_days_or_empty("silver.bars_1m", first, last),
            trades=run.read_days_or_empty("silver.trades", first, last),
            quotes=run.read_days_or_empty("silver.quotes", first, last),
            halts=run.read_days_or_empty("silver.halts", first, ahead),
        )
        rows = event_labels(after, settings.labels, settings.microstructure)
        return run.replace("gold.event_labels", rows, days).rows
