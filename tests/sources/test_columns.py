"""Text read as Arrow columns means what it means read as SQL: one declaration, two readers."""

import re
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from smallcaps.sources.columns import read_column
from smallcaps.sources.fields import Field

TYPES = {
    "bigint": pa.int64(),
    "int": pa.int32(),
    "decimal(18,6)": pa.decimal128(18, 6),
    "decimal(20,6)": pa.decimal128(20, 6),
    "array<int>": pa.list_(pa.int32()),
    "string": pa.string(),
}
TEXTS = [
    *("0", "-0", "+5", "007", " 5", "5 ", "\t5\n", "5.", ".5", ".", "+", "-", "", "1 2", "1,2", "1,,2", ",", " 1 , 2 "),
    *(
        "0x10",
        "0X1f",
        "1e3",
        "1E-3",
        "1e-9",
        ".2e-4560",
        "1e-99999",
        "1e30",
        "1e400",
        "1e3.5",
        "1_000",
        "5L",
        "5f",
        "1.5d",
        "nan",
        "NaN",
        "inf",
    ),
    *("2147483647", "2147483648", "-2147483648", "9223372036854775807", "9223372036854775808", "-9223372036854775809"),
    *(
        "0.0000005",
        "0.0000004",
        "1.1234565",
        "-1.1234565",
        "999999999999.999999",
        "999999999999.9999995",
        "1000000000000",
    ),
    *("99999999999999.999999", "99999999999999.9999999", "½", "None", "true", "0.000000", "12,2147483648"),
]
# Spark cannot read a zero with an exponent (0e40), which Arrow can; it does no harm.
NUMBERLIKE = st.from_regex(r"[0-9+\-.,eExX _]{0,14}", fullmatch=True).filter(
    lambda text: not re.match(r" *[+-]?[0.]+[eE]", text)
)


def by_arrow(texts: list[str | None], field: Field) -> list[tuple[object, bool]]:
    values, unread = read_column(pa.array(texts, pa.string()), field, TYPES[field.type])
    return list(zip(values.to_pylist(), [False] * len(texts) if unread is None else unread.tolist(), strict=True))


def by_sql(spark: SparkSession, texts: list[str], field: Field) -> list[tuple[object, bool]]:
    frame = spark.createDataFrame(list(enumerate(texts)), "place int, text string").orderBy("place")
    rows = frame.selectExpr(f"{field.value} AS value", f"coalesce({field.unparsable}, true) AS unread").collect()
    # A list with an item that is no number is refused whole, so that what is left of it does not matter.
    return [(None if field.type == "array<int>" and row.unread else row.value, row.unread) for row in rows]


@pytest.mark.parametrize(
    ("type_", "zero_is_none"),
    [*((name, False) for name in TYPES), ("bigint", True), ("int", True), ("decimal(18,6)", True)],
)
def test_both_readers_read_the_same(type_: str, zero_is_none: bool, spark: SparkSession) -> None:
    field = Field("value", "text", type_, zero_is_none=zero_is_none)
    # One by one as well: alone, a text takes the fast way that reads all at once.
    alone = [by_arrow([text or None], field)[0] for text in TEXTS]
    assert alone == by_arrow([text or None for text in TEXTS], field)
    expected = by_sql(spark, TEXTS, field)
    if type_ == "string":
        expected = [(value or None, unread) for value, unread in expected]
    assert dict(zip(TEXTS, alone, strict=True)) == dict(zip(TEXTS, expected, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("type_", [one for one in TYPES if one != "string"])
@given(texts=st.lists(NUMBERLIKE, min_size=100, max_size=400))
@hypothesis_settings(deadline=None, max_examples=6, phases=(Phase.generate,))
def test_both_readers_read_the_same_of_anything_like_a_number(
    spark: SparkSession, type_: str, texts: list[str]
) -> None:
    field = Field("value", "text", type_)
    found = dict(zip(texts, by_arrow([text or None for text in texts], field), strict=True))
    assert found == dict(zip(texts, by_sql(spark, texts, field), strict=True))


def test_a_column_of_sound_numbers_has_nothing_unread() -> None:
    values, unread = read_column(pa.array(["1.5", None, "2"]), Field("v", "t", "decimal(18,6)"), pa.decimal128(18, 6))
    assert unread is None
    assert values.to_pylist() == [Decimal("1.5"), None, Decimal(2)]


LEVELS = Field("value", "text", "array<struct<price:decimal(18,6),size:decimal(20,6)>>")
LEVEL_TYPE = pa.list_(pa.struct([("price", pa.decimal128(18, 6)), ("size", pa.decimal128(20, 6))]))
LEVEL_TEXTS = [
    "[]",
    '[{"price":9.99,"size":300}]',
    '[{"price": 9.990000, "size": 3e2}, {"size":0.0015,"price":9.98}]',
    '[{"price":9.99}]',
    '[{"price":null,"size":1}]',
    '[{"price":9.99,"size":1,"orders":3}]',
    '[{"price":999999999999.999999,"size":1}]',
]
NO_LEVELS = [
    "[",
    "9.99",
    '[{"price":9.99,"size":1}',
    '[{"price":"ten","size":1}]',
    "[9.99]",
    '[{"price":1e30,"size":1}]',
    "x",
]


def levels_by_arrow(texts: list[str | None]) -> list[object]:
    values, unread = read_column(pa.array(texts, pa.string()), LEVELS, LEVEL_TYPE)
    assert (unread is None) == (values.null_count == texts.count(None))
    return [None if value is None else [tuple(level.values()) for level in value] for value in values.to_pylist()]


def test_both_readers_read_lists_of_levels_the_same(spark: SparkSession) -> None:
    frame = spark.createDataFrame(list(enumerate(LEVEL_TEXTS)), "place int, text string").orderBy("place")
    by_spark = [[tuple(level) for level in row.value] for row in frame.selectExpr(f"{LEVELS.value} AS value").collect()]
    # One by one and those without a surprise together take the fast way, all together the slow one.
    assert [levels_by_arrow([text])[0] for text in LEVEL_TEXTS] == by_spark
    assert levels_by_arrow(LEVEL_TEXTS[:2]) == by_spark[:2]
    assert levels_by_arrow([*LEVEL_TEXTS, None, *NO_LEVELS]) == [*by_spark, None, *[None] * len(NO_LEVELS)]


@pytest.mark.parametrize("text", NO_LEVELS)
def test_what_is_no_list_of_levels_is_unread_and_spoils_no_other(text: str) -> None:
    sound = '[{"price":9.99,"size":300}]'
    values, unread = read_column(pa.array([sound, text, None, sound]), LEVELS, LEVEL_TYPE)
    assert unread is not None
    assert unread.tolist() == [False, True, False, False]
    assert values.to_pylist()[0] == values.to_pylist()[3] == [{"price": Decimal("9.99"), "size": Decimal(300)}]


def test_digits_of_other_scripts_are_no_numbers() -> None:
    # Spark takes them where it reads a decimal; no vendor writes them.
    for type_ in ("bigint", "int", "decimal(18,6)", "array<int>"):
        assert by_arrow(["٣"], Field("value", "text", type_)) == [(None, True)]
