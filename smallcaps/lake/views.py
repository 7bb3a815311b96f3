"""Views for those who ask questions of the lake: events with what was known of them, summaries, and what happened before.

Their SQL is what Spark, Trino and DuckDB understand alike: no function of one of them alone, doubles written as 1e0. Labels tell
the future of their event: what a view says of them was not known at the event, unless its comment says otherwise.
"""

from dataclasses import replace

from smallcaps.lake.declaration import Column, View
from smallcaps.lake.gold import EVENT_FEATURES, EVENT_LABELS, EVENTS
from smallcaps.lake.silver import SECTORS, UNIVERSE

MOST_TIMES = 10
"""How many earlier times of an event gold.earlier_times tells of."""

_COLUMNS = {
    table.name: {column.name: column for column in table.columns}
    for table in (EVENTS, EVENT_FEATURES, EVENT_LABELS, UNIVERSE, SECTORS)
}
_EVENT, _FEATURE, _LABEL, _UNIVERSE, _SECTOR = _COLUMNS.values()
_LABEL_KNOWN_AT = Column(
    "label_known_at",
    "timestamp",
    "When the label was certain: before, nobody could know outcome, return and gave_back",
    "UTC",
)
_COMPANY = (
    *("previous_close", "median_dollar_volume", "shares_outstanding", "market_cap", "free_float"),
    *("is_small_cap", "is_low_float", "is_member"),
)
_FEATURES = EVENT_FEATURES.known_at_event
_WHAT_CAME = (
    *("barrier_width", "horizon", "entry_at", "entry_price", "outcome", "weight", "exit_at", "return"),
    *("favourable_excursion", "adverse_excursion", "gave_back", "halted"),
)

_TIME_OF_DAY = Column(
    "time_of_day",
    "string",
    "When it happened (ts): pre, first_half_hour (gaps, which are of the open, too), morning (to 12:00 New York), afternoon, "
    "last_half_hour of the regular session, after_close (daily events that need the whole session, too)",
)
_TIME_OF_DAY_SQL = """CASE
    WHEN event.ts < calendar.open_at THEN 'pre'
    WHEN event.ts < calendar.open_at + INTERVAL '30' MINUTE THEN 'first_half_hour'
    WHEN event.ts >= calendar.close_at THEN 'after_close'
    WHEN event.ts >= calendar.close_at - INTERVAL '30' MINUTE THEN 'last_half_hour'
    WHEN event.ts < calendar.open_at + INTERVAL '150' MINUTE THEN 'morning'
    WHEN event.ts < calendar.close_at THEN 'afternoon'
  END"""
_PRICE_BUCKET = Column(
    "price_bucket", "string", "Price at the event, as traded: under_2, 2_to_5, 5_to_10, 10_and_over ($)"
)
_PRICE_BUCKET_SQL = """CASE
    WHEN event.price < 2 THEN 'under_2'
    WHEN event.price < 5 THEN '2_to_5'
    WHEN event.price < 10 THEN '5_to_10'
    ELSE '10_and_over'
  END"""
_FLOAT_BUCKET = Column(
    "float_bucket", "string", "Free float known then: under_5M, 5M_to_20M, 20M_to_50M, 50M_and_over (shares), unknown"
)
_FLOAT_BUCKET_SQL = """CASE
    WHEN universe.free_float < 5000000 THEN 'under_5M'
    WHEN universe.free_float < 20000000 THEN '5M_to_20M'
    WHEN universe.free_float < 50000000 THEN '20M_to_50M'
    WHEN universe.free_float >= 50000000 THEN '50M_and_over'
    ELSE 'unknown'
  END"""
_WITH_CALENDAR = "LEFT JOIN silver.calendar AS calendar ON calendar.session_date = event.session_date"
_WITH_UNIVERSE = """LEFT JOIN silver.universe AS universe
  ON universe.security_id = event.security_id
  AND universe.session_date = event.session_date
  AND universe.known_at <= event.known_at"""


def _share(condition: str) -> str:
    """SQL of the share of rows that meet a condition, among those of which it is known."""
    return f"avg(CASE WHEN {condition} THEN 1e0 WHEN NOT ({condition}) THEN 0e0 END)"


def _of(alias: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)


EVENTS_IN_CONTEXT = View(
    name="gold.events_in_context",
    comment="Events with company, sector and tape as known then, and beside them what came: a row an event, barrier width and "
    "horizon, so choose one of each. An event without a label has one row. All was known at the event but the columns from "
    "barrier_width on",
    columns=(
        *EVENTS.columns,
        _TIME_OF_DAY,
        *(replace(_UNIVERSE[name], nullable=True) for name in _COMPANY),
        replace(_SECTOR["sector"], comment="Sector of the company, as known at the close of the session before"),
        *(_FEATURE[name] for name in _FEATURES),
        *(replace(_LABEL[name], nullable=True) for name in _WHAT_CAME),
        _LABEL_KNOWN_AT,
    ),
    query=f"""SELECT
  {_of("event", tuple(_EVENT))},
  {_TIME_OF_DAY_SQL} AS time_of_day,
  {_of("universe", _COMPANY)},
  sector.sector,
  {_of("feature", _FEATURES)},
  {_of("label", _WHAT_CAME)}, label.known_at AS label_known_at
FROM gold.events AS event
{_WITH_CALENDAR}
LEFT JOIN silver.calendar AS before ON before.session_number = calendar.session_number - 1
{_WITH_UNIVERSE}
LEFT JOIN silver.sectors AS sector
  ON sector.security_id = event.security_id
  AND sector.session_date = before.session_date
  AND sector.known_at <= event.known_at
  AND sector.is_sector_known
LEFT JOIN gold.event_features AS feature ON feature.event_id = event.event_id
LEFT JOIN gold.event_labels AS label ON label.event_id = event.event_id""",
)

_SHARES = (
    Column(
        "continuation_share", "double", "Share of the labelled events that went on by a barrier's width first", "share"
    ),
    Column("reversal_share", "double", "Share of them that turned by as much first", "share"),
    Column(
        "exhaustion_share", "double", "Share that gave half of the move back, of those of which that is known", "share"
    ),
)
_SHARES_SQL = f"""{_share("outcome = 'continuation'")} AS continuation_share,
  {_share("outcome = 'reversal'")} AS reversal_share,
  {_share("gave_back")} AS exhaustion_share"""
_CERTAIN_AT = Column("certain_at", "timestamp", "When the last of these labels was certain", "UTC")
_OF_WEIGHT = "labels without a weight (unresolved, censored) are left out"

DAILY_SUMMARY = View(
    name="gold.daily_summary",
    comment="Events of each session by detector, and what came of them: a row a session, detector, barrier width and horizon, so "
    f"choose one of each of the latter two; {_OF_WEIGHT}. Shares and returns tell what came after the session",
    columns=(
        replace(_EVENT["session_date"], comment="XNYS session of the events"),
        _EVENT["detector"],
        Column("events", "bigint", "Events, labelled or not", "events"),
        Column("names", "bigint", "Different securities among them", "securities"),
        Column("up_share", "double", "Share of them with direction +1", "share"),
        Column(
            "universe_members",
            "bigint",
            "Members of silver.universe on the session; null where it has no row",
            "securities",
        ),
        replace(_LABEL["barrier_width"], nullable=True),
        replace(_LABEL["horizon"], nullable=True),
        Column("labelled", "bigint", "Events with a label of weight; null where there is none", "events"),
        *_SHARES,
        Column(
            "mean_return",
            "double",
            "Mean return in the event's direction, before costs beyond the half-spread",
            "share",
        ),
        _CERTAIN_AT,
    ),
    query=f"""WITH counted AS (
  SELECT session_date, detector, count(*) AS events, count(DISTINCT security_id) AS names, {_share("direction > 0")} AS up_share
  FROM gold.events
  GROUP BY session_date, detector
), members AS (
  SELECT session_date, count(*) FILTER (WHERE is_member) AS universe_members FROM silver.universe GROUP BY session_date
), came AS (
  SELECT event.session_date, event.detector, label.barrier_width, label.horizon, count(*) AS labelled,
  {_SHARES_SQL},
  avg(label.return) AS mean_return, max(label.known_at) AS certain_at
  FROM gold.events AS event JOIN gold.event_labels AS label ON label.event_id = event.event_id
  WHERE label.weight > 0
  GROUP BY event.session_date, event.detector, label.barrier_width, label.horizon
)
SELECT counted.session_date, counted.detector, counted.events, counted.names, counted.up_share, members.universe_members,
  {_of("came", ("barrier_width", "horizon", "labelled", *(column.name for column in _SHARES), "mean_return", "certain_at"))}
FROM counted
LEFT JOIN members ON members.session_date = counted.session_date
LEFT JOIN came ON came.session_date = counted.session_date AND came.detector = counted.detector""",
)

_COHORT = "detector, direction, time_of_day, price_bucket, float_bucket, barrier_width, horizon"

COHORTS = View(
    name="gold.cohorts",
    comment="What came of events that are alike: a row a detector, direction, time of day, price, float, barrier width and "
    f"horizon; {_OF_WEIGHT}. All of it is hindsight: a cohort told before certain_at would hold other figures",
    columns=(
        _EVENT["detector"],
        _EVENT["direction"],
        _TIME_OF_DAY,
        _PRICE_BUCKET,
        _FLOAT_BUCKET,
        _LABEL["barrier_width"],
        _LABEL["horizon"],
        Column("events", "bigint", "Labelled events of the cohort", "events"),
        Column("names", "bigint", "Different securities among them: few make for few independent events", "securities"),
        *_SHARES,
        Column(
            "median_return",
            "double",
            "Median return in the event's direction, before costs beyond the half-spread",
            "share",
        ),
        Column(
            "mean_favourable_excursion", "double", "Mean of the best move in the event's direction until exit", "share"
        ),
        Column("mean_adverse_excursion", "double", "Mean of the worst move against it until exit", "share"),
        _CERTAIN_AT,
    ),
    query=f"""WITH labelled AS (
  SELECT event.detector, event.direction, event.security_id,
  {_TIME_OF_DAY_SQL} AS time_of_day,
  {_PRICE_BUCKET_SQL} AS price_bucket,
  {_FLOAT_BUCKET_SQL} AS float_bucket,
  label.barrier_width, label.horizon, label.outcome, label.gave_back, label.return AS directed_return,
  label.favourable_excursion, label.adverse_excursion, label.known_at
  FROM gold.events AS event
  JOIN gold.event_labels AS label ON label.event_id = event.event_id
  {_WITH_CALENDAR}
  {_WITH_UNIVERSE}
  WHERE label.weight > 0
), ranked AS (
  SELECT labelled.*,
  row_number() OVER (PARTITION BY {_COHORT} ORDER BY directed_return) AS place,
  count(*) OVER (PARTITION BY {_COHORT}) AS size
  FROM labelled
)
SELECT {_COHORT}, count(*) AS events, count(DISTINCT security_id) AS names,
  {_SHARES_SQL},
  avg(CASE WHEN 2 * place BETWEEN size AND size + 2 THEN directed_return END) AS median_return,
  avg(favourable_excursion) AS mean_favourable_excursion, avg(adverse_excursion) AS mean_adverse_excursion,
  max(known_at) AS certain_at
FROM ranked
GROUP BY {_COHORT}""",
)

_TOLD = ("event_id", "symbol", "security_id", "session_date", "known_at", "detector", "direction")
_THEN = ("event_id", "session_date", "direction", "strength", "price")
_CAME = ("barrier_width", "horizon", "outcome", "return", "gave_back")

EARLIER_TIMES = View(
    name="gold.earlier_times",
    comment=f"What was known at an event of the last {MOST_TIMES} times that the detector fired on the security: a row an event, "
    f"earlier event, barrier width and horizon; {_OF_WEIGHT}. Only labels that were certain by the event's known_at: none of it "
    "is hindsight",
    columns=(
        *(_EVENT[name] for name in _TOLD),
        Column("times_ago", "int", "1: the last time of which the label was certain then", "times"),
        *(
            replace(_EVENT[name], name=f"earlier_{name}", comment=f"Of the earlier event. {_EVENT[name].comment}")
            for name in _THEN
        ),
        *(replace(_LABEL[name], comment=f"Of the earlier event. {_LABEL[name].comment}") for name in _CAME),
        _LABEL_KNOWN_AT,
    ),
    query=f"""SELECT * FROM (
  SELECT {_of("event", _TOLD)},
  CAST(row_number() OVER (
    PARTITION BY event.event_id, label.barrier_width, label.horizon ORDER BY earlier.known_at DESC, earlier.event_id
  ) AS int) AS times_ago,
  {", ".join(f"earlier.{name} AS earlier_{name}" for name in _THEN)},
  {_of("label", _CAME)}, label.known_at AS label_known_at
  FROM gold.events AS event
  JOIN gold.events AS earlier
  ON earlier.security_id = event.security_id AND earlier.detector = event.detector AND earlier.known_at < event.known_at
  JOIN gold.event_labels AS label ON label.event_id = earlier.event_id AND label.known_at <= event.known_at
  WHERE label.weight > 0
) AS told
WHERE times_ago <= {MOST_TIMES}""",
)

VIEWS = (EVENTS_IN_CONTEXT, DAILY_SUMMARY, COHORTS, EARLIER_TIMES)
