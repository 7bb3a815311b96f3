"""Flat files → raw zone and bronze, one Spark task a file.

1. List the files of the range. 2. On the executors: copy each to the raw zone under its checksum and read it through
once. 3. Record sound files in ops.ledger, others in ops.quarantine. 4. On the executors: read the sound files as text,
type them, quarantine rows that cannot be typed, replace the days in bronze.
"""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings, VendorSettings
from smallcaps.errors import BadData, BadInput
from smallcaps.lake import RULE, Lake, Rule, Run, declared, judge, recorded_run, sql_literal, with_nulls
from smallcaps.lake.files import open_filesystem
from smallcaps.lake.quality import RECEIVED
from smallcaps.sources.fields import Field, any_missing, any_unparsable
from smallcaps.sources.polygon.bucket import FileSource, VendorBucket
from smallcaps.sources.polygon.credentials import read_file_keys
from smallcaps.sources.polygon.flatfiles import (
    HEADERS,
    FileFault,
    FlatFile,
    check_file,
    read_rows,
)
from smallcaps.sources.polygon.ticks import PRICE, QUOTE, SIZE, trade_fields

BRONZE = {
    "day_aggs_v1": "bronze.bars_1d",
    "minute_aggs_v1": "bronze.bars_1m",
    "trades_v1": "bronze.trades",
    "quotes_v1": "bronze.quotes",
}

_BAR = (
    Field("window_start_ns", "window_start", "bigint"),
    *(Field(name, name, PRICE) for name in ("open", "high", "low", "close")),
    Field("volume", "volume", SIZE),
    Field("transactions", "transactions", "bigint", optional=True),
)
FIELDS: dict[str, tuple[Field, ...]] = {
    "day_aggs_v1": _BAR,
    "minute_aggs_v1": _BAR,
    "trades_v1": trade_fields("size"),
    "quotes_v1": QUOTE,
}
"""What each kind of file becomes."""

REASONS = {
    "wrong_field_count": "the line has more or fewer fields than the header",
    "missing_symbol": "the ticker is empty",
    "missing_value": "a required field is empty",
    "unparsable_number": "a number cannot be read",
}


def vendor_files(vendor: VendorSettings) -> VendorBucket:
    """The vendor's bucket, with the keys of the environment or the secret."""
    return VendorBucket(vendor.files, vendor.bucket, read_file_keys(vendor.secret))


@dataclass(frozen=True)
class Ingested:
    """What came in: files fetched, here already and refused, rows written by bronze table, rows refused."""

    files: int
    files_known: int
    files_refused: int
    rows: dict[str, int]
    rows_refused: int

    def __str__(self) -> str:
        written = ", ".join(f"{table} {count:,}" for table, count in self.rows.items())
        known = f", {self.files_known} files here already" if self.files_known else ""
        return f"{written or 'no'} rows of {self.files} files, {self.rows_refused} rows refused{known}"


def ingest_flatfiles(
    lake: Lake,
    settings: Settings,
    source: FileSource,
    kinds: Sequence[str],
    first: date,
    last: date,
    symbols: Sequence[str] | None = None,
) -> Ingested:
    """Take the vendor's files of `kinds` from `first` to `last` of `source` into raw and bronze.

    With `symbols` only their rows are read and replaced. A file of which the ledger says that it is here under the same ETag and
    size is not fetched again; nor is it read again where bronze has all of its rows. Raises BadInput where there is nothing to
    read; BadData, after everything sound was written, where whole files had to be refused.
    """
    if unknown := set(kinds) - set(BRONZE):
        raise BadInput(f"Unknown kinds {', '.join(sorted(unknown))}. Kinds: {', '.join(BRONZE)}.")
    if symbols is not None and not symbols:
        raise BadInput("No symbols were given: leave symbols out to take all of them.")
    if first > last:
        raise BadInput(f"The range is empty: {first} is after {last}.")
    kinds = list(dict.fromkeys(kinds))
    files = source.files(kinds, first, last)
    if not files:
        raise BadInput(
            f"No flat files of {', '.join(kinds)} from {first} to {last} under {source.name}. "
            "Expected us_stocks_sip/<kind>/YYYY/MM/YYYY-MM-DD.csv.gz there."
        )
    arguments = {"root": source.name, "kinds": list(kinds), "from": first, "to": last, "symbols": symbols}
    with recorded_run(lake, "ingest flatfiles", arguments, settings.digest()) as run:
        known = _known(run, files)
        wanted = [file for file in files if (file.path, file.etag, file.size) not in known]
        received = _receive(lake, source, wanted)
        faults = [file for file in received if file.rule is not None]
        fresh = [file for file in received if file.rule is None]
        _record_files(run, fresh, faults)
        here = [known[one] for file in files if (one := (file.path, file.etag, file.size)) in known]
        stale = here if symbols is not None else [file for file in here if not _is_whole(run, file)]
        rows = {}
        for kind in kinds:
            if of_kind := [file for file in (*stale, *fresh) if file.kind == kind]:
                rows[BRONZE[kind]] = _write_bronze(run, kind, of_kind, symbols)
        run.note = f"{len(fresh)} files fetched, {len(here)} here already, {len(faults)} refused"
        result = Ingested(len(fresh), len(here), len(faults), rows, run.rows_refused)
    if faults:
        listed = "; ".join(f"{file.source}: {file.reason}" for file in faults[:5])
        raise BadData(f"{len(faults)} of {len(received)} files were refused (see ops.quarantine): {listed}.")
    return result


@dataclass(frozen=True)
class Received:
    """A file as it arrived in the raw zone; `rule` and `reason` where it cannot be used."""

    kind: str
    session_date: date
    source: str
    raw_path: str
    sha256: str
    size_bytes: int
    lines: int | None
    etag: str | None = None
    rule: str | None = None
    reason: str | None = None


_RECEIVED_SCHEMA = (
    "kind string, session_date date, source string, raw_path string, sha256 string, size_bytes bigint, "
    "lines bigint, etag string, rule string, reason string"
)
_Listed = tuple[str, str | None, int]


def _known(run: Run, files: list[FlatFile]) -> dict[_Listed, Received]:
    """Those of the files that the ledger has under the same ETag and size, by path, ETag and size."""
    if not run.lake.exists("ops.ledger") or all(file.etag is None for file in files):
        return {}
    ledger = run.read("ops.ledger").where("etag IS NOT NULL")
    listed = run.lake.spark.createDataFrame(
        [(file.path, file.etag, file.size) for file in files], "source string, etag string, size_bytes bigint"
    )
    columns = [field.name for field in dataclasses.fields(Received) if field.name not in ("rule", "reason")]
    rows = ledger.join(F.broadcast(listed), ["source", "etag", "size_bytes"]).select(*columns).collect()
    return {(row.source, row.etag, row.size_bytes): Received(**row.asDict()) for row in rows}


def _is_whole(run: Run, file: Received) -> bool:
    """Whether every line of a raw file is in bronze or in quarantine."""
    table, of_file = BRONZE[file.kind], F.col("source_sha256") == file.sha256
    if not run.lake.exists(table):
        return False
    kept = run.read(table).where(of_file & (F.col("session_date") == file.session_date)).count()
    if kept == file.lines or not run.lake.exists("ops.quarantine"):
        return kept == file.lines
    refused = run.read("ops.quarantine").where(of_file & (F.col("table_name") == table) & (F.col("source_line") > 0))
    return kept + refused.count() == file.lines


def _receive(lake: Lake, source: FileSource, files: list[FlatFile]) -> list[Received]:
    """Copy files to the raw zone and read them through, on the executors."""
    if not files:
        return []
    raw_root = lake.raw

    def receive(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        raw_fs, raw_base = open_filesystem(raw_root)
        for batch in batches:
            for file in batch.to_pylist():
                kind, day = file["kind"], file["session_date"]
                folder = f"flatfiles/us_stocks_sip/{kind}/{day:%Y/%m}"
                raw_fs.create_dir(f"{raw_base}/{folder}")
                part = f"{raw_base}/{folder}/{day}.part"
                open_target = partial(raw_fs.open_output_stream, part, compression=None)
                sha256, size = source.copy(file["path"], file["etag"], open_target)
                kept = f"{folder}/{day}.{sha256[:12]}.csv.gz"
                raw_fs.move(part, f"{raw_base}/{kept}")
                lines = rule = reason = None
                try:
                    with raw_fs.open_input_stream(f"{raw_base}/{kept}", compression=None) as stream:
                        lines = check_file(stream, kind)
                except FileFault as fault:
                    rule, reason = fault.rule, fault.reason
                row = Received(kind, day, file["path"], f"raw/{kept}", sha256, size, lines, file["etag"], rule, reason)
                yield pa.RecordBatch.from_pylist([asdict(row)], schema)

    schema = pa.schema(
        [
            *((name, pa.date32() if name == "session_date" else pa.string()) for name in ("kind", "session_date")),
            *((name, pa.string()) for name in ("source", "raw_path", "sha256")),
            *((name, pa.int64()) for name in ("size_bytes", "lines")),
            *((name, pa.string()) for name in ("etag", "rule", "reason")),
        ]
    )
    rows = [(file.kind, file.session_date, file.path, file.etag) for file in files]
    listed = _spread(lake.spark, rows, "kind string, session_date date, path string, etag string")
    arrived = [Received(**row.asDict()) for row in listed.mapInArrow(receive, _RECEIVED_SCHEMA).collect()]
    return sorted(arrived, key=lambda file: (file.kind, file.session_date))


def _spread(spark: SparkSession, rows: Sequence[tuple[Any, ...]], schema: str) -> DataFrame:
    """A small frame of files, a few tasks a core so that none waits long behind a large file."""
    return spark.createDataFrame(rows, schema).repartition(min(len(rows), 4 * spark.sparkContext.defaultParallelism))


def _record_files(run: Run, sound: list[Received], faults: list[Received]) -> None:
    spark = run.lake.spark
    if faults:
        rows = [
            (
                BRONZE[file.kind],
                file.rule,
                file.reason,
                file.sha256,
                0,
                json.dumps({"source": file.source, "raw_path": file.raw_path}),
            )
            for file in faults
        ]
        names = (
            "table_name string, rule string, reason string, source_sha256 string, source_line bigint, payload string"
        )
        identity = F.concat_ws("|", "table_name", "rule", "source_sha256", "payload")
        run.quarantine(spark.createDataFrame(rows, names).withColumn("quarantine_id", F.sha2(identity, 256)))
    if sound:
        received_at = datetime.now(UTC)
        ledger = [
            (
                *(file.sha256, file.kind, file.session_date, file.source, file.raw_path, file.size_bytes),
                *(file.etag, file.lines, received_at),
            )
            for file in sound
        ]
        columns = ", ".join(f"`{column.name}` {column.type}" for column in declared("ops.ledger").columns)
        run.add_missing("ops.ledger", spark.createDataFrame(ledger, columns))


def _write_bronze(run: Run, kind: str, files: list[Received], symbols: Sequence[str] | None) -> int:
    listed = [(file.raw_path.removeprefix("raw/"), file.session_date, file.sha256) for file in files]
    text = _read_text(run.lake, kind, listed, symbols)
    days = ", ".join(f"DATE'{day}'" for day in sorted({file.session_date for file in files}))
    where = f"session_date IN ({days})"
    lines = sum(file.lines or 0 for file in files) if symbols is None else None
    if symbols is not None:
        where += f" AND symbol IN ({', '.join(map(sql_literal, symbols))})"
    return run.replace_judged(BRONZE[kind], typed(text, kind), REASONS, where, lines).rows


def _read_text(lake: Lake, kind: str, files: list[tuple[str, date, str]], symbols: Sequence[str] | None) -> DataFrame:
    """Rows of raw files as text: the file's columns, source_line, wrong_line, session_date, source_sha256."""
    raw_root = lake.raw
    header = HEADERS[kind]
    wanted = None if symbols is None else pa.array(symbols, pa.string())

    def read(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        filesystem, base = open_filesystem(raw_root)
        for batch in batches:
            for file in batch.to_pylist():
                with filesystem.open_input_stream(f"{base}/{file['path']}", compression=None) as stream:
                    for everything in read_rows(stream, kind):
                        rows = everything
                        if wanted is not None:
                            rows = rows.filter(pc.is_in(rows["ticker"], wanted))
                        constant = [
                            pa.repeat(pa.scalar(file["session_date"], pa.date32()), rows.num_rows),
                            pa.repeat(file["sha256"], rows.num_rows),
                        ]
                        names = [*header, "source_line", "wrong_line", "session_date", "source_sha256"]
                        yield pa.RecordBatch.from_arrays([*rows.columns, *constant], names)

    listed = _spread(lake.spark, files, "path string, session_date date, sha256 string")
    text = ", ".join(f"`{name}` string" for name in header)
    return listed.mapInArrow(
        read, f"{text}, source_line bigint, wrong_line string, session_date date, source_sha256 string"
    )


def typed(text: DataFrame, kind: str) -> DataFrame:
    """Text rows of `kind` as judged bronze rows; columns that files do not have are null. Pure: no reads, no writes."""
    fields = FIELDS[kind]
    rules = (
        Rule("wrong_field_count", "wrong_line IS NOT NULL", REASONS["wrong_field_count"]),
        Rule("missing_symbol", "ticker = ''", REASONS["missing_symbol"]),
        Rule("missing_value", any_missing(fields), REASONS["missing_value"]),
        Rule("unparsable_number", any_unparsable(fields), REASONS["unparsable_number"]),
    )
    received = F.struct(*HEADERS[kind], "wrong_line").alias(RECEIVED)
    values = [F.expr(field.value).alias(field.column) for field in fields]
    rows = judge(text, rules).select(
        RULE, received, F.col("ticker").alias("symbol"), "session_date", *values, "source_sha256", "source_line"
    )
    return with_nulls(rows, BRONZE[kind])
