"""Splits: which are applied, which are refused and why, and what a day's factor is made of."""

from datetime import date
from math import inf, log, nan

import pytest
from chispa import assert_df_equality
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from smallcaps.refine import adjustments
from smallcaps.refine.adjustments import cumulative_factors, current_splits, judged_splits

EX = date(2015, 6, 1)
SPLITS = [
    # symbol, execution date, from, to
    ("FWD", EX, 1.0, 2.0),
    ("REV", EX, 10.0, 1.0),
    ("FRAC", EX, 1.0, 1.0299),
    ("EVEN", EX, 16.0, 25.0),
    ("OTHER", EX, 1.0, 3.0),
    ("OTHERREV", EX, 3.0, 2.0),
    ("GAPPY", EX, 1.0, 3.0),
    ("WRONG", EX, 1.0, 2.0),
    ("WRONGREV", EX, 10.0, 1.0),
    ("ZERO", EX, 1.0, 0.0),
    ("ZEROFROM", EX, 0.0, 1.0),
    ("NEG", EX, -1.0, 2.0),
    ("NAN", EX, nan, 2.0),
    ("INF", EX, 1.0, inf),
    ("NONE", EX, None, 2.0),
    ("ONE", EX, 3.0, 3.0),
    ("NOBARS", EX, 1.0, 2.0),
    ("AHEAD", EX, 1.0, 2.0),
    ("YOUNG", EX, 1.0, 2.0),
    ("DUP", EX, 1.0, 2.0),
    ("DUP", EX, 1.0, 2.0),
    ("CONFLICT", EX, 1.0, 10.0),
    ("CONFLICT", EX, 1.0, 2.0),
    ("TWICE", EX, 1.0, 2.0),
    ("TWICE", date(2015, 9, 1), 5.0, 1.0),
]
BEFORE, ON, AFTER = date(2015, 5, 29), EX, date(2015, 6, 2)
BARS = [
    # symbol, day, open, close: only the close of the last bar before and the open of the first bar after count.
    ("FWD", date(2015, 5, 28), 90.0, 90.0),
    ("FWD", BEFORE, 19.0, 20.0),
    ("FWD", ON, 10.2, 50.0),
    ("FWD", AFTER, 60.0, 60.0),
    ("REV", BEFORE, 0.7, 0.6),
    ("REV", ON, 6.3, 6.0),
    ("FRAC", BEFORE, 10.0, 10.0),
    ("FRAC", ON, 9.71, 9.7),
    ("EVEN", BEFORE, 25.0, 25.0),
    ("EVEN", ON, 19.99, 20.0),
    ("OTHER", BEFORE, 20.0, 20.0),
    ("OTHER", ON, 10.2, 10.0),
    ("OTHERREV", BEFORE, 2.0, 2.0),
    ("OTHERREV", ON, 6.1, 6.0),
    ("GAPPY", date(2015, 5, 20), 30.0, 30.0),
    ("GAPPY", date(2015, 6, 12), 11.0, 11.0),
    ("WRONG", BEFORE, 20.0, 20.0),
    ("WRONG", ON, 19.8, 19.8),
    ("WRONGREV", BEFORE, 6.0, 6.0),
    ("WRONGREV", ON, 6.6, 6.6),
    ("AHEAD", BEFORE, 20.0, 20.0),
    ("YOUNG", ON, 20.0, 20.0),
    ("DUP", BEFORE, 20.0, 20.0),
    ("DUP", ON, 10.0, 10.0),
    ("CONFLICT", BEFORE, 20.0, 20.0),
    ("CONFLICT", ON, 10.5, 10.5),
    ("TWICE", BEFORE, 20.0, 20.0),
    ("TWICE", ON, 10.0, 10.0),
    ("TWICE", date(2015, 8, 31), 2.0, 2.0),
    ("TWICE", date(2015, 9, 1), 10.0, 10.0),
    ("ZERO", BEFORE, 20.0, 20.0),
    ("ZERO", ON, 20.0, 20.0),
]


@pytest.fixture(scope="module")
def verdicts(spark: SparkSession) -> dict[tuple[str, int], Row]:
    """Every split of SPLITS judged, by symbol and line (its place in the list)."""
    splits = spark.createDataFrame(
        [(*split, "f00", line) for line, split in enumerate(SPLITS)],
        "symbol string, execution_date date, split_from double, split_to double, source_sha256 string, source_line bigint",
    ).withColumn("security_id", F.col("symbol"))
    prices = "cast(open AS decimal(18,6)) AS open", "cast(close AS decimal(18,6)) AS close"
    bars = spark.createDataFrame(BARS, "symbol string, session_date date, open double, close double").selectExpr(
        "symbol AS security_id", "session_date", *prices
    )
    rows = judged_splits(splits, bars).collect()
    assert len(rows) == len(SPLITS)
    return {(row.symbol, row.source_line): row for row in rows}


def of(verdicts: dict[tuple[str, int], Row], symbol: str) -> list[Row]:
    """The verdicts on a symbol's splits, in the order of the file."""
    return [row for (name, _), row in sorted(verdicts.items(), key=lambda item: item[0][1]) if name == symbol]


@pytest.mark.parametrize(
    ("symbol", "factor"),
    [
        # |ln(10.2 / (20 · ½))| = 0.020 < |ln(10.2 / 20)| = 0.673
        ("FWD", 0.5),
        # |ln(6.3 / (0.6 · 10))| = 0.049 < |ln(6.3 / 0.6)| = 2.351
        ("REV", 10.0),
        # 1 / 1.0299 = 0.97097; |ln(9.71 / 9.7097)| = 0.00003 < |ln(0.971)| = 0.0294
        ("FRAC", 1 / 1.0299),
        # |ln(19.99 / (25 · 16/25))| = 0.2226 < |ln(19.99 / 25)| = 0.2236: hardly smaller, and no ratio's, so it stands.
        ("EVEN", 0.64),
        # Nine days before and eleven after: |ln(11 / 10)| = 0.095 < |ln(11 / 30)| = 1.003
        ("GAPPY", 1 / 3),
    ],
)
def test_a_split_that_the_overnight_return_bears_out_is_applied(
    symbol: str, factor: float, verdicts: dict[tuple[str, int], Row]
) -> None:
    (row,) = of(verdicts, symbol)
    assert row["_rule"] is None
    assert row.price_factor == pytest.approx(factor, rel=1e-15)
    assert row.checked_against_price


def test_a_split_that_makes_the_overnight_return_larger_contradicts_the_price(
    verdicts: dict[tuple[str, int], Row],
) -> None:
    # 1 → 2: |ln(19.8 / (20 · ½))| = 0.683 > |ln(19.8 / 20)| = 0.010
    assert abs(log(19.8 / 10)) > abs(log(19.8 / 20))
    assert of(verdicts, "WRONG")[0]["_rule"] == "split_contradicts_price"
    # 10 → 1: |ln(6.6 / (6 · 10))| = 2.207 > |ln(6.6 / 6)| = 0.095
    assert of(verdicts, "WRONGREV")[0]["_rule"] == "split_contradicts_price"


def test_a_split_that_the_overnight_return_tells_to_be_another_is_refused(
    verdicts: dict[tuple[str, int], Row],
) -> None:
    # 1 → 3 is listed. |ln(10.2 / 20)| = 0.673 is within 3 % of ln 2 = 0.693, and |ln(10.2 / (20 · ⅓))| = 0.425 is left.
    assert of(verdicts, "OTHER")[0]["_rule"] == "split_of_another_ratio"
    # 3 → 2 is listed. ln(6.1 / 2) = 1.115 is within 3 % of ln 3 = 1.099, and ln(6.1 / (2 · 1.5)) = 0.710 is left.
    assert of(verdicts, "OTHERREV")[0]["_rule"] == "split_of_another_ratio"


@pytest.mark.parametrize("symbol", ["ZERO", "ZEROFROM", "NEG", "NAN", "INF", "NONE"])
def test_a_ratio_that_is_no_ratio_is_refused(symbol: str, verdicts: dict[tuple[str, int], Row]) -> None:
    assert [row["_rule"] for row in of(verdicts, symbol)] == ["impossible_ratio"]


def test_a_ratio_of_one_is_refused(verdicts: dict[tuple[str, int], Row]) -> None:
    assert [row["_rule"] for row in of(verdicts, "ONE")] == ["no_change"]


@pytest.mark.parametrize("symbol", ["NOBARS", "AHEAD", "YOUNG"])
def test_a_split_without_bars_on_both_sides_is_applied_unchecked(
    symbol: str, verdicts: dict[tuple[str, int], Row]
) -> None:
    (row,) = of(verdicts, symbol)
    assert (row["_rule"], row.price_factor, row.checked_against_price) == (None, 0.5, False)


def test_of_two_equal_splits_the_first_is_applied(verdicts: dict[tuple[str, int], Row]) -> None:
    assert [row["_rule"] for row in of(verdicts, "DUP")] == [None, "duplicate_split"]


def test_of_two_splits_of_a_day_the_one_that_the_price_contradicts_is_no_rival(
    verdicts: dict[tuple[str, int], Row],
) -> None:
    # 1 → 10 first: |ln(10.5 / 2)| = 1.658 > |ln(10.5 / 20)| = 0.644. Then 1 → 2: |ln(10.5 / 10)| = 0.049.
    assert [row["_rule"] for row in of(verdicts, "CONFLICT")] == ["split_contradicts_price", None]


def test_splits_of_different_days_are_judged_apart(verdicts: dict[tuple[str, int], Row]) -> None:
    rows = of(verdicts, "TWICE")
    assert [(row["_rule"], row.price_factor) for row in rows] == [(None, 0.5), (None, 5.0)]


def test_every_verdict_has_its_words(verdicts: dict[tuple[str, int], Row]) -> None:
    assert {row["_rule"] for row in verdicts.values()} - {None} == set(adjustments.REASONS)


FACTORS = "security_id string, execution_date date, price_factor double"
STRETCHES = "security_id string, from_date date, to_date date, cumulative_factor double"
END = date(9999, 12, 31)


def test_a_days_factor_is_the_product_of_the_splits_up_to_it(spark: SparkSession) -> None:
    rows = [
        ("A", date(2015, 9, 1), 0.1),
        ("A", date(2015, 3, 2), 0.5),
        ("A", date(2015, 6, 1), 10.0),
        ("a", date(2015, 4, 1), 4.0),
    ]
    expected = [
        ("A", date(2015, 3, 2), date(2015, 6, 1), 0.5),
        ("A", date(2015, 6, 1), date(2015, 9, 1), 5.0),  # 0.5 · 10
        ("A", date(2015, 9, 1), END, 0.5),  # 0.5 · 10 · 0.1
        ("a", date(2015, 4, 1), END, 4.0),
    ]
    assert_df_equality(
        cumulative_factors(spark.createDataFrame(rows, FACTORS)),
        spark.createDataFrame(expected, STRETCHES),
        ignore_row_order=True,
        ignore_nullable=True,
    )


def test_a_later_split_changes_no_earlier_factor(spark: SparkSession) -> None:
    known = [("A", date(2015, 3, 2), 0.5), ("A", date(2015, 6, 1), 10.0)]

    def factors(rows: list[tuple[str, date, float]]) -> list[tuple[date, float]]:
        found = cumulative_factors(spark.createDataFrame(rows, FACTORS)).orderBy("from_date").collect()
        return [(row.from_date, row.cumulative_factor) for row in found]

    assert factors([*known, ("A", date(2016, 1, 4), 0.2)])[:2] == factors(known)


def test_no_splits_have_no_factors(spark: SparkSession) -> None:
    assert cumulative_factors(spark.createDataFrame([], FACTORS)).isEmpty()


MONDAY, TUESDAY = date(2015, 9, 7), date(2015, 9, 8)
# symbol, old shares, new shares, endpoint, as of
SAID = [
    ("LAST WEEK ONLY", 1.0, 2.0, "splits", MONDAY),
    ("BOTH DAYS", 1.0, 2.0, "splits", MONDAY),
    ("BOTH DAYS", 1.0, 2.0, "splits", TUESDAY),
    ("BOTH DAYS", 1.0, 2.0, "old_splits", TUESDAY),
    ("CORRECTED", 1.0, 2.0, "splits", MONDAY),
    ("CORRECTED", 1.0, 3.0, "splits", TUESDAY),
    ("SAID TWICE", 1.0, 2.0, "splits", TUESDAY),
    ("SAID TWICE", 1.0, 2.0, "splits", TUESDAY),
    ("FILE TOO", 1.0, 2.0, "splits", TUESDAY),
    ("FILE TOO", 1.0, 2.0, None, None),
    ("FILE DIFFERS", 1.0, 2.0, "splits", TUESDAY),
    ("FILE DIFFERS", 1.0, 5.0, None, None),
    ("FILE ONLY", 1.0, 2.0, None, None),
    ("FILE ONLY", 1.0, 2.0, None, None),
]


def current(spark: SparkSession, rows: list[tuple]) -> list[tuple[str, float, str | None]]:
    schema = "symbol string, split_from double, split_to double, endpoint string, as_of date"
    frame = spark.createDataFrame(rows, schema).withColumn("execution_date", F.lit(ON))
    return sorted(
        ((row.symbol, row.split_to, row.endpoint) for row in current_splits(frame).collect()), key=lambda row: row[:2]
    )


def test_splits_are_those_of_the_latest_snapshot_and_what_only_files_have(spark: SparkSession) -> None:
    assert current(spark, SAID) == [
        ("BOTH DAYS", 2.0, "splits"),
        ("CORRECTED", 3.0, "splits"),
        ("FILE DIFFERS", 2.0, "splits"),
        ("FILE DIFFERS", 5.0, None),
        # What one source says twice is for the rules to judge.
        ("FILE ONLY", 2.0, None),
        ("FILE ONLY", 2.0, None),
        ("FILE TOO", 2.0, "splits"),
        ("SAID TWICE", 2.0, "splits"),
        ("SAID TWICE", 2.0, "splits"),
    ]


def test_without_a_snapshot_all_files_count_and_the_old_endpoint_does_where_it_was_last(spark: SparkSession) -> None:
    files = [row for row in SAID if row[3] is None]
    assert [row[0] for row in current(spark, files)] == ["FILE DIFFERS", "FILE ONLY", "FILE ONLY", "FILE TOO"]
    old = [("A", 1.0, 2.0, "splits", MONDAY), ("B", 1.0, 2.0, "old_splits", TUESDAY)]
    assert current(spark, old) == [("B", 2.0, "old_splits")]
