"""Models beside the best that anybody could foretell: on a simulated market, which knows how likely each outcome was.

1. Of the events that became known while a planted episode was under way, before what follows it begins, the first in its
direction. 2. Their inputs as in a dataset, but what came is what the market drew. 3. An algorithm is fitted walk-forward, as for
a dataset, and measured beside the probability that follows from what can be observed at the onset.
"""

from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import DatasetSettings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.lake.runs import computed_once
from smallcaps.models.evaluation import Estimate, drawn_figures, interval
from smallcaps.models.event_sequence import channel_names
from smallcaps.models.frozen import INPUT_TABLES, definition_of, event_inputs, input_names, with_folds
from smallcaps.models.training import Walk
from smallcaps.sources.simulator.episodes import FOLLOWS_AFTER_SECONDS, NOTHING
from smallcaps.sources.simulator.layout import read_episodes

TARGETS = ("continuation", "reversal")
NO_GAIN = {"auc": 0.5, "top_decile_lift": 1.0, "log_loss_skill": 0.0}
"""What a score without any knowledge has: gains are counted from here."""


@dataclass(frozen=True)
class Foretold:
    """A target's figures out of sample over the same episodes: the algorithm's, the best possible ones, and by figure of NO_GAIN
    the share of the best's gain that the algorithm has, with 95 % intervals.
    """

    target: str
    episodes: int
    ours: dict[str, Estimate]
    best: dict[str, Estimate]
    share: dict[str, Estimate]

    def __str__(self) -> str:
        return f"{self.target}: AUC {self.ours['auc'].value:.3f}, at best {self.best['auc'].value:.3f}"


@dataclass(frozen=True)
class Comparison:
    """How many episodes were `planted`, how many of them events `met`, and each target's figures over those that were tested."""

    planted: int
    met: int
    targets: list[Foretold]

    def __str__(self) -> str:
        return "; ".join(map(str, self.targets))


def foretell(lake: Lake, settings: Settings, market: Path, of: str, algorithm: str) -> Comparison:
    """Fit `algorithm` to the planted episodes that events of definition `of` met, and compare.

    Raises BadInput where the folder holds no market, the lake has no events of it, or they are too few.
    """
    episodes = read_episodes(market)
    definition = definition_of(settings, of)
    if not lake.exists("gold.events"):
        raise BadInput("gold.events not written yet. Run `smallcaps detect` first.")
    with computed_once(planted_rows(lake, definition, episodes)) as planted:
        scored = _scored(planted, definition, settings, f"{lake.root}/scratch/{uuid4().hex}", algorithm)
        met = planted.count()
    own = settings.models
    targets = [compared(scored, target, own.bootstrap_samples, own.seed) for target in TARGETS]
    return Comparison(len(episodes), met, targets)


def _scored(
    planted: DataFrame, definition: DatasetSettings, settings: Settings, scratch: str, algorithm: str
) -> pd.DataFrame:
    """What models of the past say of the folds' tests: rows as `compared` takes them."""
    rows, folds = with_folds(planted, definition)
    kept = {
        "definition": definition.model_dump_json(),
        "input_names": input_names(definition),
        "sequence_names": channel_names(definition),
        "folds": folds,
        "content_hash": "planted",
    }
    walk = Walk(rows, kept, settings.models, scratch)
    fits = {fold["number"]: walk.fit(algorithm, fold["train_before"]) for fold in folds}
    models = {number: fitted for number, fitted in fits.items() if fitted is not None}
    if not models:
        raise BadInput(
            f"No fold has {settings.models.minimum_training_events} planted episodes before it. Build a market with more."
        )
    return walk.scored(models).join(rows.select("event_id", "best_continuation"), "event_id").toPandas()


def planted_rows(lake: Lake, definition: DatasetSettings, episodes: pd.DataFrame) -> DataFrame:
    """Rows as of gold.dataset_rows, without fold, whose outcome is what the market drew, with best_continuation."""
    there = lake.spark.createDataFrame(
        episodes[["symbol", "session_date", "direction", "onset_ns", "peak_ns", "outcome", "best_continuation"]]
    )
    known = F.unix_micros("known_at") * 1_000
    follows = F.col("peak_ns") + FOLLOWS_AFTER_SECONDS * 1_000_000_000
    events = lake.read("gold.events").where(F.col("grain").isin(*definition.grains))
    met = events.join(F.broadcast(there), ["symbol", "session_date", "direction"]).where(
        (known >= F.col("onset_ns")) & (known < follows)
    )
    first = Window.partitionBy("symbol", "session_date").orderBy("known_at", "event_id")
    numbers = lake.read("silver.calendar").select("session_date", "session_number")
    one = met.withColumn("place", F.row_number().over(first)).where("place = 1").join(numbers, "session_date")
    tables = {name: lake.read(name) if lake.exists(name) else lake.empty(name) for name in INPUT_TABLES}
    return event_inputs(one, tables, definition).select(
        F.lit("").alias("dataset"),
        *("event_id", "symbol", "session_date", "detector", "session_number"),
        F.col("session_number").alias("label_session"),
        F.when(F.col("outcome") == "nothing", "none").otherwise(F.col("outcome")).alias("outcome"),
        F.lit(False).alias("gave_back"),
        F.lit(1.0).alias("uniqueness"),
        F.lit(False).alias("is_core"),
        *("inputs", "sequence", "best_continuation"),
    )


def compared(scored: pd.DataFrame, target: str, samples: int, seed: int) -> Foretold:
    """`scored`: event_id, session_date, target, happened, probability, base_rate, best_continuation."""
    rows = scored[scored["target"] == target]
    best = rows["best_continuation"] if target == "continuation" else 1 - NOTHING - rows["best_continuation"]
    found = [drawn_figures(rows.assign(probability=told), samples, seed) for told in (rows["probability"], best)]
    ours, possible = (
        {name: Estimate(every[name], *interval(np.array([one[name] for one in drawn]))) for name in NO_GAIN}
        for every, drawn in found
    )
    pairs = list(zip(found[0][1], found[1][1], strict=True))
    share = {
        name: Estimate(
            _share(ours[name].value, possible[name].value, nothing),
            *interval(np.array([_share(one[name], other[name], nothing) for one, other in pairs])),
        )
        for name, nothing in NO_GAIN.items()
    }
    return Foretold(target, len(rows), ours, possible, share)


def _share(ours: float, best: float, nothing: float) -> float:
    return (ours - nothing) / (best - nothing) if best > nothing else float("nan")
