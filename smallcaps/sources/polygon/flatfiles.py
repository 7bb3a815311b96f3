"""The vendor's flat files: layout, headers, and reading one as rows of text.

Layout: `us_stocks_sip/<kind>/YYYY/MM/YYYY-MM-DD.csv.gz` under a folder or bucket.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
from pyarrow import csv, fs

PREFIX = "us_stocks_sip"
_BAR_HEADER = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
HEADERS: dict[str, tuple[str, ...]] = {
    "day_aggs_v1": _BAR_HEADER,
    "minute_aggs_v1": _BAR_HEADER,
    "trades_v1": (
        *("ticker", "conditions", "correction", "exchange", "id", "participant_timestamp", "price", "sequence_number"),
        *("sip_timestamp", "size", "tape", "trf_id", "trf_timestamp"),
    ),
    "quotes_v1": (
        *("ticker", "ask_exchange", "ask_price", "ask_size", "bid_exchange", "bid_price", "bid_size", "conditions"),
        *("indicators", "participant_timestamp", "sequence_number", "sip_timestamp", "tape", "trf_timestamp"),
    ),
}
_NAME = re.compile(r"(\d{4})/(\d{2})/(\d{4}-\d{2}-\d{2})\.csv\.gz$")
BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class FlatFile:
    """One file of the vendor's layout: `path` is inside its file system or bucket, `etag` what a bucket lists."""

    kind: str
    session_date: date
    path: str
    size: int
    etag: str | None = None


class FileFault(Exception):
    """A whole file that cannot be used. `rule` is one word, `reason` a sentence."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"{rule}: {reason}")
        self.rule = rule
        self.reason = reason


def list_files(filesystem: fs.FileSystem, root: str, kinds: Sequence[str], first: date, last: date) -> list[FlatFile]:
    """The files of `kinds` from `first` to `last` under `root`, in order of kind and day."""
    found = []
    for kind in kinds:
        for year in range(first.year, last.year + 1):
            selector = fs.FileSelector(f"{root}/{PREFIX}/{kind}/{year}", recursive=True, allow_not_found=True)
            for info in filesystem.get_file_info(selector):
                file = flat_file(kind, info.path, info.size)
                if file is not None and first <= file.session_date <= last:
                    found.append(file)
    return sorted(found, key=lambda file: (kinds.index(file.kind), file.session_date))


def flat_file(kind: str, path: str, size: int, etag: str | None = None) -> FlatFile | None:
    """The file of a path, None where it is not of the layout."""
    matched = _NAME.search(path)
    try:
        return FlatFile(kind, date.fromisoformat(matched[3]), path, size, etag) if matched else None
    except ValueError:  # a file named by a day that does not exist
        return None


def copy_with_checksum(source: pa.NativeFile, target: pa.NativeFile) -> tuple[str, int]:
    """Copy `source` to `target` in constant memory; returns SHA-256 and size in bytes."""
    digest, size = hashlib.sha256(), 0
    while block := source.read(BLOCK_BYTES):
        digest.update(block)
        target.write(block)
        size += len(block)
    return digest.hexdigest(), size


def check_file(stream: pa.NativeFile, kind: str) -> int:
    """Read a gzipped file to its end; returns how many rows follow the header.

    Raises FileFault for what `read_rows` would, without keeping a row, and for a file without rows.
    """
    with _faults_named(), gzip.GzipFile(fileobj=stream) as text:
        _check_header(text, kind)
        lines = sum(int(batch.num_rows) for batch in _parse(text, HEADERS[kind]))
        if not lines:
            raise FileFault("empty_file", "the file has a header and no rows")
        return lines


def read_rows(stream: pa.NativeFile, kind: str) -> Iterator[pa.RecordBatch]:
    """The rows of a gzipped file as text, streamed; memory does not grow with the file.

    Batches have the columns of `HEADERS[kind]`, `line` (int64, the header being line 1) and `raw` (the line where it has
    the wrong number of fields, its columns but for ticker then null). Blank lines are skipped as CSV has it. Raises FileFault for
    an empty, truncated or corrupt file and for a header that is not the vendor's.
    """
    with _faults_named(), gzip.GzipFile(fileobj=stream) as text:
        _check_header(text, kind)
        yield from _parse(text, HEADERS[kind])


@contextmanager
def _faults_named() -> Iterator[None]:
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFault("truncated_gzip", f"the gzip stream is damaged: {error}") from error
    except (UnicodeDecodeError, pa.ArrowInvalid) as error:
        raise FileFault("not_csv", f"the file is not UTF-8 CSV: {error}") from error


def _check_header(text: gzip.GzipFile, kind: str) -> None:
    header, first = HEADERS[kind], text.readline().decode("utf-8").strip()
    if not first:
        raise FileFault("empty_file", "the file has no header and no rows")
    if tuple(first.split(",")) != header:
        raise FileFault("wrong_header", _header_difference(first.split(","), header))


def _header_difference(found: Sequence[str], expected: Sequence[str]) -> str:
    missing = [name for name in expected if name not in found]
    extra = [name for name in found if name not in expected]
    if missing or extra:
        return f"columns missing: {', '.join(missing) or 'none'}; columns not expected: {', '.join(extra) or 'none'}"
    return f"columns in another order: {', '.join(found)}"


def _parse(text: gzip.GzipFile, header: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Blocks of whole lines through Arrow's CSV reader, so that every row keeps its line number."""
    line, rest = 2, b""
    names = [*header]
    while block := text.read(BLOCK_BYTES):
        block = rest + block
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if end:
            lines = block[:end].count(b"\n")
            yield _batch(block[:end], names, line)
            line += lines
    if rest.strip():
        yield _batch(rest + b"\n", names, line)


def _batch(block: bytes, names: list[str], first_line: int) -> pa.RecordBatch:
    strange: dict[int, str] = {}

    def keep(row: csv.InvalidRow) -> str:
        strange[row.number - 1] = row.text
        return "skip"

    options = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, quoted_strings_can_be_null=False
    )
    table = csv.read_csv(
        pa.BufferReader(block),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
        parse_options=csv.ParseOptions(invalid_row_handler=keep, ignore_empty_lines=False),
        convert_options=options,
    )
    if table.num_rows + len(strange) != block.count(b"\n"):
        raise FileFault("not_csv", f"a value runs over the end of a line, after line {first_line - 1}")
    sound = [number for number in range(table.num_rows + len(strange)) if number not in strange]
    batch = table.append_column("line", pa.array([first_line + number for number in sound], pa.int64()))
    batch = batch.append_column("raw", pa.nulls(len(sound), pa.string()))
    if strange:
        rows = {name: pa.nulls(len(strange), pa.string()) for name in names}
        rows |= {
            "ticker": pa.array([text.split(",", 1)[0] for text in strange.values()], pa.string()),
            "line": pa.array([first_line + number for number in strange], pa.int64()),
            "raw": pa.array(list(strange.values()), pa.string()),
        }
        batch = pa.concat_tables([batch, pa.table(rows)])
    return batch.combine_chunks().to_batches()[0]
