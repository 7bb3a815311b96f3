"""News articles, polled from the vendor's REST, as messages: one for each ticker that an article names.

The first request is for New York's day so far, so that what another process has sent already comes again, with the same identity;
later ones are for what was published since the last article, and somewhat before it, since articles do not come in order.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from smallcaps.calendar.sessions import NEW_YORK
from smallcaps.errors import SmallcapsError
from smallcaps.lake.topics import NEWS
from smallcaps.log import tell
from smallcaps.sources.polygon.bodies import Record, records_of
from smallcaps.sources.polygon.endpoints import ENDPOINTS
from smallcaps.sources.polygon.rest import Body, RestClient
from smallcaps.streaming.letters import Letter, dead_letter, message, typed
from smallcaps.streaming.messages import LARGEST_BYTES

OVERLAP = timedelta(hours=1)
"""An article that comes so much later than one published after it is still found."""
REMEMBERED = 100_000
"""Articles that are known to have come; a day has some thousand."""
_ARTICLES = ENDPOINTS["news"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def poll_news(
    client: RestClient,
    send: Callable[[list[Letter]], None],
    seconds: float,
    stop: threading.Event,
    clock: Callable[[], int] = time.time_ns,
) -> None:
    """Ask every so many seconds until `stop`, and hand messages of new articles to `send`; no article twice.

    A request that fails is told in the log; the next one asks for the same again.
    """
    desk = NewsDesk(client, clock)
    while not stop.is_set():
        try:
            if found := desk.ask():
                send(found)
        except SmallcapsError as error:
            tell(f"The news could not be asked for: {error}", logging.WARNING)
        stop.wait(seconds)


class NewsDesk:
    """Knows which articles have come. `clock` gives now in ns UTC."""

    def __init__(self, client: RestClient, clock: Callable[[], int] = time.time_ns) -> None:
        self._client, self._clock = client, clock
        today = self._now().astimezone(NEW_YORK).replace(hour=0, minute=0, second=0, microsecond=0)
        self._since = today.astimezone(UTC)
        self._known: dict[str, None] = {}

    def ask(self) -> list[Letter]:
        """Messages of the articles that have come out since the last time. Raises as `RestClient.pages`, and BadData."""
        asked = {name: value for name, value in _ARTICLES.parameters.items() if "published_utc." not in name}
        asked["published_utc.gte"] = f"{self._since:%Y-%m-%dT%H:%M:%SZ}"
        found: list[Letter] = []
        came: dict[str, None] = {}
        for body in self._client.pages(_ARTICLES.path, asked):
            named = {_name(record): record for record in records_of(_ARTICLES, body.json())}
            fresh = {name: record for name, record in named.items() if name not in self._known and name not in came}
            found += article_letters(list(fresh.values()), body)
            came |= dict.fromkeys(fresh)
        # Now that all pages are there: of an answer that fails half-way nothing is known.
        self._known |= came
        for name in list(self._known)[:-REMEMBERED]:
            del self._known[name]
        for letter in found:
            if letter.event_ns is not None:
                # One of the future must not hide those that come until then.
                self._since = max(self._since, min(_at(letter.event_ns), self._now()) - OVERLAP)
        return found

    def _now(self) -> datetime:
        return _at(self._clock())


def article_letters(records: list[Record], body: Body) -> list[Letter]:
    """Messages of a body's articles, all of one article with one identity; dead letters of those that are none."""
    found = []
    around = {"endpoint": _ARTICLES.name, "as_of": body.received_at.astimezone(NEW_YORK).date().isoformat()}
    received_ns = _nanoseconds(body.received_at)
    for record, row, reason in zip(records, *typed(_ARTICLES, records), strict=True):
        if reason is not None:
            found.append(dead_letter(NEWS.name, record, reason))
            continue
        published_ns = _nanoseconds(datetime.fromisoformat(row["published_at"]))
        for symbol in dict.fromkeys(row.get("tickers") or [None]):
            named = around if symbol is None else {"symbol": symbol, **around}
            value = message(NEWS, row, published_ns, received_ns, named)
            if len(value) > LARGEST_BYTES:
                found.append(dead_letter(NEWS.name, record, "oversized"))
                break
            found.append(Letter(NEWS.name, symbol, value, None, published_ns))
    return found


def _name(record: Record) -> str:
    """What makes it the same article: the vendor's id, else all that it says."""
    return str(record.get("id") or json.dumps(record, sort_keys=True))


def _at(ns: int) -> datetime:
    return _EPOCH + timedelta(microseconds=ns // 1000)


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
