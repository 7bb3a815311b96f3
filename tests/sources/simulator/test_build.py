"""A market built on Spark: whole, deterministic, readable by our own reader, and what the truth says."""

import hashlib
import json
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import fs
from pyspark.sql import SparkSession

from smallcaps.demo import SIMULATED
from smallcaps.errors import BadInput
from smallcaps.sources.polygon.flatfiles import list_files, read_rows
from smallcaps.sources.simulator import faults as kinds
from smallcaps.sources.simulator.build import build_market
from smallcaps.sources.simulator.layout import REPUBLISHED, read_records, read_tape, tape_days

KIND_OF_TAPE = {"day_aggs_v1": "day", "minute_aggs_v1": "minute", "trades_v1": "trades", "quotes_v1": "quotes"}
KIND_OF_TAPE |= {"book_v1": "book"}


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows_of(market: Path, kind: str, day: date) -> pa.Table:
    (file,) = list_files(fs.LocalFileSystem(), str(market), [kind], day, day)
    with fs.LocalFileSystem().open_input_stream(file.path, compression=None) as stream:
        return pa.Table.from_batches(list(read_rows(stream, kind)))


def test_the_same_settings_give_the_same_bytes(spark: SparkSession, simulated_market: Path, tmp_path: Path) -> None:
    again = tmp_path / "market"
    build_market(spark, SIMULATED, again)
    assert digests(again) == digests(simulated_market)
    assert not (simulated_market / "parts").exists()


def test_the_files_hold_the_tape_but_for_rows_that_were_doubled(simulated_market: Path) -> None:
    doubled = {
        (fault["symbol"], fault["session_date"])
        for fault in read_records(simulated_market / "truth" / "faults.jsonl")
        if fault["kind"] in (kinds.DUPLICATE_ROWS, kinds.REPUBLISHED)
    }
    for kind, tape in KIND_OF_TAPE.items():
        for day in tape_days(simulated_market, tape):
            rows, expected = rows_of(simulated_market, kind, day), read_tape(simulated_market, tape, day)
            if not {of for _, of in doubled} & {str(day)} or tape in ("day", "quotes", "book"):
                assert rows.num_rows == expected.num_rows
                assert rows["ticker"].to_pylist() == expected["symbol"].to_pylist()
            assert rows["raw"].null_count == rows.num_rows


def test_a_file_has_the_tapes_figures_in_the_vendors_spelling(simulated_market: Path) -> None:
    day = tape_days(simulated_market, "trades")[0]
    rows, tape = rows_of(simulated_market, "trades_v1", day), read_tape(simulated_market, "trades", day)
    place = next(place for place, listed in enumerate(tape["conditions"].to_pylist()) if len(listed) > 1)
    one = tape.slice(place, 1).to_pylist()[0]
    text = rows.slice(place, 1).to_pylist()[0]
    assert text["price"] == f"{one['price'] / 10_000:.6f}"
    assert text["size"] == f"{one['size'] / 1_000_000:.6f}"
    assert text["conditions"] == ",".join(map(str, one["conditions"]))
    assert text["sip_timestamp"] == str(one["sip_ns"])


def test_a_book_lies_apart_from_the_vendors_files_and_reads_as_json(simulated_market: Path) -> None:
    day = tape_days(simulated_market, "book")[0]
    assert (simulated_market / "smallcaps" / "book_v1" / f"{day:%Y/%m}" / f"{day}.csv.gz").is_file()
    vendors = {path.name for path in (simulated_market / "us_stocks_sip").iterdir()}
    assert vendors == {"day_aggs_v1", "minute_aggs_v1", "trades_v1", "quotes_v1"}
    rows, tape = rows_of(simulated_market, "book_v1", day), read_tape(simulated_market, "book", day)
    one, text = tape.slice(5, 1).to_pylist()[0], rows.slice(5, 1).to_pylist()[0]
    assert text["published_timestamp"] == str(one["published_ns"])
    assert len(one["bids"]) == 10
    for side in ("bids", "asks"):
        levels = [{"price": level["price"] / 10_000, "size": level["size"] / 1_000_000} for level in one[side]]
        assert json.loads(text[side]) == levels


def test_every_book_is_that_of_a_quote_on_the_tape(simulated_market: Path) -> None:
    day = tape_days(simulated_market, "book")[0]
    quotes = {
        (row["symbol"], row["sip_ns"]): (row["bid_price"], row["bid_size"], row["ask_price"], row["ask_size"])
        for row in read_tape(simulated_market, "quotes", day).to_pylist()
    }
    books = read_tape(simulated_market, "book", day).to_pylist()
    assert {row["symbol"] for row in books} == {symbol for symbol, _ in quotes}
    nothing = {"price": 0, "size": 0}
    for row in books:
        bid, ask = (row[side][0] if row[side] else nothing for side in ("bids", "asks"))
        best = (bid["price"], bid["size"], ask["price"], ask["size"])
        assert best == quotes[row["symbol"], row["published_ns"]]


def test_the_tape_is_sorted_and_its_keys_are_unique(simulated_market: Path) -> None:
    for day in tape_days(simulated_market, "minute"):
        rows = read_tape(simulated_market, "minute", day).to_pandas()
        assert rows[["symbol", "start_ns"]].apply(tuple, axis=1).is_monotonic_increasing
        assert not rows.duplicated(["symbol", "start_ns"]).any()
    for day in tape_days(simulated_market, "trades"):
        rows = read_tape(simulated_market, "trades", day).to_pandas()
        assert rows[["symbol", "sip_ns", "sequence_number"]].apply(tuple, axis=1).is_monotonic_increasing
        key = ["symbol", "exchange", "trf_id", "id", "correction"]
        assert not rows.duplicated(key).any()


def test_a_republished_file_differs_from_the_first_in_one_symbol_alone(simulated_market: Path) -> None:
    (fault,) = (
        fault
        for fault in read_records(simulated_market / "truth" / "faults.jsonl")
        if fault["kind"] == kinds.REPUBLISHED
    )
    day = date.fromisoformat(fault["session_date"])
    first, later = (
        rows_of(simulated_market, "minute_aggs_v1", day),
        rows_of(simulated_market / "republished", "minute_aggs_v1", day),
    )
    counts = []
    for rows in (first, later):
        of = pc.value_counts(rows["ticker"]).to_pylist()
        counts.append({one["values"]: one["counts"] for one in of})
    assert {symbol for symbol in counts[1] if counts[0].get(symbol) != counts[1][symbol]} == {fault["symbol"]}
    assert len(list((simulated_market / REPUBLISHED).rglob("*.csv.gz"))) == 1


def test_cancelled_trades_are_there_twice(simulated_market: Path) -> None:
    cancelled = [
        fault for fault in read_records(simulated_market / "truth" / "faults.jsonl") if fault["kind"] == kinds.CANCELLED
    ]
    assert cancelled
    for fault in cancelled:
        rows = read_tape(simulated_market, "trades", date.fromisoformat(fault["session_date"])).to_pylist()
        (identity,) = fault["trade_ids"]
        both = [row for row in rows if row["symbol"] == fault["symbol"] and row["correction"]]
        assert sorted(row["correction"] for row in both) == [8, 10]
        assert {row["id"] for row in both} == {identity}


def test_halts_of_the_truth_have_no_bar_inside(simulated_market: Path) -> None:
    halts = list(read_records(simulated_market / "truth" / "halts.jsonl"))
    assert halts
    for halt in halts:
        rows = read_tape(simulated_market, "minute", date.fromisoformat(halt["session_date"]))
        of = rows.filter(pc.equal(rows["symbol"], halt["symbol"]))["start_ns"].to_pylist()
        inside = [at for at in of if halt["start_ns"] <= at and at + 60_000_000_000 <= halt["end_ns"]]
        assert inside == []


def test_splits_of_the_vendor_differ_from_the_true_ones_where_the_truth_says(simulated_market: Path) -> None:
    listed = [
        (split["ticker"], split["execution_date"], split["split_from"], split["split_to"])
        for split in read_records(simulated_market / "reference" / "splits.jsonl")
    ]
    true = [
        (split["symbol"], split["day"], split["old"], split["new"])
        for split in read_records(simulated_market / "truth" / "splits.jsonl")
    ]
    wrong = {
        (fault["symbol"], fault["session_date"])
        for fault in read_records(simulated_market / "truth" / "faults.jsonl")
        if fault["kind"] in kinds.SPLIT_FAULTS
    }
    assert [one for one in listed if one[:2] not in wrong] == sorted(
        (one for one in true if one[:2] not in wrong), key=lambda one: (one[1], one[0])
    )


def test_every_reference_file_has_records(simulated_market: Path) -> None:
    names = {path.stem for path in (simulated_market / "reference").glob("*.jsonl")}
    assert len(names) == 29
    empty = {name for name in names if not list(read_records(simulated_market / "reference" / f"{name}.jsonl"))}
    assert empty == set()


def test_statements_add_up(simulated_market: Path) -> None:
    for record in read_records(simulated_market / "reference" / "balance_sheets.jsonl"):
        assert record["total_assets"] == pytest.approx(record["total_liabilities"] + record["total_equity"], abs=0.05)


def test_a_folder_that_holds_something_is_refused(spark: SparkSession, simulated_market: Path) -> None:
    with pytest.raises(BadInput, match="not empty"):
        build_market(spark, SIMULATED, simulated_market)
