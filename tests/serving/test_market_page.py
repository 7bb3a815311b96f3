"""The page of a market: its figures are those of the folder and of the facts given, and it stands alone."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps.errors import BadInput
from smallcaps.serving.market_data import LAGS, Moments, chosen, collect, shapes_of
from smallcaps.serving.market_page import place_on_strip, write_market_page
from smallcaps.serving.market_score import best_score, deviation, reliability
from smallcaps.sources.simulator.facts import ABSOLUTE_CORRELATION, CORRELATION, Fact
from smallcaps.sources.simulator.layout import TAPE, write_records, write_tape

DAYS = (date(2026, 10, 29), date(2026, 10, 30))
FOUR_NS = {day: int(np.datetime64(f"{day}T08:00", "ns").astype(np.int64)) for day in DAYS}
"""04:00 New York, still summer time."""
OPEN, MINUTE, SECOND_NS = 19_800, 60, 10**9
CLASSES = {"LIQ": "liquid", "MIDD": "mid", "THN": "thin"}
FACTS = [
    Fact(f"{CORRELATION}, lag 1", "liquid", -0.287, -0.31, -0.18, "M"),
    Fact(f"{ABSOLUTE_CORRELATION}, lag 1", "liquid", 0.412, 0.13, 0.35, "M"),
    Fact(f"{ABSOLUTE_CORRELATION}, lag 10", "liquid", 0.055, 0.04, 0.08, "M"),
    Fact("limit pauses before 10:00", "all", float("nan"), 0.33, 0.63, "M, one day"),
    Fact(f"{CORRELATION}, lag 1", "thin", -0.251, -0.31, -0.18, "M"),
]


def bars(symbol: str, day: date, closes: list[float], volumes: list[int], first_minute: int = 0) -> pa.Table:
    """A bar a minute from `first_minute` after the open: closes in $, volumes in shares."""
    start = FOUR_NS[day] + OPEN * SECOND_NS
    count = len(closes)
    price = [round(close * 10_000) for close in closes]
    return pa.table(
        {
            "symbol": [symbol] * count,
            "start_ns": [start + (first_minute + place) * MINUTE * SECOND_NS for place in range(count)],
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "volume": [volume * 1_000_000 for volume in volumes],
            "vwap": closes,
            "trades": [1] * count,
        },
        schema=TAPE["minute"],
    )


def quotes(symbol: str, day: date, at_seconds: list[int], ticks: list[int]) -> pa.Table:
    """Quotes around a bid of $5: seconds after the open, spreads in cents."""
    count = len(ticks)
    whole = dict.fromkeys(
        ("bid_size", "ask_size", "bid_exchange", "ask_exchange", "tape"), [1] * count
    ) | dict.fromkeys(("conditions", "indicators"), [[]] * count)
    at = [FOUR_NS[day] + (OPEN + second) * SECOND_NS for second in at_seconds]
    own = {
        "symbol": [symbol] * count,
        "sip_ns": at,
        "participant_ns": at,
        "sequence_number": list(range(count)),
        "bid_price": [50_000] * count,
        "ask_price": [50_000 + 100 * spread for spread in ticks],
    }
    return pa.table({name: (own | whole)[name] for name in TAPE["quotes"].names}, schema=TAPE["quotes"])


def episode(**values: Any) -> dict[str, Any]:
    """A record of the truth table: LIQ doubles its usual gap from 10:00 to 10:10 on the last day, and reverses."""
    at = FOUR_NS[DAYS[1]] + OPEN * SECOND_NS
    return {
        "episode_id": "00001-20261030",
        "symbol": "LIQ",
        "session_date": "2026-10-30",
        "kind": "gap",
        "direction": 1,
        "onset_ns": at + 30 * MINUTE * SECOND_NS,
        "peak_ns": at + 40 * MINUTE * SECOND_NS,
        "multiple": 2.0,
        "move": 0.182322,  # log 1.2
        "near_miss": False,
        "manipulation": False,
        "outcome": "reversal",
        "after": -0.105361,  # log 0.9
        "continuation": 0.21,
        "reversal": 0.49,
        "best_continuation": 0.33,
        **values,
    }


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """Three names of 390 minutes on two days, no ticks, nothing planted."""
    random = np.random.default_rng(3)
    for day in DAYS:
        tables = []
        for symbol in sorted(CLASSES):
            closes = 5 * np.exp(np.cumsum(0.002 * random.standard_t(4, 390)))
            tables.append(bars(symbol, day, closes.tolist(), random.integers(1, 900, 390).tolist()))
        write_tape(tmp_path, "minute", day, pa.concat_tables(tables))
    write_records(
        tmp_path / "truth" / "securities.jsonl",
        [
            *({"symbol": symbol, "kind": "CS", "liquidity": name} for symbol, name in CLASSES.items()),
            {"symbol": "SPY", "kind": "ETF", "liquidity": "liquid"},
        ],
    )
    settings = {"symbols": 3, "days": 2, "last_day": "2026-10-30", "seed": 7, "hidden_share": 0.5}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    return tmp_path


def plant(market: Path, *episodes: dict[str, Any]) -> None:
    write_records(market / "truth" / "episodes.jsonl", episodes)


def page_of(market: Path, facts: list[Fact] = FACTS) -> str:
    page = market / "out" / "page.html"
    write_market_page(market, facts, page)
    return page.read_text(encoding="utf-8")


def own(page: str) -> str:
    """The page without the plotly.js inside it."""
    start = page.rindex("</noscript>")
    return page[:start] + page[page.rindex("<script>") :]


def chart(page: str, label: str) -> dict[str, Any]:
    """The figure with that label, as the page's script will read it."""
    found = re.search(rf'aria-label="{label}"><script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert found is not None, label
    return json.loads(found[1])


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_every_section_is_there_and_linked(market: Path) -> None:
    plant(market, episode())
    page = page_of(market)
    for name in ("facts", "shapes", "planted", "episodes", "score"):
        assert f'<section id="{name}">' in page
        assert f'href="#{name}"' in page


def test_the_facts_on_the_page_are_those_given_and_those_of_a_name_stand_together(market: Path) -> None:
    page = own(page_of(market))
    table = page[page.index('<table class="facts-table">') : page.index("</table>")]
    rows = [text_of(row) for row in table.split("<tr>")[2:]]
    assert rows == [
        "autocorrelation of 1-minute returns, lag 1 liquid −0.287 −0.31 – −0.18 M in",
        "thin −0.251 −0.31 – −0.18 M in",
        "the same of absolute returns, lag 1 liquid 0.412 0.13 – 0.35 M out",
        "the same of absolute returns, lag 10 liquid 0.055 0.04 – 0.08 M in",
        "limit pauses before 10:00 all – 0.33 – 0.63 M, one day not measured",
    ]
    assert "3 of 4" in page


@pytest.mark.parametrize(("value", "place"), [(2.0, 25), (3.0, 50), (4.0, 75), (4.5, 87.5), (99.0, 98), (-99.0, 2)])
def test_a_dot_stands_where_its_fact_lies_in_its_range(value: float, place: float) -> None:
    assert place_on_strip(Fact("f", "all", value, 2.0, 4.0, "K")) == place


def test_the_ranges_of_real_names_stand_behind_the_autocorrelations(market: Path) -> None:
    page = page_of(market)
    plain = chart(page, "Autocorrelation of 1-minute returns")["data"]
    assert [(trace["x"], trace["y"]) for trace in plain if trace["name"] == "real names"] == [([1, 1], [-0.31, -0.18])]
    absolute = chart(page, "Autocorrelation of absolute 1-minute returns")["data"]
    assert [trace["x"][0] for trace in absolute if trace["name"] == "real names"] == [1, 10]
    assert {trace["name"] for trace in plain} == {"real names", "liquid", "mid", "thin"}


def test_the_page_refers_to_nothing_outside(market: Path) -> None:
    plant(market, episode())
    page = page_of(market)
    assert not re.search(r"https?://", own(page))
    assert not re.search(r"<(script|img|link|iframe)[^>]* (src|href)=\"(?!data:)", page)
    assert page.count("<script>") == 2


def test_a_market_without_ticks_and_episodes_says_so(market: Path) -> None:
    page = own(page_of(market))
    for said in (
        "no ticks are kept",
        "keeps no quotes",
        "No episode is planted",
        "No fault is put in",
        "No name was halted",
    ):
        assert said in page


def test_the_same_market_gives_the_same_page_and_no_fact_is_no_error(market: Path) -> None:
    assert page_of(market) == page_of(market)
    assert "No fact was measured" in page_of(market, [])


def test_what_is_planted_is_counted_by_kind_and_reason(market: Path) -> None:
    plant(
        market,
        episode(),
        episode(episode_id="2", direction=-1, outcome="continuation", multiple=0.9, near_miss=True),
        episode(episode_id="3", kind="spoof", outcome="nothing", manipulation=True),
    )
    write_records(
        market / "truth" / "faults.jsonl", [{"kind": "bad_print"}, {"kind": "bad_print"}, {"kind": "vwap_outside"}]
    )
    halt = {"symbol": "LIQ", "session_date": "2026-10-30", "start_ns": 1, "end_ns": 2}
    write_records(market / "truth" / "halts.jsonl", [{**halt, "reason": "LUDP"}, {**halt, "reason": "T1"}])
    page = own(page_of(market))
    planted = text_of(page[page.index('<section id="planted">') : page.index('<section id="episodes">')])
    # Episodes, up, down, near-misses, continuation, nothing, reversal.
    assert "gap 2 1 1 1 1 0 1" in planted
    assert "spoof manipulation 1 1 0 0 0 1 0" in planted
    assert "bad print 2 vwap outside 1" in planted
    assert re.search(r"LUDP .* 1 T1 .* 1", planted)


def test_a_card_tells_what_was_drawn_and_its_chart_marks_onset_peak_and_halt(market: Path) -> None:
    plant(market, episode())
    start = episode()["onset_ns"] + 300 * SECOND_NS
    halt = {
        "symbol": "LIQ",
        "session_date": "2026-10-30",
        "reason": "T1",
        "start_ns": start,
        "end_ns": start + 300 * SECOND_NS,
    }
    write_records(market / "truth" / "halts.jsonl", [halt, {**halt, "symbol": "THN"}])
    page = page_of(market)
    card = text_of(own(page)[own(page).index("<article") : own(page).index("</article>")])
    assert "onset 10:00:00, peak 10:10:00" in card
    assert "2.00 × usual" in card
    assert "+20.0 %" in card
    assert "−10.0 %" in card
    assert "1 halt on the day. Drawn: reversal, from 21 % continuation, 49 % reversal, 30 % nothing." in card
    assert "could be known at the onset: 33 % continuation" in card
    figure = chart(page, "LIQ: gap")
    lines = [shape["x0"] for shape in figure["layout"]["shapes"] if shape["type"] == "line"]
    shades = {(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"] if shape["type"] == "rect"}
    assert set(lines) == {"2026-10-30T10:00:00", "2026-10-30T10:10:00"}
    assert shades == {("2026-10-30T10:05:00", "2026-10-30T10:10:00")}
    candles = next(trace for trace in figure["data"] if trace["type"] == "candlestick")
    # From the open, as the 45 minutes before the onset reach further back than the bars, to 150 minutes after the peak.
    assert (candles["x"][0], candles["x"][-1]) == ("2026-10-30 09:30", "2026-10-30 12:40")


def test_an_episode_without_bars_has_no_card(market: Path) -> None:
    plant(market, episode(symbol="GONE"))
    assert "<article" not in page_of(market)


def test_names_and_groups_are_never_markup(market: Path) -> None:
    page = own(page_of(market, [Fact("<img src=x>", "<b>", 1.0, 0.0, 2.0, "K")]))
    assert "<img src=x>" not in page
    assert "&lt;img src=x&gt;" in page


def test_a_folder_without_a_market_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"settings\.json is missing"):
        write_market_page(tmp_path, FACTS, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_volume_is_shared_out_by_minute_and_days_weigh_alike(market: Path) -> None:
    write_tape(market, "minute", DAYS[0], bars("LIQ", DAYS[0], [5.0] * 2, [1, 3], first_minute=10))
    write_tape(market, "minute", DAYS[1], bars("LIQ", DAYS[1], [5.0] * 1, [800], first_minute=10))
    shape = shapes_of(market)["liquid"]
    # A quarter of the first day and all of the second, halved; three quarters of the first day, halved.
    assert shape.volume[10:12].tolist() == [0.625, 0.375]
    assert shape.volume.sum() == 1
    assert list(shapes_of(market)) == ["liquid"]


def test_returns_of_one_size_are_one_deviation_large(market: Path) -> None:
    for day in DAYS:
        # Up and down by the same: every return has the size of the standard deviation.
        write_tape(market, "minute", day, bars("LIQ", day, [5.0, 5.05] * 40 + [5.0], [1] * 81))
    shape = shapes_of(market)["liquid"]
    assert shape.survival.tolist() == [1.0] * len(shape.survival)
    assert shape.sizes[-1] == pytest.approx(1, rel=0.05)
    # Pairs of opposite signs at odd lags, of the same at even ones.
    assert shape.correlations.round(6).tolist() == [-1.0, 1.0] * (LAGS // 2)


def test_spreads_count_by_the_time_that_they_last(market: Path) -> None:
    # 30 quotes, 1 tick for the first 5,850 s of 23,400, then 3 ticks, then 40 for the last second.
    at = [*range(29), 5_850, 23_399]
    rows = quotes("THN", DAYS[1], at, [1] * 29 + [3, 40])
    write_tape(market, "quotes", DAYS[1], pa.concat_tables([rows, quotes("SPY", DAYS[1], at, [9] * 31)]))
    spreads = shapes_of(market)["thin"].spreads
    assert spreads[1] == pytest.approx(5_850 / 23_400)
    assert spreads[3] == pytest.approx(17_549 / 23_400)
    assert spreads[-1] == pytest.approx(1 / 23_400)
    assert "Spread in ticks" in page_of(market)
    assert collect(market).rows == {"minute": 2_340, "trades": 0, "quotes": 62}


@given(
    st.lists(
        st.lists(st.integers(-1_000, 1_000).map(lambda whole: whole / 1_000), min_size=1, max_size=60),
        min_size=1,
        max_size=5,
    ).filter(lambda days: len({value for day in days for value in day}) > 1)
)
def test_sums_give_the_autocorrelation_that_all_values_at_once_give(days: list[list[float]]) -> None:
    moments = Moments()
    for day in days:
        moments.add(np.array(day))
    every = np.concatenate(days)
    for place, found in enumerate(moments.correlations()):
        lag = place + 1
        pairs = [(x - every.mean()) * (y - every.mean()) for day in days for x, y in zip(day, day[lag:], strict=False)]
        if pairs:
            assert found == pytest.approx(np.mean(pairs) / every.var(), abs=1e-6)
        else:
            assert np.isnan(found)


def test_the_largest_of_each_kind_and_the_nearest_miss_are_chosen() -> None:
    planted = [
        episode(episode_id="1", kind="spoof", multiple=0.9, near_miss=True),
        episode(episode_id="2", kind="gap", multiple=1.5),
        episode(episode_id="3", kind="gap", multiple=2.5),
        episode(episode_id="4", kind="gap", multiple=0.8, near_miss=True),
        episode(episode_id="5", kind="gap", multiple=0.95, near_miss=True),
    ]
    assert [one["episode_id"] for one in chosen(planted)] == ["3", "1", "5"]
    assert chosen([]) == []


def test_the_best_score_ranks_only_what_went_either_way() -> None:
    planted = [
        episode(outcome="continuation", best_continuation=0.5, continuation=0.6),
        episode(outcome="continuation", best_continuation=0.2, continuation=0.5),
        episode(outcome="reversal", best_continuation=0.3, continuation=0.1),
        episode(outcome="nothing", best_continuation=0.9, continuation=0.9),
    ]
    score = best_score(planted)
    # One of two pairs in order by what can be known, both by what was drawn from.
    assert (score.episodes, score.continued, score.auc, score.knowing) == (3, 2, 0.5, 1.0)
    assert score.low is None
    assert score.is_noisy
    assert best_score(planted[:2]).auc is None


def test_the_deviation_is_that_of_many_drawn_areas() -> None:
    # The formula is exact for exponential scores: with means 3 and 1 the area is 3 / (3 + 1).
    random = np.random.default_rng(5)
    ones, zeros = random.exponential(3, (4_000, 25, 1)), random.exponential(1, (4_000, 1, 35))
    areas = (ones > zeros).mean(axis=(1, 2))
    assert areas.mean() == pytest.approx(0.75, abs=0.005)
    assert areas.std() == pytest.approx(deviation(0.75, 25, 35), rel=0.03)


def test_enough_episodes_give_an_interval_and_no_warning(market: Path) -> None:
    # A tie of every pair: 0.5, with an interval that narrows with the number.
    many = [episode(episode_id=str(place), outcome=("continuation", "reversal")[place % 2]) for place in range(2_000)]
    score = best_score(many)
    assert score.auc == 0.5
    assert score.low == pytest.approx(0.5 - 1.96 * deviation(0.5, 1_000, 1_000))
    assert not score.is_noisy
    plant(market, *many)
    assert "enough to compare models by it" in page_of(market)
    plant(market, *many[:60])
    assert "With 60 such episodes this figure is noisy" in page_of(market)


def test_reliability_bins_are_of_equal_counts_with_wilsons_interval() -> None:
    low = [episode(continuation=0.1, outcome="continuation" if place < 4 else "nothing") for place in range(20)]
    high = [episode(continuation=0.6, outcome="continuation" if place < 12 else "reversal") for place in range(20)]
    bins = reliability([*high, *low])
    assert bins["events"].tolist() == [20, 20]
    assert bins["predicted"].tolist() == pytest.approx([0.1, 0.6])
    assert bins["observed"].tolist() == [0.2, 0.6]
    # 4 of 20: 8.07 % to 41.60 %.
    assert bins.loc[0, ["observed_low", "observed_high"]].tolist() == pytest.approx([0.0807, 0.4160], abs=5e-5)
    assert reliability([]).empty
