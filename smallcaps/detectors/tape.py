"""Detection while the rows arrive: the statement of the whole, over the rows that changed and a few before them.

A `Tape` keeps the rows of a grain's keys (a security, or one on a day) as they last came, the events that stand by them, and of
some keys seeds, each of which stands for the rows up to one. When rows are new or not as they were, the events from the first
such row of a key on are computed again, of the rows before it that the look-back asks for and the latest seed of those before
these. Where all seeds stand too late for that (a row came very late), of all rows of the key. The events are those of the whole,
to the bit, whatever the pieces are in which the rows arrive (`testing.assert_invariant`).

A step is `piece`, `events`, `stand`, `keep`; `seed` moves seeds on, whenever there is time. What is lost before `keep` can be
done again from `piece` on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema, to_arrow_schema
from pyspark.sql.types import LongType, StructField, StructType

from smallcaps.config import Settings
from smallcaps.detectors.detect import numbered_events, rows_before, seeds_of
from smallcaps.detectors.prepared import Prepared
from smallcaps.detectors.registry import GRAINS
from smallcaps.errors import BadInput

LATE_ROWS, LATE_NUMBERS = 30, 300
"""By so many rows (or numbers, where the grain looks back by these) a row may come late before its key is computed from the first
row on, or it is too late where earlier rows have been forgotten.
"""
NEAR_ROWS, NEAR_NUMBERS = 2, 5
"""By so many a row may come late and stand after the latest seed still."""
MOST_SLICES = 4
"""Of the rows of a piece that are computed at once; each is planned on its own."""
_NEVER = np.iinfo(np.int64).max
_NOWHERE = np.iinfo(np.int64).min
Event = dict[str, Any]
Whole = NDArray[np.int64]


def rows_needed(settings: Settings, grain: str) -> int:
    """How many rows (or numbers, where the grain looks back by these) before a piece it takes beside a seed.

    Raises BadInput where none are enough.
    """
    if (rows := rows_before(settings, grain)) is None:
        raise BadInput(
            f"A detector of the {grain} grain looks back through a window that is neither bounded nor carried on."
        )
    return rows


@dataclass(frozen=True)
class Piece:
    """Rows that are new or not as they were, and all rows of their keys as they are with them.

    `first` gives the number of the first changed row by the place of its key; `replaced` are places among the tape's rows.
    """

    changed: pa.Table
    rows: pa.Table
    of: Whole
    numbers: Whole
    first: dict[int, int]
    replaced: Whole


@dataclass(frozen=True)
class Changes:
    """What a piece did to the events: some are new, some are otherwise than they were, some no longer happened."""

    new: list[Event] = field(default_factory=list)
    corrected: list[Event] = field(default_factory=list)
    retracted: list[Event] = field(default_factory=list)

    @property
    def events(self) -> list[Event]:
        """All of them, in this order."""
        return [*self.new, *self.corrected, *self.retracted]

    def add(self, before: Mapping[str, Event], now: Mapping[str, Event]) -> None:
        """What makes of the events before, by id, those now."""
        self.new.extend(event for one, event in now.items() if one not in before)
        self.corrected.extend(event for one, event in now.items() if one in before and event != before[one])
        self.retracted.extend(event for one, event in before.items() if one not in now)


class Tape:
    """Rows of one grain as they arrive, in columns of `schema`, and the events that stand by them.

    `identity`: the columns that tell rows apart. A row that comes again has the number it had. `expected` as for `detect.events`.
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
        self.spark, self.identity = spark, list(identity)
        self.schema = StructType([StructField(field.name, field.dataType) for field in schema.fields])
        self.settings, self.grain, self.expected = settings, grain, expected
        self.key, self.order = list(GRAINS[grain].key), GRAINS[grain].order
        self.needed = rows_needed(settings, grain)
        self._by_number = GRAINS[grain].looks_back_by_number
        self.rows = to_arrow_schema(self.schema).empty_table()
        self.seeds: pa.Table | None = None
        """The grain's key, `after` and what the running windows had come to; of a key one for each `after`."""
        self.standing: dict[int, dict[str, Event]] = {}
        """Events by the place of their key and their id."""
        self.too_late = 0
        """Rows that came when those they stand among had been forgotten."""
        self._places: dict[tuple[Any, ...], int] = {}
        self._of: Whole = np.empty(0, np.int64)
        self._numbers: Whole = np.empty(0, np.int64)
        self._taken_after: dict[int, int] = {}

    def events_that_stand(self) -> list[Event]:
        """All of them."""
        return [event for of_key in self.standing.values() for event in of_key.values()]

    def bar(self, keys: set[tuple[Any, ...]]) -> list[Event]:
        """Let keys go; returns their events, which no longer stand."""
        places = [self._places[key] for key in keys if key in self._places]
        gone = np.isin(self._of, places)
        self._set_rows(self.rows.filter(pa.array(~gone)), self._of[~gone], self._numbers[~gone])
        return [event for place in places for event in self.standing.pop(place, {}).values()]

    def piece(self, came: pa.Table) -> Piece | None:
        """What of the rows that came, the later ones of an identity counting, is new or not as it was; None where nothing is."""
        if not len(came):
            return None
        came = _nullable(came.select(self.schema.names))
        last = {one: place for place, one in enumerate(_tuples(came, self.identity))}
        came = came.take(sorted(last.values()))
        of, numbers = self._placed(came), came[self.order].to_numpy().astype(np.int64)
        since = np.full(len(self._places), _NEVER)
        np.minimum.at(since, of, numbers)
        near = np.flatnonzero(self._numbers >= since[self._of])
        known = self.rows.take(near)
        there_already = zip(near, _tuples(known, known.column_names), strict=True)
        as_known = dict(zip(_tuples(known, self.identity), there_already, strict=True))
        identities, values = _tuples(came, self.identity), _tuples(came, came.column_names)
        there = [as_known.get(one) for one in identities]
        differs = [one is None or one[1] != value for one, value in zip(there, values, strict=True)]
        late = np.array(differs) & self._too_late(of, numbers)
        self.too_late += int(late.sum())
        places = np.flatnonzero(np.array(differs) & ~late)
        if not len(places):
            return None
        first = np.full(len(self._places), _NEVER)
        np.minimum.at(first, of[places], numbers[places])
        replaced = np.array([one[0] for place in places if (one := there[place]) is not None], np.int64)
        staying = (first != _NEVER)[self._of]
        staying[replaced] = False
        kept, changed = np.flatnonzero(staying), came.take(places)
        return Piece(
            changed,
            pa.concat_tables([self.rows.take(kept), changed]),
            np.append(self._of[kept], of[places]),
            np.append(self._numbers[kept], numbers[places]),
            {int(place): int(first[place]) for place in np.flatnonzero(first != _NEVER)},
            replaced,
        )

    def events(self, piece: Piece) -> pa.Table:
        """The events from the first changed row of each key on; with `number`, that of the event's row."""
        first = self._first(piece)
        after, seeds = self._seeds_for(piece.of, piece.numbers, first)
        needed = np.flatnonzero(piece.numbers > after[piece.of])
        rows = self._sliced(piece.rows.take(needed), piece.of[needed])
        found = self._events.run(list(zip(rows, self._sliced(seeds), strict=True)))
        return found.filter(pa.array(found["number"].to_numpy() >= first[self._placed(found)]))

    def stand(self, piece: Piece, found: pa.Table) -> Changes:
        """Take the events of a piece in place of those that stood from its first rows on; returns what that changes."""
        changes = Changes()
        now: dict[int, dict[str, Event]] = {place: {} for place in piece.first}
        for place, event in zip(self._placed(found), found.to_pylist(), strict=True):
            now[int(place)][event["event_id"]] = event
        for place, first in piece.first.items():
            stood = self.standing.get(place, {})
            before = {one: event for one, event in stood.items() if event["number"] >= first}
            changes.add(before, now[place])
            self.standing[place] = {one: event for one, event in stood.items() if one not in before} | now[place]
        return changes

    def keep(self, piece: Piece) -> None:
        """Keep the rows as they are with a piece. Seeds of rows that changed are let go."""
        staying = np.ones(len(self.rows), bool)
        staying[piece.replaced] = False
        changed = self._placed(piece.changed)
        self._set_rows(
            pa.concat_tables([self.rows.filter(pa.array(staying)), piece.changed]),
            np.append(self._of[staying], changed),
            np.append(self._numbers[staying], piece.changed[self.order].to_numpy().astype(np.int64)),
        )
        if self.seeds is not None:
            first = self._first(piece)
            # What is asked by number a seed knows of the numbers after it, too (`edge`).
            known = self.seeds["after"].to_numpy() + (self.needed if self._by_number else 0)
            self.seeds = self.seeds.filter(pa.array(known < first[self._placed(self.seeds)]))

    def seed(self, spare: int = 0) -> None:
        """Make further seeds once a key has over `spare` rows since its last one, besides the look-back; with it of all keys that
        have half as many. Of seeds before those that late rows need one stays.
        """
        after = self._latest_seeds()
        later = np.flatnonzero(self._numbers > after[self._of])
        pairs, begins, counts = self._by_key(later)
        goes = self._up_to(pairs, begins, counts, self.needed + (NEAR_NUMBERS if self._by_number else NEAR_ROWS))
        if not (goes > spare).any():
            return
        due = np.flatnonzero(goes > spare // 2)
        targets = {int(place): int(pairs[1][begins[place] + goes[place] - 1]) for place in due}
        is_due = np.zeros(len(self._places), bool)
        is_due[due] = True
        rows = later[is_due[self._of[later]]]
        old = self._seed_schema.empty_table()
        if self.seeds is not None:
            of_seeds = self._placed(self.seeds)
            is_latest = self.seeds["after"].to_numpy() == after[of_seeds]
            old = self.seeds.filter(pa.array(is_latest & is_due[of_seeds]))
        keys = [*self._places]
        wanted = pa.Table.from_pylist(
            [dict(zip(self.key, keys[place], strict=True)) | {"target": number} for place, number in targets.items()]
        )
        given = (self._sliced(self.rows.take(rows), self._of[rows]), self._sliced(old), self._sliced(wanted))
        new = _nullable(self._states.run(list(zip(*given, strict=True))))
        if self.seeds is None:
            self.seeds = new
            return
        seeds = pa.concat_tables([self.seeds, new.select(self.seeds.column_names)])
        self.seeds = seeds.filter(pa.array(seeds["after"].to_numpy() >= self._for_late_rows()[self._placed(seeds)]))

    @cached_property
    def _events(self) -> Prepared:
        """Of rows and seeds the events."""

        def plan(rows: DataFrame, seeds: DataFrame) -> DataFrame:
            expected = self._expected_in(rows.sparkSession)
            return numbered_events(rows, self.settings, self.grain, expected, seeds, together=True)

        return self._prepared(plan, self.schema, from_arrow_schema(self._seed_schema))

    @cached_property
    def _states(self) -> Prepared:
        """Of rows, seeds and for each key a `target`, what stands for the rows up to it."""

        def plan(rows: DataFrame, seeds: DataFrame, wanted: DataFrame) -> DataFrame:
            expected = self._expected_in(rows.sparkSession)
            states = seeds_of(rows, self.settings, self.grain, expected, seeds, together=True)
            # Not every row has a state: the statement may not look at some.
            so_far = states.join(wanted.hint("shuffle_hash"), self.key).where("after <= target")
            latest_first = Window.partitionBy(*self.key).orderBy(F.desc("after"))
            last = so_far.withColumn("_place", F.row_number().over(latest_first)).where("_place = 1")
            return last.select(states.columns)

        targets = StructType([*(self.schema[name] for name in self.key), StructField("target", LongType())])
        return self._prepared(plan, self.schema, from_arrow_schema(self._seed_schema), targets)

    @cached_property
    def _seed_schema(self) -> pa.Schema:
        nobody = self.spark.createDataFrame([], self.schema)
        made = seeds_of(nobody, self.settings, self.grain).schema
        return to_arrow_schema(StructType([StructField(field.name, field.dataType) for field in made.fields]))

    def _prepared(self, plan: Callable[..., DataFrame], *schemas: StructType) -> Prepared:
        slices = min(self.spark.sparkContext.defaultParallelism, MOST_SLICES)
        return Prepared(self.spark, self.settings, schemas, plan, slices)

    def _expected_in(self, session: SparkSession) -> dict[str, DataFrame]:
        """What is to be expected, in one partition of another session."""
        return {
            table: session.createDataFrame(rows, (self.expected or {})[table].schema).coalesce(1)
            for table, rows in self._expected_rows.items()
        }

    @cached_property
    def _expected_rows(self) -> dict[str, pa.Table]:
        return {table: frame.toArrow() for table, frame in (self.expected or {}).items()}

    def _sliced(self, rows: pa.Table, of: Whole | None = None) -> list[pa.Table]:
        """Rows, whose keys are at places `of`, by slice; those of a key in one."""
        count = self._events.slices
        slices = (self._placed(rows) if of is None else of) % count
        return [rows.filter(pa.array(slices == number)) for number in range(count)]

    def _first(self, piece: Piece) -> Whole:
        """By the place of a key the number of its first changed row; _NEVER where none changed."""
        first = np.full(len(self._places), _NEVER)
        first[[*piece.first]] = [*piece.first.values()]
        return first

    def _up_to(self, pairs: NDArray[np.int64], begins: Whole, counts: Whole, stay: int) -> Whole:
        """How many of each key's rows (of `_by_key`) can go where so many rows or numbers, at its end, have to stay."""
        if not self._by_number:
            return np.maximum(counts - stay, 0)
        lasts = np.append(pairs[1], _NOWHERE)[begins + counts - 1]
        return np.bincount(pairs[0], pairs[1] <= (lasts - stay)[pairs[0]], len(counts)).astype(np.int64)

    def _latest_seeds(self) -> Whole:
        """By the place of a key the number that its latest seed stands after."""
        after = np.full(len(self._places), _NOWHERE)
        if self.seeds is not None:
            np.maximum.at(after, self._placed(self.seeds), self.seeds["after"].to_numpy())
        return after

    def _for_late_rows(self) -> Whole:
        """By the place of a key the number that its latest seed stands after that a row may come late to."""
        after = np.full(len(self._places), _NOWHERE)
        if self.seeds is None:
            return after
        pairs, begins, counts = self._by_key(np.arange(len(self._of)))
        goes = self._up_to(pairs, begins, counts, self.needed + (LATE_NUMBERS if self._by_number else LATE_ROWS))
        last = np.where(goes > 0, np.append(pairs[1], _NOWHERE)[begins + goes - 1], _NOWHERE)
        places, at = self._placed(self.seeds), self.seeds["after"].to_numpy()
        early = at <= last[places]
        np.maximum.at(after, places[early], at[early])
        return after

    def restore(self, rows: pa.Table) -> None:
        """Make these its rows, as they were kept once."""
        self._set_rows(rows, self._placed(rows), rows[self.order].to_numpy().astype(np.int64))

    def forget(self) -> None:
        """Let rows go that seeds stand for. A row that comes so late that it takes them is then too late."""
        after = self._for_late_rows()
        staying = np.flatnonzero(self._numbers > after[self._of])
        self._set_rows(self.rows.take(staying), self._of[staying], self._numbers[staying])
        pairs, begins, counts = self._by_key(np.arange(len(staying)))
        for place in np.flatnonzero((after != _NOWHERE) & (counts > 0)):
            if self._by_number:
                self._taken_after[int(place)] = int(after[place]) + self.needed
            elif counts[place] >= self.needed:
                self._taken_after[int(place)] = int(pairs[1][begins[place] + self.needed - 1])

    def _set_rows(self, rows: pa.Table, of: Whole, numbers: Whole) -> None:
        # A column of many chunks is slow to take rows from.
        self.rows = rows.combine_chunks() if rows.num_columns and rows.column(0).num_chunks > 64 else rows
        self._of, self._numbers = of, numbers

    def _placed(self, rows: pa.Table) -> Whole:
        """The place of each row's key; a new one has the next place."""
        places = self._places
        return np.array([places.setdefault(key, len(places)) for key in _tuples(rows, self.key)], np.int64)

    def _too_late(self, of: Whole, numbers: Whole) -> NDArray[np.bool_]:
        """Whether rows stand among some that were forgotten, or have too few before them since."""
        taken_after = np.full(len(self._places), _NOWHERE)
        taken_after[[*self._taken_after]] = [*self._taken_after.values()]
        return np.asarray(numbers <= taken_after[of])

    def _by_key(self, rows: Whole) -> tuple[NDArray[np.int64], Whole, Whole]:
        """Keys' places and numbers of some rows, each once and in order; where each key's begin, and how many it has."""
        lowest = int(self._numbers.min(initial=0))
        # One number of both: a table of two columns takes ten times as long to sort.
        both = np.unique((self._of[rows] << 32) + (self._numbers[rows] - lowest))
        pairs = np.stack([both >> 32, (both & 0xFFFFFFFF) + lowest])
        counts = np.bincount(pairs[0], minlength=len(self._places))
        return pairs, np.cumsum(counts) - counts, counts

    def _seeds_for(self, of: Whole, numbers: Whole, first: Whole) -> tuple[Whole, pa.Table]:
        """Of the keys that rows change from `first` on, the latest seeds that leave enough rows before these."""
        after = np.full(len(self._places), _NOWHERE)
        if self.seeds is None:
            return after, self._seed_schema.empty_table()
        places, at = self._placed(self.seeds), self.seeds["after"].to_numpy()
        if self._by_number:
            enough = first[places] - at > self.needed
        else:
            both = np.unique((of << 32) + numbers)
            ends = np.searchsorted(both, (places << 32) + np.where(first == _NEVER, 0, first)[places])
            enough = ends - np.searchsorted(both, (places << 32) + at, "right") >= self.needed
        usable = enough & (first[places] != _NEVER)
        np.maximum.at(after, places[usable], at[usable])
        return after, self.seeds.filter(pa.array(usable & (at == after[places])))


def _nullable(rows: pa.Table) -> pa.Table:
    """Rows whose columns may all be null: whether one may differs from plan to plan."""
    return rows.cast(pa.schema([pa.field(column.name, column.type) for column in rows.schema]))


def _tuples(rows: pa.Table, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows as tuples of some columns."""
    return list(zip(*(rows[name].to_pylist() for name in columns), strict=True))
