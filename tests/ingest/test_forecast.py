"""What is told beforehand is what is then asked for, and telling it changes nothing: against the simulated vendor."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.ingest.forecast import (
    STEP_SECONDS,
    TYPICAL_BYTES,
    USUAL_BYTES_PER_SECOND,
    Forecast,
    Past,
    file_forecasts,
    forecast_endpoint,
    forecast_files,
    rest_forecasts,
)
from smallcaps.ingest.rest import Answered, Wanted, chosen, wanted
from smallcaps.ingest.routine import carry_out, rest_steps
from smallcaps.lake import Lake
from smallcaps.sources.endpoints import ENDPOINTS
from smallcaps.sources.polygon.bucket import Folder, VendorBucket
from smallcaps.sources.polygon.credentials import Key, KeyPair
from smallcaps.sources.polygon.endpoints import Scope, Source
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.sources.simulator.server import ACCESS_KEY, Place, running

pytestmark = pytest.mark.slow

KEY = "key-of-the-forecast"
NAMES = ["tickers", "splits", "grouped_bars", "hour_bars", "macro_vintages"]
BY_SYMBOL = {"hour_bars"}
PACE = 400.0


@dataclass
class Vendor:
    """A simulated vendor, and a lake that is filled from it."""

    place: Place
    lake: Lake
    settings: Settings
    files: VendorBucket
    days: list[date]

    def want(self, as_of: date | None = None, first: int = 0) -> Wanted:
        return wanted(self.days[first], self.days[-1], as_of=as_of or self.days[-1])

    def forecast(self, want: Wanted, names: list[str]) -> dict[str, Forecast]:
        before = state(self.lake)
        found = carry_out(rest_forecasts(self.lake, self.settings, chosen(names, want), want))
        assert state(self.lake) == before
        return found

    def ingest(self, want: Wanted, names: list[str]) -> dict[str, Answered]:
        keys = {source: Key(KEY) for source in Source}
        return carry_out(rest_steps(self.lake, self.settings, keys, names, want))

    def asked(self) -> list[str]:
        """Requests since the last call, but for this one."""
        address = f"{self.place.origin}/simulator/served"
        headers = {"Authorization": f"Bearer {KEY}"}
        paths = requests.get(address, headers=headers, timeout=30).json()["paths"]
        requests.delete(address, headers=headers, timeout=30)
        return list(paths)


def state(lake: Lake) -> dict[str, Any]:
    """Every file of a lake, with its size and the time of its last change."""
    files = (path for path in Path(lake.root).rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def vendor(simulated_market: Path, lake: Lake, settings: Settings) -> Iterator[Vendor]:
    with running(simulated_market, KEY) as place:
        service = {"origin": place.origin, "requests_per_second": PACE}
        own = settings.model_copy(
            update={
                "vendor": settings.vendor.model_copy(update=service),
                "fred": settings.fred.model_copy(update=service),
            }
        )
        files = VendorBucket(place.origin, "flatfiles", KeyPair(ACCESS_KEY, "unverified"))
        yield Vendor(place, lake, own, files, tape_days(simulated_market, "day"))


def first_pages(paths: list[str]) -> int:
    return sum("cursor=" not in path and "offset=" not in path for path in paths)


def test_what_is_told_is_what_is_then_asked_for_and_afterwards_there_is_nothing_left(vendor: Vendor) -> None:
    want = vendor.want()
    cold = vendor.forecast(want, NAMES)
    assert not Path(vendor.lake.root).exists()
    assert vendor.asked() == []
    assert {name for name, one in cold.items() if one.requests is None} == BY_SYMBOL
    assert cold["hour_bars"].basis == "unknown until tickers are in; estimate with --symbols"
    # One each of the market, one a session of grouped bars, one a series of FRED for the year.
    assert (cold["splits"].requests, cold["grouped_bars"].requests) == (1, 8)
    assert cold["macro_vintages"].requests == len(ENDPOINTS["macro_vintages"].names or ())
    assert cold["grouped_bars"].size_bytes == 8 * TYPICAL_BYTES[Scope.DAY]
    assert cold["grouped_bars"].seconds == pytest.approx(STEP_SECONDS + 8 / PACE)
    assert cold["splits"].basis == "bytes are a guess"

    of_market = [name for name in NAMES if name not in BY_SYMBOL]
    made = vendor.ingest(want, of_market)
    assert {name: one.asked for name, one in made.items()} == {name: cold[name].requests for name in of_market}
    assert first_pages(vendor.asked()) == sum(int(cold[name].requests or 0) for name in of_market)

    warm = vendor.forecast(want, NAMES)
    assert vendor.asked() == []
    assert {(warm[name].requests, warm[name].known) for name in of_market} >= {(0, 1), (0, 8)}
    assert all(warm[name].requests == warm[name].size_bytes == 0 for name in of_market)
    # A month of each symbol.
    assert int(warm["hour_bars"].requests or 0) > 24
    made = vendor.ingest(want, sorted(BY_SYMBOL))
    assert {name: one.asked for name, one in made.items()} == {name: warm[name].requests for name in BY_SYMBOL}
    assert first_pages(vendor.asked()) == int(warm["hour_bars"].requests or 0)


def test_bytes_are_those_of_earlier_answers_and_symbols_those_of_an_earlier_day(vendor: Vendor) -> None:
    yesterday, today = vendor.want(vendor.days[-2]), vendor.want(vendor.days[-1])
    names = ["tickers", "splits", "day_bars_adjusted"]
    vendor.ingest(yesterday, names)
    told = vendor.forecast(today, names)
    assert told["splits"].basis == "bytes as in 1 answers here"
    assert told["day_bars_adjusted"].basis.startswith(f"symbols as of {vendor.days[-2]}, bytes as in ")
    assert int(told["day_bars_adjusted"].requests or 0) > 24

    bodies = vendor.lake.read("bronze.bodies").where(f"as_of = DATE'{vendor.days[-2]}'")
    received = {row[0]: row[1] for row in bodies.groupBy("endpoint").sum("size_bytes").collect()}
    # The same requests as yesterday: as many bytes, a sum being so many times the mean.
    assert {name: told[name].size_bytes for name in names} == {
        name: pytest.approx(received[name], abs=1) for name in names
    }


def test_a_request_whose_answer_was_faulty_will_be_asked_again(vendor: Vendor) -> None:
    want = vendor.want()
    vendor.ingest(want, ["splits"])
    broken = vendor.lake.read("bronze.bodies").selectExpr(
        "* EXCEPT (fault, fault_kind, last_page)", "'torn' AS fault", "'BadData' AS fault_kind", "false AS last_page"
    )
    vendor.lake.replace("bronze.bodies", broken.localCheckpoint(), None, "run")
    told = vendor.forecast(want, ["splits"])["splits"]
    assert (told.requests, told.known, told.basis) == (1, 0, "bytes are a guess")


def test_pages_are_as_many_as_answers_had(lake: Lake, settings: Settings) -> None:
    def page(request: str, number: int, last: bool, size: int) -> dict[str, Any]:
        return {
            **{"endpoint": "splits", "request": request, "as_of": date(2015, 3, 20), "page": number, "last_page": last},
            **{"size_bytes": size, "received_at": datetime(2015, 3, 20, tzinfo=UTC)},
        }

    # Three pages of 600 bytes together, and one of 200: two pages and 400 bytes an answer. The last has no end.
    rows = [page("a", 1, False, 300), page("a", 2, False, 200), page("a", 3, True, 100), page("b", 1, True, 200)]
    lake.append_rows("bronze.bodies", [*rows, page("c", 1, False, 99_999)], "earlier")
    told = forecast_endpoint(
        Past(lake, date(2015, 3, 25)),
        settings,
        ENDPOINTS["splits"],
        wanted(date(2015, 3, 20), date(2015, 3, 23), as_of=date(2015, 3, 25)),
    )
    assert (told.requests, told.pages, told.size_bytes) == (1, 2, 400)
    assert told.basis == "bytes as in 2 answers here"


def test_files_are_told_by_the_buckets_list_and_are_those_then_fetched(vendor: Vendor) -> None:
    first, last = vendor.days[0], vendor.days[-1]
    kinds = ["day_aggs_v1", "trades_v1", "book_v1"]
    before = state(vendor.lake)
    told = carry_out(file_forecasts(vendor.lake, vendor.files, kinds, first, last))
    assert state(vendor.lake) == before
    assert all("list-type=2" in path for path in vendor.asked())
    assert {kind: one.requests for kind, one in told.items()} == {"day_aggs_v1": 8, "trades_v1": 1, "book_v1": 1}
    listed = vendor.files.files(["day_aggs_v1"], first, last)
    assert told["day_aggs_v1"].size_bytes == sum(file.size for file in listed)
    assert told["day_aggs_v1"].seconds == pytest.approx(
        STEP_SECONDS + sum(file.size for file in listed) / USUAL_BYTES_PER_SECOND
    )
    vendor.asked()
    for kind in kinds:
        made = ingest_flatfiles(vendor.lake, vendor.settings, vendor.files, [kind], first, last)
        assert made.files == told[kind].requests
    fetched = [path for path in vendor.asked() if "list-type" not in path]
    assert len(fetched) == sum(int(one.requests or 0) for one in told.values())
    ledger = vendor.lake.read("ops.ledger").groupBy("kind").sum("size_bytes").collect()
    assert {row[0]: row[1] for row in ledger} == {kind: one.size_bytes for kind, one in told.items()}

    again = forecast_files(Past(vendor.lake), vendor.files, "day_aggs_v1", first, last)
    assert (again.requests, again.known, again.size_bytes) == (0, 8, 0)
    none = forecast_files(Past(vendor.lake), vendor.files, "day_aggs_v1", date(2020, 1, 2), date(2020, 1, 3))
    assert (none.requests, none.basis[:33]) == (0, "no files from 2020-01-02 to 2020-")
    with pytest.raises(BadInput, match="Unknown kinds day_aggs"):
        file_forecasts(vendor.lake, vendor.files, ["day_aggs"], first, last)


def ran(lake: Lake, run_id: str, job: str, seconds: float, endpoint: str = "", pages: int = 0) -> None:
    """A row of ops.runs."""
    bodies = {"table": "bronze.bodies", "version": 0, "rows": pages}
    row = {
        **{"job": job, "arguments": f'{{"endpoint": "{endpoint}"}}', "code_version": "1", "settings_hash": "1"},
        **{
            "inputs": [],
            "outputs": [bodies] if pages else [],
            "files_in": 0,
            "bytes_in": 0,
            "rows_in": 0,
            "rows_kept": 0,
            "rows_quarantined": 0,
        },
        **{"started_at": datetime(2026, 1, 2, tzinfo=UTC), "duration_seconds": seconds, "outcome": "succeeded"},
        "message": None,
    }
    lake.append_rows("ops.runs", [row], run_id)


def test_time_goes_by_earlier_runs_short_ones_for_the_step_and_the_fastest_long_one_for_the_rate(
    lake: Lake, settings: Settings
) -> None:
    want = wanted(date(2015, 3, 2), date(2015, 3, 13), as_of=date(2015, 3, 25))
    paced = settings.model_copy(update={"vendor": settings.vendor.model_copy(update={"requests_per_second": 40.0})})

    def seconds() -> float | None:
        return forecast_endpoint(Past(lake, want.as_of), paced, ENDPOINTS["grouped_bars"], want).seconds

    # Ten sessions at the pace of the settings.
    assert seconds() == pytest.approx(STEP_SECONDS + 10 / 40)
    ran(lake, "slow", "ingest rest", 1_000, "grouped_bars", 2_000)
    ran(lake, "faster", "ingest rest", 500, "grouped_bars", 2_000)
    ran(lake, "of another", "ingest rest", 1, "trades", 2_000)
    assert seconds() == pytest.approx(STEP_SECONDS + 10 / 4)
    # Short ones of any endpoint: 2, 3 and 10 s. What asked for nothing took less and does not count here.
    for place, (duration, pages) in enumerate([(2, 20), (10, 1), (3, 1), (0.5, 0), (0.5, 0)]):
        ran(lake, f"short {place}", "ingest rest", duration, "splits", pages)
    assert seconds() == pytest.approx(3 + 10 / 4)
    # Never faster than the settings allow.
    ran(lake, "unbound", "ingest rest", 20, "grouped_bars", 2_000)
    assert seconds() == pytest.approx(3 + 10 / 40)
    on_a_weekend = wanted(date(2015, 3, 7), date(2015, 3, 8), as_of=date(2015, 3, 25))
    assert forecast_endpoint(
        Past(lake, want.as_of), paced, ENDPOINTS["grouped_bars"], on_a_weekend
    ).seconds == pytest.approx(0.5)


def test_files_have_a_speed_of_their_own(lake: Lake, tmp_path: Path) -> None:
    day = date(2026, 1, 2)
    path = tmp_path / "us_stocks_sip" / "trades_v1" / "2026" / "01" / "2026-01-02.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x" * 3_000_000)

    def seconds() -> float | None:
        return forecast_files(Past(lake), Folder(str(tmp_path)), "trades_v1", day, day).seconds

    assert seconds() == pytest.approx(STEP_SECONDS + 0.3)
    earlier = [
        ("one", 20, "trades_v1", 120_000_000),
        ("two", 100, "trades_v1", 120_000_000),
        ("short", 1, "trades_v1", 99_000_000),
        ("another kind", 1, "quotes_v1", 120_000_000),
    ]
    for place, (run_id, duration, kind, size) in enumerate(earlier):
        ran(lake, run_id, "ingest flatfiles", duration)
        file = {"sha256": run_id, "kind": kind, "session_date": day + timedelta(place), "source": run_id}
        file |= {"raw_path": run_id, "size_bytes": size, "received_at": datetime(2026, 1, 2, tzinfo=UTC)}
        lake.append_rows("ops.ledger", [file], run_id)
    # 120 MB in 20 s: 6 MB a second; the short one took a second.
    assert seconds() == pytest.approx(1 + 0.5)
