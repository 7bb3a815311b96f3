"""`smallcaps manipulation …`: learn from a simulated market what manipulation looks like, and look for it."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as RichTable

from smallcaps.cli.console import From, To, days_from_to, interval, opened, output, timed

manipulation_app = typer.Typer(help="Pump and dump, and spoofed quotes.", no_args_is_help=True)


@manipulation_app.command("train")
def manipulation_train_command(
    market: Annotated[Path, typer.Option(help="Folder of the simulated market that the lake was refined from.")],
    first: From,
    last: To,
) -> None:
    """Train a model of manipulation on a simulated market, measure its alerts against what was planted, and register it."""
    from smallcaps.models.manipulation import train_manipulation
    from smallcaps.sources.simulator.layout import read_episodes

    days = days_from_to(first, last)
    lake, settings = opened()
    episodes = read_episodes(market)
    found = timed("manipulation train", lake.spark, lambda: train_manipulation(lake, settings, episodes, *days))
    table = RichTable(
        "kind",
        "from",
        "alerts",
        "episodes",
        "precision",
        "recall",
        "F1",
        "false alarms a day",
        "minutes late",
        "naive",
        "random",
    )
    for one in found:
        figures = map(interval, (one.score.precision, one.score.recall))
        f1 = f"{one.score.f1.value:.2f}"
        delay = f"{one.score.delay[1]:.1f}" if one.score.delay else "–"
        rivals = (f"{rival.precision:.2f} / {rival.recall:.2f}" for rival in (one.naive, one.random))
        counts = (f"{one.score.alerts:,}", f"{one.score.episodes:,}")
        table.add_row(
            one.kind, f"{one.threshold:g}", *counts, *figures, f1, f"{one.false_alarms_a_day:.1f}", delay, *rivals
        )
    output.print(table)
    output.print(
        f"Out of sample, {found[0].days} sessions, {found[0].name_days:,} names' days. "
        "Naive and random: precision / recall; late: the median."
    )


@manipulation_app.command("score")
def manipulation_score_command(first: From, last: To) -> None:
    """Look for manipulation from one day to another, into gold.manipulation_alerts."""
    from smallcaps.models.manipulation import score_manipulation

    days = days_from_to(first, last)
    lake, settings = opened()
    written = timed("manipulation score", lake.spark, lambda: score_manipulation(lake, settings, *days))
    output.print_json(json.dumps({"gold.manipulation_alerts": written}))
