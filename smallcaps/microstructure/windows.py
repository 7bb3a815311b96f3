"""Windows around events: each event's own, and the download plan of the CORE manifest's.

1. Each event's window, with a margin at either end, is cut to the session day, 04:00–20:00 New York. 2. Those of a symbol and
day that overlap or touch become one. So the plan covers what the windows cover, nothing twice.
"""

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.errors import BadInput
from smallcaps.ingest.requests import TickWindow
from smallcaps.lake import Lake
from smallcaps.microstructure.as_of import TIME

NANOSECONDS = 1_000_000_000
ENDLESS_NS = 2**62
"""Later than anything."""


def event_windows(events: DataFrame, micro: MicrostructureSettings) -> DataFrame:
    """event_id, symbol, session_date of events, with the nanoseconds at which their windows start, divide and end
    (start_ns, known_ns, end_ns).
    """
    known = F.unix_micros("known_at") * 1_000
    return events.select(
        *("event_id", "symbol", "session_date"),
        (known - micro.seconds_before * NANOSECONDS).alias("start_ns"),
        known.alias("known_ns"),
        (known + micro.seconds_after * NANOSECONDS).alias("end_ns"),
    )


def in_any_window(trades: DataFrame, windows: DataFrame) -> DataFrame:
    """The trades that were made in any of `windows` (of `event_windows`), each once."""
    same = [trades[key] == windows[key] for key in ("symbol", "session_date")]
    inside = (F.col(TIME) >= F.col("start_ns")) & (F.col(TIME) < F.col("end_ns"))
    return trades.join(windows, [*same, inside], "left_semi")


def merged_windows(events: DataFrame, calendar: DataFrame, micro: MicrostructureSettings) -> DataFrame:
    """session_date, symbol, start_ns, end_ns (not included) and the number of `events` of every stretch that the windows of
    events cover; `calendar` is silver.calendar. Pure.
    """
    margin = micro.margin_seconds * NANOSECONDS
    day = calendar.select(
        "session_date",
        *[(F.unix_micros(name) * 1_000).alias(name) for name in ("pre_open_at", "post_close_at")],
    )
    cut = (
        event_windows(events, micro)
        .join(F.broadcast(day), "session_date")
        .select(
            *("session_date", "symbol"),
            F.greatest(F.col("start_ns") - margin, "pre_open_at").alias("start_ns"),
            F.least(F.col("end_ns") + margin, "post_close_at").alias("end_ns"),
        )
        .where("start_ns < end_ns")
    )
    order = Window.partitionBy("session_date", "symbol").orderBy("start_ns", "end_ns")
    reached = F.max("end_ns").over(order.rowsBetween(Window.unboundedPreceding, -1))
    begins = F.coalesce(F.col("start_ns") > reached, F.lit(True)).cast("int")
    numbered = cut.withColumn("begins", begins).withColumn("stretch", F.sum("begins").over(order))
    return (
        numbered.groupBy("session_date", "symbol", "stretch")
        .agg(F.min("start_ns").alias("start_ns"), F.max("end_ns").alias("end_ns"), F.count("*").alias("events"))
        .drop("stretch")
    )


def download_plan(lake: Lake, settings: Settings) -> list[TickWindow]:
    """The windows of trades and quotes around the events of gold.core_manifest, in order; none of a symbol and day meet.

    Raises BadInput where there is no manifest.
    """
    if not lake.exists("gold.core_manifest"):
        raise BadInput("gold.core_manifest not written yet. Run `smallcaps manifest` first.")
    places = lake.read("gold.core_manifest").select("event_id")
    events = lake.read("gold.events").join(places, "event_id", "left_semi")
    windows = merged_windows(events, lake.read("silver.calendar"), settings.microstructure)
    rows = windows.select("session_date", "symbol", "start_ns", "end_ns").collect()
    return sorted(TickWindow(*row) for row in rows)
