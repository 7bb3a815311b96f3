"""Windows of ticks from the simulated vendor: only they are asked for, once, and what needs whole days leaves them out."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
import requests
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.ingest.forecast import Forecast
from smallcaps.ingest.requests import TickWindow
from smallcaps.ingest.rest import Answered, ingest_endpoint, new_york_today, wanted
from smallcaps.ingest.routine import carry_out
from smallcaps.ingest.windows import USUAL_BYTES_A_ROW, USUAL_ROWS_A_MINUTE, window_forecasts, window_steps
from smallcaps.lake import Lake, last_runs
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from smallcaps.sources.simulator.server import running
from tests.sources.simulator.server.market import KEY, MONDAY, at, write_market
from tests.sources.vendor_bodies import results
from tests.sources.vendor_server import Answer, vendor_server

pytestmark = pytest.mark.slow


def window(symbol: str, start: str, end: str) -> TickWindow:
    return TickWindow(MONDAY, symbol, at(MONDAY, start), at(MONDAY, end))


OPENING, CLOSING = window("ABCD", "09:30:00", "09:31:15"), window("ABCD", "15:59:00", "16:04:00")
ONE_TRADE = window("LMNO", "09:30:05.000000000", "09:30:05.000000001")
PLAN = [OPENING, CLOSING, ONE_TRADE]
WIDER = [window("ABCD", "09:29:00", "09:33:30"), CLOSING, ONE_TRADE]


@dataclass(frozen=True)
class Story:
    """A lake; what each call came to, the ticks' paths it asked for, and the sequence numbers of bronze.trades after it."""

    lake: Lake
    results: dict[str, dict[str, Any]]
    asked: dict[str, list[str]]
    trades: dict[str, list[int]]
    forecasts: dict[str, dict[str, Forecast]]


@pytest.fixture(scope="module")
def story(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("windows")
    lake, market = Lake(str(folder / "lake"), spark, suites=True), folder / "market"
    write_market(market)
    told = Story(lake, {}, {}, {}, {})
    with running(market, KEY) as place:
        own = at_origin(settings, place.origin)

        def paths() -> list[str]:
            served = requests.get(
                f"{place.origin}/simulator/served", headers={"Authorization": f"Bearer {KEY}"}, timeout=30
            )
            return [path for path in served.json()["paths"] if path.startswith("/v3/")]

        def call(title: str, plan: list[TickWindow]) -> None:
            before = len(paths())
            told.forecasts[title] = window_forecasts(lake, own, plan)
            assert len(paths()) == before  # Telling asks nobody.
            told.results[title] = carry_out(window_steps(lake, own, Key(KEY), plan))
            told.asked[title] = paths()[before:]
            rows = lake.read("bronze.trades").collect()
            told.trades[title] = sorted(row.sequence_number for row in rows)

        call("first", PLAN)
        call("again", PLAN)
        call("wider", WIDER)
        of_day = {"symbols": ["LMNO"], "as_of": MONDAY}
        ingest_endpoint(lake, own, Key(KEY), ENDPOINTS["trades"], wanted(MONDAY, MONDAY, **of_day))
        call("whole", WIDER)
        both = {"symbols": ["ABCD", "LMNO"], "as_of": MONDAY}
        for name in ("minute_bars", "day_bars"):
            ingest_endpoint(lake, own, Key(KEY), ENDPOINTS[name], wanted(MONDAY, MONDAY, **both))
    refine(lake, own, MONDAY, MONDAY, ("silver.calendar", "silver.securities", "silver.trades", "silver.bars_1m"))
    return told


def at_origin(settings: Settings, origin: str) -> Settings:
    vendor = settings.vendor.model_copy(update={"origin": origin, "requests_per_second": 1_000.0, "connections": 2})
    return settings.model_copy(update={"vendor": vendor})


def test_only_the_windows_are_asked_for_from_their_start_up_to_their_end(story: Story) -> None:
    assert story.results["first"] == {
        "trade_windows 2026-06": Answered(asked=3, known=0, rows=7, rows_refused=0),
        "quote_windows 2026-06": Answered(asked=3, known=0, rows=2, rows_refused=0),
    }
    assert len(story.asked["first"]) == 6
    spans = {path.partition("&sort=timestamp&")[2] for path in story.asked["first"]}
    assert spans == {f"timestamp.gte={one.start_ns}&timestamp.lt={one.end_ns}" for one in PLAN}
    # Trade 14 is a nanosecond after 13, the first that is not in the window.
    assert story.trades["first"] == [2, 3, 4, 5, 6, 11, 13]
    assert sorted(row.sequence_number for row in story.lake.read("bronze.quotes").collect()) == [102, 103]


def test_a_second_run_asks_for_nothing_and_leaves_the_same(story: Story) -> None:
    assert story.asked["again"] == []
    assert story.results["again"] == dict.fromkeys(story.results["first"], Answered(0, 3, 0, 0))
    assert story.trades["again"] == story.trades["first"]


def test_a_wider_window_is_asked_for_and_takes_the_place_of_what_was_there_of_it(story: Story) -> None:
    assert len(story.asked["wider"]) == 2
    assert story.results["wider"]["trade_windows 2026-06"] == Answered(asked=1, known=2, rows=10, rows_refused=0)
    assert story.trades["wider"] == [2, 3, 4, 5, 6, 7, 8, 9, 11, 13]


def test_of_a_day_that_is_here_whole_nothing_is_asked_and_its_rows_stay(story: Story) -> None:
    assert story.asked["whole"] == []
    assert story.trades["whole"] == [*story.trades["wider"], 14]
    notes = [run["message"] for run in last_runs(story.lake, ["ingest windows"])]
    assert notes[1].endswith("1 of 3 windows are of days that are here whole")


def test_the_plan_tells_requests_pages_and_bytes_and_what_they_rest_on(story: Story) -> None:
    minutes = sum(one.end_ns - one.start_ns for one in PLAN) / 60e9
    assert minutes == pytest.approx(6.25)
    cold = story.forecasts["first"]["trade_windows 2026-06"]
    size = round(minutes * USUAL_ROWS_A_MINUTE * USUAL_BYTES_A_ROW)
    assert (cold.requests, cold.known, cold.pages, cold.size_bytes, cold.basis) == (3, 0, 3, size, "a guess")
    assert story.forecasts["again"]["trade_windows 2026-06"].requests == 0
    warm = story.forecasts["wider"]["trade_windows 2026-06"]
    # Seven trades in four minutes of a name: ABCD's 9:30 (4), 9:31 (1) and 16:00 (1), LMNO's 9:30 (1).
    bodies = (
        story.lake.read("bronze.bodies").where("endpoint = 'trade_windows'").orderBy("received_at").limit(3).collect()
    )
    a_row = sum(body.size_bytes for body in bodies) / sum(body.records for body in bodies)
    assert (warm.requests, warm.known, warm.size_bytes) == (1, 2, round(4.5 * 7 / 4 * a_row))
    whole = story.forecasts["whole"]["trade_windows 2026-06"]
    assert (whole.requests, whole.known) == (0, 3)
    assert whole.basis.endswith("1 of days that are here whole")


def test_a_window_of_many_trades_is_of_several_pages(lake: Lake, settings: Settings) -> None:
    hours = [TickWindow(MONDAY, "ABCD", at(MONDAY, "04:00:00"), at(MONDAY, "20:00:00"))]
    # 960 minutes of 100 trades: 96,000, so two pages of 50,000.
    assert [one.pages for one in window_forecasts(lake, settings, hours).values()] == [2, 2]


def test_what_needs_whole_days_leaves_the_windows_out(story: Story) -> None:
    trades = story.lake.read("silver.trades").select("symbol", "is_whole_day").distinct()
    assert {tuple(row) for row in trades.collect()} == {("ABCD", False), ("LMNO", True)}
    minutes = story.lake.read("silver.bars_1m").groupBy("symbol", "source").count().collect()
    # The vendor's five minutes of ABCD stand, though bronze has trades in three of them.
    assert {(row.symbol, row.source): row["count"] for row in minutes} == {("ABCD", "vendor"): 5, ("LMNO", "trades"): 1}


def test_a_vendor_that_answers_with_more_than_was_asked_for_has_the_rest_refused(
    lake: Lake, settings: Settings
) -> None:
    stamps = (OPENING.start_ns - 1, OPENING.start_ns, OPENING.end_ns - 1, OPENING.end_ns)
    rows = [
        {
            "sip_timestamp": ns,
            "participant_timestamp": ns,
            "sequence_number": number,
            "price": 1,
            "size": 1,
            "exchange": 1,
        }
        for number, ns in enumerate(stamps)
    ]
    with vendor_server(lambda _, path: Answer(results(*(rows if "/trades/" in path else ())))) as server:
        came = carry_out(window_steps(lake, at_origin(settings, server.origin), Key(KEY), [OPENING]))
    assert came["trade_windows 2026-06"] == Answered(asked=1, known=0, rows=2, rows_refused=2)
    assert {row.rule for row in lake.read("ops.quarantine").collect()} == {"outside_request"}


def test_windows_of_a_day_that_is_not_over_are_refused(lake: Lake, settings: Settings) -> None:
    with pytest.raises(BadInput, match="is not over in New York"):
        window_steps(lake, settings, Key(KEY), [replace(OPENING, session_date=new_york_today())])
