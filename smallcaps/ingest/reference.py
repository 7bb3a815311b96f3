"""Reference bodies → raw zone and bronze."""

import hashlib
from datetime import UTC, datetime

from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.lake import Lake, Rule, judge, recorded_run, with_nulls
from smallcaps.lake.files import open_filesystem
from smallcaps.lake.quality import RECEIVED
from smallcaps.sources.polygon.reference import SPLIT_FIELDS, parse_splits

RULES = (
    Rule("missing_symbol", "coalesce(ticker, '') = ''", "the ticker is empty"),
    Rule(
        "unparsable_date",
        # Spark would take part of a date for its first day.
        "try_cast(execution_date AS date) IS NULL OR NOT execution_date RLIKE '^[0-9]{4}-[0-9]{2}-[0-9]{2}$'",
        "execution_date is not a date YYYY-MM-DD",
    ),
    Rule(
        "unparsable_number",
        "try_cast(split_from AS double) IS NULL OR try_cast(split_to AS double) IS NULL",
        "split_from or split_to is not a number",
    ),
)


def ingest_splits(lake: Lake, settings: Settings, file: str) -> int:
    """Take a splits body (JSON) or CSV at path or URL `file` into raw and bronze.splits; returns the rows written.

    A file already taken in is replaced by itself. Raises BadInput where there is no such file, BadData where it is no
    splits file.
    """
    filesystem, path = open_filesystem(file)
    try:
        with filesystem.open_input_stream(path, compression=None) as stream:
            content = stream.read()
    except OSError as error:
        raise BadInput(f"The splits file {file} cannot be read: {error}.") from error
    try:
        records = parse_splits(content)
    except ValueError as error:
        raise BadData(f"{file} is not a splits file: {error}.") from error
    if not records:
        raise BadData(f"{file} holds no splits.")
    sha256 = hashlib.sha256(content).hexdigest()
    with recorded_run(lake, "ingest reference", {"splits": file}, settings.digest()) as run:
        raw_fs, raw_base = open_filesystem(lake.raw)
        kept = f"reference/splits/{sha256[:12]}"
        raw_fs.create_dir(f"{raw_base}/reference/splits")
        with raw_fs.open_output_stream(f"{raw_base}/{kept}", compression=None) as target:
            target.write(content)
        ledger: dict[str, object] = {
            "sha256": sha256,
            "kind": "splits",
            "session_date": None,
            "etag": None,
            "received_at": datetime.now(UTC),
        }
        ledger |= {"source": file, "raw_path": f"raw/{kept}", "size_bytes": len(content)}
        run.took(1, len(content))
        run.add_missing_rows("ops.ledger", [ledger])
        # Line 1 is a CSV's header; a JSON body's records count from 2 likewise.
        rows = [(*record, sha256, line) for line, record in enumerate(records, start=2)]
        schema = ", ".join([*(f"{name} string" for name in SPLIT_FIELDS), "source_sha256 string", "source_line bigint"])
        judged = judge(lake.spark.createDataFrame(rows, schema), RULES).select(
            "_rule",
            F.struct(*SPLIT_FIELDS).alias(RECEIVED),
            F.col("ticker").alias("symbol"),
            F.expr("try_cast(execution_date AS date)").alias("execution_date"),
            *[F.expr(f"try_cast({name} AS double)").alias(name) for name in ("split_from", "split_to")],
            "source_sha256",
            "source_line",
        )
        reasons = {rule.name: rule.reason for rule in RULES}
        judged = with_nulls(judged, "bronze.splits")
        return run.replace_judged("bronze.splits", judged, reasons, f"source_sha256 = '{sha256}'").rows
