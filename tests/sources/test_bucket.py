"""The vendor's bucket of flat files, read from the simulated vendor: whole, by ETag, through its faults."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from smallcaps.errors import BadInput, FailedDependency
from smallcaps.sources.polygon import bucket
from smallcaps.sources.polygon.bucket import Folder, VendorBucket
from smallcaps.sources.polygon.credentials import KeyPair
from smallcaps.sources.simulator.server import ACCESS_KEY, Faults, Place, running
from tests.sources.simulator.server.market import DAYS, FRIDAY, KEY, MONDAY, THURSDAY, flat_file, write_market

KINDS = ("day_aggs_v1", "trades_v1")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bucket") / "market"
    write_market(folder)
    return folder


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def serve(market: Path) -> Iterator[Callable[..., Place]]:
    open_servers = []

    def start(**faults: object) -> Place:
        server = running(market, KEY, faults=Faults.of(faults))
        open_servers.append(server)
        return server.__enter__()

    yield start
    for server in open_servers:
        server.__exit__(None, None, None)


def vendor(place: Place, access_key_id: str = ACCESS_KEY) -> VendorBucket:
    return VendorBucket(place.origin, "flatfiles", KeyPair(access_key_id, "unverified"))


def copied(source: VendorBucket | Folder, path: str, etag: str | None, target: Path) -> tuple[str, int]:
    return source.copy(path, etag, lambda: fs.LocalFileSystem().open_output_stream(str(target), compression=None))


def test_files_are_listed_by_kind_and_day_with_their_etags(serve: Callable[..., Place], market: Path) -> None:
    files = vendor(serve()).files(KINDS, THURSDAY, FRIDAY)
    assert [(file.kind, file.session_date) for file in files] == [
        (kind, day) for kind in KINDS for day in (THURSDAY, FRIDAY)
    ]
    for file in files:
        content = flat_file(market, file.kind, file.session_date).read_bytes()
        assert (file.size, file.etag) == (len(content), hashlib.md5(content).hexdigest())
        assert file.path == f"us_stocks_sip/{file.kind}/2026/06/{file.session_date}.csv.gz"


def test_a_folder_lists_the_same_files_without_etags(serve: Callable[..., Place], market: Path) -> None:
    there = Folder(str(market)).files(KINDS, DAYS[0], DAYS[-1])
    remote = vendor(serve()).files(KINDS, DAYS[0], DAYS[-1])
    assert [(file.kind, file.session_date, file.size) for file in there] == [
        (file.kind, file.session_date, file.size) for file in remote
    ]
    assert {file.etag for file in there} == {None}


@pytest.mark.parametrize(
    "faults",
    [
        {},
        {"object_cut_every": 2},  # The second GET breaks off, the third asks for the rest.
        {"object_cut_every": 2, "range_forbidden_every": 1},  # Ranges are refused: the file starts again.
    ],
)
def test_a_file_comes_whole_through_cuts_and_refused_ranges(
    serve: Callable[..., Place], market: Path, tmp_path: Path, faults: dict[str, int]
) -> None:
    source, content = vendor(serve(**faults)), flat_file(market, "trades_v1", MONDAY).read_bytes()
    (file,) = source.files(["trades_v1"], MONDAY, MONDAY)
    for attempt in range(2):
        target = tmp_path / str(attempt)
        assert copied(source, file.path, file.etag, target) == (hashlib.sha256(content).hexdigest(), len(content))
        assert target.read_bytes() == content


def test_a_file_that_was_replaced_since_the_listing_is_not_taken_for_the_listed_one(
    serve: Callable[..., Place], tmp_path: Path
) -> None:
    source = vendor(serve(republish="trades_v1", republish_after=1))
    (old,) = vendor(serve()).files(["trades_v1"], MONDAY, MONDAY)
    while (new := source.files(["trades_v1"], MONDAY, MONDAY)[0]) == old:
        pass  # The listing that shows the later file is the second one.
    assert (new.etag, new.size) != (old.etag, old.size)
    with pytest.raises(FailedDependency, match="replaced since it was listed"):
        copied(source, old.path, old.etag, tmp_path / "file")


def test_a_file_that_always_breaks_off_is_a_failed_dependency(serve: Callable[..., Place], tmp_path: Path) -> None:
    source = vendor(serve(object_cut_every=1, range_forbidden_every=1))
    (file,) = source.files(["trades_v1"], MONDAY, MONDAY)
    with pytest.raises(FailedDependency, match="could not be read in 6 attempts"):
        copied(source, file.path, file.etag, tmp_path / "file")


def test_refused_keys_are_bad_input_and_shown_nowhere(serve: Callable[..., Place], tmp_path: Path) -> None:
    source = vendor(serve(), "somebody-elses")
    with pytest.raises(BadInput, match="refuses the keys") as caught:
        source.files(KINDS, THURSDAY, MONDAY)
    assert "somebody-elses" not in str(caught.value) + repr(source)
    with pytest.raises(BadInput, match="does not cover"):
        copied(source, "us_stocks_sip/trades_v1/2026/06/2026-06-08.csv.gz", None, tmp_path / "file")


def test_a_bucket_where_nobody_answers_is_a_failed_dependency(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "ATTEMPTS", 1)
    with pytest.raises(FailedDependency, match="cannot be listed"):
        VendorBucket("http://127.0.0.1:9", "flatfiles", KeyPair("a", "b")).files(KINDS, THURSDAY, MONDAY)


def test_a_full_disk_is_no_fault_of_the_vendors(serve: Callable[..., Place]) -> None:
    source = vendor(serve())
    (file,) = source.files(["trades_v1"], MONDAY, MONDAY)
    with pytest.raises(OSError, match="No space left"):
        copied(source, file.path, file.etag, Path("/dev/full"))
