"""MLflow's server."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smallcaps.ports import HOST, await_listener, free_port

START_SECONDS = 120.0


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """MLflow's server on the loopback, in a process of its own, with runs and files in `folder`; yields its address.

    It asks nobody who he is: for tests and demos. Raises FailedDependency where it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "files")]
    with (folder / "server.log").open("ab") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # Its own jobs, of which we have none, would take a process each and a part of a core.
            env=os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
    try:
        await_listener(f"MLflow's server (its log is {folder}/server.log)", port, server, START_SECONDS)
        yield f"http://{HOST}:{port}"
    finally:
        # It has children.
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)
