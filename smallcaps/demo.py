"""The main job, end to end, on the sample in the repository: the same functions that the commands and jobs call.

Beside it a simulated market, taken in over the vendor's wire: its faults are known, so what becomes of them can be shown.
"""

import secrets
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
from smallcaps.ingest.rest import wanted
from smallcaps.ingest.routine import carry_out, rest_steps
from smallcaps.labels.barriers import label_events
from smallcaps.lake import Lake
from smallcaps.microstructure.features import extract_features
from smallcaps.microstructure.sequences import extract_sequences
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.bucket import Folder, VendorBucket
from smallcaps.sources.polygon.credentials import Key, KeyPair
from smallcaps.sources.polygon.endpoints import Source
from smallcaps.sources.polygon.flatfiles import PREFIX, VENDOR_KINDS
from smallcaps.sources.simulator.settings import MarketSettings

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample"
SIMULATED = MarketSettings(
    symbols=24, days=8, last_day=date(2026, 10, 16), seed=5, tick_days=1, tick_symbols=3, episodes=150
)
ASKED = (
    *("tickers", "delisted_tickers", "ticker_details", "ticker_events", "splits"),
    *("hour_bars", "minute_bars_adjusted"),
)
"""Endpoints in whose answers faults show, beside those of the flat files."""
JUDGED = (
    *("silver.calendar", "silver.securities", "silver.adjustments", "silver.bars_1d", "silver.trades"),
    *("silver.bars_1m", "silver.bars_1h", "ops.differences"),
)
"""Tables in whose making they are found."""


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
    from smallcaps.models.outcome import train_definition
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
        ("sequences", lambda: extract_sequences(lake, settings, ticks.first, ticks.last)),
        ("label", lambda: label_events(lake, settings, days.first, days.last)),
        ("train", lambda: train_definition(lake, settings, "daily")),
        ("report", lambda: build_report(lake, settings, report)),
    ]


def simulated_steps(lake: Lake, settings: Settings, market: Path) -> list[tuple[str, Callable[[], object]]]:
    """What is done with the market SIMULATED, made in folder `market` unless it is there; `lake` is its own."""
    # Here, since it needs the extra `simulator`.
    from smallcaps.sources.simulator.build import build_market
    from smallcaps.sources.simulator.layout import tape_days

    def build() -> object:
        return "it is there" if (market / "settings.json").exists() else build_market(lake.spark, SIMULATED, market)

    def days() -> Span:
        found = tape_days(market, "day")
        return Span(found[0], found[-1])

    return [
        ("simulate a market", build),
        ("ingest it over the vendor's wire", lambda: ingest_served(lake, settings, market, days())),
        ("refine it", lambda: refine(lake, settings, days().first, days().last, JUDGED)),
    ]


def ingest_served(lake: Lake, settings: Settings, market: Path, days: Span) -> dict[str, int]:
    """Serve a simulated market on the loopback and take in of it what SIMULATED's faults show in; returns rows by source."""
    from smallcaps.sources.simulator.server import ACCESS_KEY, running

    key, want = Key(secrets.token_urlsafe(24)), wanted(days.first, days.last, as_of=days.last)
    with running(market, key.value) as place:
        vendor = settings.vendor.model_copy(update={"origin": place.origin, "requests_per_second": 500.0})
        served = settings.model_copy(update={"vendor": vendor})
        files = VendorBucket(place.origin, vendor.bucket, KeyPair(ACCESS_KEY, key.value))
        answered = carry_out(rest_steps(lake, served, {Source.VENDOR: key}, ASKED, want))
        taken = ingest_flatfiles(lake, served, files, VENDOR_KINDS, days.first, days.last)
    return {name: result.rows for name, result in answered.items()} | taken.rows
