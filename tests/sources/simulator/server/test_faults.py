"""Each fault of REST does what it says, on the requests it says, and nothing else."""

import time
from pathlib import Path
from typing import Any

import pytest
import urllib3

from smallcaps.errors import BadInput
from smallcaps.sources.simulator.server import Faults, running
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import KEY, MONDAY

PATH = "/v3/trades/ABCD?limit=2&order=asc"


def statuses(market: Path, requests: int, **faults: Any) -> list[int]:
    """Of so many requests to a new server."""
    with running(market, KEY, faults=Faults(**faults)) as place:
        asking = Asking(place.origin)
        return [asking.answer(PATH).status for _ in range(requests)]


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ({}, [200, 200, 200, 200]),
        ({"too_many_first": 2}, [429, 429, 200, 200]),
        ({"too_many_every": 2}, [200, 429, 200, 429]),
        ({"unwell_first": 1, "unwell_status": 502}, [502, 200, 200, 200]),
        ({"unwell_every": 3}, [200, 200, 503, 200]),
        ({"unwell_share": 1.0, "unwell_status": 500}, [500, 500, 500, 500]),
        ({"refuse_key": True}, [401, 401, 401, 401]),
        ({"forbidden": ("/v3/trades",)}, [403, 403, 403, 403]),
        ({"forbidden": ("/v3/quotes",)}, [200, 200, 200, 200]),
    ],
)
def test_faults_fall_on_the_requests_they_are_asked_for(
    market: Path, faults: dict[str, Any], expected: list[int]
) -> None:
    assert statuses(market, 4, **faults) == expected


def test_a_storm_depends_on_its_seed_alone(market: Path) -> None:
    first = [Faults(seed=1, unwell_share=0.3).unwell(number) for number in range(1, 201)]
    assert first == [Faults(seed=1, unwell_share=0.3).unwell(number) for number in range(1, 201)]
    assert first != [Faults(seed=2, unwell_share=0.3).unwell(number) for number in range(1, 201)]
    assert 30 < sum(first) < 90
    assert statuses(market, 8, seed=1, unwell_share=0.3) == [503 if unwell else 200 for unwell in first[:8]]


def test_too_many_says_when_to_come_back_only_if_asked_to(market: Path) -> None:
    with running(market, KEY, faults=Faults(too_many_every=1, retry_after=2)) as place:
        answer = Asking(place.origin).answer(PATH)
        assert (answer.headers["retry-after"], answer.json()["status"]) == ("2", "ERROR")
        assert answer.json()["error"].startswith("You've exceeded the maximum requests per minute")
    with running(market, KEY, faults=Faults(too_many_every=1, too_many_empty=True)) as place:
        answer = Asking(place.origin).answer(PATH)
        assert (answer.data, "retry-after" in answer.headers) == (b"", False)


def test_above_a_rate_requests_are_too_many_until_a_second_has_passed(market: Path) -> None:
    with running(market, KEY, faults=Faults(too_many_above=3)) as place:
        asking = Asking(place.origin)
        began = time.monotonic()
        seen: list[int] = []
        while len(seen) < 4 or seen[-1] != 200:
            seen.append(asking.answer(PATH).status)
        assert (seen[:4], time.monotonic() - began >= 1) == ([200, 200, 200, 429], True)


def test_the_plans_refusal_is_a_message(market: Path) -> None:
    with running(market, KEY, faults=Faults(forbidden=("/v3/",))) as place:
        body = Asking(place.origin).body(PATH, 403)
        assert (body["status"], body["message"].split(".")[0]) == (
            "NOT_AUTHORIZED",
            "You are not entitled to this data",
        )


def test_a_dripping_body_arrives_whole(market: Path) -> None:
    with running(market, KEY, faults=Faults(drip_every=1, drip_seconds=0.001)) as place:
        asking = Asking(place.origin)
        assert len(asking.body(PATH)["results"]) == 2


def test_a_cut_body_is_noticed_by_its_length(market: Path) -> None:
    with running(market, KEY, faults=Faults(cut_every=2)) as place:
        asking = Asking(place.origin)
        assert asking.answer(PATH).status == 200
        with pytest.raises(urllib3.exceptions.ProtocolError):
            asking.answer(PATH)
        assert asking.answer(PATH).status == 200


@pytest.mark.parametrize(
    "path", [PATH, "/v3/reference/splits?limit=2", f"/v2/aggs/ticker/LMNO/range/1/minute/{MONDAY}/{MONDAY}?limit=2"]
)
def test_a_repeated_cursor_leads_back_to_its_own_page(market: Path, path: str) -> None:
    with running(market, KEY, faults=Faults(repeat_cursor=True)) as place:
        asking = Asking(place.origin)
        first = asking.body(path)
        second = asking.body(first["next_url"])
        assert first["next_url"] == second["next_url"]
        assert first["results"] != second["results"]


def test_a_foreign_next_url_names_another_host(market: Path) -> None:
    with running(market, KEY, faults=Faults(foreign_next_url="https://elsewhere.example")) as place:
        assert (
            Asking(place.origin).body(PATH)["next_url"].startswith("https://elsewhere.example/v3/trades/ABCD?cursor=")
        )


def test_faults_are_read_from_a_line_or_a_file(tmp_path: Path) -> None:
    told = (
        "seed=7,unwell_share=0.1,too_many_empty=true,forbidden=/v3/quotes|/v2/last,close_code=1012,over_limit=newcomer"
    )
    expected = Faults(
        7,
        unwell_share=0.1,
        too_many_empty=True,
        forbidden=("/v3/quotes", "/v2/last"),
        close_code=1012,
        over_limit="newcomer",
    )
    assert Faults.read(told) == expected
    file = tmp_path / "faults.yaml"
    file.write_text("seed: 7\nretry_after: 1.5\nforbidden: [/v3/quotes]\n", encoding="utf-8")
    assert Faults.read(str(file)) == Faults(7, retry_after=1.5, forbidden=("/v3/quotes",))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("no-such-file", "neither a file nor"),
        ("unknown=1", "Unknown faults unknown"),
        ("seed=many", "The fault seed cannot be set"),
        ("over_limit=both", "The fault over_limit cannot be set"),
    ],
)
def test_faults_that_cannot_be_read_are_told(told: str, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Faults.read(told)
