"""Splits bodies end to end."""

import hashlib
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import Row, SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.ingest.reference import ingest_splits
from smallcaps.lake import Lake, last_runs

pytestmark = pytest.mark.slow

BODY = Path(__file__).parent / "fixtures" / "splits.json"

# Lines 2, 3, … of a CSV whose columns are in another order: (line, the rule it breaks).
LINES = [
    ("1,A,2015-06-01,10", None),
    ("1.0299,FRAC,2015-06-02,1", None),
    ("0.5,NULL,2015-06-03,0.25", None),
    ("1,IMPOSSIBLE,2015-13-01,10", "unparsable_date"),
    ("1,AMERICAN,06/01/2015,10", "unparsable_date"),
    ("1,NODATE,,10", "unparsable_date"),
    ("1,MONTH,2015-06,10", "unparsable_date"),  # Part of a date is no date, though Spark would take its first day.
    ("1,YEAR,2015,10", "unparsable_date"),
    ("ten,WORD,2015-06-01,1", "unparsable_number"),
    (",NOTO,2015-06-01,1", "unparsable_number"),
    ("1,,2015-06-01,10", "missing_symbol"),
    ("1,SHORT,2015-06-01", "unparsable_number"),
    ("0,ZERO,2015-06-01,1", None),  # Typed well: silver refuses it.
]
HEADER = "split_to,ticker,execution_date,split_from"


@pytest.fixture(scope="module")
def filled(
    spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Lake, Path]]:
    """A lake that took the vendor's body in, then a CSV twice; and the CSV."""
    folder = tmp_path_factory.mktemp("reference")
    lake, csv = Lake(str(folder / "lake"), spark), folder / "splits.csv"
    csv.write_text("\n".join([HEADER, *(line for line, _ in LINES)]) + "\n")
    assert ingest_splits(lake, settings, str(BODY)) == 10
    for _ in range(2):
        assert ingest_splits(lake, settings, str(csv)) == 4
    yield lake, csv
    for layer in ("bronze", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def rows_of(lake: Lake, file: Path, table: str = "bronze.splits") -> list[Row]:
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    return lake.read(table).where(f"source_sha256 = '{sha256}'").orderBy("source_line").collect()


def test_the_vendors_body_arrives_record_by_record(filled: tuple[Lake, Path]) -> None:
    rows = rows_of(filled[0], BODY)
    records = json.loads(BODY.read_text())["results"]
    assert [(row.symbol, row.execution_date.isoformat(), row.split_from, row.split_to) for row in rows] == [
        (record["ticker"], record["execution_date"], record["split_from"], record["split_to"]) for record in records
    ]
    assert [row.source_line for row in rows] == list(range(2, 12))


def test_csv_ratios_may_be_fractions_and_a_ticker_may_be_null(filled: tuple[Lake, Path]) -> None:
    assert [
        (row.symbol, row.execution_date, row.split_from, row.split_to, row.source_line) for row in rows_of(*filled)
    ] == [
        ("A", date(2015, 6, 1), 10.0, 1.0, 2),
        ("FRAC", date(2015, 6, 2), 1.0, 1.0299, 3),
        ("NULL", date(2015, 6, 3), 0.25, 0.5, 4),
        ("ZERO", date(2015, 6, 1), 1.0, 0.0, 14),
    ]


def test_a_record_that_cannot_be_typed_is_quarantined_once_and_as_it_came(filled: tuple[Lake, Path]) -> None:
    rows = rows_of(*filled, "ops.quarantine")
    assert {row.source_line: row.rule for row in rows} == {
        line: rule for line, (_, rule) in enumerate(LINES, start=2) if rule
    }
    word = next(row for row in rows if row.source_line == 10)
    assert json.loads(word.payload) == {
        "ticker": "WORD",
        "execution_date": "2015-06-01",
        "split_from": "1",
        "split_to": "ten",
    }
    assert "not a number" in word.reason


def test_records_in_are_records_kept_and_records_quarantined(filled: tuple[Lake, Path]) -> None:
    runs = last_runs(filled[0], ["ingest reference"])
    counts = [(run["rows_in"], run["rows_kept"], run["rows_quarantined"]) for run in runs]
    assert counts == [(13, 4, 9), (13, 4, 9), (10, 10, 0)]
    size = filled[1].stat().st_size
    assert [(run["files_in"], run["bytes_in"]) for run in runs[:2]] == [(1, size), (1, size)]


def test_the_raw_zone_keeps_the_bytes_and_the_ledger_their_checksum(filled: tuple[Lake, Path]) -> None:
    ledger = {row.source: row for row in filled[0].read("ops.ledger").collect()}
    assert set(ledger) == {str(BODY), str(filled[1])}
    for source, row in ledger.items():
        content = Path(source).read_bytes()
        assert (Path(filled[0].root) / row.raw_path).read_bytes() == content
        assert (row.sha256, row.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert (row.kind, row.session_date) == ("splits", None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "lacks ticker, execution_date, split_from, split_to"),
        (b"ticker,execution_date,split_from\nA,2015-06-01,1\n", "lacks split_to"),
        (b"this is no table", "is not a splits file"),
        (b'{"results": [', "begins like JSON"),
        (b"\x1f\x8b\x08\x00\xff", "not UTF-8"),
        (f"{HEADER}\n".encode(), "holds no splits"),
        (b'{"results": [], "status": "OK"}', "holds no splits"),
        (b'{"status": "ERROR", "error": "Unknown API Key"}', "splits"),
        (b'{"results": null}', "is not a splits file"),
        (b"[1, 2]", "is not a splits file"),
    ],
)
def test_what_is_no_splits_file_is_bad_data_and_leaves_no_trace(
    content: bytes, words: str, lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "splits"
    file.write_bytes(content)
    with pytest.raises(BadData, match=words) as error:
        ingest_splits(lake, settings, str(file))
    assert str(file) in str(error.value)
    assert not Path(lake.root).exists()


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_a_file_that_cannot_be_read_is_bad_input(name: str, lake: Lake, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        ingest_splits(lake, settings, str(tmp_path / name))
