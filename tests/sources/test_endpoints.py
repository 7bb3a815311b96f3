"""The declarations of endpoints are sound: what they fill is there, and what they ask has all its places filled."""

import re

import pytest

from smallcaps.lake import REGISTRY
from smallcaps.sources.endpoints import ENDPOINTS as ALL
from smallcaps.sources.polygon.endpoints import CHANNELS, ENDPOINTS, Endpoint, Freshness, Scope
from tests.sources.vendor_bodies import BODIES

GIVEN = {"symbol", "session_date", "endpoint", "as_of", "received_at", "source_sha256", "source_line"}
"""Columns that a field need not give: the request and the body do."""
OLD = {"old_splits", "old_dividends", "old_financials"}
IN_BULK = {"trades", "quotes", "day_bars", "minute_bars"}

every = pytest.mark.parametrize("endpoint", ALL.values(), ids=ALL)


@every
def test_fields_are_columns_of_a_bronze_table_with_its_types(endpoint: Endpoint) -> None:
    columns = {column.name: column.type for column in REGISTRY[endpoint.table].columns}
    assert endpoint.table.startswith("bronze.")
    assert {field.column: field.type for field in endpoint.fields}.items() <= columns.items()
    names = [field.column for field in endpoint.fields]
    assert len(set(names)) == len(names)


@every
def test_a_column_that_may_not_be_null_is_given(endpoint: Endpoint) -> None:
    required = {column.name for column in REGISTRY[endpoint.table].columns if not column.nullable}
    sure = {field.column for field in endpoint.fields if not field.optional}
    assert required - sure <= GIVEN | {endpoint.asked}


@every
def test_what_bounds_the_days_is_a_column_and_is_asked_for(endpoint: Endpoint) -> None:
    columns = {column.name: column.type for column in REGISTRY[endpoint.table].columns}
    assert endpoint.within is None or columns[endpoint.within] in ("date", "timestamp")
    assert (endpoint.within is not None) == ("{from}" in endpoint.template)


@every
def test_places_of_a_request_are_those_that_its_scope_fills(endpoint: Endpoint) -> None:
    places = set(re.findall(r"{(\w+)}", endpoint.template))
    assert places <= {"symbol", "from", "to", "as_of"}
    assert ("symbol" in places) == endpoint.scope.by_symbol
    if endpoint.scope in (Scope.DAY, Scope.SYMBOL_DAY):
        assert "from" in places
    # What is kept for ever must not name the day on which it was asked.
    assert endpoint.freshness is Freshness.SNAPSHOT or "as_of" not in places


@every
def test_a_table_of_snapshots_keeps_each_and_others_say_nothing_of_the_day_in_their_key(endpoint: Endpoint) -> None:
    key = REGISTRY[endpoint.table].key
    by_time = ("bronze.bars", "bronze.trades", "bronze.quotes", "bronze.macro_vintages")
    assert ("as_of" in key) == (not endpoint.table.startswith(by_time))


def test_a_request_is_written_as_the_client_writes_it() -> None:
    assert ENDPOINTS["day_bars"].template == (
        "/v2/aggs/ticker/{symbol}/range/1/day/{from}/{to}?adjusted=false&limit=50000&sort=asc"
    )
    assert ENDPOINTS["trades"].template == ("/v3/trades/{symbol}?limit=50000&order=asc&sort=timestamp&timestamp={from}")


def test_all_but_the_superseded_and_the_bulky_are_routine_and_tickers_come_first() -> None:
    routine = [name for name, endpoint in ENDPOINTS.items() if endpoint.routine]
    assert set(ENDPOINTS) - set(routine) == OLD | IN_BULK
    assert routine[:2] == ["tickers", "delisted_tickers"]


def test_every_table_of_the_vendors_is_filled_by_an_endpoint_or_the_feed() -> None:
    bronze = {name for name in REGISTRY if name.startswith("bronze.")}
    # The vendor sells no depth.
    own = {"bronze.bodies", "bronze.book"}
    assert {endpoint.table for endpoint in (*ALL.values(), *CHANNELS.values())} == bronze - own


@pytest.mark.parametrize("endpoint", CHANNELS.values(), ids=CHANNELS)
def test_a_channels_fields_are_columns_of_its_table_and_give_what_may_not_be_null(endpoint: Endpoint) -> None:
    columns = {column.name: column.type for column in endpoint.declared.columns}
    assert {field.column: field.type for field in endpoint.fields}.items() <= columns.items()
    required = {column.name for column in endpoint.declared.columns if not column.nullable}
    assert required - {field.column for field in endpoint.fields if not field.optional} <= GIVEN


def test_there_is_a_body_for_every_endpoint() -> None:
    assert set(BODIES) == set(ENDPOINTS)
