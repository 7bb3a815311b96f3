"""What a Python task costs that does nothing: with Spark's own daemon of workers, and with ours.

python benchmarks/python_tasks.py [--tasks 200] [--rounds 3]

Each has a session of its own, one after the other. The first stage starts the workers and is told apart; the figure is the best
of the others. The exit status says whether ours is no dearer.
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator

import pyarrow as pa
from pyspark.sql import SparkSession

from smallcaps.config import load_settings
from smallcaps.spark import open_session

DAEMONS = {"Spark's": "pyspark.daemon", "ours": "smallcaps.python_workers"}


def nothing(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows as they are, as a module's function that has to be imported."""
    yield from batches


def seconds(spark: SparkSession, tasks: int) -> float:
    """Of a stage of so many tasks."""
    started = time.perf_counter()
    spark.range(0, tasks, 1, tasks).mapInArrow(nothing, "id bigint").collect()
    return time.perf_counter() - started


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    settings, best = load_settings(), {}
    for name, module in DAEMONS.items():
        conf = settings.spark.conf | {"spark.python.daemon.module": module}
        spark = open_session(settings.model_copy(update={"spark": settings.spark.model_copy(update={"conf": conf})}))
        first = seconds(spark, 2)
        best[name] = min(seconds(spark, asked.tasks) for _ in range(asked.rounds)) / asked.tasks
        spark.stop()
        print(f"{name} daemon: first stage {first:.1f} s, then {best[name] * 1000:.0f} ms a task")
    ratio = best["ours"] / best["Spark's"]
    print(f"ours / Spark's: {ratio:.2f}")
    return 0 if ratio <= 1 else 1


if __name__ == "__main__":
    sys.exit(main())
