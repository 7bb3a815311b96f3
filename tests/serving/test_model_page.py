"""The model report, on made-up predictions whose worth is planted; `models.evaluation` is the oracle of its figures."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import Lake
from smallcaps.models.evaluation import Estimate, evaluate
from smallcaps.models.tracking import logged_frame
from smallcaps.serving import model_page
from smallcaps.serving.model_comparison import CHANCE, Comparison, compare, dealt, standing
from smallcaps.serving.model_page import (
    ModelReport,
    TrackedRun,
    collect,
    render,
    summarise,
    verdict,
    write_model_report,
)
from tests.microstructure.tables import as_table

FIRST = date(2015, 1, 5)
WEEKS, A_WEEK = 24, 25
SAMPLES, SEED = 40, 7
PROBLEM = "daily_5d_1.5atr"


def predictions(slopes: dict[str, float], targets: tuple[str, ...] = ("continuation", "reversal")) -> pd.DataFrame:
    """Two folds of events, as gold.predictions has them. An algorithm's probabilities lie `slope` times as far from 0.5 as the
    true ones; those of slope 0 are the base rate.
    """
    random, events = np.random.default_rng(3), WEEKS * A_WEEK
    week = np.arange(events) // A_WEEK
    parts = []
    for target in targets:
        truth = random.uniform(0.1, 0.9, events)
        happened = (random.uniform(size=events) < truth).astype(int)
        for algorithm, slope in slopes.items():
            parts.append(
                pd.DataFrame(
                    {
                        "event_id": [f"{number:032d}" for number in range(events)],
                        "symbol": "A",
                        "session_date": [FIRST + timedelta(weeks=int(number)) for number in week],
                        "detector": np.where(np.arange(events) % 3 == 0, "gap", "range_explosion"),
                        "model": f"{PROBLEM}.{algorithm}",
                        "target": target,
                        "fold": np.where(week < WEEKS // 2, 1, 2),
                        "probability": 0.5 + slope * (truth - 0.5),
                        "happened": happened,
                        "base_rate": 0.5,
                        "is_core": np.arange(events) % 2 == 0,
                        "tracking_run": f"run-of-{algorithm}",
                    }
                )
            )
    return pd.concat(parts, ignore_index=True)


PLANTED = predictions({"base_rate": 0.0, "able": 1.0, "backwards": -1.0})


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    (found,) = compare(PLANTED, SAMPLES, SEED)
    return found


def report(*problems: Comparison, tracked: dict[str, TrackedRun] | None = None) -> ModelReport:
    """A report of these problems."""
    made_at = datetime(2026, 1, 2, 15, 0, tzinfo=UTC)
    untracked = None if tracked else "MLflow does not answer."
    return ModelReport(made_at, "1.0", "abc", "/lake", SAMPLES, SEED, problems, tracked or {}, untracked)


def without_skill(comparison: Comparison, estimate: Estimate) -> Comparison:
    """The comparison, as if the first target's skill of the best algorithm were `estimate`."""
    target = comparison.targets[0]
    score = target.scores[comparison.best]
    changed = replace(score, metrics=score.metrics | {"log_loss_skill": estimate})
    first = replace(target, scores=target.scores | {comparison.best: changed})
    return replace(comparison, targets=(first, *comparison.targets[1:]))


def test_the_planted_algorithm_is_the_best_and_the_base_rate_stands_last(comparison: Comparison) -> None:
    assert comparison.problem == PROBLEM
    assert comparison.algorithms == ("able", "backwards", "base_rate")
    assert [one.target for one in comparison.targets] == ["continuation", "reversal"]
    assert comparison.events == WEEKS * A_WEEK
    tone, said = verdict(comparison)
    assert tone == "better"
    assert said.startswith("Able has the most log-loss skill: +")
    assert "lies above 0 for continuation and reversal (proven)." in said


@pytest.mark.parametrize(
    ("estimate", "tone", "words"),
    [
        (
            Estimate(0.01, -0.01, 0.03),
            "none",
            "above 0 for reversal (proven) and holds 0 for continuation (not proven).",
        ),
        (Estimate(-0.02, -0.03, -0.01), "worse", "lies below 0 for continuation (worse than the base rate)"),
        (
            Estimate(0.02, float("nan"), float("nan")),
            "none",
            "cannot be told for continuation (too few weeks and days)",
        ),
    ],
)
def test_the_verdict_tells_targets_apart(comparison: Comparison, estimate: Estimate, tone: str, words: str) -> None:
    told, said = verdict(without_skill(comparison, estimate))
    assert told == tone
    assert words in said


def test_the_base_rate_alone_gives_no_verdict() -> None:
    (alone,) = compare(predictions({"base_rate": 0.0}, ("continuation",)), 0, SEED)
    assert verdict(alone) == ("unknown", "Only the base rate was trained: there is nothing to compare it with.")
    assert "nothing to compare" in render(report(alone))


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (Estimate(0.6, 0.51, 0.7), "above"),
        (Estimate(0.5, 0.4, 0.6), "none"),
        (Estimate(0.4, 0.3, 0.49), "below"),
        (Estimate(0.6, float("nan"), float("nan")), "unknown"),
    ],
)
def test_where_an_interval_stands(estimate: Estimate, expected: str) -> None:
    assert standing(estimate, 0.5) == expected


def test_chance_knows_nothing_of_what_the_best_knows(comparison: Comparison) -> None:
    for one in comparison.targets:
        assert one.scores["able"].metrics["auc"].value > 0.65
        assert one.scores[CHANCE].metrics["auc"].value == pytest.approx(0.5, abs=0.06)
        assert one.scores[CHANCE].metrics["log_loss_skill"].value < 0


def test_dealing_keeps_the_probabilities_and_is_seeded() -> None:
    rows = PLANTED[(PLANTED["model"] == f"{PROBLEM}.able") & (PLANTED["target"] == "reversal")]
    first = dealt(rows, 1)
    assert sorted(first["probability"]) == sorted(rows["probability"])
    assert first["probability"].tolist() != rows["probability"].tolist()
    pd.testing.assert_frame_equal(first, dealt(rows.sample(frac=1, random_state=5), 1))


def test_algorithms_of_other_events_are_marked(comparison: Comparison) -> None:
    assert comparison.same_events
    fewer = PLANTED[~((PLANTED["model"] == f"{PROBLEM}.able") & (PLANTED["fold"] == 2))]
    (found,) = compare(fewer, 0, SEED)
    assert not found.same_events
    assert "did not score the same events" in render(report(found))
    assert "did not score the same events" not in render(report(comparison))


def test_the_summary_has_the_figures_of_evaluate(comparison: Comparison) -> None:
    summary = json.loads(json.dumps(summarise(report(comparison))))
    (problem,) = summary["problems"]
    assert problem["best"] == "able"
    assert problem["first"] == "2015-01-05"
    assert problem["algorithms"]["able"]["tracking_run"] == "run-of-able"
    for target, found in problem["targets"].items():
        own = PLANTED[(PLANTED["target"] == target) & (PLANTED["model"] == f"{PROBLEM}.backwards")]
        for rows, score in (
            (own, found["all"]["backwards"]),
            (own[own["is_core"]], found["core"]["backwards"]),
            (own[own["fold"] == 2], found["folds"][1]["scores"]["backwards"]),
        ):
            assert score["events"] == len(rows)
            assert score["observed"] == pytest.approx(rows["happened"].mean())
            for name, estimate in evaluate(rows, SAMPLES, SEED).items():
                told = {end: value for end, value in score["metrics"][name].items() if value is not None}
                assert told == {end: value for end, value in vars(estimate).items() if not np.isnan(value)}


def test_the_page_has_a_row_for_each_algorithm_and_for_chance(comparison: Comparison) -> None:
    page = render(report(comparison))
    for name in ("able", "backwards", "base rate", "chance"):
        # All events and CORE, of two targets.
        assert page.count(f'<td class="keep">{name}<') >= 4, name
    assert page.count("Only events of the core manifest") == 2
    # By target: two by fold, calibration and lift of three algorithms.
    assert page.count('class="chart"') == 2 * (2 + 2 * 3)
    assert "MLflow was not asked. MLflow does not answer." in page
    assert render(report(comparison)) == page


def test_without_core_events_there_is_no_core_table() -> None:
    (found,) = compare(predictions({"able": 1.0}, ("reversal",)).assign(is_core=False), 0, SEED)
    assert found.targets[0].core == {}
    assert "core manifest" not in render(report(found))


def test_inputs_are_shown_where_mlflow_has_them(comparison: Comparison) -> None:
    importance = pd.DataFrame(
        {"target": ["continuation"] * 2, "input": ["gap_pct", "<odd>"], "contribution": [0.2, 0.1]}
    )
    run = TrackedRun("daily-1", datetime(2026, 1, 1, tzinfo=UTC), "3", importance)
    page = render(report(comparison, tracked={"run-of-able": run}))
    assert "daily-1" in page
    assert "version 3" in page
    assert "gap pct" in page
    assert "<odd>" not in page
    assert page.count("Inputs that count most for") == 1
    assert "No input counts, or MLflow does not have it." in page


class Client:
    """An MLflow that has the run of `able` only."""

    def get_run(self, run: str) -> Any:
        if run != "run-of-able":
            raise MlflowException("No such run.")
        return SimpleNamespace(
            data=SimpleNamespace(tags={"smallcaps.dataset": "daily-1"}), info=SimpleNamespace(start_time=0)
        )

    def search_model_versions(self, filter_string: str) -> list[Any]:
        return [SimpleNamespace(version=2)]

    def download_artifacts(self, run: str, name: str, folder: str) -> str:
        path = Path(folder) / name
        path.write_text("target,input,contribution\nreversal,gap_pct,0.5\n")
        return str(path)


def test_a_logged_table_is_read_by_its_suffix() -> None:
    found = logged_frame(Client(), "run-of-able", "importance.csv")
    assert found.to_dict("records") == [{"target": "reversal", "input": "gap_pct", "contribution": 0.5}]


class Rows:
    """What `collect` asks of gold.predictions, answered by a frame of pandas."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.rows = rows

    def where(self, condition: str) -> "Rows":
        assert condition == "fold IS NOT NULL"
        return Rows(self.rows[self.rows["fold"].notna()])

    def select(self, *names: str) -> "Rows":
        return Rows(self.rows[list(names)])

    def toPandas(self) -> pd.DataFrame:
        return self.rows


def lake_of(rows: pd.DataFrame | None) -> Any:
    """A lake with these predictions; None: the table was never written."""
    return SimpleNamespace(root="/lake", exists=lambda _: rows is not None, read=lambda _: Rows(rows))


def few_samples(settings: Settings) -> Settings:
    return settings.model_copy(update={"models": settings.models.model_copy(update={"bootstrap_samples": 10})})


@pytest.mark.parametrize("rows", [None, PLANTED.assign(fold=None)])
def test_without_walk_forward_predictions_there_is_no_report(rows: pd.DataFrame | None, settings: Settings) -> None:
    with pytest.raises(BadInput, match=r"Predictions are not written yet\. Run `smallcaps train` first\."):
        collect(lake_of(rows), settings)


def test_the_report_is_written_with_what_mlflow_has(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_page, "client_of", lambda *_: Client())
    page = write_model_report(lake_of(PLANTED), few_samples(settings), tmp_path / "page")
    assert page == tmp_path / "page" / "index.html"
    assert "gap pct" in page.read_text(encoding="utf-8")
    (problem,) = json.loads((tmp_path / "page" / "summary.json").read_text())["problems"]
    assert problem["algorithms"]["able"]["version"] == "2"
    assert problem["algorithms"]["base_rate"]["dataset"] is None


def test_the_report_does_without_an_mlflow_that_does_not_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise FailedDependency("MLflow does not answer.")

    monkeypatch.setattr(model_page, "client_of", silent)
    data = collect(lake_of(PLANTED), few_samples(settings))
    assert data.untracked == "MLflow does not answer."
    assert data.tracked == {}


def test_events_scored_since_are_no_part_of_it(
    lake: Lake, settings: Settings, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked = predictions({"able": 1.0}, ("reversal",))
    unknown = {"fold": None, "happened": None, "base_rate": None, "is_core": None, "model": f"{PROBLEM}@2"}
    since = walked.head(3).astype(object).assign(**unknown)
    rows = as_table(spark, "gold.predictions", [*walked.to_dict("records"), *since.to_dict("records")])
    lake.replace("gold.predictions", rows, None, "trained")
    monkeypatch.setattr(model_page, "client_of", lambda *_: Client())
    (problem,) = collect(lake, few_samples(settings)).problems
    assert problem.algorithms == ("able",)
    assert problem.events == WEEKS * A_WEEK
