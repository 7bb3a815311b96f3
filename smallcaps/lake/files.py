"""Files on the local disk and on S3 through one interface (pyarrow's); what delta-rs must be told of S3."""

from pathlib import Path

from pyarrow import fs

from smallcaps.config import s3_endpoint, s3_region


def open_filesystem(location: str) -> tuple[fs.FileSystem, str]:
    """The file system of a path or an s3:// / s3a:// URL, and the path inside it.

    S3 credentials come from the environment, the endpoint from AWS_ENDPOINT_URL where one is set.
    """
    scheme, separator, rest = location.partition("://")
    if separator and scheme in ("s3", "s3a"):
        place, endpoint, region = rest.rstrip("/"), s3_endpoint(), s3_region()
        if endpoint is None:
            return fs.S3FileSystem(region=region), place
        protocol, _, host = endpoint.rpartition("://")
        return fs.S3FileSystem(region=region, endpoint_override=host, scheme=protocol or "https"), place
    if separator and scheme == "file":
        location = rest
    return fs.LocalFileSystem(), str(Path(location).expanduser().resolve())


def storage_options(location: str) -> dict[str, str]:
    """Settings of delta-rs for a path or URL, from the same places as `open_filesystem`'s.

    Commits are conditional PUTs, as Spark's are (spark/log_store.py): the two kinds of writer exclude each other.
    """
    if not location.startswith(("s3://", "s3a://")):
        return {}
    options, endpoint = {"AWS_REGION": s3_region(), "AWS_CONDITIONAL_PUT": "etag"}, s3_endpoint()
    if endpoint is not None:
        options |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower()}
    return options
