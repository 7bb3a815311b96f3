"""`smallcaps ingest --all` and `refine --all`, from a cold start, against the simulated vendor, which is unwell now and then."""

import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.ingest.feed import ingest_feed
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.ingest.rest import wanted
from smallcaps.ingest.routine import carry_out, routine_steps
from smallcaps.lake import REGISTRY, Lake
from smallcaps.lake.trace import trace
from smallcaps.refine.job import refine
from smallcaps.serving.fault_account import account as account_for
from smallcaps.serving.fault_account import unaccounted
from smallcaps.sources.endpoints import ENDPOINTS
from smallcaps.sources.polygon.bucket import VendorBucket
from smallcaps.sources.polygon.credentials import Key, KeyPair
from smallcaps.sources.polygon.endpoints import Shape, Source
from smallcaps.sources.simulator.layout import read_records, read_tape, tape_days
from smallcaps.sources.simulator.server import ACCESS_KEY, Faults, Place, running

pytestmark = pytest.mark.slow

KEY = "key-that-nobody-may-see-7b1f"
TROUBLE = {"too_many_every": 23, "unwell_every": 31, "cut_every": 37, "object_cut_every": 5, "range_forbidden_every": 2}
FILES = {"bronze.bars_1d": "day", "bronze.bars_1m": "minute", "bronze.trades": "trades", "bronze.quotes": "quotes"}
FILES |= {"bronze.book": "book"}


@dataclass(frozen=True)
class Taken:
    """A lake after two runs; what the vendor had served after each, by endpoint; the requests of the second."""

    lake: Lake
    first: dict[str, Any]
    second: dict[str, Any]
    paths: list[str]


def account(place: Place) -> dict[str, Any]:
    answer = requests.get(f"{place.origin}/simulator/served", headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    return dict(answer.json())


@pytest.fixture(scope="module")
def taken(
    spark: SparkSession, settings: Settings, simulated_market: Path, tmp_path_factory: pytest.TempPathFactory
) -> Taken:
    days = tape_days(simulated_market, "day")
    # The last day is played in some seconds; after that everything is history, as without playing.
    played = {"day": days[-1], "speed": 3_000.0, "start": time(9, 30)}
    lake = Lake(str(tmp_path_factory.mktemp("all") / "lake"), spark)
    with running(simulated_market, KEY, faults=Faults.of(TROUBLE), **played) as place:
        vendor = settings.vendor.model_copy(
            update={"origin": place.origin, "feed": place.socket, "requests_per_second": 500.0}
        )
        fred = settings.fred.model_copy(update={"origin": place.origin, "requests_per_second": 500.0})
        own = settings.model_copy(update={"vendor": vendor, "fred": fred})
        keys = {source: Key(KEY) for source in Source}
        files = VendorBucket(place.origin, "flatfiles", KeyPair(ACCESS_KEY, "unverified"))
        want = wanted(days[0], days[-1], as_of=days[-1])
        ingest_feed(lake, own, Key(KEY), 16)
        # Order books are no routine: the vendor has none.
        books = ("book", partial(ingest_flatfiles, lake, own, files, ["book_v1"], days[0], days[-1]))
        carry_out([*routine_steps(lake, own, keys, files, want), books])
        first = account(place)
        carry_out([*routine_steps(lake, own, keys, files, want), books])
        second = account(place)
    return Taken(lake, first["endpoints"], second["endpoints"], second["paths"][len(first["paths"]) :])


def test_every_bronze_table_is_filled(taken: Taken) -> None:
    bronze = [name for name in REGISTRY if name.startswith("bronze.")]
    assert [name for name in bronze if not taken.lake.exists(name) or taken.lake.read(name).isEmpty()] == []


def test_bodies_hold_as_many_records_as_the_vendor_says_it_served_and_none_is_there_twice(taken: Taken) -> None:
    bodies = taken.lake.read("bronze.bodies").where("endpoint <> 'luld'")
    # Of these a record of the vendor's is several of ours: a series each, an event each.
    several = [name for name, endpoint in ENDPOINTS.items() if endpoint.shape is Shape.VALUE or "." in endpoint.records]
    served = {name: count["distinct"] for name, count in taken.first.items()}
    once = [
        name for name in served if not name.startswith(("s3://", "wss://", "/fed/")) and not name.endswith("/events")
    ]
    ours = bodies.where("fault IS NULL").where(~F.col("endpoint").isin(several)).agg(F.sum("records")).collect()[0][0]
    # A body that was cut on its way was served and never arrived; it was asked for again, so distinct records agree.
    assert ours == sum(served[name] for name in once)
    yields = taken.lake.read("bronze.economy").where("endpoint = 'treasury_yields'").count()
    assert yields == 11 * served["/fed/v1/treasury-yields"]
    assert bodies.count() == bodies.select("endpoint", "request", "page").distinct().count()


def test_every_record_of_a_body_is_a_row_or_refused_with_a_reason(taken: Taken) -> None:
    bodies = taken.lake.read("bronze.bodies").where("fault IS NULL AND endpoint <> 'luld'")
    counts = bodies.groupBy("endpoint").agg(F.sum("records")).collect()
    quarantine = taken.lake.read("ops.quarantine") if taken.lake.exists("ops.quarantine") else None
    for name, records in counts:
        endpoint = ENDPOINTS[name]
        own = bodies.where(F.col("endpoint") == name).select(F.col("sha256").alias("source_sha256")).distinct()
        rows = taken.lake.read(endpoint.table).join(own, "source_sha256").count()
        lost = 0 if quarantine is None else quarantine.join(own, "source_sha256").count()
        if endpoint.shape is Shape.RECORD:
            assert rows + lost == records, name


def test_an_economic_figure_that_was_revised_is_there_as_it_was_before_and_after(taken: Taken) -> None:
    august = "series = 'PAYEMS' AND observation_date = DATE'2026-08-01'"
    rows = taken.lake.read("bronze.macro_vintages").where(august).orderBy("realtime_start").collect()
    # In force when the range begins, and revised when September's came out.
    assert [str(row.realtime_start) for row in rows] == ["2026-10-07", "2026-10-09"]
    assert [str(row.realtime_end) for row in rows] == ["2026-10-08", "2026-10-16"]
    assert rows[0].value != rows[1].value


@pytest.mark.parametrize("table", FILES)
def test_flat_files_are_in_bronze_row_by_row(taken: Taken, simulated_market: Path, table: str) -> None:
    kind = FILES[table]
    tape = {str(day): read_tape(simulated_market, kind, day) for day in tape_days(simulated_market, kind)}
    expected = sum(rows.num_rows for rows in tape.values())
    faults = [
        fault for fault in read_records(simulated_market / "truth" / "faults.jsonl") if fault["session_date"] in tape
    ]
    if kind in ("minute", "trades"):
        expected += 10 * sum(fault["kind"] == "duplicate_rows" for fault in faults)
    if kind == "minute":
        (fault,) = (fault for fault in faults if fault["kind"] == "republished_file")
        whole = tape[fault["session_date"]]["symbol"].to_pylist().count(fault["symbol"])
        expected -= whole - whole // 2
    assert taken.lake.read(table).count() == expected


def test_a_second_run_asks_for_nothing_but_the_list_of_files(taken: Taken) -> None:
    assert taken.paths
    assert all("list-type=2" in path for path in taken.paths)
    assert {name: count["bodies"] for name, count in taken.first.items() if name != "s3://flatfiles"} == {
        name: count["bodies"] for name, count in taken.second.items() if name != "s3://flatfiles"
    }


def test_the_second_run_left_the_same_rows(taken: Taken) -> None:
    for name in FILES:
        rows = taken.lake.read(name)
        assert rows.count() == rows.select("source_sha256", "source_line").distinct().count()


def test_a_row_leads_back_to_its_body_or_file(taken: Taken) -> None:
    for table in ("bronze.news", "bronze.bars_1m"):
        (run_id,) = taken.lake.read(table).select("run_id").first() or ("",)
        assert trace(taken.lake, str(run_id)).runs


def test_the_key_is_in_no_file_of_the_lake(taken: Taken) -> None:
    for path in Path(taken.lake.root).rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path


@pytest.fixture(scope="module")
def refined(taken: Taken, settings: Settings, simulated_market: Path) -> Lake:
    """The lake after `refine --all`."""
    days = tape_days(simulated_market, "day")
    refine(taken.lake, of_few_days(settings), days[0], days[-1])
    return taken.lake


def of_few_days(settings: Settings) -> Settings:
    """With a liquidity floor that can be reached within the market's eight days."""
    return settings.model_copy(update={"floor": settings.floor.model_copy(update={"minimum_bars": 3})})


def test_every_silver_table_is_filled(refined: Lake) -> None:
    silver = [name for name in REGISTRY if name.startswith("silver.")]
    empty = {name for name in silver if not refined.exists(name) or refined.read(name).isEmpty()}
    # In eight days few names are halted on a day with ticks, few file statements, and ten sessions to pool there are not.
    assert empty <= {"silver.halts", "silver.fundamentals", "silver.volume_curves"}


def test_every_planted_fault_is_accounted_for_and_few_sound_rows_are_named(
    refined: Lake, simulated_market: Path
) -> None:
    accounts, alarms = account_for(refined, simulated_market)
    planted = Counter(fault["kind"] for fault in read_records(simulated_market / "truth" / "faults.jsonl"))
    assert {one.kind: one.planted for one in accounts} == planted
    assert unaccounted(accounts) == []
    # A word that has been said of one row of few says nothing about a share.
    assert [one for one in alarms if one.share > 0.001 and one.rows > 2] == []


@pytest.mark.long
def test_a_day_that_comes_later_changes_no_row_of_an_earlier_one(
    refined: Lake, settings: Settings, simulated_market: Path, tmp_path: Path
) -> None:
    days = tape_days(simulated_market, "day")
    first, cut = days[0], days[-3]
    earlier = Lake(str(tmp_path / "earlier"), refined.spark)
    for name, table in REGISTRY.items():
        if table.layer == "bronze" and name != "bronze.bodies":
            day, _ = table.span
            if table.is_of_days:
                earlier.replace(name, refined.read(name).where(F.expr(day) <= F.lit(cut)), None, "earlier")
            else:
                shutil.copytree(refined.location(name), earlier.location(name))
    refine(earlier, of_few_days(settings), first, cut)
    of_days = [name for name, table in REGISTRY.items() if table.layer == "silver" and table.is_of_days]
    compared = 0
    for name in of_days:
        # A short-sale restriction is told of the session after its trigger, too.
        until = F.col("session_date") <= F.lit(cut)
        then, now = (
            (lake.read(name) if lake.exists(name) else lake.empty(name)).where(until).drop("run_id")
            for lake in (earlier, refined)
        )
        # As many rows, and none that is not among the others: the same rows.
        rows = then.count()
        assert now.count() == rows, name
        assert then.exceptAll(now).isEmpty(), name
        compared += rows
    assert compared > 10_000
