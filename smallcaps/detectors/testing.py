"""The chunk-invariance harness: whatever the pieces are in which rows arrive, the events are those of the whole.

1. `arriving` splits rows into pieces at random: late, doubled, wrong at first and revised, with pieces in which nothing
comes. Any number of splittings are copies of the rows under names of their own, so that one statement a piece judges all.
2. `replayed` plays the pieces to a `Stream`: a tape that now and then loses what a killed process would, which is what it had not
written yet of a piece, or its seeds.
3. `assert_invariant` compares with the events of all rows at once, every column, to the bit.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql.pandas.types import to_arrow_schema

from smallcaps.detectors.detect import events
from smallcaps.detectors.registry import GRAINS
from smallcaps.detectors.tape import Tape

PIECE = "piece"


@dataclass(frozen=True)
class Disorder:
    """How rows arrive: the shares of rows that come late (by up to `latest` pieces), again, or wrong at first; the share of
    pieces of a splitting that stay empty; the share of steps after which a splitting's process is killed.
    """

    late: float = 0.05
    latest: int = 4
    doubled: float = 0.05
    revised: float = 0.05
    empty: float = 0.15
    killed: float = 0.1


def copies(rows: pd.DataFrame, count: int) -> pd.DataFrame:
    """The rows `count` times, each time of securities of another name."""
    return pd.concat(
        [rows.assign(security_id=rows["security_id"] + f"#{number}") for number in range(count)], ignore_index=True
    )


def arriving(
    rows: pd.DataFrame, grain: str, pieces: int, generator: np.random.Generator, disorder: Disorder
) -> pd.DataFrame:
    """Arrivals: the rows with the `piece` in which each comes; a row that comes twice is there twice, last as it is.

    Each security is split for itself. What is wrong at first is a number other than the keys: `volume` or `size`, doubled.
    """
    order = GRAINS[grain].order
    of_security = rows.groupby("security_id", sort=False)
    rank = of_security[order].rank(method="dense") / of_security[order].transform("nunique")
    piece = np.zeros(len(rows), dtype=np.int64)
    for _, own in of_security.indices.items():
        kept = np.flatnonzero(generator.random(pieces) >= disorder.empty)
        kept = kept if len(kept) else np.array([pieces - 1])
        # Pieces of random lengths, as shares of the security's rows.
        ends = np.sort(generator.random(len(kept) - 1)) if len(kept) > 1 else np.array([])
        piece[own] = kept[np.searchsorted(ends, rank.to_numpy()[own])]
    delay = generator.integers(1, disorder.latest + 1, len(rows)) * (generator.random(len(rows)) < disorder.late)
    on_time = rows.assign(**{PIECE: np.minimum(piece + delay, pieces - 1)})
    wrong = on_time[generator.random(len(rows)) < disorder.revised].copy()
    amount = "size" if "size" in rows else "volume"
    on_time.loc[wrong.index, PIECE] = np.minimum(
        wrong[PIECE] + generator.integers(0, disorder.latest, len(wrong)), pieces - 1
    )
    wrong[amount] = wrong[amount] * 2
    again = on_time[generator.random(len(rows)) < disorder.doubled].copy()
    again[PIECE] = np.minimum(again[PIECE] + generator.integers(0, disorder.latest, len(again)), pieces - 1)
    return pd.concat([wrong, on_time, again]).sort_values(PIECE, kind="stable", ignore_index=True)


def replayed(
    arrivals: pd.DataFrame,
    stream: "Stream",
    generator: np.random.Generator,
    disorder: Disorder,
) -> "Stream":
    """Play arrivals to a stream, killing it now and then for some securities; what a killed step was given comes again."""
    undone = arrivals.iloc[:0]
    for number in range(int(arrivals[PIECE].max()) + 1):
        came = pd.concat([undone, arrivals[arrivals[PIECE] == number]], ignore_index=True)
        names = came["security_id"].unique()
        fates = pd.Series(generator.random(len(names)), names)
        killed = disorder.killed
        after_events, after_seeds = fates.index[fates < killed / 2], fates.index[fates.between(killed / 2, killed)]
        stream.step(came.drop(columns=PIECE), set(after_events), set(after_seeds))
        undone = came[came["security_id"].isin(after_events.union(after_seeds))]
        stream.lose_seeds(set(fates.index[fates > 1 - killed / 2]))
    stream.step(undone.drop(columns=PIECE), set(), set())
    return stream


class Stream:
    """A tape whose process is killed now and then, for some securities: what it had not written yet of a step is lost."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def step(self, came: pd.DataFrame, killed_after_events: set[str], killed_after_seeds: set[str]) -> None:
        """Take a piece in: events first, then seeds, rows last; of securities that are killed in between, not all of it."""
        tape = self.tape
        piece = tape.piece(pa.Table.from_pandas(came, to_arrow_schema(tape.schema), preserve_index=False))
        if piece is None:
            return
        tape.stand(piece, tape.events(piece))
        before, seeds = tape.rows, tape.seeds
        tape.keep(piece)
        tape.seed()
        if killed := killed_after_events | killed_after_seeds:
            self._lose(killed, killed_after_events, before, seeds)

    def lose_seeds(self, securities: set[str]) -> None:
        """As where a checkpoint was deleted."""
        self.tape.seeds = _of(self.tape.seeds, securities, but=True)

    def _lose(self, killed: set[str], unseeded: set[str], rows: pa.Table, seeds: pa.Table | None) -> None:
        """Bring the rows of the killed back to what they were, and of the unseeded their seeds."""
        tape = self.tape
        tape.restore(pa.concat_tables([_of(tape.rows, killed, but=True), _of(rows, killed)]))
        new, old = _of(tape.seeds, unseeded, but=True), _of(seeds, unseeded)
        tape.seeds = new if old is None else old if new is None else pa.concat_tables([new, old])


def _of(rows: pa.Table | None, securities: set[str], but: bool = False) -> pa.Table | None:
    """The rows of these securities, or of the others."""
    if rows is None:
        return None
    among = pc.is_in(rows["security_id"], pa.array(sorted(securities), pa.string()))
    return rows.filter(pc.invert(among) if but else among)


def assert_invariant(
    rows: pd.DataFrame, pieces: int, generator: np.random.Generator, stream: Stream, disorder: Disorder
) -> int:
    """Play the rows to an empty stream in pieces and compare its events with those of all rows at once: every column, to the
    bit. Returns how many events there were. Raises AssertionError that shows what differs.
    """
    tape = stream.tape
    replayed(arriving(rows, tape.grain, pieces, generator, disorder), stream, generator, disorder)
    whole = events(
        tape.spark.createDataFrame(rows[tape.schema.names], tape.schema), tape.settings, tape.grain, tape.expected
    )
    expected = whole.toArrow().sort_by("event_id").to_pylist()
    found = sorted(tape.events_that_stand(), key=lambda event: str(event["event_id"]))
    assert [{name: event[name] for name in whole.columns} for event in found] == expected
    return len(expected)
