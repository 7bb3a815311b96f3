"""The page: nothing after the decision in the first chart, what is missing is said, and nothing from the data is markup."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from smallcaps.config import Settings
from smallcaps.serving.page import number, price, tiny
from smallcaps.serving.report import barriers, in_shares_of, render, summarise
from smallcaps.serving.report_data import ReportData

EVENT_DAY = date(2015, 6, 10)
DAYS = [EVENT_DAY + timedelta(days=offset) for offset in (-2, -1, 0, 1, 2)]
OPEN, CLOSE = timedelta(hours=13, minutes=30), timedelta(hours=20)
NOTHING = dict.fromkeys(
    ("span", "market", "events", "months", "top", "bars", "labels", "intraday", "outcomes", "predictions", "runs"),
    None,
)


def at(day: date, clock: timedelta) -> pd.Timestamp:
    return pd.Timestamp(day) + clock


@pytest.fixture
def empty(settings: Settings) -> ReportData:
    made = datetime(2026, 1, 2, tzinfo=UTC)
    return ReportData(made_at=made, code_version="v", settings=settings, lake="lake", quarantine=None, **NOTHING)


def bars(symbol: str, factors: tuple[float, ...] = (1.0,) * 5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "symbol": symbol,
            "session_date": DAYS,
            "session_number": range(100, 105),
            "close_at": [at(day, CLOSE) for day in DAYS],
            **dict.fromkeys(("open", "high", "low", "close"), 10.0),
            "volume": 1000,
            "cumulative_factor": factors,
        }
    )


def with_event(data: ReportData, symbol: str = "ABC", **values: Any) -> ReportData:
    """The page of one event, known when its day has closed."""
    event = {
        **dict.fromkeys(("pct_change", "gap_pct", "relative_volume", "relative_volume_percentile"), None),
        **{"event_id": "e" * 32, "rank": 1, "symbol": symbol, "session_date": EVENT_DAY, "detector": "range_explosion"},
        **{"known_at": at(EVENT_DAY, CLOSE), "direction": 1, "strength": 2.0, "price": 10.0, "atr": 0.5},
        **{"score": 0.9, "strength_percentile": 0.9, "dollar_volume_percentile": 0.8, "dollar_volume": 1e6},
        **{"earlier_events": 50, "possible_missing_split": False},
        **values,
    }
    return replace(data, top=pd.DataFrame([event]), bars=bars(symbol))


def chart(page: str, label: str) -> dict[str, Any]:
    """The figure with that label, as the page's script will read it."""
    found = re.search(rf'aria-label="{label}"><script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None, label
    return json.loads(found[1])


def days_of(figure: dict[str, Any]) -> list[str]:
    candles = next(trace for trace in figure["data"] if trace["type"] == "candlestick")
    return list(candles["x"])


@pytest.mark.parametrize("command", ["detect daily", "manifest", "features", "train", "label", "demo"])
def test_a_lake_without_anything_says_which_command_makes_it(empty: ReportData, command: str) -> None:
    assert f"<code>smallcaps {command}</code>" in render(empty)


def test_a_page_can_be_made_twice_alike_and_its_summary_is_json(empty: ReportData) -> None:
    assert render(empty) == render(empty)
    assert json.loads(json.dumps(summarise(empty), default=str))["events"] is None


def test_the_first_chart_ends_where_the_decision_was_made(empty: ReportData) -> None:
    page = render(with_event(empty))
    assert days_of(chart(page, "ABC up to the event")) == [str(day) for day in DAYS[:3]]
    assert days_of(chart(page, "ABC after the event")) == [str(day) for day in DAYS[3:]]


def test_an_event_known_at_the_open_shows_nothing_of_its_own_day_but_the_open(empty: ReportData) -> None:
    page = render(with_event(empty, known_at=at(EVENT_DAY, OPEN), price=9.0))
    figure = chart(page, "ABC up to the event")
    assert days_of(figure) == [str(day) for day in DAYS[:2]]
    point = next(trace for trace in figure["data"] if trace["type"] == "scatter")
    assert (point["x"], point["y"]) == ([str(EVENT_DAY)], [9.0])
    assert days_of(chart(page, "ABC after the event"))[0] == str(EVENT_DAY)


def test_what_came_after_is_folded_away(empty: ReportData) -> None:
    page = render(with_event(empty))
    assert page.index("<details><summary>What came after") < page.index('aria-label="ABC after the event"')
    assert not re.search(r"<details[^>]* open", page)


def test_a_ticker_or_a_reason_is_never_markup(empty: ReportData) -> None:
    symbol = "</script><b>X&"
    quarantine = pd.DataFrame([{"table_name": "t", "rule": "r", "reason": "<img src=x>", "rows": 3}])
    page = render(replace(with_event(empty, symbol), quarantine=quarantine))
    assert symbol not in page
    assert "<img src=x>" not in page
    assert "&lt;img src=x&gt;" in page


def test_bars_are_carried_into_the_shares_of_the_events_day() -> None:
    # A 1-for-10 reverse split doubles nothing: $1 before is $10 after, and 1,000 shares are 100.
    carried = in_shares_of(bars("ABC", (1.0, 1.0, 10.0, 10.0, 10.0)), 10.0)
    assert carried["close"].tolist() == [100.0, 100.0, 10.0, 10.0, 10.0]
    assert carried["volume"].tolist() == [100.0, 100.0, 1000.0, 1000.0, 1000.0]
    assert carried["is_scaled"].tolist() == [True, True, False, False, False]


def test_levels_are_those_of_the_label_where_there_was_an_entry() -> None:
    label = {"entry_price": 10.0, "continuation_price": 11.0, "reversal_price": 9.0}
    assert barriers(label) == {"entry": 10.0, "continuation": 11.0, "reversal": 9.0}
    assert barriers(dict.fromkeys(label)) == {}


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (1234.5, "$1,234.50"), (0.1234, "$0.1234")])
def test_prices_below_a_dollar_keep_four_places(value: float | None, text: str) -> None:
    assert price(value) == text


def test_numbers_are_written_without_a_zero_below_zero_and_small_ones_by_their_digits() -> None:
    assert [number(value) for value in (-0.4, 0.4, -1_234.6, None)] == ["0", "0", "−1,235", "–"]
    assert [tiny(value) for value in (1.2345e-7, 2.0, None)] == ["1.23e-07", "2", "–"]
