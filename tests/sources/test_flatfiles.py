"""Reading a flat file: what comes back is what was written, and a damaged file says how."""

import csv
import io
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyarrow import fs

from smallcaps.sources.polygon import flatfiles
from smallcaps.sources.polygon.flatfiles import FileFault, copy_with_checksum, list_files, read_rows
from tests.sources.vendor_files import BAR_COLUMNS, COLUMNS, compressed, place

HEADER = "ticker,volume,open,close,high,low,window_start,transactions"
ROW = "A,100,1.5,1.6,1.7,1.4,1448427600000000000,3"


def stream(content: bytes) -> pa.NativeFile:
    return pa.BufferReader(content)


def read(content: bytes, kind: str = "day_aggs_v1") -> list[dict[str, object]]:
    return [row for batch in read_rows(stream(content), kind) for row in batch.to_pylist()]


def tickers(text: str) -> list[tuple[object, object]]:
    return [(row["ticker"], row["line"]) for row in read(compressed(text))]


def fault_of(content: bytes, kind: str = "day_aggs_v1") -> FileFault:
    """The fault that reading meets."""
    with pytest.raises(FileFault) as met:
        read(content, kind)
    return met.value


def test_the_headers_are_the_vendors_own() -> None:
    # POLYGON.md §3, "Headers (exact)".
    assert {kind: tuple(flatfiles.HEADERS[kind]) for kind in flatfiles.VENDOR_KINDS} == COLUMNS
    assert set(flatfiles.HEADERS) - {*flatfiles.VENDOR_KINDS} == {"book_v1"}


def test_rows_come_back_as_text_with_their_line_numbers() -> None:
    rows = read(compressed(f"{HEADER}\n{ROW}\nB,0.001500,2,2,2,2,1448427600000000000,\n"))
    assert rows[0] == dict(zip(BAR_COLUMNS, ROW.split(","), strict=True)) | {"line": 2, "raw": None}
    assert (rows[1]["ticker"], rows[1]["volume"], rows[1]["transactions"], rows[1]["line"]) == (
        "B",
        "0.001500",
        None,
        3,
    )


@pytest.mark.parametrize(
    "ticker", ["NA", "NULL", "nan", "NaN", "TRUE", "true", "None", "BApA", "BAPA", "X.U", "1E5", "0012"]
)
def test_a_ticker_that_looks_like_something_else_stays_a_string(ticker: str) -> None:
    assert tickers(f"{HEADER}\n{ROW.replace('A', ticker, 1)}\n") == [(ticker, 2)]


def test_values_that_look_null_stay_text_and_only_an_empty_one_is_null() -> None:
    row = read(compressed(f"{HEADER}\nA,NULL,NaN,,N/A,null,-,#N/A\n"))[0]
    assert [row[name] for name in BAR_COLUMNS] == ["A", "NULL", "NaN", None, "N/A", "null", "-", "#N/A"]


def test_a_quoted_comma_list_is_one_field() -> None:
    trade = 'A,"12,37",0,4,71675222901845,1789718400814766587,157.350000,3372,1789718400831008119,10.000000,1,202,5'
    row = read(compressed(f"{','.join(COLUMNS['trades_v1'])}\n{trade}\n"), "trades_v1")[0]
    assert (row["conditions"], row["correction"], row["trf_timestamp"], row["raw"]) == ("12,37", "0", "5", None)


@pytest.mark.parametrize("text", ["B,1,2", f"B{ROW[1:]},9", "B"])
def test_a_line_with_the_wrong_number_of_fields_is_kept_whole_beside_the_others(text: str) -> None:
    rows = read(compressed(f"{HEADER}\n{ROW}\n{text}\n{ROW}\n"))
    # Its first field is what tells whose line it may be.
    assert sorted((row["line"], row["ticker"], row["volume"], row["raw"]) for row in rows) == [
        (2, "A", "100", None),
        (3, "B", None, text),
        (4, "A", "100", None),
    ]


def test_a_file_of_nothing_but_wrong_lines_still_gives_each_of_them() -> None:
    assert [(row["line"], row["raw"]) for row in read(compressed(f"{HEADER}\nA,1\nB,2\n"))] == [(2, "A,1"), (3, "B,2")]


@pytest.mark.parametrize("block_bytes", [1, 7, 60, 1 << 20])
def test_line_numbers_are_right_across_blocks(block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatfiles, "TEXT_BYTES", block_bytes)
    lines = [f"S{number},1,1,1,1,1,1,1" if number % 7 else f"S{number},short" for number in range(2, 60)]
    rows = read(compressed("\n".join([HEADER, *lines]) + "\n"))
    # Line n holds S<n>; every seventh has two fields only.
    assert sorted(row["line"] for row in rows) == list(range(2, 60))
    assert all(row["ticker"] == f"S{row['line']}" for row in rows)
    assert [row["line"] for row in rows if row["raw"]] == [7, 14, 21, 28, 35, 42, 49, 56]


def test_a_blank_line_is_no_symbol_and_shifts_no_line_number() -> None:
    named = [(ticker, line) for ticker, line in tickers(f"{HEADER}\n{ROW}\n\nB{ROW[1:]}\n\n") if ticker]
    assert named == [("A", 2), ("B", 4)]


def test_the_last_line_needs_no_newline() -> None:
    assert tickers(f"{HEADER}\n{ROW}\nB{ROW[1:]}") == [("A", 2), ("B", 3)]


def test_windows_line_ends_are_no_part_of_the_last_field() -> None:
    row = read(compressed(f"{HEADER}\r\n{ROW}\r\n"))[0]
    assert (row["ticker"], row["transactions"], row["line"]) == ("A", "3", 2)


def test_a_gzip_of_several_members_is_read_to_its_end() -> None:
    content = compressed(f"{HEADER}\n{ROW}\nB{ROW[1:20]}") + compressed(f"{ROW[20:]}\n") + compressed(f"C{ROW[1:]}\n")
    assert [(row["ticker"], row["line"]) for row in read(content)] == [("A", 2), ("B", 3), ("C", 4)]


LONG = compressed("\n".join([HEADER, *(f"S{number},{number * 7919 % 10007},1,1,1,1,1,1" for number in range(5000))]))
DAMAGED = [
    (LONG[: len(LONG) // 2], "truncated_gzip"),
    (LONG[:-3], "truncated_gzip"),
    (LONG[:1000] + b"\xff" * 40 + LONG[1040:], "truncated_gzip"),
    (HEADER.encode(), "truncated_gzip"),
    (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "truncated_gzip"),
    (compressed(f"{HEADER}\n{ROW}\n") + b"trailing bytes", "truncated_gzip"),
    (b"", "empty_file"),
    (compressed(""), "empty_file"),
    (compressed("\n"), "empty_file"),
    (compressed(HEADER), "empty_file"),
    (compressed(f"{HEADER}\n"), "empty_file"),
    (compressed(f"symbol,vol,o,c,h,l,t,n\n{ROW}\n"), "wrong_header"),
    (compressed(f"{ROW}\n{ROW}\n"), "wrong_header"),
    (compressed(b"\xff\xfe" + f"{HEADER}\n{ROW}\n".encode("utf-16-le")), "not_csv"),
]


@pytest.mark.parametrize(("content", "rule"), DAMAGED)
def test_a_damaged_file_is_named_by_what_is_wrong_with_it(content: bytes, rule: str) -> None:
    fault = fault_of(content)
    assert fault.rule == rule
    assert len(fault.reason) > 20


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (HEADER.replace(",low", ""), "columns missing: low; columns not expected: none"),
        (f"{HEADER},vwap", "columns missing: none; columns not expected: vwap"),
        (HEADER.replace("transactions", "n"), "columns missing: transactions; columns not expected: n"),
        (HEADER.upper(), "columns missing: ticker"),
        (HEADER.replace("close,high", "high,close"), "columns in another order: ticker,volume,open,high,close"),
        (f"{HEADER},low", "low"),
        (HEADER.replace(",", ";"), "columns missing: ticker"),
    ],
)
def test_a_header_that_is_not_the_vendors_is_refused_with_the_difference(header: str, words: str) -> None:
    fault = fault_of(compressed(f"{header}\n{ROW}\n"))
    assert fault.rule == "wrong_header"
    assert words.replace(",", ", ") in fault.reason or words in fault.reason


def test_the_header_of_another_kind_is_refused() -> None:
    assert fault_of(compressed(f"{HEADER}\n{ROW}\n"), "trades_v1").rule == "wrong_header"


@pytest.mark.parametrize(
    "body",
    [
        f"{ROW}\nÄ{ROW[1:]}\n".encode("latin-1"),
        f'{ROW}\n"A,100,1.5,1.6,1.7,1.4,1,3\nB",100,1.5,1.6,1.7,1.4,1,3\n{ROW}\n'.encode(),
        f'{ROW}\n"A,100,1.5,1.6,1.7,1.4,1,3\n{ROW}\n{ROW}\n'.encode(),
    ],
    ids=["not UTF-8", "a quoted value over two lines", "a quote that never ends"],
)
def test_rows_that_are_no_csv_are_a_fault_of_the_file_found_before_a_row_is_used(body: bytes) -> None:
    # Two lines in one pair of quotes would make two bars one, under a symbol that does not exist.
    assert fault_of(compressed(f"{HEADER}\n".encode() + body)).rule == "not_csv"


@pytest.mark.parametrize(("end", "lines"), [("", 4), ("\n", 4), ("\n\n", 5), ("\n\n\n", 6), ("\n  ", 4)])
def test_every_line_gives_one_row_however_the_file_ends(end: str, lines: int) -> None:
    # The rows are the lines that a run accounts for: a blank one counts too, but for white space at the very end.
    assert len(read(compressed(f"{HEADER}\n{ROW}\n\nA,1\n{ROW}{end}"))) == lines


# What a CSV value may hold. Line ends inside values and NUL do not occur in the vendor's files; the product refuses the
# former as no CSV of one line a row.
VALUE = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from(',"'), max_size=12)


@given(rows=st.lists(st.lists(VALUE, min_size=8, max_size=8), min_size=1, max_size=12), block_bytes=st.integers(1, 300))
@hypothesis_settings(deadline=None, max_examples=150)
def test_rows_written_as_csv_come_back_the_same_whatever_the_block_size(
    rows: list[list[str]], block_bytes: int
) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([BAR_COLUMNS, *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flatfiles, "TEXT_BYTES", block_bytes)
        content = compressed(text.getvalue())
        found = read(content)
    assert [[row[name] or "" for name in BAR_COLUMNS] for row in found] == rows
    assert [row["line"] for row in found] == list(range(2, len(rows) + 2))


def test_a_copy_is_the_same_bytes_and_knows_their_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatfiles, "BLOCK_BYTES", 4)
    local = fs.LocalFileSystem()
    with local.open_output_stream(str(tmp_path / "copy")) as target:
        # SHA-256 of "smallcaps\n" by coreutils' sha256sum.
        sha256, size = copy_with_checksum(stream(b"smallcaps\n"), target)
    assert (sha256, size) == ("d71148ea3b5dd38b7e788cd2e7f0bde6649956ae5c86c54adb165d4a85f80c10", 10)
    assert (tmp_path / "copy").read_bytes() == b"smallcaps\n"


def test_files_are_listed_by_kind_and_day_within_the_range(tmp_path: Path) -> None:
    for kind in ("day_aggs_v1", "trades_v1"):
        for day in ("2014-12-31", "2015-01-02", "2015-11-27", "2015-12-31", "2016-01-04"):
            place(tmp_path, kind, day, b"12345")
    place(tmp_path, "minute_aggs_v1", "2015-11-27", b"")
    (tmp_path / "us_stocks_sip/day_aggs_v1/2015/11/README.txt").write_text("no data")
    (tmp_path / "us_stocks_sip/day_aggs_v1/2015/11/2015-11-30.csv").write_text("not compressed")
    (tmp_path / "us_stocks_sip/day_aggs_v1/2015-11-24.csv.gz").write_text("not in the layout")
    local = fs.LocalFileSystem()

    found = list_files(local, str(tmp_path), ["trades_v1", "day_aggs_v1"], date(2015, 1, 2), date(2015, 12, 31))

    days = [date(2015, 1, 2), date(2015, 11, 27), date(2015, 12, 31)]
    assert [(file.kind, file.session_date) for file in found] == [
        *(("trades_v1", day) for day in days),
        *(("day_aggs_v1", day) for day in days),
    ]
    assert found[0].path == str(tmp_path / "us_stocks_sip/trades_v1/2015/01/2015-01-02.csv.gz")
    assert found[0].size == 5
    over_new_year = list_files(local, str(tmp_path), ["day_aggs_v1"], date(2015, 12, 31), date(2016, 1, 31))
    assert [file.session_date for file in over_new_year] == [date(2015, 12, 31), date(2016, 1, 4)]


def test_a_folder_without_the_layout_lists_nothing(tmp_path: Path) -> None:
    assert list_files(fs.LocalFileSystem(), str(tmp_path), ["day_aggs_v1"], date(2015, 1, 1), date(2015, 12, 31)) == []


def test_a_file_named_by_a_day_that_does_not_exist_is_no_file_of_the_range(tmp_path: Path) -> None:
    good = place(tmp_path, "day_aggs_v1", "2015-02-27", b"")
    good.with_name("2015-02-30.csv.gz").write_bytes(b"")
    found = list_files(fs.LocalFileSystem(), str(tmp_path), ["day_aggs_v1"], date(2015, 2, 1), date(2015, 3, 31))
    assert [file.path for file in found] == [str(good)]
