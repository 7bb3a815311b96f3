"""`smallcaps review …`: have people judge events that they cannot tell from decoys, and say what that comes to."""

import math
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as RichTable

from smallcaps.cli.console import DAY, messages, output, started, timed
from smallcaps.config import load_settings
from smallcaps.errors import BadInput
from smallcaps.lake import Lake

review_app = typer.Typer(help="Have people judge events, blind.", no_args_is_help=True)

Sampled = Annotated[Path, typer.Argument(help="Folder of the sample.")]


@review_app.command("sample")
def review_sample_command(
    size: Annotated[int, typer.Option(help="Events of each detector, at most.", min=1, max=1_000)] = 50,
    first: Annotated[
        datetime | None, typer.Option("--from", formats=DAY, help="First day, YYYY-MM-DD; default: of gold.events.")
    ] = None,
    last: Annotated[
        datetime | None, typer.Option("--to", formats=DAY, help="Last day, YYYY-MM-DD; default: of gold.events.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(help="Folder; default: review/SAMPLE in the lake.")] = None,
) -> None:
    """Draw a sample of events and decoys, with charts that end at the decision time."""
    from smallcaps.serving.review_sample import draw_sample

    settings = load_settings()
    lake = Lake(settings.lake, started(settings))
    if folder is None and "://" in lake.root:
        raise BadInput("The lake is not on this machine: name a local folder for the sample.")
    days = (first.date() if first else None, last.date() if last else None)
    drawn = timed("review sample", lake.spark, lambda: draw_sample(lake, settings, size, *days, folder))
    counts = Counter((item["detector"], item["kind"]) for item in drawn.items)
    table = RichTable("detector", "events", "near misses", "random")
    for detector in sorted({item["detector"] for item in drawn.items}):
        table.add_row(detector, *(str(counts[detector, kind]) for kind in ("event", "near_miss", "random")))
    output.print(table)
    output.print(str(drawn.folder), soft_wrap=True)


@review_app.command("serve")
def review_serve_command(
    folder: Sampled,
    reviewer: Annotated[str, typer.Option(help="Who judges: letters, digits, - and _.")],
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 0,
) -> None:
    """Show a sample to a reviewer on a page of this machine, until interrupted."""
    from smallcaps.serving.review_server import serve_review

    serve_review(folder, reviewer, port)


@review_app.command("score")
def review_score_command(folder: Sampled) -> None:
    """Write the verdicts to gold.reviews and tell each detector's precision by them."""
    from smallcaps.serving.review_score import score_sample

    settings = load_settings()
    lake = Lake(settings.lake, started(settings), settings.quality.suites)
    review = timed("review score", lake.spark, lambda: score_sample(lake, settings, folder))
    table = RichTable(
        *("detector", "events", "confirmed", "precision", "95 %", "near misses confirmed", "random confirmed"),
        *("corrected", "95 %"),
        title=f"{review.counted:,} of {review.items:,} items, judged by {', '.join(review.reviewers)}",
    )
    for one in review.scores:
        table.add_row(
            *(one.detector, f"{one.events.of:,}", f"{one.events.hits:,}"),
            *(_percent(one.events.value), _interval(one.events.interval)),
            *(f"{share.hits} of {share.of}" for share in (one.near_misses, one.random)),
            *(_percent(one.corrected), _interval((one.low, one.high))),
        )
    output.print(table)
    for pair, kappa in review.kappas.items():
        output.print(f"Cohen's κ of {' and '.join(pair)}: {'undefined' if kappa is None else f'{kappa:.3f}'}.")
    if len(review.reviewers) < 2:
        messages.print("One reviewer alone: nothing tells how far others would agree. Have a second one judge.")
    if review.gone:
        messages.print(
            f"{review.gone:,} of the events are not in gold.events any more: they were detected again since."
        )


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.1%}"


def _interval(ends: tuple[float, float]) -> str:
    return " – ".join(map(_percent, ends))
