"""Economic figures by vintage: asked of FRED by series and year, as of any day the figure that was in force then."""

from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.ingest.rest import ingest_endpoint, wanted
from smallcaps.ingest.routine import Keys, has_key, keys_of, rest_steps, routine_steps
from smallcaps.lake import Lake
from smallcaps.sources.economy.endpoints import MACRO_VINTAGES
from smallcaps.sources.economy.series import SERIES
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import ENDPOINTS, Source
from smallcaps.sources.simulator.layout import write_records
from smallcaps.sources.simulator.server import running
from tests.sources.simulator.server.market import DAYS, write_market

KEY = "0123456789abcdef-that-nobody-may-see"
FIRST, LAST = date(2025, 12, 1), date(2026, 6, 5)
FIGURES = [
    # (series, observation, value, in force from, to)
    ("PAYEMS", "2025-11-01", "150", "2025-12-05", "2026-01-08"),
    ("PAYEMS", "2025-11-01", "160", "2026-01-09", "9999-12-31"),
    ("PAYEMS", "2025-12-01", "170", "2026-01-09", "2026-06-05"),
    ("PAYEMS", "2025-12-01", "999", "2026-06-06", "9999-12-31"),
    ("DGS10", "2025-12-25", ".", "2025-12-26", "9999-12-31"),
    # Out after the last day asked for.
    ("UNRATE", "2026-05-01", "4.1", "2026-06-08", "9999-12-31"),
]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_market(folder)
    names = ("series_id", "date", "value", "realtime_start", "realtime_end")
    records = [dict(zip(names, figure, strict=True)) for figure in FIGURES]
    write_records(folder / "reference" / "fred_vintages.jsonl", records)
    return folder


@pytest.mark.slow
def test_figures_are_taken_by_vintage_and_the_key_is_in_no_file(
    lake: Lake, settings: Settings, market: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    # The symbols that the other endpoints are asked for have no say here.
    want = wanted(FIRST, LAST, symbols=["AAPL"])
    with running(market, KEY) as place:
        fred = settings.fred.model_copy(update={"origin": place.origin, "requests_per_second": 1000.0})
        own = settings.model_copy(update={"fred": fred})
        first = ingest_endpoint(lake, own, Key(KEY), MACRO_VINTAGES, want)
        second = ingest_endpoint(lake, own, Key(KEY), MACRO_VINTAGES, want)
    # Two years a series. In force over New Year: two figures, each in both years.
    assert (first.asked, first.rows, first.rows_refused) == (2 * len(SERIES), 6, 0)
    assert (second.asked, second.known, second.rows) == (0, 2 * len(SERIES), 0)
    rows = lake.read("bronze.macro_vintages")

    def known_on(day: str) -> list[tuple[str, str, float | None]]:
        of_day = rows.where(F.lit(day).cast("date").between(F.col("realtime_start"), F.col("realtime_end")))
        found = of_day.selectExpr("series", "cast(observation_date AS string)", "value").collect()
        return sorted(tuple(row) for row in found)

    assert known_on("2025-12-04") == []
    assert known_on("2025-12-31") == [("DGS10", "2025-12-25", None), ("PAYEMS", "2025-11-01", 150.0)]
    assert known_on("2026-01-08") == known_on("2025-12-31")
    assert known_on("2026-01-09") == [
        ("DGS10", "2025-12-25", None),
        ("PAYEMS", "2025-11-01", 160.0),
        ("PAYEMS", "2025-12-01", 170.0),
    ]
    bodies = lake.read("bronze.bodies")
    assert bodies.where("request LIKE '%api_key%' OR url LIKE '%api_key%'").isEmpty()
    # Before their archive begins most series have nothing, and say so.
    assert bodies.where("status = 400").count() == 2 * len(SERIES) - 4
    assert KEY not in caplog.text
    for path in Path(lake.root).rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_a_wrong_key_is_bad_input_and_is_not_told(lake: Lake, settings: Settings, market: Path) -> None:
    with running(market, "another key") as place:
        fred = settings.fred.model_copy(update={"origin": place.origin, "requests_per_second": 1000.0})
        with pytest.raises(BadInput, match="api_key is not registered") as raised:
            ingest_endpoint(
                lake, settings.model_copy(update={"fred": fred}), Key(KEY), MACRO_VINTAGES, wanted(FIRST, LAST)
            )
    assert KEY not in str(raised.value)


@pytest.mark.slow
def test_the_vendors_figures_of_a_month_are_asked_for_on_days_long_after_it(
    lake: Lake, settings: Settings, market: Path
) -> None:
    day = date(2026, 6, 5)
    with running(market, KEY) as place:
        vendor = settings.vendor.model_copy(update={"origin": place.origin, "requests_per_second": 1000.0})
        own = settings.model_copy(update={"vendor": vendor})
        for name in ("inflation", "treasury_yields"):
            ingest_endpoint(lake, own, Key(KEY), ENDPOINTS[name], wanted(day, day, as_of=date(2026, 6, 8)))
    found = lake.read("bronze.economy").selectExpr("series", "cast(observation_date AS string)").collect()
    # April's prices come out in May. Of yields what is two weeks old is not asked for again, nor what is of later days.
    assert {tuple(row) for row in found} == {
        *(("cpi", "2026-04-01"), ("cpi_core", "2026-04-01")),
        *((f"yield_{years}_year", str(at)) for years in (1, 10) for at in DAYS if at <= day),
    }


def test_without_a_key_the_routine_leaves_fred_out(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    want = wanted(FIRST, LAST)

    def steps(keys: Keys) -> set[str]:
        return {name for name, _ in routine_steps(lake, settings, keys, Folder(str(tmp_path)), want)}

    vendors = {Source.VENDOR: Key("v")}
    assert steps(vendors | {Source.FRED: Key("f")}) - steps(vendors) == {"macro_vintages"}
    assert [name for name, _ in rest_steps(lake, settings, {Source.FRED: Key("f")}, ["macro_vintages"], want)] == [
        "macro_vintages"
    ]


def test_a_source_has_its_own_key(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FRED_API_KEY", "POLYGON_API_KEY", "MASSIVE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_key(settings, Source.FRED)
    with pytest.raises(BadInput, match=r"FRED_API_KEY.*fred\.secret"):
        keys_of(settings, [Source.FRED])
    monkeypatch.setenv("FRED_API_KEY", "f")
    assert has_key(settings, Source.FRED)
    assert not has_key(settings, Source.VENDOR)
    assert keys_of(settings, [Source.FRED]) == {Source.FRED: Key("f")}
