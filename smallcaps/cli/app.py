"""The `smallcaps` command. Results go to stdout, everything else to stderr; exit codes say who can mend what failed.

0 done · 2 bad input · 3 bad data · 4 a failed dependency · 70 a bug of ours · 130 interrupted
"""

import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import AnalysisException, ParseException, PySparkException
from rich.markup import escape
from rich.table import Table as RichTable
from rich.tree import Tree

from smallcaps import demo as main_job
from smallcaps.cli.console import (
    DAY,
    From,
    To,
    days_from_to,
    messages,
    names_of,
    opened,
    output,
    report_folder,
    timed,
    working,
)
from smallcaps.cli.dataset import dataset_app
from smallcaps.cli.doctor import EXTRAS, examine
from smallcaps.cli.forecast import foretell, show
from smallcaps.cli.live import live_app, parity_command, replay_command
from smallcaps.cli.manipulation import manipulation_app
from smallcaps.cli.model import model_app, score_command, train_command
from smallcaps.cli.review import review_app
from smallcaps.cli.servers import cluster_command, history_command
from smallcaps.cli.simulate import show_faults, simulate_app
from smallcaps.cli.sql import sql_command
from smallcaps.cli.status import lineage_command, status_command
from smallcaps.cli.vendor import examine_vendor
from smallcaps.config import load_settings
from smallcaps.detectors.detect import (
    INPUT_TABLE,
    chosen_detectors,
    detect,
    events,
    expectations,
    rows_before,
    statement_of,
)
from smallcaps.detectors.manifest import build_manifest, explain
from smallcaps.detectors.registry import GRAINS, INTRADAY
from smallcaps.errors import BUG_EXIT_CODE, BadData, BadInput, FailedDependency, SmallcapsError
from smallcaps.ingest.feed import ingest_feed
from smallcaps.ingest.flatfiles import ingest_flatfiles, vendor_files
from smallcaps.ingest.forecast import file_forecasts, rest_forecasts
from smallcaps.ingest.reference import ingest_splits
from smallcaps.ingest.rest import chosen, wanted
from smallcaps.ingest.routine import Step, carry_out, has_key, keys_of, rest_steps, routine_names, routine_steps
from smallcaps.ingest.windows import MINUTE_NS, window_forecasts, window_steps
from smallcaps.labels.barriers import label_events
from smallcaps.lake import REGISTRY, TOPICS, VIEWS, Lake, Stale, declared, declared_topic, stale
from smallcaps.lake.declaration import Table, Topic, View
from smallcaps.lake.dictionary import data_dictionary
from smallcaps.lake.glue import glue_definitions
from smallcaps.lake.maintenance import maintain
from smallcaps.lake.quality_results import State, latest_states
from smallcaps.lake.trace import Trace, trace
from smallcaps.microstructure.features import extract_features
from smallcaps.microstructure.sequences import extract_sequences
from smallcaps.microstructure.windows import download_plan
from smallcaps.refine.job import refine
from smallcaps.refresh import refresh
from smallcaps.sources.endpoints import ENDPOINTS
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.polygon.credentials import read_key
from smallcaps.sources.polygon.endpoints import Source
from smallcaps.sources.polygon.flatfiles import OWN_KINDS, VENDOR_KINDS
from smallcaps.spark import record_class_archive, runs_here, session_jars
from smallcaps.version import code_version

app = typer.Typer(
    help="Find, study and model extraordinary moves in US small-cap stocks.", no_args_is_help=True, add_completion=False
)
ingest_app = typer.Typer(
    help="Sources into raw and bronze.",
    no_args_is_help=True,
    # So that --all is found as the name of a command.
    context_settings={"ignore_unknown_options": True},
)
detect_app = typer.Typer(help="Run the detectors over silver.", no_args_is_help=True)
detectors_app = typer.Typer(help="What the detectors are.", no_args_is_help=True)
manifest_app = typer.Typer()
app.add_typer(ingest_app, name="ingest")
app.add_typer(detect_app, name="detect")
app.add_typer(detectors_app, name="detectors")
app.add_typer(manifest_app, name="manifest")
app.add_typer(live_app, name="live")
app.add_typer(simulate_app, name="simulate")
app.add_typer(review_app, name="review")
app.add_typer(dataset_app, name="dataset")
app.add_typer(model_app, name="model")
app.add_typer(manipulation_app, name="manipulation")
app.command("train")(train_command)
app.command("score")(score_command)
app.command("replay")(replay_command)
app.command("parity")(parity_command)
app.command("sql")(sql_command)

LOST = ("ExecutorLostFailure", "Master removed our application", "SparkContext was shut down")
"""What Spark says of jobs whose executors or master went away."""

Symbols = Annotated[str | None, typer.Option(help="Only these, comma-separated; case matters.")]
AsOf = Annotated[
    datetime | None, typer.Option("--as-of", formats=DAY, help="Day of the reference data; default: New York's today.")
]

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be asked for, requests, bytes and time; do nothing.")
]


class Grain(StrEnum):
    """Rows a detector looks at."""

    daily = "daily"
    minute = "minute"
    trade = "trade"


@app.command()
def doctor(
    vendor: Annotated[
        bool,
        typer.Option("--vendor", help="Ask the vendor, too, what the keys may have: one small request an endpoint."),
    ] = False,
) -> None:
    """Tell what is missing on this machine."""
    checks = [*examine(), *(examine_vendor() if vendor else ())]
    table = RichTable("", "what", "finding", box=None)
    marks = {True: "[green]✓[/green]", False: "[red]✗[/red]", None: "[yellow]·[/yellow]"}
    for check in checks:
        table.add_row(marks[check.fine], check.name, escape(check.finding))
    output.print(table)
    if any(check.fine is False for check in checks):
        raise FailedDependency("Something is missing; see the lines marked ✗.")


@app.command()
def demo(
    sample: Annotated[Path, typer.Option(help="Folder of the sample.")] = main_job.SAMPLE,
    report: Annotated[Path | None, typer.Option(help="Folder of the report; default: report/ in the lake.")] = None,
) -> None:
    """Run the main job, end to end, on the sample; beside it show what becomes of a simulated market's faults."""
    lake, settings = opened()
    folder = report_folder(lake, report)
    # Without suites, which the sample shows.
    simulated, market = Lake(f"{lake.root}/simulated", lake.spark), folder / "market"
    own = main_job.steps(lake, settings, sample, folder)
    steps = [*own, *main_job.simulated_steps(simulated, settings, market)]
    done = [
        timed(f"{title} ({number} of {len(steps)})", lake.spark, work)
        for number, (title, work) in enumerate(steps, start=1)
    ]
    show_faults(simulated, market)
    output.print(f"The report is at {done[len(own) - 1]}", soft_wrap=True)


@ingest_app.command("flatfiles")
def ingest_flatfiles_command(
    first: From,
    last: To,
    root: Annotated[
        str | None, typer.Option(help="Folder or s3:// URL that holds us_stocks_sip/; default: the vendor's bucket.")
    ] = None,
    kinds: Annotated[
        str, typer.Option(help=f"Comma-separated; a simulated market also has {', '.join(OWN_KINDS)}.")
    ] = ",".join(VENDOR_KINDS),
    symbols: Symbols = None,
    dry_run: DryRun = False,
) -> None:
    """Take the vendor's flat files into raw and bronze; of the vendor's bucket only what is not here already."""
    days, names = days_from_to(first, last), names_of(symbols)
    source = vendor_files(load_settings().vendor) if root is None else Folder(root)
    lake, settings = opened()
    if dry_run:
        foretell(lake, file_forecasts(lake, source, kinds.split(","), *days))
        return
    result = timed(
        "ingest flatfiles",
        lake.spark,
        lambda: ingest_flatfiles(lake, settings, source, kinds.split(","), *days, names),
    )
    output.print_json(json.dumps(asdict(result)))


@ingest_app.command("reference")
def ingest_reference_command(
    splits: Annotated[str, typer.Option(help="JSON body or CSV with ticker, execution_date, split_from, split_to.")],
) -> None:
    """Take reference data into raw and bronze."""
    lake, settings = opened()
    rows = timed("ingest reference", lake.spark, lambda: ingest_splits(lake, settings, splits))
    output.print_json(json.dumps({"bronze.splits": rows}))


@ingest_app.command("rest")
def ingest_rest_command(
    endpoints: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(ENDPOINTS)}.")],
    first: From,
    last: To,
    symbols: Symbols = None,
    as_of: AsOf = None,
    dry_run: DryRun = False,
) -> None:
    """Take REST endpoints of the vendor and FRED into bronze; what is there already is not asked for again."""
    want = wanted(*days_from_to(first, last), names_of(symbols), as_of.date() if as_of else None)
    # What is wrong is told before Spark starts.
    named = chosen(endpoints.split(","), want)
    keys = {} if dry_run else keys_of(load_settings(), (endpoint.source for endpoint in named))
    lake, settings = opened()
    if dry_run:
        foretell(lake, rest_forecasts(lake, settings, named, want))
        return
    _carry_out(lake, rest_steps(lake, settings, keys, endpoints.split(","), want))


@ingest_app.command("windows")
def ingest_windows_command() -> None:
    """Take the trades and quotes of the manifest's download plan into bronze: `smallcaps manifest plan` tells which."""
    keys = keys_of(load_settings(), [Source.VENDOR])
    lake, settings = opened()
    with working("plan", lake.spark):
        plan = download_plan(lake, settings)
    _carry_out(lake, window_steps(lake, settings, keys[Source.VENDOR], plan))


@ingest_app.command("feed")
def ingest_feed_command(
    seconds: Annotated[float, typer.Option(help="How long to listen.")],
) -> None:
    """Take limit bands and halts of the live feed into bronze: the vendor has no history of them."""
    key, (lake, settings) = read_key(load_settings().vendor.secret), opened()
    heard = timed("ingest feed", lake.spark, lambda: ingest_feed(lake, settings, key, seconds))
    output.print_json(json.dumps(asdict(heard)))


@ingest_app.command("--all", hidden=True)
@ingest_app.command("all")
def ingest_all_command(
    first: From, last: To, symbols: Symbols = None, as_of: AsOf = None, dry_run: DryRun = False
) -> None:
    """Take everything in that is taken in day by day. What fails does not stop the rest."""
    want = wanted(*days_from_to(first, last), names_of(symbols), as_of.date() if as_of else None)
    settings = load_settings()
    sources = [source for source in Source if source is Source.VENDOR or has_key(settings, source)]
    if Source.FRED not in sources:
        messages.print("FRED_API_KEY is not set: economic figures by vintage (macro_vintages) are left out.")
    named = chosen(routine_names(sources), want)
    keys, files = {} if dry_run else keys_of(settings, sources), vendor_files(settings.vendor)
    lake, settings = opened()
    if dry_run:
        rest = rest_forecasts(lake, settings, named, want)
        foretell(lake, [*rest, *file_forecasts(lake, files, VENDOR_KINDS, want.first, want.last)])
        return
    _carry_out(lake, routine_steps(lake, settings, keys, files, want))


def _carry_out(lake: Lake, steps: Sequence[Step]) -> None:
    places = {name: f"{name} ({number} of {len(steps)})" for number, (name, _) in enumerate(steps, start=1)}
    results = carry_out(steps, lambda name, work: timed(places[name], lake.spark, work))
    output.print_json(json.dumps({name: asdict(result) for name, result in results.items()}))


@app.command("refine")
def refine_command(
    first: From,
    last: To,
    tables: Annotated[str | None, typer.Option(help="Only these, comma-separated; default: all.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All tables, as without --tables.")] = False,
) -> None:
    """Make silver of bronze."""
    if tables is not None and everything:
        raise BadInput("--all and --tables exclude each other.")
    days, chosen_tables = days_from_to(first, last), None if tables is None else tables.split(",")
    lake, settings = opened()
    written = timed("refine", lake.spark, lambda: refine(lake, settings, *days, chosen_tables))
    output.print_json(json.dumps(written))


@app.command("upgrade")
def upgrade_command() -> None:
    """Bring the tables of a lake that an earlier version made up to what is declared now."""
    lake, _ = opened()
    with working("upgrade", lake.spark):
        changed = {name: lake.upgrade(name) for name in REGISTRY if lake.exists(name)}
    table = RichTable("table", "changed")
    for name, changes in changed.items():
        if changes:
            table.add_row(name, escape(", ".join(changes)))
    if table.row_count:
        output.print(table)
    for name in changed:
        lake.refuse_drift(name)
    output.print("Every table is as declared.")


@app.command("maintain")
def maintain_command(
    tables: Annotated[str | None, typer.Option(help="Only these, comma-separated; default: all.")] = None,
) -> None:
    """Put small files together, make checkpoints of logs, delete files that no version worth asking for needs."""
    chosen = list(REGISTRY) if tables is None else [declared(name).name for name in tables.split(",")]
    lake, settings = opened()
    done = timed("maintain", lake.spark, lambda: maintain(lake, settings, chosen))
    table = RichTable("table", "small files", "became", "deleted", "kept for, days", "checkpoint")
    for kept in done:
        if kept.compacted or kept.removed or kept.checkpoint:
            counts = (str(kept.compacted or ""), str(kept.made or ""), str(kept.removed or ""))
            table.add_row(kept.table, *counts, str(kept.retention.days), "made" if kept.checkpoint else "")
    output.print(table if table.row_count else f"{len(done)} tables were looked at: there was nothing to do.")


@app.command("stale")
def stale_command(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table.")] = None,
) -> None:
    """Show what was made of rows that have changed since."""
    lake, _ = opened()
    with working("stale", lake.spark):
        found = stale(lake, None if name is None else [name])
    if not found:
        output.print("Nothing is stale.")
        return
    table = RichTable("table", "made by", "stale days", "from", "to", "changed since")
    for one in found:
        days = (str(len(one.days)), str(one.days[0]), str(one.days[-1])) if one.days else ("all", "", "")
        table.add_row(one.table, one.job, *days, ", ".join(one.changed))
    output.print(table)


@app.command("refresh")
def refresh_command() -> None:
    """Make what is stale again, exactly those days; models are trained by hand."""
    lake, settings = opened()

    def told(one: Stale) -> None:
        days = f"{len(one.days)} days" if one.days else "all"
        messages.print(f"{one.table}: {days}, since {', '.join(one.changed)} changed")

    made = timed("refresh", lake.spark, lambda: refresh(lake, settings, told))
    output.print_json(json.dumps({f"{one.table} ({one.job})": len(one.days) or "all" for one in made}))


@detect_app.command("daily")
def detect_daily_command(first: From, last: To) -> None:
    """Run the daily detectors."""
    _detect(["daily"], first, last)


@detect_app.command("intraday")
def detect_intraday_command(first: From, last: To) -> None:
    """Run the minute and trade detectors, each where silver has its rows."""
    _detect(list(INTRADAY), first, last)


def _detect(grains: Sequence[str], first: datetime, last: datetime) -> None:
    days = days_from_to(first, last)
    lake, settings = opened()
    there = [grain for grain in grains if lake.exists(INPUT_TABLE[grain])]
    if not there:
        names = " and ".join(INPUT_TABLE[grain] for grain in grains)
        raise BadInput(f"{names} not written yet. Run `smallcaps refine` first.")
    found = {
        grain: timed(f"detect {grain}", lake.spark, partial(detect, lake, settings, grain, *days)) for grain in there
    }
    output.print_json(json.dumps(found))


@manifest_app.callback(invoke_without_command=True)
def manifest_command(
    context: typer.Context,
    top: Annotated[int | None, typer.Option(help="How many events; default: the settings'.")] = None,
) -> None:
    """Choose the CORE manifest among all events."""
    if context.invoked_subcommand is not None:
        if top is not None:
            raise BadInput("--top is for making the manifest: leave it out here.")
        return
    lake, settings = opened()
    rows = timed("manifest", lake.spark, lambda: build_manifest(lake, settings, top))
    output.print_json(json.dumps({"gold.core_manifest": rows}))


@manifest_app.command("explain")
def manifest_explain_command(
    event_id: Annotated[str, typer.Argument(help="An event's id, or the beginning of it.")],
) -> None:
    """Tell why an event is in the CORE manifest, or is not: its score, what it is made of, and what left it out."""
    lake, settings = opened()
    why = explain(lake, settings, event_id)
    event = why.event
    table = RichTable(
        "measure",
        "value",
        "percentile",
        "weight",
        title=f"{event['detector']} {event['symbol']} {event['session_date']}",
    )
    for name, value, percentile, weight in why.parts:
        shown = ("", "") if value is None or percentile is None else (f"{value:,.6g}", f"{percentile:.4f}")
        table.add_row(name.replace("_", " "), *shown, f"{weight:.2f}")
    output.print(table)
    output.print(
        f"Score {event['score']:.4f}, percentiles among {event['earlier_events']:,} earlier events of the detector."
    )
    output.print(why.verdict)
    if why.is_outdated:
        messages.print(
            "gold.core_manifest says otherwise: its events or settings have changed since. Run `smallcaps manifest`."
        )


@manifest_app.command("plan")
def manifest_plan_command() -> None:
    """Tell which windows of trades and quotes around the manifest's events `ingest windows` would ask for."""
    lake, settings = opened()
    with working("plan", lake.spark):
        plan = download_plan(lake, settings)
        forecasts = window_forecasts(lake, settings, plan)
    minutes = sum(one.end_ns - one.start_ns for one in plan) / MINUTE_NS
    names = len({one.symbol for one in plan})
    days = len({(one.symbol, one.session_date) for one in plan})
    messages.print(
        f"{len(plan):,} windows of {minutes:,.0f} minutes in {days:,} days of {names:,} names, trades and quotes each."
    )
    show(forecasts)


@app.command("features")
def features_command(first: From, last: To) -> None:
    """Compute microstructure features of the intraday events."""
    days = days_from_to(first, last)
    lake, settings = opened()
    rows = timed("features", lake.spark, lambda: extract_features(lake, settings, *days))
    output.print_json(json.dumps({"gold.event_features": rows}))


@app.command("sequences")
def sequences_command(first: From, last: To) -> None:
    """Write what happened second by second around the intraday events."""
    days = days_from_to(first, last)
    lake, settings = opened()
    rows = timed("sequences", lake.spark, lambda: extract_sequences(lake, settings, *days))
    output.print_json(json.dumps({"gold.event_sequences": rows}))


@app.command("label")
def label_command(first: From, last: To) -> None:
    """Label the events with what happened after them."""
    days = days_from_to(first, last)
    lake, settings = opened()
    rows = timed("label", lake.spark, lambda: label_events(lake, settings, *days))
    output.print_json(json.dumps({"gold.event_labels": rows}))


@app.command("report")
def report_command(
    folder: Annotated[Path | None, typer.Option("--out", help="Folder; default: report/ in the lake.")] = None,
) -> None:
    """Write the report: one page and summary.json."""
    from smallcaps.serving.report import build_report

    lake, settings = opened()
    place = report_folder(lake, folder)
    page = timed("report", lake.spark, lambda: build_report(lake, settings, place))
    output.print(str(page), soft_wrap=True)


@app.command("show")
def show_command(
    symbol: Annotated[str, typer.Argument(help="Case matters.")],
    day: Annotated[datetime, typer.Argument(formats=DAY, help="YYYY-MM-DD.")],
    page: Annotated[Path | None, typer.Option(help="The page; default: show/SYMBOL-DAY.html in the lake.")] = None,
    browse: Annotated[bool, typer.Option("--browse", help="Open it in a browser.")] = False,
) -> None:
    """Draw a name's day: its bars, its events, and why they fired."""
    from smallcaps.serving.day_page import write_day_page

    lake, settings = opened()
    if page is None and "://" in lake.root:
        raise BadInput("The lake is not on this machine: name a local file with --page.")
    place = page or Path(lake.root) / "show" / f"{quote(symbol, safe='')}-{day:%Y-%m-%d}.html"
    timed("show", lake.spark, lambda: f"{write_day_page(lake, settings, symbol, day.date(), place)} events")
    output.print(str(place), soft_wrap=True)
    if browse:
        typer.launch(str(place))


@app.command("tables")
def tables_command(
    name: Annotated[str | None, typer.Argument(help="One table, view or topic, with its columns.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the data dictionary.")] = False,
    json_schema: Annotated[
        bool, typer.Option("--json-schema", help="Print a topic's messages as JSON Schema.")
    ] = False,
    glue: Annotated[
        bool, typer.Option("--glue", help="Print the tables as Glue takes them and the jobs' roles, for Terraform.")
    ] = False,
) -> None:
    """List the tables, the views and the topics of the live feed, or describe one."""
    if markdown:
        sys.stdout.write(data_dictionary())
        return
    if glue:
        sys.stdout.write(glue_definitions())
        return
    if json_schema:
        topic = declared_topic(name or "")
        opened()
        sys.stdout.write(topic.json_schema + "\n")
        return
    if name is not None:
        others = TOPICS | VIEWS
        output.print(_columns(others[name] if name in others else declared(name)))
        return
    lake, _ = opened()
    listed = RichTable("table", "version", "written by", "what it holds")
    for table in REGISTRY.values():
        version = str(lake.version(table.name)) if lake.exists(table.name) else "–"
        listed.add_row(table.name, version, table.owner, table.comment)
    output.print(listed)
    views = RichTable("view", "made of", "what it holds", title="Views")
    for view in VIEWS.values():
        views.add_row(view.name, ", ".join(view.reads), view.comment)
    output.print(views)
    topics = RichTable("topic", "version", "key", "lands in", "what it holds", title="Topics of the live feed")
    for topic in TOPICS.values():
        topics.add_row(topic.name, str(topic.version), topic.key, topic.table.name, topic.comment)
    output.print(topics)


def _columns(declaration: Table | View | Topic) -> RichTable:
    described = RichTable("column", "type", "unit", "meaning", title=f"{declaration.name}: {declaration.comment}")
    for column in declaration.all_columns if isinstance(declaration, Table) else declaration.columns:
        described.add_row(column.name, escape(column.type), column.unit, escape(column.comment))
    return described


@app.command("quality")
def quality_command(
    name: Annotated[str | None, typer.Argument(metavar="TABLE", help="One table, with its expectations.")] = None,
    docs: Annotated[Path | None, typer.Option(help="Write a page with every result into this folder, too.")] = None,
) -> None:
    """Show what the quality suites found last; exit code 3 where one stopped a job."""
    lake, _ = opened()
    with working("quality", lake.spark):
        states = latest_states(lake, name)
    if not states:
        output.print("No suite has been judged yet.")
    else:
        output.print(_quality(states) if name is None else _expectations(states[0]))
    if docs is not None:
        from smallcaps.serving.quality_page import write_quality_page

        output.print(f"The page is at {write_quality_page(states, docs)}", soft_wrap=True)
    if stopped := [f"{state.table} ({', '.join(failed)})" for state in states if (failed := state.failed("stop"))]:
        raise BadData(
            f"Rows were kept out of {'; '.join(stopped)}: mend what is wrong with them and run the job again."
        )


def _quality(states: Sequence[State]) -> RichTable:
    table = RichTable("table", "expectations", "failed: stop", "failed: warn", "rows", "judged at, UTC", "run")
    for state in states:
        table.add_row(
            state.table,
            str(len(state.results)),
            f"[red]{', '.join(state.failed('stop'))}[/red]",
            f"[yellow]{', '.join(state.failed('warn'))}[/yellow]",
            f"{state.rows:,}",
            f"{state.checked_at:%Y-%m-%d %H:%M:%S}",
            state.run_id[:8],
        )
    return table


def _expectations(state: State) -> RichTable:
    title = f"{state.table}: {state.rows:,} rows, {state.checked_at:%Y-%m-%d %H:%M:%S} UTC, run {state.run_id[:8]}"
    table = RichTable("", "expectation", "severity", "expected", "observed", "rows at fault", "what", title=title)
    for one in state.results:
        failed = "✗" if one["severity"] == "stop" else "!"
        table.add_row(
            "[green]✓[/green]" if one["success"] else f"[red]{failed}[/red]",
            *(escape(one["expectation"]), one["severity"], one["expected"], one["observed"] or "unknown"),
            f"{one['rows_failed']:,}" if one["rows_failed"] else "",
            escape(one["words"]),
        )
    return table


@app.command("trace")
def trace_command(
    identifier: Annotated[str, typer.Argument(help="An event_id or run_id, or its first digits.")],
) -> None:
    """Walk an event or a run back to the raw files and their checksums."""
    lake, _ = opened()
    with working("trace", lake.spark):
        found = trace(lake, identifier)
    output.print(_tree(found))


def _tree(found: Trace) -> Tree:
    tree = Tree("run" if found.event is None else f"event {found.event['event_id']}")
    if found.event is not None:
        event = found.event
        tree.add(
            f"{event['symbol']} {event['session_date']} {event['detector']} v{event['detector_version']} "
            f"(parameters {event['params_hash']}), strength {event['strength']:.3g}, price {event['price']}"
        )
    runs = tree.add("runs, newest first")
    for run in found.runs:
        branch = runs.add(
            f"{run['job']} {run['run_id'][:8]} {run['started_at']:%Y-%m-%d %H:%M:%S} code {run['code_version']} "
            f"settings {run['settings_hash']}"
        )
        branch.add("read " + (", ".join(f"{one['table']}@{one['version']}" for one in run["inputs"]) or "files"))
        branch.add("wrote " + ", ".join(f"{one['table']}@{one['version']} ({one['rows']:,})" for one in run["outputs"]))
    if found.source_rows:
        rows = tree.add("bronze rows (first 5)")
        for row in found.source_rows:
            rows.add(escape(", ".join(f"{key}={value}" for key, value in row.items() if key != "source_sha256")))
    if found.raw_files:
        files = tree.add("raw files")
        for file in found.raw_files:
            state = "[green]checksum holds[/green]" if file.intact else "[red]missing or changed[/red]"
            files.add(
                f"{escape(file.raw_path)}, {file.lines}\nSHA-256 {file.sha256} {state}\nfrom {escape(file.source)}"
            )
    return tree


@detectors_app.command("list")
def detectors_list_command() -> None:
    """The detectors with the parameters in force."""
    settings = load_settings()
    table = RichTable("detector", "grain", "version", "what", "parameters", "params_hash")
    for grain in GRAINS:
        for one in chosen_detectors(settings, grain):
            units = {parameter.name: parameter.unit for parameter in one.detector.parameters}
            numbers = "\n".join(f"{name} = {value:g} {units[name]}" for name, value in one.parameters.items())
            detector = one.detector
            table.add_row(detector.name, grain, str(detector.version), detector.summary, numbers, one.params_hash)
    output.print(table)


@detectors_app.command("truth")
def detectors_truth_command(
    market: Annotated[Path, typer.Option(help="Folder of the simulated market that the lake was made of.")],
    page: Annotated[Path | None, typer.Option(help="Write a page with the curves here, too.")] = None,
    file: Annotated[Path | None, typer.Option("--json", help="Write all figures here, too.")] = None,
    plants: Annotated[int, typer.Option(help="Moves planted for a detector and size.", min=1)] = 160,
) -> None:
    """Measure the detectors against planted truth: recall, false alarms, precision, delay, beside a naive rule and chance."""
    from smallcaps.cli.truth import show_truth
    from smallcaps.serving import detection_page

    lake, settings = opened()
    with working("detectors truth", lake.spark):
        truth = detection_page.collect(lake, settings, market, plants)
    show_truth(truth)
    if page is not None:
        detection_page.write_page(truth, page)
        output.print(f"The page is at {page}", soft_wrap=True)
    if file is not None:
        file.write_text(detection_page.as_json(truth), encoding="utf-8")


@detectors_app.command("sql")
def detectors_sql_command(grain: Annotated[Grain, typer.Argument()]) -> None:
    """Print the one statement into which the grain's detectors are compiled."""
    sys.stdout.write(f"{statement_of(load_settings(), grain.value)}\n")


@detectors_app.command("explain")
def detectors_explain_command(grain: Annotated[Grain, typer.Argument()]) -> None:
    """Print how far the grain's detectors look back, and Spark's physical plan of its statement."""
    lake, settings = opened()
    rows = rows_before(settings, grain.value)
    beside = ", and a seed of what came before" if GRAINS[grain.value].carries else ""
    output.print(f"Look-back: {rows} rows of the security{beside}")
    found = events(lake.read(INPUT_TABLE[grain.value]), settings, grain.value, expectations(lake))
    found.explain("formatted")


@detectors_app.command("account")
def detectors_account_command(
    first: From,
    last: To,
    page: Annotated[Path | None, typer.Option(help="Write a page with charts, too.")] = None,
) -> None:
    """Count the daily events by month and price, and say what floor and splits keep out."""
    from smallcaps.cli.account import show_account
    from smallcaps.serving.detector_account import write_account

    days = days_from_to(first, last)
    lake, settings = opened()
    with working("account", lake.spark):
        account = write_account(lake, settings, *days, page)
    show_account(account)
    if page is not None:
        output.print(f"The page is at {page}", soft_wrap=True)


@app.command("jars")
def jars_command() -> None:
    """Fetch the pinned jars, record Spark's classes so that it starts sooner, and print the jars for `spark-submit --jars`."""
    settings = load_settings()
    sys.stdout.write(",".join(map(str, session_jars(settings))) + "\n")
    if runs_here(settings):
        try:
            record_class_archive()
        except FailedDependency as error:
            messages.print(escape(str(error)))


app.command("status")(status_command)
app.command("lineage")(lineage_command)
app.command("cluster")(cluster_command)
app.command("history")(history_command)


@app.command("version")
def version_command() -> None:
    """Print the code version that runs are recorded with."""
    sys.stdout.write(code_version() + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. No error reaches the user as a stack trace."""
    # PySpark would write a failed query's Java stack to stderr as JSON.
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    try:
        try:
            app(args=arguments)
        finally:
            sys.stdout.flush()  # A result that cannot be written is a failure, not a message at exit.
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else 0
    except BrokenPipeError:
        _abandon_stdout()
        return 1  # As Typer has it where it notices first: the reader (`head`) has seen enough.
    except SmallcapsError as error:
        return _failed(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        return _failed(_missing_extra(error), FailedDependency.exit_code)
    except (ParseException, AnalysisException) as error:
        return _failed(_first_line(error), BadInput.exit_code)
    except (PySparkException, Py4JError, OSError) as error:
        if "No space left on device" in str(error) or getattr(error, "errno", None) == errno.ENOSPC:
            _abandon_stdout()
            return _failed("The disk is full. Free some space and run again.", FailedDependency.exit_code)
        if isinstance(error, Py4JNetworkError) or any(said in str(error) for said in LOST):
            return _failed(
                f"Spark lost what it runs on: memory may be short. Run again. {_kept(error)}",
                FailedDependency.exit_code,
            )
        return _bug(error)
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        return _bug(error)
    return 0


def _abandon_stdout() -> None:
    """What could not be written to stdout is not tried again at exit, which would end in Python's own words and code."""
    try:
        sys.stdout.flush()
    except OSError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _missing_extra(error: ModuleNotFoundError) -> str:
    """Which extra brings the module that is not there."""
    name = (error.name or "").split(".")[0]
    extra = next((extra for extra, modules in EXTRAS.items() if name in modules), "all")
    return f"{name} is not installed: pip install 'smallcaps[{extra}]'."


def _failed(message: str, code: int) -> int:
    messages.print(f"[red]Error:[/red] {escape(message)}", soft_wrap=True)
    return code


def _bug(error: Exception) -> int:
    return _failed(f"{_first_line(error)} This is a bug of ours. {_kept(error)}", BUG_EXIT_CODE)


def _kept(error: BaseException) -> str:
    """Where the error's stack is from now on, in a sentence."""
    log = load_settings().cache / "logs" / "error.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"The details are in {log}."


def _first_line(error: BaseException) -> str:
    """The sentence of an error, without Java's stack."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told_at = next((line for line in lines if line.startswith((": ", "["))), lines[0] if lines else "")
    return told_at.removeprefix(": ") or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
