"""What the vendor's live feed says, as messages of the topics, and that these are rows of the tables they land in."""

import gzip
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from smallcaps.ingest.body_rows import judged_rows
from smallcaps.lake import RULE, TOPICS
from smallcaps.lake.declaration import ENVELOPE, KAFKA, Topic
from smallcaps.lake.quality import RECEIVED
from smallcaps.sources.polygon.endpoints import CHANNELS
from smallcaps.sources.polygon.events import Event, happened_ns, read_frame
from smallcaps.sources.simulator.server.clock import Clock
from smallcaps.sources.simulator.server.faults import Faults
from smallcaps.sources.simulator.server.playback import Playback
from smallcaps.sources.simulator.server.tape import Tape
from smallcaps.sources.simulator.server.world import World
from tests.sources.simulator.server.market import (
    DOLLAR,
    KEY,
    MONDAY,
    QUOTES,
    SHARE,
    TRADES,
    at,
    write_market,
)
from tests.sources.test_events import BAND, BAR, QUOTE, TRADE

DAY = date(2026, 6, 16)
FRAMES: dict[str, dict[str, Any]] = {
    "T": TRADE | {"c": [12, 37]},
    "Q": QUOTE | {"c": 1},
    "AM": BAR | {"ev": "AM"},
    "LULD": BAND,
}
pytestmark = pytest.mark.slow

OF_THE_FEED = [topic for topic in TOPICS.values() if topic.channel is not None]
ROW = {"session_date": DAY, "source_sha256": "f00", "source_line": 1}
MINUTE = {"symbol": "FCX", "window_start_ns": 1788877043000000000, "transactions": None}
MINUTE |= {name: Decimal(value) for name, value in {"open": "78.1", "high": "78.125", "low": "78.07"}.items()}
MINUTE |= {"close": Decimal("78.08"), "volume": Decimal(4989), "vwap": Decimal("78.0894")}
LANDED: dict[str, dict[str, Any]] = {
    "T": {
        **{"symbol": "AAPL", "sip_ns": 1781622376036000000, "participant_ns": 1781622376029000000},
        **{"trf_ns": 1781622376036000000, "sequence_number": 4938312, "trade_id": "143541", "exchange": 4},
        **{"trf_id": 202, "tape": 3, "price": Decimal("297.845"), "size": Decimal(40), "conditions": [12, 37]},
        "correction": None,
    },
    "Q": {
        **{"symbol": "AAPL", "sip_ns": 1781622375952000000, "participant_ns": 1781622375952000000},
        **{"sequence_number": 44424715, "bid_price": Decimal("297.83"), "bid_size": Decimal(80), "bid_exchange": 15},
        **{"ask_price": Decimal("297.86"), "ask_size": Decimal(80), "ask_exchange": 12, "tape": 3},
        **{"conditions": [1], "indicators": [604]},
    },
    "AM": MINUTE,
    "LULD": {
        **{"symbol": "ATHR", "sip_ns": 1788877046310003385, "sequence_number": 3209681},
        **{"high": Decimal("3.63"), "low": Decimal("2.97"), "indicators": [15], "tape": 3},
    },
}
NOT_KEPT = {
    "T": {"ev"},
    "Q": {"ev"},
    # The day's running values, its official open, the mean size; the end is the start and a minute.
    "AM": {"ev", "av", "dav", "op", "a", "z", "e"},
    "LULD": {"ev"},
}
PAGE = "content binary, symbol string, first date, last date, received_at timestamp, sha256 string, status int"


def rows(spark: SparkSession, channel: str, events: list[Event], day: date = DAY) -> DataFrame:
    """What events of a channel are, by the same two functions as the bodies of REST."""
    content = bytearray(gzip.compress(json.dumps([event.body for event in events]).encode()))
    page = (content, None, day, day, datetime(2026, 6, 16, 15, 6, 16, 40_000), "f00", None)
    return judged_rows(CHANNELS[channel], spark.createDataFrame([page], PAGE), day)


def messages(spark: SparkSession, topic: Topic, events: list[Event], day: date = DAY) -> list[str]:
    """Events of a topic's channel as its messages."""
    happened = {place: happened_ns(event) for place, event in enumerate(events, start=1)}
    told = F.create_map(*[F.lit(part) for pair in happened.items() for part in pair])
    around = {
        "schema_version": F.lit(topic.version),
        "event_ns": told[F.col("source_line")].cast("bigint"),
        "received_at": F.lit(datetime(2026, 6, 16, 15, 6, 16, tzinfo=UTC)),
    }
    frame = rows(spark, str(topic.channel), events, day).where(F.col(RULE).isNull()).withColumns(around)
    text = F.to_json(F.struct(*[column.name for column in topic.columns]), {"ignoreNullFields": "false"})
    return [row[0] for row in frame.orderBy("source_line").select(text).collect()]


def landed(spark: SparkSession, topic: Topic, texts: list[str]) -> list[dict[str, Any]]:
    """Messages as rows of the topic's table, as Spark reads them by the topic's schema."""
    frame = spark.createDataFrame([(text,) for text in texts], "value string")
    read = frame.select(F.from_json("value", topic.schema, {"mode": "FAILFAST"}).alias("message")).select("message.*")
    return [
        row.asDict(recursive=True)
        for row in read.select([one.name for one in topic.table.columns if one not in KAFKA]).collect()
    ]


@pytest.mark.parametrize("topic", OF_THE_FEED, ids=lambda topic: topic.name)
def test_an_event_of_the_feed_becomes_a_message_and_lands_as_a_row_of_the_table(
    topic: Topic, spark: SparkSession
) -> None:
    body = FRAMES[str(topic.channel)]
    (event,) = read_frame(json.dumps([body]).encode(), 1, 1)
    (text,) = messages(spark, topic, [event])
    Draft202012Validator(json.loads(topic.json_schema)).validate(json.loads(text))
    assert json.loads(text)["event_ns"] == happened_ns(event)
    assert landed(spark, topic, [text]) == [LANDED[str(topic.channel)] | ROW]


@pytest.mark.parametrize("topic", OF_THE_FEED, ids=lambda topic: topic.name)
def test_every_value_of_the_feed_is_a_column_or_known_to_be_left_out(topic: Topic) -> None:
    channel = str(topic.channel)
    endpoint = CHANNELS[channel]
    read = {name for field in endpoint.fields for name in field.text.split("|")}
    assert FRAMES[channel].keys() - read == NOT_KEPT[channel]
    assert read - FRAMES[channel].keys() == set()
    assert endpoint.declared is topic.table
    # What the feed has not: the vendor's mark of a correction, and the number of trades.
    columns = {column.name for column in topic.columns} - {column.name for column in ENVELOPE} - {*ROW}
    lacking = columns - {field.column for field in endpoint.fields}
    assert lacking == {"T": {"correction"}, "AM": {"transactions"}}.get(channel, set())


@pytest.mark.parametrize(
    ("channel", "change"), [("T", {"p": "ten"}), ("Q", {"sym": None}), ("AM", {"s": 1.5}), ("LULD", {"T": None})]
)
def test_an_event_that_is_not_what_it_should_be_is_refused(
    channel: str, change: dict[str, Any], spark: SparkSession
) -> None:
    sound, broken = FRAMES[channel], FRAMES[channel] | change
    events = read_frame(json.dumps([sound, broken]).encode(), 1, 1)
    verdicts = {row.source_line: row[RULE] for row in rows(spark, channel, events).drop(RECEIVED).collect()}
    assert verdicts[1] is None
    assert verdicts[2] in ("missing_value", "unparsable_value")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Event]]:
    """A day of the hand-made market as the simulated feed plays it, by channel."""
    market = tmp_path_factory.mktemp("market")
    write_market(market)
    world = World(market, KEY, "", Faults(), Tape(market), Clock(at(MONDAY, "04:00:00")))
    sent = Playback(world, MONDAY).advance(at(MONDAY, "20:00:00"), {channel: {"*"} for channel in CHANNELS})
    frame = json.dumps([event.body for event in sent]).encode()
    found: dict[str, list[Event]] = {channel: [] for channel in CHANNELS}
    for event in read_frame(frame, 1, 1):
        found[event.channel].append(event)
    return found


MS = 1_000_000


def test_a_day_that_is_played_lands_as_the_rows_of_its_files_but_for_what_is_below_a_millisecond(
    played: dict[str, list[Event]], spark: SparkSession
) -> None:
    trades = landed(spark, TOPICS["trades"], messages(spark, TOPICS["trades"], played["T"], MONDAY))
    of_files = [row for row in TRADES if row["correction"] != 10]
    assert sorted((row["symbol"], row["sequence_number"]) for row in trades) == sorted(
        (row["symbol"], row["sequence_number"]) for row in of_files
    )
    by_number = {row["sequence_number"]: row for row in trades}
    for row in of_files:
        found = by_number[row["sequence_number"]]
        assert (found["sip_ns"], found["participant_ns"]) == (
            row["sip_ns"] // MS * MS,
            row["participant_ns"] // MS * MS,
        )
        assert (found["price"], found["size"]) == (Decimal(row["price"]) / DOLLAR, Decimal(row["size"]) / SHARE)
        assert (found["trade_id"], found["exchange"], found["conditions"]) == (
            row["id"],
            row["exchange"],
            row["conditions"],
        )
        assert (found["trf_id"], found["session_date"]) == (row["trf_id"] or None, MONDAY)

    quotes = landed(spark, TOPICS["quotes"], messages(spark, TOPICS["quotes"], played["Q"], MONDAY))
    quoted = {row["sequence_number"]: row for row in quotes}
    assert len(quoted) == len(QUOTES)
    for row in QUOTES:
        for side in ("bid", "ask"):
            assert quoted[row["sequence_number"]][f"{side}_price"] == Decimal(row[f"{side}_price"]) / DOLLAR
            assert quoted[row["sequence_number"]][f"{side}_size"] == Decimal(row[f"{side}_size"]) / SHARE
