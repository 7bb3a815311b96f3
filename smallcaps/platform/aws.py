"""A server that speaks AWS's protocols: moto's."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from smallcaps.ports import HOST, await_listener, free_port

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key-of-this-machine", "AWS_SECRET_ACCESS_KEY": "secret-of-this-machine"}
REGION = "us-east-1"
START_SECONDS = 60.0


@contextmanager
def aws_server() -> Iterator[dict[str, str]]:
    """moto's server on the loopback, in a process of its own; yields the environment that its clients need."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", HOST, "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        await_listener("moto_server", port, server, START_SECONDS)
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{HOST}:{port}", "AWS_REGION": REGION}
    finally:
        server.terminate()
        server.wait(timeout=30)


@contextmanager
def open_bucket(outputs: Mapping[str, Any]) -> Iterator[None]:
    """Within, the lake's bucket has no policy: moto knows no conditions, so it takes "nothing without TLS" for nothing."""
    bucket, s3 = outputs["buckets"]["lake"], boto3.client("s3")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    try:
        yield
    finally:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy)
