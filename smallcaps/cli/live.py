"""`smallcaps live …`: the live tape over Kafka."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as RichTable

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.cli.console import DAY, messages, names_of, opened, output, started, timed
from smallcaps.config import Settings, load_settings
from smallcaps.detectors.registry import INTRADAY
from smallcaps.errors import BadData, BadInput, FailedDependency
from smallcaps.lake import TOPICS, Lake, recorded_run
from smallcaps.lake.topics import DEAD_LETTERS
from smallcaps.log import tell, write_log
from smallcaps.sources.polygon.credentials import read_key

if TYPE_CHECKING:
    from smallcaps.streaming.parity import Comparison, Parity

BOTH = ",".join(INTRADAY)
Day = Annotated[datetime | None, typer.Option("--date", formats=DAY, help="Session; default: New York's today.")]
Grains = Annotated[str, typer.Option(help="Which detectors: minute, trade or both, with a comma between.")]
Seconds = Annotated[float | None, typer.Option(help="How long; default: until interrupted.")]
Trigger = Annotated[float, typer.Option(help="Seconds from the start of a micro-batch to the next at least.", min=0)]
Whole = Annotated[
    bool, typer.Option("--from-earliest", help="Read topics from their beginning, not from the session's midnight on.")
]

live_app = typer.Typer(help="The live tape, over Kafka.", no_args_is_help=True)


@live_app.command("topics")
def live_topics_command() -> None:
    """Make the topics that are not there on the settings' broker, and list them all."""
    from smallcaps.streaming.kafka import make_topics

    kafka = load_settings().kafka
    topics = [(topic.name, topic.partitions, topic.retention_hours) for topic in TOPICS.values()]
    made = make_topics(kafka, [*topics, DEAD_LETTERS])
    table = RichTable("topic", "", "partitions", "kept", title=f"Kafka at {escape(kafka.servers)}")
    for name, partitions, hours in [*topics, DEAD_LETTERS]:
        state = "made" if f"{kafka.prefix}{name}" in made else "was there"
        table.add_row(
            f"{kafka.prefix}{name}", state, *((str(partitions), f"{hours} h") if state == "made" else ("", ""))
        )
    output.print(table)


@live_app.command("ingest")
def live_ingest_command(
    symbols: Annotated[str | None, typer.Option(help="Only these, comma-separated; case matters.")] = None,
    seconds: Annotated[float | None, typer.Option(help="How long to listen; default: until interrupted.")] = None,
    news_seconds: Annotated[float, typer.Option(help="Between requests for news; 0: no news.", min=0)] = 30.0,
) -> None:
    """Take the vendor's live feed and its news to Kafka, until interrupted (Ctrl-C, SIGTERM); then all has arrived."""
    from smallcaps.streaming.feed import ingest_live
    from smallcaps.streaming.process import running_as

    names = names_of(symbols)
    settings = load_settings()
    key = read_key(settings.vendor.secret)
    log = write_log(settings.cache / "logs")
    messages.print(f"{settings.vendor.feed} to Kafka at {settings.kafka.servers}; counts are in {log}", soft_wrap=True)
    with running_as(parts_folder(settings), "ingest") as part:
        statistics = ingest_live(
            settings,
            key,
            names,
            seconds,
            news_seconds or None,
            stop=part.stopping,
            told=lambda facts: part.say(**facts),
        )
    output.print_json(json.dumps(statistics.facts()))


@live_app.command("broker")
def live_broker_command(
    folder: Annotated[Path | None, typer.Option(help="Where its log lies; default: in the cache.")] = None,
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0)] = 9092,
) -> None:
    """Run a Kafka broker on this machine until interrupted: one node, for development."""
    from smallcaps.streaming.broker import Broker
    from smallcaps.streaming.process import running_as

    settings = load_settings()
    write_log(settings.cache / "logs")
    with running_as(parts_folder(settings), "broker") as part:
        with messages.status("starting the broker"):
            broker = Broker(folder or settings.cache / "broker", settings.cache, port).start()
        try:
            tell(f"Kafka is at {broker.address}", folder=str(broker.folder))
            output.print(f"Kafka is at {broker.address}", soft_wrap=True)
            while not part.stopping.wait(1):
                if not broker.is_running:
                    raise FailedDependency(f"The broker has ended by itself; see {broker.folder}/broker.log.")
                part.say(address=broker.address)
        finally:
            broker.stop()


@live_app.command("detect")
def live_detect_command(
    day: Day = None,
    grains: Grains = BOTH,
    trigger: Trigger = 0.0,
    seconds: Seconds = None,
    whole: Whole = False,
) -> None:
    """Run the detectors over bars and trades as they come and send alerts, until interrupted."""
    from smallcaps.streaming.detection import Detection, day_began, detecting
    from smallcaps.streaming.kafka import Outlet
    from smallcaps.streaming.process import attend, running_as

    lake, settings = _streaming()
    session, chosen = _session(day), _grains(grains)
    with (
        running_as(parts_folder(settings), "detect") as part,
        recorded_run(lake, "live detect", {"date": session, "grains": grains}, settings.digest()) as run,
        Outlet(settings.kafka) as outlet,
    ):
        detection = Detection(lake, settings, session, chosen, outlet)
        with detecting(detection, f"{trigger:g} seconds", day_began(None if whole else _today())) as query:
            attend(part, run, [query], seconds, detection.facts)
        run.note = json.dumps(detection.facts())
    output.print_json(json.dumps(detection.facts()))


@live_app.command("score")
def live_score_command(
    day: Day = None,
    of: Annotated[str, typer.Option(help="Dataset definition whose model it is.")] = "intraday",
    alias: Annotated[str, typer.Option(help="The registered model that has it.")] = "champion",
    trigger: Trigger = 0.0,
    seconds: Seconds = None,
    whole: Whole = False,
) -> None:
    """Score alerts as they come with the registered model and send signals, until interrupted."""
    from smallcaps.models.champion import Champion
    from smallcaps.streaming.detection import day_began
    from smallcaps.streaming.kafka import Outlet
    from smallcaps.streaming.process import attend, running_as
    from smallcaps.streaming.scoring import Scoring, scoring

    lake, settings = _streaming()
    session = _session(day)
    champion = Champion(lake, settings, of, alias)
    arguments = {"date": session, "of": of, "alias": alias, "model": champion.model.name}
    with (
        running_as(parts_folder(settings), "score") as part,
        recorded_run(lake, "live score", arguments, settings.digest()) as run,
        Outlet(settings.kafka) as outlet,
    ):
        work = Scoring(lake, settings, session, champion, outlet)
        with scoring(work, f"{trigger:g} seconds", day_began(None if whole else _today())) as query:
            attend(part, run, [query], seconds, work.facts)
        run.note = json.dumps(work.facts())
    output.print_json(json.dumps(work.facts()))


@live_app.command("land")
def live_land_command(trigger: Trigger = 10.0, seconds: Seconds = None) -> None:
    """Write every message into bronze and every alert into gold, each once, until interrupted."""
    from smallcaps.streaming.kafka import Outlet
    from smallcaps.streaming.landing import Landing, landing
    from smallcaps.streaming.live_events import LiveEvents, keeping
    from smallcaps.streaming.process import attend, running_as

    lake, settings = _streaming()
    with (
        running_as(parts_folder(settings), "land") as part,
        recorded_run(lake, "live land", {}, settings.digest()) as run,
        Outlet(settings.kafka) as outlet,
    ):
        work, pace = Landing(run, settings, outlet), f"{trigger:g} seconds"
        # A lake of its own: each query sees tables through the session that Spark gives it.
        other = Lake(settings.lake, lake.spark)
        with (
            landing(work, pace) as messages_query,
            recorded_run(other, "live alerts", {}, settings.digest()) as run_of_alerts,
        ):
            kept = LiveEvents(run_of_alerts, settings)
            with keeping(kept, pace) as alerts_query:
                attend(part, run, [messages_query, alerts_query], seconds, lambda: work.facts() | kept.facts())
    output.print_json(json.dumps(work.facts()))


@live_app.command("notify")
def live_notify_command() -> None:
    """Tell people of alerts by webhook (ALERT_WEBHOOK_URL) and mail (section notify of the settings), until interrupted."""
    from smallcaps.streaming.notify import notify_people
    from smallcaps.streaming.process import running_as

    settings = load_settings()
    write_log(settings.cache / "logs")
    with running_as(parts_folder(settings), "notify") as part:
        statistics = notify_people(settings, part.stopping, lambda facts: part.say(**facts))
    output.print_json(json.dumps(vars(statistics)))


@live_app.command("metrics")
def live_metrics_command(
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0)] = 9108,
) -> None:
    """Serve how the parts are to Prometheus on this machine, and log alarms, until interrupted."""
    from smallcaps.streaming.metrics import measured, token_file, watch
    from smallcaps.streaming.process import running_as

    settings = load_settings()
    write_log(settings.cache / "logs")
    folder = parts_folder(settings)
    with running_as(folder, "metrics") as part, measured(folder, settings.live, port) as address:
        tell(f"metrics are at {address}")
        output.print(address, soft_wrap=True)
        messages.print(f"The token is that of METRICS_TOKEN, else in {token_file(folder)}", soft_wrap=True)
        watch(folder, settings.live, part, address=address)


@live_app.command("up")
def live_up_command(
    replayed: Annotated[
        datetime | None,
        typer.Option("--replay", formats=DAY, help="Play this day of the lake instead of the vendor's feed."),
    ] = None,
    speed: Annotated[float, typer.Option(help="How many times as fast as it was.", min=0)] = 1.0,
    grains: Grains = BOTH,
    model: Annotated[
        str | None, typer.Option(help="Score alerts with the registered model of this alias: champion, say.")
    ] = None,
    metrics_port: Annotated[int, typer.Option(help="Of the metrics; 0: any that is free.", min=0)] = 9108,
) -> None:
    """Start all parts on this machine: a broker where the settings' is this machine's, landing, detection, metrics, the feed;
    scoring where a model is named, telling people where it is set how.
    """
    from smallcaps.streaming.kafka import answers
    from smallcaps.streaming.notify import is_wanted

    settings = load_settings()
    folder = parts_folder(settings)
    host, _, port = settings.kafka.servers.partition(":")
    if not answers(settings.kafka, 2):
        if host != "127.0.0.1" or settings.kafka.protocol != "PLAINTEXT":
            raise FailedDependency(f"Kafka at {settings.kafka.servers} does not answer.")
        _start(folder, "broker", ["live", "broker", "--port", port])
        _wait(lambda: answers(settings.kafka, 1), "broker", folder)
    live_topics_command()
    _start(folder, "metrics", ["live", "metrics", "--port", str(metrics_port)])
    day = [] if replayed is None else ["--date", f"{replayed:%Y-%m-%d}"]
    _start(folder, "land", ["live", "land"])
    _start(folder, "detect", ["live", "detect", "--grains", grains, *day])
    if model is not None:
        _start(folder, "score", ["live", "score", "--alias", model, *day])
    if is_wanted(settings.notify):
        _start(folder, "notify", ["live", "notify"])
    for name in ("metrics", "land", "detect", *([] if model is None else ["score"])):
        _wait(lambda name=name: _has_said(folder, name), name, folder)  # type: ignore[misc]
    if replayed is None:
        _start(folder, "ingest", ["live", "ingest"])
    else:
        _start(folder, "replay", ["replay", f"{replayed:%Y-%m-%d}", "--speed", f"{speed:g}"])
    live_status_command()


@live_app.command("status")
def live_status_command() -> None:
    """How the parts are. Exit code 4 where one is not well."""
    from smallcaps.streaming.health import alarms, read_compared
    from smallcaps.streaming.process import states

    settings = load_settings()
    folder, now = parts_folder(settings), datetime.now(UTC)
    found = states(folder)
    alarmed = alarms(found, read_compared(folder), now, settings.live)
    table = RichTable("part", "process", "since", "said", "how it is", "alarms", title="The live tape")
    for state in found:
        wrong = [alarm.words for alarm in alarmed if alarm.part == state.part]
        facts = ", ".join(
            f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in state.facts.items()
        )
        ago = f"{(now - state.said_at).total_seconds():.0f} s ago"
        table.add_row(
            state.part, str(state.pid), f"{state.began_at:%H:%M:%S}", ago, facts, escape("; ".join(wrong)) or "well"
        )
    output.print(table if found else "Nothing is up. `smallcaps live up` starts it.")
    if alarmed:
        raise FailedDependency("; ".join(alarm.words for alarm in alarmed))


@live_app.command("down")
def live_down_command() -> None:
    """Stop all parts in order, the feed first and the broker last."""
    from smallcaps.streaming.process import states, stop

    folder = parts_folder(load_settings())
    found = sorted(states(folder), key=lambda state: _ORDER.index(state.part))
    for state in found:
        with messages.status(f"stopping {state.part}"):
            in_order = stop(state, folder)
        output.print(f"{state.part}: {'stopped' if in_order else 'killed, since it did not stop'}")
    if not found:
        output.print("Nothing is up.")


@live_app.command("demo")
def live_demo_command(
    root: Annotated[Path, typer.Option(help="Where its market and lake lie.")] = Path("lake/live"),
    speed: Annotated[float, typer.Option(help="How many times as fast as it was.", min=1)] = 250.0,
) -> None:
    """Replay a simulated session through broker, landing, detection and scoring; alerts as they come, and then the report."""
    from rich.live import Live

    from smallcaps import live_demo
    from smallcaps.sources.simulator.layout import tape_days
    from smallcaps.streaming.broker import Broker
    from smallcaps.streaming.kafka import make_topics
    from smallcaps.streaming.process import states, stop

    # Ended by a signal, it ends its broker and parts.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(1))
    market = root / "market"
    settings = load_settings(lake=str(root / "session"))
    # What was told of a session that was played there before would be taken up.
    shutil.rmtree(settings.lake, ignore_errors=True)
    lake = Lake(settings.lake, started(settings))
    for title, work in live_demo.steps(lake, settings, market):
        timed(title, lake.spark, work)
    day = tape_days(market, "day")[-1]
    with tempfile.TemporaryDirectory(prefix="broker-") as scratch, Broker(Path(scratch), settings.cache) as broker:
        settings = settings.model_copy(update={"kafka": broker.kafka})
        make_topics(
            broker.kafka, [*((topic.name, 4, topic.retention_hours) for topic in TOPICS.values()), DEAD_LETTERS]
        )
        folder = parts_folder(settings)
        own = {
            "SMALLCAPS_LAKE": settings.lake,
            "SMALLCAPS_KAFKA__SERVERS": broker.address,
            "SMALLCAPS_SPARK__DRIVER_MEMORY": "2g",
        }
        try:
            _start(folder, "land", ["live", "land", "--trigger", "5"], own)
            _start(folder, "detect", ["live", "detect", "--date", f"{day}", "--from-earliest"], own)
            scored_by = ["--of", live_demo.MODEL_OF, "--alias", "challenger"]
            _start(folder, "score", ["live", "score", "--date", f"{day}", "--from-earliest", *scored_by], own)
            for name in ("land", "detect", "score"):
                _wait(lambda name=name: _has_said(folder, name), name, folder)  # type: ignore[misc]
            alerts: list[dict[str, Any]] = []
            with (
                live_demo.replaying(lake, settings, day, speed) as sent,
                Live(console=output, refresh_per_second=2) as view,
            ):
                told_at = time.monotonic()
                for came in live_demo.told_alerts(settings.kafka):
                    told_at = time.monotonic() if came else told_at
                    alerts += came
                    view.update(_told(alerts, day, sent(), live_demo.part(folder, "detect").facts))
                    if live_demo.is_done(folder, sent(), told_at):
                        break
        finally:
            for state in states(folder):
                stop(state, folder)
    recalled = RichTable("planted", "episodes", "told", "median seconds from the onset", title=f"Episodes of {day}")
    for one in live_demo.recall(lake, market, day):
        seconds = "–" if one.median_seconds is None else f"{one.median_seconds:.0f}"
        recalled.add_row(one.kind, str(one.planted), str(one.told), seconds)
    output.print(recalled)
    if (found := live_demo.signals(lake, day)) is not None:
        title = (
            f"{found.signals} of {found.scored} alerts are signals (continuation from {found.threshold:.2f} on), "
            f"{found.median_seconds:.1f} s after the alert in the median"
        )
        likely = RichTable("most likely", "detector", "continuation", "why: what moved the log odds most", title=title)
        for symbol, detector, probability, why in found.best:
            likely.add_row(escape(symbol), detector, f"{probability:.2f}", why)
        output.print(likely)
    _report(lake, settings, day, list(INTRADAY))


def _told(alerts: Sequence[dict[str, Any]], day: date, sent: tuple[int, int], facts: Mapping[str, Any]) -> RichTable:
    """The last alerts, and how far the session is."""
    from smallcaps.live_demo import latency

    behind = f"{facts.get('behind', 0):,} behind"
    title = f"{day}: {sent[0]:,} of {sent[1]:,} messages, {len(alerts):,} alerts, detection {behind}"
    table = RichTable("known at (UTC)", "symbol", "detector", "", "strength", "price", "", "after", title=title)
    for alert in alerts[-15:]:
        arrow = {1: "[green]▲[/green]", -1: "[red]▼[/red]"}.get(alert["direction"], "")
        table.add_row(
            alert["known_at"][11:19],
            escape(alert["symbol"]),
            alert["detector"],
            arrow,
            f"{alert['strength']:.2f}",
            f"{alert['price']:.2f}",
            "" if alert["kind"] == "new" else alert["kind"],
            f"{latency(alert):.1f} s",
        )
    return table


def replay_command(
    day: Annotated[datetime, typer.Argument(formats=DAY, help="Session, YYYY-MM-DD.")],
    speed: Annotated[float, typer.Option(help="How many times as fast as it was, 0: as fast as it goes.", min=0)] = 1.0,
    symbols: Annotated[str | None, typer.Option(help="Only these, comma-separated; case matters.")] = None,
    late: Annotated[float, typer.Option(help="Share of messages that come late.")] = 0.0,
    doubled: Annotated[float, typer.Option(help="Share that comes twice.")] = 0.0,
    dropped: Annotated[float, typer.Option(help="Share that never comes.")] = 0.0,
    revised: Annotated[float, typer.Option(help="Share of bars that come wrong first.")] = 0.0,
    lateness: Annotated[float, typer.Option(help="Seconds of the day by which late ones are late at most.")] = 30.0,
    seed: Annotated[int, typer.Option(help="Of what goes wrong.")] = 1,
) -> None:
    """Play a day of the lake into the topics, in the order in which it was published."""
    from smallcaps.streaming.kafka import Outlet
    from smallcaps.streaming.process import running_as
    from smallcaps.streaming.replay import Disorder, replay

    disorder = Disorder(late, doubled, dropped, revised, lateness, seed)
    names = names_of(symbols)
    lake, settings = opened()
    with running_as(parts_folder(settings), "replay") as part, Outlet(settings.kafka) as outlet:

        def play() -> dict[str, int]:
            return replay(
                lake,
                settings,
                outlet,
                day.date(),
                speed or None,
                disorder=disorder,
                symbols=names,
                told=lambda sent, of: part.say(sent=sent, of=of),
                stopping=part.stopping,
            )

        timed(f"replay {day:%Y-%m-%d}", lake.spark, play)


def parity_command(
    day: Annotated[datetime, typer.Argument(formats=DAY, help="Session, YYYY-MM-DD.")],
    grains: Grains = BOTH,
) -> None:
    """Compare what the live tape told of a day with the batch job over the same messages (any difference: exit code 3), and with
    history.
    """
    lake, settings = opened()
    chosen = _grains(grains)
    with recorded_run(lake, "parity", {"date": day.date(), "grains": grains}, settings.digest()):
        _report(lake, settings, day.date(), chosen)


def _report(lake: Lake, settings: Settings, day: date, grains: list[str]) -> None:
    """Print a day's parity. Raises BadData where the implementation differs."""
    from smallcaps.streaming.parity import parity

    show_parity(parity(lake, settings, day, grains), grains, settings)


def show_parity(found: "Parity", grains: Sequence[str], settings: Settings) -> None:
    """Print what was found and keep it for alarms and metrics. Raises BadData where the implementation differs."""
    from smallcaps.streaming.health import REPLAYED_SECONDS, Compared, write_compared

    # Of a replay the stamps are of long ago.
    from_exchange, from_kafka = (
        None if seconds is None or seconds[0] >= REPLAYED_SECONDS else seconds
        for seconds in (found.from_exchange, found.from_kafka)
    )
    day = found.day.isoformat()
    write_compared(parts_folder(settings), Compared(day, grains, found.differences, from_exchange, from_kafka))

    def show(title: str, rows: Sequence["Comparison"]) -> None:
        table = RichTable("detector", "same", "missing live", "only live", "different", title=title)
        for row in rows:
            table.add_row(row.detector, *(f"{count:,}" for count in (row.both, row.missing, row.extra, row.different)))
        output.print(table)

    show(f"Implementation, {found.day}: the batch job over what landed against what was told", found.implementation)
    if found.arrival is not None:
        show("Arrival: history against what was told", found.arrival)
    for words, seconds in (("the exchange's stamp", from_exchange), ("its way into Kafka", from_kafka)):
        if seconds is not None:
            p50, p95, p99, most = seconds
            output.print(
                f"Alerts after {words}: p50 {p50:.2f} s, p95 {p95:.2f} s, p99 {p99:.2f} s, at most {most:.2f} s"
            )
    if found.differences:
        raise BadData(f"{found.differences} events of {day} were told otherwise than the batch job has them.")


_ORDER = ("replay", "ingest", "detect", "score", "notify", "land", "metrics", "broker")
"""In which parts are stopped."""
_START_SECONDS = 120.0


def _streaming() -> tuple[Lake, Settings]:
    """The lake of the settings without suites, which take longer than a micro-batch may."""
    settings = load_settings()
    return Lake(settings.lake, started(settings)), settings


def parts_folder(settings: Settings) -> Path:
    """Where the parts on this machine say how they are: those of one lake and one broker together."""
    of = "|".join((settings.lake, settings.kafka.servers, settings.kafka.prefix))
    return settings.cache / "live" / hashlib.sha256(of.encode()).hexdigest()[:12]


def _today() -> date:
    return datetime.now(NEW_YORK).date()


def _session(day: datetime | None) -> date:
    return _today() if day is None else day.date()


def _grains(names: str) -> list[str]:
    chosen = [name for name in names.split(",") if name]
    if not chosen or set(chosen) - {*INTRADAY}:
        raise BadInput(f"--grains {names} are not among {', '.join(INTRADAY)}.")
    return chosen


def _start(folder: Path, name: str, arguments: Sequence[str], own: Mapping[str, str] | None = None) -> None:
    """A part as a process of its own, whose words go to a file; `own` are variables of its environment."""
    from smallcaps.streaming.process import states, write_state

    folder.mkdir(parents=True, exist_ok=True)
    if any(state.part == name and state.is_running for state in states(folder)):
        raise BadInput(f"{name} is running already. `smallcaps live down` stops it.")
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "smallcaps.cli.app", *arguments],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **(own or {})},
        )
    # So that it can be stopped before it says anything itself.
    write_state(folder / f"{name}.json", process.pid, datetime.now(UTC), {})


def _wait(is_up: Callable[[], bool], name: str, folder: Path) -> None:
    from smallcaps.streaming.process import states

    deadline = time.monotonic() + _START_SECONDS
    with messages.status(f"starting {name}"):
        while not is_up():
            if all(state.part != name or not state.is_running for state in states(folder)):
                raise FailedDependency(f"{name} has ended; see {folder}/{name}.log.")
            if time.monotonic() > deadline:
                raise FailedDependency(f"{name} did not start within {_START_SECONDS:.0f} s; see {folder}/{name}.log.")
            time.sleep(0.2)


def _has_said(folder: Path, name: str) -> bool:
    from smallcaps.streaming.process import states

    return any(state.part == name and state.facts for state in states(folder))
