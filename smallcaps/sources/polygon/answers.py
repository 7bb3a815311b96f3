"""Many requests at once, page by page as they come. A request that goes wrong becomes an answer that says so."""

import gzip
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice

from smallcaps.errors import BadData, SmallcapsError
from smallcaps.sources.polygon.bodies import records_of
from smallcaps.sources.polygon.endpoints import Endpoint
from smallcaps.sources.polygon.rest import Body, RestClient


@dataclass(frozen=True)
class Answer:
    """A page of the answer to a request, as bronze.bodies has it, or why there is none.

    A page after which there can be no other has its `fault` beside its content.
    """

    request: str
    page: int
    last_page: bool
    url: str | None
    status: int | None
    sha256: str | None
    size_bytes: int | None
    records: int | None
    received_at: datetime
    content: bytes | None
    fault: str | None
    fault_kind: str | None

    @property
    def stops(self) -> bool:
        """Whether it is of no use to ask for anything else: the vendor refuses, or is not well."""
        return self.fault_kind not in (None, BadData.__name__)


def answers(client: RestClient, endpoint: Endpoint, requests: Iterable[str], connections: int) -> Iterator[Answer]:
    """The answers to `requests`, in the order in which they come; at most `connections` at a time.

    Pages that nobody has taken yet are few: a request's next page is asked for when its last one was taken. After a refusal
    or a failure no further request is begun, and pages under way are still handed out.
    """
    waiting = iter(requests)
    stopped = False
    with ThreadPoolExecutor(connections) as pool:

        def begin(count: int) -> dict[Future[Answer], Iterator[Answer]]:
            chains = [_pages(client, endpoint, request) for request in islice(waiting, count)]
            return {pool.submit(next, chain): chain for chain in chains}

        running = begin(connections)
        while running:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                chain, answer = running.pop(future), future.result()
                yield answer
                stopped = stopped or answer.stops
                if stopped:
                    continue
                if answer.last_page or answer.fault is not None:
                    running |= begin(1)
                else:
                    running[pool.submit(next, chain)] = chain


def _pages(client: RestClient, endpoint: Endpoint, request: str) -> Iterator[Answer]:
    """A page is told when it is known whether another follows."""
    held: Body | None = None
    page, records = 1, 0
    try:
        for body in client.pages(request):
            if held is not None:
                yield _answer(request, page, held, records)
                page += 1
            held = body
            records = len(records_of(endpoint, body.json())) if body.status == HTTPStatus.OK else 0
        yield _answer(request, page, held, records, last_page=True)
    except SmallcapsError as error:
        yield _answer(request, page, held, records, fault=error)


def _answer(
    request: str,
    page: int,
    body: Body | None,
    records: int,
    last_page: bool = False,
    fault: SmallcapsError | None = None,
) -> Answer:
    why = (None, None) if fault is None else (str(fault), type(fault).__name__)
    if body is None:
        return Answer(request, page, last_page, None, None, None, None, None, datetime.now(UTC), None, *why)
    content = gzip.compress(body.content, compresslevel=1, mtime=0)
    size = len(body.content)
    return Answer(
        request, page, last_page, body.url, body.status, body.sha256, size, records, body.received_at, content, *why
    )
