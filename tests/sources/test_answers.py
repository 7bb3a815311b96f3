"""Many requests at once against a server on the loopback: what is handed out, and what one fault does to the others."""

import gzip
import hashlib
import json
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
import urllib3

from smallcaps.sources.polygon import rest
from smallcaps.sources.polygon.answers import Answer as Page
from smallcaps.sources.polygon.answers import answers
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from smallcaps.sources.polygon.rest import Pace, RestClient
from tests.sources.vendor_bodies import NOT_FOUND, query_of, results
from tests.sources.vendor_server import Answer, VendorServer, vendor_server

TRADES = ENDPOINTS["trades"]
QUICK = urllib3.Retry(total=2, backoff_factor=0.01, status_forcelist=rest.UNWELL)
PLAN = Answer({"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, 403)


def ask(server: VendorServer, requests: list[str], connections: int = 3) -> list[Page]:
    client = RestClient(server.origin, "key", Pace(1000), QUICK, connections)
    return list(answers(client, TRADES, requests, connections))


def by_request(pages: list[Page]) -> dict[str, list[Page]]:
    found: dict[str, list[Page]] = {}
    for page in pages:
        found.setdefault(page.request, []).append(page)
    return found


def three_pages(server: Callable[[], VendorServer]) -> Callable[[int, str], Answer]:
    """Every path has three pages of one record."""

    def respond(_: int, path: str) -> Answer:
        number = int(query_of(path).get("cursor", "1"))
        following = {"next_url": f"{server().origin}{urlsplit(path).path}?cursor={number + 1}"} if number < 3 else {}
        return Answer(results({"page": number}, **following))

    return respond


def test_every_page_of_every_request_comes_in_order_with_what_identifies_it() -> None:
    with vendor_server(three_pages(lambda: server)) as server:
        found = by_request(ask(server, [f"/v3/trades/S{number}" for number in range(7)]))
    assert len(found) == 7
    for request, pages in found.items():
        assert [(page.page, page.last_page, page.records) for page in pages] == [
            (1, False, 1),
            (2, False, 1),
            (3, True, 1),
        ]
        for page in pages:
            body = gzip.decompress(page.content)
            assert json.loads(body)["results"] == [{"page": page.page}]
            assert (page.sha256, page.size_bytes) == (hashlib.sha256(body).hexdigest(), len(body))
            assert (page.status, page.fault) == (200, None)
            assert page.url.startswith(f"{server.origin}{request}")


def test_no_more_requests_are_under_way_than_there_are_connections() -> None:
    lock, now, most = threading.Lock(), [0], [0]
    barrier = threading.Event()

    def respond(number: int, _: str) -> Answer:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            if now[0] == 3:
                barrier.set()
        barrier.wait(5)
        with lock:
            now[0] -= 1
        return Answer(results())

    with vendor_server(respond) as server:
        assert len(ask(server, [f"/v3/trades/S{number}" for number in range(20)])) == 20
    assert most[0] == 3


def test_what_nobody_takes_is_not_asked_for() -> None:
    with vendor_server(three_pages(lambda: server)) as server:
        client = RestClient(server.origin, "key", Pace(1000), QUICK, 2)
        handed_out = answers(client, TRADES, (f"/v3/trades/S{number}" for number in range(1000)), 2)
        for _ in range(4):
            next(handed_out)
        handed_out.close()
    # A request's next page is fetched before the one at hand is told: two at a time, one ahead each.
    assert len(server.asked) <= 4 + 2 * 2 + 2


def test_data_that_the_vendor_has_not_is_a_whole_answer_without_records() -> None:
    with vendor_server(lambda *_: NOT_FOUND) as server:
        (page,) = ask(server, ["/v3/trades/NONE"])
    assert (page.status, page.last_page, page.records, page.fault) == (404, True, 0, None)


@pytest.mark.parametrize(
    ("body", "words", "pages"),
    [
        (results(next_url="http://127.0.0.1:9/v3/trades/BAD?cursor=2"), "another host", 1),
        (results(next_url="{origin}/v3/trades/BAD?cursor=2"), "circle", 2),
        ({"results": "none"}, "not a list", 1),
    ],
    ids=["foreign host", "circle", "no list"],
)
def test_an_answer_that_is_not_sound_says_why_and_the_others_go_on(body: dict, words: str, pages: int) -> None:
    def respond(_: int, path: str) -> Answer:
        if "BAD" not in path:
            return Answer(results({"x": 1}))
        return Answer(json.dumps(body).replace("{origin}", server.origin).encode())

    requests = ["/v3/trades/A", "/v3/trades/BAD", *(f"/v3/trades/S{number}" for number in range(9))]
    with vendor_server(respond) as server:
        found = by_request(ask(server, requests))
    bad = found.pop("/v3/trades/BAD")
    assert len(bad) == pages
    assert (bad[-1].last_page, bad[-1].fault_kind, bad[-1].stops) == (False, "BadData", False)
    assert words in bad[-1].fault
    assert bad[-1].content is not None
    assert len(found) == 10
    assert all(page.last_page and page.fault is None for pages in found.values() for page in pages)


@pytest.mark.parametrize(
    ("trouble", "kind", "words"),
    [
        (PLAN, "BadInput", "plan does not cover"),
        (Answer({"status": "ERROR", "error": "Unknown API Key"}, 401), "BadInput", "refuses the key"),
        (Answer(b"404 page not found", 404), "BadInput", "no such route"),
        (Answer(status=503), "FailedDependency", "asked for 3 times"),
    ],
)
def test_after_a_refusal_or_failure_nothing_more_is_begun_and_sound_answers_are_kept(
    trouble: Answer, kind: str, words: str
) -> None:
    requests = [f"/v3/trades/S{number:03}" for number in range(200)]
    with vendor_server(lambda _, path: trouble if "S005" in path else Answer(results())) as server:
        pages = ask(server, requests)
    faults = [page for page in pages if page.fault is not None]
    assert [(page.request, page.fault_kind, page.stops, page.content) for page in faults] == [
        ("/v3/trades/S005", kind, True, None)
    ]
    assert words in faults[0].fault
    sound = [page for page in pages if page.fault is None]
    assert len(sound) >= 5
    assert all(page.last_page for page in sound)
    assert len({asked.path for asked in server.asked}) < len(requests)


def test_a_failure_in_the_middle_of_an_answer_leaves_its_pages_without_an_end() -> None:
    steady = three_pages(lambda: server)
    with vendor_server(
        lambda number, path: Answer(status=500) if "cursor=3" in path else steady(number, path)
    ) as server:
        pages = ask(server, ["/v3/trades/A"])
    assert [(page.page, page.last_page, page.fault_kind) for page in pages] == [
        (1, False, None),
        (2, False, "FailedDependency"),
    ]
