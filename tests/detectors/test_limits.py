"""Rows beyond what the statements can compute with are kept out with their reason; up to the limits nothing overflows."""

import pandas as pd
import pytest
from pyspark.errors import ArithmeticException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.detect import detect, events
from smallcaps.lake import Lake, recorded_run
from tests.detectors.frames import minute_frame
from tests.oracles import planted


def written(lake: Lake, frame: DataFrame) -> None:
    """Bars as silver has them, without its constraints' help: what is tried here they let pass."""
    day = planted.DATE
    with recorded_run(lake, "refine", {"from": day, "to": day}, "settings") as run:
        columns = {"source": F.lit("vendor"), "transactions": F.lit(None).cast("bigint")}
        run.replace("silver.bars_1m", frame.withColumns(columns), f"session_date = DATE'{day}'")


def test_a_day_of_a_security_beyond_the_limits_is_quarantined_and_the_others_are_judged(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    plants = planted.planted()
    sound = plants["volume_spike"][0].assign(symbol="SOUND")
    dear = plants["price_momentum"][0].assign(symbol="DEAR")
    for price in ("open", "high", "low", "close"):
        dear.loc[dear["minute"] == 431, price] = 9_000.01
    heavy = plants["vwap_break"][0].assign(symbol="HEAVY")
    heavy.loc[heavy["minute"] == 395, "volume"] = 30_000_000_000
    written(lake, minute_frame(spark, pd.concat([sound, dear, heavy], ignore_index=True)))

    detect(lake, settings, "minute", planted.DATE, planted.DATE)

    found = lake.read("gold.events").toPandas()
    assert set(found["symbol"]) == {"SOUND"}
    kept = [column for column in found.columns if column != "run_id"]
    alone = events(minute_frame(spark, sound), settings, "minute").toPandas()
    pd.testing.assert_frame_equal(
        found[kept].sort_values("event_id", ignore_index=True), alone[kept].sort_values("event_id", ignore_index=True)
    )
    refused = lake.read("ops.quarantine").selectExpr(
        "table_name", "rule", "get_json_object(payload, '$.symbol')", "reason"
    )
    assert sorted(tuple(row) for row in refused.collect()) == [
        (
            "silver.bars_1m",
            "price_beyond_limits",
            "DEAR",
            "a price is not a number above 0 and up to 9,000 $: sums of squares might overflow",
        ),
        (
            "silver.bars_1m",
            "volume_beyond_limits",
            "HEAVY",
            "the volume is not a number from 0 to 1e12 shares worth up to 1e11 $: sums might overflow",
        ),
    ]
    outputs = lake.read("ops.runs").where("job = 'detect minute'").selectExpr("inline(outputs)").where("rows = 2")
    assert [row.table for row in outputs.collect()] == ["ops.quarantine"]
    # Again: nothing is there twice.
    detect(lake, settings, "minute", planted.DATE, planted.DATE)
    assert lake.read("ops.quarantine").count() == 2


def whole_day(low: float, high: float, volume: int) -> pd.DataFrame:
    """960 bars, one a minute of all three sessions, that jump between two prices."""
    bars = pd.concat(
        [
            planted.frame({minute: {} for minute in range(start, end)}, "WILD", "pre").assign(
                session=name, segment=number, segment_start=start
            )
            for number, (name, start, end) in enumerate([("pre", 0, 330), ("regular", 330, 720), ("post", 720, 960)])
        ],
        ignore_index=True,
    )
    price = [low if minute % 2 else high for minute in bars["minute"]]
    return bars.assign(open=price, high=price, low=price, close=price, volume=volume)


def test_at_the_limits_nothing_overflows_and_beyond_them_it_would(spark: SparkSession, settings: Settings) -> None:
    at = whole_day(0.0001, 9_000.0, 11_111_111)
    events(minute_frame(spark, at), settings, "minute").collect()
    with pytest.raises(ArithmeticException, match="overflow"):
        events(minute_frame(spark, at.assign(volume=10**13)), settings, "minute").collect()
    with pytest.raises(ArithmeticException, match="overflow"):
        events(minute_frame(spark, whole_day(0.0001, 90_000.0, 100)), settings, "minute").collect()
