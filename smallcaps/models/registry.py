"""The registered models of MLflow: which version is the champion, which may become it, and by what right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake
from smallcaps.models.evaluation import Estimate, blocks_of, draws, event_losses, interval
from smallcaps.models.event_model import EventModel
from smallcaps.models.frozen import described, of_dataset
from smallcaps.models.gates import Gate
from smallcaps.models.scoring import READ, with_probabilities
from smallcaps.models.targets import MANIPULATION, TARGETS, problem
from smallcaps.models.tracking import answering, client_of, logged_frame

CHAMPION, CHALLENGER = "champion", "challenger"
LEAST_GAIN = 1e-6
"""Log loss of an event: what is less is rounding."""
OUT_OF_SAMPLE = "out_of_sample.parquet"
"""Artifact of a run: its walk-forward probabilities."""


@dataclass(frozen=True)
class Registered:
    """A version of a registered model. `certain_before`: the first session of which it has seen nothing; `newest_fold`: the
    last of its dataset.
    """

    problem: str
    version: str
    algorithm: str
    dataset: str
    tracking_run: str
    certain_before: int
    newest_fold: int
    event_model: EventModel

    @property
    def name(self) -> str:
        """As gold.predictions names it."""
        return f"{self.problem}@{self.version}"


@answering()
def registered(settings: Settings, lake: Lake, called: str, alias: str) -> Registered:
    """The version of problem `called` that has `alias`. Raises BadInput where none has."""
    client = client_of(settings, lake)
    version = version_with(client, called, alias)
    if version is None:
        raise BadInput(f"{called} has no {alias}. `smallcaps model list` shows what is registered.")
    return _loaded(client, called, version)


@answering()
def reached_by_best(settings: Settings, lake: Lake, model: Registered, target: str, share: float) -> float:
    """The probability of `target` that the best `share` of the events in the model's walk-forward test folds had."""
    scored = logged_frame(client_of(settings, lake), model.tracking_run, OUT_OF_SAMPLE)
    return float(scored.loc[scored["target"] == target, "probability"].quantile(1 - share))


@answering()
def has_model(settings: Settings, lake: Lake, of: str, alias: str) -> bool:
    """Whether a model of the settings' definition `of` has `alias`."""
    return version_with(client_of(settings, lake), problem(settings.datasets[of]), alias) is not None


def version_with(client: MlflowClient, called: str, alias: str) -> str | None:
    """The number of the version that has `alias`; None where none has."""
    try:
        return str(client.get_model_version_by_alias(called, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _loaded(client: MlflowClient, called: str, version: str) -> Registered:
    found = client.get_model_version(called, version)
    served = mlflow.pyfunc.load_model(f"models:/{called}/{version}").unwrap_python_model()
    return Registered(
        called,
        version,
        found.tags["algorithm"],
        found.tags["dataset"],
        str(found.run_id),
        int(found.tags["certain_before"]),
        int(found.tags["newest_fold"]),
        served.event_model,
    )


@dataclass(frozen=True)
class Version:
    """A version as it is listed."""

    name: str
    aliases: tuple[str, ...]
    algorithm: str
    dataset: str
    created_at: datetime
    verdict: str


@answering()
def versions(lake: Lake, settings: Settings) -> list[Version]:
    """All versions of the problems of the settings' definitions, and of manipulation, newest first."""
    client = client_of(settings, lake)
    found = []
    for called in sorted({MANIPULATION, *map(problem, settings.datasets.values())}):
        for one in client.search_model_versions(f"name = '{called}'"):
            # A search does not give the aliases.
            whole = client.get_model_version(called, one.version)
            created_at = datetime.fromtimestamp(whole.creation_timestamp / 1000, UTC)
            facts = [whole.tags.get(key, "") for key in ("algorithm", "dataset", "verdict")]
            aliases = tuple(sorted(whole.aliases))
            found.append(Version(f"{called}@{one.version}", aliases, facts[0], facts[1], created_at, facts[2]))
    return sorted(found, key=lambda one: one.created_at, reverse=True)


@dataclass(frozen=True)
class Verdict:
    """What the gate said of a challenger: its conditions, and by how much its log loss of an event is less than the rival's."""

    challenger: str
    champion: str | None
    gain: Estimate
    gates: tuple[Gate, ...]

    @property
    def promoted(self) -> bool:
        """Whether it became the champion."""
        return all(gate.passed for gate in self.gates)

    def __str__(self) -> str:
        if self.promoted:
            return f"{self.challenger} is the champion now"
        return f"{self.challenger} is not promoted: {'; '.join(gate.finding for gate in self.gates if not gate.passed)}"


@answering()
def judge(lake: Lake, settings: Settings, called: str, leakage: Sequence[Gate]) -> Verdict:
    """Put the challenger of problem `called` in the champion's place, if it beats it on the newest fold by more than the 95 %
    interval of the difference, is calibrated there, and `leakage` (of `gates.leakage_gates`) is green. Without a champion it
    must beat the base rate. Raises BadInput where there is no challenger.
    """
    client = client_of(settings, lake)
    challenger = registered(settings, lake, called, CHALLENGER)
    holder = version_with(client, called, CHAMPION)
    if holder == challenger.version:
        client.delete_registered_model_alias(called, CHALLENGER)
        raise BadInput(f"{challenger.name} is the champion already.")
    champion = None if holder is None else _loaded(client, called, holder)
    scored = logged_frame(client, challenger.tracking_run, OUT_OF_SAMPLE)
    newest = scored[scored["fold"] == challenger.newest_fold].reset_index(drop=True)
    if champion is None:
        rival, rival_losses = "the base rate", event_losses(newest, "base_rate")
    elif not reads_of(champion.event_model, described(lake, challenger.dataset)):
        rival, rival_losses = f"the base rate ({champion.name} reads other inputs)", event_losses(newest, "base_rate")
    else:
        rival, rival_losses = champion.name, event_losses(_of_champion(lake, client, champion, newest))
    gain = _gain(newest, rival_losses, settings)
    gates = (_whole(newest), _better(gain, rival), *_calibrated(newest, settings), *leakage)
    verdict = Verdict(challenger.name, None if holder is None else f"{called}@{holder}", gain, gates)
    client.set_model_version_tag(called, challenger.version, "verdict", str(verdict))
    if verdict.promoted:
        client.set_registered_model_alias(called, CHAMPION, challenger.version)
        client.delete_registered_model_alias(called, CHALLENGER)
    return verdict


def reads_of(model: EventModel, kept: Mapping[str, Any]) -> bool:
    """Whether a model can read the rows of a dataset, of which `kept` is the row of gold.datasets."""
    names = kept["input_names" if model.reads == "inputs" else "sequence_names"]
    return list(model.input_names) == (names or [])


def _of_champion(lake: Lake, client: MlflowClient, champion: Registered, newest: pd.DataFrame) -> pd.DataFrame:
    """What the champion said of the events of the challenger's newest fold without having seen them: in its own walk-forward
    folds, else now, of events whose session began after all its labels were certain.
    """
    keys = ["event_id", "target"]
    before = logged_frame(client, champion.tracking_run, OUT_OF_SAMPLE)[[*keys, "probability"]]
    fresh = newest[(newest["session_number"] >= champion.certain_before) & ~newest["event_id"].isin(before["event_id"])]
    said = [before]
    if len(fresh):
        dataset = str(newest["dataset"].iloc[0])
        days = F.col("session_date").between(fresh["session_date"].min(), fresh["session_date"].max())
        rows = lake.read("gold.dataset_rows").where(of_dataset(dataset)).where(days)
        scored = with_probabilities(
            rows.select("event_id", F.lit(0).alias("fold"), *READ), {0: champion.event_model}
        ).toPandas()
        said.append(scored[scored["event_id"].isin(fresh["event_id"])][[*keys, "probability"]])
    return newest.drop(columns="probability").merge(pd.concat(said), on=keys)


def _gain(newest: pd.DataFrame, rival: pd.DataFrame, settings: Settings) -> Estimate:
    """How much less log loss an event has than by the rival, over targets, with the interval of whole weeks or days."""
    own = event_losses(newest).assign(session_date=newest["session_date"])
    both = own.merge(rival, on=["event_id", "target"], suffixes=("", "_of_rival"))
    if both.empty or len(both) * 2 < len(own):
        return Estimate(float("nan"), float("nan"), float("nan"))
    less = (both["loss_of_rival"] - both["loss"]).to_numpy()
    drawn = draws(blocks_of(both["session_date"]), settings.models.bootstrap_samples, settings.models.seed)
    means = np.array([float(times @ less / times.sum()) for times in drawn])
    return Estimate(float(less.mean()), *interval(means))


def _whole(newest: pd.DataFrame) -> Gate:
    """The challenger has foretold every target of the newest fold of its dataset."""
    missing = [target for target in TARGETS if target not in set(newest["target"])]
    return Gate(
        "whole", not missing, f"of the newest fold it foretold {'no ' + ', no '.join(missing) if missing else 'all'}"
    )


def _better(gain: Estimate, rival: str) -> Gate:
    if pd.isna(gain.value):
        return Gate("better", False, f"{rival} cannot be compared on most of the newest fold's events")
    if pd.isna(gain.low):
        return Gate("better", False, "the newest fold has too few days for an interval")
    finding = f"log loss an event {gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}) less than {rival}"
    return Gate("better", gain.low > LEAST_GAIN, finding)


def _calibrated(newest: pd.DataFrame, settings: Settings) -> list[Gate]:
    found = []
    for target, rows in newest.groupby("target", sort=True):
        bias = float(rows["probability"].mean() - rows["happened"].mean())
        passed = abs(bias) <= settings.models.calibration_tolerance
        found.append(Gate(f"calibrated {target}", passed, f"{target}: mean probability {bias:+.3f} beside what came"))
    return found
