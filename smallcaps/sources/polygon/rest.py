"""The vendor's REST wire: one GET at a time, paced, retried, checked, and kept as it came.

The vendor's key travels in a header. A service that wants it in the query gets it there: it is put in when the request is
sent, so that no URL of ours holds it, and urllib3, which writes queries to its log, is kept from telling it.

What goes wrong is told by who can mend it: a request, key or plan that is refused is BadInput; a server that stays unwell is
FailedDependency; pages that lead nowhere good are BadData.
"""

import hashlib
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import urllib3

from smallcaps.errors import BadData, BadInput, FailedDependency

Parameter = str | int | bool

CONNECT_SECONDS, READ_SECONDS = 10.0, 30.0
"""Longest wait for a connection, and for the next byte."""
BODY_SECONDS = 300.0
"""Longest time a whole body may take, however steadily it drips."""
UNWELL = (408, 413, 429, 499, 500, 502, 503, 504)
"""Answers that are asked for again."""
RETRY = urllib3.Retry(
    total=6, backoff_factor=0.5, backoff_jitter=0.5, backoff_max=60, status_forcelist=UNWELL, retry_after_max=120
)
_CHUNK_BYTES = 1 << 16
_KEY_PARAMETERS = {"apikey", "api_key"}
_SAID = ("error", "message", "error_message")


@dataclass(frozen=True)
class Body:
    """One answer as received: `url` without a key, `content` after content decoding, `received_at` in UTC."""

    url: str
    status: int
    content: bytes
    received_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Of the content, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def json(self) -> Any:
        """The content, parsed once; integers of any size stay exact."""
        return self._parsed

    @cached_property
    def _parsed(self) -> Any:
        return json.loads(self.content)


@dataclass(frozen=True)
class Dialect:
    """What differs between services.

    `key_parameter`: the query's parameter for the key, None where it goes in a header; `following`: the URL of the page after
    a body; `nothing`: the words of a 400 that only says that there is no such data.
    """

    key_parameter: str | None
    following: Callable[[Body], str | None]
    nothing: str | None = None


def _next_url(body: Body) -> str | None:
    content = body.json()
    following = content.get("next_url") if isinstance(content, dict) else None
    return str(following) if following else None


VENDOR = Dialect(key_parameter=None, following=_next_url)


class Pace:
    """At most `per_second` requests a second, evenly spaced, however many threads ask.

    Workers in several processes share a limit by each taking its part: `Pace(limit / workers)`.
    """

    def __init__(self, per_second: float) -> None:
        self._step = 1 / per_second
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        """Sleep until this caller's turn."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._step
        time.sleep(max(0.0, turn - time.monotonic()))


class RestClient:
    """GETs of one origin (`https://host[:port]`) with one key. Safe to share among threads."""

    def __init__(
        self,
        origin: str,
        key: str,
        pace: Pace,
        retry: urllib3.Retry = RETRY,
        connections: int = 8,
        dialect: Dialect = VENDOR,
    ) -> None:
        self._origin = _origin_of(origin)
        self._pace = pace
        self._retry = retry
        self._dialect = dialect
        self._key = None if dialect.key_parameter is None else urlencode({dialect.key_parameter: key})
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            block=True,
            headers={"Accept-Encoding": "gzip", "User-Agent": "smallcaps"}
            | ({"Authorization": f"Bearer {key}"} if self._key is None else {}),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        )

    def get(self, path: str, parameters: Mapping[str, Parameter] | None = None) -> Body:
        """The answer to one request: a 200, or a 404 (FRED: 400) by which the vendor says that it has no such data.

        Raises BadInput (400, 401, 403, unknown route) or FailedDependency (retries used up).
        """
        return self._get(_url(self._origin, path, parameters or {}))

    def pages(self, path: str, parameters: Mapping[str, Parameter] | None = None) -> Iterator[Body]:
        """Every page of an answer, in order.

        Raises as `get` does, and BadData where the next page leaves the origin or was there already.
        """
        url: str | None = _url(self._origin, path, parameters or {})
        asked: set[str] = set()
        while url is not None:
            asked.add(url)
            body = self._get(url)
            yield body
            url = self._next(body)
            if url in asked:
                raise BadData(f"The vendor's pages go in a circle: {url} was asked for already.")

    def look(self, request: str) -> Body:
        """What is said to one request, whatever the status; it is asked once. Raises FailedDependency where nothing is said."""
        url = f"{self._origin}{request}"
        self._pace.wait()
        try:
            response, content = self._fetch(url)
        except urllib3.exceptions.HTTPError as trouble:
            raise FailedDependency(f"{url} gives no answer: {_hidden(str(trouble))}.") from trouble
        return Body(url, response.status, content, datetime.now(UTC), dict(response.headers))

    def _next(self, body: Body) -> str | None:
        following = self._dialect.following(body)
        if following is None:
            return None
        if _origin_of(following) != self._origin:
            # Followed, it would hand the key to whoever it names.
            raise BadData(f"The page after {body.url} is on another host; it was not asked for.")
        return _without_key(following)

    def _get(self, url: str) -> Body:
        retry = self._retry
        while True:
            self._pace.wait()
            response, error = None, None
            try:
                response, content = self._fetch(url)
                if response.status not in UNWELL:
                    return _body(url, response.status, content, self._dialect)
            except urllib3.exceptions.HTTPError as trouble:
                error = trouble
            try:
                retry = retry.increment("GET", url, response=response, error=error)
            except urllib3.exceptions.HTTPError as last:
                said = f"status {response.status}" if error is None and response is not None else _hidden(str(error))
                times = len(retry.history) + 1
                raise FailedDependency(f"{url} was asked for {times} times, at last: {said}. Try later.") from last
            retry.sleep(response)

    def _fetch(self, url: str) -> tuple[urllib3.BaseHTTPResponse, bytes]:
        # Put in here, the key is in no URL that is kept, told or tried again.
        sent = url if self._key is None else f"{url}{'&' if '?' in url else '?'}{self._key}"
        response = self._pool.request("GET", sent, retries=False, redirect=False, preload_content=False)
        try:
            return response, _read(response)
        finally:
            response.release_conn()


def _read(response: urllib3.BaseHTTPResponse) -> bytes:
    """The whole body. Raises urllib3's errors where it is cut, silent or endless."""
    deadline = time.monotonic() + BODY_SECONDS
    parts = []
    while part := response.read(_CHUNK_BYTES, decode_content=True):
        parts.append(part)
        if time.monotonic() > deadline:
            raise urllib3.exceptions.ProtocolError(f"the body took over {BODY_SECONDS:.0f} s")
    return b"".join(parts)


def _body(url: str, status: int, content: bytes, dialect: Dialect) -> Body:
    """The answer, if it is one. Raises BadInput where it is a refusal, urllib3's ProtocolError where it is cut."""
    _refuse(url, status, content, dialect)
    body = Body(url, status, content, datetime.now(UTC))
    try:
        body.json()
    except ValueError as error:
        raise urllib3.exceptions.ProtocolError("the body is not whole JSON") from error
    return body


def _refuse(url: str, status: int, content: bytes, dialect: Dialect) -> None:
    """Raises BadInput for an answer that asking again would not change."""
    if status == HTTPStatus.OK:
        return
    said = said_in(content)
    if status == HTTPStatus.NOT_FOUND and said is not None:
        return
    if status == HTTPStatus.BAD_REQUEST and dialect.nothing is not None and dialect.nothing in (said or ""):
        return
    if status == HTTPStatus.UNAUTHORIZED:
        raise BadInput(f"The vendor refuses the key for {url}: {said or 'no reason given'}.")
    if status == HTTPStatus.FORBIDDEN:
        raise BadInput(f"The vendor's plan does not cover {url}: {said or 'no reason given'}")
    if status == HTTPStatus.NOT_FOUND:
        raise BadInput(f"The vendor has no such route: {url}.")
    raise BadInput(f"The vendor refuses {url} with status {status}: {said or 'no reason given'}")


def said_in(content: bytes) -> str | None:
    """The vendor's own words in an error body, None where it has none."""
    try:
        body = json.loads(content)
    except ValueError:
        return None
    said = next(filter(None, map(body.get, _SAID)), None) if isinstance(body, dict) else None
    return said if isinstance(said, str) else None


def _origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


def _url(origin: str, path: str, parameters: Mapping[str, Parameter]) -> str:
    """`path` at `origin`; parameters in order of name, booleans as the vendor spells them."""
    spelled = {
        name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in parameters.items()
    }
    query = urlencode(sorted(spelled.items()))
    return f"{origin}{path}" + (f"?{query}" if query else "")


def _without_key(url: str) -> str:
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0].lower() not in _KEY_PARAMETERS]
    return urlunsplit(parts._replace(query=urlencode(kept)))


def _hidden(text: str) -> str:
    """`text` without the keys of the queries in it."""
    return re.sub(r"(?i)(api_?key=)[^&\s\"']+", r"\1...", text)


class _WithoutKeys(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Every record passes, told without keys."""
        record.msg, record.args = _hidden(record.getMessage()), ()
        return True


logging.getLogger("urllib3.connectionpool").addFilter(_WithoutKeys())
