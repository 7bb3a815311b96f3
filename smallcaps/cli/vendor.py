"""What the vendor lets our keys have, asked with one small request an endpoint: `smallcaps doctor --vendor`.

1. The key, by a first request. Where it is refused or there is none, nothing more is asked by REST, nor of the feed.
2. Every other path of the endpoints, once, for the smallest answer that it gives; the feed, for its answer to the key; one
   listing of the flat files; FRED, where there is a key to it. All at once, under the settings' pace and a deadline.

What `ingest all` needs and does not get is a fault; the rest is only told.
"""

import asyncio
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from smallcaps.calendar import sessions_between
from smallcaps.cli.doctor import Check
from smallcaps.config import Settings, load_settings
from smallcaps.errors import BadInput, SmallcapsError
from smallcaps.ingest.flatfiles import vendor_files
from smallcaps.ingest.rest import DIALECTS, new_york_today, service_of
from smallcaps.ingest.routine import has_key, keys_of
from smallcaps.sources.economy.endpoints import MACRO_VINTAGES
from smallcaps.sources.economy.wire import NOTHING
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import ENDPOINTS, LULD_TOPIC, Endpoint, Source
from smallcaps.sources.polygon.flatfiles import VENDOR_KINDS
from smallcaps.sources.polygon.rest import Body, Pace, Parameter, RestClient, said_in
from smallcaps.sources.polygon.websocket import Feed

Work = Callable[[], Any]

SYMBOL = "AAPL"
DEADLINE_SECONDS = 30.0
"""For all that is asked at once, beside what the pace takes."""
LOOK_BACK_DAYS = 14
"""They hold a session."""
NO_ANSWER = "no answer in time"
RATE = "ratelimit"
"""Headers with this in their names, dashes left out, tell of a rate."""


def examine_vendor() -> list[Check]:
    """Look at the vendor's key, what each of its endpoints says, how late and how fast, the feed, the flat files and FRED."""
    try:
        settings = load_settings()
    except BadInput:  # The check of the settings says why.
        return []
    keys, found = _keys(settings)
    works: dict[str, Work] = {"flat files": partial(_files, settings)}
    if Source.FRED in keys:
        works["fred answers"] = partial(_client(settings, keys, Source.FRED).look, _request(MACRO_VINTAGES))
    if Source.VENDOR in keys:
        found += _rest_and_feed(settings, keys, works)
    else:
        found += _checked(_together(works, DEADLINE_SECONDS))
    return [_without(keys.values(), check) for check in found]


def _keys(settings: Settings) -> tuple[dict[Source, Key], list[Check]]:
    """The keys that are there, and what is to be said of others."""
    keys: dict[Source, Key] = {}
    found = []
    for source in Source:
        if source is Source.VENDOR or has_key(settings, source):
            try:
                keys |= keys_of(settings, [source])
            except SmallcapsError as error:
                found.append(Check(f"{source} key", False, str(error)))
    return keys, found


def _rest_and_feed(settings: Settings, keys: Mapping[Source, Key], works: dict[str, Work]) -> list[Check]:
    """What REST and the feed say to the vendor's key, and what `works` come to."""
    client, paths = _client(settings, keys, Source.VENDOR), _paths()
    first, *others = paths
    said = _together({first: partial(client.look, _request(paths[first][0]))}, DEADLINE_SECONDS)
    key = _key_check(said[first])
    if not key.fine:
        return [key, *_checked(_together(works, DEADLINE_SECONDS))]
    asked = {path: partial(client.look, _request(paths[path][0])) for path in others}
    works = {"feed": partial(_feed, settings, keys[Source.VENDOR]), **works}
    answers = _together(asked | works, DEADLINE_SECONDS + len(asked) / settings.vendor.requests_per_second)
    said |= {path: answers.pop(path) for path in others}
    of_paths = [_endpoint_check(named, said[path]) for path, named in paths.items()]
    return [key, *of_paths, _delay(said), _rate(said, settings), *_checked(answers)]


def _paths() -> dict[str, list[Endpoint]]:
    """The vendor's endpoints by their paths, those that `ingest all` asks first."""
    found: dict[str, list[Endpoint]] = defaultdict(list)
    for endpoint in ENDPOINTS.values():
        found[endpoint.path].append(endpoint)
    return dict(found)


def _client(settings: Settings, keys: Mapping[Source, Key], source: Source) -> RestClient:
    service = service_of(settings, source)
    pace, dialect = Pace(service.requests_per_second), DIALECTS[source]
    return RestClient(service.origin, keys[source].value, pace, connections=service.connections, dialect=dialect)


def _request(endpoint: Endpoint) -> str:
    """A request to an endpoint whose answer is small: about one symbol and the last session, one record of it."""
    small: dict[str, Parameter] = {"limit": 1} if "limit" in endpoint.parameters else {}
    small |= {"tickers": SYMBOL} if endpoint.name == "snapshots" else {}
    template = replace(endpoint, parameters={**endpoint.parameters, **small}).template
    symbol = SYMBOL if endpoint.names is None else endpoint.names[0]
    places = {"symbol": quote(symbol, safe=""), **dict.fromkeys(("from", "to", "as_of"), str(_last_session()))}
    return template.format(**places)


def _last_session() -> date:
    today = new_york_today()
    sessions = sessions_between(today - timedelta(LOOK_BACK_DAYS), today - timedelta(1))
    last: date = sessions["session_date"].iloc[-1]
    return last


def _together(works: Mapping[str, Work], seconds: float) -> dict[str, Any]:
    """What each work comes to, or the words of its error, or NO_ANSWER, within so many seconds."""
    results: dict[str, Any] = dict.fromkeys(works, NO_ANSWER)

    def do(name: str) -> None:
        try:
            results[name] = works[name]()
        except (SmallcapsError, ModuleNotFoundError) as error:
            results[name] = str(error)

    # Daemons: one that still waits when the time is over keeps nobody.
    threads = [threading.Thread(target=do, args=(name,), daemon=True) for name in works]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(results)


def _files(settings: Settings) -> Check:
    files = replace(vendor_files(settings.vendor), attempts=1)
    kind, last = VENDOR_KINDS[0], _last_session()
    listed = files.files([kind], last.replace(day=1), last)
    words = (
        f"{files.name} lists {len(listed)} files of {kind} of {last:%Y-%m}; only fetching tells what the plan covers"
    )
    return Check("flat files", True, words)


def _feed(settings: Settings, key: Key) -> Check:
    asyncio.run(Feed(settings.vendor.feed, key.value, [LULD_TOPIC]).try_key())
    return Check("feed", True, f"{settings.vendor.feed} accepts the key")


def _checked(answers: Mapping[str, Any]) -> list[Check]:
    """Checks that were made, and what came instead of others. Nobody needs the feed who takes in what was."""
    found = []
    for name, result in answers.items():
        if isinstance(result, Body):
            found.append(_answer_check(name, result, needed=True))
        elif isinstance(result, Check):
            found.append(result)
        else:
            found.append(Check(name, None if name == "feed" else False, result))
    return found


def _key_check(result: Body | str) -> Check:
    if isinstance(result, str):
        return Check("vendor key", False, result)
    if result.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN):
        return Check("vendor key", True, "accepted")
    return _answer_check("vendor key", result, needed=True)


def _endpoint_check(named: Sequence[Endpoint], result: Body | str) -> Check:
    names = ", ".join(endpoint.name for endpoint in named)
    return _answer_check(names, result, any(endpoint.routine for endpoint in named))


def _answer_check(name: str, result: Body | str, needed: bool) -> Check:
    """What an endpoint's answer says of it. Nothing is known of it where there is none, or the vendor is unwell."""
    if isinstance(result, str):
        return Check(name, None, result)
    said = said_in(result.content)
    refused = None if not needed else False
    match result.status:
        case HTTPStatus.OK:
            return Check(name, True, "answers")
        case HTTPStatus.NOT_FOUND if said is not None:
            return Check(name, True, f"answers: {said}")
        case HTTPStatus.BAD_REQUEST if NOTHING in (said or ""):
            return Check(name, True, f"answers: {said}")
        case HTTPStatus.FORBIDDEN:
            return Check(name, refused, f"the plan does not cover it: {said or 'no reason given'}")
        case HTTPStatus.TOO_MANY_REQUESTS:
            return Check(name, None, "asked too fast for the plan, so nothing is known: lower requests_per_second")
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return Check(name, None, f"status {status}, so nothing is known: try later")
        case status:
            return Check(name, refused, f"refused with status {status}: {said or 'no reason given'}")


def _delay(said: Mapping[str, Body | str]) -> Check:
    """Whether answers say that they are late."""
    late = [path for path, one in said.items() if isinstance(one, Body) and _status_word(one) == "DELAYED"]
    if late:
        return Check("delay", None, f"15 minutes late (status DELAYED): {', '.join(late)}")
    return Check("delay", True, "no answer says that it is late")


def _status_word(body: Body) -> str | None:
    try:
        content = body.json()
    except json.JSONDecodeError:
        return None
    return content.get("status") if isinstance(content, dict) else None


def _rate(said: Mapping[str, Body | str], settings: Settings) -> Check:
    """What headers tell of the rate, and whether ours was too fast."""
    bodies = [one for one in said.values() if isinstance(one, Body)]
    told = {
        f"{name}: {value}"
        for body in bodies
        for name, value in body.headers.items()
        if RATE in name.lower().replace("-", "")
    }
    many = sum(body.status == HTTPStatus.TOO_MANY_REQUESTS for body in bodies)
    words = ", ".join(sorted(told)) or "no header tells it"
    asked = f"asked at up to {settings.vendor.requests_per_second:g} a second, {many} of {len(bodies)} were too many"
    return Check("rate", None if many else True, f"{words}; {asked}")


def _without(keys: Iterable[Key], check: Check) -> Check:
    finding = check.finding
    for key in keys:
        finding = finding.replace(key.value, "[key]")
    return replace(check, finding=finding)
