"""Flat files → raw zone and bronze, one Spark task a file.

1. List the files of the range. 2. On the executors: copy each to the raw zone under its checksum and read it through
once. 3. Record sound files in ops.ledger, others in ops.quarantine. 4. On the executors: read the sound files as text,
type them, quarantine rows that cannot be typed, replace the days in bronze.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.lake import RULE, Lake, Rule, Run, declared, judge, recorded_run, sql_literal
from smallcaps.lake.files import open_filesystem
from smallcaps.lake.quality import RECEIVED
from smallcaps.sources.polygon.flatfiles import (
    HEADERS,
    FileFault,
    check_file,
    copy_with_checksum,
    list_files,
    read_rows,
)

BRONZE = {
    "day_aggs_v1": "bronze.bars_1d",
    "minute_aggs_v1": "bronze.bars_1m",
    "trades_v1": "bronze.trades",
    "quotes_v1": "bronze.quotes",
}

@dataclass(frozen=True)
class Field:
    """How a bronze column comes from a text column of the file. `zero_is_none`: the vendor writes 0 for nothing."""

    column: str
    text: str
    type: str
    optional: bool = False
    zero_is_none: bool = False

    @property
    def value(self) -> str:
        """SQL over the text columns; null where the text is empty or cannot be read."""
        if self.type == "array<int>":
            listed = f"transform(split({self.text}, ','), item -> try_cast(trim(item) AS int))"
            return f"CASE WHEN {self.text} = '' THEN cast(array() AS array<int>) ELSE {listed} END"
        value = f"try_cast(nullif({self.text}, '') AS {self.type})"
        return f"nullif({value}, 0)" if self.zero_is_none else value

    @property
    def unparsable(self) -> str:
        """SQL condition: there is text and it is not of the type."""
        if self.type == "array<int>":
            return f"exists({self.value}, item -> item IS NULL)"
        return f"({self.text} <> '' AND try_cast({self.text} AS {self.type}) IS NULL)"


_PRICE, _SIZE = "decimal(18,6)", "decimal(20,6)"
_BAR = (
    Field("window_start_ns", "window_start", "bigint"),
    *(Field(name, name, _PRICE) for name in ("open", "high", "low", "close")),
    Field("volume", "volume", _SIZE),
    Field("transactions", "transactions", "bigint", optional=True),
)
FIELDS: dict[str, tuple[Field, ...]] = {
    "day_aggs_v1": _BAR,
    "minute_aggs_v1": _BAR,
    "trades_v1": (
        Field("sip_ns", "sip_timestamp", "bigint"),
        Field("participant_ns", "participant_timestamp", "bigint", optional=True, zero_is_none=True),
        Field("trf_ns", "trf_timestamp", "bigint", optional=True, zero_is_none=True),
        Field("sequence_number", "sequence_number", "bigint"),
        Field("trade_id", "id", "string", optional=True),
        Field("exchange", "exchange", "int"),
        Field("trf_id", "trf_id", "int", optional=True, zero_is_none=True),
        Field("tape", "tape", "int", optional=True),
        Field("price", "price", _PRICE),
        Field("size", "size", _SIZE),
        Field("conditions", "conditions", "array<int>", optional=True),
        Field("correction", "correction", "int", optional=True),
    ),
    "quotes_v1": (
        Field("sip_ns", "sip_timestamp", "bigint"),
        Field("participant_ns", "participant_timestamp", "bigint", optional=True, zero_is_none=True),
        Field("sequence_number", "sequence_number", "bigint"),
        *(Field(f"{side}_price", f"{side}_price", _PRICE) for side in ("bid", "ask")),
        *(Field(f"{side}_size", f"{side}_size", _SIZE) for side in ("bid", "ask")),
        *(Field(f"{side}_exchange", f"{side}_exchange", "int", optional=True) for side in ("bid", "ask")),
        Field("tape", "tape", "int", optional=True),
        Field("conditions", "conditions", "array<int>", optional=True),
        Field("indicators", "indicators", "array<int>", optional=True),
    ),
}
"""What each kind of file becomes."""

REASONS = {
    "wrong_field_count": "the line has more or fewer fields than the header",
    "missing_symbol": "the ticker is empty",
    "missing_value": "a required field is empty",
    "unparsable_number": "a number cannot be read",
}


@dataclass(frozen=True)
class Ingested:
    """What came in: files used and refused, rows written and refused, by bronze table."""

    files: int
    files_refused: int
    rows: dict[str, int]
    rows_refused: int


def ingest_flatfiles(
    lake: Lake,
    settings: Settings,
    root: str,
    kinds: Sequence[str],
    first: date,
    last: date,
    symbols: Sequence[str] | None = None,
) -> Ingested:
    """Take the vendor's files of `kinds` from `first` to `last` under `root` into raw and bronze.

    With `symbols` only their rows are read and replaced. Raises BadInput where there is nothing to read; BadData, after
    everything sound was written, where whole files had to be refused.
    """
    if unknown := set(kinds) - set(BRONZE):
        raise BadInput(f"Unknown kinds {', '.join(sorted(unknown))}. Kinds: {', '.join(BRONZE)}.")
    if first > last:
        raise BadInput(f"The range is empty: {first} is after {last}.")
    filesystem, path = open_filesystem(root)
    files = list_files(filesystem, path, kinds, first, last)
    if not files:
        raise BadInput(
            f"No flat files of {', '.join(kinds)} from {first} to {last} under {root}. "
            "Expected us_stocks_sip/<kind>/YYYY/MM/YYYY-MM-DD.csv.gz there."
        )
    arguments = {"root": root, "kinds": list(kinds), "from": first, "to": last, "symbols": symbols}
    with recorded_run(lake, "ingest flatfiles", arguments, settings.digest()) as run:
        received = _receive(lake, root, [(file.kind, file.session_date, file.path) for file in files])
        faults = received[received["rule"].notna()]
        sound = received[received["rule"].isna()]
        _record_files(run, sound, faults)
        rows = {}
        for kind in kinds:
            of_kind = sound[sound["kind"] == kind]
            if len(of_kind):
                rows[BRONZE[kind]] = _write_bronze(run, kind, of_kind, symbols)
        run.note = f"{len(sound)} files read, {len(faults)} refused"
        result = Ingested(len(sound), len(faults), rows, run.rows_refused)
    if len(faults):
        listed = "; ".join(f"{row.source}: {row.reason}" for row in faults.head(5).itertuples())
        raise BadData(f"{len(faults)} of {len(received)} files were refused (see ops.quarantine): {listed}.")
    return result


_RECEIVED_SCHEMA = "kind string, session_date date, source string, raw_path string, sha256 string, size_bytes bigint, rule string, reason string"


def _receive(lake: Lake, root: str, files: list[tuple[str, date, str]]) -> pd.DataFrame:
    """Copy files to the raw zone and read them through; one row a file, `rule` null where it is sound."""
    raw_root = lake.raw

    def receive(batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        source_fs, _ = open_filesystem(root)
        raw_fs, raw_base = open_filesystem(raw_root)
        for batch in batches:
            rows = []
            for file in batch.itertuples():
                folder = f"flatfiles/us_stocks_sip/{file.kind}/{file.session_date:%Y/%m}"
                raw_fs.create_dir(f"{raw_base}/{folder}")
                partial = f"{raw_base}/{folder}/{file.session_date}.part"
                with source_fs.open_input_stream(file.path, compression=None) as source:
                    with raw_fs.open_output_stream(partial, compression=None) as target:
                        sha256, size = copy_with_checksum(source, target)
                kept = f"{folder}/{file.session_date}.{sha256[:12]}.csv.gz"
                raw_fs.move(partial, f"{raw_base}/{kept}")
                rule = reason = None
                try:
                    with raw_fs.open_input_stream(f"{raw_base}/{kept}", compression=None) as stream:
                        check_file(stream, file.kind)
                except FileFault as fault:
                    rule, reason = fault.rule, fault.reason
                rows.append((file.kind, file.session_date, file.path, f"raw/{kept}", sha256, size, rule, reason))
            yield pd.DataFrame(rows, columns=[part.split()[0] for part in _RECEIVED_SCHEMA.split(", ")])

    listed = _spread(lake.spark, files, "kind string, session_date date, path string")
    return listed.mapInPandas(receive, _RECEIVED_SCHEMA).toPandas()


def _spread(spark: SparkSession, rows: list[tuple[str, date, str]], schema: str) -> DataFrame:
    """A small frame of files, a few tasks a core so that none waits long behind a large file."""
    return spark.createDataFrame(rows, schema).repartition(min(len(rows), 4 * spark.sparkContext.defaultParallelism))


def _record_files(run: Run, sound: pd.DataFrame, faults: pd.DataFrame) -> None:
    spark = run.lake.spark
    if len(faults):
        text = "string"
        rows = [
            (
                BRONZE[row.kind],
                row.rule,
                row.reason,
                row.sha256,
                0,
                f'{{"source": "{row.source}", "raw_path": "{row.raw_path}"}}',
            )
            for row in faults.itertuples()
        ]
        names = f"table_name {text}, rule {text}, reason {text}, source_sha256 {text}, source_line bigint, payload {text}"
        frame = spark.createDataFrame(rows, names)
        identity = F.concat_ws("|", "table_name", "rule", "source_sha256", "payload")
        run.quarantine(frame.withColumn("quarantine_id", F.sha2(identity, 256)))
    if len(sound):
        ledger = spark.createDataFrame(
            [
                (row.sha256, row.kind, row.session_date, row.source, row.raw_path, row.size_bytes, datetime.now(UTC))
                for row in sound.itertuples()
            ],
            ", ".join(f"`{column.name}` {column.type}" for column in declared("ops.ledger").columns),
        )
        run.add_missing("ops.ledger", ledger)


def _write_bronze(run: Run, kind: str, files: pd.DataFrame, symbols: Sequence[str] | None) -> int:
    listed = [(row.raw_path.removeprefix("raw/"), row.session_date, row.sha256) for row in files.itertuples()]
    text = _read_text(run.lake, kind, listed, symbols)
    days = ", ".join(f"DATE'{day}'" for day in sorted(set(files["session_date"])))
    where = f"session_date IN ({days})"
    if symbols is not None:
        where += f" AND symbol IN ({', '.join(map(sql_literal, symbols))})"
    return run.replace_judged(BRONZE[kind], typed(text, kind), REASONS, where).rows


def _read_text(
    lake: Lake, kind: str, files: list[tuple[str, date, str]], symbols: Sequence[str] | None
) -> DataFrame:
    """Rows of raw files as text: the file's columns, source_line, wrong_line, session_date, source_sha256."""
    raw_root = lake.raw
    header = HEADERS[kind]
    wanted = None if symbols is None else pa.array(symbols, pa.string())

    def read(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        filesystem, base = open_filesystem(raw_root)
        for batch in batches:
            for file in batch.to_pylist():
                with filesystem.open_input_stream(f"{base}/{file['path']}", compression=None) as stream:
                    for rows in read_rows(stream, kind):
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
    return listed.mapInArrow(read, f"{text}, source_line bigint, wrong_line string, session_date date, source_sha256 string")


def typed(text: DataFrame, kind: str) -> DataFrame:
    """Text rows of `kind` as judged bronze rows. Pure: no reads, no writes."""
    fields = FIELDS[kind]
    rules = (
        Rule("wrong_field_count", "wrong_line IS NOT NULL", REASONS["wrong_field_count"]),
        Rule("missing_symbol", "ticker = ''", REASONS["missing_symbol"]),
        Rule(
            "missing_value",
            " OR ".join(f"{field.text} = ''" for field in fields if not field.optional),
            REASONS["missing_value"],
        ),
        Rule("unparsable_number", " OR ".join(field.unparsable for field in fields), REASONS["unparsable_number"]),
    )
    received = F.struct(*HEADERS[kind], "wrong_line").alias(RECEIVED)
    values = [F.expr(field.value).alias(field.column) for field in fields]
    return judge(text, rules).select(
        RULE, received, F.col("ticker").alias("symbol"), "session_date", *values, "source_sha256", "source_line"
    )
