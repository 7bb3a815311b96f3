"""Walk-forward folds: train on the past, test on the next stretch, nothing shared at the border."""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from smallcaps.errors import BadInput


@dataclass(frozen=True)
class Fold:
    """Test on sessions `test_first`…`test_last`; train where the label ends before `train_before`."""

    number: int
    train_before: int
    test_first: int
    test_last: int


def walk_forward(sessions: Sequence[int], folds: int, embargo: int) -> list[Fold]:
    """Folds over the session numbers of events: `folds` equal stretches of sessions after a first one of the same length
    that is only trained on.

    Purge: a training label must end before the test begins. Embargo: and by `embargo` sessions more. All events of a session
    fall into one stretch, so no ticker-day is on both sides. Raises ValueError where there are fewer sessions than folds.
    """
    ordered = sorted(set(sessions))
    if len(ordered) <= folds:
        raise ValueError(f"{len(ordered)} sessions with labelled events cannot make {folds} folds")
    edges = [len(ordered) * part // (folds + 1) for part in range(folds + 2)]
    return [
        Fold(
            number,
            train_before=ordered[edges[number]] - embargo,
            test_first=ordered[edges[number]],
            test_last=ordered[edges[number + 1] - 1],
        )
        for number in range(1, folds + 1)
    ]


def fold_column(folds: Sequence[Fold]) -> Column:
    """In which fold's test a session_number lies; null: in none."""
    fold = F.lit(None).cast("int")
    for one in folds:
        fold = F.when(F.col("session_number").between(one.test_first, one.test_last), one.number).otherwise(fold)
    return fold


def folds_of(rows: DataFrame, folds: int, embargo: int) -> list[Fold]:
    """`walk_forward` over the column session_number of rows. Raises BadInput where they are of too few sessions."""
    sessions = [row[0] for row in rows.select("session_number").distinct().collect()]
    try:
        return walk_forward(sessions, folds, embargo)
    except ValueError as error:
        raise BadInput(
            f"Not enough labelled events to train on: {error}. Run `smallcaps label` over more days."
        ) from error
