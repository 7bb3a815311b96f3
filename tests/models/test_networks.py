"""The sequence models, for real: two processes each, on a past in which only the order of what happened tells what comes.

The trees, which see sums alone, are the ones to beat.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from pyspark.sql import SparkSession
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from smallcaps.config import Settings
from smallcaps.lake import Lake
from smallcaps.models import network_training
from smallcaps.models.batch_scoring import score_events
from smallcaps.models.event_sequence import CHANNELS, channel_names
from smallcaps.models.frozen import build_dataset, described, rebuild_dataset
from smallcaps.models.network import Network
from smallcaps.models.network_training import CHECKPOINT, Job, train_in_process
from smallcaps.models.networks import NETWORKS
from smallcaps.models.registry import CHALLENGER, registered
from smallcaps.models.training import Trained, train
from tests.models.ordered_world import EVENTS_A_SESSION, SECONDS, ordered_world, write_ordered
from tests.models.world import FIRST, LAST, SESSIONS

pytestmark = pytest.mark.slow

PROBLEM = "minute_trade_30m_1atr"


@dataclass(frozen=True)
class Past:
    lake: Lake
    settings: Settings
    trained: dict[str, Trained]


@pytest.fixture(scope="module")
def own(settings: Settings) -> Settings:
    """Two folds, a minute of sequence, small networks, few trees."""
    models = settings.models.model_copy(
        update={
            "bootstrap_samples": 60,
            "gradient_boosting": {**settings.models.gradient_boosting, "n_estimators": 30},
            "gru": {**settings.models.gru, "hidden": 16},
            "transformer": {**settings.models.transformer, "hidden": 16},
        }
    )
    intraday = settings.datasets["intraday"].model_copy(update={"folds": 2, "sequence_seconds": SECONDS})
    return settings.model_copy(update={"models": models, "datasets": {"intraday": intraday}, "tracking_uri": None})


@pytest.fixture(scope="module")
def past(own: Settings, spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    lake = Lake(str(tmp_path_factory.mktemp("networks") / "lake"), spark)
    write_ordered(lake, spark)
    build_dataset(lake, own, "ordered", "intraday", FIRST, LAST)
    trained = train(lake, own, "ordered", ["gradient_boosting", "transformer", "gru"])
    yield Past(lake, own, {one.algorithm: one for one in trained})
    mlflow.set_tracking_uri(None)
    for layer in ("silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


@pytest.fixture(scope="module")
def rows(past: Past) -> pd.DataFrame:
    return past.lake.read("gold.dataset_rows").toPandas().set_index("event_id").sort_index()


def test_a_frozen_sequence_is_what_happened_before_the_event_and_comes_out_the_same_again(
    past: Past, rows: pd.DataFrame
) -> None:
    names = described(past.lake, "ordered")["sequence_names"]
    assert names == channel_names(past.settings.datasets["intraday"])
    assert len(names) == SECONDS // 5 * len(CHANNELS)
    events, _, tapes = ordered_world()
    for event in events[:20]:
        seconds = tapes[tapes["event_id"] == event["event_id"]]
        step = seconds.groupby((seconds["second"] + SECONDS) // 5)
        told = dict(zip(names, rows.loc[event["event_id"], "sequence"], strict=True))
        for number, (_, part) in enumerate(step):
            bought, sold = part["bought"].sum(), part["sold"].sum()
            assert told[f"trades_{5 * number - SECONDS}s"] == pytest.approx(np.log1p(part["trades"].sum()), rel=1e-6)
            assert told[f"signed_flow_{5 * number - SECONDS}s"] == pytest.approx(
                event["direction"] * (bought - sold) / (bought + sold), abs=1e-6
            )
            assert told[f"move_{5 * number - SECONDS}s"] == pytest.approx(
                event["direction"] * np.log(10.0 / event["price"]), abs=1e-6
            )
            assert told[f"spread_{5 * number - SECONDS}s"] == pytest.approx(0.002, rel=1e-4)
    assert rebuild_dataset(past.lake, "ordered").content_hash == described(past.lake, "ordered")["content_hash"]


@pytest.mark.parametrize("algorithm", ["gru", "transformer"])
def test_a_network_beats_the_trees_where_only_the_order_tells(algorithm: str, past: Past) -> None:
    network, trees = (past.trained[name].metrics["continuation"]["auc"] for name in (algorithm, "gradient_boosting"))
    assert trees.low < 0.5 < trees.high
    assert network.low > trees.high
    # Who reads the order without error gets 0.85² + 0.85·0.15 = 0.85.
    assert 0.7 < network.value < 0.9
    # What does not depend on the order stays unknown to it.
    assert past.trained[algorithm].metrics["exhaustion"]["auc"].low < 0.5


def test_every_event_of_the_folds_is_scored_by_each(past: Past) -> None:
    counted = past.lake.read("gold.predictions").groupBy("model", "target").count().collect()
    assert {(row["model"], row["target"]): row["count"] for row in counted} == {
        (f"{PROBLEM}.{algorithm}", target): 40 * EVENTS_A_SESSION
        for algorithm in past.trained
        for target in ("continuation", "reversal", "exhaustion")
    }


def test_the_challenger_is_a_network_and_scores_one_event_as_it_scores_many(past: Past, rows: pd.DataFrame) -> None:
    model = registered(past.settings, past.lake, PROBLEM, CHALLENGER).event_model
    assert model.reads == "sequence"
    whole = np.array(rows["sequence"].tolist(), dtype=np.float64)
    whole[3, ::7] = np.nan
    together = model.probabilities(whole)
    random = np.random.default_rng(1)
    for place in [3, *random.integers(0, len(whole), 10)]:
        values = {
            name: None if np.isnan(value) else value
            for name, value in zip(model.input_names, whole[place], strict=True)
        }
        assert model.score(values) == {target: found[place] for target, found in together.items()}
    some = random.integers(0, len(whole), 37)
    assert all((model.probabilities(whole[some])[target] == together[target][some]).all() for target in together)


def test_the_points_of_events_alike_are_near_each_other(past: Past, rows: pd.DataFrame) -> None:
    """Sellers first or buyers first can be told from the points by a line; no point is missing."""
    points = past.lake.read("gold.patterns").toPandas()
    assert set(points["model"]) == {f"{PROBLEM}@{past.trained[name].version}" for name in ("gru", "transformer")}
    _, _, tapes = ordered_world()
    first_half = tapes[tapes["second"] < -SECONDS // 2].groupby("event_id")
    sellers_first = (first_half["sold"].sum() > first_half["bought"].sum()).sort_index()
    for _, part in points.groupby("model"):
        found = part.set_index("event_id").sort_index()
        assert list(found.index) == list(rows.index)
        values = np.array(found["point"].tolist())
        half = len(values) // 2
        line = LogisticRegression(max_iter=2_000).fit(values[:half], sellers_first[:half])
        assert roc_auc_score(sellers_first[half:], line.decision_function(values[half:])) > 0.9


def test_new_events_get_probabilities_and_points(past: Past) -> None:
    day = SESSIONS[-1]["session_date"]
    model, events = score_events(past.lake, past.settings, "intraday", day, day, CHALLENGER)
    assert events == EVENTS_A_SESSION
    scored = past.lake.read("gold.predictions").where(f"model = '{model.name}'").toPandas()
    assert len(scored) == 3 * EVENTS_A_SESSION
    assert scored["happened"].isna().all()
    points = past.lake.read("gold.patterns").where(f"model = '{model.name}'")
    assert points.where(f"session_date = DATE '{day}'").count() == EVENTS_A_SESSION
    assert points.count() == len(SESSIONS) * EVENTS_A_SESSION


def test_what_moves_a_network_is_the_order_of_buying_and_selling(past: Past) -> None:
    client = mlflow.MlflowClient()
    folder = client.download_artifacts(past.trained["gru"].tracking_run, "importance.csv")
    importance = pd.read_csv(folder)
    of_target = importance[importance["target"] == "continuation"]
    by_channel = of_target.groupby(of_target["input"].str.replace(r"_-\d+s$", "", regex=True))["contribution"].sum()
    assert by_channel.idxmax() == "signed_flow"


def test_nothing_is_left_in_the_scratch_folder(past: Past) -> None:
    assert [place for place in Path(past.lake.root, "scratch").rglob("*") if place.is_file()] == []


@pytest.fixture
def job(past: Past, tmp_path: Path) -> Job:
    """What one process is told, with a past on the disk."""
    rows = past.lake.read("gold.dataset_rows").selectExpr(
        "event_id", "uniqueness", "int(outcome = 'continuation') AS continuation", "sequence", "session_number"
    )
    middle = SESSIONS[45]["session_number"]
    rows.where(f"session_number < {middle}").write.parquet(str(tmp_path / "fit"))
    rows.where(f"session_number >= {middle}").write.parquet(str(tmp_path / "held_out"))
    options = {**past.settings.models.gru, "epochs": 6, "patience": 6}
    return Job("gru", options, ("continuation",), {"continuation": (1.0, 1.0)}, str(tmp_path), 7, False)


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun tells the only process of a training."""
    told = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29512"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)


def weights_of(network: Network) -> bytes:
    return pickle.dumps({name: value.tolist() for name, value in network.weights.items()})


class Killed(Exception):
    """What a killed process cannot raise."""


def test_a_training_that_was_killed_goes_on_where_it_was(
    job: Job, alone: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    undisturbed = weights_of(train_in_process(job))
    checkpoint = Path(job.place, CHECKPOINT)
    checkpoint.unlink()
    save, epochs = network_training._save, []

    def dies_after_the_third(place: str, state: dict) -> None:
        save(place, state)
        epochs.append(state["epoch"])
        if state["epoch"] == 3:
            raise Killed

    monkeypatch.setattr(network_training, "_save", dies_after_the_third)
    with pytest.raises(Killed):
        train_in_process(job)
    assert epochs == [1, 2, 3]
    assert checkpoint.is_file()
    resumed = weights_of(train_in_process(job))
    torch.set_num_threads(threads)
    assert epochs == [1, 2, 3, 4, 5, 6]
    assert resumed == undisturbed


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_networks_have_the_shapes_they_say(kind: str, settings: Settings) -> None:
    options = dict(getattr(settings.models, kind))
    module = NETWORKS[kind](len(CHANNELS), 12, 3, options)
    sequences = torch.randn(5, 12, len(CHANNELS))
    assert module(sequences).shape == (5, 3)
    assert module.latent(sequences).shape == (5, int(options["hidden"]))
