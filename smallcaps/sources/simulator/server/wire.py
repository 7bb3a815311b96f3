"""What all answers share: parameters and cursors in, envelopes and error bodies out, numbers as the vendor writes them."""

import base64
import binascii
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT
from smallcaps.sources.simulator.server.clock import SECOND, midnight
from smallcaps.sources.simulator.server.served import Marks

KEY_PARAMETER, FRED_KEY_PARAMETER = "apiKey", "api_key"
KEY_PARAMETERS = (KEY_PARAMETER, FRED_KEY_PARAMETER)
ZIPPED_FROM_BYTES = 500
JSON = "application/json; charset=utf-8"


class Refusal(Exception):
    """An error body: `word` is its status, `said` its sentence under the key `name`."""

    def __init__(self, status: int, said: str, word: str = "ERROR", name: str = "error") -> None:
        super().__init__(said)
        self.status = status
        self.body = {"status": word, "request_id": uuid4().hex, name: said}


def not_found(said: str) -> Refusal:
    """The vendor has no such data: 404 with a body."""
    return Refusal(404, said, "NOT_FOUND", "message")


@dataclass(frozen=True)
class Ask:
    """One request: `path` without its query, `parts` of the path by name, `params` with a cursor's already put in."""

    origin: str
    path: str
    parts: Mapping[str, str]
    params: Mapping[str, str]

    @classmethod
    def of(cls, request: Request) -> "Ask":
        """From a request; raises Refusal where its cursor is not one of ours."""
        given = {name: value for name, value in request.query_params.items() if name not in KEY_PARAMETERS}
        if cursor := given.pop("cursor", None):
            given |= decode_cursor(cursor)
        origin = f"{request.url.scheme}://{request.url.netloc}"
        return cls(origin, request.url.path, request.path_params, given)

    def text(self, name: str) -> str | None:
        """A parameter; None where it is absent or empty."""
        return self.params.get(name) or None

    def flag(self, name: str, default: bool) -> bool:
        """`true` or `false`. Raises Refusal for another word."""
        value = self.params.get(name)
        if value is None or value == "":
            return default
        if value.lower() not in ("true", "false"):
            raise Refusal(400, f"The parameter '{name}' must be true or false")
        return value.lower() == "true"

    def limit(self, default: int, maximum: int) -> int:
        """The page's size. Raises Refusal where it is no number from 1 to `maximum`."""
        value = self.text("limit")
        if value is None:
            return default
        if not value.isdecimal() or not 1 <= int(value) <= maximum:
            raise Refusal(400, f"The parameter 'limit' must be a number from 1 to {maximum}")
        return int(value)

    def order(self, default: str, name: str = "order") -> bool:
        """Whether the newest or greatest come first."""
        value = self.text(name) or default
        if value not in ("asc", "desc"):
            raise Refusal(400, f"The parameter '{name}' must be asc or desc")
        return value == "desc"

    def position(self) -> int:
        """How many records the cursor has left behind."""
        return int(self.params.get("ap", 0))

    def next_url(self, changed: Mapping[str, str | int], path: str | None = None) -> str:
        """The address of the page after this one: all parameters in its cursor, `changed` ones anew."""
        params = {**self.params, **{name: str(value) for name, value in changed.items()}}
        return f"{self.origin}{quote(path or self.path)}?cursor={encode_cursor(params)}"


def encode_cursor(params: Mapping[str, str]) -> str:
    """Parameters as base64url without padding."""
    return base64.urlsafe_b64encode(urlencode(sorted(params.items())).encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> dict[str, str]:
    """The parameters in a cursor. Raises Refusal where it is none."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        params = dict(parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)))
        if not params.get("ap", "0").isdecimal():
            raise ValueError("its position is no number")
    except (binascii.Error, ValueError) as error:
        raise Refusal(400, "The cursor could not be read") from error
    return params


@dataclass
class Answer:
    """A sound answer: its body, and what of it counts as records. `endpoint`: its name in the account, if not its path."""

    body: Any
    records: int = 0
    marks: list[Marks] = field(default_factory=list)
    keys: list[Any] = field(default_factory=list)
    endpoint: str | None = None


def envelope(**fields: Any) -> dict[str, Any]:
    """A body that says OK, with a request_id; fields that are None are left out."""
    given = {name: value for name, value in fields.items() if value is not None}
    return {**given, "status": "OK", "request_id": uuid4().hex}


def encoded(request: Request, body: Any, status: int = 200) -> Response:
    """A body as JSON, gzipped where the client takes that and it pays."""
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    headers = {}
    if len(content) >= ZIPPED_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        content, headers = gzip.compress(content, 1), {"Content-Encoding": "gzip"}
    return Response(content, status, headers, media_type=JSON)


def price(units: int) -> float:
    """Dollars; the nearest double, so that its shortest text is the vendor's decimal."""
    return units / PRICE_UNIT


def shares(units: int) -> float:
    """Shares, as a double."""
    return units / SIZE_UNIT


def plain_shares(units: int) -> int | float:
    """Shares: whole ones without a point."""
    whole, part = divmod(units, SIZE_UNIT)
    return units / SIZE_UNIT if part else whole


def decimal_shares(units: int) -> str:
    """Shares as the vendor's decimal text: 100.0, 0.740474."""
    whole, part = divmod(units, SIZE_UNIT)
    return f"{whole}.{part:06d}" if part else f"{whole}.0"


def day_of(name: str, text: str) -> date:
    """A YYYY-MM-DD parameter. Raises Refusal."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Refusal(400, f"Could not parse the parameter '{name}'. Use YYYY-MM-DD") from error


def instant_of(name: str, text: str, unit: int) -> tuple[int, date | None]:
    """A time parameter in ns, and the day if it is one: YYYY-MM-DD (00:00 New York), a number of `unit` ns, or RFC 3339.

    Raises Refusal.
    """
    unreadable = Refusal(400, f"Could not parse the time parameter: '{name}'. Use YYYY-MM-DD or Unix Timestamps")
    if text.removeprefix("-").isdecimal():
        return int(text) * unit, None
    try:
        if len(text) == len("YYYY-MM-DD"):
            day = date.fromisoformat(text)
            return midnight(day), day
        whole, point, part = text.rstrip("Z").partition(".")
        seconds = datetime.fromisoformat(whole + ("+00:00" if text.endswith("Z") else "")).timestamp()
    except (ValueError, OverflowError) as error:
        raise unreadable from error
    if point and not part.isdecimal():
        raise unreadable
    return int(seconds) * SECOND + int(part.ljust(9, "0")[:9] if point else 0), None


def new_york_text(ns: int) -> str:
    """An instant as RFC 3339 in New York's clock, to the second."""
    return datetime.fromtimestamp(ns // SECOND, NEW_YORK).isoformat()
