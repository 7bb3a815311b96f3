"""Settings → a market in a folder, one Spark task a block of symbols and day.

1. The history of every security is made on the driver (seconds).
2. On the executors each block of symbols of a day is turned into prints, bars, quotes and bands, and written as a part: Arrow
   for the tape, a gzip member for the flat file.
3. Parts of a day are joined in order: members one after another are a gzip file, batches one after another a table.
4. Reference records and the truth table are written on the driver.

The folder must be seen by driver and executors under the same path.
"""

import gzip
import json
import pickle
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import feather
from pyspark.sql import SparkSession

from smallcaps.errors import BadInput
from smallcaps.sources.polygon.conditions import OFF_EXCHANGE
from smallcaps.sources.polygon.flatfiles import folder_of
from smallcaps.sources.simulator import faults as fault_kinds
from smallcaps.sources.simulator.bars import bars_of, day_bar
from smallcaps.sources.simulator.depth import book_rows
from smallcaps.sources.simulator.faults import Fault, plan_faults, with_bad_prints, with_bar_faults
from smallcaps.sources.simulator.history import (
    History,
    common_minutes,
    factor_minutes,
    make_history,
    midnight_ns,
)
from smallcaps.sources.simulator.layout import REPUBLISHED, TAPE, write_tape
from smallcaps.sources.simulator.plan import HOUR_NS, MINUTE_NS, DayPlan, generator_of
from smallcaps.sources.simulator.reference import write_reference
from smallcaps.sources.simulator.rows import (
    KIND_OF_FILE,
    band_rows,
    bar_rows,
    header,
    lines,
    quote_rows,
    trade_rows,
)
from smallcaps.sources.simulator.session import simulate_session
from smallcaps.sources.simulator.settings import MarketSettings
from smallcaps.sources.simulator.truth import write_truth

BLOCK = 50
"""Symbols of a task."""
WIDTHS = {"minute": MINUTE_NS, "hour": HOUR_NS}
_PARTS = "parts"


@dataclass(frozen=True)
class Built:
    """What a market holds: securities, sessions, planted episodes and faults, rows by kind of tape."""

    securities: int
    sessions: int
    episodes: int
    faults: int
    rows: dict[str, int]

    def __str__(self) -> str:
        rows = ", ".join(f"{kind} {count:,}" for kind, count in self.rows.items())
        return f"{self.securities:,} securities, {self.sessions} sessions, {self.episodes:,} episodes; {rows} rows"


@dataclass
class _Part:
    """A block of a day while it is made."""

    tables: dict[str, list[pa.Table]] = field(default_factory=lambda: defaultdict(list))
    text: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Block:
    """What a task needs: the plans of some symbols of a day, in order of symbol, with what is put into them."""

    place: int
    day: date
    plans: tuple[DayPlan, ...]
    faults: tuple[Fault, ...]
    ticked: frozenset[str]
    seed: int
    republished: bool


def build_market(spark: SparkSession, settings: MarketSettings, market: Path) -> Built:
    """Make the market of `settings` in the folder `market`, which must be new or empty."""
    if market.exists() and any(market.iterdir()):
        raise BadInput(f"{market} is not empty. Name a new folder, or remove that one.")
    market.mkdir(parents=True, exist_ok=True)
    history = make_history(settings)
    faults = plan_faults(history)
    blocks = _blocks(history, faults)
    notes = _on_executors(spark, [pickle.dumps(block) for block in blocks], _make_block, market)
    joins = [pickle.dumps((kind, hours.day)) for hours in history.sessions for kind in (*TAPE, _LATER_MINUTE)]
    counts = _on_executors(spark, joins, _join_parts, market)
    shutil.rmtree(market / _PARTS)
    write_reference(history, faults, notes, market)
    write_truth(history, faults, notes, market)
    # Last: a folder with settings is a whole market.
    (market / "settings.json").write_text(json.dumps(settings.described(), indent=2) + "\n")
    rows: dict[str, int] = dict.fromkeys(TAPE, 0)
    for count in counts:
        rows[count["kind"]] += count["rows"]
    return Built(len(history.securities), len(history.sessions), len(history.episodes), len(faults), rows)


_LATER_MINUTE = "minute_republished"


def _on_executors(spark: SparkSession, tasks: list[bytes], work: Any, market: Path) -> list[dict[str, Any]]:
    """`work(pickled task, market)` for each task, one Spark task each; returns the records that they return."""

    def run(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            for task in batch.column("task").to_pylist():
                records = [json.dumps(record) for record in work(pickle.loads(task), market)]  # noqa: S301 - our own driver's
                yield pa.RecordBatch.from_arrays([pa.array(records, pa.string())], ["record"])

    # One row a partition: Spark hands out tasks as cores come free.
    frame = spark.createDataFrame([(task,) for task in tasks], "task binary")
    records = frame.repartition(len(tasks)).mapInArrow(run, "record string").collect()
    return [json.loads(row["record"]) for row in records]


def _blocks(history: History, faults: list[Fault]) -> list[_Block]:
    settings = history.settings
    by_day: dict[date, list[DayPlan]] = defaultdict(list)
    for plan in history.plans:
        by_day[plan.hours.day].append(plan)
    of_day: dict[date, list[Fault]] = defaultdict(list)
    for fault in faults:
        of_day[fault.session_date].append(fault)
    planted: dict[date, set[str]] = defaultdict(set)
    for episode in history.episodes:
        planted[episode.session_date].add(episode.symbol)
    ticked_days = {hours.day for hours in history.sessions[len(history.sessions) - settings.tick_days :]}
    stocks = [security.symbol for security in history.securities if security.kind in ("CS", "ADRC")]
    first = set(stocks[: settings.tick_symbols])
    republished = {fault.session_date for fault in faults if fault.kind == fault_kinds.REPUBLISHED}
    blocks = []
    for hours in history.sessions:
        plans = sorted(by_day[hours.day], key=lambda plan: plan.symbol)
        chosen = first | planted[hours.day] | {fault.symbol for fault in of_day[hours.day]}
        ticked = frozenset(chosen if hours.day in ticked_days else ())
        for start in range(0, len(plans), BLOCK):
            some = tuple(plans[start : start + BLOCK])
            symbols = {plan.symbol for plan in some}
            of_block = tuple(fault for fault in of_day[hours.day] if fault.symbol in symbols)
            again = hours.day in republished
            blocks.append(_Block(start // BLOCK, hours.day, some, of_block, ticked & symbols, settings.seed, again))
    return blocks


def _make_block(block: _Block, market: Path) -> list[dict[str, Any]]:
    factors = factor_minutes(block.seed, block.day)
    part = _Part()
    for plan in block.plans:
        _make_symbol(part, plan, factors, block)
    folder = market / _PARTS
    for kind, tables in part.tables.items():
        path = _part_path(folder, kind, block.day, block.place, "arrow")
        path.parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pa.concat_tables(tables), path, compression="uncompressed")
    for kind, text in part.text.items():
        first = [header(kind.removesuffix("_republished"))] if block.place == 0 else []
        path = _part_path(folder, kind, block.day, block.place, "csv.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        content = "".join(f"{line}\n" for line in [*first, *text])
        path.write_bytes(gzip.compress(content.encode(), compresslevel=5, mtime=0))
    return part.notes


def _make_symbol(part: _Part, plan: DayPlan, factors: np.ndarray[Any, Any], block: _Block) -> None:
    faults = [fault for fault in block.faults if fault.symbol == plan.symbol]
    kinds = {fault.kind for fault in faults}
    ticks = plan.symbol in block.ticked
    session = simulate_session(plan, common_minutes(plan, factors), ticks)
    prints = with_bad_prints(session.prints, plan.hours, faults)
    rows = {
        kind: bar_rows(plan.symbol, with_bar_faults(bars_of(prints, plan.hours, width), width, plan.hours, faults))
        for kind, width in WIDTHS.items()
    }
    rows["day"] = bar_rows(plan.symbol, day_bar(prints, plan.hours, midnight_ns(plan.hours)))
    rows["luld"] = band_rows(plan, session)
    cancelled: list[str] = []
    if ticks:
        generator = generator_of(*plan.seed, 8)
        seconds = [fault.second for fault in faults if fault.kind == fault_kinds.CANCELLED]
        rows["trades"], cancelled = trade_rows(generator, plan, prints, seconds)
        if session.quotes is not None:
            rows["quotes"] = quote_rows(generator, plan, session.quotes)
            rows["book"] = book_rows(plan, session.quotes)
    for kind, table in rows.items():
        part.tables[kind].append(table)
        if kind in KIND_OF_FILE:
            text = lines(kind, table)
            if kind == "minute" and block.republished:
                # The file as first published lacks half of one symbol's day; the later one has it.
                part.text[_LATER_MINUTE] += text
                text = text[: len(text) // 2] if fault_kinds.REPUBLISHED in kinds else text
            part.text[kind] += text
            if fault_kinds.DUPLICATE_ROWS in kinds and kind in ("minute", "trades"):
                part.text[kind] += text[-10:]
    off_exchange = int(prints.size[prints.exchange == OFF_EXCHANGE].sum()) // 1_000_000
    part.notes.append(
        {
            "symbol": plan.symbol,
            "session_date": plan.hours.day.isoformat(),
            "volume": int(prints.size.sum()) // 1_000_000,
            "off_exchange_volume": off_exchange,
            "pauses": [[pause.start, pause.end, pause.reason] for pause in session.pauses],
            "start_ns": plan.hours.start_ns,
            "cancelled_ids": cancelled,
            "ticks": ticks,
        }
    )


def _part_path(folder: Path, kind: str, day: date, place: int, suffix: str) -> Path:
    return folder / kind / str(day) / f"{place:05d}.{suffix}"


def _join_parts(task: tuple[str, date], market: Path) -> list[dict[str, Any]]:
    kind, day = task
    folder = market / _PARTS / kind / str(day)
    members = sorted(folder.glob("*.csv.gz"))
    of_file = kind.removesuffix("_republished")
    if members:
        root = market / REPUBLISHED if kind == _LATER_MINUTE else market
        target = root / folder_of(KIND_OF_FILE[of_file]) / f"{day:%Y/%m}" / f"{day}.csv.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            for member in members:
                file.write(member.read_bytes())
    if kind == _LATER_MINUTE:
        return []
    tables = [feather.read_table(path, memory_map=True) for path in sorted(folder.glob("*.arrow"))]
    rows = pa.concat_tables(tables) if tables else TAPE[kind].empty_table()
    if rows.num_rows:
        write_tape(market, kind, day, rows.combine_chunks())
    return [{"kind": kind, "rows": rows.num_rows}]
