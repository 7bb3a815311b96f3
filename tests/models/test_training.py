"""Training for real, on a small frozen dataset with a planted signal: what is found, logged, registered, promoted and scored.

The module's story: the base rate is judged, all three algorithms are trained and the best of them judged, then all of it again as
`smallcaps train --all` does it. Later tests spoil something: an input that knows the outcome, labels dealt to other events.
"""

import json
import logging
import socket
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import Lake, last_runs
from smallcaps.models import frozen, gates
from smallcaps.models.batch_scoring import score_events
from smallcaps.models.evaluation import METRICS, Estimate, evaluate
from smallcaps.models.event_model import EventModel
from smallcaps.models.frozen import build_dataset, described
from smallcaps.models.outcome import Outcome, judge_challenger, train_definition
from smallcaps.models.registry import CHALLENGER, CHAMPION, Verdict, judge, registered, version_with, versions
from smallcaps.models.targets import TARGETS
from smallcaps.models.tracking import client_of, logged_frame, tracking_uri
from smallcaps.models.training import ALGORITHMS, Trained, Walk, leakage_gates, train
from smallcaps.models.walk_forward import walk_forward
from tests.microstructure.tables import as_table
from tests.models.world import EVENTS_A_SESSION, LATER, SESSIONS, Row, event_row, world, write

pytestmark = pytest.mark.slow

PROBLEM = "daily_5d_1atr"
TESTED = 40 * EVENTS_A_SESSION
FIRST_DAY, LAST_DAY = SESSIONS[0]["session_date"], SESSIONS[-1]["session_date"]
OF_INPUTS = [name for name, algorithm in ALGORITHMS.items() if algorithm.reads == "inputs"]
"""Those that read sequences have tests of their own (test_networks.py)."""
LEARNERS = ("logistic_regression", "gradient_boosting")
BOOSTER = {
    **{"n_estimators": 15, "early_stopping_rounds": 5, "max_depth": 2, "learning_rate": 0.3, "min_child_weight": 2},
    **{"subsample": 0.8, "colsample_bytree": 0.8},
}


@dataclass(frozen=True)
class Story:
    """What came of it, and gold.predictions of walk-forward models after each of the two trainings of all algorithms."""

    base_rate: Verdict
    first: dict[str, Trained]
    first_predictions: pd.DataFrame
    verdict: Verdict
    champion: str | None
    again: Outcome
    predictions: pd.DataFrame


def changed(settings: Settings, **models: Any) -> Settings:
    return settings.model_copy(update={"models": settings.models.model_copy(update=models)})


@pytest.fixture(scope="module")
def small(settings: Settings) -> Settings:
    """Two folds of twenty sessions, small trees, and a gate that knows that a fold has 320 events."""
    daily = settings.datasets["daily"].model_copy(update={"folds": 2})
    plain = settings.model_copy(update={"datasets": {"daily": daily}, "tracking_uri": None})
    few = {"minimum_training_events": 60, "bootstrap_samples": 60, "calibration_tolerance": 0.15}
    return changed(plain, gradient_boosting=BOOSTER, **few)


@pytest.fixture(scope="module")
def past() -> tuple[list[Row], list[Row]]:
    return world()


def later_events() -> list[Row]:
    """Of two sessions, not labelled yet: strong, and weak."""
    return [
        event_row(f"later {place} {strength}", session, "atr_breakout", strength=strength)
        for place, session in enumerate(LATER[:2])
        for strength in (1.9, 1.1)
    ]


@pytest.fixture(scope="module")
def own_lake(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, past: tuple[list[Row], list[Row]], small: Settings
) -> Iterator[Lake]:
    """The lake of this module, with dataset `small`: training is dear."""
    lake = Lake(str(tmp_path_factory.mktemp("models") / "lake"), spark)
    events, labels = past
    write(lake, spark, [*events, *later_events()], labels)
    core = [
        {"rank": place + 1, "score": 0.5, "strength_percentile": 0.5, "earlier_events": 9}
        | {name: event[name] for name in ("event_id", "symbol", "session_date", "ts", "detector")}
        for place, event in enumerate(events[::4])
    ]
    lake.replace("gold.core_manifest", as_table(spark, "gold.core_manifest", core), None, "test")
    build_dataset(lake, small, "small", "daily", FIRST_DAY, LAST_DAY)
    yield lake
    mlflow.set_tracking_uri(None)
    for layer in ("silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def walk_forward_predictions(lake: Lake) -> pd.DataFrame:
    rows = lake.read("gold.predictions").where("fold IS NOT NULL").toPandas()
    return rows.sort_values(["model", "target", "event_id"], ignore_index=True)


@pytest.fixture(scope="module")
def story(own_lake: Lake, small: Settings) -> Story:
    train(own_lake, small, "small", ["base_rate"])
    base_rate = judge_challenger(own_lake, small, PROBLEM)
    first = train(own_lake, small, "small", OF_INPUTS)
    first_predictions = walk_forward_predictions(own_lake)
    verdict = judge_challenger(own_lake, small, PROBLEM)
    champion = version_with(client_of(small, own_lake), PROBLEM, CHAMPION)
    again = train_definition(own_lake, small, "daily")
    named = {one.algorithm: one for one in first}
    return Story(base_rate, named, first_predictions, verdict, champion, again, walk_forward_predictions(own_lake))


@pytest.fixture(scope="module")
def client(own_lake: Lake, small: Settings) -> MlflowClient:
    return MlflowClient(tracking_uri(small, own_lake))


@pytest.fixture(scope="module")
def walk(own_lake: Lake, small: Settings) -> Walk:
    return Walk(
        own_lake.read("gold.dataset_rows").where("dataset = 'small'"),
        described(own_lake, "small"),
        small.models,
        "scratch",
    )


def artifact(client: MlflowClient, trained: Trained, name: str) -> str:
    return mlflow.artifacts.load_text(f"{client.get_run(trained.tracking_run).info.artifact_uri}/{name}")


def covers(estimate: Estimate, value: float) -> bool:
    return estimate.low <= value <= estimate.high


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_a_planted_signal_is_found_out_of_sample_and_where_none_is_nothing_is(story: Story, algorithm: str) -> None:
    found = story.first[algorithm].metrics
    assert list(found) == sorted(TARGETS)
    auc = found["continuation"]["auc"]
    # Strength alone, perfectly read, gives P(pair in order) = 0.85² + 0.85·0.15 = 0.85 (equal halves, ties half).
    assert 0.5 < auc.low < auc.value < auc.high
    assert 0.7 < auc.value < 0.9
    assert found["continuation"]["log_loss_skill"].low > 0
    assert found["continuation"]["top_decile_lift"].low > 1
    # Who does not continue turns two times of three.
    assert found["reversal"]["auc"].low > 0.5
    # Nothing foretells exhaustion in this world.
    assert covers(found["exhaustion"]["auc"], 0.5)
    assert abs(found["exhaustion"]["bias"].value) < 0.1


def test_the_base_rate_has_no_skill_and_is_no_champion(story: Story) -> None:
    for found in story.first["base_rate"].metrics.values():
        assert found["log_loss_skill"].value == pytest.approx(0, abs=1e-12)
    assert story.first["base_rate"].skill == pytest.approx(0, abs=1e-12)
    assert not story.base_rate.promoted
    assert story.base_rate.champion is None
    assert [gate.name for gate in story.base_rate.gates if not gate.passed] == ["better"]


def test_predictions_say_what_really_came_once_each_by_a_fold_that_could(
    story: Story, past: tuple[list[Row], list[Row]], small: Settings
) -> None:
    events, labels = past
    numbers = {session["session_date"]: session["session_number"] for session in SESSIONS}
    first, second = walk_forward(list(numbers.values()), 2, small.datasets["daily"].embargo_sessions)
    came = {label["event_id"]: label for label in labels}
    core = {event["event_id"] for event in events[::4]}
    event_of = {event["event_id"]: event for event in events}
    rows = story.first_predictions
    assert set(rows["model"]) == {f"{PROBLEM}.{algorithm}" for algorithm in OF_INPUTS}
    assert len(rows) == 3 * 3 * TESTED == len(rows[["model", "target", "event_id"]].drop_duplicates())
    assert rows["probability"].between(0, 1, inclusive="neither").all()
    for target, part in rows.groupby("target"):
        expected = [
            came[one]["gave_back"] if target == "exhaustion" else came[one]["outcome"] == target
            for one in part["event_id"]
        ]
        assert list(part["happened"] == 1) == expected
    for column in ("symbol", "session_date", "detector"):
        assert list(rows[column]) == [event_of[one][column] for one in rows["event_id"]]
    assert list(rows["is_core"]) == [one in core for one in rows["event_id"]]
    for fold in (first, second):
        tested = rows["session_date"].map(numbers).between(fold.test_first, fold.test_last)
        assert tested.equals(rows["fold"] == fold.number)
        # Label ends (5 sessions on) before the test less the embargo: 20 or 40 sessions less the last ten.
        trained = [one["event_id"] for one in events if numbers[one["session_date"]] + 5 < fold.test_first - 5]
        assert len(trained) == (20 * fold.number - 10) * EVENTS_A_SESSION
        rate = np.mean([came[one]["outcome"] == "reversal" for one in trained])
        asked = rows[tested & (rows["target"] == "reversal")]
        assert asked["base_rate"].unique() == pytest.approx([rate])
        base = asked[asked["model"] == f"{PROBLEM}.base_rate"]
        assert base["probability"].unique() == pytest.approx([rate])


def test_trained_twice_is_the_same_to_the_bit(story: Story) -> None:
    one, other = (
        frame.drop(columns=["run_id", "tracking_run"]) for frame in (story.first_predictions, story.predictions)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    second = {trained.algorithm: trained for trained in story.again.trained}
    assert list(second) == OF_INPUTS
    for algorithm, trained in story.first.items():
        assert trained.metrics == second[algorithm].metrics
        assert trained.tracking_run != second[algorithm].tracking_run
        assert int(trained.version) < int(second[algorithm].version)
        model = f"{PROBLEM}.{algorithm}"
        for rows, by in ((story.first_predictions, trained), (story.predictions, second[algorithm])):
            assert set(rows.loc[rows["model"] == model, "tracking_run"]) == {by.tracking_run}


def test_metrics_are_those_of_the_predictions(story: Story, small: Settings) -> None:
    for (model, target), rows in story.first_predictions.groupby(["model", "target"]):
        own = story.first[str(model).split(".")[1]].metrics[str(target)]
        assert own == evaluate(rows, small.models.bootstrap_samples, small.models.seed)
        assert {trained.events for trained in story.first.values()} == {TESTED}


@pytest.mark.parametrize("algorithm", OF_INPUTS)
def test_the_run_is_logged_with_parameters_and_metrics_by_fold_and_core(
    story: Story, client: MlflowClient, small: Settings, own_lake: Lake, algorithm: str
) -> None:
    trained = story.first[algorithm]
    run = client.get_run(trained.tracking_run)
    assert (run.info.status, run.info.run_name) == ("FINISHED", algorithm)
    own = {"logistic_regression": small.models.logistic_regression, "gradient_boosting": BOOSTER}.get(algorithm, {})
    expected = {
        **{"algorithm": algorithm, "dataset": "small", "folds": 2, "embargo_sessions": 5, "barrier_width": 1.0},
        **{"horizon": "5d", "seed": small.models.seed, "bootstrap_samples": 60, "settings_hash": small.digest()},
        **{f"{algorithm}.{name}": value for name, value in own.items()},
    }
    assert {name: run.data.params[name] for name in expected} == {name: str(value) for name, value in expected.items()}
    assert {name for name in run.data.params if "." in name} == {name for name in expected if "." in name}
    rows = story.first_predictions[story.first_predictions["model"] == f"{PROBLEM}.{algorithm}"]
    logged = run.data.metrics
    assert logged["events"] == TESTED
    for target, of_target in rows.groupby("target"):
        assert logged[f"{target}.observed"] == pytest.approx(of_target["happened"].mean())
        parts = {f"{target}.": of_target, f"{target}.core.": of_target[of_target["is_core"]]}
        for prefix, part in parts.items():
            found = evaluate(part, 60, small.models.seed)
            for name in METRICS:
                ends = [logged[f"{prefix}{name}{end}"] for end in ("", "_low", "_high")]
                assert ends == pytest.approx([found[name].value, found[name].low, found[name].high], abs=1e-12)
        history = client.get_metric_history(trained.tracking_run, f"{target}.fold.auc")
        by_fold = {fold: evaluate(part, 0, 1)["auc"].value for fold, part in of_target.groupby("fold")}
        assert {metric.step: metric.value for metric in history} == pytest.approx(by_fold)
    kept = described(own_lake, "small")
    assert run.data.tags["smallcaps.content_hash"] == kept["content_hash"]
    recorded = {row["run_id"]: row for row in last_runs(own_lake, ["train"])}[run.data.tags["smallcaps.run_id"]]
    assert recorded["outcome"] == "succeeded"
    assert {one["table"] for one in recorded["inputs"]} == {"gold.dataset_rows"}


@pytest.mark.parametrize("algorithm", OF_INPUTS)
def test_what_a_run_came_of_and_came_to_lies_beside_it(
    story: Story, client: MlflowClient, own_lake: Lake, algorithm: str
) -> None:
    trained = story.first[algorithm]
    kept = described(own_lake, "small")
    assert json.loads(artifact(client, trained, "input_versions.json")) == kept["input_versions"]
    assert json.loads(artifact(client, trained, "folds.json")) == {"folds": kept["folds"]}
    assert json.loads(artifact(client, trained, "environment.json"))["mlflow"] == mlflow.__version__
    names = {one.path for one in client.list_artifacts(trained.tracking_run)}
    pictures = {"calibration.png", "lift.png"} | ({"importance.png"} if algorithm != "base_rate" else set())
    tables = {"deciles.csv", "detectors.csv", "importance.csv", "out_of_sample.parquet"}
    assert names == pictures | tables | {"input_versions.json", "folds.json", "environment.json", "model_card.md"}
    rows = story.first_predictions[story.first_predictions["model"] == f"{PROBLEM}.{algorithm}"]
    kept_rows = logged_frame(client, trained.tracking_run, "out_of_sample.parquet")
    same = ["event_id", "target", "fold", "probability", "happened", "base_rate", "is_core"]
    pd.testing.assert_frame_equal(
        kept_rows.sort_values(["target", "event_id"], ignore_index=True)[same],
        rows.reset_index(drop=True)[same],
        check_dtype=False,
        check_exact=True,
    )


def test_the_card_says_what_was_measured_and_on_what(story: Story, client: MlflowClient, own_lake: Lake) -> None:
    trained = story.first["gradient_boosting"]
    card = artifact(client, trained, "model_card.md")
    auc = trained.metrics["continuation"]["auc"]
    assert f"{auc.value:.3f} ({auc.low:.3f} to {auc.high:.3f})" in card
    assert f"Measured on {TESTED} events of 2 walk-forward folds" in card
    assert described(own_lake, "small")["content_hash"] in card
    assert "- continuation: log_strength" in card


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_what_was_planted_moves_the_log_odds_most(story: Story, client: MlflowClient, algorithm: str) -> None:
    path = f"{client.get_run(story.first[algorithm].tracking_run).info.artifact_uri}/importance.csv"
    rows = pd.read_csv(path.removeprefix("file://"))
    assert set(rows["target"]) == set(TARGETS)
    for target in ("continuation", "reversal"):
        first, second = rows[rows["target"] == target].nlargest(2, "contribution").itertuples()
        assert first.input == "log_strength"
        assert first.contribution > 2 * second.contribution


def test_the_first_to_beat_the_base_rate_is_the_champion(story: Story) -> None:
    best = max((story.first[name] for name in LEARNERS), key=lambda one: one.skill)
    assert story.verdict.challenger == f"{PROBLEM}@{best.version}"
    assert story.verdict.champion is None
    assert story.verdict.promoted
    assert story.champion == best.version
    assert [gate.name for gate in story.verdict.gates] == [
        *("whole", "better", "calibrated continuation", "calibrated exhaustion", "calibrated reversal"),
        *("no overlap", "no implausible input", "no skill on shuffled labels"),
    ]
    assert 0 < story.verdict.gain.low < story.verdict.gain.value < story.verdict.gain.high


def test_a_champion_is_not_beaten_by_its_like(
    story: Story, own_lake: Lake, small: Settings, client: MlflowClient
) -> None:
    verdict = story.again.verdict
    assert not verdict.promoted
    assert verdict.champion == f"{PROBLEM}@{story.champion}"
    assert verdict.gain == Estimate(0, 0, 0)
    assert [gate.name for gate in verdict.gates if not gate.passed] == ["better"]
    assert version_with(client, PROBLEM, CHAMPION) == story.champion
    listed = {one.name: one for one in versions(own_lake, small)}
    assert len(listed) >= 7
    assert listed[f"{PROBLEM}@{story.champion}"].aliases == (CHAMPION,)
    assert listed[f"{PROBLEM}@{story.champion}"].verdict.endswith("is the champion now")
    assert listed[verdict.challenger].verdict == str(verdict)


def test_a_registered_model_says_of_each_row_what_it_says_of_it_alone(
    story: Story, own_lake: Lake, small: Settings
) -> None:
    model = registered(small, own_lake, PROBLEM, CHAMPION)
    assert (model.version, model.dataset, model.tracking_run) == (
        story.champion,
        "small",
        story.first[model.algorithm].tracking_run,
    )
    # Labels of the last sessions end with the world.
    assert model.certain_before == SESSIONS[-1]["session_number"] + 1
    names = described(own_lake, "small")["input_names"]
    assert list(model.event_model.input_names) == names
    rows = own_lake.read("gold.dataset_rows").where("dataset = 'small'").orderBy("event_id").select("inputs").collect()
    listed = [dict(zip(names, row["inputs"], strict=True)) for row in rows]
    assert any(value is None for value in listed[0].values())
    served = mlflow.pyfunc.load_model(f"models:/{PROBLEM}@{CHAMPION}")
    told = served.predict(pd.DataFrame(listed, dtype=float))
    assert len(told) == 60 * EVENTS_A_SESSION
    for place, values in enumerate(listed):
        assert model.event_model.score(values) == dict(told.iloc[place])


def test_events_that_are_not_labelled_yet_are_scored_by_the_champion(
    story: Story, own_lake: Lake, small: Settings, spark: SparkSession
) -> None:
    later = later_events()
    assert (story.again.dataset, story.again.scored) == ("small", len(later))
    assert story.again.scored_by == f"{PROBLEM}@{story.champion}"
    rows = own_lake.read("gold.predictions").where("fold IS NULL").toPandas()
    assert len(rows) == len(later) * 3
    assert set(rows["event_id"]) == {event["event_id"] for event in later}
    assert set(rows["model"]) == {story.again.scored_by}
    assert rows[["fold", "happened", "base_rate", "is_core"]].isna().all(axis=None)
    told = rows[rows["target"] == "continuation"].set_index("event_id")["probability"]
    strong, weak = (told[told.index.str.endswith(end)] for end in ("1.9", "1.1"))
    assert strong.min() > 0.5 > weak.max()


def test_events_scored_again_are_there_once_and_walk_forward_probabilities_stay(
    story: Story, own_lake: Lake, small: Settings
) -> None:
    # Days that it was trained on can be scored, too: here with what the dataset says that was known.
    first = SESSIONS[-2]["session_date"]
    for _ in range(2):
        model, events = score_events(own_lake, small, "daily", first, LAST_DAY, CHAMPION)
        assert events == 2 * EVENTS_A_SESSION
    names = described(own_lake, "small")["input_names"]
    expected = {
        (row["event_id"], target): probability
        for row in own_lake.read("gold.dataset_rows").where(F.col("session_date") >= first).collect()
        for target, probability in model.event_model.score(dict(zip(names, row["inputs"], strict=True))).items()
    }
    rows = own_lake.read("gold.predictions").where(
        F.expr("fold IS NULL") & F.col("session_date").between(first, LAST_DAY)
    )
    found = {(row["event_id"], row["target"]): row["probability"] for row in rows.collect()}
    assert rows.count() == len(found)
    assert found == expected
    pd.testing.assert_frame_equal(walk_forward_predictions(own_lake), story.predictions)
    # Those of the later days were not asked for again.
    assert own_lake.read("gold.predictions").where(F.col("session_date") > LAST_DAY).count() == len(later_events()) * 3


def of_newest_fold(walk: Walk, algorithm: str) -> pd.DataFrame:
    """What an algorithm says of the continuation of the newest fold's events, in order of event_id."""
    newest = walk.folds[-1]
    past = walk.past(algorithm, newest["train_before"])
    assert past is not None
    fitted = ALGORITHMS[algorithm].fit(replace(past, targets=("continuation",)), walk.settings)
    model = EventModel(PROBLEM, algorithm, "inputs", past.names, fitted)
    frame = walk.scored({newest["number"]: (model, past)}).toPandas()
    assert set(frame["target"]) == {"continuation"}
    return frame.sort_values("event_id", ignore_index=True)


def test_three_seeds_agree_within_what_chance_leaves_open(story: Story, walk: Walk, small: Settings) -> None:
    found = [
        of_newest_fold(
            Walk(walk.rows, walk.kept, small.models.model_copy(update={"seed": seed}), "scratch"), "gradient_boosting"
        )
        for seed in (small.models.seed, 101, 102)
    ]
    estimates = [evaluate(frame, 200, 1)["auc"] for frame in found]
    spread = max(one.value for one in estimates) - min(one.value for one in estimates)
    assert 0 < spread < (estimates[0].high - estimates[0].low) / 2
    # The first seed's are the ones that are recorded.
    own = story.predictions.query(f"model == '{PROBLEM}.gradient_boosting' and target == 'continuation' and fold == 2")
    assert list(found[0]["probability"]) == list(own["probability"])


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_of_shuffled_labels_nothing_is_learned(small: Settings, walk: Walk, algorithm: str) -> None:
    blind = Walk(gates.shuffled(walk.rows, 3).persist(), walk.kept, small.models, "scratch")
    try:
        frame = of_newest_fold(blind, algorithm)
    finally:
        blind.rows.unpersist()
    assert covers(evaluate(frame, 200, 1)["auc"], 0.5)
    assert gates.no_skill_without_labels(frame).passed


def test_an_input_that_knows_the_outcome_is_found_and_its_model_is_not_promoted(
    story: Story, own_lake: Lake, small: Settings, client: MlflowClient
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(frozen.EVENT, "leak", "vwap_distance")
        build_dataset(own_lake, small, "leaked", "daily", FIRST_DAY, LAST_DAY)
    (trained,) = train(own_lake, small, "leaked", ["logistic_regression"])
    assert trained.metrics["continuation"]["auc"].value > gates.IMPLAUSIBLE_AUC
    (gate,) = [
        one
        for one in leakage_gates(own_lake, small, "leaked", "logistic_regression")
        if one.name == "no implausible input"
    ]
    assert not gate.passed
    assert gate.finding.startswith("knows the outcome: leak (continuation, AUC 1.000)")
    verdict = judge_challenger(own_lake, small, PROBLEM)
    assert verdict.challenger == f"{PROBLEM}@{trained.version}"
    # Better than the champion by far, and yet.
    assert verdict.gates[0].passed
    assert "no implausible input" in [one.name for one in verdict.gates if not one.passed]
    assert not verdict.promoted
    assert version_with(client, PROBLEM, CHAMPION) == story.champion
    # Nor does it score what is asked with inputs that it does not know.
    with pytest.raises(BadInput, match="trained on other inputs"):
        score_events(own_lake, small, "daily", LAST_DAY, LAST_DAY, CHALLENGER)


def test_a_challenger_that_is_not_calibrated_is_not_promoted(story: Story, own_lake: Lake, small: Settings) -> None:
    train(own_lake, small, "small", ["logistic_regression"])
    verdict = judge(own_lake, changed(small, calibration_tolerance=1e-9), PROBLEM, [])
    refused = {one.name for one in verdict.gates if not one.passed}
    assert refused >= {f"calibrated {target}" for target in TARGETS}
    assert not verdict.promoted


@pytest.mark.parametrize(
    ("dataset", "algorithms", "update", "told"),
    [
        ("small", ["gradient_boosting", "forest"], {}, "no algorithm forest"),
        ("unknown", ["base_rate"], {}, "no dataset 'unknown'"),
        ("small", ["base_rate"], {"minimum_training_events": 10_000}, "No fold of small has 10000"),
        ("small", ["gradient_boosting"], {"workers": 99}, r"workers is 99, but Spark runs 2 tasks"),
    ],
)
def test_what_cannot_be_trained_is_told_and_leaves_earlier_predictions(
    dataset: str,
    algorithms: list[str],
    update: dict[str, Any],
    told: str,
    story: Story,
    own_lake: Lake,
    small: Settings,
) -> None:
    before, champion = own_lake.version("gold.predictions"), version_with(client_of(small, own_lake), PROBLEM, CHAMPION)
    with pytest.raises(BadInput, match=told):
        train(own_lake, changed(small, **update), dataset, algorithms)
    assert own_lake.version("gold.predictions") == before
    assert version_with(client_of(small, own_lake), PROBLEM, CHAMPION) == champion == story.champion
    if update:
        assert last_runs(own_lake, ["train"], limit=1)[0]["outcome"] == "failed"
    if "workers" in update:
        (run,) = MlflowClient(tracking_uri(small, own_lake)).search_runs(
            [mlflow.get_experiment_by_name(PROBLEM).experiment_id], max_results=1
        )
        assert run.info.status == "FAILED"


def test_a_name_that_no_version_has_is_told(story: Story, own_lake: Lake, small: Settings) -> None:
    with pytest.raises(BadInput, match="weekly has no champion"):
        registered(small, own_lake, "weekly", CHAMPION)
    with pytest.raises(BadInput, match=f"{PROBLEM} has no winner"):
        registered(small, own_lake, PROBLEM, "winner")


def test_a_server_that_does_not_answer_is_told_within_seconds_without_its_password(
    own_lake: Lake, small: Settings, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    away = small.model_copy(update={"tracking_uri": f"http://someone:hidden-word@127.0.0.1:{port}"})
    runs = len(last_runs(own_lake, ["train"]))
    began = time.monotonic()
    with caplog.at_level(logging.DEBUG), pytest.raises(FailedDependency) as raised:
        train(own_lake, away, "small", ["base_rate"])
    assert time.monotonic() - began < 30
    assert f"MLflow at http://127.0.0.1:{port} does not answer" in str(raised.value)
    printed = capfd.readouterr()
    shown = "".join(traceback.format_exception(raised.value))
    assert "does not answer" in shown
    for text in (shown, caplog.text, printed.out, printed.err):
        assert "hidden-word" not in text
    # Nothing was begun.
    assert len(last_runs(own_lake, ["train"])) == runs


def test_a_lake_on_s3_needs_a_tracking_server(small: Settings) -> None:
    remote = Lake.__new__(Lake)
    remote.root = "s3a://bucket/lake"
    with pytest.raises(BadInput, match="SMALLCAPS_TRACKING_URI"):
        tracking_uri(small, remote)
    assert tracking_uri(small.model_copy(update={"tracking_uri": "http://mlflow:5000"}), remote) == "http://mlflow:5000"
