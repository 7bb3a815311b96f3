"""A server that speaks AWS's protocols: moto's."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from smallcaps.errors import FailedDependency
from smallcaps.ports import HOST, free_port

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
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise FailedDependency("moto_server did not start.") from None
                time.sleep(0.1)
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
