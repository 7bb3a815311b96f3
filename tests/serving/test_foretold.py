"""A model beside the best that can be foretold: what was planted comes back, and only events before what follows count."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.refine.labels import calendar_frame
from smallcaps.serving.foretold import NO_GAIN, compared, foretell, planted_rows
from smallcaps.sources.simulator.episodes import NOTHING
from smallcaps.sources.simulator.layout import read_episodes
from tests.microstructure.tables import as_table
from tests.models.world import FIRST, LAST, SESSIONS, event_row, world

SAMPLES, SEED = 100, 1


def scored(told: str, count: int = 4_000) -> pd.DataFrame:
    """Episodes of twenty weeks that continue by a known probability, told wholly, by half, not at all or upside down."""
    random = np.random.default_rng(3)
    best = random.uniform(0.05, 0.65, count)
    blurred = 0.35 + (best - 0.35 + random.uniform(-0.3, 0.3, count)) / 2
    probability = {"all": best, "half": blurred, "nothing": np.full(count, best.mean()), "wrong": 0.7 - best}[told]
    return pd.DataFrame(
        {
            "event_id": [f"{number:05d}" for number in range(count)],
            "session_date": [dt.date(2026, 1, 5) + dt.timedelta(days=number % 140) for number in range(count)],
            "target": "continuation",
            "happened": (random.random(count) < best).astype(int),
            "probability": probability,
            "base_rate": best.mean(),
            "best_continuation": best,
        }
    )


def test_who_knows_all_that_can_be_known_has_all_of_the_gain() -> None:
    found = compared(scored("all"), "continuation", SAMPLES, SEED)
    assert found.episodes == 4_000
    assert found.ours == found.best
    assert all((one.value, one.low, one.high) == pytest.approx((1, 1, 1)) for one in found.share.values())


def test_who_knows_half_has_some_of_it_who_knows_nothing_none_and_who_is_wrong_less() -> None:
    half, nothing, wrong = (
        compared(scored(told), "continuation", SAMPLES, SEED).share for told in ("half", "nothing", "wrong")
    )
    for name in NO_GAIN:
        assert 0.2 < half[name].low < half[name].value < half[name].high < 0.95, name
        assert wrong[name].high < 0, name
    assert nothing["auc"].value == 0
    assert abs(nothing["log_loss_skill"].value) < 1e-9


def test_a_reversal_is_as_likely_as_what_is_left() -> None:
    rows = scored("all")
    left = 1 - NOTHING - rows["best_continuation"]
    happened = (np.random.default_rng(4).random(len(rows)) < left).astype(int)
    told = rows.assign(target="reversal", happened=happened, probability=left, base_rate=left.mean())
    found = compared(told, "reversal", SAMPLES, SEED)
    assert found.ours == found.best
    assert found.share["log_loss_skill"].value == pytest.approx(1)
    # Who takes what does not continue for a reversal is wrong where nothing follows.
    wrong = told.assign(probability=1 - rows["best_continuation"])
    assert compared(wrong, "reversal", SAMPLES, SEED).share["log_loss_skill"].value < 0.5


def test_what_was_drawn_by_what_an_input_tells_is_foretold_nearly_as_well_as_can_be(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    random = np.random.default_rng(8)
    events, seen, episodes = [], set(), []
    for event in world()[0]:
        if (event["symbol"], event["session_date"]) in seen:
            continue
        seen.add((event["symbol"], event["session_date"]))
        events.append(event)
        best = 0.6 if event["strength"] > 1.5 else 0.1
        drawn = random.random()
        outcome = "continuation" if drawn < best else "reversal" if drawn < 1 - NOTHING else "nothing"
        told = {name: event[name] for name in ("symbol", "direction")} | {"outcome": outcome, "best_continuation": best}
        when = {
            "session_date": event["session_date"].isoformat(),
            "onset_ns": ns(event["ts"]),
            "peak_ns": ns(event["ts"]),
        }
        episodes.append(told | when)
    lake.replace("silver.calendar", calendar_frame(lake.spark, FIRST, LAST), None, "test")
    lake.replace("gold.events", as_table(lake.spark, "gold.events", events), None, "test")
    folds = settings.datasets["daily"].model_copy(update={"folds": 2})
    few = settings.models.model_copy(update={"minimum_training_events": 60, "bootstrap_samples": 60})
    own = settings.model_copy(update={"datasets": {"daily": folds}, "models": few})
    place = market(tmp_path / "market", [*episodes, episodes[0] | {"symbol": "NOWHERE"}])
    found = foretell(lake, own, place, "daily", "gradient_boosting")
    assert (found.planted, found.met) == (len(episodes) + 1, len(episodes))
    for one in found.targets:
        assert 0.5 * len(episodes) < one.episodes < 0.8 * len(episodes)
        assert one.best["auc"].value > 0.7
        assert 0.6 < one.share["auc"].value < 1.05


def ns(at: Any) -> int:
    return int(pd.Timestamp(at).value)


def market(folder: Path, episodes: list[dict[str, Any]]) -> Path:
    (folder / "truth").mkdir(parents=True)
    (folder / "settings.json").write_text("{}")
    lines = "".join(json.dumps(one) + "\n" for one in episodes)
    (folder / "truth" / "episodes.jsonl").write_text(lines)
    return folder


def test_an_episode_is_met_by_the_first_event_in_its_direction_before_what_follows_it(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    session = SESSIONS[10]
    known = session["open_at"] + dt.timedelta(minutes=30)
    episode = {
        "symbol": "SYM",
        "session_date": session["session_date"].isoformat(),
        "direction": 1,
        "onset_ns": ns(known) - 60 * 10**9,
        "peak_ns": ns(known) + 60 * 10**9,
        "outcome": "nothing",
        "best_continuation": 0.4,
    }
    minutes = {"early": -2, "down": 0, "first": 0, "second": 1, "after": 4}
    rows = [
        event_row(name, session, "volume_spike", grain="minute")
        | {
            "ts": known - dt.timedelta(minutes=5),
            "known_at": known + dt.timedelta(minutes=minute),
            "direction": -1 if name == "down" else 1,
        }
        for name, minute in minutes.items()
    ]
    lake.replace("silver.calendar", calendar_frame(lake.spark, FIRST, LAST), None, "test")
    lake.replace("gold.events", as_table(lake.spark, "gold.events", rows), None, "test")
    planted = read_episodes(market(tmp_path / "market", [episode]))
    found = planted_rows(lake, settings.datasets["intraday"], planted).collect()
    assert [row["event_id"] for row in found] == ["first"]
    assert (found[0]["outcome"], found[0]["best_continuation"]) == ("none", 0.4)
    assert (found[0]["session_number"], found[0]["label_session"]) == (session["session_number"],) * 2


def test_what_is_no_market_or_too_little_is_refused(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no market"):
        foretell(lake, settings, tmp_path, "intraday", "gradient_boosting")
    with pytest.raises(BadInput, match="Nothing is planted"):
        foretell(lake, settings, market(tmp_path / "empty", []), "intraday", "gradient_boosting")
