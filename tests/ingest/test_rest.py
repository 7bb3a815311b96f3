"""REST end to end: a market on the loopback, good and bad days, and what is in the lake after each."""

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput, FailedDependency, SmallcapsError
from smallcaps.ingest.rest import Answered, ingest_endpoint, wanted
from smallcaps.lake import Lake, declared, last_runs
from smallcaps.lake.trace import trace
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from tests.sources.vendor_bodies import (
    BODIES,
    DELISTED,
    NOT_FOUND,
    SPLITS,
    TRADES,
    query_of,
    results,
)
from tests.sources.vendor_server import Answer, VendorServer, vendor_server

pytestmark = pytest.mark.slow

KEY = Key("4f1c-the-key-that-nobody-may-see")
FIRST, LAST, AS_OF = date(2015, 3, 20), date(2015, 3, 23), date(2015, 3, 25)
REFUSED = Answer({"status": "NOT_AUTHORIZED", "message": "Your plan doesn't include this data timeframe."}, 403)
UNWELL = Answer(status=503, headers={"Retry-After": "1"})
MARCH_20, MARCH_23 = (bar["t"] for bar in BODIES["day_bars"]["results"])


def bar(start: int, price: float) -> dict[str, float]:
    return {"t": start, **dict.fromkeys("ohlc", price), "v": 100, "n": 1}


@dataclass
class Market:
    """What the server says by the last part of a path before its query; the rest is as it always is."""

    server: VendorServer | None = None
    day_bars: dict[str, Callable[[str], Answer]] = field(default_factory=dict)
    splits: list[dict] = field(default_factory=lambda: list(SPLITS["results"]))
    types: Answer = field(default_factory=lambda: REFUSED)
    exchanges: Answer = field(default_factory=lambda: UNWELL)

    def respond(self, _: int, path: str) -> Answer:
        parts, query = urlsplit(path).path.split("/"), query_of(path)
        if parts[1:4] == ["v3", "reference", "tickers"] and parts[4:] == ["types"]:
            return self.types
        if parts[1:4] == ["v3", "reference", "exchanges"]:
            return self.exchanges
        if parts[1:4] == ["v3", "reference", "tickers"]:
            return self._tickers(query)
        if parts[1:3] == ["v2", "aggs"]:
            return self.day_bars.get(parts[4], lambda _: Answer({"status": "OK", "resultsCount": 0}))(path)
        if parts[1:3] == ["v3", "trades"]:
            return Answer(TRADES if parts[3] == "A" and query["timestamp"] == str(FIRST) else results())
        if parts[1:] == ["stocks", "v1", "splits"]:
            return Answer(results(*self.splits))
        return NOT_FOUND

    def _tickers(self, query: dict[str, str]) -> Answer:
        """Two pages of active ones; of the delisted one that is gone and one that was gone before."""
        origin = self.server.origin
        if query.get("cursor") == "2":
            return Answer(results({"ticker": "BApA", "active": True}))
        if query["active"] == "true":
            assert query["date"] == str(AS_OF)
            following = f"{origin}/v3/reference/tickers?cursor=2&apiKey={KEY.value}"
            return Answer(results({"ticker": "A", "active": True}, next_url=following))
        long_ago = {"ticker": "OLD", "active": False, "delisted_utc": "2001-01-02T00:00:00Z"}
        return Answer(results(*DELISTED["results"], long_ago))


@dataclass
class Story:
    """A lake and what each call came to: result or error, paths asked, and bars afterwards."""

    lake: Lake
    results: dict[str, Answered | SmallcapsError]
    asked: dict[str, list[str]]
    bars: dict[str, dict[tuple[str, date], Decimal]]
    event_id: str


@pytest.fixture(scope="module")
def story(spark: SparkSession, settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """One lake through good calls, calls with a faulty answer, and calls that the vendor refuses."""
    lake = Lake(str(tmp_path_factory.mktemp("rest") / "lake"), spark)
    told = Story(lake, {}, {}, {}, "e" * 32)
    market = Market()
    with vendor_server(market.respond) as server:
        market.server = server
        vendor = settings.vendor.model_copy(
            update={"origin": server.origin, "requests_per_second": 1000.0, "chunk": 2, "connections": 2}
        )
        chosen = settings.model_copy(update={"vendor": vendor})

        def call(title: str, name: str, *want, **more) -> None:
            before = len(server.asked)
            try:
                told.results[title] = ingest_endpoint(lake, chosen, KEY, ENDPOINTS[name], wanted(*want, **more))
            except SmallcapsError as error:
                told.results[title] = error
            told.asked[title] = [asked.path for asked in server.asked[before:]]
            if name == "day_bars" and lake.exists("bronze.bars_1d"):
                rows = lake.read("bronze.bars_1d").collect()
                told.bars[title] = {(row.symbol, row.session_date): row.open for row in rows}

        every = {"as_of": AS_OF}
        call("bars without symbols", "day_bars", FIRST, LAST, **every)
        call("tickers", "tickers", FIRST, LAST, **every)
        call("delisted", "delisted_tickers", FIRST, LAST, **every)

        market.day_bars["GONE"] = lambda _: Answer(results(bar(MARCH_20, 1)))
        call("one symbol", "day_bars", FIRST, FIRST, ["GONE"], **every)
        market.day_bars["A"] = lambda _: Answer(results(bar(MARCH_20, 10), bar(MARCH_23, 11), bar(MARCH_23, "ten")))
        market.day_bars["GONE"] = lambda path: Answer(results(next_url=f"{server.origin}{path}"))
        call("faulty", "day_bars", FIRST, LAST, **every)
        market.day_bars["GONE"] = lambda _: Answer(results(bar(MARCH_23, 2)))
        call("mended", "day_bars", FIRST, LAST, **every)
        call("again", "day_bars", FIRST, LAST, **every)

        call("trades", "trades", FIRST, LAST, ["A", "B"], **every)
        call("trades of no session", "trades", date(2015, 3, 21), date(2015, 3, 22), ["A"], **every)

        call("splits", "splits", FIRST, LAST, **every)
        market.splits.append({"ticker": "B", "execution_date": "2015-03-24", "split_from": 10, "split_to": 1})
        call("splits again", "splits", FIRST, LAST, **every)
        call("splits next day", "splits", FIRST, LAST, as_of=date(2015, 3, 26))

        call("refused", "ticker_types", FIRST, LAST, **every)
        call("unwell", "exchanges", FIRST, LAST, **every)
        market.exchanges = Answer(BODIES["exchanges"])
        call("well", "exchanges", FIRST, LAST, **every)
    _put_event(lake, told.event_id)
    yield told
    for layer in ("bronze", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def _put_event(lake: Lake, event_id: str) -> None:
    """A daily event at A's bar of 2015-03-23, of whatever run wrote the bar."""
    run_id = last_runs(lake, ["ingest rest"], 1)[0]["run_id"]
    samples = {"string": "x", "double": 1.0, "int": 1, "bigint": 1, "boolean": True, "date": LAST}
    samples |= {"timestamp": datetime(2015, 3, 23, 20, tzinfo=UTC)}
    columns = declared("gold.events").columns
    values = {column.name: samples.get(column.type) for column in columns}
    values |= {column.name: column.values[0] for column in columns if column.values}
    values |= {"event_id": event_id, "symbol": "A", "session_date": LAST, "grain": "daily", "strength": 2.0}
    schema = ", ".join(f"{column.name} {column.type}" for column in columns)
    lake.replace("gold.events", lake.spark.createDataFrame([tuple(values.values())], schema), None, run_id)


GONE_20, GONE_23 = ("GONE", FIRST), ("GONE", LAST)
A_20, A_23 = ("A", FIRST), ("A", LAST)


def test_symbols_come_from_the_tickers_of_the_day_and_are_missed_by_name(story: Story) -> None:
    error = story.results["bars without symbols"]
    assert isinstance(error, BadInput)
    assert "bronze.tickers has nothing as of 2015-03-25" in str(error)
    assert story.asked["bars without symbols"] == []


def test_pages_are_followed_without_a_key_in_them(story: Story) -> None:
    assert story.asked["tickers"][1] == "/v3/reference/tickers?cursor=2"
    assert story.results["tickers"] == Answered(asked=1, known=0, rows=2, rows_refused=0)
    rows = story.lake.read("bronze.tickers").where("active").orderBy("symbol").collect()
    assert [(row.symbol, row.endpoint, row.as_of, row.source_line) for row in rows] == [
        ("A", "tickers", AS_OF, 1),
        ("BApA", "tickers", AS_OF, 1),
    ]


def test_all_that_traded_since_the_first_day_are_asked_for(story: Story) -> None:
    symbols = sorted({path.split("/")[4] for path in story.asked["faulty"]})
    assert symbols == ["A", "BApA", "GONE"]


def test_a_faulty_answer_leaves_the_symbols_rows_and_the_others_are_written(story: Story) -> None:
    error = story.results["faulty"]
    assert isinstance(error, BadData)
    assert "1 requests have no sound answer" in str(error)
    assert "circle" in str(error)
    assert story.bars["one symbol"] == {GONE_20: 1}
    assert story.bars["faulty"] == {GONE_20: 1, A_20: 10, A_23: 11}


def test_only_what_has_no_answer_is_asked_again_and_its_rows_are_replaced(story: Story) -> None:
    assert [path.split("/")[4] for path in story.asked["mended"]] == ["GONE"]
    assert story.results["mended"] == Answered(asked=1, known=2, rows=3, rows_refused=1)
    assert story.bars["mended"] == {GONE_23: 2, A_20: 10, A_23: 11}


def test_a_second_run_asks_for_nothing_and_leaves_the_same(story: Story) -> None:
    assert story.asked["again"] == []
    assert story.results["again"] == Answered(asked=0, known=3, rows=0, rows_refused=0)
    assert story.bars["again"] == story.bars["mended"]


def test_rows_in_are_rows_kept_and_rows_quarantined(story: Story) -> None:
    by_endpoint = [(json.loads(run["arguments"])["endpoint"], run) for run in last_runs(story.lake, ["ingest rest"])]
    bars = [run for name, run in by_endpoint if name == "day_bars" and run["outcome"] == "succeeded"]
    counts = [(run["rows_in"], run["rows_kept"], run["rows_quarantined"]) for run in reversed(bars)]
    # One symbol; A's three without GONE; all four; then there is nothing to type.
    assert counts == [(1, 1, 0), (3, 2, 1), (4, 3, 1), (0, 0, 0)]
    # A body a symbol.
    assert [run["files_in"] for run in reversed(bars)] == [1, 2, 3, 0]
    assert bars[-2]["message"] == "3 requests asked, 0 answered before, 1 without a sound answer"


def test_a_record_that_cannot_be_typed_is_quarantined_once_as_it_came(story: Story) -> None:
    (row,) = story.lake.read("ops.quarantine").where("table_name = 'bronze.bars_1d'").collect()
    assert (row.rule, row.source_line) == ("unparsable_value", 3)
    payload = json.loads(row.payload)
    assert (payload["open"], payload["volume"], payload["vwap"]) == ("ten", "100", "")
    body = story.lake.read("bronze.bodies").where(f"sha256 = '{row.source_sha256}'").collect()[0]
    assert json.loads(gzip.decompress(body.content))["results"][2]["o"] == "ten"


def test_a_body_is_kept_with_what_identifies_it(story: Story) -> None:
    rows = story.lake.read("bronze.bodies").where("endpoint = 'tickers'").orderBy("page").collect()
    assert [(row.page, row.last_page, row.records, row.status, row.as_of) for row in rows] == [
        (1, False, 1, 200, AS_OF),
        (2, True, 1, 200, AS_OF),
    ]
    for row in rows:
        content = gzip.decompress(row.content)
        assert (row.sha256, row.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
        assert row.request == (
            "/v3/reference/tickers?active=true&date=2015-03-25&limit=1000&market=stocks&order=asc&sort=ticker"
        )
    assert rows[1].url.endswith("/v3/reference/tickers?cursor=2")


def test_what_does_not_change_is_kept_under_no_day(story: Story) -> None:
    rows = story.lake.read("bronze.bodies").where("endpoint IN ('day_bars', 'trades')").select("as_of").distinct()
    assert [row.as_of for row in rows.collect()] == [None]


def test_trades_are_asked_by_session_and_replace_the_days_of_their_symbols(story: Story) -> None:
    assert len(story.asked["trades"]) == 4
    assert story.results["trades"] == Answered(asked=4, known=0, rows=2, rows_refused=0)
    rows = story.lake.read("bronze.trades").orderBy("source_line").collect()
    assert [(row.symbol, row.session_date, row.size) for row in rows] == [
        ("A", FIRST, Decimal("0.740474")),
        ("A", FIRST, Decimal(100)),
    ]
    assert story.results["trades of no session"] == Answered(0, 0, 0, 0)


def test_a_snapshot_is_asked_once_a_day_and_the_former_stays(story: Story) -> None:
    assert [len(story.asked[title]) for title in ("splits", "splits again", "splits next day")] == [1, 0, 1]
    rows = story.lake.read("bronze.splits").orderBy("as_of", "symbol").collect()
    assert [(str(row.as_of), row.symbol) for row in rows] == [
        ("2015-03-25", "A"),
        ("2015-03-26", "A"),
        ("2015-03-26", "B"),
    ]


def test_a_refusal_fails_the_run_in_the_vendors_words(story: Story) -> None:
    error = story.results["refused"]
    assert isinstance(error, BadInput)
    assert "doesn't include this data timeframe" in str(error)
    assert not story.lake.exists("bronze.ticker_types")
    (run,) = [run for run in last_runs(story.lake) if "ticker_types" in run["arguments"]]
    assert (run["outcome"], run["message"]) == ("failed", str(error))


def test_a_server_that_stays_unwell_fails_the_run_and_is_asked_again_by_the_next(story: Story) -> None:
    error = story.results["unwell"]
    assert isinstance(error, FailedDependency)
    assert "status 503" in str(error)
    assert story.results["well"] == Answered(asked=1, known=0, rows=2, rows_refused=0)


def test_a_request_without_an_answer_leaves_a_row_that_says_why(story: Story) -> None:
    rows = story.lake.read("bronze.bodies").where("fault IS NOT NULL").orderBy("endpoint").collect()
    assert [(row.endpoint, row.fault_kind, row.page, row.last_page, row.content is None) for row in rows] == [
        ("day_bars", "BadData", 1, False, False),
        ("exchanges", "FailedDependency", 1, False, True),
        ("ticker_types", "BadInput", 1, False, True),
    ]


def test_an_event_is_traced_to_the_record_of_a_body(story: Story) -> None:
    found = trace(story.lake, story.event_id)
    (file,) = found.raw_files
    assert file.raw_path == "bronze.bodies"
    assert "/v2/aggs/ticker/A/range/1/day/2015-03-20/2015-03-23" in file.source
    assert (file.lines, file.intact) == ("record 2", True)
    assert [row["open"] for row in found.source_rows] == [11]


def test_the_key_is_nowhere_in_the_lake(story: Story) -> None:
    files = [path for path in Path(story.lake.root).rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if KEY.value.encode() in path.read_bytes()] == []
    # Parquet and gzip would hide it: what they hold is looked at unpacked.
    for row in story.lake.read("bronze.bodies").drop("content").collect():
        assert KEY.value not in str(row)
    for table in ("ops.runs", "ops.quarantine"):
        assert all(KEY.value not in str(row) for row in story.lake.read(table).collect())
    assert all(KEY.value not in str(result) for result in story.results.values())
