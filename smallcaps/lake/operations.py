"""Ops: what ran, what arrived, what was refused, what the suites found."""

from smallcaps.lake.declaration import RUN_ID, Column, Table

RUNS = Table(
    name="ops.runs",
    comment="One row a run, written last",
    owner="lake",
    columns=(
        RUN_ID,
        Column("job", "string", "What ran", nullable=False),
        Column("arguments", "string", "Its arguments, JSON", nullable=False),
        Column("code_version", "string", "Package version and commit; + where files were changed", nullable=False),
        Column("settings_hash", "string", "Digest of what was to be computed", nullable=False),
        Column(
            "inputs",
            "array<struct<table:string,version:bigint,first:date,last:date>>",
            "Tables read, with Delta versions (−1: not there) and the days read (null: all)",
            nullable=False,
        ),
        Column("outputs", "array<struct<table:string,version:bigint,rows:bigint>>", "Tables written", nullable=False),
        Column(
            "files_in",
            "bigint",
            "Files or bodies that rows were taken from; 0 where they came of tables",
            nullable=False,
        ),
        Column("bytes_in", "bigint", "Size of these files, of bodies unzipped", "bytes", nullable=False),
        Column("rows_in", "bigint", "Rows judged", "rows", nullable=False),
        Column("rows_kept", "bigint", "Rows that passed", "rows", nullable=False),
        Column("rows_quarantined", "bigint", "Rows refused, with a reason in ops.quarantine", "rows", nullable=False),
        Column("started_at", "timestamp", "Start", "UTC", nullable=False),
        Column("duration_seconds", "double", "Length", "s", nullable=False),
        Column("outcome", "string", "succeeded or failed", nullable=False, values=("succeeded", "failed")),
        Column("message", "string", "The error, or a note"),
    ),
    key=("run_id",),
    constraints={"nothing_lost": "outcome <> 'succeeded' OR rows_in = rows_kept + rows_quarantined"},
)
LEDGER = Table(
    name="ops.ledger",
    comment="Every raw file received, kept byte for byte under raw/",
    owner="ingest",
    columns=(
        Column("sha256", "string", "SHA-256 of the bytes", nullable=False),
        Column(
            "kind", "string", "day_aggs_v1, minute_aggs_v1, trades_v1, quotes_v1, book_v1 or splits", nullable=False
        ),
        Column("session_date", "date", "Day of the file; null for reference data"),
        Column("source", "string", "Where it came from", nullable=False),
        Column("raw_path", "string", "Where it is kept, under the lake's root", nullable=False),
        Column("size_bytes", "bigint", "Size", "bytes", nullable=False),
        Column("etag", "string", "What the vendor's bucket listed it under; null for files of another place"),
        Column("lines", "bigint", "Rows of a flat file; null for reference data", "rows"),
        Column("received_at", "timestamp", "When it was taken in", "UTC", nullable=False),
    ),
    key=("sha256", "kind", "session_date", "etag"),
)
QUARANTINE = Table(
    name="ops.quarantine",
    comment="Rows and files that broke a rule, as they came",
    owner="lake",
    columns=(
        Column("quarantine_id", "string", "Hash of table, rule, source and line", nullable=False),
        Column("table_name", "string", "Table it was meant for", nullable=False),
        Column("rule", "string", "Rule it broke; suite:… where an expectation of the table did", nullable=False),
        Column("reason", "string", "The rule in words", nullable=False),
        Column("source_sha256", "string", "Raw file; the row's own SHA-256 where it names none", nullable=False),
        Column("source_line", "bigint", "Line of it; 0 for the whole file", nullable=False),
        Column("payload", "string", "The row, JSON", nullable=False),
    ),
    key=("quarantine_id",),
)
DEAD_LETTERS = Table(
    name="ops.dead_letters",
    comment="Messages of the live feed that could not be taken, as they came",
    owner="streaming",
    columns=(
        Column("kafka_topic", "string", "Topic that it came over, and the topic's id", nullable=False),
        Column("kafka_partition", "int", "The topic's partition", nullable=False),
        Column("kafka_offset", "bigint", "Its place there", nullable=False),
        Column("produced_at", "timestamp", "When it was put there", "UTC", nullable=False),
        Column("rule", "string", "Rule it broke", nullable=False),
        Column("reason", "string", "The rule in words", nullable=False),
        Column("message_key", "binary", "Its key"),
        Column("message", "binary", "What it said"),
    ),
    key=("kafka_topic", "kafka_partition", "kafka_offset"),
)
STREAM_PROGRESS = Table(
    name="ops.stream_progress",
    comment="How the queries of the live tape got on, one row a micro-batch with messages",
    owner="streaming",
    columns=(
        RUN_ID,
        Column("query", "string", "Its name", nullable=False),
        Column("batch", "bigint", "Number of the micro-batch, from 0 for each start", nullable=False),
        Column("began_at", "timestamp", "When it began", "UTC", nullable=False),
        Column("messages", "bigint", "Messages in it", "messages", nullable=False),
        Column("seconds", "double", "Length", "s", nullable=False),
        Column(
            "behind", "bigint", "Messages of the partition furthest behind that had come and were not in it", "messages"
        ),
        Column("alerts", "bigint", "Alerts that the process has sent so far; null where it sends none"),
        Column("too_late", "bigint", "Rows so far that came too late to be looked at; null where none are"),
        Column(
            "alert_seconds",
            "double",
            "From the evidence's way into Kafka to an event's first alert: 95th percentile of the last thousand; null where the "
            "process reads none",
            "s",
        ),
    ),
    key=("run_id", "query", "batch"),
)
QUALITY_RESULTS = Table(
    name="ops.quality_results",
    comment="What the quality suites found, one row an expectation and table written",
    owner="lake",
    columns=(
        RUN_ID,
        Column("table_name", "string", "Table that was to be written", nullable=False),
        Column(
            "part",
            "string",
            "What the expectation comes of: a required column, the key, a constraint, or the table's own expectations",
            nullable=False,
            values=("required", "key", "constraint", "table"),
        ),
        Column("expectation", "string", "Its name", nullable=False),
        Column("words", "string", "What is expected", nullable=False),
        Column("severity", "string", "stop or warn", nullable=False, values=("stop", "warn")),
        Column("success", "boolean", "It was met", nullable=False),
        Column("observed", "string", "What was measured; null where that is unknown"),
        Column("expected", "string", "What it may be", nullable=False),
        Column("rows_checked", "bigint", "Rows to be written", "rows", nullable=False),
        Column("rows_failed", "bigint", "Those at fault; null where single rows are not", "rows"),
        Column("checked_at", "timestamp", "When; the same for one suite", "UTC", nullable=False),
        Column("result", "string", "Great Expectations' own result, JSON", nullable=False),
    ),
    key=("run_id", "table_name", "expectation", "checked_at"),
)

_BAR = "struct<open:double,high:double,low:double,close:double,volume:double>"
DIFFERENCES = Table(
    name="ops.differences",
    comment="Bars of the vendor's and ours that differ, or that others contradict, with the reason",
    owner="refine",
    columns=(
        Column(
            "bar",
            "string",
            "bars_1m (vendor's and of trades), bars_1h (vendor's and its minutes), bars_1d_adjusted (vendor's and our splits), "
            "bars_1d or bars_1m_adjusted (alone)",
            nullable=False,
            values=("bars_1m", "bars_1h", "bars_1d", "bars_1d_adjusted", "bars_1m_adjusted"),
        ),
        Column("symbol", "string", "Ticker that day", nullable=False),
        Column("session_date", "date", "XNYS session", nullable=False),
        Column("ts", "timestamp", "Start of the bar; of a day its open", "UTC", nullable=False),
        Column(
            "reason",
            "string",
            "Why, as far as it is known (see docs/operations.md)",
            nullable=False,
            values=(
                "withdrawn",
                "late_report",
                "order",
                "vendor_lacks_minute",
                "we_lack_minute",
                "unexplained",
                "adjustment",
                "isolated_price",
                "minutes_missing",
                "vwap_outside",
                "move_without_volume",
            ),
        ),
        Column("ours", _BAR, "Our bar; null where there is none", "$, shares"),
        Column("vendor", _BAR, "The vendor's; null where there is none", "$, shares"),
    ),
    key=("bar", "symbol", "ts", "reason"),
)

DRIFT = Table(
    name="ops.drift",
    comment="How far a frozen dataset's inputs, and the probabilities of models trained on it, have moved, month by month",
    owner="models",
    columns=(
        Column("dataset", "string", "The frozen dataset", nullable=False),
        Column(
            "kind",
            "string",
            "input: stability index against rows that are only trained on; calibration: mean probability less share that came",
            nullable=False,
            values=("input", "calibration"),
        ),
        Column("name", "string", "The input, or the target", nullable=False),
        Column("model", "string", "problem.algorithm; empty for inputs", nullable=False),
        Column("period", "date", "First day of the month", nullable=False),
        Column("events", "bigint", "Of the month", "rows", nullable=False),
        Column("value", "double", "The figure; null where there is nothing to compare with"),
        Column("low", "double", "Of its 95 % interval, which draws days; null for inputs and below ten days"),
        Column("high", "double", "Of its 95 % interval"),
    ),
    key=("dataset", "kind", "name", "model", "period"),
    sort_by=("dataset", "kind", "name", "model", "period"),
)

TABLES = (RUNS, LEDGER, QUARANTINE, DEAD_LETTERS, STREAM_PROGRESS, QUALITY_RESULTS, DIFFERENCES, DRIFT)
