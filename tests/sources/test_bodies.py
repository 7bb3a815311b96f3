"""From bodies to text: nothing of a number is lost, nothing is taken for what it is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps.errors import BadData
from smallcaps.sources.polygon.bodies import parse, records_of, text_columns
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from tests.sources.vendor_bodies import BODIES, content


def texts(name: str, body: bytes) -> dict[str, list[str]]:
    endpoint = ENDPOINTS[name]
    columns = text_columns(endpoint, records_of(endpoint, parse(body)))
    return {column: values.to_pylist() for column, values in columns.items()}


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("10.10", "10.10"),
        ("1e5", "1e5"),
        ("5.0", "5"),
        ("-0.0", "-0"),
        ("1426858200000123457", "1426858200000123457"),
        ("123456789012345678901.123456789", "123456789012345678901.123456789"),
        ("NaN", "NaN"),
        ('"10"', "10"),
        ("true", "true"),
        ("null", None),
        ('""', None),
        ("[1, 2]", '["1", "2"]'),
        ('{"a": 1}', '{"a": "1"}'),
    ],
)
def test_a_value_keeps_the_digits_it_came_with(written: str, text: str | None) -> None:
    body = f'{{"results": [{{"o": {written}}}]}}'.encode()
    assert texts("day_bars", body)["open"] == [text]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9))
def test_no_decimal_goes_through_a_float(number) -> None:
    body = f'{{"results": [{{"o": {number}}}]}}'.encode()
    assert texts("day_bars", body)["open"] == [str(number).removesuffix(".0")]


@pytest.mark.parametrize(
    ("conditions", "text"), [("[12, 37]", "12,37"), ("[]", None), ("[null, 3]", ",3"), ("7", "7"), ('["x"]', "x")]
)
def test_lists_of_numbers_are_written_as_flat_files_write_them(conditions: str, text: str | None) -> None:
    body = f'{{"results": [{{"conditions": {conditions}}}]}}'.encode()
    assert texts("trades", body)["conditions"] == [text]


@pytest.mark.parametrize(
    ("record", "size"),
    [
        ({"decimal_size": "0.5", "size": 0}, "0.5"),
        ({"size": 7}, "7"),
        ({"decimal_size": None, "size": 7}, "7"),
        ({}, None),
    ],
)
def test_of_alternatives_the_first_that_is_there_counts(record: dict[str, Any], size: str | None) -> None:
    assert texts("trades", json.dumps({"results": [record]}).encode())["size"] == [size]


def test_names_that_differ_in_case_are_different_fields() -> None:
    columns = texts("grouped_bars", b'{"results": [{"T": "A", "t": 5}]}')
    assert (columns["symbol"], columns["window_start_ns"]) == (["A"], ["5"])


def test_an_event_has_what_its_company_says_beside_it() -> None:
    columns = texts("ticker_events", content("ticker_events"))
    assert columns["name"] == ["Alpha Inc."] * 2
    assert columns["ticker"] == ["A", "OLDA"]


def test_figures_that_nobody_named_are_kept_and_new_words_are_none() -> None:
    items = json.loads(texts("income_statements", content("income_statements"))["items"][0])
    assert items == {"revenue": "416161000000", "basic_earnings_per_share": "-0.25"}
    old = json.loads(texts("old_financials", content("old_financials"))["items"][0])
    assert {name: float(value) for name, value in old.items()} == {
        "balance_sheet.assets": 2.1321e10,
        "income_statement.revenues": 3136,
    }


def test_a_day_of_the_economy_is_a_row_a_figure_and_what_is_not_published_is_none() -> None:
    columns = texts("treasury_yields", content("treasury_yields"))
    assert list(zip(columns["observation_date"], columns["series"], columns["value"], strict=True)) == [
        ("2015-03-20", "yield_1_month", "0.05"),
        ("2015-03-20", "yield_10_year", "1.93"),
        ("2015-03-23", "yield_10_year", "1.92"),
    ]


def test_half_a_surrogate_pair_is_no_reason_to_fail() -> None:
    assert texts("news", content("news"))["title"][1] == "half a ? pair"


@pytest.mark.parametrize("name", BODIES)
def test_as_many_records_are_counted_in_a_plain_body_as_in_an_exact_one(name: str) -> None:
    endpoint = ENDPOINTS[name]
    assert len(records_of(endpoint, BODIES[name])) == len(records_of(endpoint, parse(content(name)))) > 0


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("trades", {"status": "OK"}),
        ("trades", {"results": None}),
        ("trades", {"results": []}),
        ("ticker_events", {"status": "OK"}),
        ("ticker_events", {"results": {"name": "X"}}),
        ("holidays", []),
        ("treasury_yields", {"results": [{"date": "2015-03-20", "yield_1_month": None}]}),
    ],
)
def test_a_body_without_records_has_none(name: str, body: Any) -> None:
    assert records_of(ENDPOINTS[name], body) == []


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("trades", {"results": "none"}),
        ("trades", {"results": [1, 2]}),
        ("trades", {"results": [{}, None]}),
        ("trades", []),
        ("ticker_events", {"results": []}),
        ("holidays", "closed"),
    ],
)
def test_a_body_that_is_not_of_the_endpoint_is_bad_data(name: str, body: Any) -> None:
    with pytest.raises(BadData, match="body"):
        records_of(ENDPOINTS[name], body)
