"""Rows → events: the compiled statement run over a frame. The same for history and for the live tape."""

from collections.abc import Mapping, Sequence
from datetime import date

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.detectors.compiler import (
    Chosen,
    Rules,
    choose,
    compile_seeds,
    compile_statement,
    look_back,
    seed_columns,
)
from smallcaps.detectors.declaration import Grain
from smallcaps.detectors.registry import GRAINS, all_detectors, detectors_of
from smallcaps.detectors.statement import Statement
from smallcaps.detectors.trade.tape_speed import critical_counts
from smallcaps.errors import BadInput
from smallcaps.lake import RULE, Lake, Run, between, declared, judge, recorded_run, refused
from smallcaps.lake.runs import WARNINGS

INPUT_VIEW = {"daily": "bars", "minute": "bars", "trade": "trades"}
INPUT_TABLE = {"daily": "silver.bars_1d", "minute": "silver.bars_1m", "trade": "silver.trades"}
EXPECTED_VIEW = {
    "silver.baselines": "security_id, session_date, bars AS history_bars, counted_bars, median_volume, median_trades",
    "silver.volume_curves": "session_date, minute, volume_share, volume_share_5m, trades_share",
}
"""What is to be expected by the sessions before: of each table what the statements see, under the table's own name."""


def chosen_detectors(settings: Settings, grain: str) -> list[Chosen]:
    """The grain's detectors with the parameters of `settings`. Raises BadInput for an unknown detector or parameter."""
    if unknown := set(settings.detectors) - {detector.name for detector in all_detectors()}:
        raise BadInput(f"conf/detectors.yaml names detectors that do not exist: {', '.join(sorted(unknown))}.")
    return choose(detectors_of(grain), settings.detectors, rules_of(settings))


def rules_of(settings: Settings) -> Rules:
    """What every detector shares."""
    return Rules(settings.floor, settings.publication_delay_seconds)


def statement_of(settings: Settings, grain: str) -> Statement:
    """The one statement of the grain."""
    return compile_statement(GRAINS[grain], chosen_detectors(settings, grain), rules_of(settings))


def events(
    frame: DataFrame,
    settings: Settings,
    grain: str,
    expected: Mapping[str, DataFrame] | None = None,
    seeds: DataFrame | None = None,
) -> DataFrame:
    """Events (gold.events without run_id) of a frame of the grain's rows: silver.bars_1d, silver.bars_1m or silver.trades.

    `expected` are rows of EXPECTED_VIEW's tables by name; where they say nothing of a name and minute, what is to be expected
    follows from the segment so far. `seeds` (rows of `seeds_of`) stand for rows that were left out in front. Pure: every
    window looks back only, so rows after an event never change it.
    """
    return numbered_events(frame, settings, grain, expected, seeds).drop("number")


def numbered_events(
    frame: DataFrame,
    settings: Settings,
    grain: str,
    expected: Mapping[str, DataFrame] | None = None,
    seeds: DataFrame | None = None,
    together: bool = False,
) -> DataFrame:
    """The same with `number`, that of the event's row in the grain's order. `together` as for `run_statement`."""
    columns = [column.name for column in declared("gold.events").columns]
    statement = statement_of(settings, grain)
    return run_statement(frame, settings, grain, statement, expected, seeds, together).select(*columns, "number")


def explained_events(
    frame: DataFrame, settings: Settings, grain: str, expected: Mapping[str, DataFrame] | None = None
) -> DataFrame:
    """The same with `why`: the features that the detector's condition names and their values, as text."""
    chosen, rules = chosen_detectors(settings, grain), rules_of(settings)
    statement = compile_statement(GRAINS[grain], chosen, rules, explained=True)
    return run_statement(frame, settings, grain, statement, expected)


def seeds_of(
    frame: DataFrame,
    settings: Settings,
    grain: str,
    expected: Mapping[str, DataFrame] | None = None,
    seeds: DataFrame | None = None,
    together: bool = False,
) -> DataFrame:
    """For every row of a frame what stands for it and all rows before it: the grain's key, `after` (the row's number), and
    what the running windows have come to. `seeds` as for `events`, `together` as for `run_statement`.
    """
    statement = compile_seeds(GRAINS[grain], chosen_detectors(settings, grain), rules_of(settings))
    return run_statement(frame, settings, grain, statement, expected, seeds, together)


def rows_before(settings: Settings, grain: str) -> int | None:
    """How many rows before one are enough for its events, beside a seed of those before them."""
    return look_back(GRAINS[grain], chosen_detectors(settings, grain), rules_of(settings))


def run_statement(
    frame: DataFrame,
    settings: Settings,
    grain: str,
    statement: Statement,
    expected: Mapping[str, DataFrame] | None = None,
    seeds: DataFrame | None = None,
    together: bool = False,
) -> DataFrame:
    """What a statement of the grain says of a frame of its rows; `settings` and `expected` as for `events`. `together`: rows of
    a key are in one partition already, and stay there.
    """
    spark, text = frame.sparkSession, statement.nested
    if together:
        text = text.replace(f" DISTRIBUTE BY {', '.join(GRAINS[grain].key)}", "")
    frame.createOrReplaceTempView(INPUT_VIEW[grain])
    for table, columns in EXPECTED_VIEW.items():
        # Spark leaves a join with nothing out where it can tell that it is nothing.
        rows = (expected or {}).get(table, spark.createDataFrame([], declared(table).schema).where("false"))
        rows.selectExpr(*columns.split(", ")).createOrReplaceTempView(table.removeprefix("silver."))
    if GRAINS[grain].carries:
        carried = seed_columns(GRAINS[grain], chosen_detectors(settings, grain), rules_of(settings))
        given = no_seeds(frame, GRAINS[grain], carried) if seeds is None else seeds
        given.select(*GRAINS[grain].key, *carried).createOrReplaceTempView("seeds")
    for one in chosen_detectors(settings, grain):
        if one.detector.name == "tape_speed":
            _critical_counts(spark, one.parameters).createOrReplaceTempView("critical_counts")
    return spark.sql(text)


def no_seeds(frame: DataFrame, grain: Grain, columns: Sequence[str]) -> DataFrame:
    """Seeds of no row, in these columns, for a statement over all rows.

    As rows of the query itself, which Spark knows to be none before it optimises anything: it leaves the join out and all
    columns that come of it.
    """
    keys = [f"cast(NULL AS {frame.schema[name].dataType.simpleString()}) AS {name}" for name in grain.key]
    listed = ", ".join([*keys, *(f"NULL AS {name}" for name in columns)])
    return frame.sparkSession.sql(f"SELECT {listed} FROM VALUES (0) AS nothing (number) WHERE false")


def expectations(lake: Lake) -> dict[str, DataFrame]:
    """Those of EXPECTED_VIEW's tables that the lake has."""
    return {table: lake.read(table) for table in EXPECTED_VIEW if lake.exists(table)}


def _critical_counts(spark: SparkSession, parameters: dict[str, float]) -> DataFrame:
    keys, values = zip(*critical_counts(parameters["tail_probability"], parameters["dispersion"]), strict=True)
    return spark.createDataFrame(pa.table({"key": pa.array(keys, pa.int32()), "value": pa.array(values, pa.int32())}))


def detect(lake: Lake, settings: Settings, grain: str, first: date, last: date) -> int:
    """Run the detectors of `grain` over silver and replace its events from `first` to `last`; returns how many.

    Rows are computed on from the first that matters: of a grain whose windows never leave a session from `first`, else from
    where the compiler's look-back begins.
    """
    if first > last:
        raise BadInput(f"The range is empty: {first} is after {last}.")
    if lake.read(INPUT_TABLE[grain]).where(between("session_date", first, last)).isEmpty():
        with recorded_run(lake, f"detect {grain}", {"from": first, "to": last}, settings.digest()):
            raise BadInput(f"{INPUT_TABLE[grain]} holds nothing from {first} to {last}. Run `smallcaps refine` first.")
    return detect_again(lake, settings, grain, first, last)


def detect_again(lake: Lake, settings: Settings, grain: str, first: date, last: date) -> int:
    """As `detect`, whatever silver holds: days that it no longer has lose their events."""
    with recorded_run(lake, f"detect {grain}", {"from": first, "to": last}, settings.digest()) as run:
        days = between("session_date", first, last)
        expected: dict[str, DataFrame] = {}
        if GRAINS[grain].stays_in_session:
            rows = run.read_days(INPUT_TABLE[grain], first, last)
            expected = {table: run.read_days(table, first, last) for table in EXPECTED_VIEW if run.has(table)}
        else:
            # Any earlier bar may matter: one that comes late may be among the last 301 of a name.
            rows = run.read_days(INPUT_TABLE[grain], None, last)
            if start := first_day_needed(rows, settings, grain, first, last):
                rows = rows.where(F.col("session_date") >= F.lit(start))
        found = events(_fit(run, rows, grain, days), settings, grain, expected).where(days)
        return run.replace("gold.events", found, f"grain = '{grain}' AND {days}").rows


def _fit(run: Run, rows: DataFrame, grain: str, days: str) -> DataFrame:
    """Rows without the days of securities that have a row beyond the grain's limits; such rows of `days` go to quarantine."""
    limits = GRAINS[grain].limits
    judged = judge(rows, limits)
    if judged.where(F.col(RULE).isNotNull()).isEmpty():
        return rows
    run.quarantine(refused(judged.where(days), INPUT_TABLE[grain], {rule.name: rule.reason for rule in limits}))
    WARNINGS.warning(
        "%s has rows beyond what the detectors compute with: the days of their securities are left out, and the rows are in "
        "ops.quarantine with the reason (%s).",
        INPUT_TABLE[grain],
        " or ".join(rule.name for rule in limits),
    )
    return within_limits(rows, grain)


def within_limits(rows: DataFrame, grain: str) -> DataFrame:
    """Rows without the days of securities that have a row beyond what the grain's statement computes with."""
    beyond = judge(rows, GRAINS[grain].limits).where(F.col(RULE).isNotNull())
    lost = beyond.select("security_id", "session_date").distinct()
    return rows.join(F.broadcast(lost), ["security_id", "session_date"], "left_anti")


def first_day_needed(bars: DataFrame, settings: Settings, grain: str, first: date, last: date) -> date | None:
    """The first day whose rows matter for events from `first` to `last`: each security has as many rows before as the compiler's
    look-back says. None: all matter. They are counted, since a security need not have a row each session.
    """
    if (rows := rows_before(settings, grain)) is None:
        return None
    wanted = bars.where(between("session_date", first, last)).select("security_id").distinct()
    earlier = bars.where(F.col("session_date") < F.lit(first)).join(F.broadcast(wanted), "security_id", "left_semi")
    latest_first = Window.partitionBy("security_id").orderBy(F.desc("session_date"))
    place = F.row_number().over(latest_first).alias("place")
    counted = earlier.select("session_date", place).where(F.col("place") <= rows)
    (day,) = counted.agg(F.min("session_date")).collect()[0]
    return day or first
