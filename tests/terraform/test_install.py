"""Terraform as it is fetched: the archive that is locked and no other."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

LINE = re.compile(r"^(\S+) (\w+) ([0-9a-f]{64})$", re.MULTILINE)


@pytest.fixture
def install(tmp_path: Path) -> Path:
    """The script in a folder of its own, with archives for every locked platform that its lock names, and `served/` to serve."""
    for name in ("install.py", "terraform.lock"):
        shutil.copy(REPOSITORY / "terraform" / name, tmp_path)
    lock = (tmp_path / "terraform.lock").read_text()
    for version, system, sha256 in LINE.findall(lock):
        folder = tmp_path / "served" / "terraform" / version
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / f"terraform_{version}_{system}.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr("terraform", f"#!/bin/sh\necho {system}\n")
        lock = lock.replace(sha256, hashlib.sha256(archive.read_bytes()).hexdigest())
    (tmp_path / "terraform.lock").write_text(lock)
    return tmp_path


@pytest.fixture
def origin(install: Path) -> Iterator[str]:
    """A server of these archives."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(install / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def run(install: Path, origin: str) -> subprocess.CompletedProcess[str]:
    """The script, with `bin` as its folder."""
    command = [sys.executable, str(install / "install.py"), str(install / "bin"), "--origin", origin]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_lock_names_one_version_once_a_platform() -> None:
    lines = LINE.findall((REPOSITORY / "terraform" / "terraform.lock").read_text())
    assert len({version for version, _, _ in lines}) == 1
    assert len({system for _, system, _ in lines}) == len({sha256 for _, _, sha256 in lines}) == len(lines) >= 4


def test_the_locked_archive_becomes_a_program(install: Path, origin: str) -> None:
    done = run(install, origin)
    assert done.returncode == 0, done.stderr
    binary = install / "bin" / "terraform"
    assert os.access(binary, os.X_OK)
    assert subprocess.run([str(binary)], capture_output=True, text=True, check=True).stdout.startswith(sys.platform)


def test_another_archive_is_refused(install: Path, origin: str) -> None:
    lock = install / "terraform.lock"
    lock.write_text(LINE.sub(rf"\1 \2 {'0' * 64}", lock.read_text()))
    done = run(install, origin)
    assert done.returncode == 1
    assert "is not the archive locked" in done.stderr
    assert not (install / "bin").exists()


def test_without_a_network_one_sentence_says_so(install: Path) -> None:
    done = run(install, "http://127.0.0.1:9")
    assert done.returncode == 1
    assert "Check the network and run again" in done.stderr
    assert "Traceback" not in done.stderr
