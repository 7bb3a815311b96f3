"""`smallcaps live …`: the live tape over Kafka."""

import json
import os
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table as RichTable

from smallcaps.cli.console import messages, output
from smallcaps.config import load_settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import TOPICS
from smallcaps.lake.topics import DEAD_LETTERS
from smallcaps.log import write_log
from smallcaps.sources.polygon.credentials import read_key

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

    names = None if symbols is None else [name for name in symbols.split(",") if name]
    if names == []:
        raise BadInput("--symbols names no symbol.")
    settings = load_settings()
    key = read_key(settings.vendor.secret)
    log = write_log(settings.cache / "logs")
    messages.print(f"{settings.vendor.feed} to Kafka at {settings.kafka.servers}; counts are in {log}", soft_wrap=True)
    statistics = ingest_live(settings, key, names, seconds, news_seconds or None)
    output.print_json(json.dumps(statistics.facts()))


@live_app.command("broker")
def live_broker_command(
    folder: Annotated[Path | None, typer.Option(help="Where its log lies; default: in the cache.")] = None,
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0)] = 9092,
) -> None:
    """Run a Kafka broker on this machine until interrupted: one node, for development."""
    from smallcaps.streaming.broker import Broker

    cache = load_settings().cache
    broker = Broker(folder or cache / "broker", cache, port)
    # As after Ctrl-C: the broker is a process of its own and must not stay behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with messages.status("starting the broker"):
            broker.start()
        output.print(f"Kafka is at {broker.address}", soft_wrap=True)
        os.waitid(os.P_PID, broker.pid, os.WEXITED | os.WNOWAIT)
    finally:
        broker.stop()
    raise FailedDependency(f"The broker has ended by itself; see {broker.folder}/broker.log.")
