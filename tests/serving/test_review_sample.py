"""The sample: the same from the same tables, decoys in it, and nothing in its files that was known only later."""

import base64
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.detect import detect
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.serving.review_charts import charts_of, read_bars
from smallcaps.serving.review_files import read_items, read_key, read_sample
from smallcaps.serving.review_sample import draw_sample, systematic
from tests.detectors.frames import daily_frame, minute_frame
from tests.detectors.test_daily import quiet_then
from tests.microstructure.tables import as_table
from tests.oracles import planted

LATER = {"open": 17.3137, "high": 17.7173, "low": 16.9191, "close": 17.1317, "volume": 7_654_321}
PRICES = ("open", "high", "low", "close")


def days() -> pd.DataFrame:
    """Eight names that open 10 to 17 % up, eight that do 7.5 to 9.6 %, ten that do nothing; then two days nobody may know of."""
    names = [(f"GAP{n}", 11 + n / 10) for n in range(8)] + [(f"NEAR{n}", 10.75 + 0.03 * n) for n in range(8)]
    names += [(f"QUIET{n}", 10.0) for n in range(10)]
    parts = []
    for place, (name, price) in enumerate(names):
        # What comes after the open is not known at the gap.
        last = (price, price + 0.1171 + place / 1e4, price - 0.1173, price + 0.0107 + place / 1e4, 100_000 + place)
        bars = quiet_then(name, last)
        after = [
            {**LATER, "symbol": name, "session_date": bars["session_date"].iloc[-1] + timedelta(n)} for n in (1, 2)
        ]
        parts += [bars, pd.DataFrame(after)]
    return pd.concat(parts, ignore_index=True)


def minutes() -> pd.DataFrame:
    """Each planted minute event, and after it minutes at prices that were not seen before."""
    parts = []
    for bars, _ in planted.planted().values():
        first = int(bars["minute"].max()) + 1
        tail = {first + n: planted.bar(6.1234 + 0.0137 * n, 2_001 + n) for n in range(20)}
        symbol, session = bars["symbol"].iloc[0], bars["session"].iloc[0]
        own = {row.minute: {**{name: getattr(row, name) for name in (*PRICES, "volume")}} for row in bars.itertuples()}
        parts.append(planted.frame(own | tail, symbol, session))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def of_days(spark: SparkSession, lake: Lake, settings: Settings) -> Lake:
    """A lake of these days, and what the detectors find on one of them."""
    bars = daily_frame(spark, days()).withColumn("zero_volume", F.lit(False))
    lake.replace("silver.bars_1d", bars.withColumn("transactions", F.lit(None).cast("bigint")), None, "test")
    detect(lake, settings, "daily", event_day(), event_day())
    return lake


@pytest.fixture
def of_minutes(spark: SparkSession, lake: Lake, settings: Settings) -> Lake:
    """A lake of these minutes, and what the detectors find in them."""
    rows = minute_frame(spark, minutes()).withColumn("source", F.lit("vendor"))
    lake.replace("silver.bars_1m", rows.withColumn("transactions", F.lit(None).cast("bigint")), None, "test")
    detect(lake, settings, "minute", planted.DATE, planted.DATE)
    return lake


def event_day() -> date:
    day: date = quiet_then("ANY", (10.0, 10.0, 10.0, 10.0, 1))["session_date"].iloc[-1]
    return day


def numbers(value: Any) -> set[float]:
    """Every number in a figure's JSON; plotly packs arrays."""
    if isinstance(value, dict):
        if "bdata" in value:
            return {float(one) for one in np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])}
        return {one for part in value.values() for one in numbers(part)}
    if isinstance(value, list):
        return {one for part in value for one in numbers(part)}
    return {float(value)} if isinstance(value, int | float) and not isinstance(value, bool) else set()


def figures(folder: Path) -> dict[str, set[float]]:
    """The numbers in the charts of each item."""
    files = (folder / "shown" / "charts").glob("*.json")
    return {file.stem: numbers(json.loads(file.read_text())) for file in files}


def values(bars: pd.DataFrame) -> set[float]:
    return {round(float(one), 4) for name in (*PRICES, "volume") for one in bars[name]}


@pytest.mark.slow
def test_a_sample_is_the_same_each_time_has_decoys_and_shows_nothing_that_came_later(
    of_days: Lake, settings: Settings, tmp_path: Path
) -> None:
    drawn = draw_sample(of_days, settings, 8, None, event_day(), tmp_path / "one")
    key = read_key(tmp_path / "one")
    # Decoys: a quarter of the events and more near misses, as many random moments; of each detector and so of all.
    kinds = pd.DataFrame(key).groupby(["detector", "kind"]).size().unstack(fill_value=0)
    assert kinds.loc["gap"].to_dict() == {"event": 8, "near_miss": 2, "random": 2}
    assert ((kinds["near_miss"] + kinds["random"]) >= 0.2 * kinds.sum(axis=1)).all()
    events = {row.event_id for row in of_days.read("gold.events").collect()}
    assert {item["event_id"] for item in key if item["kind"] == "event"} <= events
    assert all((item["event_id"] is None) == (item["kind"] != "event") for item in key)
    assert {item["symbol"][:4] for item in key if item["detector"] == "gap" and item["kind"] == "near_miss"} == {"NEAR"}
    assert {item["detector"] for item in key} == {"gap"}

    # Of what is shown: an item's day, and no day after, no name, no kind.
    shown = read_items(tmp_path / "one")
    assert [item["item_id"] for item in shown] == sorted(item["item_id"] for item in key)
    assert {*shown[0]} == {"item_id", "question", "pattern"}
    content = "".join(file.read_text() for file in sorted((tmp_path / "one" / "shown").rglob("*.json*")))
    for word in ("GAP0", "NEAR", "QUIET", "T:", "2015", "near_miss", "event_id", *events):
        assert word not in content, word
    bars = days()
    found = figures(tmp_path / "one")
    for item in key:
        of_name = bars[bars["symbol"] == item["symbol"]]
        day = date.fromisoformat(item["session_date"])
        before = values(of_name[of_name["session_date"] < day]) | {item["price"]}
        after = values(of_name[of_name["session_date"] >= day]) - before
        assert after
        assert not after & found[item["item_id"]]
        assert before <= found[item["item_id"]] | {round(item["price"], 4)}

    # The same again; another version of the table gives another sample, which the folder does not take.
    again = draw_sample(of_days, settings, 8, None, event_day(), None)
    assert str(again.folder) == f"{of_days.root}/review/{read_sample(again.folder).sample_id}"
    assert again.items == drawn.items
    files = [file.relative_to(drawn.folder) for file in drawn.folder.rglob("*.*") if file.is_file()]
    assert len(files) == 3 + len(key)
    assert all((drawn.folder / file).read_bytes() == (again.folder / file).read_bytes() for file in files)
    detect(of_days, settings, "daily", event_day(), event_day())
    with pytest.raises(BadInput, match="name another folder"):
        draw_sample(of_days, settings, 8, None, event_day(), drawn.folder)


@pytest.mark.slow
def test_minutes_after_the_decision_are_in_no_file(of_minutes: Lake, settings: Settings, tmp_path: Path) -> None:
    drawn = draw_sample(of_minutes, settings, 2, planted.DATE, planted.DATE, tmp_path / "sample")
    found, bars = figures(tmp_path / "sample"), minutes()
    assert {item["detector"] for item in drawn.items} >= {"volume_spike", "price_momentum"}
    with_later = 0
    for item in drawn.items:
        own = bars[bars["symbol"] == item["symbol"]]
        known = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=item["known_micros"])
        ended = own["ts"] + pd.Timedelta(seconds=60 + settings.publication_delay_seconds) <= known
        after = values(own[~ended]) - values(own[ended])
        with_later += bool(after)
        assert not after & found[item["item_id"]]
        assert values(own[ended]) <= found[item["item_id"]]
        assert "2025" not in (tmp_path / "sample" / "shown" / "charts" / f"{item['item_id']}.json").read_text()
    assert with_later > 5


def test_trades_after_the_decision_are_in_no_chart_and_a_later_decision_has_them(
    spark: SparkSession, lake: Lake, settings: Settings
) -> None:
    start = datetime(2025, 5, 20, 14, 0, tzinfo=UTC)
    rows = []
    for place, (seconds, price) in enumerate(
        [(-1900, 4.4441), (-25, 5.01), (-21, 5.02), (-3, 5.03), (0, 5.04), (1, 6.6663)]
    ):
        at = start + timedelta(seconds=seconds, milliseconds=500)
        common = {"symbol": "TAPE", "security_id": "T:TAPE", "session_date": planted.DATE, "ts": at, "price": price}
        common |= {"sip_ns": int(at.timestamp() * 1000) * 10**6, "participant_ns": 0, "sequence_number": place}
        common |= {"session": "regular", "segment": 1, "segment_start": 330, "second": 21_600 + seconds, "size": 100}
        flags = ("updates_high_low", "updates_open_close", "updates_volume", "is_off_exchange", "is_odd_lot")
        rows.append(common | dict.fromkeys((*flags, "is_sweep", "is_late"), True) | {"correction": 0})
    lake.replace("silver.trades", as_table(spark, "silver.trades", rows), None, "test")
    micros = int(start.timestamp()) * 10**6
    item = {"item_id": "x", "security_id": "T:TAPE", "session_date": planted.DATE, "grain": "trade", "price": 5.04}

    def seen(second: int) -> tuple[list[tuple[int, float, float, int]], set[float]]:
        at = micros + second * 10**6
        one = item | {"ts_micros": at, "known_micros": at + 3 * 10**6}
        bars = read_bars(lake, {"silver.trades": lake.version("silver.trades")}, [one], 2)
        tape = bars.tape[["back", "open", "close", "volume"]]
        return [*tape.itertuples(index=False, name=None)], numbers(json.loads(charts_of(one, bars)))

    # 10-second buckets back from the item's own: −29…−20, −19…−10, −9…0. What is over half an hour old is left out.
    found, shown = seen(0)
    assert found == [(2, 5.01, 5.02, 2), (0, 5.03, 5.04, 2)]
    assert 5.04 in shown
    assert not {4.4441, 6.6663} & shown
    assert 6.6663 in seen(1)[1]


def test_a_systematic_sample_gives_each_month_its_share_and_all_where_there_are_no_more(spark: SparkSession) -> None:
    rows = [
        ("gap", f"{month}{number}", date(2024, month, 1 + number % 28), float(number))
        for month, count in ((1, 60), (2, 30), (3, 10))
        for number in range(count)
    ]
    rows += [("rare", f"r{number}", date(2024, 1, 2), None) for number in range(3)]
    events = spark.createDataFrame(rows, "detector string, event_id string, session_date date, dollar_volume double")
    taken = systematic(events, "seed", {"gap": 10, "rare": 3}).toPandas()
    assert list(taken.columns) == events.columns
    gaps = taken[taken["detector"] == "gap"]
    assert gaps["session_date"].map(lambda day: day.month).value_counts().to_dict() == {1: 6, 2: 3, 3: 1}
    assert len(taken) - len(gaps) == 3
    ids = set(gaps["event_id"])
    assert ids == set(systematic(events, "seed", {"gap": 10}).toPandas()["event_id"])
    assert ids != set(systematic(events, "another", {"gap": 10}).toPandas()["event_id"])
    assert systematic(events, "seed", {"gap": 0}).isEmpty()


def test_without_events_there_is_no_sample(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"gold\.events has not been written"):
        draw_sample(lake, settings, 8, None, None, tmp_path)
    lake.replace("gold.events", lake.empty("gold.events").drop("run_id"), None, "test")
    with pytest.raises(BadInput, match=r"gold\.events has nothing from the first day to the last"):
        draw_sample(lake, settings, 8, None, None, tmp_path)
