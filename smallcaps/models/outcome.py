"""From labelled events to a registered model: freeze, train, judge, score, of one definition of datasets."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.lake import Lake
from smallcaps.models.batch_scoring import score_events
from smallcaps.models.frozen import current_dataset, described, of_dataset
from smallcaps.models.registry import CHALLENGER, CHAMPION, Verdict, judge, reads_of, registered
from smallcaps.models.training import Trained, leakage_gates, train


@dataclass(frozen=True)
class Outcome:
    """What came of a definition: the dataset, every algorithm's figures, the gate's verdict, and how many events after the last
    labelled day were scored by which model.
    """

    dataset: str
    trained: list[Trained]
    verdict: Verdict
    scored_by: str
    scored: int

    def __str__(self) -> str:
        return f"{self.dataset}; {self.verdict}; {self.scored:,} events scored"


def train_definition(lake: Lake, settings: Settings, of: str, algorithms: Sequence[str] | None = None) -> Outcome:
    """Do all of it for the definition `of` of the settings. Raises BadInput where there is too little to train on."""
    dataset = current_dataset(lake, settings, of)
    trained = train(lake, settings, dataset, algorithms)
    verdict = judge_challenger(lake, settings, trained[0].problem)
    alias = CHALLENGER
    if verdict.promoted or verdict.champion is not None:
        champion = registered(settings, lake, trained[0].problem, CHAMPION)
        alias = CHAMPION if reads_of(champion.event_model, described(lake, dataset)) else CHALLENGER
    first, last = _unlabelled(lake, settings, of, dataset)
    model, events = score_events(lake, settings, of, first, last, alias)
    return Outcome(dataset, trained, verdict, model.name, events)


def judge_challenger(lake: Lake, settings: Settings, called: str) -> Verdict:
    """`judge` with the leakage gates of the challenger's dataset and algorithm."""
    challenger = registered(settings, lake, called, CHALLENGER)
    return judge(lake, settings, called, leakage_gates(lake, settings, challenger.dataset, challenger.algorithm))


def _unlabelled(lake: Lake, settings: Settings, of: str, dataset: str) -> tuple[date, date]:
    """The days after the dataset's last event, to the last event that there is."""
    rows = lake.read("gold.dataset_rows").where(of_dataset(dataset))
    grains = list(settings.datasets[of].grains)
    events = lake.read("gold.events").where(F.col("grain").isin(grains))
    last_labelled = rows.agg(F.max("session_date")).collect()[0][0]
    last = events.agg(F.max("session_date")).collect()[0][0]
    return last_labelled + timedelta(days=1), max(last, last_labelled + timedelta(days=1))
