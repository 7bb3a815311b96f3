"""Frozen datasets: events, what was known of each, what came of it, how much it counts and which fold it belongs to.

1. Labelled events of the definition's grains meet what was known of them: their own row, the tape before them, company and
market (`context.py`). 2. Uniqueness of labels and walk-forward folds are of exactly these rows. 3. The rows are copied into
gold.dataset_rows, and gold.datasets says of what versions, by which code and definition, and what they hash to. As long as
those versions can be read, the same rows can be made again.
"""

import hashlib
import itertools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.config.settings import DatasetSettings
from smallcaps.detectors.registry import detectors_of
from smallcaps.errors import BadData, BadInput
from smallcaps.labels.uniqueness import place, with_uniqueness
from smallcaps.lake import Lake, declared, recorded_run, sql_literal
from smallcaps.lake.runs import ABSENT
from smallcaps.models.context import FEATURES as CONTEXT
from smallcaps.models.context import TABLES as CONTEXT_TABLES
from smallcaps.models.context import with_context
from smallcaps.models.event_sequence import channel_names, event_sequences
from smallcaps.models.walk_forward import fold_column, folds_of
from smallcaps.version import code_version

EVENT: dict[str, str] = {
    "direction": "direction",
    "log_strength": "ln(strength)",
    "signed_change": "direction * pct_change",
    "signed_gap": "direction * gap_pct",
    "atr_share": "atr / price",
    "move_in_atr": "try_divide(direction * pct_change * price, atr)",
    "log_relative_volume": "ln(relative_volume)",
    "log_dollar_volume": "ln(dollar_volume)",
    "log_price": "ln(price)",
    "possible_missing_split": "IF(possible_missing_split, 1D, 0D)",
}
"""Inputs as SQL over gold.events: every column of it is known at the event (a gap's volume is null there)."""
TAPE = declared("gold.event_features").known_at_event
"""What is measured of the tape before an event; nothing else of gold.event_features may be an input."""
_CLOCK = "from_utc_timestamp(known_at, 'America/New_York')"
SESSION = {
    "signed_vwap_distance": "direction * vwap_distance",
    # Of the regular session's open, which is below 0 before it: events count from the start of their own part of the day.
    "hours_since_open": f"hour({_CLOCK}) + minute({_CLOCK}) / 60D - 9.5D",
    "is_history_baseline": "IF(baseline = 'history', 1D, 0D)",
}
"""Further inputs of gold.events, of events within a session."""
INPUT_TABLES = ("gold.event_features", "gold.event_sequences", *CONTEXT_TABLES)
"""What inputs are made of, beside the events; they may be missing."""
NEEDED = ("gold.events", "gold.event_labels", "silver.calendar")
TABLES = (*NEEDED, "gold.core_manifest", *INPUT_TABLES)
"""What a dataset is made of; all but NEEDED may be missing."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def input_names(definition: DatasetSettings) -> list[str]:
    """The inputs in order: of the event, the tape, company and market, then one indicator a detector."""
    detectors = sorted(detector.name for grain in definition.grains for detector in detectors_of(grain))
    within = definition.grains != ("daily",)
    of_session = [*SESSION, *TAPE] if within else []
    return [*EVENT, *of_session, *CONTEXT, *(f"is_{detector}" for detector in detectors)]


def labelled_events(tables: Mapping[str, DataFrame], definition: DatasetSettings, first: date, last: date) -> DataFrame:
    """Rows of gold.events of the definition whose label is known, with session_number, label_session, what came of them. Pure."""
    labels = tables["gold.event_labels"].where(
        (F.col("barrier_width") == definition.barrier_width)
        & (F.col("horizon") == definition.horizon)
        & (F.col("weight") > 0)
        # Near the data's end only labels that reached a barrier are known: those alone would be a choice by outcome.
        & F.col("gave_back").isNotNull()
    )
    certain = F.to_date(F.from_utc_timestamp("known_at", "America/New_York")).alias("label_date")
    outcome = ["event_id", "outcome", "return", "gave_back", "exit_at", "sessions_to_exit", "halted"]
    events = tables["gold.events"].where(
        F.col("grain").isin(*definition.grains) & F.col("session_date").between(first, last)
    )
    numbers = F.broadcast(tables["silver.calendar"].select("session_date", "session_number"))
    ended = numbers.select(F.col("session_date").alias("label_date"), F.col("session_number").alias("label_session"))
    return (
        events.join(labels.select(certain, *outcome), "event_id")
        .join(numbers, "session_date")
        .join(ended, "label_date")
    )


def dataset_rows(
    name: str, labelled: DataFrame, tables: Mapping[str, DataFrame], definition: DatasetSettings
) -> DataFrame:
    """gold.dataset_rows (without run_id) of `labelled_events` with their fold; `tables` has every one of TABLES. Pure."""
    exit_session = F.col("session_number") + F.col("sessions_to_exit")
    placed = labelled.withColumns(
        {"begins": place(F.col("session_number"), F.col("known_at")), "ends": place(exit_session, F.col("exit_at"))}
    )
    alone = with_uniqueness(placed.select("event_id", "security_id", "begins", "ends")).select("event_id", "uniqueness")
    core = tables["gold.core_manifest"].select("event_id", F.lit(True).alias("is_core"))
    wide = event_inputs(labelled, tables, definition)
    for other in (core, alone):
        wide = wide.join(other, "event_id", "left")
    return wide.select(
        F.lit(name).alias("dataset"),
        *("event_id", "symbol", "session_date", "detector", "known_at", "session_number", "label_session"),
        *("outcome", "return", "gave_back", "halted", "uniqueness"),
        F.coalesce("is_core", F.lit(False)).alias("is_core"),
        *("fold", "inputs", "sequence"),
    )


def event_inputs(events: DataFrame, tables: Mapping[str, DataFrame], definition: DatasetSettings) -> DataFrame:
    """Rows of gold.events with `inputs` and `sequence`, the values of `input_names` and of `channel_names` that were known at
    each; `tables` has every one of INPUT_TABLES. Pure.
    """
    tape = tables["gold.event_features"].select("event_id", *TAPE)
    wide = with_context(events, tables).join(tape, "event_id", "left")
    formulas = EVENT | SESSION | {one: f"`{one}`" for one in (*TAPE, *CONTEXT)}
    inputs = [
        _finite(formulas.get(one, f"IF(detector = '{one.removeprefix('is_')}', 1D, 0D)"))
        for one in input_names(definition)
    ]
    sequences = event_sequences(events, tables["gold.event_sequences"], definition)
    return wide.select(*events.columns, F.array(*inputs).alias("inputs")).join(sequences, "event_id", "left")


def _finite(sql: str) -> Column:
    """A value as a double, null where it is no number: a logarithm of 0, say."""
    value = F.expr(f"cast({sql} AS double)")
    return F.when(~F.isnan(value) & (F.abs(value) < float("inf")), value)


def with_folds(rows: DataFrame, definition: DatasetSettings) -> tuple[DataFrame, list[dict[str, int]]]:
    """Rows with `fold`, in which they are tested (null: only trained on), and the folds. Looks at the rows' sessions.

    Raises BadInput where there are too few.
    """
    folds = folds_of(rows, definition.folds, definition.embargo_sessions)
    return rows.withColumn("fold", fold_column(folds)), [vars(one) for one in folds]


def content_hash(rows: DataFrame) -> str:
    """SHA-256 of rows of gold.dataset_rows, whatever their order; the dataset's name and run_id are no part of it."""
    columns = [column.name for column in declared("gold.dataset_rows").columns if column.name != "dataset"]
    each = rows.select(
        "session_date",
        F.sha2(F.to_json(F.struct(*columns), {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS"}), 256).alias("hash"),
    )
    days = each.groupBy("session_date").agg(
        F.sha2(F.concat_ws("", F.array_sort(F.collect_list("hash"))), 256).alias("hash")
    )
    hashes = sorted((row["session_date"].isoformat(), row["hash"]) for row in days.collect())
    return hashlib.sha256("".join(f"{day}{one}" for day, one in hashes).encode()).hexdigest()


@dataclass(frozen=True)
class Frozen:
    """What building a dataset came to."""

    dataset: str
    rows: int
    inputs: int
    folds: int
    content_hash: str

    def __str__(self) -> str:
        return f"{self.rows:,} events, {self.inputs} inputs, {self.folds} folds, {self.content_hash[:12]}"


def build_dataset(lake: Lake, settings: Settings, name: str, of: str, first: date, last: date) -> Frozen:
    """Freeze the events from `first` to `last` as dataset `name`, by the definition `of` of the settings.

    Raises BadInput where the name is taken or not sound, the definition is unknown, or there is nothing to freeze.
    """
    if _NAME.fullmatch(name) is None:
        raise BadInput(f"A dataset cannot be called {name!r}: letters, digits, '.', '-' and '_', 64 at most.")
    definition = definition_of(settings, of)
    if lake.exists("gold.datasets") and lake.holds("gold.datasets", f"dataset = {sql_literal(name)}"):
        raise BadInput(f"{name} is frozen already. Give the new dataset a name of its own.")
    arguments = {"dataset": name, "from": first, "to": last}
    with recorded_run(lake, "dataset build", arguments, settings.digest()) as run:
        tables = _tables(lake, run.read_or_empty)
        labelled, folds = with_folds(labelled_events(tables, definition, first, last), definition)
        rows = dataset_rows(name, labelled, tables, definition)
        written = run.replace("gold.dataset_rows", rows, of_dataset(name)).rows
        hashed = content_hash(lake.read("gold.dataset_rows").where(of_dataset(name)))
        names = input_names(definition)
        row = {
            "dataset": name,
            "definition": definition.model_dump_json(),
            "first_day": first,
            "last_day": last,
            "input_names": names,
            "sequence_names": channel_names(definition),
            "folds": folds,
            "input_versions": dict(run.inputs),
            "rows": written,
            "content_hash": hashed,
            "code_version": code_version(),
            "settings_hash": settings.digest(),
        }
        run.append_rows("gold.datasets", [row])
        run.note = f"{written:,} events, {hashed[:12]}"
        return Frozen(name, written, len(names), len(folds), hashed)


def rebuild_dataset(lake: Lake, name: str) -> Frozen:
    """Make a frozen dataset again from the versions that it was made of, and compare; rows that were lost or changed since are
    put back. Raises BadInput where there is no such dataset or a version is gone, BadData where it comes out otherwise.
    """
    kept = described(lake, name)
    definition = DatasetSettings.model_validate_json(kept["definition"])
    versions = kept["input_versions"]
    with recorded_run(lake, "dataset rebuild", {"dataset": name}, kept["settings_hash"]) as run:
        tables = _tables(
            lake,
            lambda table: lake.read(table, at) if (at := versions.get(table, ABSENT)) != ABSENT else lake.empty(table),
        )
        labelled = labelled_events(tables, definition, kept["first_day"], kept["last_day"])
        try:
            rows = dataset_rows(name, with_folds(labelled, definition)[0], tables, definition)
            hashed = content_hash(rows)
        except (PySparkException, Py4JJavaError) as error:
            # Spark may have several such failures at once, which it tells as an error of another kind.
            if "FAILED_READ_FILE.FILE_NOT_EXIST" not in str(error):
                raise
            raise BadInput(
                f"Files of the versions that {name} was made of are gone; it cannot be made again."
            ) from error
        if hashed != kept["content_hash"]:
            code = code_version()
            other = "" if code == kept["code_version"] else f" It was built by {kept['code_version']}, this is {code}."
            raise BadData(f"{name} comes out as {hashed[:12]}, it was frozen as {kept['content_hash'][:12]}.{other}")
        if content_hash(lake.read("gold.dataset_rows").where(of_dataset(name))) != hashed:
            run.replace("gold.dataset_rows", rows, of_dataset(name))
            run.note = "rows put back"
        return Frozen(name, kept["rows"], len(kept["input_names"]), len(kept["folds"]), hashed)


def definition_of(settings: Settings, of: str) -> DatasetSettings:
    """The settings' definition of datasets called `of`. Raises BadInput naming those that there are."""
    if of not in settings.datasets:
        raise BadInput(f"No dataset definition {of!r}; conf/research.yaml has {', '.join(sorted(settings.datasets))}.")
    return settings.datasets[of]


def current_dataset(lake: Lake, settings: Settings, of: str) -> str:
    """The dataset of all labelled events by the definition `of` of the settings, as the tables are now: one that is frozen
    already, else a new one, named `of-1`, `of-2`, …
    """
    definition = definition_of(settings, of)
    _require_labels(lake)
    first, last = lake.read("gold.event_labels").agg(F.min("session_date"), F.max("session_date")).collect()[0]
    if first is None:
        raise BadInput("No event is labelled. Run `smallcaps label` first.")
    frozen = lake.read("gold.datasets").collect() if lake.exists("gold.datasets") else []
    now = {name: lake.version(name) if lake.exists(name) else ABSENT for name in TABLES}
    made_alike = {
        "definition": definition.model_dump_json(),
        "first_day": first,
        "last_day": last,
        "input_versions": now,
        "code_version": code_version(),
    }
    for row in frozen:
        if all(row[name] == value for name, value in made_alike.items()):
            return str(row["dataset"])
    taken = {row["dataset"] for row in frozen}
    name = next(name for number in itertools.count(1) if (name := f"{of}-{number}") not in taken)
    build_dataset(lake, settings, name, of, first, last)
    return name


@dataclass(frozen=True)
class Difference:
    """What differs between two frozen datasets: facts about them by name, inputs of one alone, and rows."""

    facts: dict[str, tuple[Any, Any]]
    only_first: list[str]
    only_second: list[str]
    rows_only_first: int
    rows_only_second: int
    rows_changed: int
    changed: dict[str, int]


def dataset_difference(lake: Lake, one: str, other: str) -> Difference:
    """How two frozen datasets differ. `changed` counts, by column and by shared input, the events whose value differs."""
    first, second = described(lake, one), described(lake, other)
    facts = {
        key: (first[key], second[key])
        for key in (
            "definition",
            "first_day",
            "last_day",
            "folds",
            "rows",
            "content_hash",
            "code_version",
            "settings_hash",
        )
        if first[key] != second[key]
    }
    versions = {table for row in (first, second) for table in row["input_versions"]}
    for table in sorted(versions):
        pair = first["input_versions"].get(table), second["input_versions"].get(table)
        facts |= {table: pair} if pair[0] != pair[1] else {}
    names = [row["input_names"] for row in (first, second)]
    shared = [name for name in names[0] if name in names[1]]
    plain = [
        column.name
        for column in declared("gold.dataset_rows").columns
        if column.name not in ("dataset", "event_id", "inputs")
    ]
    rows = lake.read("gold.dataset_rows")
    sides = [
        rows.where(of_dataset(name)).select(
            "event_id",
            F.struct(*plain, *[F.col("inputs")[inputs.index(name_)].alias(f"input {name_}") for name_ in shared]).alias(
                side
            ),
        )
        for name, inputs, side in ((one, names[0], "first"), (other, names[1], "second"))
    ]
    joined = sides[0].join(sides[1], "event_id", "full")
    columns = [*plain, *(f"input {name}" for name in shared)]
    differs = {name: ~F.col(f"first.`{name}`").eqNullSafe(F.col(f"second.`{name}`")) for name in columns}
    both = F.col("first").isNotNull() & F.col("second").isNotNull()
    any_differs = F.lit(False)
    for differing in differs.values():
        any_differs = any_differs | differing
    counts = joined.agg(
        F.count_if(F.col("second").isNull()).alias("only first"),
        F.count_if(F.col("first").isNull()).alias("only second"),
        F.count_if(both & any_differs).alias("any"),
        *[F.count_if(both & differing).alias(f"of {name}") for name, differing in differs.items()],
    ).collect()[0]
    return Difference(
        facts,
        [name for name in names[0] if name not in names[1]],
        [name for name in names[1] if name not in names[0]],
        counts["only first"],
        counts["only second"],
        counts["any"],
        {name: counts[f"of {name}"] for name in columns if counts[f"of {name}"]},
    )


def described(lake: Lake, name: str) -> dict[str, Any]:
    """The row of gold.datasets. Raises BadInput where there is none."""
    found = lake.read("gold.datasets").where(of_dataset(name)).collect() if lake.exists("gold.datasets") else []
    if not found:
        raise BadInput(f"There is no dataset {name!r}. `smallcaps dataset list` shows those that there are.")
    return dict(found[0].asDict(recursive=True))


def _require_labels(lake: Lake) -> None:
    if missing := [name for name in NEEDED if not lake.exists(name)]:
        raise BadInput(f"{' and '.join(missing)} not written yet. Run `smallcaps detect` and `smallcaps label` first.")


def _tables(lake: Lake, read: Callable[[str], DataFrame]) -> dict[str, DataFrame]:
    _require_labels(lake)
    return {name: read(name) for name in TABLES}


def of_dataset(name: str) -> str:
    """SQL of whether a row is of the dataset."""
    return f"dataset = {sql_literal(name)}"
