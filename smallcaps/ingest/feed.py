"""The live feed's limit bands and halts → bronze.bodies → bronze.luld: what no request brings later.

1. Listen. What came in the last few seconds becomes bodies, one a day that it is about, in one commit: the most that a kill
can lose. What was missed leaves a row that says so, since the vendor cannot be asked for it. 2. When listening ends, type the
bodies that are not typed yet, also those of a run that was killed, by the means of the REST bodies.

Trades, quotes and bars are not heard here: files and REST bring them whole.
"""

import asyncio
import gzip
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Any

from pyspark.sql import functions as F

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.config import Settings
from smallcaps.errors import BadInput, FailedDependency, SmallcapsError
from smallcaps.ingest.body_rows import REASONS, judged_rows
from smallcaps.ingest.rest import BODIES
from smallcaps.lake import Lake, Run, recorded_run
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import LULD, LULD_TOPIC
from smallcaps.sources.polygon.events import MILLISECONDS_BELOW, STATUS, Event, Gap, happened_ns
from smallcaps.sources.polygon.websocket import PATIENCE, Feed, Patience

COMMIT_SECONDS = 10.0


@dataclass(frozen=True)
class Heard:
    """What listening brought: events, gaps that nobody can fill, rows written to and refused from bronze.luld."""

    events: int
    gaps: int
    rows: int
    rows_refused: int

    def __str__(self) -> str:
        missed = f"; {self.gaps} gaps (see {BODIES})" if self.gaps else ""
        return f"{self.events:,} events heard, {self.rows:,} rows written, {self.rows_refused:,} refused{missed}"


def ingest_feed(lake: Lake, settings: Settings, key: Key, seconds: float, patience: Patience = PATIENCE) -> Heard:
    """Listen to the vendor's limit bands and halts for so long and take them into bronze.bodies and bronze.luld.

    Raises BadInput or FailedDependency where the feed ends for good, after what was heard is written.
    """
    if not seconds > 0:
        raise BadInput(f"{seconds:g} seconds are no time to listen for.")
    with recorded_run(lake, "ingest feed", {"seconds": seconds}, settings.digest()) as run:
        recorder = _Recorder(run, settings.vendor.feed)
        ended: SmallcapsError | None = None
        try:
            asyncio.run(recorder.listen(Feed(settings.vendor.feed, key.value, [LULD_TOPIC], patience), seconds))
        except SmallcapsError as error:
            ended = error
        rows = _write_bronze(run)
        run.note = f"{recorder.events} events, {recorder.gaps} gaps"
        if ended is not None:
            raise ended
        return Heard(recorder.events, recorder.gaps, rows, run.rows_refused)


class _Recorder:
    """Turns what a feed says into rows of bronze.bodies."""

    def __init__(self, run: Run, url: str) -> None:
        self._run, self._url = run, url
        self._waiting: dict[date, list[Any]] = defaultdict(list)
        self._missed: list[Gap] = []
        self._pages = 0
        self.events = 0
        self.gaps = 0

    async def listen(self, feed: Feed, seconds: float) -> None:
        """Listen for so long; what was heard is written whatever ends it."""
        end = time.monotonic() + seconds
        try:
            async with feed:
                while (left := end - time.monotonic()) > 0:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(min(COMMIT_SECONDS, left)):
                            async for record in feed:
                                self._take(record)
                    await asyncio.to_thread(self._write)
        finally:
            self._write()

    def _take(self, record: Event | Gap) -> None:
        if isinstance(record, Gap):
            self._missed.append(record)
            self.gaps += 1
        elif record.channel != STATUS:
            self._waiting[_day(happened_ns(record) or record.received_ns)].append(record.body)
            self.events += 1

    def _write(self) -> None:
        waiting, self._waiting = self._waiting, defaultdict(list)
        missed, self._missed = self._missed, []
        rows = [self._row(day, **_content(events)) for day, events in waiting.items()]
        rows += [self._row(_day(gap.from_ns), **_fault(gap)) for gap in missed]
        if rows:
            self._run.append_rows(BODIES, rows)

    def _row(self, day: date, **values: Any) -> dict[str, Any]:
        self._pages += 1
        asked = {"endpoint": LULD.name, "request": LULD.template, "as_of": day, "url": self._url}
        return asked | {"page": self._pages, "last_page": True, "received_at": datetime.now(UTC)} | values


def _content(events: Sequence[Any]) -> dict[str, Any]:
    content = json.dumps(events, separators=(",", ":")).encode()
    digest = sha256(content).hexdigest()
    return {"sha256": digest, "size_bytes": len(content), "records": len(events), "content": gzip.compress(content)}


def _fault(gap: Gap) -> dict[str, Any]:
    topics = ", ".join(gap.topics) or "the feed"
    words = f"What {topics} said from {_instant(gap.from_ns)} to {_instant(gap.to_ns)} is lost: {gap.reason}."
    return {"fault": words, "fault_kind": FailedDependency.__name__}


def _write_bronze(run: Run) -> int:
    """Type every day of which there are bodies that bronze.luld does not know; returns the rows written."""
    if not run.lake.exists(BODIES):
        return 0
    bodies = run.read(BODIES).where(f"endpoint = '{LULD.name}' AND fault IS NULL")
    unknown = bodies
    if run.lake.exists(LULD.table):
        typed_already = run.read(LULD.table).select(F.col("source_sha256").alias("sha256")).distinct()
        unknown = bodies.join(typed_already, "sha256", "left_anti")
    rows = 0
    for day in sorted(row.as_of for row in unknown.select("as_of").distinct().collect()):
        # What came twice, from two listeners, is one body.
        heard = bodies.where(F.col("as_of") == day).dropDuplicates(["sha256"])
        count, size, records = heard.agg(F.count("*"), F.sum("size_bytes"), F.sum("records")).collect()[0]
        run.took(count, size)
        pages = heard.withColumns(
            {"symbol": F.lit(None).cast("string"), "first": F.col("as_of"), "last": F.col("as_of")}
        )
        judged = judged_rows(LULD, pages, day)
        in_ns = F.expr(f"IF(sip_ns < {MILLISECONDS_BELOW}L, sip_ns * 1000000L, sip_ns)")
        where = f"session_date = DATE'{day}'"
        rows += run.replace_judged(LULD.table, judged.withColumn("sip_ns", in_ns), REASONS, where, records).rows
    return rows


def _day(ns: int) -> date:
    """New York's day of an instant."""
    return datetime.fromtimestamp(ns / 1e9, NEW_YORK).date()


def _instant(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")
