"""Matching is one to one and the largest there is; figures and intervals are worked by hand."""

import math
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from smallcaps.models.alert_score import by_date, clustered, f1, inside, match, quartiles, score, share

DATES = ["2026-10-29", "2026-10-30"]


def alerts(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["symbol", "session_date", "at"])


def windows(*rows: tuple[str, str, int, int, float]) -> pd.DataFrame:
    """Symbol, date, start, end, multiple; the onset is the start."""
    frame = pd.DataFrame(rows, columns=["symbol", "session_date", "start", "end", "multiple"])
    return frame.assign(onset=frame["start"], near_miss=frame["multiple"].between(0.75, 1, inclusive="left"))


symbols = st.sampled_from(["A", "B"])
drawn_alerts = st.lists(st.tuples(symbols, st.integers(0, 30)), max_size=7).map(
    lambda rows: alerts(*((symbol, DATES[0], at) for symbol, at in rows))
)
drawn_windows = st.lists(st.tuples(symbols, st.integers(0, 30), st.integers(0, 12)), max_size=7).map(
    lambda rows: windows(*((symbol, DATES[0], start, start + length, 1.0) for symbol, start, length in rows))
)


@settings(max_examples=40, deadline=None)
@given(drawn_alerts, drawn_windows)
def test_a_matching_is_one_to_one_within_tolerance_and_the_largest_there_is(
    some: pd.DataFrame, spans: pd.DataFrame
) -> None:
    found = match(some, spans).dropna()
    assert found.is_unique
    for alert, window in found.items():
        assert some.loc[alert, "symbol"] == spans.loc[window, "symbol"]
        assert spans.loc[window, "start"] <= some.loc[alert, "at"] <= spans.loc[window, "end"]
    possible = np.array(
        [[a.symbol == w.symbol and w.start <= a.at <= w.end for w in spans.itertuples()] for a in some.itertuples()],
        dtype=int,
    ).reshape(len(some), len(spans))
    largest = int((maximum_bipartite_matching(csr_matrix(possible), perm_type="column") >= 0).sum())
    assert len(found) == largest


@settings(max_examples=40, deadline=None)
@given(drawn_alerts, drawn_windows, st.randoms())
def test_the_order_of_rows_changes_no_matching(some: pd.DataFrame, spans: pd.DataFrame, random: Any) -> None:
    def mixed(frame: pd.DataFrame) -> pd.DataFrame:
        order = list(range(len(frame)))
        random.shuffle(order)
        return frame.iloc[order]

    def pairs(left: pd.DataFrame, right: pd.DataFrame) -> list[tuple[Any, ...]]:
        found = match(left, right).dropna()
        return sorted(
            (left.loc[a, "symbol"], left.loc[a, "at"], right.loc[w, "start"], right.loc[w, "end"])
            for a, w in found.items()
        )

    assert pairs(mixed(some), mixed(spans)) == pairs(some, spans)


def test_an_alert_takes_the_window_that_closes_first_so_that_the_next_one_finds_the_other() -> None:
    some = alerts(("A", DATES[0], 5), ("A", DATES[0], 9), ("A", DATES[0], 20), ("B", DATES[0], 5))
    spans = windows(("A", DATES[0], 0, 10, 1.0), ("A", DATES[0], 0, 6, 1.0))
    assert match(some, spans).tolist() == [1, 0, None, None]
    assert inside(some, spans).tolist() == [True, True, False, False]


@pytest.fixture
def hand() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two days. Day 1: an episode with two alerts, one without any; day 2: a near-miss that is found, and a false alarm."""
    some = alerts(("A", DATES[0], 13), ("A", DATES[0], 15), ("C", DATES[1], 32), ("D", DATES[1], 5))
    spans = windows(("A", DATES[0], 10, 20, 2.0), ("B", DATES[0], 10, 20, 1.2), ("C", DATES[1], 30, 40, 0.8))
    return some, spans


def test_precision_recall_delay_and_duplicates_are_those_of_the_hand(
    hand: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    some, spans = hand
    others = pd.concat([spans, windows(("D", DATES[1], 0, 9, 1.0))], ignore_index=True)
    found = score(some, spans, others, DATES, bar=1)
    assert (found.alerts, found.episodes, found.matched, found.duplicates) == (4, 3, 2, 1)
    assert (found.near_misses, found.near_misses_found) == (1, 1)
    assert found.precision.value == 2 / 4
    assert found.any.value == 4 / 4
    assert found.recall.value == 2 / 3
    assert found.recall_of_usual.value == 1 / 2  # of A and B
    assert found.f1.value == 2 * 2 / (4 + 3)
    assert found.delay == (2.25, 2.5, 2.75)  # of 3 and 2
    assert [(one.low, one.episodes, one.found.value) for one in found.power if one.episodes] == [
        (0.75, 1, 1.0),
        (1.0, 1, 0.0),
        (2.0, 1, 1.0),
    ]


def test_without_alerts_or_episodes_shares_are_unknown() -> None:
    found = score(alerts(), windows(), windows(), DATES, bar=1)
    assert math.isnan(found.precision.value)
    assert math.isnan(found.recall.value)
    assert found.delay is None


def test_a_bootstrap_draws_whole_dates(hand: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Of two dates four samples are as likely: each date twice, or both. F1 is then 2/4, 2/3 or (both) 4/7."""
    counts = by_date(*hand, DATES)
    assert counts.to_dict("list") == {"alerts": [2, 2], "matched": [1, 1], "episodes": [2, 1]}
    possible = [
        f1({name: counts[name].iloc[list(drawn)].sum() for name in counts}) for drawn in product((0, 1), repeat=2)
    ]
    found = clustered(counts, f1)
    assert (found.low, found.value, found.high) == (min(possible), 4 / 7, max(possible))


def test_one_date_has_no_interval() -> None:
    found = clustered(pd.DataFrame({"hits": [3], "of": [4]}), lambda sums: sums["hits"] / sums["of"])
    assert found.value == 0.75
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_where_all_are_hits_the_interval_is_wilsons() -> None:
    """Wilson's lower bound of 100 of 100 is 1 / (1 + 1.96² / 100) = 0.9630."""
    dates = pd.Series([f"2026-10-{day:02d}" for day in range(1, 21)] * 5)
    found = share(pd.Series([True] * 100), dates)
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.9630, abs=1e-4)


def test_days_that_go_together_widen_the_interval() -> None:
    """Ten dates of ten, five of them all hits: a tenth as many draws are independent."""
    dates = pd.Series([day for day in range(10) for _ in range(10)])
    together = share(dates < 5, dates)
    apart = share(pd.Series([True, False] * 50), dates)
    assert together.value == apart.value == 0.5
    assert together.high - together.low > 2.5 * (apart.high - apart.low)


def test_quartiles_of_nothing_are_none() -> None:
    assert quartiles([]) is None
    assert quartiles([1, 2, 3]) == (1.5, 2, 2.5)
