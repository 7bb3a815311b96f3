"""Splits bodies, as JSON and as CSV."""

import pytest

from smallcaps.sources.polygon.reference import parse_splits

HEADER = "ticker,execution_date,split_from,split_to"


def test_a_json_body_gives_its_results_as_text() -> None:
    body = b"""{"results": [
        {"execution_date": "2022-07-18", "split_from": 1, "split_to": 20, "ticker": "GOOGL", "id": "E3a"},
        {"execution_date": "2022-05-02", "split_from": 3, "split_to": 4.5, "ticker": "CIG.C"}
    ], "status": "OK"}"""
    assert parse_splits(body) == [("GOOGL", "2022-07-18", "1", "20"), ("CIG.C", "2022-05-02", "3", "4.5")]


def test_a_json_list_is_a_body_too_and_a_field_that_one_record_lacks_is_none() -> None:
    body = b'[{"ticker": "A", "execution_date": "2022-07-18", "split_from": 1, "split_to": 2}, {"ticker": "NULL"}]'
    assert parse_splits(body) == [("A", "2022-07-18", "1", "2"), ("NULL", None, None, None)]


def test_csv_is_read_by_column_name_whatever_the_order_and_with_a_byte_order_mark() -> None:
    text = (
        "\ufeffsplit_to,ticker,execution_date,split_from,note\r\n1,NA,2015-06-01,10,x\r\n1.0299,BApA,2015-06-02,1,\r\n"
    )
    assert parse_splits(text.encode()) == [("NA", "2015-06-01", "10", "1"), ("BApA", "2015-06-02", "1", "1.0299")]


def test_a_blank_line_keeps_the_places_of_the_lines_after_it() -> None:
    # A row's place in the list is its line number (from 2), which quarantine and lineage name.
    rows = parse_splits(f"{HEADER}\nA,2015-06-01,10,1\n\nB,2015-06-01,10,1\n".encode())
    assert (rows[0][0], rows[2][0]) == ("A", "B")


def test_a_header_without_rows_is_a_list_of_none() -> None:
    assert parse_splits(f"{HEADER}\n".encode()) == []
    assert parse_splits(b'{"results": [], "status": "OK"}') == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "lacks ticker, execution_date, split_from, split_to"),
        (b"ticker,execution_date,split_from\nA,2015-06-01,1\n", "lacks split_to"),
        (b"hello", "lacks ticker"),
        (b'{"results": [', "begins like JSON"),
        (b"\x1f\x8b\x08\x00", "not UTF-8"),
        (b'{"results": null, "status": "OK"}', "results"),
        (b"[1, 2]", "record"),
        (b'{"results": {"ticker": "A"}}', "results"),
        (b'{"results": [{"ticker": "A", "execution_date": "2015-06-01"}]}', "split_from, split_to"),
    ],
)
def test_what_is_no_splits_body_is_refused_with_the_reason(content: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_splits(content)
