"""Which algorithm becomes the challenger: on what all have scored, before the fold that the gate judges on."""

import pandas as pd
import pytest

from smallcaps.models.training import best_of

EVENTS = 40


def said(early: float, newest: float, events: int = EVENTS) -> pd.DataFrame:
    """Events of which the first half, of fold 1, and the rest, of fold 2, all came; said with these probabilities."""
    half = EVENTS // 2
    rows = pd.DataFrame({"event_id": [f"{place:02d}" for place in range(EVENTS)], "target": "reversal", "happened": 1})
    rows["fold"] = [1] * half + [2] * half
    rows["probability"] = [early] * half + [newest] * half
    return rows.tail(events)


def test_the_newest_fold_has_no_say() -> None:
    assert best_of({"early": said(0.8, 0.1), "late": said(0.7, 0.9)}) == "early"


def test_of_one_fold_alone_that_one_counts() -> None:
    half = EVENTS // 2
    assert best_of({"one": said(0.5, 0.6, half), "other": said(0.9, 0.7, half)}) == "other"


def test_what_scored_fewer_than_most_takes_no_part_and_of_others_the_shared_events_count() -> None:
    assert best_of({"all": said(0.6, 0.6), "few": said(0.99, 0.99, EVENTS // 2)}) == "all"
    # Without the first two events, which are the ones that it foretold worst, `rest` would win on its own.
    rest = said(0.65, 0.5, EVENTS - 2)
    whole = said(0.7, 0.5)
    whole.loc[whole.index[:2], "probability"] = 0.01
    assert best_of({"whole": whole, "rest": rest}) == "whole"


@pytest.mark.parametrize(("others", "best"), [({"trees": said(0.2, 0.2)}, "trees"), ({}, "base_rate")])
def test_the_base_rate_is_taken_if_alone(others: dict[str, pd.DataFrame], best: str) -> None:
    assert best_of({"base_rate": said(0.5, 0.5), **others}) == best
