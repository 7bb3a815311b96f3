"""Text read as Arrow columns means what Spark's casts make of it."""

import re
from datetime import UTC, date, datetime
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
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "array<int>": pa.list_(pa.int32()),
    "array<string>": pa.list_(pa.string()),
    "map<string,double>": pa.map_(pa.string(), pa.float64()),
    "string": pa.string(),
}
TEXTS = [
    "-7E00015",
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
TEXTS += [
    *("TRUE", "t", "F", "no", "yes ", "2015-03-20", "2015-02-29", "2015-3-20", "2015-03", "20150320", " 2015-03-20"),
    *(
        "2015-03-20T14:30:00Z",
        "2015-03-20T14:30:00",
        "2015-03-20 14:30:00.123456789-05:00",
        "2015-03-20T14:30:00+05:30",
    ),
    *(
        "2015-03-20T24:00:00Z",
        "2015-03-20T14:30:00.1Z",
        "2015-03-20T14:30:00z",
        "yesterday",
        "1969-12-31T23:59:59.999999Z",
    ),
    *(
        "[]",
        "{}",
        '["a", null, "b, c"]',
        '["half \\ud83d pair", "1.10", true, {"a": ["1", "x"]}]',
        '"A"',
        "[",
        "null",
        '["a"] ',
    ),
    *('{"a": "1.5", "b": -2e3}', '{"a": 1e400}', '{"a": "x"}', '{"a": {"b": 1}}', '{"a": null}'),
]
OTHERWISE = {
    "double": {"5f", "1.5d"},
    "timestamp": {"2015-3-20", "2015-03"},
}
"""What Spark takes and we don't, since no vendor means it: a number with a letter after it, part of a date."""
# Spark cannot read a zero with an exponent (0e40), which Arrow can; it does no harm.
NUMBERLIKE = st.from_regex(r"[0-9+\-.,eExX _]{0,14}", fullmatch=True).filter(
    lambda text: not re.match(r" *[+-]?[0.]+[eE]", text)
)


def by_arrow(texts: list[str | None], field: Field) -> list[tuple[object, bool]]:
    values, unread = read_column(pa.array(texts, pa.string()), field, TYPES[field.type])
    found = values.to_pylist()
    if pa.types.is_map(values.type):
        found = [None if one is None else dict(one) for one in found]
    return list(zip(found, [False] * len(texts) if unread is None else unread.tolist(), strict=True))


def in_sql(field: Field) -> tuple[str, str]:
    """A field over a column `text`, empty where there is none: SQL for its value, and for whether it cannot be read."""
    said = "text" if field.missing is None else f"if(text = '{field.missing}', '', text)"
    given = f"nullif({said}, '')"
    finite = "CASE WHEN abs(try_cast({0} AS double)) < double('infinity') THEN try_cast({0} AS double) END"
    bad_items = None
    if field.type == "array<int>":
        listed = f"transform(split({said}, ','), item -> try_cast(trim(item) AS int))"
        value = f"CASE WHEN {said} = '' THEN cast(array() AS array<int>) ELSE {listed} END"
        bad_items = f"exists({value}, item -> item IS NULL)"
    elif field.type == "map<string,double>":
        value = f"transform_values(from_json({given}, 'map<string,string>'), (name, item) -> {finite.format('item')})"
        bad_items = f"exists(map_values({value}), item -> item IS NULL)"
    elif field.type.startswith("array<"):
        value = f"from_json({given}, '{field.type}')"
    elif field.type == "date":  # Spark would take part of a date for its first day.
        value = f"CASE WHEN {said} RLIKE '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$' THEN try_cast({said} AS date) END"
    elif field.type == "double":
        value = finite.format(given)
    else:
        value = f"try_cast({given} AS {field.type})"
        value = value if field.times == 1 else f"try_multiply({value}, {field.times}L)"
    unread = f"coalesce({said} <> '' AND {value} IS NULL, true)"
    if bad_items is not None:
        unread = f"({unread} OR coalesce({bad_items}, false))"
    return (f"nullif({value}, 0)" if field.zero_is_none else value), unread


def by_sql(spark: SparkSession, texts: list[str], field: Field) -> list[tuple[object, bool]]:
    value, unread = in_sql(field)
    frame = spark.createDataFrame(list(enumerate(texts)), "place int, text string").orderBy("place")
    rows = frame.selectExpr(f"{value} AS value", f"{unread} AS unread").collect()
    # A list with an item that is no number is refused whole, so that what is left of it does not matter.
    found = [(None if row.unread else row.value, row.unread) for row in rows]
    if field.type == "timestamp":
        found = [(value and value.astimezone(UTC), unread) for value, unread in found]
    return found


@pytest.mark.parametrize(
    ("type_", "zero_is_none"),
    [*((name, False) for name in TYPES), ("bigint", True), ("int", True), ("decimal(18,6)", True)],
)
def test_a_text_is_read_as_spark_reads_it(type_: str, zero_is_none: bool, spark: SparkSession) -> None:
    field = Field("value", "text", type_, zero_is_none=zero_is_none)
    # One by one as well: alone, a text takes the fast way that reads all at once.
    alone = [by_arrow([text or None], field)[0] for text in TEXTS]
    assert alone == by_arrow([text or None for text in TEXTS], field)
    ours = dict(zip(TEXTS, alone, strict=True))
    theirs = dict(zip(TEXTS, by_sql(spark, TEXTS, field), strict=True))
    otherwise = OTHERWISE.get(type_, set())
    assert {text: ours[text] for text in ours.keys() - otherwise} == {
        text: theirs[text] for text in theirs.keys() - otherwise
    }
    assert {ours[text] for text in otherwise} <= {(None, True)}
    assert all(not theirs[text][1] for text in otherwise)


@pytest.mark.slow
@pytest.mark.parametrize("type_", ["bigint", "int", "decimal(18,6)", "decimal(20,6)", "double", "array<int>"])
@given(texts=st.lists(NUMBERLIKE, min_size=100, max_size=400))
@hypothesis_settings(deadline=None, max_examples=6, phases=(Phase.generate,))
def test_anything_like_a_number_is_read_as_spark_reads_it(spark: SparkSession, type_: str, texts: list[str]) -> None:
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


def test_lists_of_levels_are_read_as_spark_reads_them(spark: SparkSession) -> None:
    frame = spark.createDataFrame(list(enumerate(LEVEL_TEXTS)), "place int, text string").orderBy("place")
    by_spark = [
        [tuple(level) for level in row.value] for row in frame.selectExpr(f"{in_sql(LEVELS)[0]} AS value").collect()
    ]
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


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        (
            Field("value", "text", "bigint", times=1_000_000),
            ["1", "-5", "9223372036854", "9223372036855", "-9223372036855", "x"],
        ),
        (Field("value", "text", "double", missing="."), ["1.5", ".", "..", ""]),
    ],
)
def test_multiples_and_words_for_nothing_are_read_as_spark_reads_them(
    field: Field, texts: list[str], spark: SparkSession
) -> None:
    assert by_arrow([text or None for text in texts], field) == by_sql(spark, texts, field)


def test_an_instant_is_of_its_zone_and_utcs_without_one() -> None:
    texts = ["2015-03-20T14:30:00-0500", "2015-03-20T14:30:00", "2015-03-20"]
    values, _ = read_column(pa.array(texts), Field("v", "t", "timestamp"), TYPES["timestamp"])
    assert values.to_pylist() == [
        datetime(2015, 3, 20, 19, 30, tzinfo=UTC),
        datetime(2015, 3, 20, 14, 30, tzinfo=UTC),
        datetime(2015, 3, 20, tzinfo=UTC),
    ]
    assert read_column(pa.array(texts[2:]), Field("v", "t", "date"), pa.date32())[0].to_pylist() == [date(2015, 3, 20)]


def test_digits_of_other_scripts_are_no_numbers() -> None:
    # Spark takes them where it reads a decimal; no vendor writes them.
    for type_ in ("bigint", "int", "decimal(18,6)", "array<int>"):
        assert by_arrow(["٣"], Field("value", "text", type_)) == [(None, True)]
