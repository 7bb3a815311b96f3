"""The key, the routes that are not there, compression, and the account of what was served."""

import gzip
import json
from pathlib import Path

import pytest
import urllib3

from smallcaps.errors import BadInput, FailedDependency
from smallcaps.sources.simulator.server import Place, create_app, running
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import DAYS, FRIDAY, KEY, MONDAY, THURSDAY

TRADES = "/v3/trades/{ticker}"


def test_the_key_is_taken_from_the_header_or_the_query(asking: Asking) -> None:
    path = "/v1/marketstatus/now"
    assert asking.answer(path).status == 200
    assert asking.answer(f"{path}?apiKey={KEY}", Authorization="").status == 200
    for headers, said in (
        ({"Authorization": ""}, "API Key was not provided"),
        ({"Authorization": "Bearer x"}, "Unknown API Key"),
    ):
        answer = asking.answer(path, **headers)
        assert (answer.status, answer.json()["error"], answer.json()["status"]) == (401, said, "ERROR")
    assert asking.answer("/v3/trades/ABCD?apiKey=wrong", Authorization="").status == 401


@pytest.mark.parametrize(
    "path", ["/v2/ticks/stocks/trades/ABCD/2020-01-02", "/stocks/v1/exchanges", "/v1/reference/ipos", "/docs"]
)
def test_a_route_that_is_not_served_is_plain_text(asking: Asking, path: str) -> None:
    answer = asking.answer(path)
    assert (answer.status, answer.data, answer.headers["content-type"].split(";")[0]) == (
        404,
        b"404 page not found",
        "text/plain",
    )


def test_a_body_is_compressed_for_who_takes_that(asking: Asking) -> None:
    path = asking.origin + "/v3/trades/ABCD"
    headers = {"Authorization": f"Bearer {KEY}"}
    plain = urllib3.request("GET", path, headers=headers)
    zipped = urllib3.request("GET", path, headers=headers | {"Accept-Encoding": "gzip"}, decode_content=False)
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(zipped.data))["results"] == plain.json()["results"]
    assert len(zipped.data) < len(plain.data)


def test_whole_nanoseconds_and_shortest_decimals_go_over_the_wire(asking: Asking) -> None:
    text = asking.answer("/v3/trades/ABCD?limit=1&order=asc").data.decode()
    assert '"sip_timestamp":1780920000100000001' in text
    assert '"price":9.9,' in text


def test_what_was_served_is_counted_once_however_often_it_was_asked_for(market: Path) -> None:
    with running(market, KEY) as place:
        asking = Asking(place.origin)
        for _ in range(2):
            list(asking.pages("/v3/trades/ABCD?limit=5"))
        asking.body("/v3/trades/ABCD?limit=x", 400)
        assert asking.served(TRADES) == {"requests": 7, "bodies": 6, "records": 24, "distinct": 12}
        for day in DAYS:
            asking.body(f"/v2/aggs/ticker/ABCD/range/1/minute/{day}/{day}?adjusted=false")
        asking.body(f"/v2/aggs/ticker/ABCD/range/1/minute/{FRIDAY}/{MONDAY}?adjusted=false")
        minutes = asking.served("/v2/aggs/ticker/{ticker}/range/1/minute?adjusted=false")
        assert minutes == {"requests": 4, "bodies": 4, "records": 25, "distinct": 15}
        asking.body(f"/v2/aggs/grouped/locale/us/market/stocks/{THURSDAY}")
        assert asking.served("/v2/aggs/grouped/locale/us/market/stocks/{date}?adjusted=true")["distinct"] == 4
        list(asking.pages("/v3/reference/splits?limit=3"))
        list(asking.pages("/v3/reference/splits?ticker=ABCD"))
        assert asking.served("/v3/reference/splits") == {"requests": 6, "bodies": 6, "records": 14, "distinct": 13}


def test_the_paths_asked_for_are_kept_without_the_key_until_they_are_forgotten(market: Path) -> None:
    with running(market, KEY) as place:
        asking = Asking(place.origin)
        asking.answer(f"/v3/trades/ABCD?limit=1&apiKey={KEY}", Authorization="")
        asking.answer("/nowhere")
        account = asking.body("/simulator/served")
        assert account["paths"] == ["/v3/trades/ABCD?limit=1", "/nowhere"]
        assert KEY not in json.dumps(account)
        assert asking.answer("/simulator/served", "DELETE").status == 204
        assert asking.body("/simulator/served") == {"endpoints": {}, "paths": []}
        assert asking.answer("/simulator/served", Authorization="Bearer x").status == 401


def test_a_folder_without_a_market_and_a_day_without_a_tape_are_refused(market: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no market"):
        create_app(tmp_path, KEY)
    with pytest.raises(BadInput, match="has no tape of 2026-06-07; it has 2026-06-04 to 2026-06-08"):
        create_app(market, KEY, day=MONDAY.replace(day=7))


def test_a_port_that_is_taken_is_told(vendor: Place, market: Path) -> None:
    said = f"cannot listen on 127.0.0.1:{vendor.port}"
    with pytest.raises(FailedDependency, match=said), running(market, KEY, vendor.port):
        raise AssertionError("two servers on one port")


def test_before_the_session_a_live_market_knows_only_the_past(market: Path) -> None:
    with running(market, KEY, day=MONDAY) as place:
        asking = Asking(place.origin)
        assert asking.body("/v3/trades/ABCD")["results"] == []
        path = f"/v2/aggs/ticker/ABCD/range/1/{{}}/{THURSDAY}/{MONDAY}?adjusted=false"
        assert [asking.body(path.format(span))["resultsCount"] for span in ("minute", "hour", "day", "second")] == [
            10,
            8,
            2,
            0,
        ]
        assert asking.body("/v2/aggs/ticker/ABCD/prev")["results"][0]["v"] == 365.05  # Friday's, after today's split.
        assert [row["id"] for row in asking.body("/v2/reference/news")["results"]] == ["N2", "N1"]
        assert asking.body("/v1/marketstatus/now") | {"serverTime": ""} == {
            "market": "extended-hours",
            "earlyHours": True,
            "afterHours": False,
            "serverTime": "",
            "exchanges": {"nyse": "extended-hours", "nasdaq": "extended-hours", "otc": "extended-hours"},
            "currencies": {"fx": "open", "crypto": "open"},
            "indicesGroups": {"s_and_p": "extended-hours", "nasdaq": "extended-hours", "dow_jones": "extended-hours"},
        }
        asking.body("/v2/snapshot/locale/us/markets/stocks/tickers/ABCD", 404)
        asking.body(f"/v1/open-close/ABCD/{MONDAY}", 404)
        assert "results" not in asking.body(f"/v2/aggs/grouped/locale/us/market/stocks/{MONDAY}")
