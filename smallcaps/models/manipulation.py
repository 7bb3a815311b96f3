"""A model of manipulation: how likely it is, minute by minute, that a name is being pumped or its quotes spoofed.

No data that can be bought has labels of it, so it learns from a simulated market, which knows what it planted. 1. Minutes of
`microstructure/surveillance.py` are labelled by the episodes under way. 2. Trees are grown walk-forward, and their alerts out of
sample measured, one to one, against the episodes. 3. A model of all days is registered, and scores the days of any lake.
"""

from collections.abc import Sequence
from datetime import date, timedelta

import mlflow
import pandas as pd
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake, Run, between, recorded_run
from smallcaps.lake.runs import computed_once
from smallcaps.log import progress
from smallcaps.microstructure.surveillance import INPUTS, TABLES, WITH_HISTORY, surveillance
from smallcaps.models import gradient_boosting, tracking
from smallcaps.models.event_model import EventModel
from smallcaps.models.manipulation_alerts import MINUTE_US, Found, alerts, figures, measured
from smallcaps.models.past import as_columns, past_of, sessions_of
from smallcaps.models.registry import CHAMPION, registered
from smallcaps.models.scoring import with_probabilities
from smallcaps.models.targets import MANIPULATION
from smallcaps.models.walk_forward import fold_column, walk_forward
from smallcaps.refine.baselines import MONTH_BEFORE_DAYS
from smallcaps.version import code_version

KINDS = {"pump_and_dump": "run_30m", "spoof": "abs(imbalance_5m)"}
"""What is looked for, as simulated markets call it, and SQL of the rule of one line that stands beside the model."""
NEEDED = ("silver.bars_1m", "silver.quotes", "silver.calendar")
_NO_SEQUENCE = "cast(NULL AS array<double>) AS sequence"
_PLACE = ("security_id", "symbol", "session_date", "ts", "known_at")


def surveyed(run: Run, settings: Settings, first: date, last: date) -> DataFrame:
    """Rows of `surveillance` from `first` to `last`, with `inputs`, their values in order, and an event_id each. Raises BadInput
    where a table that it takes has not been written.
    """
    if missing := [name for name in NEEDED if not run.lake.exists(name)]:
        raise BadInput(f"{' and '.join(missing)} not written yet: surveillance needs minutes and quotes.")
    starts = dict.fromkeys(WITH_HISTORY, first - timedelta(days=MONTH_BEFORE_DAYS))
    tables = {name: run.read_days_or_empty(name, starts.get(name, first), last) for name in TABLES}
    rows = surveillance(tables, settings.microstructure, settings.publication_delay_seconds)
    event_id = F.concat_ws("|", "security_id", F.unix_seconds("ts")).alias("event_id")
    return rows.select("*", event_id, F.array(*INPUTS).alias("inputs"))


def labelled(rows: DataFrame, planted: pd.DataFrame) -> DataFrame:
    """Rows with, for each of KINDS, 1 where the minute overlaps an episode of it from onset to peak, else 0. `planted`: symbol,
    session_date, kind, onset and peak (µs).
    """
    minutes = pd.DataFrame(
        [
            (one["symbol"], one["session_date"], begins, *(int(kind == one["kind"]) for kind in KINDS))
            for one in planted[planted["kind"].isin(KINDS)].to_dict("records")
            for begins in range(one["onset"] // MINUTE_US * MINUTE_US, one["peak"], MINUTE_US)
        ],
        columns=["symbol", "session_date", "begins", *KINDS],
    )
    key = ["symbol", "session_date", "begins"]
    marked = rows.sparkSession.createDataFrame(
        minutes.groupby(key, as_index=False).max(),
        f"symbol string, session_date date, begins bigint, {', '.join(f'{kind} int' for kind in KINDS)}",
    )
    wide = rows.withColumn("begins", F.unix_micros("ts")).join(F.broadcast(marked), key, "left")
    return wide.fillna(0, list(KINDS)).drop("begins")


def train_manipulation(lake: Lake, settings: Settings, episodes: pd.DataFrame, first: date, last: date) -> list[Found]:
    """Train on the days from `first` to `last` of a lake that was refined from a simulated market, measure out of sample at each
    of THRESHOLDS, log to MLflow and register; the newest version is the champion. `episodes`: of `read_episodes`.

    Raises BadInput where rows or episodes are too few, FailedDependency where MLflow does not answer.
    """
    planted = episodes.assign(onset=episodes["onset_ns"] // 1_000, peak=episodes["peak_ns"] // 1_000)
    client = tracking.client_of(settings, lake)
    with recorded_run(lake, "manipulation train", {"from": first, "to": last}, settings.digest()) as run:
        minutes = labelled(surveyed(run, settings, first, last), planted)
        with (
            computed_once(minutes) as rows,
            tracking.started_run(settings, lake, MANIPULATION, "gradient_boosting") as tracking_run,
        ):
            final, tested, certain_before = _walk(rows, settings, f"{lake.root}/scratch/{run.run_id}")
            with computed_once(tested) as scored:
                found = [one for kind in KINDS for one in measured(scored, planted, kind, settings.manipulation)]
                _log(run, settings, final, found, scored)
            tags = {"algorithm": final.algorithm, "dataset": f"{first} to {last}"}
            tags |= {"certain_before": str(certain_before), "newest_fold": str(settings.manipulation.folds)}
            version = tracking.log_model(client, tracking_run, final, tags)
            client.set_registered_model_alias(MANIPULATION, CHAMPION, version)
        run.note = "; ".join(map(str, found))
        return found


def score_manipulation(lake: Lake, settings: Settings, first: date, last: date) -> int:
    """Replace gold.manipulation_alerts from `first` to `last` by what the registered model alerts to; returns how many. Raises
    BadInput where no model is registered, it reads other inputs, or the tables are missing.
    """
    model = registered(settings, lake, MANIPULATION, CHAMPION)
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
        if past is None or set(past.targets) != set(KINDS):
            return None
        return EventModel(MANIPULATION, "gradient_boosting", "inputs", names, gradient_boosting.fit(past, own))

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
            f"Too few episodes to train on: {' and '.join(KINDS)} must be there both early and late before a fold. Build a "
            "market with more days, names or episodes."
        )
    naive = [F.expr(f"cast({sql} AS double)").alias(f"naive_{kind}") for kind, sql in KINDS.items()]
    asked = rows.select(*_PLACE, "event_id", *naive, fold_column(folds).alias("fold"), F.expr(_NO_SEQUENCE), "inputs")
    scored = with_probabilities(asked.where(F.col("fold").isin(list(models))), models)
    return final, scored, certain_before


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
            known = {name: value for name, value in figures(one).items() if not pd.isna(value)}
            mlflow.log_metrics({f"{one.kind}.{name}": value for name, value in known.items()})
    curve = [{"kind": one.kind, "threshold": one.threshold, **figures(one)} for one in found]
    tracking.log_frame(pd.DataFrame(curve), "thresholds.csv")
    told = alerts(scored, own.alert_probability, own.quiet_minutes).select(*_PLACE, "target", "probability", "fold")
    tracking.log_frame(told.toPandas().sort_values(["ts", "symbol", "target"], ignore_index=True), "alerts.csv")
