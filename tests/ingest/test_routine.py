"""Steps: one that fails does not stop the others, and the worst failure decides."""

from datetime import date, timedelta

import pytest

from smallcaps.errors import BadData, BadInput, FailedDependency, SmallcapsError
from smallcaps.ingest.rest import chosen, new_york_today, wanted
from smallcaps.ingest.routine import carry_out

DAY = date(2015, 3, 20)


def failing(error: SmallcapsError):
    def work() -> None:
        raise error

    return work


def test_results_come_by_name_and_each_step_is_told() -> None:
    told = []

    def around(name, work):
        told.append(name)
        return work()

    assert carry_out([("a", lambda: 1), ("b", lambda: 2)], around) == {"a": 1, "b": 2}
    assert told == ["a", "b"]


@pytest.mark.parametrize(
    ("errors", "worst"),
    [
        ([BadInput("x"), BadData("y")], BadData),
        ([FailedDependency("x"), BadData("y"), BadInput("z")], FailedDependency),
        ([BadInput("x")], BadInput),
    ],
)
def test_the_others_are_done_and_the_worst_is_raised_with_all_that_failed(
    errors: list[SmallcapsError], worst: type[SmallcapsError]
) -> None:
    done = []
    steps = [(f"step {number}", failing(error)) for number, error in enumerate(errors)]
    with pytest.raises(worst) as raised:
        carry_out([*steps, ("last", lambda: done.append("last"))])
    assert type(raised.value) is worst
    assert done == ["last"]
    said = str(raised.value)
    assert said.startswith(f"{len(errors)} of {len(errors) + 1} failed.")
    assert all(f"step {number}: {error}" in said for number, error in enumerate(errors))


def test_a_single_step_fails_in_its_own_words() -> None:
    with pytest.raises(BadData, match=r"^only: torn$"):
        carry_out([("only", failing(BadData("torn")))])


def test_a_bug_is_not_collected() -> None:
    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        carry_out([("bug", bug), ("never", lambda: pytest.fail("asked after a bug"))])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [((DAY, DAY - timedelta(1)), "2015-03-20 is after 2015-03-19"), ((DAY, DAY, []), "No symbols")],
)
def test_a_wish_for_nothing_is_bad_input(arguments: tuple, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        wanted(*arguments)


def test_symbols_are_taken_once_and_the_as_of_day_is_new_yorks() -> None:
    want = wanted(DAY, DAY, ["B", "A", "B"])
    assert want.symbols == ("B", "A")
    assert want.as_of == new_york_today()


def test_an_unknown_endpoint_is_bad_input_that_lists_those_there_are() -> None:
    with pytest.raises(BadInput, match=r"Unknown endpoints bars\. Endpoints: tickers,"):
        chosen(["tickers", "bars"], wanted(DAY, DAY))


def test_endpoints_are_asked_in_their_own_order() -> None:
    names = [endpoint.name for endpoint in chosen(["trades", "tickers", "splits"], wanted(DAY, DAY))]
    assert names == ["tickers", "splits", "trades"]


def test_what_is_asked_for_once_is_not_asked_before_the_day_is_over() -> None:
    today = wanted(DAY, new_york_today())
    with pytest.raises(BadInput, match=r"is not over in New York\. day_bars, trades"):
        chosen(["tickers", "day_bars", "trades", "day_bars_adjusted"], today)
    assert len(chosen(["tickers", "day_bars_adjusted", "news"], today)) == 3
