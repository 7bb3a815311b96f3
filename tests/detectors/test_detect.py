"""The job: it takes what is to be expected from silver, and what it made is stale when that changes."""

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.detect import detect
from smallcaps.lake import Lake, recorded_run, stale
from tests.detectors.frames import minute_frame
from tests.microstructure.tables import as_table
from tests.oracles import planted

MINUTES = ("silver.bars_1m", "silver.baselines", "silver.volume_curves")


def write(lake: Lake, median_volume: float) -> None:
    """A quiet name with a spike five minutes after the open, and what its sessions before let expect."""
    bars = planted.frame(planted.quiet(planted.REGULAR_OPEN, 20) | {335: planted.bar(5.01, 40_000)}, "EARLY")
    day = bars["session_date"].iloc[0]
    known = {"session_date": day, "known_at": bars["ts"].iloc[0]}
    usual = [
        known
        | {"symbol": "EARLY", "security_id": "T:EARLY", "bars": 20, "counted_bars": 0, "median_volume": median_volume}
    ]
    shares = [
        known
        | {"minute": minute, "session": "regular", "sessions": 20, "volume_share": 0.001, "volume_share_5m": 0.005}
        for minute in range(330, 350)
    ]
    frame = minute_frame(lake.spark, bars).withColumn("source", F.lit("vendor"))
    with recorded_run(lake, "refine", {"from": day, "to": day}, "settings") as run:
        days = f"session_date = DATE'{day}'"
        run.replace("silver.bars_1m", frame.withColumn("transactions", F.lit(None).cast("bigint")), days)
        run.replace("silver.baselines", as_table(lake.spark, "silver.baselines", usual), days)
        run.replace("silver.volume_curves", as_table(lake.spark, "silver.volume_curves", shares), days)


def spikes(lake: Lake) -> list[tuple[str, int, float]]:
    rows = lake.read("gold.events").where("detector = 'volume_spike'").collect()
    return [(row.baseline, row.rvol_n, row.relative_volume) for row in rows]


def test_the_job_takes_what_the_sessions_before_let_expect(spark: SparkSession, lake: Lake, settings: Settings) -> None:
    write(lake, 1_000_000)
    day = planted.DATE
    detect(lake, settings, "minute", day, day)
    assert spikes(lake) == [("history", 20, 8.8)]
    assert stale(lake, ["gold.events"]) == []

    write(lake, 2_000_000)
    (found,) = stale(lake, ["gold.events"])
    assert (found.days, found.changed) == ((day,), ("silver.baselines",))
    detect(lake, settings, "minute", day, day)
    assert spikes(lake) == []
    assert stale(lake, ["gold.events"]) == []
