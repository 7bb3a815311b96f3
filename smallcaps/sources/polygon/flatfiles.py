"""The vendor's flat files: layout, headers, and reading one as rows of text.

Layout: `us_stocks_sip/<kind>/YYYY/MM/YYYY-MM-DD.csv.gz` under a folder or bucket. Kinds of our own, which the vendor has not
but a simulated market, lie under `smallcaps/` in the same layout.
"""

import gzip
import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from pyarrow import csv, fs

PREFIX, OWN_PREFIX = "us_stocks_sip", "smallcaps"
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
    "book_v1": ("ticker", "asks", "bids", "made_timestamp", "published_timestamp", "sequence_number"),
}
OWN_KINDS = ("book_v1",)
"""No kinds of the vendor's."""
VENDOR_KINDS = tuple(kind for kind in HEADERS if kind not in OWN_KINDS)
_NAME = re.compile(r"(\d{4})/(\d{2})/(\d{4}-\d{2}-\d{2})\.csv\.gz$")
BLOCK_BYTES = 1 << 20
"""Bytes that are copied at once."""
TEXT_BYTES = 4 << 20
"""Bytes of text that are parsed at once: smaller blocks cost more a row."""


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


def folder_of(kind: str) -> str:
    """Where the files of a kind lie, under the root."""
    return f"{OWN_PREFIX if kind in OWN_KINDS else PREFIX}/{kind}"


def list_files(filesystem: fs.FileSystem, root: str, kinds: Sequence[str], first: date, last: date) -> list[FlatFile]:
    """The files of `kinds` from `first` to `last` under `root`, in order of kind and day."""
    found = []
    for kind in kinds:
        for year in range(first.year, last.year + 1):
            selector = fs.FileSelector(f"{root}/{folder_of(kind)}/{year}", recursive=True, allow_not_found=True)
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


def read_rows(stream: pa.NativeFile, kind: str) -> Iterator[pa.RecordBatch]:
    """The rows of a gzipped file as text, streamed; memory does not grow with the file.

    Batches have the columns of `HEADERS[kind]`, `line` (int64, the header being line 1) and `raw` (the line where it has
    the wrong number of fields, its columns but for ticker then null): one row a line. An empty field is null. Raises
    FileFault, when it gets there, for an empty, truncated or corrupt file and for a header that is not the vendor's.
    """
    with _faults_named(), gzip.GzipFile(fileobj=stream) as text:
        _check_header(text, kind)
        lines = 0
        for batch in _parse(text, HEADERS[kind]):
            lines += batch.num_rows
            yield batch
        if not lines:
            raise FileFault("empty_file", "the file has a header and no rows")


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
    for piece in _read_ahead(text):
        block = rest + piece
        end = block.rfind(b"\n") + 1
        rest = block[end:]
        if end:
            batch = _batch(block[:end], names, line)
            line += batch.num_rows
            yield batch
    if rest.strip():
        yield _batch(rest + b"\n", names, line)


def _read_ahead(text: gzip.GzipFile) -> Iterator[bytes]:
    """Blocks of text, the next one being unpacked while the last one is used: zlib needs no lock of Python's."""
    with ThreadPoolExecutor(1) as unpacker:
        following = unpacker.submit(text.read, TEXT_BYTES)
        while block := following.result():
            following = unpacker.submit(text.read, TEXT_BYTES)
            yield block


def _batch(block: bytes, names: list[str], first_line: int) -> pa.RecordBatch:
    strange: dict[int, str] = {}

    def keep(row: csv.InvalidRow) -> str:
        strange[row.number - 1] = row.text
        return "skip"

    table = csv.read_csv(
        pa.BufferReader(block),
        read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=len(block) + 1),
        parse_options=csv.ParseOptions(invalid_row_handler=keep, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )
    count = table.num_rows + len(strange)
    if count != block.count(b"\n"):
        raise FileFault("not_csv", f"a value runs over the end of a line, after line {first_line - 1}")
    lines = np.delete(np.arange(first_line, first_line + count), [*strange])
    batch = table.append_column("line", pa.array(lines, pa.int64()))
    batch = batch.append_column("raw", pa.nulls(table.num_rows, pa.string()))
    if strange:
        rows = {name: pa.nulls(len(strange), pa.string()) for name in names}
        rows |= {
            "ticker": pa.array([text.split(",", 1)[0] or None for text in strange.values()], pa.string()),
            "line": pa.array([first_line + number for number in strange], pa.int64()),
            "raw": pa.array(list(strange.values()), pa.string()),
        }
        batch = pa.concat_tables([batch, pa.table(rows)])
    return batch.combine_chunks().to_batches()[0]
