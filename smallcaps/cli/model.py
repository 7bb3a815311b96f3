"""`smallcaps train`, `score` and `model …`: train on frozen datasets, judge, score, compare."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table as RichTable

from smallcaps.cli.console import (
    From,
    To,
    days_from_to,
    interval,
    messages,
    opened,
    output,
    report_folder,
    timed,
    working,
)
from smallcaps.errors import BadInput

if TYPE_CHECKING:
    from smallcaps.models.registry import Verdict
    from smallcaps.models.training import Trained

model_app = typer.Typer(help="Registered models.", no_args_is_help=True)

Of = Annotated[str, typer.Option("--of", help="Which of the settings' definitions of datasets.")]


def train_command(
    dataset: Annotated[str | None, typer.Argument(metavar="DATASET", help="A frozen dataset.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Freeze, train, judge and score each definition that has labelled events.")
    ] = False,
    algorithms: Annotated[
        str | None,
        typer.Option(help="Only these, comma-separated; default: all that the dataset and this machine allow."),
    ] = None,
) -> None:
    """Train models walk-forward, measure them, log and register them in MLflow."""
    from smallcaps.models.outcome import train_definition
    from smallcaps.models.training import train

    if everything == (dataset is not None):
        raise BadInput("Name one dataset, or pass --all. `smallcaps dataset list` shows those that are frozen.")
    chosen = None if algorithms is None else algorithms.split(",")
    lake, settings = opened()
    if dataset is not None:
        _show(timed("train", lake.spark, lambda: train(lake, settings, dataset, chosen)))
        return
    left_out = {}
    for of in settings.datasets:
        try:
            outcome = timed(f"train {of}", lake.spark, partial(train_definition, lake, settings, of, chosen))
        except BadInput as error:
            left_out[of] = str(error)
            continue
        _show(outcome.trained)
        _show_verdict(outcome.verdict)
        output.print(f"{outcome.scored:,} events after the last labelled day were scored by {outcome.scored_by}.")
    if len(left_out) == len(settings.datasets):
        raise BadInput(f"Nothing was trained. {' '.join(f'{of}: {why}' for of, why in left_out.items())}")
    for of, why in left_out.items():
        messages.print(f"{of} is left out: {escape(why)}", soft_wrap=True)


def score_command(
    first: From,
    last: To,
    of: Annotated[
        str | None, typer.Option(help="Which of the settings' definitions of datasets; default: daily.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Of each definition whose model there is.")] = False,
    alias: Annotated[str, typer.Option(help="Which registered model: champion or challenger.")] = "champion",
) -> None:
    """Score events by the registered model, into gold.predictions; those that it was trained on are no test of it."""
    from smallcaps.models.batch_scoring import score_events
    from smallcaps.models.registry import has_model

    if everything and of is not None:
        raise BadInput("--all and --of exclude each other.")
    days = days_from_to(first, last)
    lake, settings = opened()
    chosen = (
        [of or "daily"]
        if not everything
        else [each for each in settings.datasets if has_model(settings, lake, each, alias)]
    )
    for each in chosen:
        model, events = timed("score", lake.spark, partial(score_events, lake, settings, each, *days, alias))
        output.print(f"{events:,} events were scored by {model.name}.")
    if not chosen:
        output.print(f"No model is registered as {alias} yet: nothing was scored.")


@model_app.command("list")
def model_list_command() -> None:
    """Show the registered models with their aliases and what the gate said of them."""
    from smallcaps.models.registry import versions

    lake, settings = opened()
    with working("model list", lake.spark):
        found = versions(lake, settings)
    if not found:
        output.print("No model is registered yet.")
        return
    table = RichTable("model", "alias", "algorithm", "dataset", "registered at, UTC", "the gate")
    for one in found:
        table.add_row(
            one.name,
            ", ".join(one.aliases),
            one.algorithm,
            one.dataset,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.verdict,
        )
    output.print(table)


@model_app.command("judge")
def model_judge_command(of: Of = "daily") -> None:
    """Put the challenger in the champion's place, if it is better by more than chance, calibrated and free of leaks."""
    from smallcaps.models.frozen import definition_of
    from smallcaps.models.outcome import judge_challenger
    from smallcaps.models.targets import problem

    lake, settings = opened()
    called = problem(definition_of(settings, of))
    _show_verdict(timed("model judge", lake.spark, lambda: judge_challenger(lake, settings, called)))


@model_app.command("report")
def model_report_command(
    out: Annotated[Path | None, typer.Option(help="Folder; default: report/models/ in the lake.")] = None,
) -> None:
    """Compare all models by fold: a page and summary.json."""
    from smallcaps.serving.model_page import write_model_report

    lake, settings = opened()
    folder = out or report_folder(lake, None) / "models"
    page = timed("model report", lake.spark, lambda: write_model_report(lake, settings, folder))
    output.print(str(page), soft_wrap=True)


@model_app.command("drift")
def model_drift_command(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A frozen dataset.")],
    page: Annotated[Path | None, typer.Option(help="Write a page with charts into this folder, too.")] = None,
) -> None:
    """Measure month by month how far inputs have moved and how far probabilities are from what came, into ops.drift."""
    from smallcaps.models.drift import measure_drift

    lake, settings = opened()
    rows = timed("model drift", lake.spark, lambda: measure_drift(lake, settings, dataset))
    output.print_json(json.dumps({"ops.drift": rows}))
    if page is not None:
        from smallcaps.serving.drift_page import write_drift_page

        output.print(f"The page is at {write_drift_page(lake, dataset, page)}", soft_wrap=True)


@model_app.command("truth")
def model_truth_command(
    market: Annotated[Path, typer.Option(help="Folder of the simulated market that the lake was refined from.")],
    of: Of = "intraday",
    algorithm: Annotated[str, typer.Option(help="Which one is fitted.")] = "gradient_boosting",
) -> None:
    """Fit an algorithm to a simulated market's planted outcomes and compare it with the best that can be foretold."""
    from smallcaps.models.training import ALGORITHMS
    from smallcaps.serving.foretold import foretell

    if algorithm not in ALGORITHMS:
        raise BadInput(f"There is no algorithm {algorithm}. There are {', '.join(ALGORITHMS)}.")
    lake, settings = opened()
    found = timed("model truth", lake.spark, lambda: foretell(lake, settings, market, of, algorithm))
    table = RichTable("target", "figure", algorithm, "the best possible", "share of its gain")
    for one in found.targets:
        for name, share in one.share.items():
            table.add_row(one.target, name, *map(interval, (one.ours[name], one.best[name], share)))
    output.print(table)
    tested = found.targets[0].episodes
    output.print(
        f"{found.planted:,} episodes planted, {found.met:,} met by an event, {tested:,} of these out of sample."
    )


@model_app.command("search")
def model_search_command(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="A frozen dataset.")],
    trials: Annotated[int, typer.Option(min=1, help="How many sets of parameters to try.")] = 40,
) -> None:
    """Search for better parameters of gradient boosting, on what lies before the first fold; prints them for the settings."""
    from smallcaps.models.search import search

    lake, settings = opened()
    found = timed("model search", lake.spark, lambda: search(lake, settings, dataset, trials))
    output.print_json(json.dumps(found.parameters))
    if found.loss >= found.loss_of_settings:
        messages.print("None of them is better than the settings' own.")


def _show(trained: "Sequence[Trained]") -> None:
    table = RichTable("model", "target", "AUC", "best tenth's lift", "log-loss skill", "bias", title=trained[0].problem)
    for one in trained:
        for target, found in one.metrics.items():
            figures = [found[name] for name in ("auc", "top_decile_lift", "log_loss_skill", "bias")]
            table.add_row(f"{one.algorithm} v{one.version}", target, *map(interval, figures))
    output.print(table)
    events = ", ".join(f"{count:,}" for count in sorted({one.events for one in trained}))
    output.print(f"{events} events out of sample. Chance: AUC 0.5, lift 1. The base rate: skill 0.")


def _show_verdict(verdict: "Verdict") -> None:
    for gate in verdict.gates:
        mark = "[green]✓[/green]" if gate.passed else "[red]✗[/red]"
        output.print(f"{mark} {escape(gate.name)}: {escape(gate.finding)}", soft_wrap=True)
    output.print(f"{verdict}.", soft_wrap=True, markup=False)
