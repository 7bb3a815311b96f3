"""Why an event fired: the same events, each with the values that its condition rests on."""

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.detectors.detect import chosen_detectors, events, explained_events
from tests.detectors.frames import minute_frame
from tests.oracles.planted import planted


@pytest.mark.parametrize("name", planted())
def test_an_explained_event_is_the_event_with_the_values_that_decided(
    spark: SparkSession, settings: Settings, name: str
) -> None:
    bars = minute_frame(spark, planted()[name][0])
    plain = events(bars, settings, "minute").toPandas()
    told = explained_events(bars, settings, "minute").toPandas()
    why = told.pop("why")
    assert len(plain)
    order = ["event_id"]
    pd.testing.assert_frame_equal(
        told[plain.columns].sort_values(order, ignore_index=True), plain.sort_values(order, ignore_index=True)
    )
    detectors = {one.detector.name: one.detector for one in chosen_detectors(settings, "minute")}
    for detector, values in zip(told["detector"], why, strict=True):
        own = {feature.name for feature in detectors[detector].features}
        decided = {feature for feature in own if feature in detectors[detector].condition}
        assert decided <= set(dict(values))
        assert not any(feature.endswith("_exact") for feature in dict(values))


def test_the_values_told_are_those_of_the_event(spark: SparkSession, settings: Settings) -> None:
    bars = minute_frame(spark, planted()["volume_spike"][0])
    (event,) = explained_events(bars, settings, "minute").where("detector = 'volume_spike'").collect()
    assert float(event.why["relative_volume"]) == event.relative_volume
    assert float(event.why["dollars_5m"]) >= 50_000
