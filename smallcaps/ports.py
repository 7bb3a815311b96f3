"""The loopback, which nobody else's machine reaches, and its ports."""

import socket
import subprocess
import time

from smallcaps.errors import FailedDependency

HOST = "127.0.0.1"


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def require_free(*ports: int) -> None:
    """Raises FailedDependency where somebody listens on one of these ports of the loopback."""
    for port in ports:
        with socket.socket() as probe:
            # A server that has just ended leaves its port behind for a while, which keeps no other from it.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                raise FailedDependency(
                    f"Another program listens on {HOST}:{port}. Stop it, or choose another port."
                ) from error


def await_listener(name: str, port: int, server: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Wait until the server `name` listens on its port of the loopback.

    Raises FailedDependency where it has ended before, or does not within `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise FailedDependency(f"{name} did not start.") from None
            time.sleep(0.1)
        else:
            return
