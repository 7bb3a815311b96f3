"""The simulated vendor as one application: REST, flat files and WebSocket over a market folder."""

import asyncio
import hmac
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import date
from datetime import time as time_of_day
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode
from uuid import uuid4

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from smallcaps.errors import BadInput
from smallcaps.sources.simulator.server import bars, fred, reference, snapshots, ticks
from smallcaps.sources.simulator.server.clock import Clock, instant
from smallcaps.sources.simulator.server.faults import Faults, nth
from smallcaps.sources.simulator.server.flatfiles import BUCKET, Bucket
from smallcaps.sources.simulator.server.records import LISTINGS, Reference
from smallcaps.sources.simulator.server.served import Served
from smallcaps.sources.simulator.server.socket import Feed
from smallcaps.sources.simulator.server.tape import Tape
from smallcaps.sources.simulator.server.wire import (
    FRED_KEY_PARAMETER,
    KEY_PARAMETER,
    KEY_PARAMETERS,
    Answer,
    Ask,
    Refusal,
    encoded,
)
from smallcaps.sources.simulator.server.world import World

ACCESS_KEY = "simulator"
"""The flat files' access key id unless another is given."""
OWN = "/simulator/"
PRE_OPEN = time_of_day(4)
PIECES = 20
TOO_MANY = "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue."
Endpoint = Callable[[World, Ask], Answer]
ENDPOINTS: dict[str, Endpoint] = {
    "/v2/aggs/ticker/{ticker}/range/{multiplier}/{span}/{from}/{to}": bars.aggregates,
    "/v2/aggs/grouped/locale/us/market/stocks/{date}": bars.grouped,
    "/v2/aggs/ticker/{ticker}/prev": bars.previous,
    "/v1/open-close/{ticker}/{date}": bars.open_close,
    "/v3/trades/{ticker}": partial(ticks.ticks, kind="trades"),
    "/v3/quotes/{ticker}": partial(ticks.ticks, kind="quotes"),
    "/v2/last/trade/{ticker}": ticks.last_trade,
    "/v2/last/nbbo/{ticker}": ticks.last_quote,
    "/vX/reference/tickers/{id}/events": reference.events,
    "/v1/related-companies/{ticker}": reference.related,
    "/v1/marketstatus/now": reference.status,
    "/v1/marketstatus/upcoming": reference.upcoming,
    "/v2/snapshot/locale/us/markets/stocks/tickers": snapshots.everyone,
    "/v2/snapshot/locale/us/markets/stocks/tickers/{ticker}": snapshots.one,
    "/v2/snapshot/locale/us/markets/stocks/{direction}": snapshots.movers,
    "/v3/snapshot": snapshots.universal,
    f"{fred.ROOT}series/observations": fred.observations,
}
"""What is not a listing. Details come after the listings, one of which is at /tickers/types."""
DETAILS = "/v3/reference/tickers/{ticker}"


def create_app(
    market: Path,
    key: str,
    faults: Faults | None = None,
    speed: float = 1.0,
    day: date | None = None,
    start: time_of_day = PRE_OPEN,
    start_at_once: bool = False,
    access_key: str = ACCESS_KEY,
) -> FastAPI:
    """The vendor over a market folder, for one `key` (REST and WebSocket) and one S3 access key id.

    With a `day` the market is live: it is `start` (New York) of that day until the first client subscribes, or at once,
    then the day is played `speed` times as fast as ours, over the WebSocket; REST does not know what lies ahead. Without,
    REST knows all of history and the WebSocket plays the last day that has trades. Raises BadInput where the folder holds
    no market, or no such day.
    """
    tape = Tape(market)
    days = sorted({*tape.days("trades"), *tape.days("minute")})
    if not days:
        raise BadInput(f"{market} holds no market: there is no tape in it. Make one with `smallcaps simulate build`.")
    if day is not None and day not in days:
        raise BadInput(f"{market} has no tape of {day}; it has {days[0]} to {days[-1]}.")
    played = day or (tape.days("trades") or days)[-1]
    clock = Clock(instant(played, start.hour, start.minute), speed)
    world = World(market, key, access_key, faults or Faults(), tape, clock, live=day)
    feed = Feed(world, played, start_at_once)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await feed.open()
        yield
        await feed.close()

    app = FastAPI(title="Simulated market data vendor", openapi_url=None, lifespan=lifespan)
    add = partial(app.router.add_route, methods=["GET"])
    listings = Reference(world)
    for path, answer in ENDPOINTS.items():
        add(path, _handler(world, path, answer))
    for listing in LISTINGS:
        add(listing.path, _handler(world, listing.path, partial(_page, listings, listing)))
    add(DETAILS, _handler(world, DETAILS, reference.details))
    bucket = Bucket(world)
    for path in (f"/{BUCKET}", f"/{BUCKET}/", f"/{BUCKET}/{{key:path}}"):
        app.router.add_route(path, bucket.handle, methods=["GET", "HEAD"])
    app.router.add_route(f"{OWN}served", _served(world.served), methods=["GET", "DELETE"])
    app.router.add_websocket_route("/stocks", feed.handle)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_middleware(Gate, world=world)
    return app


def _page(listings: Reference, listing: Any, _: World, ask: Ask) -> Answer:
    return listings.page(listing, ask)


def _handler(world: World, path: str, answer: Endpoint) -> Callable[[Request], Response]:
    """A route: one question, its answer or refusal, and the account of it. Runs in a thread."""

    def handle(request: Request) -> Response:
        try:
            given = answer(world, Ask.of(request))
        except Refusal as refusal:
            world.served.refused(path)
            return encoded(request, refusal.body, refusal.status)
        if world.faults.foreign_next_url and isinstance(given.body, dict) and "next_url" in given.body:
            own = f"{request.url.scheme}://{request.url.netloc}"
            given.body["next_url"] = given.body["next_url"].replace(own, world.faults.foreign_next_url, 1)
        world.served.answered(given.endpoint or path, given.records, given.marks, given.keys)
        return encoded(request, given.body)

    return handle


def _served(served: Served) -> Callable[[Request], Response]:
    """The account: GET tells it, DELETE forgets it."""

    def handle(request: Request) -> Response:
        if request.method == "DELETE":
            served.reset()
            return Response(status_code=204)
        return JSONResponse(served.summary())

    return handle


async def _no_route(_: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, HTTPException) else 500
    return PlainTextResponse("404 page not found" if code == 404 else "method not allowed", code)


class Gate:
    """What a request meets before its endpoint: the account, the faults of the line, the key, the plan."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._number = 0
        self._recent: deque[float] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request = Request(scope)
        own, objects = request.url.path.startswith(OWN), request.url.path.split("/")[1] == BUCKET
        number = 0
        if not own:
            number = self._count(request)
        refusal = None if objects else self._refusal(request, number, own)
        if refusal is not None:
            return await refusal(scope, receive, send)
        if own or objects:
            return await self._app(scope, receive, send)
        faults = self._world.faults
        if nth(number, faults.cut_every) or nth(number, faults.drip_every):
            return await self._badly(scope, receive, send, nth(number, faults.cut_every))
        return await self._app(scope, receive, send)

    def _count(self, request: Request) -> int:
        """The number of this request, from 1. Runs in the event loop alone."""
        kept = [(name, value) for name, value in parse_qsl(request.url.query) if name not in KEY_PARAMETERS]
        self._world.served.asked(request.url.path + (f"?{urlencode(kept)}" if kept else ""))
        self._number += 1
        return self._number

    def _refusal(self, request: Request, number: int, own: bool) -> Response | None:
        """Why the request gets no further; None where it does."""
        faults = self._world.faults
        if not own:
            if self._too_many(number):
                body = b"" if faults.too_many_empty else None
                headers = {} if faults.retry_after is None else {"Retry-After": f"{faults.retry_after:g}"}
                response = Response(body, 429) if body is not None else _error(429, "ERROR", "error", TOO_MANY)
                response.headers.update(headers)
                return response
            if faults.unwell(number):
                return PlainTextResponse("upstream connect error", faults.unwell_status)
        if request.url.path.startswith(fred.ROOT):
            said = fred.key_refused(request.query_params.get(FRED_KEY_PARAMETER, ""), self._world.key)
            return None if said is None else JSONResponse(said, 400)
        given = self._key(request)
        if not given:
            return _error(401, "ERROR", "error", "API Key was not provided")
        if (faults.refuse_key and not own) or not hmac.compare_digest(given.encode(), self._world.key.encode()):
            return _error(401, "ERROR", "error", "Unknown API Key")
        if any(request.url.path.startswith(path) for path in faults.forbidden):
            return _error(403, "NOT_AUTHORIZED", "message", faults.forbidden_message)
        return None

    def _key(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip()
        return request.query_params.get(KEY_PARAMETER, "")

    def _too_many(self, number: int) -> bool:
        faults, now = self._world.faults, time.monotonic()
        if faults.too_many_above:
            while self._recent and self._recent[0] <= now - 1:
                self._recent.popleft()
            if len(self._recent) >= faults.too_many_above:
                return True
            self._recent.append(now)
        return number <= faults.too_many_first or nth(number, faults.too_many_every)

    async def _badly(self, scope: Scope, receive: Receive, send: Send, cut: bool) -> None:
        """Send the answer's body in pieces: all of them slowly, or half of them and no more."""
        body = bytearray()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            length = max(len(body) // PIECES, 1)
            pieces = [bytes(body[place : place + length]) for place in range(0, len(body), length)]
            for piece in pieces[: len(pieces) // 2] if cut else pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if not cut:
                    await asyncio.sleep(self._world.faults.drip_seconds)
            if not cut:
                await send({"type": "http.response.body", "body": b""})

        await self._app(scope, receive, sent)


def _error(status: int, word: str, name: str, said: str) -> Response:
    return JSONResponse({"status": word, "request_id": uuid4().hex, name: said}, status)
