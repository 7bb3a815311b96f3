"""The REST client against a real server on the loopback that errs as the vendor does."""

import json
import logging
import threading
import traceback
from itertools import pairwise

import pytest
import urllib3

from smallcaps.errors import BadData, BadInput, FailedDependency
from smallcaps.sources.polygon import rest
from smallcaps.sources.polygon.rest import Pace, RestClient
from tests.sources.vendor_server import Answer, VendorServer, vendor_server

KEY = "the-key-that-nobody-may-see"
QUICK = urllib3.Retry(total=3, backoff_factor=0.01, status_forcelist=rest.UNWELL, retry_after_max=1)
GOOD = Answer({"status": "OK", "results": [{"t": 1790928000123456789}]})
TOO_MANY = {"status": "ERROR", "error": "You've exceeded the maximum requests per minute"}


def client(server: VendorServer, per_second: float = 1000.0) -> RestClient:
    return RestClient(server.origin, KEY, Pace(per_second), QUICK)


def test_a_body_arrives_as_sent_with_its_checksum_and_exact_nanoseconds() -> None:
    with vendor_server(lambda *_: Answer(GOOD.body, zipped=True)) as server:
        body = client(server).get("/v3/trades/BApA", {"timestamp": "2015-03-20", "limit": 50000, "adjusted": False})
    assert body.content == json.dumps(GOOD.body).encode()
    assert body.json()["results"][0]["t"] == 1790928000123456789
    assert len(body.sha256) == 64
    assert body.url == f"{server.origin}/v3/trades/BApA?adjusted=false&limit=50000&timestamp=2015-03-20"
    assert server.asked[0].path == "/v3/trades/BApA?adjusted=false&limit=50000&timestamp=2015-03-20"


def test_the_key_is_sent_in_a_header_and_stands_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with vendor_server(lambda number, _: GOOD if number == 0 else Answer(status=500)) as server:
        caller = client(server)
        body = caller.get("/v1/x")
        with pytest.raises(FailedDependency) as failed:
            caller.get("/v1/y")
    assert server.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    told = "".join(traceback.format_exception(failed.value)) + caplog.text + repr(caller) + repr(body)
    assert KEY not in told
    assert all(KEY not in asked.path for asked in server.asked)


@pytest.mark.parametrize(
    "trouble",
    [
        Answer(TOO_MANY, 429),
        Answer(b"", 429),
        *(Answer(b"upstream", status) for status in (500, 502, 503, 504)),
        Answer(GOOD.body, cut=10),
        Answer(GOOD.body, cut=10, with_length=False),
        Answer(GOOD.body, cut=25, zipped=True, with_length=False),
        Answer(b"<html>a proxy's page</html>"),
    ],
    ids=["429", "empty 429", "500", "502", "503", "504", "cut", "cut without length", "cut gzip", "no JSON"],
)
def test_what_passes_is_asked_for_again_and_what_stays_is_told(trouble: Answer) -> None:
    with vendor_server(lambda number, _: trouble if number < 2 else GOOD) as server:
        assert client(server).get("/v1/x").json() == GOOD.body
    assert len(server.asked) == 3
    with (
        vendor_server(lambda *_: trouble) as server,
        pytest.raises(FailedDependency, match=r"/v1/x was asked for 4 times"),
    ):
        client(server).get("/v1/x")
    assert len(server.asked) == 4


def test_the_servers_retry_after_is_waited_for() -> None:
    busy = Answer(TOO_MANY, 429, {"Retry-After": "1"})
    with vendor_server(lambda number, _: busy if number == 0 else GOOD) as server:
        client(server).get("/v1/x")
    first, second = (asked.at for asked in server.asked)
    assert second - first >= 1


def test_a_body_that_drips_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "BODY_SECONDS", 0.2)
    monkeypatch.setattr(rest, "_CHUNK_BYTES", 4)
    slow = Answer(GOOD.body, drip=0.02)
    with vendor_server(lambda number, _: slow if number == 0 else GOOD) as server:
        assert client(server).get("/v1/x").json() == GOOD.body
    assert len(server.asked) == 2


def test_a_server_that_is_not_there_is_told_without_a_stack() -> None:
    with vendor_server(lambda *_: GOOD) as server:
        pass
    with pytest.raises(FailedDependency, match="was asked for 4 times"):
        client(server).get("/v1/x")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer({"status": "ERROR", "error": "Could not parse the time parameter: 'from'."}, 400), "Could not parse"),
        (Answer({"status": "ERROR", "error": "Unknown API Key"}, 401), "refuses the key .* Unknown API Key"),
        (
            Answer({"status": "NOT_AUTHORIZED", "message": "You are not entitled to this data."}, 403),
            "plan does not cover .* not entitled",
        ),
        (Answer(b"404 page not found", 404, {"Content-Type": "text/plain"}), "no such route"),
        (Answer(b"", 302, {"Location": "http://127.0.0.1:9/elsewhere"}), "status 302"),
    ],
)
def test_what_asking_again_would_not_change_is_refused_at_once(answer: Answer, words: str) -> None:
    with vendor_server(lambda *_: answer) as server, pytest.raises(BadInput, match=words):
        client(server).get("/v1/x")
    assert len(server.asked) == 1


def test_data_that_the_vendor_has_not_is_an_answer() -> None:
    missing = Answer({"status": "NOT_FOUND", "request_id": "1", "message": "Ticker not found."}, 404)
    with vendor_server(lambda *_: missing) as server:
        assert client(server).get("/v3/reference/tickers/NONE").status == 404


def page(server_path: str, following: object) -> Answer:
    return Answer({"status": "OK", "results": [server_path], "next_url": following})


def test_pages_follow_the_cursor_to_the_end_and_drop_a_key_in_it() -> None:
    with vendor_server(
        lambda number, path: [
            page(path, f"{server.origin}/v3/x?cursor=b&apiKey=somebodys"),
            page(path, f"{server.origin}/v3/x?cursor=c"),
            Answer({"results": [path]}),
        ][number]
    ) as server:
        pages = list(client(server).pages("/v3/x", {"limit": 2}))
    assert [body.json()["results"] for body in pages] == [["/v3/x?limit=2"], ["/v3/x?cursor=b"], ["/v3/x?cursor=c"]]


@pytest.mark.parametrize("end", [None, ""])
def test_an_empty_next_url_is_the_end(end: str | None) -> None:
    with vendor_server(lambda _, path: page(path, end)) as server:
        assert len(list(client(server).pages("/v3/x"))) == 1


@pytest.mark.parametrize("elsewhere", ["http://127.0.0.1:9/v3/x?cursor=b", "https://evil.example/v3/x", "//evil/x", 7])
def test_the_key_is_never_taken_to_another_host(elsewhere: object) -> None:
    with vendor_server(lambda _, path: page(path, elsewhere)) as server:
        pages = client(server).pages("/v3/x")
        next(pages)
        with pytest.raises(BadData, match="another host"):
            next(pages)
    assert len(server.asked) == 1


def test_pages_that_go_in_a_circle_are_left() -> None:
    with vendor_server(lambda _, path: page(path, f"{server.origin}/v3/x?cursor=b")) as server:
        pages = client(server).pages("/v3/x")
        assert [next(pages).status, next(pages).status] == [200, 200]
        with pytest.raises(BadData, match="circle"):
            next(pages)
    assert len(server.asked) == 2


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_threads_keep_the_pace_together(workers: int) -> None:
    with vendor_server(lambda *_: GOOD) as server:
        caller = client(server, per_second=50)
        threads = [
            threading.Thread(target=lambda: [caller.get("/v1/x") for _ in range(16 // workers)]) for _ in range(workers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    times = sorted(asked.at for asked in server.asked)
    assert len(times) == 16
    # 15 steps of 20 ms; requests are spaced where they leave, a little is lost or won on the way.
    assert times[-1] - times[0] >= 15 * 0.020 - 0.015


def test_a_retry_takes_its_turn_too() -> None:
    with vendor_server(lambda number, _: Answer(status=500) if number < 3 else GOOD) as server:
        client(server, per_second=10).get("/v1/x")
    assert all(later.at - earlier.at >= 0.09 for earlier, later in pairwise(server.asked))


def test_a_look_takes_whatever_is_said_and_asks_once() -> None:
    def respond(_: int, path: str) -> Answer:
        return Answer({"error": "no"}, 429 if path == "/many" else 403, headers={"X-RateLimit-Limit": "5"})

    with vendor_server(respond) as server:
        client = RestClient(server.origin, KEY, Pace(1000))
        found = [client.look(path) for path in ("/many", "/forbidden?limit=1")]
    assert [(body.status, body.headers["X-RateLimit-Limit"], body.json()) for body in found] == [
        (429, "5", {"error": "no"}),
        (403, "5", {"error": "no"}),
    ]
    assert [asked.path for asked in server.asked] == ["/many", "/forbidden?limit=1"]


def test_a_look_at_nobody_is_a_failed_dependency() -> None:
    with pytest.raises(FailedDependency, match=r"http://127\.0\.0\.1:9/x gives no answer"):
        RestClient("http://127.0.0.1:9", KEY, Pace(1000)).look("/x")
