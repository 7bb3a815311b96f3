"""How good alerts are, of a detector or a model: against what was planted, one to one, with intervals that draw whole days."""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from smallcaps.models.evaluation import Estimate

SAMPLES, SEED = 2_000, 1
"""Draws of a bootstrap, and the seed of whatever is drawn here."""
RANDOM_DRAWS = 20
"""Of a rival that alerts at random."""
BINS = (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Edges of the sizes of episodes, in usual sizes of their kind."""

Sums = Mapping[str, Any]


def clustered(counts: pd.DataFrame, statistic: Callable[[Sums], Any]) -> Estimate:
    """A statistic of the sums of counts (a row a date), with the 2.5th and 97.5th percentile of it when dates are drawn with
    replacement. The bounds are NaN with fewer than two dates.
    """
    values = counts.to_numpy(dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic(dict(zip(counts.columns, values.sum(axis=0), strict=True))))
        if len(values) < 2:
            return Estimate(value, float("nan"), float("nan"))
        drawn = np.random.default_rng(SEED).integers(0, len(values), (SAMPLES, len(values)))
        found = statistic(dict(zip(counts.columns, values[drawn].sum(axis=1).T, strict=True)))
    sound = found[~np.isnan(found)]
    low, high = np.percentile(sound, (2.5, 97.5)) if len(sound) else (float("nan"), float("nan"))
    return Estimate(value, float(low), float(high))


def share(hits: pd.Series, dates: pd.Series) -> Estimate:
    """The share of hits, with the wider of the bootstrap by date and Wilson's interval on either side: where all or none are
    hits a bootstrap knows no doubt.
    """
    counts = pd.DataFrame({"hits": hits.astype(int), "of": 1}).groupby(dates.to_numpy()).sum()
    found = clustered(counts, lambda sums: sums["hits"] / sums["of"])
    if hits.empty:
        return found
    wilson = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(method="wilson")
    return Estimate(found.value, float(np.fmin(found.low, wilson.low)), float(np.fmax(found.high, wilson.high)))


def match(alerts: pd.DataFrame, windows: pd.DataFrame) -> pd.Series:
    """Which window (its label) each alert is matched to, null where to none: one to one, as many as can be.

    `alerts`: symbol, at; `windows`: symbol, start, end, both included. Alerts are taken in order of time and each gets, of the
    open windows that are still free, the one that closes first: no other way matches more.
    """
    found: dict[Any, Any] = {}
    ordered = windows.sort_values(["start", "end"], kind="stable")
    spans: dict[str, list[tuple[Any, Any, Any]]] = defaultdict(list)
    for label, symbol, start, end in zip(
        ordered.index, ordered["symbol"], ordered["start"], ordered["end"], strict=True
    ):
        spans[symbol].append((start, end, label))
    for symbol, some in alerts.groupby("symbol"):
        waiting = spans[str(symbol)][::-1]
        opened: list[tuple[Any, int, Any]] = []
        in_time = some.sort_values("at", kind="stable")
        for alert, at in zip(in_time.index, in_time["at"], strict=True):
            while waiting and waiting[-1][0] <= at:
                _, end, label = waiting.pop()
                heapq.heappush(opened, (end, len(waiting), label))
            while opened and opened[0][0] < at:
                heapq.heappop(opened)
            if opened:
                found[alert] = heapq.heappop(opened)[2]
    return pd.Series([found.get(alert) for alert in alerts.index], alerts.index, dtype=object)


def inside(alerts: pd.DataFrame, windows: pd.DataFrame) -> pd.Series:
    """Whether each alert lies in any window of its symbol."""
    spans: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
    for symbol, start, end in zip(windows["symbol"], windows["start"], windows["end"], strict=True):
        spans[symbol].append((start, end))
    lies = [
        any(start <= at <= end for start, end in spans[symbol])
        for symbol, at in zip(alerts["symbol"], alerts["at"], strict=True)
    ]
    return pd.Series(lies, alerts.index, dtype=bool)


def quartiles(values: Any) -> tuple[float, float, float] | None:
    """25th, 50th and 75th percentile; None without values."""
    if not len(values):
        return None
    low, middle, high = np.percentile(values, (25, 50, 75))
    return float(low), float(middle), float(high)


@dataclass(frozen=True)
class Power:
    """Of episodes from `low` to `high` usual sizes, how many there are and the share that was found."""

    low: float
    high: float
    episodes: int
    found: Estimate


@dataclass(frozen=True)
class Score:
    """Alerts against the episodes that they are meant to find.

    `matched`: alerts that have an episode to themselves; `duplicates`: further ones in the window of such an episode; `any`:
    the share of alerts in the window of an episode of whatever kind. `recall` is of all episodes, `recall_of_usual` of those of
    the usual size or more. `delay`: 25th, 50th and 75th percentile of the bars from onset to alert, None without any.
    """

    alerts: int
    episodes: int
    matched: int
    duplicates: int
    near_misses: int
    near_misses_found: int
    precision: Estimate
    any: Estimate
    recall: Estimate
    recall_of_usual: Estimate
    f1: Estimate
    power: tuple[Power, ...]
    delay: tuple[float, float, float] | None


def f1(sums: Sums, prefix: str = "") -> Any:
    """2 · matched / (alerts + episodes): the harmonic mean of precision and recall."""
    return 2 * sums[f"{prefix}matched"] / (sums[f"{prefix}alerts"] + sums["episodes"])


def by_date(alerts: pd.DataFrame, windows: pd.DataFrame, dates: list[Any]) -> pd.DataFrame:
    """alerts, matched, episodes of each date; `alerts` and `windows` as `match` takes them, with session_date."""
    matched = match(alerts, windows).notna()
    counts = pd.DataFrame(
        {
            "alerts": alerts.groupby("session_date").size(),
            "matched": matched.groupby(alerts["session_date"]).sum(),
            "episodes": windows.groupby("session_date").size(),
        }
    )
    return counts.reindex(dates).fillna(0).astype(float)


@dataclass(frozen=True)
class Rival:
    """Precision, recall and F1 of another way to as many alerts."""

    precision: float
    recall: float
    f1: float


def mean_rival(draws: list[pd.DataFrame]) -> Rival:
    """The mean over draws."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # In numpy's numbers, of which none by none is not a number and no error.
        sums = [dict(zip(map(str, counts), counts.sum().to_numpy(float), strict=True)) for counts in draws]
        return Rival(
            float(np.mean([one["matched"] / one["alerts"] for one in sums])),
            float(np.mean([one["matched"] / one["episodes"] for one in sums])),
            float(np.mean([f1(one) for one in sums])),
        )


def score(alerts: pd.DataFrame, windows: pd.DataFrame, others: pd.DataFrame, dates: list[Any], bar: float) -> Score:
    """Score `alerts` (symbol, session_date, at) against `windows` (symbol, session_date, start, end, onset, multiple, near_miss);
    `others`: the windows of episodes of any kind; `dates`: those that are measured; `bar`: length of a bar in units of `at`.
    """
    found = match(alerts, windows).dropna()
    hit = pd.Series(windows.index.isin(found), windows.index)
    usual, near = windows["multiple"] >= 1, windows["near_miss"].astype(bool)
    delays = (alerts["at"].loc[found.index].to_numpy() - windows["onset"].loc[found].to_numpy()).astype(float) / bar
    again = inside(alerts.drop(found.index), windows[hit])
    counts = by_date(alerts, windows, dates)
    counts["any"] = inside(alerts, others).groupby(alerts["session_date"]).sum().reindex(dates).fillna(0)
    counts["usual"] = usual.groupby(windows["session_date"]).sum().reindex(dates).fillna(0)
    counts["usual_found"] = (usual & hit).groupby(windows["session_date"]).sum().reindex(dates).fillna(0)
    power = []
    for low, high in itertools.pairwise(BINS):
        some = (windows["multiple"] >= low) & ((windows["multiple"] < high) | (high == BINS[-1]))
        power.append(Power(low, high, int(some.sum()), share(hit[some], windows["session_date"][some])))
    return Score(
        alerts=len(alerts),
        episodes=len(windows),
        matched=len(found),
        duplicates=int(again.sum()),
        near_misses=int(near.sum()),
        near_misses_found=int((near & hit).sum()),
        precision=clustered(counts, lambda sums: sums["matched"] / sums["alerts"]),
        any=clustered(counts, lambda sums: sums["any"] / sums["alerts"]),
        recall=clustered(counts, lambda sums: sums["matched"] / sums["episodes"]),
        recall_of_usual=clustered(counts, lambda sums: sums["usual_found"] / sums["usual"]),
        f1=clustered(counts, f1),
        power=tuple(power),
        delay=quartiles(delays),
    )
