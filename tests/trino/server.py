"""A Trino server on the loopback, of one node, with a catalog `lake` whose tables lie in a folder."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smallcaps.ports import HOST, free_port

START_SECONDS = 180.0


@contextmanager
def trino_server(trino: Path, java: Path, lake: Path, folder: Path) -> Iterator[int]:
    """Trino of the folder `trino`, its own files in `folder`; yields the port. `local:///` of the catalog is `lake`."""
    port = free_port()
    (folder / "catalog").mkdir(parents=True)
    (folder / "config.properties").write_text(
        f"node.environment=test\nnode.id=one\nnode.bind-ip={HOST}\nnode.internal-address={HOST}\n"
        f"coordinator=true\nnode-scheduler.include-coordinator=true\nhttp-server.http.port={port}\n"
        f"discovery.uri=http://{HOST}:{port}\nplugin.dir={trino / 'plugin'}\ncatalog.config-dir={folder / 'catalog'}\n"
    )
    (folder / "catalog" / "lake.properties").write_text(
        f"connector.name=delta_lake\nhive.metastore=file\nhive.metastore.catalog.dir=local:///metastore\n"
        f"fs.native-local.enabled=true\nlocal.location={lake}\ndelta.register-table-procedure.enabled=true\n"
    )
    own = ["-Xmx2g", "-Djdk.attach.allowAttachSelf=true", f"-Dconfig={folder / 'config.properties'}"]
    command = [str(java), *own, "-cp", str(trino / "lib" / "*"), "io.trino.server.TrinoServer"]
    log = folder / "trino.log"
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Trino did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.5)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/v1/info", timeout=5) as answer:
            return not json.loads(answer.read())["starting"]
    except OSError:
        return False
