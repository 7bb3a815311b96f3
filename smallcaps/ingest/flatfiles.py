"""Flat files → raw zone and bronze, one Spark task a file.

1. List the files of the range. 2. On the executors: copy each to the raw zone under its checksum, then read it through once,
typing its rows and writing them as Parquet files of the bronze table. 3. Record sound files in ops.ledger, damaged ones in
ops.quarantine, and there too the rows that broke a rule. 4. Commit the Parquet files in place of the days' rows.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, date, datetime
from functools import partial
from hashlib import sha256

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings, VendorSettings
from smallcaps.errors import BadData, BadInput, SmallcapsError
from smallcaps.ingest.flatfile_rows import BRONZE, REASONS, Block, read_blocks
from smallcaps.lake import RULE, DataFile, DataFileWriter, Lake, Run, declared, file_schema, recorded_run
from smallcaps.lake.files import open_filesystem
from smallcaps.lake.quality import RECEIVED, refused
from smallcaps.log import progress
from smallcaps.sources.polygon.bucket import FileSource, VendorBucket
from smallcaps.sources.polygon.credentials import read_file_keys
from smallcaps.sources.polygon.flatfiles import HEADERS, FileFault, FlatFile, folder_of
from smallcaps.spark import on_executors

JOB = "ingest flatfiles"


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
    read. After everything sound was written, BadData where whole files had to be refused, or the worst error of a transfer.
    """
    kinds = known_kinds(kinds)
    if symbols is not None and not symbols:
        raise BadInput("No symbols were given: leave symbols out to take all of them.")
    if first > last:
        raise BadInput(f"The range is empty: {first} is after {last}.")
    files = source.files(kinds, first, last)
    if not files:
        raise BadInput(
            f"No flat files of {', '.join(kinds)} from {first} to {last} under {source.name}. "
            f"Expected {folder_of(kinds[0]).replace(kinds[0], '<kind>')}/YYYY/MM/YYYY-MM-DD.csv.gz there."
        )
    arguments = {"root": source.name, "kinds": list(kinds), "from": first, "to": last, "symbols": symbols}
    with recorded_run(lake, JOB, arguments, settings.digest()) as run:
        known = known_files(run, files)
        here = [known[one] for file in files if (one := (file.path, file.etag, file.size)) in known]
        fresh = [
            RawFile(file.kind, file.session_date, file.path, file.etag)
            for file in files
            if (file.path, file.etag, file.size) not in known
        ]
        stale = here if symbols is not None else _not_whole(run, here)
        todo = [*fresh, *stale]
        progress(0, len(todo), "files")
        taken = _take(run, source, todo, symbols)
        progress(len(todo), len(todo), "files")
        faults = [one for one in taken if one.rule is not None]
        sound = [one for one in taken if one.is_sound]
        fetched = sum(one.is_sound for one in taken[: len(fresh)])
        read = [one.file.size_bytes for one in taken if one.error is None]
        run.took(len(read), sum(read))
        _record_files(run, [one.file for one in sound], faults)
        rows = {
            BRONZE[kind]: _write_bronze(run, kind, of_kind, symbols)
            for kind in kinds
            if (of_kind := [one for one in sound if one.file.kind == kind])
        }
        run.note = f"{fetched} files fetched, {len(here)} here already, {len(faults)} refused"
        _raise_worst(taken)
        result = Ingested(fetched, len(here), len(faults), rows, run.rows_refused)
    if faults:
        listed = "; ".join(f"{one.file.source}: {one.reason}" for one in faults[:_SHOWN])
        raise BadData(f"{len(faults)} of {len(taken)} files were refused (see ops.quarantine): {listed}.")
    return result


def known_kinds(kinds: Sequence[str]) -> list[str]:
    """The kinds, each once. Raises BadInput for one that there is not."""
    if unknown := set(kinds) - set(BRONZE):
        raise BadInput(f"Unknown kinds {', '.join(sorted(unknown))}. Kinds: {', '.join(BRONZE)}.")
    return list(dict.fromkeys(kinds))


_SHOWN = 5


@dataclass(frozen=True)
class RawFile:
    """A file of the source; the last four are known when it is in the raw zone."""

    kind: str
    session_date: date
    source: str
    etag: str | None
    raw_path: str = ""
    sha256: str = ""
    size_bytes: int = 0
    lines: int = 0


@dataclass(frozen=True)
class Taken:
    """What became of a file: its rows in `parts`, or `rule` and `reason` why it is refused, or the `error` of its transfer."""

    file: RawFile
    parts: tuple[DataFile, ...] = ()
    refused: int = 0
    rule: str | None = None
    reason: str | None = None
    error: SmallcapsError | None = None

    @property
    def is_sound(self) -> bool:
        """Whether its rows were read."""
        return self.rule is None and self.error is None

    @property
    def kept(self) -> int:
        """Rows in the parts."""
        return sum(part.rows for part in self.parts)


_Listed = tuple[str, str | None, int]


def known_files(run: Run, files: list[FlatFile]) -> dict[_Listed, RawFile]:
    """Those of the files that the ledger has under the same ETag and size, by path, ETag and size."""
    if not run.lake.exists("ops.ledger") or all(file.etag is None for file in files):
        return {}
    ledger = run.read("ops.ledger").where("etag IS NOT NULL")
    listed = run.lake.spark.createDataFrame(
        [(file.path, file.etag, file.size) for file in files], "source string, etag string, size_bytes bigint"
    )
    columns = [field.name for field in fields(RawFile)]
    rows = ledger.join(F.broadcast(listed), ["source", "etag", "size_bytes"]).select(*columns).collect()
    return {(row.source, row.etag, row.size_bytes): RawFile(**row.asDict()) for row in rows}


def _not_whole(run: Run, files: list[RawFile]) -> list[RawFile]:
    """Those of the raw files of which not every line is in bronze or in quarantine."""
    lines: Counter[tuple[str, str]] = Counter()
    for table in {BRONZE[file.kind] for file in files}:
        if run.lake.exists(table):
            days = {file.session_date for file in files if BRONZE[file.kind] == table}
            kept = run.read(table).where(F.col("session_date").isin(days)).groupBy("source_sha256").count()
            lines.update({(table, row.source_sha256): row["count"] for row in kept.collect()})
    if files and run.lake.exists("ops.quarantine"):
        of_files = F.col("source_sha256").isin([file.sha256 for file in files]) & (F.col("source_line") > 0)
        refused = run.read("ops.quarantine").where(of_files).groupBy("table_name", "source_sha256").count()
        lines.update({(row.table_name, row.source_sha256): row["count"] for row in refused.collect()})
    return [file for file in files if lines[BRONZE[file.kind], file.sha256] != file.lines]


def _take(run: Run, source: FileSource, files: list[RawFile], symbols: Sequence[str] | None) -> list[Taken]:
    """On the executors: files that are not in the raw zone into it, and the rows of all into files of their tables."""
    lake, run_id, raw_root = run.lake, run.run_id, run.lake.raw
    tables = {kind: declared(BRONZE[kind]) for kind in {file.kind for file in files}}
    for table in tables.values():
        lake.make(table.name)
    targets = {kind: (lake.location(table.name), file_schema(table)) for kind, table in tables.items()}
    by_day = {kind for kind, table in tables.items() if table.partition_by}

    def take(file: RawFile) -> Taken:
        location, schema = targets[file.kind]
        partition = {"session_date": str(file.session_date)} if file.kind in by_day else {}
        try:
            raw = file if file.raw_path else _fetched(source, raw_root, file)
        except SmallcapsError as error:
            return Taken(file, error=error)
        lines = refused_rows = 0
        try:
            with DataFileWriter(location, schema, partition) as writer:
                for block in _blocks(raw_root, raw, schema, run_id, symbols):
                    lines += block.lines
                    refused_rows += block.refused.num_rows
                    writer.write(block.sound)
        except FileFault as fault:
            return Taken(raw, rule=fault.rule, reason=fault.reason)
        return Taken(replace(raw, lines=lines), tuple(writer.files), refused_rows)

    return on_executors(lake.spark, files, take)


def _fetched(source: FileSource, raw_root: str, file: RawFile) -> RawFile:
    """The file, copied to the raw zone under its checksum."""
    filesystem, base = open_filesystem(raw_root)
    folder = f"flatfiles/{folder_of(file.kind)}/{file.session_date:%Y/%m}"
    filesystem.create_dir(f"{base}/{folder}")
    part = f"{base}/{folder}/{file.session_date}.part"
    checksum, size = source.copy(file.source, file.etag, partial(filesystem.open_output_stream, part, compression=None))
    kept = f"{folder}/{file.session_date}.{checksum[:12]}.csv.gz"
    filesystem.move(part, f"{base}/{kept}")
    return replace(file, raw_path=f"raw/{kept}", sha256=checksum, size_bytes=size)


def _blocks(
    raw_root: str, file: RawFile, schema: pa.Schema, run_id: str, symbols: Sequence[str] | None
) -> Iterator[Block]:
    """The rows of a raw file."""
    filesystem, base = open_filesystem(raw_root)
    constants = {"session_date": file.session_date, "source_sha256": file.sha256, "run_id": run_id}
    with filesystem.open_input_stream(f"{base}/{file.raw_path.removeprefix('raw/')}", compression=None) as stream:
        yield from read_blocks(stream, file.kind, schema, constants, symbols)


def _record_files(run: Run, sound: list[RawFile], faults: list[Taken]) -> None:
    if faults:
        run.add_missing_rows("ops.quarantine", list(map(_quarantined_file, faults)))
    if sound:
        received = {"received_at": datetime.now(UTC)}
        run.add_missing_rows("ops.ledger", [asdict(file) | received for file in sound])


def _quarantined_file(one: Taken) -> dict[str, object]:
    """A refused file as a row of ops.quarantine."""
    row = {
        "table_name": BRONZE[one.file.kind],
        "rule": one.rule,
        "source_sha256": one.file.sha256,
        "payload": json.dumps({"source": one.file.source, "raw_path": one.file.raw_path}),
    }
    identity = sha256("|".join(map(str, row.values())).encode()).hexdigest()
    return row | {"quarantine_id": identity, "reason": one.reason, "source_line": 0}


def _write_bronze(run: Run, kind: str, files: list[Taken], symbols: Sequence[str] | None) -> int:
    """Refused rows to quarantine, then the parts of files of a kind into its table; returns the rows written."""
    table, count = BRONZE[kind], sum(one.refused for one in files)
    if symbols is None and (lost := [one for one in files if one.file.lines != one.kept + one.refused]):
        file = lost[0].file
        raise BadData(f"{file.source} has {file.lines} lines; {lost[0].kept} were typed, {lost[0].refused} refused.")
    if count:
        run.quarantine(_refused_rows(run, [one.file for one in files if one.refused], symbols))
    within: dict[str, Sequence[date | str]] = {"session_date": sorted({one.file.session_date for one in files})}
    if symbols is not None:
        within["symbol"] = symbols
    return run.replace_files(table, [part for one in files for part in one.parts], within, count).rows


def _refused_rows(run: Run, files: list[RawFile], symbols: Sequence[str] | None) -> DataFrame:
    """The rows of raw files of one kind that broke a rule, as rows of ops.quarantine: read again, for they are few as a rule."""
    raw_root, run_id, kind = run.lake.raw, run.run_id, files[0].kind
    schema = file_schema(declared(BRONZE[kind]))

    def read(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            for place in batch["id"].to_pylist():
                for block in _blocks(raw_root, files[place], schema, run_id, symbols):
                    sha = pa.repeat(files[place].sha256, block.refused.num_rows)
                    yield block.refused.append_column("source_sha256", sha)

    columns = [
        *(f"`{name}` string" for name in HEADERS[kind]),
        "line bigint, raw string, rule string, source_sha256 string",
    ]
    rows = run.lake.spark.range(0, len(files), 1, len(files)).mapInArrow(read, ", ".join(columns))
    # Of a line with the wrong number of fields only the first one is known; in the others, absent is empty.
    given = [
        F.when(F.col("raw").isNull() | F.lit(name == "ticker"), F.coalesce(name, F.lit(""))).alias(name)
        for name in HEADERS[kind]
    ]
    received = F.struct(*given, F.col("raw").alias("wrong_line")).alias(RECEIVED)
    judged = rows.select(F.col("rule").alias(RULE), received, "source_sha256", F.col("line").alias("source_line"))
    return refused(judged, BRONZE[kind], REASONS)


def _raise_worst(taken: list[Taken]) -> None:
    """Raise the worst kind of error that a transfer ended with, in the words of the first few."""
    errors = [one.error for one in taken if one.error is not None]
    if errors:
        worst = max(errors, key=lambda error: error.exit_code)
        told = " ".join(dict.fromkeys(map(str, errors[:_SHOWN])))
        raise type(worst)(
            f"{len(errors)} of {len(taken)} files could not be fetched, the others are in the lake. {told}"
        )
