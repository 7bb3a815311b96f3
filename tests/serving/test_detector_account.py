"""The account of the daily detectors: each reason on a name made for it, the counts, and the page."""

from datetime import date

import pandas as pd
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.cli.account import show_account
from smallcaps.config import Settings
from smallcaps.detectors.detect import events
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.serving.detector_account import PUBLISHED, REASONS, Account, bands, collect, render, why
from tests.detectors.frames import daily_frame, walk
from tests.detectors.test_daily import QUIET_DAYS, quiet_then

FIRST, LAST = walk(1)[0], walk(QUIET_DAYS + 2)[-1]


def scaled(price: float) -> tuple[float, float, float, float, int]:
    """A day that opens 15 % higher than `price` and stays there."""
    return (*(round(price * one, 4) for one in (1.15, 1.16, 1.14, 1.15)), 100_000)


def name(symbol: str, price: float = 10.0, last: tuple | None = None, next_open: float | None = None) -> pd.DataFrame:
    """Quiet days, a gap of 15 % unless told otherwise, and a day at the gap's price, or that opens elsewhere."""
    gap = last or scaled(price)
    bars = quiet_then(symbol, gap, price)
    opens = next_open or gap[3]
    after = {"open": opens, "high": max(opens, gap[3]) + 0.01, "low": min(opens, gap[3]) - 0.01, "close": gap[3]}
    return pd.concat([bars, pd.DataFrame([after | {"volume": 100_000, "symbol": symbol, "session_date": LAST}])])


@pytest.fixture(scope="module")
def account(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Account:
    dry = name("DRY")
    dry.loc[dry["session_date"] == walk(QUIET_DAYS)[-1], "volume"] = 0
    names = [
        *(name("GOOD"), dry, name("PENNY", 0.5), name("DEAR", 50.0), name("THIN", 2.0)),
        name("SPLIT", last=(20.0, 20.2, 19.8, 20.0, 50_000)),
        name("MISSING", last=(20.0, 20.2, 19.8, 20.0, 50_000)),
        # 15 % up at the open, 1 % above the close before at the next: a fifteenth of the way is left.
        name("BACK", next_open=10.1),
    ]
    splits = pd.DataFrame({"symbol": ["SPLIT"], "ex_date": [walk(QUIET_DAYS + 1)[-1]], "price_factor": [2.0]})
    bars = daily_frame(spark, pd.concat(names, ignore_index=True), splits)
    lake = Lake(str(tmp_path_factory.mktemp("account") / "lake"), spark)
    with pytest.raises(BadInput, match=r"silver\.bars_1d not written yet"):
        collect(lake, settings, FIRST, LAST)
    full = bars.withColumn("zero_volume", F.col("volume") == 0).withColumn("transactions", F.lit(None).cast("bigint"))
    lake.replace("silver.bars_1d", full, None, "a run")
    lake.replace("gold.events", events(bars, settings, "daily"), None, "a run")
    with pytest.raises(BadInput, match=r"no daily events from 2015-03-20 to 2015-03-21"):
        collect(lake, settings, FIRST, date(2015, 3, 21))
    return collect(lake, settings, FIRST, LAST)


def gaps(account: Account, column: str) -> dict[str, int]:
    """Gaps by reason, where there are any. The day after the gap BACK gaps again, down: it is judged by nothing after it."""
    rows = account.reasons[(account.reasons["kind"] == "gap") & (account.reasons[column] > 0)]
    return dict(zip(rows["reason"], rows[column].astype(int), strict=True))


def test_an_event_has_the_first_reason_that_holds(account: Account) -> None:
    one_each = dict.fromkeys(REASONS, 1)
    # GOOD's, and BACK's way down.
    assert gaps(account, "bare") == one_each | {"none_of_these": 2}


def test_floor_and_splits_keep_out_what_they_are_for_and_nothing_else(account: Account) -> None:
    in_force = {"possible_missing_split": 1, "isolated_price": 1, "none_of_these": 2}
    assert gaps(account, "in_force") == in_force
    assert gaps(account, "kept_out") == {reason: 1 for reason in REASONS if reason not in in_force}
    assert why(account)["all"].sum() == account.reasons["kept_out"].sum() == 5
    assert why(account, "in_force")["all"].sum() == account.events


def test_events_are_counted_by_month_and_price_band_and_held_against_the_days_above_the_floor(account: Account) -> None:
    gap = account.counts[account.counts["kind"] == "gap"]
    # GOOD, MISSING and BACK closed at 10 $ the day before, BACK at 11.50 $ before its way down.
    assert gap[["month", "band", "events"]].values.tolist() == [["2015-05", "10–20 $", 4]]
    assert bands(account).loc["gap"].tolist() == [0, 0, 0, 4]
    # From the 11th bar on, of eight names' 42 days: GOOD, BACK, SPLIT, MISSING 32 each; DRY misses the day after the one
    # without volume; MISSING and SPLIT are at 20 $, which is not above 20.
    assert account.floored == 4 * 32 + 31
    rate = account.rates.set_index("kind").loc["gap"]
    assert (rate["events"], rate["published"]) == (4, PUBLISHED["gap"])
    assert rate["rate"] == pytest.approx(1_000 * 4 / 159)


def test_days_that_repeat_a_name_and_the_busiest_sessions_are_told(account: Account) -> None:
    assert (account.sessions, account.symbol_days, account.repeats) == (QUIET_DAYS + 2, 4, 1)
    assert account.days_a_year == pytest.approx(4 * 252 / 42)
    assert account.busiest["events"].sum() == account.events
    assert account.busiest_share == 1


def test_page_and_tables_say_the_same(account: Account, capsys: pytest.CaptureFixture[str]) -> None:
    page = render(account)
    assert "<script src" not in page
    for reason in REASONS:
        assert reason.replace("_", " ") in page
    show_account(account)
    said = capsys.readouterr().out
    assert "4 events on 4 symbol-days (24 a year) of 159 above the floor" in " ".join(said.split())
    assert "possible missing split" in said
