"""Quality suites: what the rows of a table must be as a whole before they are committed.

1. `suite_of` makes the suite of a table from its declaration: required columns, key, constraints, the table's own expectations.
2. `profile` measures all of it in one aggregation over the rows, and the key in a second one; `profile_of_files` takes what
   the statistics of Parquet files tell and reads nothing.
3. `judge_profile` has Great Expectations judge the measures: a frame of one row with a column an expectation. On the rows
   themselves it would take several times as long (docs/adr/0008).
4. `failing` finds the rows at fault, if a suite stops. `Run` (lake/runs.py) does all this before a commit.
"""

import functools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from smallcaps.errors import FailedDependency
from smallcaps.lake.datafiles import DataFile
from smallcaps.lake.declaration import ROWS_A_DAY_BEFORE, ROWS_REFUSED, Expectation, Table, every

KEY = "key_unique"
SEVERITIES = {"stop": "critical", "warn": "warning"}
"""Ours, as Great Expectations says it."""
DAYS_BEFORE = 30
LEAST_DAYS_BEFORE = 5
"""Days with rows, of the calendar days before, below which there is nothing to compare with."""


@dataclass(frozen=True)
class Profile:
    """What a suite is judged by: rows, measures by expectation (None: unknown), and rows at fault where single rows are."""

    rows: int
    measures: dict[str, float | int | None]
    failed: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """What became of an expectation: `result` is Great Expectations' own, JSON."""

    part: str
    expectation: Expectation
    success: bool
    observed: float | int | None
    rows: int
    rows_failed: int | None
    result: str

    def fails(self, severity: str) -> bool:
        """Whether it fails, at this severity."""
        return not self.success and self.expectation.severity == severity

    @property
    def told(self) -> str:
        """What was expected and observed, in words."""
        one = self.expectation
        words = f"{one.words} ({one.name}): expected {expected(one)}, observed {shown(self.observed)}"
        return f"{words}, {self.rows_failed:,} of {self.rows:,} rows at fault" if self.rows_failed else words

    def row(self, table: str) -> dict[str, Any]:
        """As a row of ops.quality_results, but for the time."""
        one = self.expectation
        return {
            "table_name": table,
            "part": self.part,
            "expectation": one.name,
            "words": one.words,
            "severity": one.severity,
            "success": self.success,
            "observed": None if self.observed is None else shown(self.observed),
            "expected": expected(one),
            "rows_checked": self.rows,
            "rows_failed": self.rows_failed,
            "result": self.result,
        }


def suite_of(table: Table) -> dict[str, list[Expectation]]:
    """The expectations by what they come of, in the order in which they are told."""
    listed = ", ".join(table.key)
    return {
        "required": [
            every(_required(column.name), f"{column.name} is never null", column.present)
            for column in table.columns
            if not column.nullable
        ],
        "key": [
            Expectation(KEY, f"No two rows share {listed}", f"count(*) - count(DISTINCT struct({listed}))", most=0)
        ],
        "constraint": [every(name, condition, condition) for name, condition in table.conditions.items()],
        "table": list(table.expectations),
    }


def _required(column: str) -> str:
    return f"{column}_required"


def profile(frame: DataFrame, table: Table, known: Mapping[str, float | None]) -> Profile:
    """The suite's measures over `frame`; `known` has what stands for their placeholders."""
    suite = [one for part in suite_of(table).values() for one in part if one.name != KEY]
    found = frame.agg(
        F.count("*"),
        *[F.expr(_filled(one.measure, known)) for one in suite],
        *[F.expr(f"count_if({one.broken})") for one in suite if one.broken is not None],
    ).collect()[0]
    rows, repeated = found[0], _repeated(frame, table.key, found[0])
    measures = {one.name: _plain(value) for one, value in zip(suite, found[1:], strict=False)}
    by_row = [one.name for one in suite if one.broken is not None]
    failed = dict(zip(by_row, found[1 + len(suite) :], strict=True))
    return Profile(rows, measures | {KEY: repeated}, failed | {KEY: repeated})


def _repeated(frame: DataFrame, key: Sequence[str], rows: int) -> int:
    """How many rows are there beyond one a key."""
    # A hash moves 8 bytes a row, the key several times as many. Only where two hashes are alike are the keys looked at.
    if frame.select(F.xxhash64(*key)).distinct().count() == rows:
        return 0
    return rows - frame.select(*key).distinct().count()


def _filled(measure: str, known: Mapping[str, float | None]) -> str:
    for placeholder in (ROWS_A_DAY_BEFORE, ROWS_REFUSED):
        value = known.get(placeholder)
        measure = measure.replace(placeholder, "NULL" if value is None else str(value))
    return measure


def _plain(value: Any) -> float | int | None:
    return float(value) if isinstance(value, Decimal) else value


def profile_of_files(files: Sequence[DataFile], table: Table) -> Profile:
    """What the statistics of files tell of required columns."""
    statistics = [json.loads(file.statistics)["nullCount"] for file in files]
    nulls = {
        _required(column.name): sum(one[column.name] for one in statistics)
        for column in table.columns
        if not column.nullable and all(column.name in one for one in statistics)
    }
    return Profile(sum(file.rows for file in files), {**nulls}, nulls)


def compares_days(table: Table) -> bool:
    """Whether an expectation needs `rows_a_day_before`."""
    return any(ROWS_A_DAY_BEFORE in one.measure for one in table.expectations)


def rows_a_day_before(frame: DataFrame, stored: DataFrame) -> float | None:
    """Median of rows a day that `stored` has for the days before those of `frame`; None where it has too few."""
    first = frame.agg(F.min("session_date")).collect()[0][0]
    if first is None:
        return None
    before = stored.where(F.col("session_date").between(first - timedelta(DAYS_BEFORE), first - timedelta(1)))
    days, median = before.groupBy("session_date").count().agg(F.count("*"), F.expr("median(count)")).collect()[0]
    return median if days >= LEAST_DAYS_BEFORE else None


def failing(frame: DataFrame, table: Table, one: Expectation) -> DataFrame | None:
    """The rows of `frame` at fault; None where single rows are not."""
    if one.name == KEY:
        same = F.count("*").over(Window.partitionBy(*table.key))
        return frame.withColumn("_same", same).where("_same > 1").drop("_same")
    return None if one.broken is None else frame.where(one.broken)


def expected(one: Expectation) -> str:
    """The bounds in words."""
    if one.least is None and one.most == 0:
        return "none at fault"
    if one.least is None or one.most is None:
        bound = f"at most {shown(one.most)}" if one.least is None else f"at least {shown(one.least)}"
        return bound if one.broken is None else f"{bound} of the rows at fault"
    return shown(one.least) if one.least == one.most else f"{shown(one.least)} to {shown(one.most)}"


def shown(value: float | int | None) -> str:
    """A measure for people."""
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def require_engine() -> None:
    """Raises FailedDependency where Great Expectations is not installed."""
    if find_spec("great_expectations") is None:
        raise FailedDependency(
            "Quality suites need Great Expectations: pip install 'smallcaps[quality]', or switch them off with "
            "SMALLCAPS_QUALITY__SUITES=false."
        )


@functools.cache
def great_expectations() -> Any:
    """The library, which takes seconds to load; it tells nobody that it is used."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as library

    return library


def _context() -> Any:
    """A context for one suite: in memory, without a site of Data Docs, which would leave a temporary folder."""
    library = great_expectations()
    from great_expectations.data_context.types import base

    config = base.DataContextConfig(
        store_backend_defaults=base.InMemoryStoreBackendDefaults(),
        progress_bars=base.ProgressBarsConfig(globally=False),
    )
    return library.get_context(mode="ephemeral", project_config=config)


def judge_profile(table: Table, measured: Profile) -> list[Outcome]:
    """Great Expectations' verdict on those expectations of the suite that were measured."""
    import pandas as pd

    gx = great_expectations()
    suite = [(part, one) for part, ones in suite_of(table).items() for one in ones if one.name in measured.measures]
    checks = [
        gx.expectations.ExpectColumnMaxToBeBetween(
            column=one.name,
            min_value=one.least,
            max_value=one.most,
            severity=SEVERITIES[one.severity],
            description=one.words,
            meta={"table": table.name, "part": part, "measure": one.measure, "rows": measured.rows},
        )
        for part, one in suite
    ]
    asset = _context().data_sources.add_pandas("lake").add_dataframe_asset(table.name)
    frame = pd.DataFrame([{one.name: measured.measures[one.name] for _, one in suite}])
    batch = asset.add_batch_definition_whole_dataframe("rows to be written").get_batch({"dataframe": frame})
    found = batch.validate(gx.ExpectationSuite(table.name, expectations=checks))
    results = {result.expectation_config.kwargs["column"]: result for result in found.results}
    return [
        Outcome(
            part,
            one,
            bool(results[one.name].success),
            measured.measures[one.name],
            measured.rows,
            measured.failed.get(one.name),
            json.dumps(results[one.name].to_json_dict()),
        )
        for part, one in suite
    ]
