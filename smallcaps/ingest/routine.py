"""Everything that is taken in day by day, as named steps; one that fails does not stop the others."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from smallcaps.config import Settings
from smallcaps.errors import SmallcapsError
from smallcaps.ingest.flatfile_rows import BRONZE
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.ingest.rest import Wanted, chosen, ingest_endpoint
from smallcaps.lake import Lake
from smallcaps.sources.polygon.bucket import FileSource
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import ENDPOINTS

Step = tuple[str, Callable[[], Any]]


def rest_steps(lake: Lake, settings: Settings, key: Key, names: Sequence[str], want: Wanted) -> list[Step]:
    """A step for each of these endpoints. Raises BadInput where one cannot be asked."""
    return [
        (endpoint.name, partial(ingest_endpoint, lake, settings, key, endpoint, want))
        for endpoint in chosen(names, want)
    ]


def routine_steps(lake: Lake, settings: Settings, key: Key, files: FileSource, want: Wanted) -> list[Step]:
    """What `ingest all` does, in order: each source of the day adds its steps here."""
    rest = rest_steps(lake, settings, key, [name for name, endpoint in ENDPOINTS.items() if endpoint.routine], want)
    return [*rest, *file_steps(lake, settings, files, want)]


def file_steps(lake: Lake, settings: Settings, files: FileSource, want: Wanted) -> list[Step]:
    """A step for each kind of flat file."""
    return [
        (kind, partial(ingest_flatfiles, lake, settings, files, [kind], want.first, want.last, want.symbols))
        for kind in BRONZE
    ]


def carry_out(
    steps: Sequence[Step], around: Callable[[str, Callable[[], Any]], Any] = lambda _, work: work()
) -> dict[str, Any]:
    """Do the steps in order, each inside `around` (title, work); returns what they came to by name.

    After the last one, raises the worst kind of error there was (a failed dependency, then bad data, then bad input), with
    all that failed in its words.
    """
    results, failed = {}, {}
    for name, work in steps:
        try:
            results[name] = around(name, work)
        except SmallcapsError as error:
            failed[name] = error
    if failed:
        worst = max(failed.values(), key=lambda error: error.exit_code)
        told = "\n".join(f"{name}: {error}" for name, error in failed.items())
        raise type(worst)(f"{len(failed)} of {len(steps)} failed.\n{told}" if len(steps) > 1 else told) from worst
    return results
