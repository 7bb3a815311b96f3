"""How long Spark takes to plan the detectors' statements: nested, as they are run, against WITH, as they are printed.

python benchmarks/planning.py [--rounds 5]

Each is what `smallcaps.detectors.detect.events` does over a frame without rows: the statement, the columns of gold.events out of
it, and the physical plan. The two take turns; the figure is the median of the rounds after a first one that is not counted, with
the processor seconds of the planning thread beside. A stream plans such a statement for every batch.
"""

import argparse
import statistics
import time

from pyspark.sql import SparkSession

from smallcaps.config import Settings, load_settings
from smallcaps.detectors.detect import INPUT_TABLE, run_statement, statement_of
from smallcaps.lake import declared
from smallcaps.spark import open_session


def plan(spark: SparkSession, text: str) -> None:
    """What `events` does before rows flow."""
    columns = [column.name for column in declared("gold.events").columns]
    spark.sql(text).select(*columns, "number").drop("number")._jdf.queryExecution().executedPlan()


def timed(spark: SparkSession, text: str) -> tuple[float, float]:
    """Seconds by the clock, and of the processor for the thread that plans."""
    threads = spark._jvm.java.lang.management.ManagementFactory.getThreadMXBean()
    clock, spent = time.perf_counter(), threads.getCurrentThreadCpuTime()
    plan(spark, text)
    return time.perf_counter() - clock, (threads.getCurrentThreadCpuTime() - spent) / 1e9


def compare(spark: SparkSession, settings: Settings, grain: str, rounds: int) -> None:
    """Print both texts' times for a grain, and the ratio."""
    statement = statement_of(settings, grain)
    rows = spark.createDataFrame([], declared(INPUT_TABLE[grain]).schema)
    run_statement(rows, settings, grain, statement)  # It makes the views.
    texts = {"nested": statement.nested, "WITH": str(statement)}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in texts}
    for _ in range(rounds + 1):
        for name, text in texts.items():
            taken[name].append(timed(spark, text))
    medians = {}
    for name, pairs in taken.items():
        medians[name] = statistics.median(clock for clock, _ in pairs[1:])
        processor = statistics.median(spent for _, spent in pairs[1:])
        print(f"{grain}, {name}: {medians[name]:.2f} s, processor {processor:.2f} s ({len(texts[name]):,} characters)")
    print(f"{grain}: WITH / nested: {medians['WITH'] / medians['nested']:.1f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    chosen = load_settings()
    session = open_session(chosen, "planning")
    for one in INPUT_TABLE:
        compare(session, chosen, one, arguments.rounds)
