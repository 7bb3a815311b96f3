"""What people's verdicts on a sample come to.

1. An item counts where every reviewer has judged it, and as confirmed where all said yes: who disagrees or is unsure does not
confirm. 2. Precision p of a detector: confirmed events / events, with Wilson's 95 % interval. 3. f: confirmed decoys / decoys.
4. Corrected precision (p − f) / (1 − f): the share π of events that are real, if all real ones are confirmed and the others as
often as decoys are, p = π + (1 − π) f. Its interval: 2.5 to 97.5 % of draws of p and f from Beta(confirmed + ½, others + ½).
5. Cohen's κ of each two reviewers over yes, no and unsure.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType
from scipy.stats import binomtest

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.lake import Lake, declared, recorded_run, sql_literal
from smallcaps.lake.declaration import RUN_ID
from smallcaps.serving.review_files import (
    VERDICTS,
    Sample,
    Verdict,
    read_key,
    read_sample,
    read_verdicts,
    reviewers,
)

DRAWS = 20_000
LEVEL = (2.5, 97.5)
"""Percentiles of a 95 % interval."""


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's 95 % interval. Of nothing, nothing is known: NaN."""

    hits: int
    of: int

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.of if self.of else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Its interval."""
        if not self.of:
            return math.nan, math.nan
        found = binomtest(self.hits, self.of).proportion_ci(method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Score:
    """A detector's events and decoys that were confirmed, by kind, and the precision that remains with its interval.

    `corrected` is at least 0; it and its interval are NaN where there are no events or no decoys, or all decoys were confirmed.
    """

    detector: str
    events: Share
    near_misses: Share
    random: Share
    corrected: float
    low: float
    high: float


@dataclass(frozen=True)
class Review:
    """A sample's scores: reviewers, items in all and those that every one of them has judged, κ by pair (None: undefined)."""

    reviewers: tuple[str, ...]
    items: int
    counted: int
    scores: tuple[Score, ...]
    kappas: dict[tuple[str, str], float | None]
    gone: int = 0
    """Events of the sample that gold.events does not have any more."""

    def __str__(self) -> str:
        return f"{self.counted:,} items"


def score_sample(lake: Lake, settings: Settings, folder: Path) -> Review:
    """Write the verdicts on the sample in `folder` to gold.reviews, in place of those on it that are there, and score them.

    Raises BadInput where nobody has judged anything, or the reviewers no item together; BadData for verdicts on other items.
    """
    sample, key = read_sample(folder), {item["item_id"]: item for item in read_key(folder)}
    rows = _rows(sample, key, {name: read_verdicts(folder, name) for name in reviewers(folder)})
    if not rows:
        raise BadInput(f"Nobody has reviewed {folder} yet: `smallcaps review serve` shows it to people.")
    found = score(pd.DataFrame(rows), len(key), int(sample.seed, 16))
    with recorded_run(lake, "review score", {"sample": sample.sample_id}, settings.digest()) as run:
        schema = StructType([field for field in declared("gold.reviews").schema if field.name != RUN_ID.name])
        reviews = lake.spark.createDataFrame(pa.Table.from_pylist(rows, to_arrow_schema(schema)), schema)
        reviewed = reviews.where("kind = 'event'").select("event_id").distinct()
        gone = reviewed.join(run.read("gold.events"), "event_id", "left_anti").count()
        run.replace("gold.reviews", reviews, f"sample_id = {sql_literal(sample.sample_id)}")
    return replace(found, gone=gone)


def _rows(
    sample: Sample, key: Mapping[str, dict[str, Any]], said: Mapping[str, Mapping[str, Verdict]]
) -> list[dict[str, Any]]:
    """Rows of gold.reviews."""
    if strange := {item_id for verdicts in said.values() for item_id in verdicts} - set(key):
        raise BadData(f"Sample {sample.sample_id} has no item {min(strange)}: these are verdicts on another sample.")
    of_sample = {"sample_id": sample.sample_id, "events_version": sample.tables["gold.events"]}
    return [
        of_sample
        | {name: key[item_id][name] for name in ("detector", "kind", "event_id", "symbol", "security_id")}
        | {"item_id": item_id, "reviewer": reviewer, "verdict": one.verdict}
        | {
            "session_date": date.fromisoformat(key[item_id]["session_date"]),
            "ts": _instant(key[item_id]["ts_micros"]),
            "known_at": _instant(key[item_id]["known_micros"]),
            "reviewed_at": datetime.fromisoformat(one.at),
        }
        for reviewer, verdicts in said.items()
        for item_id, one in verdicts.items()
    ]


def _instant(micros: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)


def score(reviews: pd.DataFrame, items: int, seed: int) -> Review:
    """Score verdicts: item_id, reviewer, detector, kind, verdict; `items` are those of the sample. Pure.

    Raises BadInput where no item was judged by all reviewers.
    """
    wide = reviews.pivot(index=["detector", "kind", "item_id"], columns="reviewer", values="verdict").dropna()
    names = tuple(sorted(wide.columns))
    if wide.empty:
        raise BadInput(f"No item was judged by all of {', '.join(names)}. Set aside the file of who has left.")
    confirmed = (wide == "yes").all(axis=1)
    detectors = sorted(set(wide.index.get_level_values("detector")))
    scores = tuple(_score(detector, confirmed.loc[detector], seed) for detector in detectors)
    pairs = {(one, other): kappa(wide[one], wide[other]) for one, other in combinations(names, 2)}
    return Review(names, items, len(wide), scores, pairs)


def _score(detector: str, confirmed: pd.Series, seed: int) -> Score:
    def share(*kinds: str) -> Share:
        rows = confirmed[confirmed.index.get_level_values("kind").isin(kinds)]
        return Share(int(rows.sum()), len(rows))

    events, decoys = share("event"), share("near_miss", "random")
    corrected = corrected_precision(events, decoys, seed)
    return Score(detector, events, share("near_miss"), share("random"), *corrected)


def corrected_precision(events: Share, decoys: Share, seed: int) -> tuple[float, float, float]:
    """(p − f) / (1 − f), at least 0, with its 95 % interval, which holds it."""
    if not events.of or not decoys.of or decoys.hits == decoys.of:
        return math.nan, math.nan, math.nan
    random = np.random.default_rng(seed)
    p, f = (random.beta(share.hits + 0.5, share.of - share.hits + 0.5, DRAWS) for share in (events, decoys))
    low, high = np.percentile(np.maximum((p - f) / (1 - f), 0), LEVEL)
    value = max((events.value - decoys.value) / (1 - decoys.value), 0.0)
    return value, min(float(low), value), max(float(high), value)


def kappa(one: pd.Series, other: pd.Series) -> float | None:
    """Cohen's κ of verdicts on the same items: agreement beyond chance; None where both always said the same one thing."""
    agreed = float((one == other).mean())
    chance = float(sum((one == verdict).mean() * (other == verdict).mean() for verdict in VERDICTS))
    return None if chance == 1 else (agreed - chance) / (1 - chance)
