"""Moments that are no events, for reviewers to be shown among those that are.

Near misses: a detector's statement with every parameter loosened by `Parameter.near`; what fires then, and did not before, met
all that decides to 70 % and something of it not to 100 %. Other moments: the statement with a condition that only a lot decides.
"""

from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.compiler import compile_statement
from smallcaps.detectors.detect import chosen_detectors, events, rules_of, run_statement
from smallcaps.detectors.registry import GRAINS
from smallcaps.lake import declared

CLEAR_SECONDS = 3_600
"""A decoy is at least so far from any event of its detector on its name."""
PLACE = ("ts", "known_at", "price")
"""What of an event's context tells where it is."""


def loosened(settings: Settings) -> Settings:
    """The settings with each detector's parameters times `near`, as far as their ranges allow."""
    given = {
        one.detector.name: {
            parameter.name: min(
                max(one.parameters[parameter.name] * parameter.near, parameter.minimum), parameter.maximum
            )
            for parameter in one.detector.parameters
        }
        for grain in GRAINS
        for one in chosen_detectors(settings, grain)
    }
    return settings.model_copy(update={"detectors": given})


def near_misses(
    frame: DataFrame, settings: Settings, grain: str, expected: Mapping[str, DataFrame] | None = None
) -> DataFrame:
    """Rows as of gold.events, made with loosened parameters: near misses, and the events themselves (see `clear_of`).

    Arguments as of `events`. Strength is against the loosened thresholds.
    """
    return events(frame, loosened(settings), grain, expected)


def any_moments(frame: DataFrame, settings: Settings, grain: str, seed: str, one_in: int) -> DataFrame:
    """Rows as of gold.events at moments when a detector might have fired: one in `one_in` of those that meet the grain's guard,
    for each detector, by a lot that `seed` decides. Strength and direction are 0, of the context there is but PLACE.
    """
    of_grain = replace(GRAINS[grain], edge=None, context=_placed(GRAINS[grain].context))
    chosen = []
    for one in chosen_detectors(settings, grain):
        moment = one.detector.context.get("ts", of_grain.context["ts"])
        lot = f"pmod(xxhash64('{seed}', '{one.detector.name}', security_id, {moment}), {one_in}) = 0"
        context = _placed(one.detector.context)
        drawn = replace(one.detector, condition=lot, strength="0D", direction="0", features=(), context=context)
        chosen.append(replace(one, detector=drawn))
    # Without the rising edge, which forbids a moment after another, and without what takes long to compute.
    statement = compile_statement(of_grain, chosen, rules_of(settings))
    columns = [column.name for column in declared("gold.events").columns]
    return run_statement(frame, settings, grain, statement).select(*columns)


def _placed(context: Mapping[str, str]) -> dict[str, str]:
    return {name: sql for name, sql in context.items() if name in PLACE}


def clear_of(moments: DataFrame, known: DataFrame) -> DataFrame:
    """Those of `moments` that are CLEAR_SECONDS or more from every event of `known` (both as gold.events) of their detector and
    security.
    """
    events_there = known.select("detector", "security_id", F.unix_seconds("ts").alias("event_seconds"))
    near = F.abs(F.unix_seconds("ts") - F.col("event_seconds")) < CLEAR_SECONDS
    same = (moments["detector"] == events_there["detector"]) & (moments["security_id"] == events_there["security_id"])
    return moments.join(events_there, same & near, "left_anti")
