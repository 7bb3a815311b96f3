"""The CORE manifest: the top events by a score that only ever looks back.

1. Per detector, in order of known_at: each event's strength, dollar volume and relative volume as percentiles among the
events known strictly earlier. 2. Score = mean of the percentiles there are, weighted. 3. Session by session, best first:
at most so many events a session, and a name in so many sessions. 4. The top N of what is left.
"""

from bisect import bisect_right, insort
from collections import Counter, defaultdict, deque
from collections.abc import Callable

import pandas as pd
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import ManifestSettings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, declared, recorded_run

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


def core_manifest(events: DataFrame, calendar: DataFrame, manifest: ManifestSettings) -> DataFrame:
    """gold.core_manifest (without run_id) of gold.events and silver.calendar. Pure; an event never depends on later ones
    but for those of its own session, with which it competes for places.
    """
    numbered = events.join(F.broadcast(calendar.select("session_date", "session_number")), "session_date")
    columns = [part.split()[0] for part in _SCORED.split(", ")]
    inputs = [name for name in columns if name in numbered.columns]
    scored = numbered.select(*inputs).groupBy("detector").applyInPandas(_scorer(manifest), _SCORED)
    kept = scored.groupBy().applyInPandas(_picker(manifest), _SCORED)
    best_first = Window.orderBy(F.desc("score"), "event_id")
    ranked = kept.withColumn("rank", F.row_number().over(best_first)).where(F.col("rank") <= manifest.top)
    return ranked.select(*[column.name for column in declared("gold.core_manifest").columns])


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
        """The events that find a place in their session and under their name."""
        scored = scored.sort_values(["session_number", "score", "event_id"], ascending=[True, False, True])
        in_session: Counter[int] = Counter()
        of_name: defaultdict[str, deque[int]] = defaultdict(deque)
        kept = []
        for session, symbol in zip(scored["session_number"], scored["symbol"], strict=True):
            recent = of_name[symbol]
            while recent and recent[0] <= session - manifest.name_sessions:
                recent.popleft()
            place = in_session[session] < manifest.maximum_per_session and len(recent) < manifest.maximum_per_name
            if place:
                in_session[session] += 1
                recent.append(session)
            kept.append(place)
        return scored[kept]

    return pick


def build_manifest(lake: Lake, settings: Settings, top: int | None = None) -> int:
    """Score all of gold.events and replace gold.core_manifest; returns the number of events in it.

    `top` overrides the settings' number. Raises BadInput where it is not positive.
    """
    manifest = settings.manifest if top is None else settings.manifest.model_copy(update={"top": top})
    if manifest.top < 1:
        raise BadInput(f"The manifest needs at least one place; top is {manifest.top}.")
    with recorded_run(lake, "manifest", {"top": manifest.top}, settings.digest()) as run:
        events, calendar = run.read("gold.events"), run.read("silver.calendar")
        return run.replace("gold.core_manifest", core_manifest(events, calendar, manifest), None).rows
