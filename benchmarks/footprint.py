"""Wall time of a command, and the largest sum of resident memory of its processes, sampled each second.

python benchmarks/footprint.py make demo
"""

import contextlib
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def resident_bytes(root: psutil.Process) -> int:
    """Resident memory of a process and all below it. Pages that they share count once for each."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def peak_alone(work: Callable[..., None], *arguments: object, since: Path | None = None) -> int:
    """The most resident memory of `work` in a process of its own and of all below it, from when `since` is there.

    Raises SystemExit where the process fails.
    """
    process, peak = multiprocessing.get_context("spawn").Process(target=work, args=arguments), 0
    process.start()
    root = psutil.Process(process.pid)
    while process.is_alive():
        if since is None or since.exists():
            peak = max(peak, resident_bytes(root))
        time.sleep(0.2)
    process.join()
    if process.exitcode:
        raise SystemExit(f"The process that was measured failed with exit code {process.exitcode}.")
    return peak


def main(command: list[str]) -> int:
    """Run the command; returns its exit code."""
    started, peak = time.monotonic(), 0
    process = subprocess.Popen(command)
    root = psutil.Process(process.pid)
    while process.poll() is None:
        peak = max(peak, resident_bytes(root))
        time.sleep(1)
    print(f"{time.monotonic() - started:.0f} s, at most {peak / 1e9:.1f} GB resident, exit code {process.returncode}")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
