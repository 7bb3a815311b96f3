"""Whether the events of minute bars are the same, to the bit, whatever the pieces are in which the bars arrive.

python benchmarks/invariance.py [--splittings 1000] [--days 100] [--pieces 8] [--seed 1]

Takes days of single securities from silver.bars_1m of the lake that the settings name, those with most events first, several
copies of each where more splittings are asked for, splits every copy at random by itself (late, doubled, wrong and later
revised rows, empty pieces, lost seeds, killed steps), plays the pieces and compares with the events of the whole days. The
exit status says whether every column of every event was the same; an assertion shows the first that is not.
"""

import argparse
import time

import numpy as np
from pyspark.sql import functions as F

from smallcaps.config import load_settings
from smallcaps.detectors.detect import EXPECTED_VIEW, expectations
from smallcaps.detectors.tape import Tape
from smallcaps.detectors.testing import Disorder, Stream, assert_invariant, copies
from smallcaps.lake import Lake
from smallcaps.spark import open_session

KEY = ["security_id", "session_date"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splittings", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--pieces", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    settings = load_settings()
    spark = open_session(settings, "invariance")
    lake = Lake(settings.lake, spark)
    busiest = lake.read("gold.events").where("grain = 'minute'").groupBy(KEY).count()
    some = busiest.orderBy(F.desc("count"), *KEY).limit(arguments.days).select(KEY)
    bars = lake.read("silver.bars_1m")
    rows = bars.drop("run_id").join(F.broadcast(some), KEY).select(bars.drop("run_id").columns)
    of_each = -(-arguments.splittings // some.count())
    frame = copies(rows.toPandas(), of_each)
    # What is to be expected of a security is to be expected of its copies.
    numbered = spark.range(of_each).selectExpr("concat('#', id) AS suffix")
    expected = {}
    for table, known in expectations(lake).items():
        here = known.join(F.broadcast(rows.select("session_date").distinct()), "session_date", "left_semi")
        if "security_id" in EXPECTED_VIEW[table]:
            here = here.crossJoin(F.broadcast(numbered)).withColumn("security_id", F.concat("security_id", "suffix"))
        expected[table] = here.localCheckpoint()
    started = time.monotonic()
    stream = Stream(Tape(spark, rows.schema, [*KEY, "minute"], settings, "minute", expected))
    generator = np.random.default_rng(arguments.seed)
    found = assert_invariant(frame, arguments.pieces, generator, stream, Disorder())
    splittings = frame[KEY].drop_duplicates().shape[0]
    print(
        f"{splittings:,} splittings of {len(frame):,} bars into {arguments.pieces} pieces: {found:,} events, "
        f"the same as of the whole to the bit ({time.monotonic() - started:.0f} s)"
    )


if __name__ == "__main__":
    main()
