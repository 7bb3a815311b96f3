"""The main job, end to end, on the sample in the repository: the same functions that the commands and jobs call."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from smallcaps.config import Settings
from smallcaps.detectors.detect import detect
from smallcaps.detectors.manifest import build_manifest
from smallcaps.errors import BadInput
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.ingest.reference import ingest_splits
from smallcaps.labels.daily import label_daily
from smallcaps.lake import Lake
from smallcaps.microstructure.features import extract_features
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.polygon.flatfiles import PREFIX

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"


@dataclass(frozen=True)
class Span:
    """First and last day of a kind of file in the sample."""

    first: date
    last: date


def span_of(sample: Path, kind: str) -> Span:
    """The days that `sample` holds of `kind`. Raises BadInput where it holds none."""
    days = sorted(date.fromisoformat(file.name[:10]) for file in (sample / PREFIX / kind).rglob("*.csv.gz"))
    if not days:
        raise BadInput(
            f"{sample} holds no {kind} files. Pass the folder of the sample (data/sample of the repository)."
        )
    return Span(days[0], days[-1])


def steps(lake: Lake, settings: Settings, sample: Path, report: Path) -> list[tuple[str, Callable[[], object]]]:
    """The main job as named steps, in order; each returns what it came to."""
    # Here, since they need the extras `models` and `report`, which other commands do without.
    from smallcaps.models.gradient_boosting import train
    from smallcaps.serving.report import build_report

    days, ticks = span_of(sample, "day_aggs_v1"), span_of(sample, "trades_v1")
    files = Folder(str(sample))
    return [
        (
            "ingest daily bars",
            lambda: ingest_flatfiles(lake, settings, files, ["day_aggs_v1"], days.first, days.last),
        ),
        (
            "ingest trades and quotes",
            lambda: ingest_flatfiles(lake, settings, files, ["trades_v1", "quotes_v1"], ticks.first, ticks.last),
        ),
        ("ingest splits", lambda: ingest_splits(lake, settings, str(sample / "splits.csv"))),
        ("refine trades and quotes", lambda: refine(lake, settings, ticks.first, ticks.last)),
        ("refine daily bars", lambda: refine(lake, settings, days.first, days.last)),
        ("detect daily", lambda: detect(lake, settings, "daily", days.first, days.last)),
        ("detect minute", lambda: detect(lake, settings, "minute", ticks.first, ticks.last)),
        ("detect trade", lambda: detect(lake, settings, "trade", ticks.first, ticks.last)),
        ("manifest", lambda: build_manifest(lake, settings)),
        ("features", lambda: extract_features(lake, settings, ticks.first, ticks.last)),
        ("label", lambda: label_daily(lake, settings, days.first, days.last)),
        ("train", lambda: train(lake, settings)),
        ("report", lambda: build_report(lake, settings, report)),
    ]
