"""FRED's wire: the key in the query and nowhere else, pages by offset, and which refusal says that there is nothing."""

import json
import logging
import traceback
from datetime import UTC, datetime

import pytest
import urllib3

from smallcaps.errors import BadInput, FailedDependency
from smallcaps.sources.economy.wire import FRED, next_page
from smallcaps.sources.polygon.rest import Body, Pace, RestClient
from tests.sources.vendor_server import Answer, vendor_server

KEY = "0123456789abcdef0123456789abcdef"
ABSENT = {
    "error_code": 400,
    "error_message": "Bad Request.  The series does not exist in ALFRED but may exist in FRED.",
}
UNKNOWN_KEY = {"error_code": 400, "error_message": "Bad Request.  The value for variable api_key is not registered."}


def body(url: str, content: object) -> Body:
    return Body(url, 200, json.dumps(content).encode(), datetime.now(UTC))


def client(origin: str) -> RestClient:
    return RestClient(origin, KEY, Pace(1000), urllib3.Retry(total=1, backoff_factor=0), dialect=FRED)


@pytest.mark.parametrize(
    ("content", "following"),
    [
        ({"count": 5, "offset": 0, "limit": 2}, "http://h/p?limit=2&offset=2&series_id=A"),
        ({"count": 5, "offset": 2, "limit": 2}, "http://h/p?limit=2&offset=4&series_id=A"),
        ({"count": 5, "offset": 4, "limit": 2}, None),
        ({"count": 4, "offset": 2, "limit": 2}, None),
        ({"count": "5"}, None),
        ([], None),
    ],
)
def test_the_next_page_has_a_greater_offset(content: object, following: str | None) -> None:
    assert next_page(body("http://h/p?series_id=A&limit=2", content)) == following


def test_the_key_is_sent_in_the_query_and_stands_nowhere_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [Answer({"observations": []}), Answer(UNKNOWN_KEY, 400), Answer({}, 500), Answer(b"{}", cut=1)]
    with vendor_server(lambda number, _: answers[min(number, 3)]) as server:
        caller = client(server.origin)
        found = caller.get("/fred/series/observations", {"series_id": "A"})
        with pytest.raises(BadInput, match="api_key is not registered") as refused:
            caller.get("/fred/series/observations", {"series_id": "B"})
        with pytest.raises(FailedDependency) as failed:
            caller.get("/fred/series/observations", {"series_id": "C"})
    assert all(asked.path.endswith(f"&api_key={KEY}") for asked in server.asked)
    assert all("Authorization" not in asked.headers for asked in server.asked)
    assert found.url == f"{server.origin}/fred/series/observations?series_id=A"
    raised = [line for error in (refused, failed) for line in traceback.format_exception(error.value)]
    assert "api_key=" in caplog.text
    assert KEY not in "".join(raised) + caplog.text + repr(caller) + repr(found)


def test_a_connection_that_is_refused_does_not_tell_the_key(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(FailedDependency) as failed:
        client("http://127.0.0.1:9").get("/fred/series/observations")
    assert KEY not in "".join(traceback.format_exception(failed.value)) + caplog.text


def test_a_period_before_the_archive_is_an_answer_and_any_other_400_a_refusal() -> None:
    with vendor_server(lambda number, _: Answer([ABSENT, UNKNOWN_KEY][number], 400)) as server:
        caller = client(server.origin)
        assert caller.get("/fred/series/observations").status == 400
        with pytest.raises(BadInput):
            caller.get("/fred/series/observations")


def test_pages_are_followed_to_the_last_and_the_key_goes_along() -> None:
    def respond(number: int, _: str) -> Answer:
        return Answer({"count": 5, "offset": 2 * number, "limit": 2, "observations": [{}]})

    with vendor_server(respond) as server:
        pages = list(client(server.origin).pages("/fred/series/observations?limit=2&series_id=A"))
    assert [page.json()["offset"] for page in pages] == [0, 2, 4]
    assert [asked.path.split("?")[1].removesuffix(f"&api_key={KEY}") for asked in server.asked] == [
        "limit=2&series_id=A",
        "limit=2&offset=2&series_id=A",
        "limit=2&offset=4&series_id=A",
    ]
