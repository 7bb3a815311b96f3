"""`smallcaps doctor --vendor` against the simulated vendor, and against servers that say what it does not say."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from smallcaps.cli import vendor
from smallcaps.cli.app import main
from smallcaps.cli.doctor import Check
from smallcaps.cli.vendor import examine_vendor
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from smallcaps.sources.simulator.server import ACCESS_KEY, Faults, Place, running
from tests.sources.simulator.server.market import write_market
from tests.sources.vendor_server import Answer, vendor_server

KEY, FRED_KEY = "key-that-nobody-may-see-2c9e", "fred-key-that-nobody-may-see"
PATHS = len({endpoint.path for endpoint in ENDPOINTS.values()})
Start = Callable[..., Place]


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_market(folder)
    return folder


def at(monkeypatch: pytest.MonkeyPatch, origin: str, feed: str) -> None:
    """Settings and keys for a vendor that listens there."""
    for name, value in {
        "VENDOR__ORIGIN": origin,
        "VENDOR__FILES": origin,
        "VENDOR__FEED": feed,
        "VENDOR__REQUESTS_PER_SECOND": "500",
        "FRED__ORIGIN": origin,
        "FRED__REQUESTS_PER_SECOND": "500",
    }.items():
        monkeypatch.setenv(f"SMALLCAPS_{name}", value)
    monkeypatch.setenv("POLYGON_API_KEY", KEY)
    monkeypatch.delenv("FRED_API_KEY", raising=False)
    monkeypatch.setenv("POLYGON_S3_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("POLYGON_S3_SECRET_ACCESS_KEY", "unverified")


@pytest.fixture
def start(market: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a simulated vendor with faults, and sets the settings and keys to it."""
    stops = []

    def begin(**faults: object) -> Place:
        server = running(market, KEY, faults=Faults.of(faults))
        place = server.__enter__()
        stops.append(server)
        at(monkeypatch, place.origin, place.socket)
        return place

    yield begin
    for server in stops:
        server.__exit__(None, None, None)


def found() -> dict[str, Check]:
    return {check.name: check for check in examine_vendor()}


def marks(checks: dict[str, Check]) -> dict[bool | None, set[str]]:
    return {mark: {name for name, check in checks.items() if check.fine is mark} for mark in (True, False, None)}


def paths(place: Place) -> list[str]:
    answer = requests.get(f"{place.origin}/simulator/served", headers={"Authorization": f"Bearer {KEY}"}, timeout=30)
    return list(answer.json()["paths"])


def test_where_all_is_covered_every_mark_is_good_and_nothing_is_asked_twice(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    place = start()
    monkeypatch.setenv("SMALLCAPS_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("FRED_API_KEY", KEY)
    checks = found()
    assert marks(checks)[False] == marks(checks)[None] == set()
    named = {name for check in checks for name in check.split(", ")}
    assert set(ENDPOINTS) < named
    assert named - set(ENDPOINTS) == {"vendor key", "delay", "rate", "feed", "flat files", "fred answers"}
    assert checks["ticker_details"].finding.startswith("answers: ")  # It has no AAPL, and says so.
    asked = Counter(urlsplit(path).path for path in paths(place))
    # One a path, FRED's, and a listing. The socket's is no request of REST.
    assert set(asked.values()) == {1}
    assert len(asked) == PATHS + 2
    assert all("limit=1" in path for path in paths(place) if "/v3/trades" in path or "/splits" in path)

    assert main(["doctor", "--vendor"]) == 0
    said = capsys.readouterr()
    assert "accepts the key" in said.out
    assert KEY not in said.out + said.err


@pytest.mark.parametrize(
    ("path", "names", "mark"),
    [
        ("/stocks/filings/vX/form-4", {"insider_transactions"}, False),
        ("/v2/snapshot", {"snapshots"}, False),
        # Flat files have them: no routine asks for them by REST.
        ("/v3/trades", {"trades"}, None),
    ],
)
def test_a_path_that_the_plan_does_not_cover_changes_its_mark(
    path: str,
    names: set[str],
    mark: bool | None,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    start(forbidden=(path,))
    monkeypatch.setenv("SMALLCAPS_LAKE", str(tmp_path / "lake"))
    checks = found()
    assert marks(checks)[mark] == names
    (name,) = names
    assert checks[name].finding.startswith("the plan does not cover it: You are not entitled to this data.")
    assert checks["vendor key"].fine is True
    assert main(["doctor", "--vendor"]) == (4 if mark is False else 0)
    assert ("✗" in capsys.readouterr().out) == (mark is False)


def test_a_key_that_is_refused_is_told_from_a_plan_and_ends_the_asking(start: Start) -> None:
    place = start(refuse_key=True)
    checks = found()
    assert marks(checks) == {True: set(), False: {"vendor key", "flat files"}, None: set()}
    assert checks["vendor key"].finding == "refused with status 401: Unknown API Key"
    assert "refuses the keys" in checks["flat files"].finding
    assert len([path for path in paths(place) if not path.startswith("/flatfiles")]) == 1


def test_a_plan_without_the_feed_is_told_and_needed_by_nobody(start: Start) -> None:
    start(plan_without_socket=True)
    checks = found()
    assert marks(checks)[False] == set()
    assert checks["feed"].fine is None
    assert "Your plan doesn't include websocket access" in checks["feed"].finding


def test_a_feed_that_does_not_answer_is_told(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    monkeypatch.setenv("SMALLCAPS_VENDOR__FEED", "ws://127.0.0.1:9/stocks")
    feed = found()["feed"]
    assert (feed.fine, feed.finding[:44]) == (None, "ws://127.0.0.1:9/stocks does not answer to t")


def test_a_vendor_that_is_unwell_leaves_things_unknown(start: Start) -> None:
    # The first request, for the key, is well.
    start(unwell_every=2)
    checks = found()
    assert checks["vendor key"].fine is True
    assert marks(checks)[False] <= {"flat files"}
    unknown = [checks[name].finding for name in marks(checks)[None]]
    assert len(unknown) > 10
    assert set(unknown) == {"status 503, so nothing is known: try later"}


def test_other_keys_of_the_bucket_and_of_fred_are_refused(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    monkeypatch.setenv("POLYGON_S3_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("FRED_API_KEY", FRED_KEY)
    checks = found()
    assert marks(checks)[False] == {"flat files", "fred answers"}
    assert "InvalidAccessKeyId" in checks["flat files"].finding
    assert checks["fred answers"].finding.startswith("refused with status 400: ")


def test_without_keys_nothing_is_asked_and_it_says_which_to_set(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    place = start()
    for name in ("POLYGON_API_KEY", "MASSIVE_API_KEY", "POLYGON_S3_ACCESS_KEY_ID", "POLYGON_S3_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    checks = found()
    assert marks(checks)[False] == set(checks) == {"vendor key", "flat files"}
    assert "set POLYGON_API_KEY or MASSIVE_API_KEY" in checks["vendor key"].finding
    assert "POLYGON_S3_ACCESS_KEY_ID" in checks["flat files"].finding
    assert paths(place) == []


def test_settings_that_cannot_be_read_are_the_doctors_own_finding(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    start()
    monkeypatch.setenv("SMALLCAPS_VENDOR__PACE", "3")
    assert main(["doctor", "--vendor"]) == 4
    assert "pace" in capsys.readouterr().out


def scripted(monkeypatch: pytest.MonkeyPatch, respond: Callable[[int, str], Answer]) -> tuple[dict[str, Check], int]:
    """What is found of a server that answers so, and how many requests it got."""
    with vendor_server(respond) as server:
        at(monkeypatch, server.origin, server.origin.replace("http", "ws") + "/stocks")
        return found(), len(server.asked)


def test_answers_that_are_late_and_headers_that_tell_the_rate_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(_: int, path: str) -> Answer:
        late = path.startswith("/v2/aggs")
        headers = {"X-RateLimit-Limit": "5"} if late else {}
        return Answer({"status": "DELAYED" if late else "OK", "said": KEY}, headers=headers)

    checks, _ = scripted(monkeypatch, respond)
    assert checks["delay"].fine is None
    assert checks["delay"].finding.startswith("15 minutes late (status DELAYED): /v2/aggs/grouped/")
    assert checks["rate"].finding.startswith("X-RateLimit-Limit: 5; asked at up to 500 a second, 0 of ")


def test_a_plan_that_allows_few_requests_is_told_and_not_taken_for_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    def respond(number: int, _: str) -> Answer:
        return Answer({"status": "OK"}) if number < 5 else Answer({"status": "ERROR", "error": "too many"}, 429)

    checks, asked = scripted(monkeypatch, respond)
    # Each path once, a listing, and the feed: nothing is tried again.
    assert asked == PATHS + 2
    assert checks["vendor key"].fine is True
    assert checks["rate"].fine is None
    assert " were too many" in checks["rate"].finding
    assert sum("asked too fast" in check.finding for check in checks.values()) > 20


@pytest.mark.parametrize(
    ("answer", "mark", "words"),
    [
        (Answer({"status": "OK"}), True, "answers"),
        (Answer({"status": "NOT_FOUND", "message": "No such ticker."}, 404), True, "answers: No such ticker."),
        (Answer(b"404 page not found", 404), False, "refused with status 404: no reason given"),
        (Answer({"status": "ERROR", "error": f"Bad key {KEY}"}, 400), False, "refused with status 400: Bad key [key]"),
        (
            Answer({"status": "NOT_AUTHORIZED", "message": "Upgrade."}, 403),
            False,
            "the plan does not cover it: Upgrade.",
        ),
        (Answer(b"", 502), None, "status 502, so nothing is known: try later"),
        (Answer({"status": "OK"}, cut=3), None, "gives no answer"),
    ],
)
def test_each_kind_of_answer_has_its_mark_and_the_key_is_in_none(
    answer: Answer, mark: bool | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def respond(_: int, path: str) -> Answer:
        return answer if path.startswith("/v2/reference/news") else Answer({"status": "OK"})

    checks, _ = scripted(monkeypatch, respond)
    assert checks["news"].fine is mark
    assert words in checks["news"].finding
    assert all(KEY not in check.finding for check in checks.values())


def test_nobody_waits_longer_than_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "DEADLINE_SECONDS", 2.0)

    def respond(number: int, _: str) -> Answer:
        return Answer({"status": "OK", "filler": "x" * 100}, drip=1.0 if number else 0.0)

    begun = time.monotonic()
    checks, asked = scripted(monkeypatch, respond)
    assert time.monotonic() - begun < 8
    assert checks["splits"] == Check("splits", None, "no answer in time")
    assert asked <= PATHS + 2


def test_a_vendor_that_is_not_there_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, "http://127.0.0.1:9", "ws://127.0.0.1:9/stocks")
    monkeypatch.setattr(vendor, "DEADLINE_SECONDS", 3.0)
    checks = found()
    assert checks["vendor key"].fine is False
    assert "127.0.0.1:9" in checks["vendor key"].finding
    assert "gives no answer" in checks["vendor key"].finding
