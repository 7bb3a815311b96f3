"""`smallcaps simulate …`: make a market, look at it, serve it as the vendor would."""

import json
import os
import secrets
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table as RichTable

from smallcaps.cli.console import DAY, output, started, timed, working
from smallcaps.config import load_settings
from smallcaps.errors import BadData
from smallcaps.lake import Lake
from smallcaps.sources.polygon.credentials import key_in_environment
from smallcaps.sources.simulator.settings import MarketSettings

simulate_app = typer.Typer(help="A market of our own, over the vendor's wire.", no_args_is_help=True)

_FOUR = datetime(1900, 1, 1, 4)
_USUAL = MarketSettings()
Market = Annotated[Path, typer.Option(help="Folder of the market.")]


@simulate_app.command("build")
def simulate_build_command(
    market: Market,
    symbols: Annotated[int, typer.Option(help="Common stocks; funds and a few others come on top.")] = _USUAL.symbols,
    days: Annotated[int, typer.Option(help="Sessions.")] = _USUAL.days,
    last_day: Annotated[datetime, typer.Option("--to", formats=DAY, help="Last day, YYYY-MM-DD.")] = datetime(
        _USUAL.last_day.year, _USUAL.last_day.month, _USUAL.last_day.day
    ),
    seed: Annotated[int, typer.Option(help="The same seed and options give the same bytes.")] = _USUAL.seed,
    tick_days: Annotated[int, typer.Option(help="Last sessions with trades and quotes.")] = _USUAL.tick_days,
    tick_symbols: Annotated[
        int, typer.Option(help="Symbols with ticks on those, besides those with an episode or a fault.")
    ] = _USUAL.tick_symbols,
    episodes: Annotated[float, typer.Option(help="Planted, a thousand symbol-days.")] = _USUAL.episodes,
    hidden_share: Annotated[float, typer.Option(help="Of what decides an outcome, what nobody can see.")] = (
        _USUAL.hidden_share
    ),
    faults: Annotated[bool, typer.Option(help="Put in the vendor's known faults.")] = _USUAL.faults,
) -> None:
    """Make a market in a new folder: tape, flat files, reference records, and the truth about what was planted."""
    from smallcaps.sources.simulator.build import build_market

    wanted = MarketSettings(
        symbols, days, last_day.date(), seed, tick_days, tick_symbols, episodes, hidden_share, faults
    )
    spark = started(load_settings())
    built = timed("simulate build", spark, lambda: build_market(spark, wanted, market))
    output.print_json(json.dumps(asdict(built)))


@simulate_app.command("facts")
def simulate_facts_command(
    market: Market,
    page: Annotated[Path | None, typer.Option(help="Write a page with charts here, too.")] = None,
) -> None:
    """Measure the market's stylised facts beside the ranges of real ones."""
    from smallcaps.sources.simulator.facts import measure

    facts = measure(market)
    table = RichTable("", "fact", "names", "measured", "real markets", "basis", box=None)
    for fact in facts:
        mark = "[green]✓[/green]" if fact.holds else "[yellow]·[/yellow]"
        table.add_row(mark, fact.name, fact.group, f"{fact.value:.3f}", f"{fact.low:g} – {fact.high:g}", fact.basis)
    output.print(table)
    if page is not None:
        from smallcaps.serving.market_page import write_market_page

        write_market_page(market, facts, page)
        output.print(f"The page is at {page}", soft_wrap=True)


@simulate_app.command("faults")
def simulate_faults_command(market: Market) -> None:
    """Show what became of every planted fault in a lake that was refined from this market; exit code 3 where one is missed."""
    settings = load_settings()
    show_faults(Lake(settings.lake, started(settings)), market)


def show_faults(lake: Lake, market: Path) -> None:
    """Print what became of a market's faults. Raises BadData where one is missed."""
    from smallcaps.serving.fault_account import account, unaccounted

    with working("simulate faults", lake.spark):
        accounts, alarms = account(lake, market)
    planted = RichTable("fault", "planted", "accounted for as", "missed", title="Planted faults")
    for one in accounts:
        words = ", ".join(f"{word} {count}" for word, count in one.words.items())
        planted.add_row(one.kind, str(one.planted), words, "\n".join(one.missed))
    sound = RichTable("table", "said", "rows", "share of its rows", title="Said of rows without a fault")
    for alarm in alarms:
        sound.add_row(alarm.table, alarm.word, f"{alarm.rows:,}", f"{alarm.share:.4%}")
    output.print(planted, sound)
    if missed := unaccounted(accounts):
        raise BadData(f"{len(missed)} planted faults are not accounted for: {', '.join(missed)}.")


@simulate_app.command("serve")
def simulate_serve_command(
    market: Market,
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 0,
    faults: Annotated[str | None, typer.Option(help="YAML file, or name=value,…")] = None,
    day: Annotated[datetime | None, typer.Option("--date", formats=DAY, help="Play this day live.")] = None,
    speed: Annotated[float, typer.Option(help="Seconds of the market in one of ours.", min=0.01, max=1_000)] = 1.0,
    start: Annotated[
        datetime, typer.Option(formats=["%H:%M"], help="When playing begins, New York.", show_default="04:00")
    ] = _FOUR,
    at_once: Annotated[bool, typer.Option("--at-once", help="Do not wait for a client that subscribes.")] = False,
) -> None:
    """Serve a simulated market as the vendor would, until interrupted: REST, WebSocket and flat files.

    The key is POLYGON_API_KEY or MASSIVE_API_KEY; a random one is made where neither is set, and printed as a line to
    `export`. It is the simulator's own, no vendor's. The flat files' access key id is AWS_ACCESS_KEY_ID, else `simulator`;
    signatures are not verified.
    """
    from smallcaps.sources.simulator.server import ACCESS_KEY, Faults, serve

    if not (key := key_in_environment()):
        key = secrets.token_urlsafe(24)
        sys.stdout.write(f"export POLYGON_API_KEY={key}\n")
    serve(
        market,
        key,
        port,
        faults=Faults.read(faults) if faults else Faults(),
        speed=speed,
        day=day.date() if day else None,
        start=start.time(),
        start_at_once=at_once,
        access_key=os.environ.get("AWS_ACCESS_KEY_ID") or ACCESS_KEY,
    )
