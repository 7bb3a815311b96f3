"""The page of a simulated market: is it like a real one, what is planted in it, how well could a model do on it.

1. `collect` reads the market's folder into small figures. 2. `render` is pure. 3. `write_market_page` writes its page.
"""

import math
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from smallcaps.serving import charts, market_charts
from smallcaps.serving.market_data import MarketData, Shape, Story, collect
from smallcaps.serving.market_score import best_score, reliability
from smallcaps.serving.page import render_page
from smallcaps.sources.simulator.episodes import NOTHING
from smallcaps.sources.simulator.facts import ABSOLUTE_CORRELATION, CORRELATION, Fact

OUTCOMES = ("continuation", "nothing", "reversal")
_REASONS = {"LUDP": "limit pause: the price stood at its band", "T1": "news pending, part of an episode"}


def write_market_page(market: Path, facts: list[Fact], page: Path) -> None:
    """Write the page of the market in a folder, with the facts measured on it, into `page` (its folder is made if need be).

    Raises BadInput where the folder holds no market.
    """
    content = render(collect(market), facts)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(content, encoding="utf-8")


def render(data: MarketData, facts: list[Fact]) -> str:
    """The page as HTML: no reads, no clock, no outside resources. The same data give the same page."""
    known = [fact for fact in facts if not math.isnan(fact.value)]
    return render_page(
        "market.html",
        data=data,
        stocks=sum(security["kind"] in ("CS", "ADRC") for security in data.securities),
        classes=[(name, shape.names) for name, shape in data.shapes.items()],
        known=len(known),
        inside=sum(fact.holds for fact in known),
        facts=_fact_rows(facts),
        shapes=_shape_charts(data.shapes, facts),
        kinds=_kinds(data.episodes),
        near_misses=sum(episode["near_miss"] for episode in data.episodes),
        outcome_names=OUTCOMES,
        faults=Counter(fault["kind"] for fault in data.faults).most_common(),
        halts=[
            (reason, _REASONS.get(reason, ""), count)
            for reason, count in Counter(halt["reason"] for halt in data.halts).most_common()
        ],
        cards=[_card(story) for story in data.stories],
        score=best_score(data.episodes),
        calibration=_calibration(data.episodes),
    )


def place_on_strip(fact: Fact) -> float:
    """Where a fact's dot stands, % of a strip on which its range goes from 25 to 75: at most at the edges."""
    scaled = (fact.value - fact.low) / (fact.high - fact.low)
    return min(max(25 + 50 * scaled, 2.0), 98.0)


def _fact_rows(facts: list[Fact]) -> list[dict[str, Any]]:
    """The facts, those of one name together, in the order in which the names first come."""
    first = {fact.name: place for place, fact in reversed(list(enumerate(facts)))}
    ordered = sorted(facts, key=lambda fact: first[fact.name])
    rows = []
    for name, some in groupby(ordered, key=lambda fact: fact.name):
        of_name = list(some)
        for place, fact in enumerate(of_name):
            measured = not math.isnan(fact.value)
            rows.append(
                {
                    "name": name,
                    "span": len(of_name) if place == 0 else 0,
                    "fact": fact,
                    "value": fact.value if measured else None,
                    "place": place_on_strip(fact) if measured else None,
                }
            )
    return rows


def _shape_charts(shapes: dict[str, Shape], facts: list[Fact]) -> dict[str, Markup]:
    figures = {
        "volume": (market_charts.volume_curve(shapes), "Volume by minute of the day"),
        "tail": (market_charts.return_tail(shapes), "Tail of 1-minute returns"),
        "returns": (
            market_charts.autocorrelation(shapes, lambda shape: shape.correlations, _real(facts, CORRELATION)),
            "Autocorrelation of 1-minute returns",
        ),
        "absolute": (
            market_charts.autocorrelation(
                shapes, lambda shape: shape.absolute_correlations, _real(facts, ABSOLUTE_CORRELATION)
            ),
            "Autocorrelation of absolute 1-minute returns",
        ),
    }
    if any(len(shape.spreads) for shape in shapes.values()):
        figures["spreads"] = (market_charts.spread_shares(shapes), "Spread in ticks")
    return {name: charts.fragment(figure, label) for name, (figure, label) in figures.items()}


def _real(facts: list[Fact], name: str) -> dict[int, market_charts.Range]:
    """The ranges of real names by lag, of the facts with a name and a lag."""
    start = f"{name}, lag "
    return {int(fact.name.removeprefix(start)): (fact.low, fact.high) for fact in facts if fact.name.startswith(start)}


def _kinds(episodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Counts by kind, the most frequent first."""
    rows = []
    for kind, count in Counter(episode["kind"] for episode in episodes).most_common():
        own = [episode for episode in episodes if episode["kind"] == kind]
        rows.append(
            {
                "kind": kind,
                "manipulation": own[0]["manipulation"],
                "episodes": count,
                "up": sum(episode["direction"] > 0 for episode in own),
                "down": sum(episode["direction"] < 0 for episode in own),
                "near_misses": sum(episode["near_miss"] for episode in own),
                **{name: sum(episode["outcome"] == name for episode in own) for name in OUTCOMES},
            }
        )
    return rows


def _card(story: Story) -> dict[str, Any]:
    episode = story.episode
    return {
        "episode": episode,
        "onset": story.onset,
        "peak": story.peak,
        "move": math.expm1(episode["move"]),
        "after": math.expm1(episode["after"]),
        "nothing": NOTHING,
        "halts": len(story.halts),
        "chart": charts.fragment(
            market_charts.story(story), f"{episode['symbol']}: {episode['kind'].replace('_', ' ')}"
        ),
    }


def _calibration(episodes: list[dict[str, Any]]) -> Markup | None:
    bins = reliability(episodes)
    return None if bins.empty else charts.fragment(charts.calibration(bins), "Probability of continuation and outcomes")
