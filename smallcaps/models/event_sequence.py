"""What happened step by step before an event, as sequence models read it: gold.event_sequences in steps of some seconds."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config.settings import DatasetSettings

CHANNELS: dict[str, str] = {
    "move": "direction * ln(coalesce((last.bid_price + last.ask_price) / 2, last.last_price) / price)",
    "trades": "ln(1 + trades)",
    "dollars": "ln(1 + dollar_volume)",
    "signed_flow": "direction * try_divide(bought - sold, bought + sold)",
    "quotes": "ln(1 + quotes)",
    "spread": "try_divide(last.ask_price - last.bid_price, (last.ask_price + last.bid_price) / 2)",
    "depth_imbalance": "direction * try_divide(last.bid_size - last.ask_size, last.bid_size + last.ask_size)",
}
"""What each step says, as SQL over its sums, `last` (price and quote at its end) and the event's direction and price."""


def channel_names(definition: DatasetSettings) -> list[str]:
    """What a sequence holds, in order: every channel of the first step, of the second, …, each with the second at which its step
    begins; empty where there are no sequences.
    """
    length = _steps(definition) * definition.step_seconds
    return [f"{channel}_{second}s" for second in range(-length, 0, definition.step_seconds) for channel in CHANNELS]


def _steps(definition: DatasetSettings) -> int:
    return (definition.sequence_seconds or 0) // definition.step_seconds


def event_sequences(events: DataFrame, seconds: DataFrame, definition: DatasetSettings) -> DataFrame:
    """event_id and `sequence`, the values of `channel_names` (null where not known), of rows of gold.events that have rows in
    gold.event_sequences. Only seconds before the event was known are looked at. Pure.
    """
    steps = _steps(definition)
    if not steps:
        return events.select("event_id", F.lit(None).cast("array<float>").alias("sequence")).limit(0)
    length = steps * definition.step_seconds
    last = ("last_price", "bid_price", "bid_size", "ask_price", "ask_size")
    by_step = (
        seconds.where(F.col("second").between(-length, -1))
        .withColumn("step", F.expr(f"cast(floor((second + {length}) / {definition.step_seconds}) AS int)"))
        .groupBy("event_id", "step")
        .agg(
            *[F.sum(name).alias(name) for name in ("trades", "dollar_volume", "bought", "sold", "quotes")],
            F.max_by(F.struct(*last), "second").alias("last"),
        )
    )
    values = F.array(*[F.expr(sql).cast("float") for sql in CHANNELS.values()])
    told = by_step.join(events.select("event_id", "direction", "price"), "event_id").select(
        "event_id", F.struct("step", values.alias("values")).alias("told")
    )
    by_event = told.groupBy("event_id").agg(F.map_from_entries(F.collect_list("told")).alias("told"))
    nothing = f"array_repeat(cast(NULL AS float), {len(CHANNELS)})"
    whole = f"flatten(transform(sequence(0, {steps - 1}), step -> coalesce(try_element_at(told, step), {nothing})))"
    return by_event.select("event_id", F.expr(whole).alias("sequence"))
