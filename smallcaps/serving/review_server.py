"""The page on which a sample is reviewed: on the loopback, under a token, one reviewer a server."""

import hashlib
import hmac
import random
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from smallcaps.loopback import listening
from smallcaps.ports import HOST
from smallcaps.serving.page import render_page
from smallcaps.serving.review_files import (
    VERDICTS,
    Notebook,
    charts_file,
    notebook,
    read_items,
    read_sample,
    read_verdicts,
)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; connect-src 'self'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Gate:
    """Lets through what begins with the token, and answers with HEADERS."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = scope["path"].lstrip("/").split("/")[0]
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return await PlainTextResponse("Wrong token: use the address that the server printed.", 403)(
                scope, receive, send
            )

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
            await send(message)

        return await self._app(scope, receive, sent)


def create_app(folder: Path, reviewer: str, book: Notebook, token: str) -> Starlette:
    """The page over a sample's folder. Of the folder it reads what may be shown, and the reviewer's own verdicts."""
    sample, items = read_sample(folder), {item["item_id"]: item for item in read_items(folder)}
    said = {item_id: one.verdict for item_id, one in read_verdicts(folder, reviewer).items()}
    order = shuffled([*items], sample.sample_id, reviewer)
    page = render_page("review.html", reviewer=reviewer)

    def show(_: Request) -> Response:
        return HTMLResponse(page)

    def listed(_: Request) -> Response:
        return JSONResponse([items[item_id] | {"verdict": said.get(item_id)} for item_id in order])

    def charts(request: Request) -> Response:
        item_id = request.path_params["item_id"]
        if item_id not in items:
            return PlainTextResponse("There is no such item.", 404)
        return FileResponse(charts_file(folder, item_id), media_type="application/json")

    async def judge(request: Request) -> Response:
        try:
            given = await request.json()
            item_id, verdict = str(given["item_id"]), given["verdict"]
        except (ValueError, KeyError, TypeError):
            return PlainTextResponse("A verdict is JSON with item_id and verdict.", 400)
        if item_id not in items or verdict not in VERDICTS:
            return PlainTextResponse(f"There is no such item, or the verdict is none of {', '.join(VERDICTS)}.", 400)
        # In the event loop, so one after the other.
        book.say(item_id, verdict)
        said[item_id] = verdict
        return Response(status_code=204)

    routes = [
        Route("/{token}/", show),
        Route("/{token}/items", listed),
        Route("/{token}/charts/{item_id}", charts),
        Route("/{token}/verdicts", judge, methods=["POST"]),
    ]
    # The host is looked at, since another site's name may lead here.
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"], www_redirect=False),
        Middleware(Gate, token=token),
    ]
    return Starlette(routes=routes, middleware=middleware)


def shuffled(item_ids: list[str], sample_id: str, reviewer: str) -> list[str]:
    """Items in an order of the reviewer's own, always the same."""
    seed = hashlib.sha256(f"{sample_id}|{reviewer}".encode()).digest()
    return random.Random(seed).sample(item_ids, len(item_ids))


@contextmanager
def reviewing(folder: Path, reviewer: str, port: int = 0) -> Iterator[str]:
    """A reviewer's page in a thread; yields its address.

    Raises BadInput where the folder holds no sample, the reviewer has another server or a name that is none; FailedDependency
    where it cannot listen.
    """
    read_sample(folder)
    token = secrets.token_urlsafe(24)
    with notebook(folder, reviewer) as book:
        app = create_app(folder, reviewer, book, token)
        with listening(app, port, "review page", ws="none", lifespan="off") as listens:
            yield f"http://{HOST}:{listens}/{token}/"


def serve_review(folder: Path, reviewer: str, port: int = 0) -> None:
    """Serve a reviewer's page until interrupted, after printing where; raises as `reviewing`."""
    with reviewing(folder, reviewer, port) as address:
        print(address, flush=True)
        threading.Event().wait()
