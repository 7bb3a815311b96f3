"""The vendor's flat files: in a folder (or a bucket of ours) laid out like theirs, or in the vendor's own bucket.

The vendor's bucket has its own endpoint and pair of keys. A file is read in one GET; where that breaks off, the rest is asked
for by range on condition that the object is still the same; where the vendor answers a range with 403, or the object was
republished meanwhile, the file starts again (POLYGON.md 3). A file that is listed says by its ETag whether it is the one
that was taken in before.
"""

import hashlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

import pyarrow as pa

from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake.files import open_filesystem
from smallcaps.sources.polygon.credentials import KeyPair
from smallcaps.sources.polygon.flatfiles import (
    BLOCK_BYTES,
    FlatFile,
    copy_with_checksum,
    flat_file,
    folder_of,
    list_files,
)

OpenTarget = Callable[[], pa.NativeFile]

REGION = "us-east-1"
ATTEMPTS = 6
BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.5, 30.0
CONNECT_SECONDS, READ_SECONDS = 10, 60


class FileSource(Protocol):
    """Where flat files are. Can be sent to executors."""

    @property
    def name(self) -> str:
        """What it is called in messages and in the record of a run."""
        ...

    def files(self, kinds: Sequence[str], first: date, last: date) -> list[FlatFile]:
        """The files of `kinds` from `first` to `last`, in order of kind and day."""
        ...

    def copy(self, path: str, etag: str | None, open_target: OpenTarget) -> tuple[str, int]:
        """Copy one in constant memory to what `open_target` opens; returns SHA-256 and size in bytes.

        A file that has to start again opens its target again, which must be empty then.
        """
        ...


@dataclass(frozen=True)
class Folder:
    """A folder, or a bucket of ours (s3://…), under which `us_stocks_sip/` lies."""

    root: str

    @property
    def name(self) -> str:
        """Its location."""
        return self.root

    def files(self, kinds: Sequence[str], first: date, last: date) -> list[FlatFile]:
        """As FileSource has it; without ETags, so that every run takes every file."""
        return list_files(*open_filesystem(self.root), kinds, first, last)

    def copy(self, path: str, etag: str | None, open_target: OpenTarget) -> tuple[str, int]:
        """As FileSource has it."""
        with open_filesystem(self.root)[0].open_input_stream(path, compression=None) as source, open_target() as target:
            return copy_with_checksum(source, target)


@dataclass(frozen=True)
class VendorBucket:
    """The vendor's own bucket at `endpoint` (https://host), read with its own pair of keys.

    Each request is made `attempts` times at most.
    """

    endpoint: str
    bucket: str
    keys: KeyPair
    attempts: int = ATTEMPTS

    @property
    def name(self) -> str:
        """URL of the bucket."""
        return f"{self.endpoint}/{self.bucket}"

    def files(self, kinds: Sequence[str], first: date, last: date) -> list[FlatFile]:
        """As FileSource has it. Raises BadInput where the keys are refused, FailedDependency where nobody answers."""
        client = self._client()
        found = []
        for kind in kinds:
            for year, month in _months(first, last):
                for page in self._pages(client, f"{folder_of(kind)}/{year}/{month:02d}/"):
                    listed = [
                        flat_file(kind, one["Key"], int(one["Size"]), one["ETag"].strip('"'))
                        for one in page.get("Contents", ())
                    ]
                    found += [file for file in listed if file is not None and first <= file.session_date <= last]
        return sorted(found, key=lambda file: (kinds.index(file.kind), file.session_date))

    def copy(self, path: str, etag: str | None, open_target: OpenTarget) -> tuple[str, int]:
        """As FileSource has it; `etag` is the one that was listed.

        Raises BadInput where the plan does not cover the file, FailedDependency where it cannot be had whole.
        """
        target, digest, size = open_target(), hashlib.sha256(), 0
        try:
            for block in self._blocks(path, etag):
                if block is None:
                    target.close()
                    target, digest, size = open_target(), hashlib.sha256(), 0
                else:
                    digest.update(block)
                    target.write(block)
                    size += len(block)
        finally:
            target.close()
        return digest.hexdigest(), size

    def _blocks(self, path: str, etag: str | None) -> Iterator[bytes | None]:
        """The bytes of an object in order; None where they start again from the first."""
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        client, place = self._client(), f"{self.name}/{path}"
        read, refused, trouble = 0, False, ""
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(random.uniform(0.5, 1) * min(BACKOFF_SECONDS * 2**attempt, LONGEST_BACKOFF_SECONDS))
            asked = {"Bucket": self.bucket, "Key": path}
            asked |= {"IfMatch": etag} if etag else {}
            asked |= {"Range": f"bytes={read}-"} if read else {}
            try:
                for block in client.get_object(**asked)["Body"].iter_chunks(BLOCK_BYTES):
                    read += len(block)
                    yield block
                return
            except ClientError as error:
                status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
                trouble = f"status {status}"
                if status in (404, 412):
                    raise FailedDependency(f"{place} was replaced since it was listed. Run again.") from error
                if status == 403 and read:
                    # Ranges are refused now and then; the whole file is not.
                    read = 0
                    yield None
                elif status == 403 and refused:
                    raise BadInput(f"The vendor's plan does not cover {place}, or the keys are wrong.") from error
                elif status == 403:
                    refused = True
            except (BotoCoreError, HTTPError, OSError) as error:
                trouble = type(error).__name__
        raise FailedDependency(f"{place} could not be read in {self.attempts} attempts, at last: {trouble}. Try later.")

    def _pages(self, client: Any, prefix: str) -> Iterator[dict[str, Any]]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield from client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        except ClientError as error:
            said = error.response.get("Error", {}).get("Code", "no reason given")
            raise BadInput(f"The vendor refuses the keys for {self.name}: {said}.") from error
        except BotoCoreError as error:
            raise FailedDependency(f"{self.name} cannot be listed: {error}. Try later.") from error

    def _client(self) -> Any:
        import boto3
        from botocore.config import Config

        config = Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            retries={"total_max_attempts": self.attempts, "mode": "standard"},
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            response_checksum_validation="when_required",
        )
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=self.keys.access_key_id,
            aws_secret_access_key=self.keys.secret_access_key,
            config=config,
        )


def _months(first: date, last: date) -> list[tuple[int, int]]:
    months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
    return [(month // 12, month % 12 + 1) for month in months]
