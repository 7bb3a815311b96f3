"""The review page: blind, on the loopback, under a token; keys become verdicts, and a kill loses none."""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest

from smallcaps.errors import BadData, BadInput
from smallcaps.serving.review_charts import Bars, charts_of
from smallcaps.serving.review_files import Sample, charts_file, notebook, prepare, read_verdicts, write_sample
from smallcaps.serving.review_server import reviewing, shuffled
from tests.conftest import REPOSITORY
from tests.serving.browser import opened

ITEMS = [f"{number:016x}" for number in (11, 22, 33, 44, 55)]
SAMPLE = Sample("5a3b1e0000000000", "5eed", {"gold.events": 3}, "2024-01-02", "2024-01-31", 50, "settings", "code")
SECRET = ("SECRET", "FIGI:SECRET", "near_miss", "random", "2024-01-05", "strength")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sample of five gaps, of which the first is an event."""
    place = tmp_path / "sample"
    prepare(place, SAMPLE)
    days = [row.date() for row in pd.bdate_range("2023-12-20", periods=10)]
    day = {"open": 10.0, "high": 10.5, "low": 9.5, "close": 10.2, "volume": 1_000, "cumulative_factor": 1.0}
    rows = [{"item_id": "any", "session_date": one, **day, "day_factor": 1.0} for one in days]
    none = pd.DataFrame(columns=["item_id"])
    gap = {"item_id": "any", "grain": "daily", "session_date": date(2024, 1, 5), "price": 11.25}
    charts = charts_of(gap, Bars(pd.DataFrame(rows), none, none))
    key = []
    for number, item_id in enumerate(ITEMS):
        kind = "event" if number == 0 else "near_miss" if number % 2 else "random"
        item = {"item_id": item_id, "kind": kind, "detector": "gap"}
        item |= {"symbol": "SECRET", "security_id": "FIGI:SECRET", "session_date": "2024-01-05", "ts_micros": 0}
        key.append(item | {"known_micros": 0, "event_id": f"event{number}" if kind == "event" else None})
        charts_file(place, item_id).write_text(charts)
    shown = [{"item_id": item_id, "question": "Gap?", "pattern": "Open far from the close"} for item_id in ITEMS]
    write_sample(place, SAMPLE, key, shown)
    return place


def ask(address: str, path: str = "", body: Any = None, host: str | None = None) -> tuple[int, str]:
    """Status and text of an answer."""
    where = urlsplit(address)
    assert where.hostname == "127.0.0.1"
    connection = HTTPConnection(where.hostname, where.port or 0, timeout=30)
    text = body if body is None or isinstance(body, str) else json.dumps(body)
    headers = {} if host is None else {"Host": host}
    connection.request("GET" if body is None else "POST", where.path + path, text, headers)
    answer = connection.getresponse()
    said = answer.status, answer.read().decode()
    connection.close()
    return said


def said_of(folder: Path, reviewer: str) -> dict[str, str]:
    return {item_id: one.verdict for item_id, one in read_verdicts(folder, reviewer).items()}


def test_keys_in_a_real_browser_become_verdicts_in_the_reviewers_order(folder: Path, tmp_path: Path) -> None:
    order = shuffled(ITEMS, SAMPLE.sample_id, "anna")
    with reviewing(folder, "anna") as address, opened(address, tmp_path) as page:

        def shows(item_id: str) -> None:
            page.until(f"document.body.dataset.item === '{item_id}'")

        shows(order[0])
        assert page.value("document.getElementById('question').textContent") == "Gap?"
        assert page.value("document.getElementById('progress').textContent") == "0 of 5 judged"
        assert page.value("document.querySelectorAll('#charts .main-svg').length") > 0
        assert len(page.picture()) > 20_000  # A blank page of this size compresses to a few kB.
        for key, following in zip("ynu", order[1:4], strict=True):
            page.press(key)
            shows(following)
        page.press("x")  # Means nothing.
        page.press("z")
        shows(order[2])
        assert page.value("document.querySelector('button.said').dataset.key") == "u"
        page.press("n")
        shows(order[3])
        assert page.value("document.getElementById('progress').textContent") == "3 of 5 judged"
        assert said_of(folder, "anna") == {order[0]: "yes", order[1]: "no", order[2]: "no"}
        page.press("y")
        shows(order[4])
        page.press("y")
        shows("end")
        assert "All judged" in page.value("document.body.innerText")
        assert {urlsplit(url).netloc for url in page.asked if url.startswith("http")} == {urlsplit(address).netloc}
    assert len((folder / "verdicts" / "anna.jsonl").read_text().splitlines()) == 6
    assert said_of(folder, "anna") == {
        order[0]: "yes",
        order[1]: "no",
        order[2]: "no",
        order[3]: "yes",
        order[4]: "yes",
    }


def test_a_page_whose_server_has_gone_says_that_the_verdict_was_not_saved(folder: Path, tmp_path: Path) -> None:
    order = shuffled(ITEMS, SAMPLE.sample_id, "anna")
    with ExitStack() as server, opened(server.enter_context(reviewing(folder, "anna")), tmp_path) as page:
        page.until(f"document.body.dataset.item === '{order[0]}'")
        server.close()
        page.press("y")
        page.until("document.getElementById('fault').textContent")
        assert page.value("document.body.dataset.item") == order[0]
        assert page.value("document.getElementById('progress').textContent") == "0 of 5 judged"
    assert said_of(folder, "anna") == {}


@pytest.mark.slow
def test_a_killed_server_has_lost_no_verdict_and_the_next_goes_on(folder: Path) -> None:
    order = shuffled(ITEMS, SAMPLE.sample_id, "ben")
    with subprocess.Popen(
        [sys.executable, "-m", "smallcaps.cli.app", "review", "serve", str(folder), "--reviewer", "ben"],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        for item_id, verdict in zip(order, ("yes", "unsure"), strict=False):
            assert ask(address, "verdicts", {"item_id": item_id, "verdict": verdict})[0] == 204
        process.kill()
    assert said_of(folder, "ben") == {order[0]: "yes", order[1]: "unsure"}
    with (folder / "verdicts" / "ben.jsonl").open("a") as torn:
        torn.write('{"item_id": "' + order[2])  # A write that the kill came into.
    with reviewing(folder, "ben") as address:
        listed = json.loads(ask(address, "items")[1])
        assert [(item["item_id"], item["verdict"]) for item in listed][:3] == [
            (order[0], "yes"),
            (order[1], "unsure"),
            (order[2], None),
        ]
        assert ask(address, "verdicts", {"item_id": order[2], "verdict": "no"})[0] == 204
    assert said_of(folder, "ben") == {order[0]: "yes", order[1]: "unsure", order[2]: "no"}


def test_only_the_token_opens_the_page_and_only_under_this_machines_name(folder: Path) -> None:
    with reviewing(folder, "anna") as address:
        assert ask(address)[0] == 200
        origin = address.removesuffix(urlsplit(address).path)
        body = {"item_id": ITEMS[0], "verdict": "yes"}
        for wrong in ("/", "/x/", f"/{'x' * 32}/", "/%C3%A9/"):
            assert ask(origin + wrong)[0] == 403
            assert ask(origin + wrong, "items")[0] == 403
            assert ask(origin + wrong, "verdicts", body)[0] == 403
        assert ask(address, "items", host="evil.example")[0] == 400
        assert ask(address, "verdicts", body, host="evil.example:80")[0] == 400
        assert ask(address, "items", host=f"localhost:{urlsplit(address).port}")[0] == 200
    assert said_of(folder, "anna") == {}


def test_what_is_no_verdict_on_an_item_is_refused_and_not_written(folder: Path) -> None:
    with reviewing(folder, "anna") as address:
        for wrong in (
            {"item_id": ITEMS[0], "verdict": "maybe"},
            {"item_id": "other", "verdict": "yes"},
            {"item_id": [ITEMS[0]], "verdict": "yes"},
            {"verdict": "yes"},
            [],
            "not JSON",
        ):
            assert ask(address, "verdicts", wrong)[0] == 400, wrong
        for path in ("charts/other", "charts/..%2F..%2Fkey", "charts/../../key.jsonl", "key.jsonl"):
            assert ask(address, path)[0] == 404
    assert (folder / "verdicts" / "anna.jsonl").read_bytes() == b""


def test_nothing_that_is_served_tells_what_an_item_is(folder: Path) -> None:
    with reviewing(folder, "anna") as address:
        texts = [ask(address)[1], ask(address, "items")[1], *(ask(address, f"charts/{one}")[1] for one in ITEMS)]
    page, *others = texts
    for word in SECRET:
        assert not any(word in text for text in others), word
        assert word not in page.partition("<script>")[0]
    assert len({text.replace(item, "") for item, text in zip(ITEMS, others[1:], strict=True)}) == 1


def test_each_reviewer_has_an_order_that_stays() -> None:
    ids = [f"{number:016x}" for number in range(100)]
    anna = shuffled(ids, "sample", "anna")
    assert anna == shuffled(ids, "sample", "anna")
    assert sorted(anna) == ids
    assert anna not in (ids, shuffled(ids, "sample", "ben"), shuffled(ids, "another", "anna"))


def test_a_reviewer_has_one_server_and_a_name_that_is_a_file_name(folder: Path) -> None:
    with reviewing(folder, "anna"), reviewing(folder, "ben"):
        with pytest.raises(BadInput, match="anna is being served"), reviewing(folder, "anna"):
            pass
        for name in ("../anna", "", "a b", "x" * 41):
            with pytest.raises(BadInput, match="is no name of a reviewer"), reviewing(folder, name):
                pass


def test_a_folder_without_a_sample_and_a_line_that_is_no_verdict_are_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no sample"), reviewing(tmp_path, "anna"):
        pass
    with notebook(folder, "anna") as book:
        book.say(ITEMS[0], "yes")
    file = folder / "verdicts" / "anna.jsonl"
    file.write_text("nonsense\n" + file.read_text())
    with pytest.raises(BadData, match="a line that is no verdict: b'nonsense'"):
        read_verdicts(folder, "anna")
    with pytest.raises(BadInput, match="holds sample 5a3b1e0000000000: name another folder"):
        prepare(folder, Sample(**{**vars(SAMPLE), "sample_id": "other"}))
