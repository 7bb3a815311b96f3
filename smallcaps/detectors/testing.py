"""The chunk-invariance harness: whatever the pieces are in which rows arrive, the events are those of the whole.

1. `arriving` splits rows into pieces at random: late, doubled, wrong at first and revised, with pieces in which nothing
comes. Any number of splittings are copies of the rows under names of their own, so that one statement a piece judges all.
2. `replayed` plays the pieces to a `Stream`, which keeps rows, seeds and events, and now and then loses what a killed process
would: what it had not written yet of a piece, or its seeds.
3. `assert_invariant` compares with the events of all rows at once, every column, to the bit.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from smallcaps.config import Settings
from smallcaps.detectors.detect import events
from smallcaps.detectors.pieces import advanced, events_from, rows_needed
from smallcaps.detectors.registry import GRAINS

PIECE = "piece"
LATE_ROWS = 30
"""By so many rows a row may come late before its key is computed from the first row on."""


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
    """What a stream keeps: the rows of its keys as they last came, a seed of some keys, and the events that stand.

    `identity`: the columns that tell rows apart.
    """

    def __init__(
        self,
        spark: SparkSession,
        schema: StructType,
        identity: Sequence[str],
        settings: Settings,
        grain: str,
        expected: Mapping[str, DataFrame] | None = None,
    ) -> None:
        self.spark, self.schema, self.identity = spark, schema, list(identity)
        self.settings, self.grain, self.expected = settings, grain, expected
        self.key, self.order = list(GRAINS[grain].key), GRAINS[grain].order
        self.rows = pd.DataFrame(columns=schema.names)
        self.events = pd.DataFrame(columns=[*self.key, "number"])
        self.seeds: pd.DataFrame | None = None
        self._seed_schema: StructType | None = None

    def step(self, came: pd.DataFrame, killed_after_events: set[str], killed_after_seeds: set[str]) -> None:
        """Take a piece in: events first, then seeds, rows last; of securities that are killed in between, not all of it."""
        latest = came.drop_duplicates(self.identity, keep="last")
        known = self.rows.merge(latest[self.identity], on=self.identity)
        changed = _joined(latest, pd.concat([known, known])).drop_duplicates(keep=False)
        if changed.empty:
            return
        first = changed.groupby(self.key)[self.order].min().rename("first").reset_index()
        rows = self._with(latest)
        of_these = self.spark.createDataFrame(rows.merge(first[self.key], on=self.key)[self.schema.names], self.schema)
        starts = self.spark.createDataFrame(first)
        seeds = None if self.seeds is None else self.spark.createDataFrame(self.seeds, self._seed_schema)

        found = events_from(of_these, starts, self.settings, self.grain, self.expected, seeds).toPandas()
        since = self.events.merge(first, on=self.key, how="left")["first"].fillna(math.inf)
        self.events = _joined(self.events[(self.events["number"] < since).to_numpy()], found)

        keep = rows_needed(self.settings, self.grain) + LATE_ROWS
        further = advanced(of_these, starts, self.settings, self.grain, keep, self.expected, seeds)
        self._seed_schema = further.schema
        new = pd.DataFrame(further.collect(), columns=further.columns)
        old = new.iloc[:0] if self.seeds is None else self.seeds
        self.seeds = _joined(
            old[old["security_id"].isin(killed_after_events)], new[~new["security_id"].isin(killed_after_events)]
        )

        self.rows = self._with(latest[~latest["security_id"].isin(killed_after_events | killed_after_seeds)])

    def _with(self, latest: pd.DataFrame) -> pd.DataFrame:
        """The rows that are kept with newer ones in their place."""
        return _joined(self.rows, latest).drop_duplicates(self.identity, keep="last", ignore_index=True)

    def lose_seeds(self, securities: set[str]) -> None:
        """As where a checkpoint was deleted."""
        if self.seeds is not None:
            self.seeds = self.seeds[~self.seeds["security_id"].isin(securities)]


def _joined(first: pd.DataFrame, then: pd.DataFrame) -> pd.DataFrame:
    """Both, one after the other; pandas would take types from a frame without rows."""
    return then if first.empty else first if then.empty else pd.concat([first, then], ignore_index=True)


def assert_invariant(
    rows: pd.DataFrame, pieces: int, generator: np.random.Generator, stream: Stream, disorder: Disorder
) -> int:
    """Play the rows to an empty stream in pieces and compare its events with those of all rows at once: every column, to the
    bit. Returns how many events there were. Raises AssertionError that shows what differs.
    """
    replayed(arriving(rows, stream.grain, pieces, generator, disorder), stream, generator, disorder)
    whole = events(
        stream.spark.createDataFrame(rows[stream.schema.names], stream.schema),
        stream.settings,
        stream.grain,
        stream.expected,
    )
    expected = whole.toPandas().sort_values("event_id", ignore_index=True)
    found = stream.events.sort_values("event_id", ignore_index=True)[expected.columns.tolist()]
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    return len(expected)
