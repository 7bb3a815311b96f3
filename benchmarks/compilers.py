"""What Java's second compiler costs a short job: the sample's ticks refined and searched, with it late and by Java's own choice.

python benchmarks/compilers.py [--rounds 3]

Each round is a process of its own with a Java of its own, as a command is. `late` is what a session on this machine has
(LATE_SECOND_COMPILER), `never` has the first compiler alone, as tests have where they start commands. The figures are medians.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from multiprocessing.connection import Connection

import psutil

from smallcaps.config import load_settings
from smallcaps.demo import steps
from smallcaps.lake import Lake
from smallcaps.platform.checkout import REPOSITORY
from smallcaps.spark import open_session, session

CHOICES = {
    "late": session.LATE_SECOND_COMPILER,
    "Java's own": "",
    "never": session.FIRST_COMPILER_ALONE,
}
STEPS = ("ingest trades and quotes", "refine trades and quotes", "detect minute", "detect trade")


def work(choice: str, answer: Connection) -> None:
    """Say how long the steps took and how much processor time their Java."""
    session.LATE_SECOND_COMPILER = CHOICES[choice]
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings("local", lake=folder)
        began = time.monotonic()
        lake = Lake(settings.lake, open_session(settings))
        for name, step in steps(lake, settings, REPOSITORY / "data" / "sample", REPOSITORY):
            if name in STEPS:
                step()
        seconds = time.monotonic() - began
        javas = [one.cpu_times() for one in psutil.Process().children(recursive=True) if "java" in one.name()]
        answer.send((seconds, sum(one.user + one.system for one in javas)))
        lake.spark.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    found: dict[str, list[tuple[float, float]]] = {choice: [] for choice in CHOICES}
    for _ in range(parser.parse_args().rounds):
        for choice in CHOICES:
            here, there = multiprocessing.Pipe()
            process = multiprocessing.get_context("spawn").Process(target=work, args=(choice, there))
            process.start()
            found[choice].append(here.recv())
            process.join()
    medians = {choice: [statistics.median(one) for one in zip(*pairs, strict=True)] for choice, pairs in found.items()}
    for choice, (clock, processor) in medians.items():
        late_clock, late_processor = medians["late"]
        ratios = f"{clock / late_clock:.2f} and {processor / late_processor:.2f} of what late took"
        print(f"{choice}: {clock:.0f} s, processor {processor:.0f} s: {ratios}")


if __name__ == "__main__":
    main()
