"""Events that were detected since: scored by the registered model, into gold.predictions."""

from datetime import date

from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, recorded_run, sql_literal
from smallcaps.models.event_sequence import channel_names
from smallcaps.models.frozen import INPUT_TABLES, definition_of, event_inputs, input_names
from smallcaps.models.registry import Registered, reads_of, registered
from smallcaps.models.scoring import with_points, with_probabilities
from smallcaps.models.targets import problem


def model_of(lake: Lake, settings: Settings, of: str, alias: str) -> Registered:
    """The registered model of definition `of` that has `alias`. Raises BadInput where there is no such definition or model, or it
    reads other inputs than this code makes.
    """
    definition = definition_of(settings, of)
    model = registered(settings, lake, problem(definition), alias)
    made = {"input_names": input_names(definition), "sequence_names": channel_names(definition)}
    if not reads_of(model.event_model, made):
        raise BadInput(f"{model.name} was trained on other inputs than those made now. Train it again.")
    return model


def score_events(
    lake: Lake, settings: Settings, of: str, first: date, last: date, alias: str
) -> tuple[Registered, int]:
    """Score the events of definition `of` from `first` to `last` by the registered model that has `alias`, into
    gold.predictions; returns the model and the number of events. Raises as `model_of`.
    """
    definition, model = definition_of(settings, of), model_of(lake, settings, of, alias)
    arguments = {"model": model.name, "from": first, "to": last}
    with recorded_run(lake, "score", arguments, settings.digest()) as run:
        tables = {name: run.read_or_empty(name) for name in INPUT_TABLES}
        rows = run.read_days("gold.events", first, last).where(F.col("grain").isin(*definition.grains))
        rows = rows.withColumn("fold", F.lit(0))
        known = event_inputs(rows, tables, definition)
        scored = with_probabilities(known, {0: model.event_model})
        chosen = f"model = {sql_literal(model.name)} AND session_date BETWEEN DATE '{first}' AND DATE '{last}'"
        written = run.replace(
            "gold.predictions",
            scored.select(
                *("event_id", "symbol", "session_date", "detector"),
                F.lit(model.name).alias("model"),
                "target",
                F.lit(None).cast("int").alias("fold"),
                "probability",
                F.lit(None).cast("int").alias("happened"),
                F.lit(None).cast("double").alias("base_rate"),
                F.lit(None).cast("boolean").alias("is_core"),
                F.lit(model.tracking_run).alias("tracking_run"),
            ),
            chosen,
        ).rows
        if model.event_model.reads == "sequence":
            run.replace("gold.patterns", with_points(known, model.name, model.event_model), chosen)
        events = written // max(1, len(model.event_model.targets))
        run.note = f"{events:,} events by {model.name}"
        return model, events
