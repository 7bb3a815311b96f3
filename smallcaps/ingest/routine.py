"""Everything that is taken in day by day, as named steps; one that fails does not stop the others."""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from smallcaps.config import Settings
from smallcaps.errors import SmallcapsError
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.ingest.rest import Wanted, chosen, ingest_endpoint, service_of
from smallcaps.lake import Lake
from smallcaps.sources.endpoints import ENDPOINTS
from smallcaps.sources.polygon.bucket import FileSource
from smallcaps.sources.polygon.credentials import FRED_VARIABLES, VARIABLES, Key, key_in_environment, read_key
from smallcaps.sources.polygon.endpoints import Source
from smallcaps.sources.polygon.flatfiles import VENDOR_KINDS

Step = tuple[str, Callable[[], Any]]
Keys = Mapping[Source, Key]
_VARIABLES = {Source.VENDOR: VARIABLES, Source.FRED: FRED_VARIABLES}


def has_key(settings: Settings, source: Source) -> bool:
    """Whether a source's key is in the environment, or a secret is named that should hold it."""
    return bool(key_in_environment(_VARIABLES[source])) or service_of(settings, source).secret is not None


def keys_of(settings: Settings, sources: Iterable[Source]) -> Keys:
    """The keys of these sources. Raises as `read_key` does."""
    return {
        source: read_key(service_of(settings, source).secret, _VARIABLES[source], source.value)
        for source in sorted(set(sources))
    }


def rest_steps(lake: Lake, settings: Settings, keys: Keys, names: Sequence[str], want: Wanted) -> list[Step]:
    """A step for each of these endpoints, whose sources' keys are there. Raises BadInput where one cannot be asked."""
    return [
        (endpoint.name, partial(ingest_endpoint, lake, settings, keys[endpoint.source], endpoint, want))
        for endpoint in chosen(names, want)
    ]


def routine_names(sources: Container[Source]) -> list[str]:
    """The endpoints of these sources that `ingest all` asks."""
    return [name for name, endpoint in ENDPOINTS.items() if endpoint.routine and endpoint.source in sources]


def routine_steps(lake: Lake, settings: Settings, keys: Keys, files: FileSource, want: Wanted) -> list[Step]:
    """What `ingest all` does, in order: each source of the day adds its steps here. A source without a key is left out."""
    return [*rest_steps(lake, settings, keys, routine_names(keys), want), *file_steps(lake, settings, files, want)]


def file_steps(lake: Lake, settings: Settings, files: FileSource, want: Wanted) -> list[Step]:
    """A step for each kind of the vendor's flat files."""
    return [
        (kind, partial(ingest_flatfiles, lake, settings, files, [kind], want.first, want.last, want.symbols))
        for kind in VENDOR_KINDS
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
