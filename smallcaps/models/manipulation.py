"""A model of manipulation: how likely it is, minute by minute, that a name is being pumped or its quotes spoofed.

No data that can be bought has labels of it, so it learns from a simulated market, which knows what it planted. 1. Minutes of
`microstructure/surveillance.py` are labelled by the episodes under way. 2. Trees are grown walk-forward, and their alerts out of
sample measured, one to one, against the episodes. 3. A model of all days is registered, and scores the days of any lake.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta

import mlflow
import numpy as np
import pandas as pd
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import ManipulationSettings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, Run, between, recorded_run
from smallcaps.log import progress
from smallcaps.microstructure.surveillance import HISTORY_DAYS, INPUTS, TABLES, surveillance
from smallcaps.models import gradient_boosting, tracking
from smallcaps.models.alert_score import SEED, Score, by_date, score
from smallcaps.models.evaluation import Estimate
from smallcaps.models.event_model import EventModel
from smallcaps.models.past import as_columns, past_of, sessions_of
from smallcaps.models.registry import CHAMPION, registered
from smallcaps.models.scoring import with_probabilities
from smallcaps.models.walk_forward import walk_forward
from smallcaps.version import code_version

PROBLEM = "manipulation"
KINDS = {"pump_and_dump": "run_30m", "spoof": "abs(imbalance_5m)"}
"""What is looked for, as simulated markets call it, and SQL of the rule of one line that stands beside the model."""
NEEDED = ("silver.bars_1m", "silver.quotes", "silver.calendar")
RANDOM_DRAWS = 20
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
"""Probabilities from which on a minute might alert, at which alerts are measured beside those of the settings."""
_MINUTE_US = 60_000_000
_QUARTER_US = 15 * _MINUTE_US
_NO_SEQUENCE = "cast(NULL AS array<double>) AS sequence"
_PLACE = ("security_id", "symbol", "session_date", "ts", "known_at")


@dataclass(frozen=True)
class Rival:
    """Precision and recall of another way to as many alerts."""

    precision: float
    recall: float


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


def surveyed(run: Run, settings: Settings, first: date, last: date) -> DataFrame:
    """Rows of `surveillance` from `first` to `last`, with `inputs`, their values in order, and an event_id each. Raises BadInput
    where a table that it takes has not been written.
    """
    if missing := [name for name in NEEDED if not run.lake.exists(name)]:
        raise BadInput(f"{' and '.join(missing)} not written yet: surveillance needs minutes and quotes.")
    starts = {"silver.bars_1d": first - timedelta(days=HISTORY_DAYS)}
    tables = {name: run.read_days_or_empty(name, starts.get(name, first), last) for name in TABLES}
    rows = surveillance(tables, settings.microstructure, settings.publication_delay_seconds)
    event_id = F.concat_ws("|", "security_id", F.unix_seconds("ts")).alias("event_id")
    return rows.select("*", event_id, F.array(*INPUTS).alias("inputs"))


def labelled(rows: DataFrame, episodes: pd.DataFrame) -> DataFrame:
    """Rows with, for each of KINDS, 1 where the minute overlaps an episode of it from onset to peak, else 0."""
    begins = F.unix_micros("ts")
    wide = rows
    for kind in KINDS:
        planted = rows.sparkSession.createDataFrame(
            episodes.loc[episodes["kind"] == kind, ["symbol", "session_date", "onset", "peak"]],
            "symbol string, session_date date, onset bigint, peak bigint",
        )
        same = [rows[key] == planted[key] for key in ("symbol", "session_date")]
        under_way = (begins < planted["peak"]) & (begins + _MINUTE_US > planted["onset"])
        ids = rows.join(F.broadcast(planted), [*same, under_way], "left_semi").select("event_id", F.lit(1).alias(kind))
        wide = wide.join(ids, "event_id", "left").fillna(0, [kind])
    return wide


def alerts(scored: DataFrame, threshold: float, quiet_minutes: int) -> DataFrame:
    """Of rows with security_id, session_date, ts, target and probability those that alert: of at least `threshold`, and the first
    such minute of a name and target after `quiet_minutes` without one. What comes later changes none.
    """
    order = Window.partitionBy("security_id", "session_date", "target").orderBy("ts")
    likely = scored.where(F.col("probability") >= threshold)
    before = F.unix_seconds("ts") - F.unix_seconds(F.lag("ts").over(order))
    quiet = F.coalesce(before > quiet_minutes * 60, F.lit(True))
    return likely.withColumn("_quiet", quiet).where("_quiet").drop("_quiet")


def train_manipulation(lake: Lake, settings: Settings, episodes: pd.DataFrame, first: date, last: date) -> list[Found]:
    """Train on the days from `first` to `last` of a lake that was refined from a simulated market, measure out of sample at each
    of THRESHOLDS, log to MLflow and register; the newest version is the champion. `episodes`: of `read_episodes`.

    Raises BadInput where rows or episodes are too few, FailedDependency where MLflow does not answer.
    """
    planted = episodes.assign(onset=episodes["onset_ns"] // 1_000, peak=episodes["peak_ns"] // 1_000)
    client = tracking.client_of(settings, lake)
    with recorded_run(lake, "manipulation train", {"from": first, "to": last}, settings.digest()) as run:
        rows = labelled(surveyed(run, settings, first, last), planted).persist(StorageLevel.MEMORY_AND_DISK)
        try:
            with tracking.started_run(settings, lake, PROBLEM, "gradient_boosting") as tracking_run:
                final, scored, certain_before = _walk(rows, settings, f"{lake.root}/scratch/{run.run_id}")
                scored.persist(StorageLevel.MEMORY_AND_DISK)
                found = [one for kind in KINDS for one in _measured(scored, planted, kind, settings.manipulation)]
                _log(run, settings, final, found, scored)
                scored.unpersist()
                tags = {"algorithm": final.algorithm, "dataset": f"{first} to {last}"}
                tags |= {"certain_before": str(certain_before), "newest_fold": str(settings.manipulation.folds)}
                version = tracking.log_model(client, tracking_run, final, tags)
                client.set_registered_model_alias(PROBLEM, CHAMPION, version)
        finally:
            rows.unpersist()
        run.note = "; ".join(map(str, found))
        return found


def score_manipulation(lake: Lake, settings: Settings, first: date, last: date) -> int:
    """Replace gold.manipulation_alerts from `first` to `last` by what the registered model alerts to; returns how many. Raises
    BadInput where no model is registered, it reads other inputs, or the tables are missing.
    """
    model = registered(settings, lake, PROBLEM, CHAMPION)
    if model.event_model.input_names != tuple(INPUTS):
        raise BadInput(f"{model.name} was trained on other inputs than those made now. Train it again.")
    with recorded_run(lake, "manipulation score", {"from": first, "to": last}, settings.digest()) as run:
        rows = surveyed(run, settings, first, last).select(
            *_PLACE, F.lit(0).alias("fold"), F.expr(_NO_SEQUENCE), "inputs"
        )
        scored = with_probabilities(rows, {0: model.event_model})
        own = settings.manipulation
        chosen = alerts(scored, own.alert_probability, own.quiet_minutes).select(
            *_PLACE,
            F.col("target").alias("kind"),
            "probability",
            F.lit(model.name).alias("model"),
            F.lit(model.tracking_run).alias("tracking_run"),
        )
        written = run.replace("gold.manipulation_alerts", chosen, between("session_date", first, last)).rows
        run.note = f"{written:,} alerts by {model.name}"
        return written


def _walk(rows: DataFrame, settings: Settings, scratch: str) -> tuple[EventModel, DataFrame, int]:
    """A model of all days, the first session that it has not seen, and rows of the folds' tests with target and probability, by
    models of what was before them.
    """
    names, own = tuple(INPUTS), settings.models
    kept = (
        "event_id",
        "session_number",
        F.col("session_number").alias("label_session"),
        F.lit(1.0).alias("uniqueness"),
    )
    matrix = rows.select(*kept, *KINDS, *as_columns("inputs", names))
    sessions = sessions_of(matrix, KINDS)
    numbers = [int(number) for number in sessions["session_number"].unique()]
    try:
        folds = walk_forward(numbers, settings.manipulation.folds, 0)
    except ValueError as error:
        raise BadInput(f"Too few days to train on: {error}.") from error

    def fit(train_before: int) -> EventModel | None:
        past = past_of(matrix, sessions, train_before, names, own.held_out_share, scratch, KINDS)
        if past is None or not past.targets:
            return None
        return EventModel(PROBLEM, "gradient_boosting", "inputs", names, gradient_boosting.fit(past, own))

    models = {}
    for done, fold in enumerate(folds):
        progress(done, len(folds) + 1, "fits", f"fold {fold.number}")
        if (fitted := fit(fold.train_before)) is not None:
            models[fold.number] = fitted
    progress(len(folds), len(folds) + 1, "fits", "all days")
    certain_before = max(numbers) + 1
    final = fit(certain_before)
    if final is None or not models:
        raise BadInput(
            "Too few episodes of manipulation to train on. Build a market with more days, names or episodes."
        )
    number = F.lit(None).cast("int")
    for fold in folds:
        number = F.when(F.col("session_number").between(fold.test_first, fold.test_last), fold.number).otherwise(number)
    naive = [F.expr(f"cast({sql} AS double)").alias(f"naive_{kind}") for kind, sql in KINDS.items()]
    asked = rows.select(*_PLACE, "event_id", *KINDS, *naive, number.alias("fold"), F.expr(_NO_SEQUENCE), "inputs")
    scored = with_probabilities(asked.where(F.col("fold").isin(list(models))), models)
    return final, scored, certain_before


def _measured(scored: DataFrame, planted: pd.DataFrame, kind: str, settings: ManipulationSettings) -> list[Found]:
    """At each threshold. `scored`: as `_walk` gives it; `planted`: episodes with session_date, onset and peak (µs)."""
    rows = scored.where(F.col("target") == kind)
    at = F.unix_micros("known_at").alias("at")
    minutes = rows.select("symbol", "session_date", at, F.col(f"naive_{kind}").alias("naive")).toPandas()
    minutes = minutes.sort_values(["at", "symbol"], ignore_index=True)
    days = minutes[["symbol", "session_date"]].drop_duplicates()
    dates = sorted(days["session_date"].unique())
    windows = planted.merge(days, on=["symbol", "session_date"]).sort_values(["onset", "symbol"], ignore_index=True)
    windows = windows.assign(start=windows["onset"], end=windows["peak"] + settings.late_minutes * _MINUTE_US)
    meant = windows[windows["kind"] == kind]
    if meant.empty:
        raise BadInput(
            f"No {kind} is planted on the days that are tested. Build a market with more days, names or episodes."
        )
    quarters = minutes.assign(quarter=minutes["at"] // _QUARTER_US).sort_values(["naive", "at", "symbol"])
    naive = quarters.drop_duplicates(["symbol", "quarter"], keep="last").dropna(subset="naive")
    generator = np.random.default_rng(SEED)
    found = []
    for threshold in sorted({*THRESHOLDS, settings.alert_probability}):
        own = alerts(rows, threshold, settings.quiet_minutes).select("symbol", "session_date", at).toPandas()
        own = own.sort_values(["at", "symbol"], ignore_index=True)
        largest = naive.tail(len(own)).reset_index(drop=True)
        drawn = [minutes.iloc[generator.integers(0, len(minutes), len(own))] for _ in range(RANDOM_DRAWS)]
        found.append(
            Found(
                kind,
                threshold,
                len(dates),
                len(days),
                score(own, meant, windows, dates, _MINUTE_US),
                _rival([by_date(largest, meant, dates)]),
                _rival([by_date(one.reset_index(drop=True), meant, dates) for one in drawn]),
            )
        )
    return found


def _rival(draws: Sequence[pd.DataFrame]) -> Rival:
    """The mean over draws."""
    sums = pd.DataFrame([counts.sum() for counts in draws])
    precision, recall = (sums["matched"] / sums[of] for of in ("alerts", "episodes"))
    return Rival(float(precision.mean()), float(recall.mean()))


def _log(run: Run, settings: Settings, model: EventModel, found: Sequence[Found], scored: DataFrame) -> None:
    """What the run of MLflow that is going on holds: versions, settings, figures, and the alerts out of sample."""
    mlflow.set_tags({"smallcaps.run_id": run.run_id, "smallcaps.code_version": code_version()})
    options = {f"gradient_boosting.{name}": value for name, value in settings.models.gradient_boosting.items()}
    mlflow.log_params(
        {
            **settings.manipulation.model_dump(),
            **options,
            "seed": settings.models.seed,
            "settings_hash": settings.digest(),
        }
    )
    tracking.log_environment(model)
    mlflow.log_dict(dict(run.inputs), "input_versions.json")
    own = settings.manipulation
    for one in found:
        if one.threshold == own.alert_probability:
            figures = {f"{one.kind}.{name}": value for name, value in _figures(one).items()}
            mlflow.log_metrics({name: value for name, value in figures.items() if not pd.isna(value)})
    curve = [{"kind": one.kind, "threshold": one.threshold, **_figures(one)} for one in found]
    tracking.log_frame(pd.DataFrame(curve), "thresholds.csv")
    told = alerts(scored, own.alert_probability, own.quiet_minutes).select(*_PLACE, "target", "probability", "fold")
    tracking.log_frame(told.toPandas().sort_values(["ts", "symbol", "target"], ignore_index=True), "alerts.csv")


def _figures(found: Found) -> Mapping[str, float]:
    estimates = {name: getattr(found.score, name) for name in ("precision", "recall", "recall_of_usual", "f1")}
    return {
        **{f"{name}{end}": value for name, one in estimates.items() for end, value in _ends(one).items()},
        "alerts": found.score.alerts,
        "episodes": found.score.episodes,
        "false_alarms_a_day": found.false_alarms_a_day,
        **{f"naive.{name}": value for name, value in asdict(found.naive).items()},
        **{f"random.{name}": value for name, value in asdict(found.random).items()},
    }


def _ends(estimate: Estimate) -> Mapping[str, float]:
    return {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
