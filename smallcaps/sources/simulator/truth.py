"""The truth table: what was planted and what came of it, for whoever measures a detector or a model."""

from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

from smallcaps.sources.simulator.episodes import Episode
from smallcaps.sources.simulator.faults import CANCELLED, Fault
from smallcaps.sources.simulator.history import History
from smallcaps.sources.simulator.layout import write_records
from smallcaps.sources.simulator.plan import SECOND_NS


def write_truth(history: History, faults: list[Fault], notes: list[dict[str, Any]], market: Path) -> None:
    """Write truth/episodes.jsonl, faults.jsonl, halts.jsonl, securities.jsonl and splits.jsonl."""
    folder = market / "truth"
    starts = {hours.day: hours.start_ns for hours in history.sessions}
    write_records(folder / "episodes.jsonl", (_episode(episode, starts) for episode in history.episodes))
    cancelled: dict[tuple[str, str], list[str]] = defaultdict(list)
    for note in notes:
        cancelled[note["symbol"], note["session_date"]] += note["cancelled_ids"]
    write_records(
        folder / "faults.jsonl",
        (
            fault.record()
            | ({"trade_ids": cancelled[fault.symbol, str(fault.session_date)]} if fault.kind == CANCELLED else {})
            for fault in faults
        ),
    )
    halts = [
        {
            "symbol": note["symbol"],
            "session_date": note["session_date"],
            "start_ns": note["start_ns"] + start * SECOND_NS,
            "end_ns": note["start_ns"] + end * SECOND_NS,
            "reason": reason,
        }
        for note in notes
        for start, end, reason in note["pauses"]
    ]
    write_records(folder / "halts.jsonl", sorted(halts, key=lambda halt: (halt["start_ns"], halt["symbol"])))
    write_records(
        folder / "securities.jsonl",
        (
            {
                "number": security.number,
                "symbol": security.symbol,
                "kind": security.kind,
                "composite_figi": security.composite_figi,
                "liquidity": security.liquidity,
                "listed": security.listed.isoformat(),
                "delisted": None if security.delisted is None else security.delisted.isoformat(),
                "former": security.former,
                "renamed": None if security.renamed is None else security.renamed.isoformat(),
                "shares": security.shares,
                "free_float": security.free_float,
            }
            for security in history.securities
        ),
    )
    write_records(
        folder / "splits.jsonl",
        (
            {"symbol": split.symbol, "day": split.day.isoformat(), "old": split.old, "new": split.new}
            for split in history.splits
        ),
    )


def _episode(episode: Episode, starts: dict[date, int]) -> dict[str, Any]:
    start = starts[episode.session_date]
    return {
        "episode_id": episode.episode_id,
        "symbol": episode.symbol,
        "session_date": episode.session_date.isoformat(),
        "kind": episode.kind,
        "direction": episode.direction,
        "onset_ns": start + episode.shape.onset * SECOND_NS,
        "peak_ns": start + episode.shape.peak * SECOND_NS,
        "multiple": round(episode.multiple, 6),
        "move": round(episode.move, 6),
        "near_miss": episode.near_miss,
        "manipulation": episode.manipulation,
        "outcome": episode.outcome,
        "after": round(episode.after, 6),
        "carry": [round(value, 6) for value in episode.carry],
        "continuation": round(episode.continuation, 6),
        "reversal": round(episode.reversal, 6),
        "best_continuation": round(episode.best_continuation, 6),
        "observables": dict(
            zip(
                ("log_float", "five_day_return", "hour"),
                (round(value, 6) for value in episode.observables),
                strict=True,
            )
        ),
        "hidden": round(episode.hidden, 6),
    }
