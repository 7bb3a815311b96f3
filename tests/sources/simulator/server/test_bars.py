"""Bars over REST: snapping, windows, adjustment, paging by base bars, the v1 and v2 quirks."""

import pytest

from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import FRIDAY, MONDAY, THURSDAY, ms

RANGE = "/v2/aggs/ticker/{}/range/{}/{}/{}/{}"


def test_a_day_bar_begins_at_midnight_in_new_york_and_is_adjusted_unless_one_asks_for_raw(asking: Asking) -> None:
    path = RANGE.format("ABCD", 1, "day", THURSDAY, MONDAY)
    adjusted, raw = asking.body(path), asking.body(path + "?adjusted=false")
    assert [bar["t"] for bar in raw["results"]] == [ms(day, "00:00:00") for day in (THURSDAY, FRIDAY, MONDAY)]
    assert raw["results"][0] == {
        "v": 3650.5,
        "o": 1.0,
        "c": 1.2,
        "h": 1.2,
        "l": 0.98,
        "vw": 1.1,
        "t": ms(THURSDAY, "00:00:00"),
        "n": 37,
    }
    assert adjusted["results"][0] | {"t": 0} == {
        "v": 365.05,
        "o": 10.0,
        "c": 12.0,
        "h": 12.0,
        "l": 9.8,
        "vw": 11.0,
        "t": 0,
        "n": 37,
    }
    assert adjusted["results"][2] == raw["results"][2]
    assert (adjusted["adjusted"], raw["adjusted"]) == (True, False)
    assert {"queryCount", "resultsCount", "count", "ticker", "request_id", "status"} <= set(raw)


def test_an_unknown_ticker_has_no_results_key(asking: Asking) -> None:
    body = asking.body(RANGE.format("NOPE", 1, "day", THURSDAY, MONDAY))
    assert "results" not in body
    assert (body["resultsCount"], body["queryCount"], body["status"]) == (0, 0, "OK")


def test_tickers_are_told_apart_by_case(asking: Asking) -> None:
    assert asking.body(RANGE.format("BApA", 1, "day", MONDAY, MONDAY))["resultsCount"] == 1
    assert asking.body(RANGE.format("BAPA", 1, "day", MONDAY, MONDAY))["resultsCount"] == 0


def test_an_end_within_a_minute_takes_the_whole_minute(asking: Asking) -> None:
    inside = RANGE.format("LMNO", 1, "minute", ms(MONDAY, "09:30:30"), ms(MONDAY, "09:31:00"))
    assert [bar["t"] for bar in asking.body(inside)["results"]] == [ms(MONDAY, "09:30:00"), ms(MONDAY, "09:31:00")]


def test_a_premarket_is_one_bar_of_330_minutes(asking: Asking) -> None:
    path = RANGE.format("LMNO", 330, "minute", ms(MONDAY, "04:00:00"), ms(MONDAY, "09:29:59"))
    (bar,) = asking.body(path)["results"]
    assert (bar["t"], bar["o"], bar["v"]) == (ms(MONDAY, "04:00:00"), 1.98, 100.0)


def test_five_minutes_are_merged_of_their_minutes(asking: Asking) -> None:
    path = RANGE.format("LMNO", 5, "minute", MONDAY, MONDAY)
    bar = asking.body(path)["results"][1]
    # 09:30 (2.00 2.20 1.96 2.10, 1,000 at 2.04) and 09:31 (2.10 2.12 2.08 2.12, 500 at 2.10): vwap (2,040 + 1,050) / 1,500
    assert bar == {
        "v": 1500.0,
        "o": 2.0,
        "c": 2.12,
        "h": 2.2,
        "l": 1.96,
        "vw": 2.06,
        "t": ms(MONDAY, "09:30:00"),
        "n": 15,
    }


def test_hours_are_the_tapes_own(asking: Asking) -> None:
    bars = asking.body(RANGE.format("LMNO", 1, "hour", MONDAY, MONDAY))["results"]
    assert [(bar["t"], bar["c"]) for bar in bars] == [
        (ms(MONDAY, "08:00:00"), 1.98),
        (ms(MONDAY, "09:00:00"), 2.12),
        (ms(MONDAY, "10:00:00"), 2.40),
        (ms(MONDAY, "16:00:00"), 2.36),
    ]


def test_a_week_begins_on_sunday_and_snaps_to_its_whole(asking: Asking) -> None:
    bars = asking.body(RANGE.format("LMNO", 1, "week", FRIDAY, FRIDAY))["results"]
    assert [(bar["t"], bar["v"], bar["n"]) for bar in bars] == [
        (ms(THURSDAY.replace(day=1), "00:00:00") - 86_400_000, 7301.0, 74)
    ]


@pytest.mark.parametrize(("span", "month"), [("month", 6), ("quarter", 4), ("year", 1)])
def test_months_quarters_and_years_begin_on_their_first_day(asking: Asking, span: str, month: int) -> None:
    (bar,) = asking.body(RANGE.format("LMNO", 1, span, MONDAY, MONDAY))["results"]
    assert bar["n"] == 3 * 37
    zone_hours = 5 if month == 1 else 4
    assert bar["t"] == ms(MONDAY.replace(month=month, day=1), "00:00:00")
    assert bar["t"] % 86_400_000 == zone_hours * 3_600_000


def test_seconds_are_made_of_trades_that_may_set_a_price(asking: Asking) -> None:
    bars = asking.body(RANGE.format("ABCD", 1, "second", ms(MONDAY, "09:30:00"), ms(MONDAY, "09:30:59")))["results"]
    # The odd lot of 09:30:01 makes no bar of its own; the late report of 09:31:30 belongs to 09:30:40, when it traded.
    assert [(bar["t"], bar["o"], bar["c"], bar["v"], bar["n"]) for bar in bars] == [
        (ms(MONDAY, "09:30:00"), 10.0, 10.02, 1100.0, 2),
        (ms(MONDAY, "09:30:29"), 10.01, 10.01, 0.740474, 1),
        (ms(MONDAY, "09:30:40"), 10.2, 10.2, 300.0, 1),
    ]


def test_form_t_sets_prices_after_the_close_and_cancel_records_make_no_bar(asking: Asking) -> None:
    bars = asking.body(RANGE.format("ABCD", 1, "second", ms(MONDAY, "09:33:00"), ms(MONDAY, "20:00:00")))["results"]
    assert [(bar["t"], bar["c"]) for bar in bars] == [(ms(MONDAY, "16:00:00"), 10.1), (ms(MONDAY, "16:05:00"), 10.15)]


def test_the_limit_counts_base_bars_and_next_url_moves_the_beginning(asking: Asking) -> None:
    path = RANGE.format("LMNO", 1, "hour", MONDAY, MONDAY) + "?limit=3&adjusted=false"
    pages = list(asking.pages(path))
    # Hours have 1, 2, 1, 1 minutes: three minutes make two whole hours.
    assert [[bar["t"] for bar in page["results"]] for page in pages] == [
        [ms(MONDAY, "08:00:00"), ms(MONDAY, "09:00:00")],
        [ms(MONDAY, "10:00:00"), ms(MONDAY, "16:00:00")],
    ]
    assert [page["queryCount"] for page in pages] == [3, 2]
    assert f"/range/1/hour/{ms(MONDAY, '10:00:00')}/{MONDAY}?cursor=" in pages[0]["next_url"]
    assert "next_url" not in pages[1]
    assert not pages[1]["adjusted"]


def test_a_window_greater_than_the_limit_is_given_whole(asking: Asking) -> None:
    (page,) = asking.pages(RANGE.format("LMNO", 1, "week", THURSDAY, FRIDAY) + "?limit=1")
    assert page["results"][0]["n"] == 74


@pytest.mark.parametrize("span", ["minute", "day", "second"])
@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_pages_joined_are_the_whole_in_either_order(asking: Asking, span: str, sort: str) -> None:
    path = RANGE.format("ABCD", 1, span, THURSDAY, MONDAY)
    whole = asking.body(f"{path}?sort={sort}")["results"]
    pages = [page["results"] for page in asking.pages(f"{path}?limit=2&sort={sort}")]
    assert [bar for page in pages for bar in page] == whole
    assert [bar["t"] for bar in whole] == sorted((bar["t"] for bar in whole), reverse=sort == "desc")
    assert len(pages) > 1


def test_grouped_days_are_stamped_at_the_close(asking: Asking) -> None:
    body = asking.body(f"/v2/aggs/grouped/locale/us/market/stocks/{THURSDAY}?locale=us&market_type=stocks")
    assert [bar["T"] for bar in body["results"]] == ["ABCD", "BApA", "LMNO", "WXYZ"]
    assert {bar["t"] for bar in body["results"]} == {ms(THURSDAY, "16:00:00")}
    assert [bar["c"] for bar in body["results"]] == [12.0, 1.2, 2.4, 3.6]
    empty = asking.body("/v2/aggs/grouped/locale/us/market/stocks/2026-06-06")
    assert (empty["resultsCount"], "results" in empty) == (0, False)


def test_the_previous_day_is_the_last_one_that_is_over(asking: Asking) -> None:
    (bar,) = asking.body("/v2/aggs/ticker/ABCD/prev")["results"]
    assert (bar["T"], bar["t"], bar["c"]) == ("ABCD", ms(MONDAY, "16:00:00"), 12.0)
    assert "results" not in asking.body("/v2/aggs/ticker/NOPE/prev")


def test_open_and_close_are_a_flat_object(asking: Asking) -> None:
    body = asking.body(f"/v1/open-close/LMNO/{MONDAY}")
    assert body == {
        "status": "OK",
        "from": "2026-06-08",
        "symbol": "LMNO",
        "open": 2.0,
        "high": 2.4,
        "low": 1.96,
        "close": 2.4,
        "volume": 3650.5,
        "afterHours": 2.36,
        "preMarket": 1.98,
    }
    assert asking.body("/v1/open-close/LMNO/2026-06-06", 404)["message"] == "Data not found."


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (RANGE.format("A", 1, "day", "junk", MONDAY), "Could not parse the time parameter: 'from'"),
        (RANGE.format("A", 1, "day", MONDAY, "2026-13-01"), "Could not parse the time parameter: 'to'"),
        (RANGE.format("A", 1, "day", "9" * 30, MONDAY), "Could not parse the time parameter: 'from'"),
        (RANGE.format("A", 1, "day", MONDAY, FRIDAY), "The parameter 'to' cannot be a time that occurs before 'from'"),
        (RANGE.format("A", 0, "day", FRIDAY, MONDAY), "'multiplier'"),
        (RANGE.format("A", 1, "fortnight", FRIDAY, MONDAY), "'timespan'"),
        (RANGE.format("A", 1, "day", FRIDAY, MONDAY) + "?limit=50001", "'limit'"),
        (RANGE.format("A", 1, "day", FRIDAY, MONDAY) + "?sort=up", "'sort'"),
        (RANGE.format("A", 1, "day", FRIDAY, MONDAY) + "?adjusted=maybe", "'adjusted'"),
        ("/v2/aggs/grouped/locale/us/market/stocks/today", "'date'"),
        ("/v1/open-close/A/2026-02-30", "'date'"),
    ],
)
def test_what_cannot_be_read_is_refused(asking: Asking, path: str, said: str) -> None:
    body = asking.body(path, 400)
    assert body["status"] == "ERROR"
    assert said in body["error"]
