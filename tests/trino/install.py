"""Put the pinned Trino into a folder: python tests/trino/install.py FOLDER. Of its 821 MB what reads Delta tables is kept."""

import hashlib
import shutil
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path

VERSION = "476"
SHA256 = "cfd5accde17e8ebd251eeeb78aed1f490e77bb3a164d95a0f454bf8a7c1cbd3f"  # pragma: allowlist secret
ORIGIN = "https://repo1.maven.org/maven2/io/trino/trino-server"
NAME = f"trino-server-{VERSION}"
KEPT = (f"{NAME}/lib/", f"{NAME}/plugin/delta-lake/", f"{NAME}/LICENSE", f"{NAME}/NOTICE")
TIMEOUT_SECONDS, PIECE = 300, 1 << 20


def main(folder: Path) -> None:
    """Fetch, check, unpack."""
    address = f"{ORIGIN}/{VERSION}/{NAME}.tar.gz"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        found = hashlib.sha256()
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as answer:
                while piece := answer.read(PIECE):
                    found.update(piece)
                    file.write(piece)
        except OSError as error:
            raise SystemExit(f"{address} could not be fetched ({error}). Check the network and run again.") from error
        if found.hexdigest() != SHA256:
            raise SystemExit(f"{address} is not the archive locked: SHA-256 {found.hexdigest()}, expected {SHA256}.")
        file.seek(0)
        shutil.rmtree(folder / NAME, ignore_errors=True)
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            archive.extractall(folder, (one for one in archive if one.name.startswith(KEPT)), filter="data")
    print(f"Trino {VERSION} is in {folder / NAME}.")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
