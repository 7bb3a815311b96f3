"""The vendor's flat files as an S3 bucket: list, HEAD, GET, read-only, path style; beside them, under a prefix of their own, what
the vendor has not.

The access key id of a request must be the configured one; signatures are not verified.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from threading import Lock
from urllib.parse import quote
from uuid import uuid4
from xml.sax.saxutils import escape

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from smallcaps.sources.polygon.flatfiles import OWN_PREFIX, PREFIX
from smallcaps.sources.simulator.layout import REPUBLISHED
from smallcaps.sources.simulator.server.faults import nth
from smallcaps.sources.simulator.server.served import Marks
from smallcaps.sources.simulator.server.world import World

BUCKET = "flatfiles"
PAGE = 1_000
BLOCK_BYTES = 1 << 20
ENTITLEMENTS = {"trades_v1": "trades", "quotes_v1": "nbbo"}
_CREDENTIAL = re.compile(r"^AWS4-HMAC-SHA256 Credential=([^/]+)/")
_RANGE = re.compile(r"^bytes=(\d*)-(\d*)$")
_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
EMPTY_MEMBER = gzip.compress(b"", mtime=0)
"""What a republished object has more where the market keeps no later one: a member without rows."""


@dataclass(frozen=True)
class Object:
    """A file of the bucket: the first `length` bytes of the one on disk, and `tail`."""

    key: str
    path: Path
    length: int
    tail: bytes
    etag: str
    modified: float

    @property
    def size(self) -> int:
        """In bytes."""
        return self.length + len(self.tail)


class S3Error(Exception):
    """An error as S3 has it."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Bucket:
    """The flat files of one market."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = Lock()
        self._listings = self._ranged = self._got = 0

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        key = request.path_params.get("key", "")
        try:
            self._check_key(request)
            if not key:
                return self._list(request)
            return self._get(request, self._object(key))
        except S3Error as error:
            self._world.served.refused(_endpoint(key))
            head = request.method == "HEAD"
            return Response(b"" if head else _error_xml(error, request), error.status, media_type="application/xml")

    def _check_key(self, request: Request) -> None:
        found = _CREDENTIAL.match(request.headers.get("authorization", ""))
        if not found or self._world.faults.refuse_key:
            raise S3Error(403, "AccessDenied", "Access Denied")
        if found[1] != self._world.access_key:
            said = "The AWS Access Key Id you provided does not exist in our records."
            raise S3Error(403, "InvalidAccessKeyId", said)

    def _object(self, key: str) -> Object:
        """The object of a key. Raises S3Error."""
        path = self._world.market / key
        if not key.startswith((f"{PREFIX}/", f"{OWN_PREFIX}/")) or ".." in Path(key).parts or not path.is_file():
            raise S3Error(404, "NoSuchKey", "The specified key does not exist.")
        faults = self._world.faults
        replaced = bool(faults.republish) and faults.republish in key and self._listings >= faults.republish_after
        tail = b""
        if replaced:
            later = self._world.market / REPUBLISHED / key
            path, tail = (later, b"") if later.is_file() else (path, EMPTY_MEMBER)
        state = path.stat()
        length = state.st_size // 2 if faults.truncate and faults.truncate in key else state.st_size
        etag = _md5(path, state.st_mtime_ns, length, tail)
        return Object(key, path, length, tail, etag, state.st_mtime)

    def _keys(self) -> list[str]:
        root = self._world.market
        files = (path for prefix in (PREFIX, OWN_PREFIX) for path in (root / prefix).rglob("*.csv.gz"))
        return sorted(str(path.relative_to(root)) for path in files)

    def _list(self, request: Request) -> Response:
        """ListObjectsV2."""
        if request.method == "HEAD":
            return Response(headers={"x-amz-bucket-region": "us-east-1"})
        query = request.query_params
        if "location" in query:
            return _xml(f'<LocationConstraint xmlns="{_NAMESPACE}"/>')
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        most = min(int(query.get("max-keys", PAGE)), PAGE)
        begin = query.get("continuation-token") or query.get("start-after", "")
        entries = _entries(self._keys(), prefix, delimiter)
        rest = [(name, is_folder) for name, is_folder in entries if name > begin]
        given = rest[:most]
        code = quote if query.get("encoding-type") == "url" else escape
        parts = [f"<Name>{BUCKET}</Name><Prefix>{code(prefix)}</Prefix><MaxKeys>{most}</MaxKeys>"]
        parts.append(f"<KeyCount>{len(given)}</KeyCount><IsTruncated>{str(len(rest) > most).lower()}</IsTruncated>")
        if delimiter:
            parts.append(f"<Delimiter>{code(delimiter)}</Delimiter>")
        if query.get("encoding-type"):
            parts.append("<EncodingType>url</EncodingType>")
        if len(rest) > most and given:
            parts.append(f"<NextContinuationToken>{escape(given[-1][0])}</NextContinuationToken>")
        for name, is_folder in given:
            parts.append(
                f"<CommonPrefixes><Prefix>{code(name)}</Prefix></CommonPrefixes>"
                if is_folder
                else _contents(self._object(name), code(name))
            )
        with self._lock:
            self._listings += 1
        self._world.served.answered(_endpoint(""), len(given), keys=[name for name, _ in given])
        return _xml(f'<ListBucketResult xmlns="{_NAMESPACE}">{"".join(parts)}</ListBucketResult>')

    def _get(self, request: Request, found: Object) -> Response:
        """GetObject and HeadObject."""
        wanted = request.headers.get("if-match")
        if wanted and wanted.strip('"') not in (found.etag, "*"):
            raise S3Error(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
        if request.headers.get("if-none-match", "").strip('"') == found.etag:
            return Response(status_code=304)
        first, end, status = 0, found.size, 200
        headers = {
            "ETag": f'"{found.etag}"',
            "Last-Modified": formatdate(found.modified, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        kind = found.key.split("/")[1]
        if kind in ENTITLEMENTS:
            headers["x-amz-meta-entitlement-data-type"] = ENTITLEMENTS[kind]
        if "range" in request.headers:
            self._count_range()
            first, end = _range(request.headers["range"], found.size)
            headers["Content-Range"], status = f"bytes {first}-{end - 1}/{found.size}", 206
        headers["Content-Length"] = str(end - first)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers, media_type="application/gzip")
        marks = [Marks(found.key, 1, [0])]
        self._world.served.answered(_endpoint(found.key), 1, marks)
        with self._lock:
            self._got += 1
            cut = nth(self._got, self._world.faults.object_cut_every)
        blocks = _blocks(found, first, first + (end - first) // 2 if cut else end)
        return StreamingResponse(blocks, status, headers, "application/gzip")

    def _count_range(self) -> None:
        """Raises S3Error where this ranged GET is to be refused."""
        with self._lock:
            self._ranged += 1
            number = self._ranged
        if nth(number, self._world.faults.range_forbidden_every):
            raise S3Error(403, "AccessDenied", "Access Denied")


def _entries(keys: list[str], prefix: str, delimiter: str) -> list[tuple[str, bool]]:
    """Keys under a prefix, those behind a delimiter rolled up into one; in order, with whether it is such a folder."""
    entries: dict[str, bool] = {}
    for key in keys:
        if key.startswith(prefix):
            name, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else (key, "", "")
            entries[prefix + name + found if found else key] = bool(found)
    return sorted(entries.items())


def _endpoint(key: str) -> str:
    """The name in the account: the kind of file, or the listing."""
    parts = key.split("/")
    return f"s3://{BUCKET}/{parts[1]}" if len(parts) > 2 else f"s3://{BUCKET}"


def _listed_time(seconds: float) -> str:
    """An instant as a listing has it, in whole seconds as in Last-Modified."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _contents(found: Object, name: str) -> str:
    return (
        f"<Contents><Key>{name}</Key><LastModified>{_listed_time(found.modified)}</LastModified><ETag>&quot;{found.etag}&quot;</ETag>"
        f"<Size>{found.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def _range(header: str, size: int) -> tuple[int, int]:
    """First byte and the one after the last. Raises S3Error where the range lies outside."""
    found = _RANGE.match(header)
    if found and (found[1] or found[2]):
        first = int(found[1]) if found[1] else max(size - int(found[2]), 0)
        end = min(int(found[2]) + 1, size) if found[1] and found[2] else size
        if first < end:
            return first, end
    raise S3Error(416, "InvalidRange", "The requested range is not satisfiable")


def _blocks(found: Object, first: int, end: int) -> Iterator[bytes]:
    """The bytes from `first` to before `end`."""
    with found.path.open("rb") as file:
        file.seek(first)
        left = min(end, found.length) - first
        while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
            left -= len(block)
            yield block
    if end > found.length:
        yield found.tail[max(first - found.length, 0) : end - found.length]


@lru_cache(maxsize=100_000)
def _md5(path: Path, modified_ns: int, length: int, tail: bytes) -> str:
    """MD5 of an object; a changed file is a new question."""
    digest, left = hashlib.md5(usedforsecurity=False), length
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(BLOCK_BYTES, left))):
            left -= len(block)
            digest.update(block)
    digest.update(tail)
    return digest.hexdigest()


def _xml(body: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', media_type="application/xml")


def _error_xml(error: S3Error, request: Request) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{error.code}</Code><Message>{error.message}</Message>'
        f"<Resource>{escape(request.url.path)}</Resource><RequestId>{uuid4().hex}</RequestId></Error>"
    ).encode()
