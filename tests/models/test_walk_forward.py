"""Walk-forward folds: the arithmetic of purge and embargo."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smallcaps.models.walk_forward import Fold, walk_forward


def test_sessions_are_cut_into_equal_stretches_of_which_the_first_is_only_trained_on() -> None:
    # 12 sessions, 3 folds: four stretches of 3, 100–102 | 103–105 | 106–108 | 109–111.
    assert walk_forward(range(100, 112), folds=3, embargo=0) == [
        Fold(1, train_before=103, test_first=103, test_last=105),
        Fold(2, train_before=106, test_first=106, test_last=108),
        Fold(3, train_before=109, test_first=109, test_last=111),
    ]


def test_the_embargo_keeps_so_many_sessions_between_the_last_label_and_the_test() -> None:
    first, second = walk_forward(range(100, 130), folds=2, embargo=5)
    # The test begins at 110: a label may end at 104 at the latest, 105–109 are five sessions between.
    assert (first.train_before, first.test_first) == (105, 110)
    # An event of session 99 whose label looks 5 sessions ahead ends at 104: trained on. One of session 100 is not.
    assert 99 + 5 < first.train_before <= 100 + 5
    assert (second.train_before, second.test_first, second.test_last) == (115, 120, 129)


def test_sessions_may_come_unordered_repeated_and_with_holes() -> None:
    assert walk_forward([31, 10, 11, 10, 30, 20, 21, 21], folds=2, embargo=3) == [
        Fold(1, train_before=17, test_first=20, test_last=21),
        Fold(2, train_before=27, test_first=30, test_last=31),
    ]


def test_a_remainder_makes_later_stretches_longer_by_one() -> None:
    # 8 sessions into 3: edges 8·1//3 = 2 and 8·2//3 = 5.
    assert [(fold.test_first, fold.test_last) for fold in walk_forward(range(8), folds=2, embargo=0)] == [
        (2, 4),
        (5, 7),
    ]


@pytest.mark.parametrize("sessions", [[], [1], [1, 2, 3], [3, 3, 3, 2, 1]])
def test_fewer_sessions_than_stretches_are_refused(sessions: list[int]) -> None:
    with pytest.raises(ValueError, match="cannot make 3 folds"):
        walk_forward(sessions, folds=3, embargo=0)


def test_one_session_a_stretch_is_enough() -> None:
    assert [fold.test_first for fold in walk_forward([1, 2, 3, 4], folds=3, embargo=0)] == [2, 3, 4]


@hypothesis_settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    sessions=st.lists(st.integers(0, 300), min_size=8, max_size=120, unique=True),
    folds=st.integers(2, 7),
    embargo=st.integers(0, 10),
    horizon=st.integers(1, 10),
)
def test_no_label_of_a_training_row_reaches_the_embargo_before_its_test(
    sessions: list[int], folds: int, embargo: int, horizon: int
) -> None:
    made = walk_forward(sessions, folds, embargo)
    assert len(made) == folds
    tested = []
    for fold in made:
        inside = [session for session in sessions if fold.test_first <= session <= fold.test_last]
        trained = [session for session in sessions if session + horizon < fold.train_before]
        assert inside
        assert all(session + horizon + embargo < fold.test_first for session in trained)
        tested += inside
    # Every session after the first stretch is tested once; an earlier fold never tests later sessions.
    assert len(tested) == len(set(tested))
    assert set(tested) == {session for session in sessions if session >= made[0].test_first}
    assert all(one.test_last < other.test_first for one, other in pairwise(made))
