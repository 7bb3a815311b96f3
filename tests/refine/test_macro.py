"""The economy by vintage: what the archive and the vendor say, when each was known, and that nobody knows more than was."""

import random
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.lake import RULE, declared
from smallcaps.refine.macro import judged_macro
from smallcaps.sources.economy.figures import FIGURES
from smallcaps.sources.economy.series import SERIES, Grain
from smallcaps.sources.simulator.macro import in_force, vintages
from smallcaps.sources.simulator.reference import economy
from tests.conftest import REPOSITORY
from tests.refine.frames import collected, kept, refusals, snapshots

MAY, JUNE = date(2022, 5, 1), date(2022, 6, 1)
MONDAY, TUESDAY, THURSDAY = (date(2024, 1, day) for day in (15, 16, 18))


def figure(series: str, period: date, value: float | None, start: str, end: str, request: str = "1") -> dict[str, Any]:
    """What FRED answered to a request; a later one has a greater name."""
    stretch = {"realtime_start": date.fromisoformat(start), "realtime_end": date.fromisoformat(end)}
    received = {"as_of": request, "received_at": datetime(2024, 1, int(request), tzinfo=UTC)}
    return {"series": series, "observation_date": period, "value": value} | stretch | received


def said(series: str, period: date, value: float, as_of: date, **others: Any) -> dict[str, Any]:
    return {"series": series, "observation_date": period, "value": value, "as_of": as_of} | others


ARCHIVE = [
    # Out on 2022-06-03 and revised on 07-08, both dated; again in February, which is not; each year asked for by itself.
    figure("PAYEMS", MAY, 390.0, "2022-06-03", "2022-07-07"),
    figure("PAYEMS", MAY, 384.0, "2022-07-08", "2022-12-31"),
    figure("PAYEMS", MAY, 384.0, "2023-01-01", "2023-02-02", "2"),
    figure("PAYEMS", MAY, 364.0, "2023-02-03", "2023-12-31", "2"),
    # The first figure of June came with May's second.
    figure("PAYEMS", JUNE, 372.0, "2022-07-08", "2022-12-31"),
    # Asked for once more from the middle of a stretch.
    figure("PAYEMS", JUNE, 372.0, "2022-10-01", "2022-12-31", "3"),
    # Not there at first, then there, taken back, and there again.
    figure("DGS10", date(2022, 7, 1), None, "2022-07-02", "2022-07-04"),
    figure("DGS10", date(2022, 7, 1), 2.9, "2022-07-05", "2022-07-07"),
    figure("DGS10", date(2022, 7, 1), None, "2022-07-08", "2022-07-08"),
    figure("DGS10", date(2022, 7, 1), 2.9, "2022-07-09", "2022-12-31"),
    # Two answers about a day: that which came later holds.
    figure("UNRATE", MAY, 3.5, "2022-06-10", "2022-12-31", "1"),
    figure("UNRATE", MAY, 3.6, "2022-06-10", "2022-12-31", "2"),
    figure("UNRATE", MAY, 3.6, "2022-06-10", "2022-11-30", "3"),
    figure("NAPM", MAY, 56.1, "2022-06-01", "2022-12-31"),
    figure("CPIAUCSL", MAY, 291.0, "2022-06-10", "2022-06-09"),
]
SNAPSHOTS = [
    # A Friday's yield: five days later at 18:00, which is 23:00 UTC in winter; then it is another.
    said("yield_10_year", date(2024, 1, 12), 3.96, TUESDAY),
    said("yield_10_year", date(2024, 1, 12), 3.97, THURSDAY),
    # A month's figure, as it was received more than two years after.
    said("unemployment_rate", date(2021, 11, 1), 4.1, MONDAY),
    said("unemployment_rate", date(2021, 11, 1), 4.1, TUESDAY),
    said("unemployment_rate", date(2021, 11, 1), 4.2, THURSDAY),
    # Said before its release can have been out: not known before that, 50 days after the month.
    said("job_openings", date(2023, 12, 1), 9.0, MONDAY),
    said("cpi", date(2023, 11, 1), 307.1, MONDAY),
    said("gdp", date(2023, 9, 1), 1.0, MONDAY),
    said("yield_2_year", THURSDAY, 4.3, TUESDAY),
    said("pce", date(2023, 11, 1), 121.0, MONDAY),
    said("pce", date(2023, 11, 1), 122.0, MONDAY),
]
COLUMNS = ("series", "observation_date", "version", "value", "vintage", "known_at", "known_by")


def made(spark: SparkSession, archive: list[dict[str, Any]], said: list[dict[str, Any]]) -> DataFrame:
    return judged_macro(snapshots(spark, "bronze.macro_vintages", archive), snapshots(spark, "bronze.economy", said))


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> DataFrame:
    return made(spark, ARCHIVE, SNAPSHOTS).cache()


@pytest.fixture(scope="module")
def rows(judged: DataFrame) -> list[dict[str, Any]]:
    return collected(judged)


def of(rows: list[dict[str, Any]], source: str, *series: str) -> list[tuple[Any, ...]]:
    return kept([row for row in rows if row["source"] == source and row["series"] in series], *COLUMNS)


def test_a_vintage_is_known_at_the_minute_of_the_calendar_else_when_its_day_is_over(rows: list[dict[str, Any]]) -> None:
    june, july, february = date(2022, 6, 3), date(2022, 7, 8), date(2023, 2, 3)
    assert of(rows, "fred", "payrolls") == [
        ("payrolls", MAY, 1, 390.0, june, datetime(2022, 6, 3, 12, 30, tzinfo=UTC), "calendar"),
        ("payrolls", MAY, 2, 384.0, july, datetime(2022, 7, 8, 12, 30, tzinfo=UTC), "calendar"),
        ("payrolls", MAY, 3, 364.0, february, datetime(2023, 2, 4, 5, tzinfo=UTC), "vintage"),
        ("payrolls", JUNE, 1, 372.0, july, datetime(2022, 7, 8, 12, 30, tzinfo=UTC), "calendar"),
    ]


def test_a_figure_that_is_not_there_yet_is_no_version_and_one_taken_back_is(rows: list[dict[str, Any]]) -> None:
    found = [(row[2], row[3], row[4]) for row in of(rows, "fred", "yield_10_year")]
    assert found == [(1, 2.9, date(2022, 7, 5)), (2, None, date(2022, 7, 8)), (3, 2.9, date(2022, 7, 9))]


def test_of_two_answers_about_a_day_the_later_one_holds_and_the_other_is_refused(rows: list[dict[str, Any]]) -> None:
    assert [row[3] for row in of(rows, "fred", "unemployment_rate")] == [3.6]
    assert [row["value"] for row in rows if row[RULE] == "contradicted"] == [3.5]


def test_what_the_vendor_may_have_revised_is_known_when_it_was_received_and_a_yield_by_its_lag(
    rows: list[dict[str, Any]],
) -> None:
    end = {day: datetime(2024, 1, day + 1, 5, tzinfo=UTC) for day in (15, 16, 18)}
    assert of(rows, "vendor", "yield_10_year", "unemployment_rate", "job_openings", "cpi_unadjusted") == [
        ("cpi_unadjusted", date(2023, 11, 1), 1, 307.1, None, end[15], "receipt"),
        # 2023-12-31 and 50 days, 10:00 in winter.
        ("job_openings", date(2023, 12, 1), 1, 9.0, None, datetime(2024, 2, 19, 15, tzinfo=UTC), "receipt"),
        ("unemployment_rate", date(2021, 11, 1), 1, 4.1, None, end[15], "receipt"),
        ("unemployment_rate", date(2021, 11, 1), 2, 4.2, None, end[18], "receipt"),
        ("yield_10_year", date(2024, 1, 12), 1, 3.96, None, datetime(2024, 1, 17, 23, tzinfo=UTC), "lag"),
        ("yield_10_year", date(2024, 1, 12), 2, 3.97, None, end[18], "receipt"),
    ]


def test_what_breaks_a_rule_is_refused_with_it(rows: list[dict[str, Any]]) -> None:
    assert refusals(rows, "source_series") == {
        ("NAPM", "unknown_series"),
        ("gdp", "unknown_series"),
        ("CPIAUCSL", "impossible_stretch"),
        ("UNRATE", "contradicted"),
        ("yield_2_year", "impossible_day"),
        ("pce", "duplicate_record"),
    }


def test_a_row_says_its_unit_its_release_and_what_its_source_calls_it(rows: list[dict[str, Any]]) -> None:
    named = {
        (row["series"], row["source"]): (row["source_series"], row["unit"], row["release"], row["grain"])
        for row in rows
        if row[RULE] is None
    }
    assert named["payrolls", "fred"] == ("PAYEMS", "thousand jobs", "employment", "month")
    assert named["yield_10_year", "fred"] == ("DGS10", "%", "h15", "day")
    assert named["yield_10_year", "vendor"] == ("yield_10_year", "%", "h15", "day")
    assert named["cpi_unadjusted", "vendor"] == ("cpi", "index, 1982–84 = 100", "cpi", "month")
    assert {column.name for column in declared("silver.macro").columns} <= set(rows[0])


def test_the_statement_of_the_documents_has_what_was_known_at_its_moment(judged: DataFrame) -> None:
    document = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r'smallcaps sql "(SELECT [^"]+ FROM silver\.macro [^"]+)"', document)
    judged.where(f"{RULE} IS NULL").createOrReplaceTempView("macro")

    def known(moment: str) -> dict[tuple[str, date], float]:
        asked = re.sub(r"TIMESTAMP'[^']+'", f"TIMESTAMP'{moment}'", statement).replace("silver.macro", "macro")
        found = judged.sparkSession.sql(asked).collect()
        return {(row.series, row.observation_date): row.value for row in found if row.series == "payrolls"}

    assert known("2022-06-03 12:29:59Z") == {}
    assert known("2022-06-03 12:30:00Z") == {("payrolls", MAY): 390.0}
    assert known("2022-07-08 12:29:59Z") == {("payrolls", MAY): 390.0}
    assert known("2022-07-08 12:30:00Z") == {("payrolls", MAY): 384.0, ("payrolls", JUNE): 372.0}
    assert known("2023-02-04 05:00:00Z") == {("payrolls", MAY): 364.0, ("payrolls", JUNE): 372.0}


FIRST, LAST = date(2026, 8, 3), date(2026, 10, 16)


def asked(archive: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What FRED answers of its archive to requests that meet and overlap anyhow: stretches cut to each."""
    draw = random.Random(11)
    begin = date(2024, 1, 1)
    stretches = [(begin, date(2026, 8, 20)), (date(2026, 8, 21), LAST)]
    for _ in range(3):
        first = begin + timedelta(days=draw.randrange((LAST - begin).days))
        stretches.append((first, first + timedelta(days=draw.randrange((LAST - first).days + 1))))
    return [
        figure(
            record["series_id"],
            date.fromisoformat(record["date"]),
            None if record["value"] == "." else float(record["value"]),
            max(record["realtime_start"], str(first)),
            min(record["realtime_end"], str(last)),
            str(place),
        )
        for place, (first, last) in enumerate(stretches, start=1)
        for record in archive
        if record["realtime_start"] <= str(last) and record["realtime_end"] >= str(first)
    ]


@pytest.fixture(scope="module")
def simulated(spark: SparkSession) -> pd.DataFrame:
    """silver.macro of a simulated archive and of what the vendor of that market says on its last day."""
    archive = vintages(FIRST, LAST, 5)
    vendor = [
        said(series, date.fromisoformat(record["date"]), float(value), LAST, endpoint=name)
        for name, records in economy(FIRST, LAST, 5, in_force(archive)).items()
        for record in records
        for series, value in record.items()
        if series != "date"
    ]
    judged = made(spark, asked(archive), vendor)
    return pd.DataFrame(collected(judged))


def test_what_was_known_when_a_day_was_over_is_what_the_archive_had_in_force_on_it(simulated: pd.DataFrame) -> None:
    archive = pd.DataFrame(vintages(FIRST, LAST, 5))
    ours = {one.fred: one.name for one in FIGURES if one.fred}
    assert simulated[RULE].isna().all()
    fred = simulated[simulated["source"] == "fred"].sort_values("version")
    for day in pd.date_range("2026-06-30", LAST, freq="13D").date:
        over = datetime(day.year, day.month, day.day, 4, tzinfo=UTC) + timedelta(days=1)
        known = fred[fred["known_at"] <= over].groupby(["series", "observation_date"])["value"].last()
        stands = archive[(archive["realtime_start"] <= str(day)) & (archive["realtime_end"] >= str(day))]
        stands = stands[stands["value"] != "."]
        expected = {
            (ours[row.series_id], date.fromisoformat(row.date)): float(row.value) for row in stands.itertuples()
        }
        assert known.to_dict() == expected


def test_the_vendor_and_the_archive_agree_where_both_have_a_series(simulated: pd.DataFrame) -> None:
    key = ["series", "observation_date"]
    fred = simulated[simulated["source"] == "fred"].sort_values("version").groupby(key)["value"]
    archive = fred.agg(["first", "last", "count"])
    both = simulated[simulated["source"] == "vendor"].set_index(key).join(archive, how="inner")
    assert set(both.index.get_level_values("series")) == {one.name for one in FIGURES if one.fred and one.vendor}
    # The vendor says the last figure. Where none was revised, that is the first.
    assert (both["value"] == both["last"]).all()
    unrevised = both[both["count"] == 1]
    assert (unrevised["value"] == unrevised["first"]).all()
    assert set(unrevised.index.get_level_values("series")) == set(both.index.get_level_values("series"))
    assert (both["value"] != both["first"]).groupby("series").any().to_dict() == {
        name: name in ("hourly_earnings", "job_openings") for name in set(both.index.get_level_values("series"))
    }


def test_the_vocabulary_is_the_tables_and_has_every_series_that_is_taken() -> None:
    names = [one.name for one in FIGURES]
    columns = {column.name: column for column in declared("silver.macro").columns}
    assert sorted(columns["series"].values) == sorted(set(names)) == sorted(names)
    assert columns["grain"].values == tuple(grain.value for grain in Grain)
    assert {one.fred for one in FIGURES if one.fred} == {series.name for series in SERIES}
    # The simulated vendor has every field of the vendor's documents.
    served = economy(FIRST, LAST, 5, in_force(vintages(FIRST, LAST, 5)))
    vendors = {series for records in served.values() for record in records for series in record} - {"date"}
    assert {one.vendor for one in FIGURES if one.vendor} == vendors
