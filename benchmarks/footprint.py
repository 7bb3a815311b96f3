"""Wall time of a command, and the largest sum of resident memory of its processes, sampled each second.

python benchmarks/footprint.py make demo
"""

import contextlib
import subprocess
import sys
import time

import psutil


def resident_bytes(root: psutil.Process) -> int:
    """Resident memory of a process and all below it. Pages that they share count once for each."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


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
