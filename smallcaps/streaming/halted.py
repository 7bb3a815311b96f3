"""Halts as the live tape tells them: which symbols went on, and when, by the functions that refine history."""

from collections.abc import Iterable
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from smallcaps.lake.topics import LULD
from smallcaps.refine.halts import DARK, HALTED, RESUMED, feed_halts, merged, quote_halts, resumptions
from smallcaps.refine.labels import label

_QUOTE = ("symbol", "session_date", "sip_ns", "sequence_number", "conditions", "bid_price", "ask_price")
WORD = ["symbol", "session_date", "sip_ns", "sequence_number", "indicators"]
IS_DARK = "is_dark"
LIGHT = (*_QUOTE, IS_DARK)


def with_light(quotes: DataFrame, calendar: DataFrame) -> DataFrame:
    """Messages of QUOTES, labelled, and whether nobody can trade by them (LIGHT), false out of hours."""
    return label(quotes, calendar, "sip_ns").withColumn(IS_DARK, F.expr(f"session <> 'closed' AND ({DARK})"))


class Halts:
    """Halts and resumptions of one day so far.

    Of quotes those are kept at which a symbol goes dark or is lit again: as many as there are halts, not as there are quotes.
    """

    def __init__(self, spark: SparkSession, day: date, calendar: DataFrame) -> None:
        self.spark, self.day, self.calendar = spark, day, calendar
        self._said = to_arrow_schema(LULD.table.schema).empty_table().select(WORD)
        self._turns: pa.Table | None = None
        self._states: dict[str, tuple[tuple[int, int], bool]] = {}
        self.resumed: dict[str, list[int]] = {}
        """Minutes since 04:00 at which trading went on, by symbol."""

    def hear(self, words: pa.Table | None, light: pa.Table | None) -> set[str]:
        """Take the day's messages of LULD (WORD) and of QUOTES (LIGHT); returns the symbols whose resumptions changed."""
        heard = words is not None and self._heard(words)
        turned = light is not None and self._turned(light)
        if not heard and not turned:
            return set()
        before, self.resumed = self.resumed, self._resumed()
        return {name for name in before.keys() | self.resumed.keys() if before.get(name) != self.resumed.get(name)}

    def _heard(self, words: pa.Table) -> bool:
        """Take halts and resumptions; whether there were any."""
        tells = [bool({HALTED, RESUMED} & {*indicators}) for indicators in words["indicators"].to_pylist()]
        said = words.select(WORD).filter(pa.array(tells, pa.bool_()))
        self._said = pa.concat_tables([self._said, said], promote_options="permissive")
        return len(said) > 0

    def frame(self, symbols: Iterable[str] | None = None) -> DataFrame:
        """symbol, session_date and resumed, as `labels.label` wants them."""
        rows = [
            (symbol, self.day, minutes)
            for symbol, minutes in self.resumed.items()
            if symbols is None or symbol in symbols
        ]
        return self.spark.createDataFrame(rows, "symbol string, session_date date, resumed array<int>")

    def _turned(self, light: pa.Table) -> bool:
        """Take quotes at which a symbol goes dark or is lit; whether there were any."""
        suspects = {*light.filter(light[IS_DARK])["symbol"].to_pylist()} | {*self._states}
        looked_at = light.select(LIGHT).filter(pc.is_in(light["symbol"], pa.array(sorted(suspects), pa.string())))
        looked_at = looked_at.sort_by([("sip_ns", "ascending"), ("sequence_number", "ascending")])
        turns = []
        for place, (symbol, at, number, dark) in enumerate(
            zip(
                *(looked_at[name].to_pylist() for name in ("symbol", "sip_ns", "sequence_number", IS_DARK)),
                strict=True,
            )
        ):
            last, state = self._states.get(symbol, ((0, 0), False))
            # One that comes late is kept whatever it says: what it says of the time before is not known.
            if dark != state or (at, number) < last:
                turns.append(place)
            if (at, number) >= last:
                self._states[symbol] = (at, number), dark
        if turns:
            rows = looked_at.take(turns)
            self._turns = rows if self._turns is None else pa.concat_tables([self._turns, rows])
        return bool(turns)

    def halts(self) -> DataFrame:
        """The day's so far, in silver.halts' columns but for security_id."""
        found = feed_halts(self.spark.createDataFrame(self._said))
        if self._turns is not None:
            of_quotes = quote_halts(self.spark.createDataFrame(self._turns.select(_QUOTE)), self.calendar)
            found = found.unionByName(of_quotes)
        return merged(found)

    def _resumed(self) -> dict[str, list[int]]:
        return {row.symbol: row.resumed for row in resumptions(self.halts(), self.calendar).collect()}
