"""The feed's books by themselves: what is known up to when, and a buffer that loses nothing without saying so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallcaps.errors import BadInput
from smallcaps.sources.polygon.bookkeeping import Buffer, Coverage
from smallcaps.sources.polygon.events import Event, Gap

MS = 10**6
TODAY_MS = 1781622376000


def trade(number: int, received_ns: int = (TODAY_MS + 10**6) * MS, channel: str = "T") -> Event:
    return Event(channel, "ABC", {"ev": channel, "q": number, "t": TODAY_MS + number}, received_ns, 1)


def at(number: int) -> int:
    return (TODAY_MS + number) * MS


def test_each_channel_is_known_up_to_its_own_latest_event() -> None:
    coverage = Coverage()
    for topic in ("T.A", "Q.*", "T.B", "LULD.*"):
        coverage.acknowledge(topic, at(0))
    for event in (trade(3), trade(9), trade(8), trade(5, channel="Q")):
        coverage.saw(event)
    coverage.lose("first")
    coverage.saw(trade(20))
    coverage.lose("second")
    assert coverage.covered_again(at(30)) == [
        Gap(("T.A", "T.B"), at(9), at(30), "first"),
        Gap(("Q.*",), at(5), at(30), "first"),
        Gap(("LULD.*",), at(0), at(30), "first"),
    ]
    assert coverage.covered_again(at(31)) == []


def test_a_stamp_later_than_its_receipt_hides_no_loss() -> None:
    coverage = Coverage()
    coverage.acknowledge("T.*", at(0))
    coverage.saw(trade(10**9, received_ns=at(7)))
    coverage.lose("closed")
    assert coverage.covered_again(at(30)) == [Gap(("T.*",), at(7), at(30), "closed")]


def test_a_clock_that_is_behind_makes_no_gap_that_ends_before_it_begins() -> None:
    coverage = Coverage()
    coverage.acknowledge("T.*", at(50))
    coverage.lose("closed")
    assert coverage.covered_again(at(40)) == [Gap(("T.*",), at(50), at(50), "closed")]


def test_a_full_buffer_drops_until_half_of_it_is_taken_and_tells_one_gap_a_channel() -> None:
    buffer = Buffer(6, {"T": ("T.*",), "Q": ("Q.A", "Q.B")}.__getitem__)
    kept = [buffer.put(trade(number, channel="Q" if number == 8 else "T")) for number in range(10)]
    assert kept == [True] * 6 + [False] * 4
    assert [buffer.take(), buffer.take()] == [trade(0), trade(1)]
    assert not buffer.put(trade(10))
    assert buffer.take() == trade(2)
    assert buffer.put(trade(11))
    assert [buffer.take() for _ in range(7)] == [
        trade(3), trade(4), trade(5),
        Gap(("T.*",), at(6), at(10), "slow consumer"), Gap(("Q.A", "Q.B"), at(8), at(8), "slow consumer"),
        trade(11), None,
    ]  # fmt: skip


def test_what_has_no_time_is_dropped_at_the_time_it_came() -> None:
    buffer = Buffer(1, lambda _: ())
    buffer.put(trade(0))
    buffer.put(Event("unreadable", None, {}, 77, 1))
    assert [buffer.take(), buffer.take()] == [trade(0), Gap((), 77, 77, "slow consumer")]


def test_a_buffer_without_room_is_refused() -> None:
    with pytest.raises(BadInput, match="room for an event"):
        Buffer(0, lambda _: ())


@given(st.integers(1, 6), st.lists(st.booleans(), max_size=80))
def test_every_event_is_taken_or_lies_in_a_gap_and_the_buffer_stays_bounded(capacity: int, puts: list[bool]) -> None:
    buffer = Buffer(capacity, lambda channel: (f"{channel}.*",))
    taken, waiting, number = [], 0, 0
    for put in puts:
        if put:
            waiting += buffer.put(trade(number))
            number += 1
            assert waiting <= capacity
        else:
            record = buffer.take()
            taken.append(record)
            waiting -= isinstance(record, Event)
    while (record := buffer.take()) is not None:
        taken.append(record)
    came = [record.body["q"] for record in taken if isinstance(record, Event)]
    told = [record for record in taken if isinstance(record, Gap)]
    assert came == sorted(came)
    missed = [each for each in range(number) if each not in came]
    assert all(sum(gap.from_ns <= at(each) <= gap.to_ns for gap in told) == 1 for each in missed)
    assert not any(gap.from_ns <= at(each) <= gap.to_ns for gap in told for each in came)
