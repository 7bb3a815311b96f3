"""Make again what became stale, in the order in which tables are made of one another. Models are trained by hand."""

from collections.abc import Callable
from datetime import date

from smallcaps.config import Settings
from smallcaps.detectors.detect import detect_again
from smallcaps.detectors.manifest import build_manifest
from smallcaps.labels.barriers import label_events
from smallcaps.lake import Lake, Stale, stale
from smallcaps.log import progress
from smallcaps.microstructure.features import extract_features
from smallcaps.microstructure.sequences import extract_sequences
from smallcaps.refine.job import STEPS, make_again

TABLES = (
    *(step.table for step in STEPS),
    *("gold.events", "gold.event_features", "gold.event_sequences", "gold.event_labels", "gold.core_manifest"),
)
"""What can be made again, in order."""


def refresh(lake: Lake, settings: Settings, told: Callable[[Stale], None] = lambda one: None) -> list[Stale]:
    """Make again what is stale of TABLES, exactly those days; returns what was.

    `told` hears of each before it is made. A table is looked at when those that it is made of are as they should be.
    """
    made = []
    for number, table in enumerate(TABLES):
        progress(number, len(TABLES), "tables", table)
        for one in stale(lake, [table]):
            told(one)
            _make(lake, settings, one)
            made.append(one)
    return made


def _make(lake: Lake, settings: Settings, one: Stale) -> None:
    if one.job == "manifest":
        build_manifest(lake, settings, one.arguments["top"])
        return
    # A whole table is made as it was asked for last.
    asked = [(date.fromisoformat(one.arguments["from"]), date.fromisoformat(one.arguments["to"]))]
    for first, last in one.ranges or asked:
        match one.job.split():
            case ["refine"]:
                make_again(lake, settings, one.table, first, last)
            case ["detect", grain]:
                detect_again(lake, settings, grain, first, last)
            case ["features"]:
                extract_features(lake, settings, first, last)
            case ["sequences"]:
                extract_sequences(lake, settings, first, last)
            case ["label"]:
                label_events(lake, settings, first, last)
            case _:
                raise ValueError(f"{one.table} was made by {one.job}, which is not known here.")
