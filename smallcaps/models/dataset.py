"""Events and labels → one row an event with what was known at the event and what came of it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config.settings import ModelSettings
from smallcaps.labels.horizons import sessions

FEATURES: dict[str, str] = {
    "direction": "direction",
    "log_strength": "ln(strength)",
    "signed_change": "direction * pct_change",
    "signed_gap": "direction * gap_pct",
    "atr_share": "atr / price",
    "move_in_atr": "direction * pct_change * price / atr",
    "log_relative_volume": "ln(relative_volume)",
    "log_dollar_volume": "ln(dollar_volume)",
    "log_price": "ln(price)",
    "possible_missing_split": "IF(possible_missing_split, 1D, 0D)",
}
"""Model inputs as SQL over gold.events: every column of it is known at the event (a gap's volume is null there)."""


def feature_names(detectors: list[str]) -> list[str]:
    """The inputs in order: FEATURES, then one indicator a detector."""
    return [*FEATURES, *(f"is_{detector}" for detector in detectors)]


def training_set(
    events: DataFrame, labels: DataFrame, calendar: DataFrame, model: ModelSettings, detectors: list[str]
) -> DataFrame:
    """One row a resolved daily event: event_id, symbol, session_date, detector, session_number, label_session (the last one
    its label looks at), continued (1 or 0) and the inputs; missing inputs are NaN, which the booster understands. Pure.
    """
    asked = labels.where(
        (F.col("barrier_width") == model.barrier_width) & (F.col("horizon") == model.horizon) & (F.col("weight") > 0)
    )
    rows = (
        events.where("grain = 'daily'")
        .join(asked.select("event_id", "outcome"), "event_id")
        .join(F.broadcast(calendar.select("session_date", "session_number")), "session_date")
    )
    not_a_number = F.lit(float("nan"))
    inputs = [F.coalesce(F.expr(sql).cast("double"), not_a_number).alias(name) for name, sql in FEATURES.items()]
    inputs += [(F.col("detector") == name).cast("double").alias(f"is_{name}") for name in detectors]
    return rows.select(
        *("event_id", "symbol", "session_date", "detector", "session_number"),
        (F.col("session_number") + sessions(model.horizon)).alias("label_session"),
        (F.col("outcome") == "continuation").cast("int").alias("continued"),
        *inputs,
    )
