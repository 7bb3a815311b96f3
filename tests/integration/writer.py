"""One of the drivers of test_two_writers: `python -m tests.integration.writer NAME NATIVE SPARK`.

It appends rows to a table and prints as JSON what the lake said of each: run and version.
"""

import json
import sys
import threading
import time
from datetime import UTC, datetime

from smallcaps.config import load_settings
from smallcaps.lake import Lake, declared
from smallcaps.spark import open_session

TABLE = "ops.runs"
CONTROL = "s3://lake/control"
"""A lake under a scheme that our log store is not set for: Delta takes its own."""


class Writer:
    """A driver and what it appended."""

    def __init__(self, name: str) -> None:
        settings = load_settings("local")
        self.name = name
        self.lake = Lake(settings.lake, open_session(settings))
        self.done: dict[str, int] = {}

    def natively(self, count: int) -> None:
        """Append rows in the driver's hands, one by one, through delta-rs."""
        for number in range(count):
            run_id = f"{self.name}-native-{number}"
            self.done[run_id] = self.lake.append_rows(TABLE, [_row(run_id)], run_id).version

    def by_spark(self, lake: Lake, numbers: range) -> None:
        """Append rows of a frame, one by one, through Spark."""
        for number in numbers:
            run_id = f"{self.name}-spark-{number}"
            frame = lake.spark.createDataFrame([_row(run_id)], declared(TABLE).schema)
            self.done[run_id] = lake.append(TABLE, frame, run_id).version


def _row(run_id: str) -> dict[str, object]:
    return {
        "run_id": run_id,
        "job": "race",
        "arguments": "{}",
        "code_version": "",
        "settings_hash": "",
        "inputs": [],
        "outputs": [],
        "files_in": 0,
        "bytes_in": 0,
        "rows_in": 0,
        "rows_kept": 0,
        "rows_quarantined": 0,
        "started_at": datetime.now(UTC),
        "duration_seconds": 0.0,
        "outcome": "succeeded",
        "message": None,
    }


def main(name: str, native: int, by_spark: int) -> None:
    """Race, then write the control."""
    writer = Writer(name)
    writer.by_spark(writer.lake, range(1))
    beside = threading.Thread(target=writer.natively, args=(native,))
    beside.start()
    writer.by_spark(writer.lake, range(1, by_spark))
    beside.join()
    print(json.dumps(writer.done), flush=True)

    control = Lake(CONTROL, writer.lake.spark)
    if name == "first":
        control.make(TABLE)
    while not control.exists(TABLE):
        time.sleep(0.1)
    writer.by_spark(control, range(1))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
