"""Flat files of the vendor's bucket: fetched once, again when they were republished, read again when bronze lacks rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadData, FailedDependency
from smallcaps.ingest.flatfiles import Ingested, ingest_flatfiles
from smallcaps.lake import Lake, last_runs
from smallcaps.sources.polygon.bucket import VendorBucket
from smallcaps.sources.polygon.credentials import KeyPair
from smallcaps.sources.simulator.server import ACCESS_KEY, Faults, running
from tests.sources.simulator.server.market import DAYS, KEY, MONDAY, SYMBOLS, write_market
from tests.sources.vendor_files import bar, write_rows

KIND = "day_aggs_v1"


@contextmanager
def bucket(market: Path, **faults: object) -> Iterator[VendorBucket]:
    with running(market, KEY, faults=Faults.of(faults)) as place:
        yield VendorBucket(place.origin, "flatfiles", KeyPair(ACCESS_KEY, "unverified"))


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vendor") / "market"
    write_market(folder)
    for day in DAYS:
        write_rows(folder, KIND, str(day), [bar(symbol, str(day)) for symbol in SYMBOLS])
    return folder


def taken(lake: Lake, settings: Settings, source: VendorBucket, symbols: list[str] | None = None) -> Ingested:
    return ingest_flatfiles(lake, settings, source, [KIND], DAYS[0], DAYS[-1], symbols)


def rows(lake: Lake) -> set[tuple[object, ...]]:
    columns = ("symbol", "session_date", "close", "source_sha256")
    return {tuple(row) for row in lake.read("bronze.bars_1d").select(*columns).collect()}


def test_a_file_is_fetched_once_and_again_when_it_was_republished(
    spark: SparkSession, settings: Settings, lake: Lake, market: Path
) -> None:
    with bucket(market) as source:
        first = taken(lake, settings, source)
        assert (first.files, first.files_known) == (3, 0)
        before = rows(lake)
        second = taken(lake, settings, source)
        assert (second.files, second.files_known, second.rows) == (0, 3, {})
        assert rows(lake) == before
    with bucket(market, republish=str(MONDAY)) as source:
        third = taken(lake, settings, source)
    assert (third.files, third.files_known) == (1, 2)
    after = rows(lake)
    assert {row[:3] for row in after} == {row[:3] for row in before}
    changed = {row[1] for row in after - before}
    assert changed == {MONDAY}
    assert lake.read("ops.ledger").count() == 4


def test_other_symbols_of_a_file_that_is_here_are_read_from_the_raw_zone(
    spark: SparkSession, settings: Settings, lake: Lake, market: Path
) -> None:
    with bucket(market) as source:
        first = taken(lake, settings, source, ["ABCD"])
        assert first.files == 3
        assert {row[0] for row in rows(lake)} == {"ABCD"}
        whole = taken(lake, settings, source)
    assert (whole.files, whole.files_known) == (0, 3)
    assert {row[0] for row in rows(lake)} == set(SYMBOLS)


def test_a_file_that_cannot_be_had_fails_the_run_and_the_others_are_in_the_lake(
    spark: SparkSession, settings: Settings, lake: Lake, market: Path
) -> None:
    with bucket(market, republish=str(MONDAY), republish_after=1) as source:
        # Between listing and reading it was replaced: the bytes asked for are no more.
        with pytest.raises(
            FailedDependency, match=r"1 of 3 files could not be fetched.*was replaced since it was listed"
        ):
            taken(lake, settings, source)
        assert {row[1] for row in rows(lake)} == set(DAYS) - {MONDAY}
        run = last_runs(lake, limit=1)[0]
        assert (run["outcome"], run["rows_kept"]) == ("failed", 2 * len(SYMBOLS))
        again = taken(lake, settings, source)
    assert (again.files, again.files_known) == (1, 2)
    assert {row[1] for row in rows(lake)} == set(DAYS)


def test_a_raw_file_that_was_damaged_since_takes_no_row_away(
    spark: SparkSession, settings: Settings, lake: Lake, market: Path
) -> None:
    with bucket(market) as source:
        taken(lake, settings, source)
        before = rows(lake)
        (kept,) = Path(lake.raw).rglob(f"{MONDAY}*.csv.gz")
        kept.write_bytes(kept.read_bytes()[:-20])
        with pytest.raises(BadData, match="1 of 3 files were refused"):
            taken(lake, settings, source, [SYMBOLS[0]])
    assert rows(lake) == before
