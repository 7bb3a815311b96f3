"""The live feed's limit bands in bronze: against a scripted socket, and against the simulated vendor playing a day."""

import asyncio
import gzip
import json
from collections.abc import Awaitable, Callable
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput, FailedDependency, SmallcapsError
from smallcaps.ingest.feed import Heard, ingest_feed
from smallcaps.lake import Lake, last_runs
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.websocket import Patience
from smallcaps.sources.simulator.layout import read_tape, tape_days
from smallcaps.sources.simulator.server import running
from tests.sources.socket_server import Line, run, socket_server

pytestmark = pytest.mark.slow

KEY = "key-that-nobody-may-see-55a0"
QUICK = Patience(acknowledge_seconds=0.5, backoff_seconds=0.01, failures=2)
HALT_NS = 1781012400_000_000_123  # 2026-06-09 09:40 New York
NEXT_DAY_NS = HALT_NS + 86_400 * 10**9


def band(number: int, at: int, *indicators: int, **changes: Any) -> dict[str, Any]:
    return {
        **{"ev": "LULD", "T": "ATHR", "h": 3.63, "l": 2.97, "i": list(indicators), "z": 3, "t": at, "q": number},
        **changes,
    }


def listen(
    lake: Lake, settings: Settings, script: Callable[[Line], Awaitable[None]], seconds: float = 3
) -> Heard | SmallcapsError:
    """Listen to a socket that behaves as scripted."""
    found: list[Heard | SmallcapsError] = []

    async def play() -> None:
        async with socket_server(script) as server:
            own = settings.model_copy(update={"vendor": settings.vendor.model_copy(update={"feed": server.url})})
            try:
                found.append(await asyncio.to_thread(ingest_feed, lake, own, Key(KEY), seconds, QUICK))
            except SmallcapsError as error:
                found.append(error)

    run(play(), 300)
    return found[0]


def rows(lake: Lake) -> list[tuple[Any, ...]]:
    kept = lake.read("bronze.luld").orderBy("sip_ns", "sequence_number", "source_line")
    return [
        tuple(row) for row in kept.select("session_date", "symbol", "sip_ns", "sequence_number", "indicators").collect()
    ]


def test_events_become_rows_of_their_day_and_what_is_no_event_is_kept_apart(lake: Lake, settings: Settings) -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(band(1, HALT_NS, 17), band(2, (HALT_NS + 10**9) // 10**6, 18), band(3, NEXT_DAY_NS))
        await line.send(band(4, HALT_NS, T=None))
        await line.socket.send("{ no JSON")
        await line.hold()

    heard = listen(lake, settings, script)
    assert heard == Heard(events=5, gaps=0, rows=3, rows_refused=2)
    assert rows(lake) == [
        (date(2026, 6, 9), "ATHR", HALT_NS, 1, [17]),
        (date(2026, 6, 9), "ATHR", (HALT_NS + 10**9) // 10**6 * 10**6, 2, [18]),
        (date(2026, 6, 10), "ATHR", NEXT_DAY_NS, 3, []),
    ]
    kept = lake.read("ops.quarantine").select("table_name", "rule").collect()
    assert [tuple(row) for row in kept] == [("bronze.luld", "missing_value")] * 2
    bodies = [json.loads(gzip.decompress(row.content)) for row in lake.read("bronze.bodies").collect()]
    records = [record for body in bodies for record in body]
    assert len(records) == 5
    run = last_runs(lake, ["ingest feed"])[0]
    # Two days, and the day on which what names none was heard.
    assert (run["files_in"], run["bytes_in"]) == (
        3,
        sum(len(json.dumps(body, separators=(",", ":"))) for body in bodies),
    )
    assert [record["received"] for record in records if "received" in record] == ["{ no JSON"]
    for path in Path(lake.root).rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()


def test_what_was_missed_leaves_a_row_that_says_so(lake: Lake, settings: Settings) -> None:
    async def script(line: Line) -> None:
        await line.open()
        await line.send(band(1 + line.number, HALT_NS + line.number))
        if line.number == 0:
            line.abort()
        await line.hold()

    heard = listen(lake, settings, script)
    assert heard == Heard(events=2, gaps=1, rows=2, rows_refused=0)
    (lost,) = lake.read("bronze.bodies").where("fault IS NOT NULL").collect()
    assert lost.fault.startswith("What LULD.* said from 2026-06-09T13:40:00.000+00:00 to ")
    assert (lost.fault_kind, lost.content, lost.endpoint) == ("FailedDependency", None, "luld")


def test_bodies_of_a_run_that_was_killed_are_typed_by_the_next_and_none_twice(
    lake: Lake, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first(line: Line) -> None:
        await line.open()
        await line.send(band(1, HALT_NS))
        await line.hold()

    async def second(line: Line) -> None:
        await line.open()
        await line.send(band(2, HALT_NS + 1))
        await line.hold()

    with monkeypatch.context() as patched:
        patched.setattr("smallcaps.ingest.feed._write_bronze", lambda run: (_ for _ in ()).throw(BadInput("killed")))
        assert str(listen(lake, settings, first, 2)) == "killed"
    assert not lake.exists("bronze.luld")
    for _ in range(2):
        listen(lake, settings, second, 2)
        # The second time the same body came: a listener more, not an event more.
        assert [row[3] for row in rows(lake)] == [1, 2]


def test_a_feed_that_ends_for_good_is_an_error_after_what_was_heard_is_written(lake: Lake, settings: Settings) -> None:
    async def script(line: Line) -> None:
        if line.number == 0:
            await line.open()
            await line.send(band(1, HALT_NS))
        line.abort()

    error = listen(lake, settings, script, 30)
    assert isinstance(error, FailedDependency)
    assert [row[3] for row in rows(lake)] == [1]
    (ran,) = last_runs(lake)
    assert (ran["job"], ran["outcome"]) == ("ingest feed", "failed")


def test_no_time_to_listen_is_bad_input(lake: Lake, settings: Settings) -> None:
    with pytest.raises(BadInput, match="0 seconds are no time"):
        ingest_feed(lake, settings, Key(KEY), 0)


def test_a_day_that_the_simulated_vendor_plays_is_in_bronze_row_by_row(
    lake: Lake, settings: Settings, simulated_market: Path
) -> None:
    day = max(tape_days(simulated_market, "luld"))
    tape = read_tape(simulated_market, "luld", day)
    with running(simulated_market, KEY, day=day, speed=3_000.0, start=time(9, 30)) as place:
        own = settings.model_copy(update={"vendor": settings.vendor.model_copy(update={"feed": place.socket})})
        heard = ingest_feed(lake, own, Key(KEY), 12)
    assert (heard.rows, heard.gaps) == (tape.num_rows, 0)
    written = lake.read("bronze.luld").where(F.col("session_date") == day)
    found = written.select("symbol", "sip_ns", "sequence_number", F.round(F.col("high") * 10_000)).collect()
    expected = zip(*(tape[name].to_pylist() for name in ("symbol", "sip_ns", "sequence_number", "high")), strict=True)
    assert {tuple(row) for row in found} == set(expected)
