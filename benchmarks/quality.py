"""What the quality suites cost: refining the sample's trades with and without them.

python benchmarks/quality.py [--rounds 3]

Takes the sample's trades and quotes of 2013-10-07 and 2013-10-08 into a lake, then refines them in one session, each round once
without and once with suites, each time into silver that is not there yet. The first round warms the session up and is not
counted; what loading Great Expectations costs a process, once, is told apart. The figure is the best of the rounds. Beside it,
what the suites took within a run by the clock, which noise of the machine between two runs does not touch. It is an upper
bound: rows that were not judged one by one are computed while their suite is judged.
"""

import argparse
import shutil
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from smallcaps.config import load_settings
from smallcaps.demo import SAMPLE
from smallcaps.ingest.flatfiles import ingest_flatfiles
from smallcaps.lake import Lake, Run
from smallcaps.lake.suites import great_expectations
from smallcaps.refine.job import refine
from smallcaps.sources.polygon.bucket import Folder
from smallcaps.spark import open_session


class TimedSuites:
    """Adds up the seconds that runs spend in suites."""

    def __init__(self) -> None:
        self.seconds = 0.0
        check = Run._check

        def timed(run: Run, *arguments: object) -> None:
            started = time.perf_counter()
            check(run, *arguments)
            self.seconds += time.perf_counter() - started

        Run._check = timed


FIRST, LAST = date(2013, 10, 7), date(2013, 10, 8)


def main() -> int:
    """Run and print; the exit status says whether the suites cost less than the refinement."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(lake=f"{folder}/lake")
        spark = open_session(settings)
        started = time.perf_counter()
        great_expectations()
        print(f"loading Great Expectations: {time.perf_counter() - started:.1f} s")
        lakes = {suites: Lake(settings.lake, spark, suites) for suites in (False, True)}
        taken = ingest_flatfiles(
            lakes[False], settings, Folder(str(SAMPLE)), ["trades_v1", "quotes_v1"], FIRST, LAST, None
        )
        print(taken)
        best, clock, inside = dict.fromkeys(lakes, float("inf")), TimedSuites(), []
        for turn in range(rounds + 1):
            for suites, lake in lakes.items():
                for layer in ("silver", "ops"):
                    shutil.rmtree(Path(lake.root) / layer, ignore_errors=True)
                started, clock.seconds = time.perf_counter(), 0.0
                refine(lake, settings, FIRST, LAST)
                seconds = time.perf_counter() - started
                told = (
                    f"with suites {seconds:6.2f} s, {clock.seconds:.2f} s in them"
                    if suites
                    else f"without {seconds:6.2f} s"
                )
                print(f"  {told}{'' if turn else ' (warm-up)'}", flush=True)
                if turn:
                    best[suites] = min(best[suites], seconds)
                    inside += [clock.seconds / (seconds - clock.seconds)] if suites else []
        spark.stop()
    cost = best[True] - best[False]
    print(f"refine {best[False]:.2f} s, with suites {best[True]:.2f} s: suites / refine {cost / best[False]:.2f}")
    print(f"by the clock within a run, at best: {min(inside):.2f}")
    return 0 if cost < best[False] and min(inside) < 1 else 1


if __name__ == "__main__":
    sys.exit(main())
