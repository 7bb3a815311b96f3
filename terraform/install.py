"""Put the pinned Terraform into a folder: python terraform/install.py FOLDER. What arrives is checked against terraform.lock."""

import argparse
import hashlib
import io
import platform
import sys
import urllib.request
import zipfile
from pathlib import Path

LOCK = Path(__file__).with_name("terraform.lock")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
TIMEOUT_SECONDS = 300


def locked(system: str) -> tuple[str, str]:
    """Version and SHA-256 of the archive for a platform, such as linux_amd64."""
    lines = [line.split() for line in LOCK.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    found = {name: (version, sha256) for version, name, sha256 in lines}
    if system not in found:
        raise SystemExit(f"Terraform is not locked for {system}: install 1.11 or later yourself and put it on PATH.")
    return found[system]


def main() -> None:
    """Fetch, check, unpack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--origin", default="https://releases.hashicorp.com", help="where the archives are")
    arguments = parser.parse_args()
    system = f"{sys.platform}_{MACHINES.get(platform.machine(), platform.machine())}"
    version, sha256 = locked(system)
    address = f"{arguments.origin}/terraform/{version}/terraform_{version}_{system}.zip"
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - its sum is checked
            archive = answer.read()
    except OSError as error:
        raise SystemExit(f"{address} could not be fetched ({error}). Check the network and run again.") from error
    if (found := hashlib.sha256(archive).hexdigest()) != sha256:
        raise SystemExit(f"{address} is not the archive locked: SHA-256 {found}, expected {sha256}.")
    with zipfile.ZipFile(io.BytesIO(archive)) as unpacked:
        binary = Path(unpacked.extract("terraform", arguments.folder))
    binary.chmod(0o755)
    print(f"Terraform {version} is in {arguments.folder}.")


if __name__ == "__main__":
    main()
