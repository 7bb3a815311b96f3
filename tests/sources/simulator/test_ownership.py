"""What insiders and institutions file: in time, consistent with itself, never with what comes later."""

from datetime import date
from itertools import pairwise

import pytest

from smallcaps.sources.simulator.history import make_history
from smallcaps.sources.simulator.ownership import FORM_13F_DAYS, Record, ownership
from smallcaps.sources.simulator.settings import MarketSettings

SETTINGS = MarketSettings(symbols=60, days=120, last_day=date(2026, 10, 16), seed=5, tick_days=1, tick_symbols=3)


@pytest.fixture(scope="module")
def filed() -> dict[str, list[Record]]:
    return ownership(make_history(SETTINGS))


def days_between(record: Record, first: str, last: str) -> int:
    return (date.fromisoformat(record[last]) - date.fromisoformat(record[first])).days


def test_filings_come_in_order_and_none_after_the_last_session(filed: dict[str, list[Record]]) -> None:
    for records in filed.values():
        days = [record["filing_date"] for record in records]
        assert days == sorted(days)
        assert days[-1] <= "2026-10-16"


def test_every_kind_of_filing_and_trade_is_there(filed: dict[str, list[Record]]) -> None:
    forms = {record["form_type"] for records in filed.values() for record in records}
    assert forms == {"3", "4", "4/A", "13F-HR", "13F-HR/A"}
    assert {record["transaction_code"] for record in filed["form_4"]} == {"P", "S", "A", "F"}
    assert {record["transaction_timeliness"] for record in filed["form_4"]} == {"O", "L"}


def test_a_change_is_filed_after_it_and_owned_shares_follow_from_it(filed: dict[str, list[Record]]) -> None:
    for record in filed["form_4"]:
        assert days_between(record, "transaction_date", "filing_date") >= 1
        assert record["shares_owned_following_transaction"] >= 0
    by_owner: dict[str, list[Record]] = {}
    for record in filed["form_4"]:
        if record["form_type"] == "4" and record["transaction_timeliness"] == "O":
            by_owner.setdefault(record["accession_number"], []).append(record)
    for lines in by_owner.values():
        for before, after in pairwise(lines):
            sign = 1 if after["transaction_acquired_disposed"] == "A" else -1
            change = after["shares_owned_following_transaction"] - before["shares_owned_following_transaction"]
            assert change == pytest.approx(sign * after["transaction_shares"], abs=1)


def test_an_amendment_names_the_filing_it_amends(filed: dict[str, list[Record]]) -> None:
    originals = {(one["owner_cik"], one["filing_date"]) for one in filed["form_4"] if one["form_type"] == "4"}
    amendments = [one for one in filed["form_4"] if one["form_type"] == "4/A"]
    assert amendments
    assert {(one["owner_cik"], one["date_of_original_submission"]) for one in amendments} <= originals


def test_institutions_file_within_45_days_of_the_quarter(filed: dict[str, list[Record]]) -> None:
    first = [record for record in filed["form_13f"] if record["form_type"] == "13F-HR"]
    waits = {days_between(record, "period", "filing_date") for record in first}
    assert min(waits) >= 5
    assert max(waits) <= FORM_13F_DAYS
    assert {record["period"][5:] for record in first} == {"03-31", "06-30", "09-30", "12-31"}
    assert {record["put_call"] for record in first if "put_call" in record} == {"Put"}
