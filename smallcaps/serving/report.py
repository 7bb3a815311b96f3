"""The report: one self-contained page that a trader can open anywhere, and its figures as JSON.

1. `collect` reads the lake into small frames. 2. `render` and `summarise` are pure. 3. `build_report` writes both.
What is not in the lake yet is said plainly, with the command that makes it.
"""

import functools
import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from smallcaps.config import Settings
from smallcaps.detectors.registry import all_detectors
from smallcaps.errors import BadData
from smallcaps.labels.horizons import sessions
from smallcaps.lake import Lake, declared
from smallcaps.lake.gold import HORIZONS
from smallcaps.models.evaluation import MINIMUM_BLOCKS
from smallcaps.serving import charts
from smallcaps.serving.page import dollars, number, percent, render_page, tiny, words
from smallcaps.serving.report_data import SESSIONS_AFTER, SESSIONS_BEFORE, Intraday, ReportData, collect, records
from smallcaps.serving.skill import Skill, measure

FEW_EVENTS = 30
"""A percentile among fewer earlier events is marked on its card."""

OUTCOMES = ("continuation", "reversal", "none", "unresolved", "censored")


def build_report(lake: Lake, settings: Settings, folder: Path) -> Path:
    """Write report.html and summary.json into `folder` (made if need be); returns the page's path.

    Raises BadData where a table of the lake is not as declared, or an event's bar is gone.
    """
    data = collect(lake, settings)
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "report.html"
    page.write_text(render(data), encoding="utf-8")
    summary = json.dumps(summarise(data), indent=2, ensure_ascii=False, default=_plain)
    (folder / "summary.json").write_text(summary + "\n", encoding="utf-8")
    return page


def render(data: ReportData) -> str:
    """The page as HTML: no reads, no clock, no outside resources. The same data give the same page."""
    skills = _skills(data)
    return render_page(
        "report.html",
        data=data,
        digest=data.settings.digest(),
        declared_detectors=len(all_detectors()),
        fired=0 if data.events is None else len(data.events),
        refused=_refused_rows(data),
        months=_months(data),
        detectors=_rows(data.events),
        skills=[_skill_view(skill) for skill in skills],
        cards=_cards(data),
        few_events=FEW_EVENTS,
        intraday=None if data.intraday is None else _intraday_view(data.intraday, data.settings),
        outcomes=_rows(data.outcomes),
        outcome_names=OUTCOMES,
        runs=_rows(data.runs),
        other_settings=_runs_of_other_settings(data),
        quarantine=_rows(data.quarantine),
    )


def summarise(data: ReportData) -> dict[str, Any]:
    """The page's figures for other programs: shares are fractions, dates ISO; null is what is not there yet."""
    return {
        "made_at": data.made_at,
        "code_version": data.code_version,
        "settings_hash": data.settings.digest(),
        "lake": data.lake,
        "events": data.span,
        "market": data.market,
        "detectors": _rows(data.events),
        "quarantine": {"rows": _refused_rows(data), "by_rule": _rows(data.quarantine)},
        "models": [_skill_summary(skill) for skill in _skills(data)],
        "labels": {
            "barrier_width": data.settings.datasets["daily"].barrier_width,
            "horizon": data.settings.datasets["daily"].horizon,
            "by_detector": _rows(data.outcomes),
        },
        "runs": _rows(data.runs),
    }


def _plain(value: Any) -> Any:
    """What JSON has no type for: dates, numpy scalars and arrays."""
    if isinstance(value, date):
        return value.isoformat()
    return value.tolist()


def _rows(frame: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    return None if frame is None else records(frame)


def _skills(data: ReportData) -> list[Skill]:
    if data.predictions is None or data.predictions.empty:
        return []
    return measure(data.predictions, data.settings.models.bootstrap_samples, data.settings.models.seed)


def _refused_rows(data: ReportData) -> int:
    return 0 if data.quarantine is None else int(data.quarantine["rows"].sum())


def _runs_of_other_settings(data: ReportData) -> list[str]:
    """Jobs whose latest run had other settings than those of this report."""
    runs = _rows(data.runs) or []
    return [run["job"] for run in runs if run["settings_hash"] != data.settings.digest()]


def _months(data: ReportData) -> Markup | None:
    if data.months is None:
        return None
    daily = data.months[data.months["grain"] == "daily"]
    if daily.empty:
        return None
    return charts.fragment(charts.months_chart(daily), "Daily events by detector and month")


def _cards(data: ReportData) -> list[dict[str, Any]] | None:
    """One dictionary an event of the manifest: the event, its charts, its label."""
    if data.top is None or data.bars is None:
        return None
    labels = {label["event_id"]: label for label in _rows(data.labels) or []}
    return [_card(event, data.bars, labels.get(event["event_id"]), data.settings) for event in records(data.top)]


def _card(
    event: dict[str, Any], bars: pd.DataFrame, label: dict[str, Any] | None, settings: Settings
) -> dict[str, Any]:
    own = bars[bars["symbol"] == event["symbol"]].sort_values("session_date")
    own, session = _in_event_shares(own, event["session_date"])
    known = own["close_at"] <= event["known_at"]
    before, after = own[known].tail(SESSIONS_BEFORE), own[~known].head(SESSIONS_AFTER)
    day_is_known = bool((before["session_date"] == event["session_date"]).any())
    weights = settings.manifest
    levels = {} if label is None else barriers(label)
    step = after["session_number"] - session
    labelled = range(int((step < 1).sum()), int((step <= sessions(settings.datasets["daily"].horizon)).sum()))
    return {
        "event": event,
        "label": label,
        "levels": levels,
        "parts": (
            ("strength", weights.weight_strength, event["strength_percentile"]),
            ("dollar volume", weights.weight_dollar_volume, event["dollar_volume_percentile"]),
            ("relative volume", weights.weight_relative_volume, event["relative_volume_percentile"]),
        ),
        "day_is_known": day_is_known,
        "sessions_before": len(before),
        "sessions_after": len(after),
        "scaled_before": bool(before["is_scaled"].any()),
        "scaled_after": bool(after["is_scaled"].any()),
        "before": None
        if before.empty
        else charts.fragment(
            charts.candles(before, event["session_date"], None if day_is_known else event["price"]),
            f"{event['symbol']} up to the event",
        ),
        "after": None
        if after.empty
        else charts.fragment(charts.aftermath(after, levels, labelled), f"{event['symbol']} after the event"),
    }


def _in_event_shares(bars: pd.DataFrame, session_date: date) -> tuple[pd.DataFrame, int]:
    """One name's bars carried into the shares of the event's day, and that day's session number."""
    of_day = bars[bars["session_date"] == session_date]
    if of_day.empty:
        raise BadData(f"gold.core_manifest names an event of {session_date} for which silver.bars_1d has no bar.")
    return in_shares_of(bars, float(of_day["cumulative_factor"].iloc[0])), int(of_day["session_number"].iloc[0])


def in_shares_of(bars: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Bars with prices ($) and volume carried into the shares of the day whose cumulative factor is `factor`.

    Adds is_scaled: whether that changed the row.
    """
    carried = factor / bars["cumulative_factor"]
    prices = {name: bars[name] * carried for name in ("open", "high", "low", "close")}
    return bars.assign(**prices, volume=bars["volume"] / carried, is_scaled=carried != 1)


def barriers(label: dict[str, Any]) -> dict[str, float]:
    """Price levels ($) of a label, by name: entry, continuation, reversal. Empty where there was no entry."""
    names = ("entry", "continuation", "reversal")
    return {} if label["entry_price"] is None else {name: label[f"{name}_price"] for name in names}


def _intraday_view(intraday: Intraday, settings: Settings) -> dict[str, Any]:
    micro = settings.microstructure
    event = intraday.event
    figure = charts.tape(intraday.trades, intraday.quotes, event["known_at"], micro.seconds_before, micro.seconds_after)
    return {
        "event": event,
        "features": intraday.features,
        "chart": charts.fragment(figure, f"Trades and quotes of {event['symbol']} around the event"),
        "step": charts.trade_step(intraday.trades),
        "trades": len(intraday.trades),
        "pairs": _before_and_after(intraday.features),
        "later": [
            {
                "seconds": seconds,
                "realised_spread": intraday.features[f"realised_spread_{seconds}s"],
                "price_impact": intraday.features[f"price_impact_{seconds}s"],
            }
            for seconds in HORIZONS
        ],
    }


def _before_and_after(features: dict[str, Any]) -> list[dict[str, str]]:
    """The declared `*_before` and `*_after` features as text: name, comment, before, after."""
    suffix = "_before"
    columns = [column for column in declared("gold.event_features").columns if column.name.endswith(suffix)]
    found = []
    for column in columns:
        name = column.name.removesuffix(suffix)
        shown = _shape_of(column.unit)
        found.append(
            {
                "name": words(name),
                "comment": column.comment,
                "before": shown(features[column.name]),
                "after": shown(features[f"{name}_after"]),
            }
        )
    return found


def _shape_of(unit: str) -> Callable[[float | None], str]:
    """How a value of a declared unit is written."""
    shapes: dict[str, Callable[[float | None], str]] = {
        "share": percent,
        "share of mid": functools.partial(percent, digits=2),
        "$": dollars,
        **dict.fromkeys(("1/s", "s", "ratio"), functools.partial(number, digits=2)),
        **dict.fromkeys(("1/√$", "1/$1M"), tiny),
    }
    return shapes.get(unit, number)


def _skill_view(skill: Skill) -> dict[str, Any]:
    return {
        "skill": skill,
        "verdict": _VERDICTS[skill.verdict],
        "calibrated": _calibrated(skill),
        "folds": records(skill.folds),
        "calibration": charts.fragment(charts.calibration(skill.deciles), f"Calibration of {skill.model}"),
        "lift": charts.fragment(charts.lift(skill.deciles), f"Lift of {skill.model} by decile"),
    }


_VERDICTS = {
    "unknown": f"Too little to judge: an interval needs continued and other events, in "
    f"{MINIMUM_BLOCKS} weeks or on as many days.",
    "none": "The interval covers 0.5: the model shows no proven skill. Treat its probabilities as noise.",
    "better": "The interval lies above 0.5: on these events the model ranks better than chance. "
    "That says nothing about profit after costs.",
    "worse": "The interval lies below 0.5: on these events the model ranks worse than chance.",
}


def _calibrated(skill: Skill) -> str | None:
    """What the probabilities are worth as probabilities, in a clause; None where that cannot be told."""
    if skill.gain_low is None or skill.gain_high is None:
        return None
    if skill.gain_low > 0:
        return "As probabilities they are better than always quoting the base rate of the training events"
    if skill.gain_high < 0:
        return "As probabilities they are worse than always quoting the base rate of the training events"
    return "As probabilities they are not proven better than always quoting the base rate of the training events"


def _skill_summary(skill: Skill) -> dict[str, Any]:
    return {
        "model": skill.model,
        "events": skill.events,
        "weeks": skill.weeks,
        "share_continued": skill.observed,
        "auc": skill.auc,
        "auc_low": skill.low,
        "auc_high": skill.high,
        "verdict": skill.verdict,
        "log_loss_skill": skill.gain,
        "log_loss_skill_low": skill.gain_low,
        "log_loss_skill_high": skill.gain_high,
        "folds": records(skill.folds),
        "deciles": records(skill.deciles),
    }
