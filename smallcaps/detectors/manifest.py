"""The CORE manifest: the top events by a score that only ever looks back.

1. Per detector, in order of known_at: each event's strength, dollar volume and relative volume as percentiles among the
events known strictly earlier. 2. Score = mean of the percentiles there are, weighted. 3. Session by session, best first:
at most so many events a session, and a name in so many sessions. 4. The top N of what is left.
"""

import json
from bisect import bisect_right, insort
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import ManifestSettings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, declared, recorded_run

JOB = "manifest"
MEASURES = {
    "strength": "weight_strength",
    "dollar_volume": "weight_dollar_volume",
    "relative_volume": "weight_relative_volume",
}
_SCORED = (
    "event_id string, symbol string, session_date date, session_number int, ts timestamp, known_at timestamp, "
    "detector string, strength double, dollar_volume double, relative_volume double, strength_percentile double, "
    "dollar_volume_percentile double, relative_volume_percentile double, earlier_events bigint, score double"
)


_JUDGED = f"{_SCORED}, left_out string"
"""`left_out`: which cap left the event without a place, session or name; null where it has one."""


def core_manifest(events: DataFrame, calendar: DataFrame, manifest: ManifestSettings) -> DataFrame:
    """gold.core_manifest (without run_id) of gold.events and silver.calendar. Pure; an event never depends on later ones
    but for those of its own session, with which it competes for places.
    """
    placed = verdicts(events, calendar, manifest).where(F.col("rank") <= manifest.top)
    return placed.select(*[column.name for column in declared("gold.core_manifest").columns])


def verdicts(events: DataFrame, calendar: DataFrame, manifest: ManifestSettings) -> DataFrame:
    """Every event with its score, which cap left it out (`left_out`), and its `rank` among those that none did. Pure."""
    numbered = events.join(F.broadcast(calendar.select("session_date", "session_number")), "session_date")
    columns = [part.split()[0] for part in _SCORED.split(", ")]
    inputs = [name for name in columns if name in numbered.columns]
    scored = numbered.select(*inputs).groupBy("detector").applyInPandas(_scorer(manifest), _SCORED)
    judged = scored.groupBy().applyInPandas(_picker(manifest), _JUDGED)
    best_first = Window.partitionBy("left_out").orderBy(F.desc("score"), "event_id")
    return judged.withColumn("rank", F.when(F.col("left_out").isNull(), F.row_number().over(best_first)))


def _scorer(manifest: ManifestSettings) -> Callable[[pd.DataFrame], pd.DataFrame]:
    weights = {measure: getattr(manifest, weight) for measure, weight in MEASURES.items()}

    def score(events: pd.DataFrame) -> pd.DataFrame:
        """Percentiles and score of one detector's events."""
        events = events.sort_values(["known_at", "event_id"]).reset_index(drop=True)
        events["earlier_events"] = events["known_at"].searchsorted(events["known_at"], side="left")
        total = pd.Series(0.0, events.index)
        weight = pd.Series(0.0, events.index)
        for measure, share in weights.items():
            percentile = expanding_percentile(events["known_at"], events[measure])
            events[f"{measure}_percentile"] = percentile
            total += percentile.fillna(0.0) * share
            weight += percentile.notna() * share
        events["score"] = (total / weight).round(9)
        return events[[part.split()[0] for part in _SCORED.split(", ")]]

    return score


def expanding_percentile(known_at: pd.Series, values: pd.Series) -> pd.Series:
    """Where a value stands among those known strictly earlier: (how many are at most the value + ½) / (how many + 1).

    So the first stands in the middle, and only many earlier values can put one near 0 or 1 (Hazen's plotting position).
    Null where the value is null. `known_at` ascending.
    """
    earlier: list[float] = []
    waiting: list[float] = []
    percentiles: list[float | None] = []
    current = None
    for moment, value in zip(known_at, values, strict=True):
        if moment != current:
            for one in waiting:
                insort(earlier, one)
            waiting, current = [], moment
        if pd.isna(value):
            percentiles.append(None)
            continue
        percentiles.append((bisect_right(earlier, value) + 0.5) / (len(earlier) + 1))
        waiting.append(value)
    return pd.Series(percentiles, known_at.index, dtype=float)


def _picker(manifest: ManifestSettings) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def pick(scored: pd.DataFrame) -> pd.DataFrame:
        """Which events find a place in their session and under their name."""
        scored = scored.sort_values(["session_number", "score", "event_id"], ascending=[True, False, True])
        in_session: Counter[int] = Counter()
        of_name: defaultdict[str, deque[int]] = defaultdict(deque)
        left_out: list[str | None] = []
        for session, symbol in zip(scored["session_number"], scored["symbol"], strict=True):
            recent = of_name[symbol]
            while recent and recent[0] <= session - manifest.name_sessions:
                recent.popleft()
            full = "session" if in_session[session] >= manifest.maximum_per_session else None
            full = full or ("name" if len(recent) >= manifest.maximum_per_name else None)
            if full is None:
                in_session[session] += 1
                recent.append(session)
            left_out.append(full)
        return scored.assign(left_out=pd.Series(left_out, scored.index, dtype=object))

    return pick


def build_manifest(lake: Lake, settings: Settings, top: int | None = None) -> int:
    """Score all of gold.events and replace gold.core_manifest; returns the number of events in it.

    `top` overrides the settings' number. Raises BadInput where it is not positive.
    """
    manifest = settings.manifest if top is None else settings.manifest.model_copy(update={"top": top})
    if manifest.top < 1:
        raise BadInput(f"The manifest needs at least one place; top is {manifest.top}.")
    with recorded_run(lake, JOB, {"top": manifest.top}, settings.digest()) as run:
        events, calendar = run.read("gold.events"), run.read("silver.calendar")
        return run.replace("gold.core_manifest", core_manifest(events, calendar, manifest), None).rows


@dataclass(frozen=True)
class Explanation:
    """Why an event is in the manifest or not: its row of `verdicts` and the settings that judged it."""

    event: dict[str, Any]
    manifest: ManifestSettings
    recorded_rank: int | None
    """Its rank in gold.core_manifest as it is; null where it is not in it."""

    @property
    def parts(self) -> list[tuple[str, float | None, float | None, float]]:
        """Of each measure its name, value, percentile among earlier events, and share of the score."""
        known = [name for name in MEASURES if self.event[f"{name}_percentile"] is not None]
        total = sum(getattr(self.manifest, MEASURES[name]) for name in known)
        return [
            (
                name,
                self.event[name],
                self.event[f"{name}_percentile"],
                getattr(self.manifest, weight) / total if name in known else 0.0,
            )
            for name, weight in MEASURES.items()
        ]

    @property
    def is_outdated(self) -> bool:
        """Whether gold.core_manifest says otherwise, since it was made of other events or by other settings."""
        rank = self.event["rank"]
        return self.recorded_rank != (rank if rank is not None and rank <= self.manifest.top else None)

    @property
    def verdict(self) -> str:
        """In words, whether it has a place, and which."""
        manifest, day, name = self.manifest, self.event["session_date"], self.event["symbol"]
        if self.event["left_out"] == "session":
            return f"Left out: {manifest.maximum_per_session} events of {day} with a higher score took its places."
        if self.event["left_out"] == "name":
            return (
                f"Left out: {name} has {manifest.maximum_per_name} events with a place in the {manifest.name_sessions} sessions "
                f"up to {day}."
            )
        if self.event["rank"] > manifest.top:
            return f"Left out: rank {self.event['rank']:,} is beyond the {manifest.top:,} places."
        return f"Rank {self.event['rank']:,} of at most {manifest.top:,}."


def explain(lake: Lake, settings: Settings, event_id: str) -> Explanation:
    """Judge all events again, for as many places as the manifest was made with last, and tell of one, named by its id or the
    beginning of it. Raises BadInput where that is not one.
    """
    manifest = settings.manifest
    if lake.exists("ops.runs"):
        made = lake.read("ops.runs").where(F.col("job") == JOB).where("outcome = 'succeeded'")
        (last,) = made.agg(F.max_by("arguments", "started_at")).collect()[0]
        manifest = manifest if last is None else manifest.model_copy(update={"top": json.loads(last)["top"]})
    rows = verdicts(lake.read("gold.events"), lake.read("silver.calendar"), manifest)
    found = rows.where(F.col("event_id").startswith(event_id)).limit(2).collect()
    if len(found) != 1:
        raise BadInput(f"{'No event' if not found else 'More than one event'} in gold.events begins with {event_id!r}.")
    (event,) = found
    recorded = None
    if lake.exists("gold.core_manifest"):
        recorded = lake.read("gold.core_manifest").where(F.col("event_id") == event.event_id).first()
    return Explanation(event.asDict(), manifest, None if recorded is None else recorded["rank"])
