"""Halts as the live tape tells them: which symbols went on, and when, by the functions that refine history."""

from collections.abc import Iterable
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from smallcaps.lake.quality import sound
from smallcaps.lake.topics import LULD, QUOTES
from smallcaps.refine.halts import DARK, HALTED, RESUMED, SUSPECTED, feed_halts, merged, quote_halts, resumptions
from smallcaps.refine.labels import label
from smallcaps.streaming.messages import read

_QUOTE = ("symbol", "session_date", "sip_ns", "sequence_number", "conditions", "bid_price", "ask_price")
_SAID = ["symbol", "session_date", "sip_ns", "sequence_number", "indicators"]
_IS_DARK = "is_dark"


class Halts:
    """Halts and resumptions of one day so far.

    Of quotes those are kept at which a symbol goes dark or is lit again: as many as there are halts, not as there are quotes.
    """

    def __init__(self, spark: SparkSession, day: date, calendar: DataFrame) -> None:
        self.spark, self.day, self.calendar = spark, day, calendar
        self._said = to_arrow_schema(LULD.table.schema).empty_table().select(_SAID)
        self._turns: pa.Table | None = None
        self._states: dict[str, tuple[tuple[int, int], bool]] = {}
        self.resumed: dict[str, list[int]] = {}
        """Minutes since 04:00 at which trading went on, by symbol."""

    def take(self, luld: DataFrame | None, quotes: DataFrame | None) -> set[str]:
        """Take a batch of Kafka's rows, where there are any; returns the symbols whose resumptions are not as they were."""
        heard = luld is not None and self._heard(luld)
        turned = quotes is not None and self._turned(quotes)
        if not heard and not turned:
            return set()
        before, self.resumed = self.resumed, self._resumed()
        return {name for name in before.keys() | self.resumed.keys() if before.get(name) != self.resumed.get(name)}

    def _heard(self, luld: DataFrame) -> bool:
        """Take halts and resumptions; whether there were any."""
        said = self._of_day(read(luld, LULD)).where(f"arrays_overlap(indicators, array({HALTED}, {RESUMED}))")
        rows = said.select(_SAID).toArrow()
        self._said = pa.concat_tables([self._said, rows], promote_options="default")
        return len(rows) > 0

    def frame(self, symbols: Iterable[str] | None = None) -> DataFrame:
        """symbol, session_date and resumed, as `labels.label` wants them."""
        rows = [
            (symbol, self.day, minutes)
            for symbol, minutes in self.resumed.items()
            if symbols is None or symbol in symbols
        ]
        return self.spark.createDataFrame(rows, "symbol string, session_date date, resumed array<int>")

    def _of_day(self, judged: DataFrame) -> DataFrame:
        return sound(judged).where(F.col("session_date") == F.lit(self.day))

    def _turned(self, quotes: DataFrame) -> bool:
        """Take quotes at which a symbol goes dark or is lit; whether there were any."""
        looked_at = self._looked_at(quotes, {*self._states})
        if strangers := {*looked_at["symbol"].to_pylist()} - {*self._states}:
            looked_at = self._looked_at(quotes, {*self._states} | strangers)
        turns = []
        for place, (symbol, at, number, dark) in enumerate(
            zip(
                *(looked_at[name].to_pylist() for name in ("symbol", "sip_ns", "sequence_number", _IS_DARK)),
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

    def _looked_at(self, quotes: DataFrame, suspects: set[str]) -> pa.Table:
        """Quotes that may be dark and all of the suspects, in order."""
        some = self._of_day(read(quotes, QUOTES)).where(F.expr(SUSPECTED) | F.col("symbol").isin(sorted(suspects)))
        labelled = label(some, self.calendar, "sip_ns").where("session <> 'closed'")
        rows = labelled.select(*_QUOTE, F.expr(DARK).alias(_IS_DARK)).toArrow()
        return rows.sort_by([("sip_ns", "ascending"), ("sequence_number", "ascending")])

    def halts(self) -> DataFrame:
        """The day's so far, in silver.halts' columns but for security_id."""
        found = feed_halts(self.spark.createDataFrame(self._said))
        if self._turns is not None:
            of_quotes = quote_halts(self.spark.createDataFrame(self._turns.select(_QUOTE)), self.calendar)
            found = found.unionByName(of_quotes)
        return merged(found)

    def _resumed(self) -> dict[str, list[int]]:
        return {row.symbol: row.resumed for row in resumptions(self.halts(), self.calendar).collect()}
