"""What is around an alert: the day's trades and the latest quotes of the live tape, in the driver's hands.

Rows are kept as they would land in bronze. What is asked for is judged and labelled then, by the functions that refine
history: so microstructure features of an alert are those that history would have.
"""

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructField, StructType

from smallcaps.config.settings import MicrostructureSettings
from smallcaps.lake import RULE
from smallcaps.lake.declaration import Topic
from smallcaps.lake.topics import QUOTES, TRADES
from smallcaps.microstructure.as_of import PUBLISHED
from smallcaps.microstructure.signing import is_valid
from smallcaps.microstructure.windows import NANOSECONDS
from smallcaps.refine.ticks import judged_quotes, judged_trades
from smallcaps.streaming.detection import Day, named
from smallcaps.streaming.messages import sound_rows

SPARE_SECONDS = 900
"""So much longer than a window needs them quotes are kept: alerts may be late."""
FORGET_SECONDS = 60
"""Of the tape, between two searches for quotes that nobody needs."""
_UNUSED = ("source_sha256", "kafka_topic", "source_line")


class Surroundings:
    """Trades of the day from its first on, about 120 bytes each, and quotes of the time that a window before an event is long:
    of those before each symbol's last one, and its last one that can be traded against.
    """

    def __init__(self, spark: SparkSession, micro: MicrostructureSettings, day: Day) -> None:
        self.spark, self.micro, self.day = spark, micro, day
        self._rows = {topic.name: to_arrow_schema(kept_of(topic)).empty_table() for topic in (TRADES, QUOTES)}
        self._quotes_since_ns = 0

    def take(self, topic: Topic, rows: pa.Table) -> None:
        """Keep messages of the day of TRADES or QUOTES, in `kept_of` the topic."""
        before = self._rows[topic.name]
        kept = pa.concat_tables([before, rows.select(before.column_names)], promote_options="permissive")
        # Many small pieces make every look at them slow.
        self._rows[topic.name] = kept.combine_chunks() if kept["symbol"].num_chunks > 64 else kept

    def counts(self) -> dict[str, int]:
        """How many rows are kept of each topic."""
        return {name: len(rows) for name, rows in self._rows.items()}

    def has_all_of(self, known_ns: int) -> bool:
        """Whether the quotes of the window before a moment are all here still."""
        return known_ns - self.micro.seconds_before * NANOSECONDS >= self._quotes_since_ns

    def trades(self, symbols: Collection[str]) -> DataFrame:
        """silver.trades of the day so far."""
        return self._silver(judged_trades(self._of(TRADES, symbols), self.day.calendar))

    def quotes(self, symbols: Collection[str]) -> DataFrame:
        """silver.quotes, as far as they are kept."""
        return self._silver(judged_quotes(self._of(QUOTES, symbols), self.day.calendar))

    def _silver(self, judged: DataFrame) -> DataFrame:
        """The sound ones, named, in the driver's hands."""
        rows = named(judged, self.day.securities)
        return self._frame(sound_rows(rows), StructType([field for field in rows.schema.fields if field.name != RULE]))

    def forget(self, reached_ns: int) -> None:
        """Drop quotes that no window needs that ends at or after a moment."""
        cut = reached_ns - (self.micro.seconds_before + SPARE_SECONDS) * NANOSECONDS
        if cut < self._quotes_since_ns + FORGET_SECONDS * NANOSECONDS:
            return
        kept = self._rows[QUOTES.name]
        is_old = pc.less(kept[PUBLISHED], cut)
        old = kept.filter(is_old)
        frame = self._bronze(QUOTES, old).withColumn("source_line", F.col("kafka_offset"))
        order = F.when(F.col(RULE).isNull(), F.struct(PUBLISHED, "sequence_number"))
        standing = (
            judged_quotes(frame, self.day.calendar)
            .groupBy("symbol")
            .agg(
                F.max_by("source_line", order).alias("last"),
                F.max_by("source_line", F.when(is_valid(self.micro), order)).alias("last_valid"),
            )
        )
        needed: dict[str, set[int]] = {row.symbol: {row["last"], row.last_valid} for row in standing.collect()}
        stays = [
            offset in needed.get(symbol, ())
            for symbol, offset in zip(old["symbol"].to_pylist(), old["kafka_offset"].to_pylist(), strict=True)
        ]
        self._rows[QUOTES.name] = pa.concat_tables(
            [old.filter(pa.array(stays, pa.bool_())), kept.filter(pc.invert(is_old))]
        )
        self._quotes_since_ns = cut

    def _of(self, topic: Topic, symbols: Collection[str]) -> DataFrame:
        kept = self._rows[topic.name]
        some = kept.filter(pc.is_in(kept["symbol"], pa.array(sorted(symbols), pa.string())))
        return self._bronze(topic, some)

    def _frame(self, rows: pa.Table, schema: StructType) -> DataFrame:
        # Spark takes no table without rows that has lists in it.
        return self.spark.createDataFrame(rows if len(rows) else [], schema)

    def _bronze(self, topic: Topic, rows: pa.Table) -> DataFrame:
        """Rows that were kept as they would land."""
        unused = {name: F.lit(None).cast(topic.table.schema[name].dataType) for name in _UNUSED}
        return self._frame(rows, kept_of(topic)).withColumns(unused)


def kept_of(topic: Topic) -> StructType:
    """What is kept of a message: the columns of the topic's table without those of its run and its source."""
    names = {column.name for column in topic.table.columns} - {*_UNUSED}
    return StructType([StructField(one.name, one.dataType) for one in topic.table.schema.fields if one.name in names])
