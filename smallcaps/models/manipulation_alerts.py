"""Alerts of manipulation, and how good they are: beside the episodes that a simulated market planted, one to one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config.settings import ManipulationSettings
from smallcaps.errors import BadInput
from smallcaps.models.alert_score import RANDOM_DRAWS, SEED, Rival, Score, by_date, mean_rival, score
from smallcaps.models.evaluation import Estimate

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
"""Probabilities from which on a minute might alert, at which alerts are measured beside those of the settings."""
MINUTE_US = 60_000_000


def alerts(scored: DataFrame, threshold: float, quiet_minutes: int) -> DataFrame:
    """Of rows with security_id, session_date, ts, target and probability those that alert: of at least `threshold`, and the first
    such minute of a name and target after `quiet_minutes` without one. What comes later changes none.
    """
    order = Window.partitionBy("security_id", "session_date", "target").orderBy("ts")
    likely = scored.where(F.col("probability") >= threshold)
    before = F.unix_seconds("ts") - F.unix_seconds(F.lag("ts").over(order))
    quiet = F.coalesce(before > quiet_minutes * 60, F.lit(True))
    return likely.withColumn("_quiet", quiet).where("_quiet").drop("_quiet")


@dataclass(frozen=True)
class Found:
    """A kind's alerts out of sample, of minutes from probability `threshold` on, beside the episodes: over `days` sessions with
    `name_days` names in all. A false alarm is an alert that has no episode of the kind to itself.
    """

    kind: str
    threshold: float
    days: int
    name_days: int
    score: Score
    naive: Rival
    random: Rival

    @property
    def false_alarms_a_day(self) -> float:
        """Alerts without an episode of their own, a session."""
        return (self.score.alerts - self.score.matched) / self.days

    def __str__(self) -> str:
        return f"{self.kind} from {self.threshold:g}: {self.score.matched} of {self.score.episodes} in {self.score.alerts} alerts"


def measured(scored: DataFrame, planted: pd.DataFrame, kind: str, settings: ManipulationSettings) -> list[Found]:
    """A kind's alerts at each threshold. `scored`: security_id, symbol, session_date, ts, known_at, target, probability and
    naive_<kind>, what the rule of one line measures; `planted`: episodes with session_date, onset and peak (µs).

    Raises BadInput where none of the kind lies on the days of `scored`.
    """
    rows = scored.where(F.col("target") == kind)
    at = F.unix_micros("known_at").alias("at")
    minutes = rows.select("symbol", "session_date", at, F.col(f"naive_{kind}").alias("naive")).toPandas()
    minutes = minutes.sort_values(["at", "symbol"], ignore_index=True)
    days = minutes[["symbol", "session_date"]].drop_duplicates()
    dates = sorted(days["session_date"].unique())
    windows = planted.merge(days, on=["symbol", "session_date"]).sort_values(["onset", "symbol"], ignore_index=True)
    windows = windows.assign(start=windows["onset"], end=windows["peak"] + settings.late_minutes * MINUTE_US)
    meant = windows[windows["kind"] == kind]
    if meant.empty:
        raise BadInput(
            f"No {kind} is planted on the days that are tested. Build a market with more days, names or episodes."
        )
    naive = minutes.dropna().sort_values(["naive", "at", "symbol"], ascending=[False, True, True], ignore_index=True)
    generator = np.random.default_rng(SEED)
    found = []
    for threshold in sorted({*THRESHOLDS, settings.alert_probability}):
        own = alerts(rows, threshold, settings.quiet_minutes).select("symbol", "session_date", at).toPandas()
        own = own.sort_values(["at", "symbol"], ignore_index=True)
        largest = _largest(naive, len(own), settings.quiet_minutes)
        drawn = [minutes.iloc[generator.integers(0, len(minutes), len(own))] for _ in range(RANDOM_DRAWS)]
        found.append(
            Found(
                kind,
                threshold,
                len(dates),
                len(days),
                score(own, meant, windows, dates, MINUTE_US),
                mean_rival([by_date(largest, meant, dates)]),
                mean_rival([by_date(one.reset_index(drop=True), meant, dates) for one in drawn]),
            )
        )
    return found


def _largest(minutes: pd.DataFrame, count: int, quiet_minutes: int) -> pd.DataFrame:
    """The first `count` of minutes in order that are further than `quiet_minutes` from each other of their name."""
    taken: list[int] = []
    times: dict[str, list[int]] = {}
    for place, (symbol, at) in enumerate(zip(minutes["symbol"], minutes["at"], strict=True)):
        if len(taken) == count:
            break
        if all(abs(at - other) > quiet_minutes * MINUTE_US for other in times.get(symbol, ())):
            times.setdefault(symbol, []).append(at)
            taken.append(place)
    return minutes.iloc[taken].sort_values(["at", "symbol"], ignore_index=True)


def figures(found: Found) -> Mapping[str, float]:
    """By name, as they are logged."""
    estimates = {name: getattr(found.score, name) for name in ("precision", "recall", "recall_of_usual", "f1")}
    return {
        **{f"{name}{end}": value for name, one in estimates.items() for end, value in _ends(one).items()},
        "alerts": found.score.alerts,
        "episodes": found.score.episodes,
        "false_alarms_a_day": found.false_alarms_a_day,
        "median_delay_minutes": found.score.delay[1] if found.score.delay else float("nan"),
        **{f"naive.{name}": value for name, value in asdict(found.naive).items()},
        **{f"random.{name}": value for name, value in asdict(found.random).items()},
    }


def _ends(estimate: Estimate) -> Mapping[str, float]:
    return {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
