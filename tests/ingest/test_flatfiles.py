"""Flat files end to end: every bad file and line is refused by name, everything else arrives, and nothing is lost."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.ingest.flatfiles import Ingested, ingest_flatfiles
from smallcaps.lake import Lake, last_runs
from smallcaps.sources.polygon.bucket import Folder
from tests.sources.vendor_files import (
    BAR_COLUMNS,
    TRADE_COLUMNS,
    bar,
    compressed,
    csv_text,
    new_york_ns,
    place,
    trade,
    write_rows,
)

pytestmark = pytest.mark.slow

FIRST, LAST = date(2015, 11, 24), date(2015, 12, 9)
MIXED, PLAIN, NO_ROW_SOUND = "2015-11-24", "2015-11-25", "2015-12-08"
HEADER = ",".join(BAR_COLUMNS)
SOUND_ROW = "A,1000,10.00,10.50,11.00,9.50,1448859600000000000,25"

# Lines 2, 3, … of the mixed file: (bar or text, the rule it breaks).
MIXED_LINES: list[tuple[dict[str, str] | str, str | None]] = [
    *((bar(ticker, MIXED), None) for ticker in ("NA", "NULL", "nan", "TRUE", "BApA", "BAPA")),
    (bar("NOVOL", MIXED, volume="0", transactions="0"), None),
    (bar("NEGATIVE", MIXED, low="-1.000000"), None),  # Typed well: silver refuses it.
    (bar("CROSSED", MIXED, high="9.00"), None),
    (bar("NOCOUNT", MIXED, transactions=""), None),
    (bar("SHARD", MIXED, volume="0.001500", open="0.0001"), None),
    (bar("NA", MIXED), None),  # A repeat: silver refuses it.
    (bar("WORD", MIXED, open="ten"), "unparsable_number"),
    (bar("COMMA", MIXED, volume="1,000"), "unparsable_number"),
    (bar("NAN", MIXED, close="NaN"), "unparsable_number"),
    (bar("HUGE", MIXED, volume="1e30"), "unparsable_number"),
    (bar("HALFCOUNT", MIXED, transactions="2.5"), "unparsable_number"),
    (bar("EMPTY", MIXED, high=""), "missing_value"),
    (bar("", MIXED), "missing_symbol"),
    ("SHORT,1000,10", "wrong_field_count"),
    (f"{SOUND_ROW},surplus", "wrong_field_count"),
    (bar("LAST", MIXED), None),
]
TRADES = [
    (trade("A", MIXED, "10:00", 1, conditions="12,37", size="10.000000", correction=""), None),
    (trade("NULL", MIXED, "10:00", 2, exchange=4, trf_id=202, trf_timestamp=5, participant_timestamp=0), None),
    (trade("A", MIXED, "10:00", 3, conditions="12,x"), "unparsable_number"),
    (trade("A", MIXED, "10:00", 4, conditions="12,,37"), "unparsable_number"),
    (trade("A", MIXED, "10:00", 5, price=""), "missing_value"),
    (trade("A", MIXED, "10:00", 6, sip_timestamp="1.4e18"), "unparsable_number"),
]
WHOLE = compressed("\n".join([HEADER, *(f"S{number},{number * 7919 % 10007},1,1,1,1,1,1" for number in range(999))]))
# day: (bytes, the rule its file breaks, words of the reason)
FAULTY = {
    "2015-11-27": (WHOLE[: len(WHOLE) // 2], "truncated_gzip", "damaged"),
    "2015-11-30": (compressed(f"sym,v,o,c,h,l,t,n\n{SOUND_ROW}\n"), "wrong_header", "columns missing: ticker, volume"),
    "2015-12-01": (
        compressed(f"{HEADER.removesuffix(',transactions')}\n{SOUND_ROW.removesuffix(',25')}\n"),
        "wrong_header",
        "columns missing: transactions; columns not expected: none",
    ),
    "2015-12-02": (
        compressed(f"{HEADER},vwap\n{SOUND_ROW},10.1\n"),
        "wrong_header",
        "columns missing: none; columns not expected: vwap",
    ),
    "2015-12-03": (b"", "empty_file", "no header and no rows"),
    "2015-12-04": (compressed(f"{HEADER}\n"), "empty_file", "a header and no rows"),
    "2015-12-07": (b"<Error>AccessDenied</Error>", "truncated_gzip", "Not a gzipped file"),
    "2015-12-09": (compressed(f"{HEADER}\n{SOUND_ROW}\nÄ{SOUND_ROW[1:]}\n".encode("latin-1")), "not_csv", "not UTF-8"),
}


def mixed_text() -> str:
    """The mixed file; its last line has no newline."""
    lines = [
        line if isinstance(line, str) else csv_text(BAR_COLUMNS, [line]).splitlines()[1] for line, _ in MIXED_LINES
    ]
    return "\n".join([HEADER, *lines])


@dataclass
class Snapshot:
    """What the lake held after a call, and what the call gave."""

    result: Ingested | BadData
    bars: pd.DataFrame
    trades: list[dict]
    quarantine: pd.DataFrame
    ledger: pd.DataFrame
    run: dict
    raw_files: set[str]


@dataclass
class Story:
    """One lake after each of three calls."""

    lake: Lake
    vendor: Path
    first: Snapshot
    one_symbol: Snapshot
    again: Snapshot


@pytest.fixture(scope="module")
def story(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A folder with every kind of damage is taken in. Then one day is republished, and taken in for one symbol. Then the
    whole folder is taken in again.
    """
    folder = tmp_path_factory.mktemp("ingest")
    vendor, lake = folder / 'vendor "copy"', Lake(str(folder / "lake"), spark)
    place(vendor, "day_aggs_v1", MIXED, compressed(mixed_text()))
    write_rows(vendor, "trades_v1", MIXED, [row for row, _ in TRADES])
    old = write_rows(vendor, "day_aggs_v1", PLAIN, [bar("A", PLAIN), bar("B", PLAIN), bar("b", PLAIN)])
    place(vendor, "day_aggs_v1", NO_ROW_SOUND, compressed(f"{HEADER}\nA,1\nB,,,,,,,\n"))
    for day, (content, *_) in FAULTY.items():
        place(vendor, "day_aggs_v1", day, content)

    def call(first: date, last: date, symbols: list[str] | None = None) -> Snapshot:
        result: Ingested | BadData
        try:
            result = ingest_flatfiles(
                lake, settings, Folder(str(vendor)), ["day_aggs_v1", "trades_v1"], first, last, symbols
            )
        except BadData as error:
            result = error
        raw = Path(lake.raw)
        return Snapshot(
            result,
            bars=lake.read("bronze.bars_1d").toPandas().sort_values(["session_date", "source_line"], ignore_index=True),
            # No frame: pandas would make floats of nanoseconds that may be null.
            trades=[row.asDict() for row in lake.read("bronze.trades").orderBy("source_line").collect()],
            quarantine=lake.read("ops.quarantine").toPandas().sort_values("quarantine_id", ignore_index=True),
            ledger=lake.read("ops.ledger").toPandas().sort_values("sha256", ignore_index=True),
            run=last_runs(lake, limit=1)[0],
            raw_files={str(path.relative_to(raw)) for path in raw.rglob("*") if path.is_file()},
        )

    first = call(FIRST, LAST)
    # The same day with other bytes: all prices differ, b is gone, C is new, and two lines are damaged.
    new = [bar(name, PLAIN, open="10.25", close="10.25", high="10.25", low="10.25") for name in ("A", "B", "C")]
    place(vendor, "day_aggs_v1", PLAIN, compressed(csv_text(BAR_COLUMNS, new) + "A,1\nB,1,2\n"))
    assert old.exists()
    one_symbol = call(date.fromisoformat(PLAIN), date.fromisoformat(PLAIN), ["A"])
    yield Story(lake, vendor, first, one_symbol, again=call(FIRST, LAST))
    for layer in ("bronze", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def of_other_days(snapshot: Snapshot) -> pd.DataFrame:
    """The bars of the days that were not republished, without the run that wrote them."""
    bars = snapshot.bars
    return bars[bars["session_date"] != date(2015, 11, 25)].drop(columns="run_id").reset_index(drop=True)


def test_the_call_ends_in_bad_data_that_counts_the_files_refused(story: Story) -> None:
    assert isinstance(story.first.result, BadData)
    # Twelve files: eight damaged, three sound bar files, one trade file.
    assert "8 of 12 files were refused" in str(story.first.result)
    assert "2015-11-27.csv.gz" in str(story.first.result)


@pytest.mark.parametrize("day", FAULTY)
def test_a_damaged_file_is_quarantined_whole_with_its_reason(day: str, story: Story) -> None:
    content, rule, words = FAULTY[day]
    rows = story.first.quarantine
    (row,) = rows[(rows["source_sha256"] == hashlib.sha256(content).hexdigest())].itertuples()
    assert (row.table_name, row.rule, row.source_line) == ("bronze.bars_1d", rule, 0)
    assert words in row.reason
    assert date.fromisoformat(day) not in set(story.first.bars["session_date"])


def test_the_payload_of_a_refused_file_is_json_that_names_where_it_came_from(story: Story) -> None:
    rows = story.first.quarantine
    payloads = [json.loads(payload) for payload in rows.loc[rows["source_line"] == 0, "payload"]]
    assert {payload["source"] for payload in payloads} == {
        str(story.vendor / f"us_stocks_sip/day_aggs_v1/{day[:4]}/{day[5:7]}/{day}.csv.gz") for day in FAULTY
    }
    assert all((Path(story.lake.root) / payload["raw_path"]).is_file() for payload in payloads)


def test_sound_lines_arrive_typed_and_the_others_are_quarantined_by_rule(story: Story) -> None:
    expected = {line: rule for line, (_, rule) in enumerate(MIXED_LINES, start=2)}
    sha256 = hashlib.sha256(compressed(mixed_text())).hexdigest()
    bars = story.first.bars[story.first.bars["source_sha256"] == sha256]
    rows = story.first.quarantine[story.first.quarantine["source_sha256"] == sha256]
    assert set(bars["session_date"]) == {date(2015, 11, 24)}
    assert list(bars["source_line"]) == [line for line, rule in expected.items() if rule is None]
    assert dict(zip(rows["source_line"], rows["rule"], strict=True)) == {
        line: rule for line, rule in expected.items() if rule
    }
    assert all(len(reason) > 10 for reason in rows["reason"])


def test_tickers_stay_as_they_were_written(story: Story) -> None:
    tickers = list(story.first.bars.loc[story.first.bars["session_date"] == date(2015, 11, 24), "symbol"])
    assert tickers[:6] == ["NA", "NULL", "nan", "TRUE", "BApA", "BAPA"]
    assert tickers.count("NA") == 2
    assert [row["symbol"] for row in story.first.trades] == ["A", "NULL"]


def test_numbers_arrive_exact_and_an_absent_count_is_null(story: Story) -> None:
    rows = story.first.bars.set_index("symbol")
    shard = rows.loc["SHARD"]
    assert (shard["volume"], shard["open"]) == (Decimal("0.001500"), Decimal("0.000100"))
    assert rows.loc["NOVOL", "volume"] == 0
    assert pd.isna(rows.loc["NOCOUNT", "transactions"])
    assert rows.loc["NEGATIVE", "low"] == Decimal("-1")
    assert rows.loc["LAST", "window_start_ns"] == new_york_ns(MIXED)


def test_trades_have_lists_of_conditions_and_no_zeros_that_mean_nothing(story: Story) -> None:
    first, second = story.first.trades
    assert first["conditions"] == [12, 37]
    assert first["size"] == Decimal("10")
    assert first["participant_ns"] == first["sip_ns"] - 1_000_000 == new_york_ns(MIXED, "10:00") - 1_000_000
    assert [first[name] for name in ("correction", "trf_id", "trf_ns")] == [None, None, None]
    assert second["conditions"] == []
    assert [second[name] for name in ("participant_ns", "trf_id", "trf_ns", "correction")] == [None, 202, 5, 0]
    rows = story.first.quarantine[story.first.quarantine["table_name"] == "bronze.trades"]
    assert dict(zip(rows["source_line"], rows["rule"], strict=True)) == {
        line: rule for line, (_, rule) in enumerate(TRADES, start=2) if rule
    }


def test_a_quarantined_line_is_kept_as_it_came(story: Story) -> None:
    sha256 = hashlib.sha256(compressed(mixed_text())).hexdigest()
    of_mixed = story.first.quarantine[story.first.quarantine["source_sha256"] == sha256]
    payloads = {row.source_line: json.loads(row.payload) for row in of_mixed.itertuples()}
    by_line = dict(enumerate((line for line, _ in MIXED_LINES), start=2))
    for line, payload in payloads.items():
        given = by_line[line]
        if isinstance(given, str):
            assert payload == {"ticker": given.partition(",")[0], "wrong_line": given}
        else:
            assert payload == given
    rows = story.first.quarantine
    (trade_on_4,) = rows.loc[(rows["table_name"] == "bronze.trades") & (rows["source_line"] == 4), "payload"]
    assert json.loads(trade_on_4) == TRADES[2][0]


def test_rows_in_are_rows_kept_and_rows_quarantined(story: Story) -> None:
    # Mixed file 22 lines, 13 of them sound; plain 3, all sound; the one without a sound row 2; trades 6, 2 of them sound.
    run = story.first.run
    assert len(MIXED_LINES) + 3 + 2 + len(TRADES) == 33
    assert (run["rows_in"], run["rows_kept"], run["rows_quarantined"]) == (33, 13 + 3 + 0 + 2, 9 + 0 + 2 + 4)
    assert run["rows_kept"] == len(story.first.bars) + len(story.first.trades)
    assert run["rows_quarantined"] == (story.first.quarantine["source_line"] > 0).sum()
    assert (run["job"], run["outcome"], run["message"]) == (
        "ingest flatfiles",
        "succeeded",
        "4 files fetched, 0 here already, 8 refused",
    )


def test_the_run_names_what_it_was_asked_and_what_it_wrote(story: Story) -> None:
    arguments = json.loads(story.first.run["arguments"])
    assert arguments == {
        "root": str(story.vendor),
        "kinds": ["day_aggs_v1", "trades_v1"],
        "from": "2015-11-24",
        "to": "2015-12-09",
        "symbols": None,
    }
    rows = {output["table"]: output["rows"] for output in story.first.run["outputs"]}
    # Quarantine holds 15 lines and 8 files; the ledger the 4 sound files.
    assert rows == {"bronze.bars_1d": 16, "bronze.trades": 2, "ops.quarantine": 23, "ops.ledger": 4}
    assert set(story.first.bars["run_id"]) == {story.first.run["run_id"]}
    # Refused files were read, too.
    sizes = [(Path(story.lake.raw) / name).stat().st_size for name in story.first.raw_files]
    assert (story.first.run["files_in"], story.first.run["bytes_in"]) == (12, sum(sizes))


def test_the_raw_zone_keeps_the_bytes_and_the_ledger_their_checksum(story: Story) -> None:
    for row in story.first.ledger.itertuples():
        kept = (Path(story.lake.root) / row.raw_path).read_bytes()
        assert hashlib.sha256(kept).hexdigest() == row.sha256
        assert len(kept) == row.size_bytes
    days = sorted((row.kind, str(row.session_date)) for row in story.first.ledger.itertuples())
    assert days == [("day_aggs_v1", MIXED), ("day_aggs_v1", PLAIN), ("day_aggs_v1", NO_ROW_SOUND), ("trades_v1", MIXED)]
    digest = hashlib.sha256(compressed(mixed_text())).hexdigest()
    assert f"flatfiles/us_stocks_sip/day_aggs_v1/2015/11/2015-11-24.{digest[:12]}.csv.gz" in story.first.raw_files
    # The damaged ones are kept too, and nothing half-written is left.
    assert len(story.first.raw_files) == 12
    assert not any(name.endswith(".part") for name in story.first.raw_files)


def test_taking_the_same_files_in_again_leaves_the_same_content(story: Story) -> None:
    first, again = story.first, story.again
    pd.testing.assert_frame_equal(of_other_days(first), of_other_days(again))
    assert [row | {"run_id": ""} for row in first.trades] == [row | {"run_id": ""} for row in again.trades]
    assert str(first.result) == str(again.result)
    # Ledger and quarantine keep what they had, the first run's name included, and get what is new: the republished file
    # and its two damaged lines.
    for name, key, new in (("ledger", "sha256", 1), ("quarantine", "quarantine_id", 2)):
        before, after = (getattr(snapshot, name).set_index(key) for snapshot in (first, again))
        pd.testing.assert_frame_equal(before, after.loc[before.index])
        assert len(after) == len(before) + new
    assert first.raw_files < again.raw_files
    assert len(again.raw_files) == len(first.raw_files) + 1


def test_a_run_counts_only_the_rows_that_it_added(story: Story) -> None:
    def added(snapshot: Snapshot) -> dict[str, int]:
        rows = {output["table"]: output["rows"] for output in snapshot.run["outputs"]}
        return {table: rows.get(table, 0) for table in ("ops.ledger", "ops.quarantine", "bronze.bars_1d")}

    # The file is new when one symbol is taken of it, and so is A's damaged line.
    assert added(story.one_symbol) == {"ops.ledger": 1, "ops.quarantine": 1, "bronze.bars_1d": 1}
    # Then B's line is all that is new; bars are written anew, 13 + 3.
    assert added(story.again) == {"ops.ledger": 0, "ops.quarantine": 1, "bronze.bars_1d": 16}


def prices(snapshot: Snapshot) -> dict[str, Decimal]:
    rows = snapshot.bars[snapshot.bars["session_date"] == date(2015, 11, 25)]
    return dict(zip(rows["symbol"], rows["open"], strict=True))


OLD, NEW = Decimal("10.00"), Decimal("10.25")


def test_with_symbols_only_their_rows_are_replaced(story: Story) -> None:
    assert prices(story.first) == {"A": OLD, "B": OLD, "b": OLD}
    assert prices(story.one_symbol) == {"A": NEW, "B": OLD, "b": OLD}
    assert isinstance(story.one_symbol.result, Ingested)
    assert story.one_symbol.result.rows == {"bronze.bars_1d": 1}
    pd.testing.assert_frame_equal(of_other_days(story.one_symbol), of_other_days(story.first))
    # Not even rewritten: every other row is still the first run's.
    others = story.one_symbol.bars[story.one_symbol.bars["open"] != NEW]
    assert set(others["run_id"]) == {story.first.run["run_id"]}


def test_a_damaged_line_of_a_symbol_asked_for_is_quarantined_and_counted(story: Story) -> None:
    # Line 5 is "A,1", line 6 "B,1,2": the first is A's, the other was not asked for.
    run = story.one_symbol.run
    assert (run["rows_in"], run["rows_kept"], run["rows_quarantined"]) == (2, 1, 1)


def test_a_republished_file_replaces_the_days_rows_and_both_raw_files_stay(story: Story) -> None:
    assert prices(story.again) == {"A": NEW, "B": NEW, "C": NEW}
    run = story.again.run
    # As the first time, with two damaged lines more.
    assert (run["rows_in"], run["rows_kept"], run["rows_quarantined"]) == (35, 18, 17)
    kept = [name for name in story.again.raw_files if PLAIN in name]
    assert len(kept) == 2
    of_day = story.again.ledger[story.again.ledger["session_date"] == date(2015, 11, 25)]
    assert {f"raw/{name}" for name in kept} == set(of_day["raw_path"])


def test_a_range_without_files_is_bad_input_that_names_the_layout(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    write_rows(tmp_path, "trades_v1", "2015-11-24", [trade("A", "2015-11-24", "10:00", 1)])
    with pytest.raises(BadInput, match=r"us_stocks_sip/<kind>/YYYY/MM/YYYY-MM-DD\.csv\.gz") as error:
        ingest_flatfiles(lake, settings, Folder(str(tmp_path)), ["day_aggs_v1"], date(2015, 11, 24), date(2015, 11, 25))
    assert "day_aggs_v1 from 2015-11-24 to 2015-11-25" in str(error.value)
    assert not Path(lake.root).exists()


@pytest.mark.parametrize(
    ("kinds", "first", "last", "symbols", "words"),
    [
        (["day_aggs"], FIRST, LAST, None, r"Unknown kinds day_aggs\. Kinds: day_aggs_v1, minute_aggs_v1"),
        (["day_aggs_v1"], LAST, FIRST, None, r"2015-12-09 is after 2015-11-24"),
        (["day_aggs_v1"], FIRST, LAST, [], "symbols"),
    ],
)
def test_a_request_that_asks_for_nothing_is_bad_input(
    kinds: list[str],
    first: date,
    last: date,
    symbols: list[str] | None,
    words: str,
    lake: Lake,
    settings: Settings,
    tmp_path: Path,
) -> None:
    place(tmp_path, "day_aggs_v1", "2015-11-24", compressed(f"{HEADER}\n{SOUND_ROW}\n"))
    with pytest.raises(BadInput, match=words):
        ingest_flatfiles(lake, settings, Folder(str(tmp_path)), kinds, first, last, symbols)


def test_the_columns_read_are_all_of_the_files() -> None:
    """A column of the file that no field reads would be lost on the way."""
    from smallcaps.ingest.flatfile_rows import FIELDS
    from smallcaps.sources.polygon.flatfiles import HEADERS

    assert set(TRADE_COLUMNS) == set(HEADERS["trades_v1"])
    for kind, fields in FIELDS.items():
        # quotes_v1 has trf_timestamp, which bronze.quotes does not keep: quotes do not come from trade facilities.
        assert set(HEADERS[kind]) - {field.text for field in fields} - {"ticker"} <= {"trf_timestamp"}, kind
