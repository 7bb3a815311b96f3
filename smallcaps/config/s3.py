"""Which S3 server is meant: Spark and pyarrow ask here, so that both talk to the same one."""

import os


def s3_endpoint() -> str | None:
    """URL of a server other than Amazon's (AWS_ENDPOINT_URL); None: Amazon's."""
    return os.environ.get("AWS_ENDPOINT_URL") or None


def s3_region() -> str:
    """AWS_REGION, else us-east-1."""
    return os.environ.get("AWS_REGION", "us-east-1")
