"""Quality suites: what is generated, what each kind finds, and that a suite that stops leaves the table as it was."""

import json
import logging
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from smallcaps.cli import app as module
from smallcaps.cli.app import main
from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput, FailedDependency
from smallcaps.lake import REGISTRY, RULE, DataFile, Lake, last_runs, recorded_run, suites
from smallcaps.lake.declaration import (
    ROWS_A_DAY_BEFORE,
    ROWS_REFUSED,
    Column,
    Expectation,
    Table,
    every,
    few_refused,
    mostly,
    rows_as_before,
)
from smallcaps.lake.quality_results import latest_states
from smallcaps.lake.suites import (
    Outcome,
    Profile,
    expected,
    judge_profile,
    profile,
    profile_of_files,
    rows_a_day_before,
)
from smallcaps.serving.quality_page import write_quality_page
from tests.lake.frames import DAY, SCHEMA, adjustments, content

TABLE = "silver.adjustments"
EXAMPLE = Table(
    name="silver.example",
    comment="An example",
    owner="lake",
    columns=(
        Column("symbol", "string", "Ticker", nullable=False),
        Column("session_date", "date", "Day", nullable=False),
        Column("kind", "string", "What it is", values=("a", "b")),
        Column("price", "double", "Price", "$"),
    ),
    key=("symbol", "session_date"),
    constraints={"positive": "price > 0"},
    expectations=(
        every("cheap", "Prices are below 100", "price < 100"),
        mostly("round", "Few prices have cents", "price = floor(price)", most=0.25),
        Expectation("two_days", "Two days are there", "count(DISTINCT session_date)", least=2, most=2),
        few_refused(0.1),
        rows_as_before(),
    ),
)
SOUND = [
    ("A", DAY, "a", 1.0),
    ("B", DAY, None, 2.0),
    ("A", date(2015, 6, 2), "b", 3.0),
    ("B", date(2015, 6, 2), "b", 4.0),
]
KNOWN: dict[str, float | None] = {ROWS_REFUSED: 0}


def example(spark: SparkSession, *rows: tuple[str | None, date | None, str | None, float | None]) -> DataFrame:
    """Rows of EXAMPLE."""
    return spark.createDataFrame(list(rows), "symbol string, session_date date, kind string, price double")


def judged(frame: DataFrame, known: dict[str, float | None] = KNOWN) -> dict[str, Outcome]:
    """EXAMPLE's suite over `frame`."""
    return {one.expectation.name: one for one in judge_profile(EXAMPLE, profile(frame, EXAMPLE, known))}


def test_the_suite_comes_of_the_declaration(spark: SparkSession) -> None:
    outcomes = judged(example(spark, *SOUND))
    assert [(one.part, name) for name, one in outcomes.items()] == [
        ("required", "symbol_required"),
        ("required", "session_date_required"),
        ("key", "key_unique"),
        ("constraint", "known_kind"),
        ("constraint", "positive"),
        ("table", "cheap"),
        ("table", "round"),
        ("table", "two_days"),
        ("table", "few_refused"),
        ("table", "rows_as_before"),
    ]
    assert all(one.success for one in outcomes.values())
    assert {one.rows for one in outcomes.values()} == {4}
    assert outcomes["two_days"].observed == 2
    assert outcomes["two_days"].rows_failed is None
    assert expected(outcomes["round"].expectation) == "at most 0.25 of the rows at fault"


@pytest.mark.parametrize(
    ("rows", "known", "failed"),
    [
        # Of each kind one that must fail: name, observed, rows at fault.
        ([(None, DAY, "a", 1.0)], {}, ("symbol_required", 1, 1)),
        ([("A", DAY, "a", 7.0)], {}, ("key_unique", 1, 1)),
        ([("C", DAY, "c", 1.0)], {}, ("known_kind", 1, 1)),
        ([("C", DAY, "a", -1.0), ("D", DAY, "a", 0.0)], {}, ("positive", 2, 2)),
        ([("C", DAY, "a", 100.0)], {}, ("cheap", 1, 1)),
        ([("C", DAY, "a", 1.5), ("D", DAY, "a", 1.5)], {}, ("round", pytest.approx(2 / 6), 2)),
        ([("C", date(2015, 6, 3), "a", 1.0)], {}, ("two_days", 3, None)),
        ([], {ROWS_REFUSED: 1}, ("few_refused", 0.2, None)),
        # Two rows a day, five before.
        ([], {ROWS_A_DAY_BEFORE: 5.0}, ("rows_as_before", 0.4, None)),
        ([], {ROWS_A_DAY_BEFORE: 0.9}, ("rows_as_before", pytest.approx(2 / 0.9), None)),
    ],
)
def test_what_breaks_one_expectation_fails_that_one_alone(
    rows: list[tuple[str, date, str, float]],
    known: dict[str, float],
    failed: tuple[str, float, int | None],
    spark: SparkSession,
) -> None:
    outcomes = judged(example(spark, *SOUND, *rows), KNOWN | known)
    found = [(name, one.observed, one.rows_failed) for name, one in outcomes.items() if not one.success]
    assert found == [failed]


def test_an_unknown_condition_counts_as_broken_and_an_unknown_measure_as_failed(spark: SparkSession) -> None:
    outcomes = judged(example(spark, ("A", DAY, "a", None), ("A", date(2015, 6, 2), "a", 1.0)))
    assert [(name, one.rows_failed) for name, one in outcomes.items() if not one.success] == [
        ("positive", 1),
        ("cheap", 1),
        ("round", 1),
    ]
    unknown = judge_profile(EXAMPLE, Profile(2, {"two_days": None, "few_refused": float("nan")}, {}))
    assert [(one.success, one.row("silver.example")["observed"]) for one in unknown] == [(False, None), (False, "nan")]


def test_nulls_of_a_key_are_a_value_like_another_and_equal_hashes_are_looked_into(spark: SparkSession) -> None:
    table = replace(EXAMPLE, key=("symbol", "kind"), expectations=(), constraints={})
    # Spark's hash leaves nulls out, so that these two keys have the same.
    frame = example(spark, ("a", DAY, None, 1.0), (None, DAY, "a", 1.0))
    assert frame.selectExpr("xxhash64(symbol, kind) AS hash").distinct().count() == 1
    assert profile(frame, table, KNOWN).measures["key_unique"] == 0
    assert profile(frame.union(frame), table, KNOWN).measures["key_unique"] == 2


def test_an_empty_frame_breaks_no_row_expectation(spark: SparkSession) -> None:
    outcomes = judged(example(spark))
    assert [name for name, one in outcomes.items() if not one.success] == ["two_days"]


def test_rows_a_day_before_are_a_median_of_days_that_are_there(spark: SparkSession) -> None:
    def days(*counts: int) -> DataFrame:
        rows = [("A", DAY - timedelta(place), "a", 1.0) for place, count in enumerate(counts, 1) for _ in range(count)]
        return example(spark, *rows, ("A", DAY, "a", 1.0), ("A", DAY - timedelta(31), "a", 1.0))

    frame = example(spark, ("A", DAY, "a", 1.0), ("A", DAY + timedelta(1), "a", 1.0))
    assert rows_a_day_before(frame, days(1, 2, 3, 4, 50)) == 3
    assert rows_a_day_before(frame, days(1, 2, 3, 4)) is None
    assert rows_a_day_before(example(spark), days(1, 2, 3, 4, 5)) is None


def test_of_files_the_statistics_tell_required_columns() -> None:
    def file(rows: int, **nulls: int) -> DataFile:
        return DataFile("a.parquet", rows, 1, {}, json.dumps({"nullCount": nulls}))

    found = profile_of_files([file(3, symbol=0, kind=3), file(2, symbol=1)], EXAMPLE)
    # The day is not in the files: it is their folder.
    assert found == Profile(5, {"symbol_required": 1}, {"symbol_required": 1})
    assert [one.success for one in judge_profile(EXAMPLE, found)] == [False]


def test_great_expectations_judges_and_its_own_result_is_kept(spark: SparkSession) -> None:
    outcome = judged(example(spark, *SOUND, ("C", DAY, "a", 500.0)))["cheap"]
    result = json.loads(outcome.result)
    config = result["expectation_config"]
    assert (result["success"], result["result"]["observed_value"]) == (False, 1)
    assert (config["type"], config["severity"]) == ("expect_column_max_to_be_between", "critical")
    assert config["meta"]["table"] == "silver.example"
    assert config["meta"]["measure"] == "count_if(NOT coalesce((price < 100), false))"


@pytest.mark.parametrize("table", REGISTRY.values(), ids=lambda table: table.name)
def test_every_declared_suite_can_be_measured(table: Table, spark: SparkSession) -> None:
    names = [one.name for part in suites.suite_of(table).values() for one in part]
    assert len(names) == len(set(names))
    frame = spark.createDataFrame([], table.schema)
    assert set(profile(frame, table, KNOWN).measures) == set(names)


@pytest.fixture
def lake(lake: Lake) -> Lake:
    """The test's lake, with suites."""
    lake.suites = True
    return lake


def judged_splits(spark: SparkSession, *rows: tuple[str, float]) -> DataFrame:
    """Sound judged rows of silver.adjustments, one for each (symbol, factor)."""
    full = [
        (f"T:{symbol}", symbol, DAY, factor, True, "abc", line, None) for line, (symbol, factor) in enumerate(rows, 2)
    ]
    return spark.createDataFrame(full, f"{SCHEMA}, source_line bigint, {RULE} string")


def test_a_suite_that_passes_lets_the_rows_in_and_is_recorded(lake: Lake, spark: SparkSession) -> None:
    for _ in range(2):
        with recorded_run(lake, "example", {}, "digest") as run:
            run.replace_judged(TABLE, judged_splits(spark, ("A", 0.5), ("B", 2.0)), {}, None)
        assert content(lake.read(TABLE)) == {("A", DAY, 0.5), ("B", DAY, 2.0)}
    rows = lake.read("ops.quality_results").where(f"run_id = '{run.run_id}'").collect()
    told = {row.expectation: (row.part, row.severity, row.success, row.observed, row.expected) for row in rows}
    assert told == {
        **{
            f"{name}_required": ("required", "stop", True, "0", "none at fault")
            for name in (
                *("security_id", "symbol", "execution_date", "price_factor", "checked_against_price", "source_sha256"),
            )
        },
        "key_unique": ("key", "stop", True, "0", "none at fault"),
        "positive_factor": ("constraint", "stop", True, "0", "none at fault"),
        "factor_plausible": ("table", "warn", True, "0", "none at fault"),
        "checked": ("table", "warn", True, "0", "at most 0.9 of the rows at fault"),
        "few_refused": ("table", "warn", True, "0", "at most 0.25"),
    }
    assert {(row.table_name, row.rows_checked, row.checked_at) for row in rows} == {(TABLE, 2, rows[0].checked_at)}
    assert not lake.exists("ops.quarantine")
    assert {out["table"] for out in last_runs(lake)[0]["outputs"]} == {TABLE, "ops.quality_results"}


def test_a_suite_that_stops_leaves_the_table_as_it_was(lake: Lake, spark: SparkSession) -> None:
    with recorded_run(lake, "example", {}, "digest") as run:
        version = run.replace(TABLE, adjustments(spark, ("A", DAY, 0.5)), None).version
    for _ in range(2):
        with (
            pytest.raises(
                BadData, match=r"silver\.adjustments was left as it was.*key_unique.*observed 1, 1 of 4 rows"
            ),
            recorded_run(lake, "example", {}, "digest") as run,
        ):
            run.replace_judged(TABLE, judged_splits(spark, ("A", 1.5), ("A", 2.5), ("B", 2.0), ("C", -3.0)), {}, None)
        assert lake.version(TABLE) == version
        assert content(lake.read(TABLE)) == {("A", DAY, 0.5)}
        assert last_runs(lake)[0]["outcome"] == "failed"
        # The second run adds no rows to quarantine.
        quarantined = lake.read("ops.quarantine").orderBy("rule", "source_line").collect()
        assert [(row.rule, row.source_sha256, row.source_line) for row in quarantined] == [
            ("suite:key_unique", "abc", 2),
            ("suite:key_unique", "abc", 3),
            ("suite:positive_factor", "abc", 5),
        ]
    assert json.loads(quarantined[2].payload)["price_factor"] == -3.0
    assert quarantined[2].reason == "price_factor > 0"
    failed = lake.read("ops.quality_results").where(f"run_id = '{run.run_id}' AND NOT success").collect()
    assert {(row.expectation, row.observed, row.rows_failed) for row in failed} == {
        ("key_unique", "1", 1),
        ("positive_factor", "1", 1),
        ("factor_plausible", "0.25", 1),
    }


def test_rows_that_name_no_source_are_their_own(lake: Lake, spark: SparkSession) -> None:
    with pytest.raises(BadData), recorded_run(lake, "example", {}, "digest") as run:
        run.replace(TABLE, adjustments(spark, ("A", DAY, 0.0), ("B", DAY, 2.0)), None)
    assert not lake.exists(TABLE)
    row = lake.read("ops.quarantine").collect()[0]
    assert (row.rule, row.source_line, len(row.source_sha256)) == ("suite:positive_factor", 1, 64)
    assert json.loads(row.payload)["symbol"] == "A"


def test_what_is_only_worth_a_word_is_told_and_written(
    lake: Lake, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), recorded_run(lake, "example", {}, "digest") as run:
        run.add_missing(TABLE, adjustments(spark, ("A", DAY, 5000.0)))
    assert content(lake.read(TABLE)) == {("A", DAY, 5000.0)}
    assert [record.getMessage() for record in caplog.records if record.name == "smallcaps.quality"] == [
        "silver.adjustments: Splits are by at most 1,000 (factor_plausible): expected none at fault, observed 1, "
        "1 of 1 rows at fault"
    ]
    assert latest_states(lake, TABLE)[0].failed("warn") == ["factor_plausible"]


def test_files_with_nulls_in_a_required_column_are_not_committed(lake: Lake) -> None:
    lake.make("bronze.trades")
    version = lake.version("bronze.trades")
    place = Path(lake.location("bronze.trades")) / "part.parquet"
    place.write_bytes(b"rows")
    file = DataFile("part.parquet", 3, 4, {"session_date": "2015-06-01"}, json.dumps({"nullCount": {"symbol": 2}}))
    with pytest.raises(BadData, match="symbol_required"), recorded_run(lake, "example", {}, "digest") as run:
        run.replace_files("bronze.trades", [file], {"session_date": [DAY]}, 0)
    assert lake.version("bronze.trades") == version
    assert not place.exists()


def test_without_great_expectations_the_extra_is_named_where_suites_are_on(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suites, "find_spec", lambda _: None)
    with pytest.raises(FailedDependency, match=r"smallcaps\[quality\]"), recorded_run(lake, "example", {}, "digest"):
        pass
    lake.suites = False
    with recorded_run(lake, "example", {}, "digest"):
        pass


def test_the_state_is_that_of_the_last_suite_of_each_table(lake: Lake, spark: SparkSession) -> None:
    assert latest_states(lake) == []
    for factor in (0.0, 5000.0):
        try:
            with recorded_run(lake, "example", {}, "digest") as run:
                run.replace(TABLE, adjustments(spark, ("A", DAY, factor)), None)
        except BadData:
            assert latest_states(lake)[0].failed("stop") == ["positive_factor"]
    (state,) = latest_states(lake)
    assert (state.table, state.run_id, state.rows) == (TABLE, run.run_id, 1)
    assert (state.failed("stop"), state.failed("warn"), len(state.results)) == ([], ["factor_plausible"], 11)
    assert latest_states(lake, "silver.calendar") == []
    with pytest.raises(BadInput, match="no table"):
        latest_states(lake, "silver.nothing")


def test_the_page_tells_every_result_without_anything_from_outside(
    lake: Lake, spark: SparkSession, tmp_path: Path
) -> None:
    assert "No suite" in write_quality_page([], tmp_path).read_text(encoding="utf-8")
    with recorded_run(lake, "example", {}, "digest") as run:
        run.replace(TABLE, adjustments(spark, ("A", DAY, 5000.0)), None)
    page = write_quality_page(latest_states(lake), tmp_path / "docs").read_text(encoding="utf-8")
    assert "Splits are by at most 1,000 (factor_plausible, warn): none at fault; 1 of 1 rows at fault" in page
    assert page.count("fa-check-circle text-success") == 10
    assert page.count("fa-times text-danger") == 1
    assert "http" not in page


@pytest.mark.parametrize(("factor", "code"), [(2.0, 0), (5000.0, 0), (0.0, 3)])
def test_the_command_line_tells_what_stopped_and_what_is_worth_a_word(
    factor: float,
    code: int,
    lake: Lake,
    spark: SparkSession,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def splits(opened: Lake, *_: object) -> int:
        with recorded_run(opened, "example", {}, "digest") as run:
            return run.replace(TABLE, adjustments(spark, ("A", DAY, factor)), None).rows

    monkeypatch.setattr(module, "opened", lambda: (lake, settings))
    monkeypatch.setattr(module, "ingest_splits", splits)
    assert main(["quality"]) == 0
    assert "No suite" in capsys.readouterr().out
    assert main(["ingest", "reference", "--splits", "x"]) == code
    told = capsys.readouterr().err
    assert ("! silver.adjustments: Splits are by at most 1,000" in told) == (factor == 5000.0)
    assert ("positive_factor" in told) == (factor == 0.0)
    assert main(["quality"]) == code
    assert TABLE in capsys.readouterr().out
    assert main(["quality", TABLE]) == code
    assert "positive_factor" in capsys.readouterr().out
