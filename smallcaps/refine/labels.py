"""Session labels: which part of the trading day an instant falls into, and how far into it.

Every instant belongs to its session's pre (from 04:00), regular (from 09:30) or post (from the close to 20:00) part, or is
`closed`. Segments number the stretches without a halt: 0 before the open, 1 in regular hours, 2 after the close, and one more
for each resumption that day so far. A segment begins with its part, or with the minute of the resumption.
"""

from datetime import date

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.calendar import sessions_between

NANOSECONDS = 1_000_000_000


def calendar_frame(spark: SparkSession, first: date, last: date) -> DataFrame:
    """Rows of silver.calendar from `first` to `last`."""
    schema = (
        "session_date date, session_number int, pre_open_at timestamp, open_at timestamp, close_at timestamp, "
        "post_close_at timestamp, early_close boolean"
    )
    return spark.createDataFrame(sessions_between(first, last), schema)


def label(frame: DataFrame, calendar: DataFrame, instant_ns: str, resumptions: DataFrame | None = None) -> DataFrame:
    """`frame` (with session_date) plus session, segment, segment_start and minute (since 04:00), second (likewise), and the
    calendar's session_number, open_at, close_at; null session_number where the day is no session.

    `instant_ns` names the column of nanoseconds to label by. `resumptions` (symbol, session_date, resumed: minutes in order) are
    those of halts; then `frame` has a symbol.
    """
    # Clipped: an impossible instant is closed like any other outside the hours, and must not overflow.
    elapsed = f"{instant_ns} div {NANOSECONDS}L - unix_seconds(pre_open_at)"
    seconds = f"cast(greatest(least({elapsed}, 2147483647L), -2147483648L) AS int)"
    open_second = "cast(unix_seconds(open_at) - unix_seconds(pre_open_at) AS int)"
    close_second = "cast(unix_seconds(close_at) - unix_seconds(pre_open_at) AS int)"
    last_second = "cast(unix_seconds(post_close_at) - unix_seconds(pre_open_at) AS int)"
    before_day = f"{instant_ns} < unix_seconds(pre_open_at) * {NANOSECONDS}L"
    days = F.broadcast(calendar.drop("early_close"))
    if resumptions is None:
        frame = frame.withColumn("resumed", F.expr("cast(NULL AS array<int>)"))
    else:
        frame = frame.join(F.broadcast(resumptions), ["symbol", "session_date"], "left")
    part_start = f"CASE session WHEN 'regular' THEN {open_second} WHEN 'post' THEN {close_second} ELSE 0 END div 60"
    return (
        frame.join(days, "session_date", "left")
        .withColumn("second", F.expr(seconds))
        .withColumn(
            "session",
            F.expr(
                f"CASE WHEN session_number IS NULL OR {before_day} OR second >= {last_second} THEN 'closed' "
                f"WHEN second < {open_second} THEN 'pre' WHEN second < {close_second} THEN 'regular' ELSE 'post' END"
            ),
        )
        .withColumn("minute", F.expr("cast(floor(second / 60) AS int)"))
        # Not by `filter`: Spark compiles no function with a lambda, nor what stands beside it.
        .withColumn(
            "resumed",
            F.expr("IF(resumed IS NULL OR session = 'closed', NULL, array_intersect(resumed, sequence(0, minute)))"),
        )
        .withColumn(
            "segment",
            F.expr(
                "CASE session WHEN 'pre' THEN 0 WHEN 'regular' THEN 1 WHEN 'post' THEN 2 ELSE -1 END "
                "+ coalesce(size(resumed), 0)"
            ),
        )
        .withColumn("segment_start", F.expr(f"cast(greatest({part_start}, array_max(resumed)) AS int)"))
        .drop("resumed")
        .drop("pre_open_at", "post_close_at")
    )


LABELS = ("session", "segment", "segment_start", "minute", "second")


def relabel(frame: DataFrame, calendar: DataFrame, instant_ns: str, resumptions: DataFrame) -> DataFrame:
    """A labelled frame as it is with other resumptions, in its own columns; `instant_ns` is SQL for the ns to label by."""
    bare = frame.drop(*LABELS).withColumn("_instant", F.expr(instant_ns))
    return label(bare, calendar, "_instant", resumptions).select(*frame.columns)
