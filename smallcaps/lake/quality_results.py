"""What the quality suites found last, as it stands in ops.quality_results."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from pyspark.sql import functions as F

from smallcaps.lake.registry import REGISTRY, declared
from smallcaps.lake.store import Lake

Result = dict[str, Any]
"""A row of ops.quality_results."""


@dataclass(frozen=True)
class State:
    """How the rows that were last to be written to a table stood: what failed at severity stop kept them out of it."""

    table: str
    checked_at: datetime
    run_id: str
    rows: int
    results: tuple[Result, ...]

    def failed(self, severity: str) -> list[str]:
        """Names of the expectations of that severity that were not met."""
        return [one["expectation"] for one in self.results if one["severity"] == severity and not one["success"]]


def latest_states(lake: Lake, table: str | None = None) -> list[State]:
    """The last suite of every table, or of one, in the order of the registry and of the suite.

    Raises BadInput for a table that is not declared.
    """
    if table is not None:
        declared(table)
    if not lake.exists("ops.quality_results"):
        return []
    wanted = list(REGISTRY) if table is None else [table]
    results = lake.read("ops.quality_results").where(F.col("table_name").isin(wanted))
    last = results.groupBy("table_name").agg(F.max("checked_at").alias("checked_at"))
    found = [row.asDict() for row in results.join(F.broadcast(last), ["table_name", "checked_at"]).collect()]
    return _states(found)


def _states(results: Sequence[Result]) -> list[State]:
    tables, parts = list(REGISTRY), ["required", "key", "constraint", "table"]

    def place(one: Result) -> tuple[int, int, str]:
        return tables.index(one["table_name"]), parts.index(one["part"]), one["expectation"]

    return [
        State(table, ones[0]["checked_at"], ones[0]["run_id"], ones[0]["rows_checked"], ones)
        for table, group in groupby(sorted(results, key=place), lambda one: one["table_name"])
        if (ones := tuple(group))
    ]
