"""Files on the local disk and on S3 through one interface (pyarrow's)."""

import os
from pathlib import Path

from pyarrow import fs


def open_filesystem(location: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or an s3:// / s3a:// URL, and the path inside it.

    S3 credentials come from the environment, the endpoint from AWS_ENDPOINT_URL where one is set.
    """
    scheme, separator, rest = location.partition("://")
    if separator and scheme in ("s3", "s3a"):
        endpoint = os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION", "us-east-1")
        if endpoint is None:
            return fs.S3FileSystem(region=region), rest.rstrip("/")
        plain = endpoint.startswith("http://")
        host = endpoint.partition("://")[2]
        return fs.S3FileSystem(region=region, endpoint_override=host, scheme="http" if plain else "https"), rest.rstrip(
            "/"
        )
    if separator and scheme == "file":
        location = rest
    return fs.LocalFileSystem(), str(Path(location).expanduser().resolve())
