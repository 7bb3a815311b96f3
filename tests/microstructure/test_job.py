"""What the jobs of this room hand on of other tables: the days asked for, of some also days before."""

import datetime as dt

from pyspark.sql import DataFrame

from smallcaps.config import Settings
from smallcaps.config.settings import MicrostructureSettings
from smallcaps.lake import Lake, last_runs
from smallcaps.microstructure.features import CONTEXT
from smallcaps.microstructure.job import Around, write_around_events
from tests.microstructure.tables import as_table

TWENTIETH_BEFORE, DAY, NEXT_DAY = dt.date(2025, 4, 22), dt.date(2025, 5, 20), dt.date(2025, 5, 21)
SIZES = "silver.trade_sizes"


def test_sizes_of_trades_are_handed_on_from_the_twentieth_session_before(lake: Lake, settings: Settings) -> None:
    size = {"security_id": "T:TAPE", "bucket": 1_000, "trades": 1}
    days = (TWENTIETH_BEFORE, DAY, NEXT_DAY)
    lake.replace(SIZES, as_table(lake.spark, SIZES, [size | {"session_date": day} for day in days]), None, "test")
    for name in ("gold.events", "silver.trades", "silver.quotes"):
        lake.make(name)
    seen = []

    def rows(around: Around, micro: MicrostructureSettings) -> DataFrame:
        seen.extend(row.session_date for row in around.context[SIZES].collect())
        return lake.empty("gold.event_features")

    write_around_events(lake, settings, DAY, DAY, "features", "gold.event_features", rows, "", CONTEXT)
    assert sorted(seen) == [TWENTIETH_BEFORE, DAY]
    # By what is recorded as read a later change of it makes the day stale.
    (read,) = (one for one in last_runs(lake, ["features"])[0]["inputs"] if one["table"] == SIZES)
    assert read["first"] <= TWENTIETH_BEFORE
    assert read["last"] == DAY
