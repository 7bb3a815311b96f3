"""What a table, a view, a topic is: declared once, all else (schema, DDL, dictionary, drift check, quality suite) is derived."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

from pyspark.sql.types import ArrayType, DataType, StructField, StructType, _parse_datatype_string


@dataclass(frozen=True)
class Column:
    """A column: Spark SQL type, unit (empty where it has none) and what it means.

    Where `values` are given, the column holds no others. `timing` is of what is measured around an event: pre is known at the
    event's known_at, post only later, so that nothing that decides at the event may see it.
    """

    name: str
    type: str
    comment: str
    unit: str = ""
    nullable: bool = True
    values: tuple[str, ...] = ()
    timing: Literal["pre", "post"] | None = None

    @property
    def data_type(self) -> DataType:
        """The Spark type."""
        return _data_type(self.type)

    @property
    def meaning(self) -> str:
        """The comment, and when it is known where that is declared."""
        words = {None: "", "pre": "; known at the event", "post": "; known only later"}
        return self.comment + words[self.timing]

    @property
    def described(self) -> str:
        """Meaning and unit as one text, as it goes into the table."""
        return f"{self.meaning} [{self.unit}]" if self.unit else self.meaning

    @property
    def present(self) -> str:
        """SQL condition that it holds anything."""
        return f"`{self.name}` IS NOT NULL"

    @property
    def known(self) -> str:
        """SQL condition that it holds one of its values."""
        values = ", ".join(f"'{value}'" for value in self.values)
        listed = f"{self.name} IN ({values})"
        return f"{self.name} IS NULL OR {listed}" if self.nullable else listed


def sql_literal(text: str) -> str:
    """`text` as a SQL string."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@cache
def _data_type(ddl: str) -> DataType:
    return _parse_datatype_string(ddl)


RUN_ID = Column("run_id", "string", "The run that wrote the row (see ops.runs); no part of the content", nullable=False)

FIRST_DAY, LAST_DAY = "DATE'1900-01-01'", "DATE'9999-12-30'"
"""SQL of days that none is before or after; the day after the last one is still a date."""
LOG_RETENTION = "interval 520 weeks"
ROWS_A_DAY_BEFORE = "{rows_a_day_before}"
"""In a measure: the median of rows a day on the last days before the first one to be written; null where too few are known."""
ROWS_REFUSED = "{rows_refused}"
"""In a measure: how many rows were refused one by one (lake/quality.py) on the way to those to be written."""


@dataclass(frozen=True)
class Expectation:
    """What the rows to be written are expected to be, as a whole.

    `measure` is a SQL aggregate over them, expected from `least` to `most`; unknown fails. `broken` is a SQL condition that tells
    the rows at fault, if single rows are. A failure at severity stop leaves the table as it was, one at warn is told.
    """

    name: str
    words: str
    measure: str
    least: float | None = None
    most: float | None = None
    severity: Literal["stop", "warn"] = "stop"
    broken: str | None = None


def every(name: str, words: str, condition: str) -> Expectation:
    """Every row meets `condition`; unknown counts as broken."""
    broken = _broken(condition)
    return Expectation(name, words, f"count_if({broken})", most=0, broken=broken)


def mostly(name: str, words: str, condition: str, most: float) -> Expectation:
    """At most this share of the rows does not meet `condition`; more is worth a word."""
    broken = _broken(condition)
    share = f"coalesce(try_divide(count_if({broken}), count(*)), 0)"
    return Expectation(name, words, share, most=most, severity="warn", broken=broken)


def few_refused(most: float) -> Expectation:
    """At most this share of the rows judged one by one was refused; more is worth a word."""
    share = f"coalesce(try_divide({ROWS_REFUSED}, count(*) + {ROWS_REFUSED}), 0)"
    return Expectation("few_refused", "Few rows were refused on the way here", share, most=most, severity="warn")


def rows_as_before(least: float = 0.5, most: float = 2) -> Expectation:
    """Rows a session are about as many as on the sessions before; the ratio is worth a word outside of `least` to `most`."""
    measure = f"coalesce(try_divide(count(*) / size(collect_set(session_date)), {ROWS_A_DAY_BEFORE}), 1)"
    words = "Rows a session are about as many as on the sessions before (their median is 1)"
    return Expectation("rows_as_before", words, measure, least, most, "warn")


def _broken(condition: str) -> str:
    return f"NOT coalesce(({condition}), false)"


@dataclass(frozen=True)
class Table:
    """A table of the lake.

    `key` identifies a row; `partition_by` is a folder level; `sort_by` orders rows inside a file; `constraints` are SQL
    conditions that every row meets, enforced by Delta; `expectations` are what the table's quality suite (lake/suites.py) has
    beyond key, required columns and conditions. `tells_of` is SQL for the first and last day that a row tells something of; see
    `span`. What `is_kept` stands as it was made: it never becomes stale. Every table ends with `run_id`.
    """

    name: str
    comment: str
    owner: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    constraints: dict[str, str] = field(default_factory=dict)
    expectations: tuple[Expectation, ...] = ()
    tells_of: tuple[str, str] | None = None
    is_kept: bool = False

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        repeated = {name for name in names if names.count(name) > 1}
        unknown = {*self.key, *self.partition_by, *self.sort_by} - set(names)
        if repeated or unknown:
            raise ValueError(
                f"{self.name}: columns repeated {repeated or 'none'}, named but absent {unknown or 'none'}"
            )

    @property
    def layer(self) -> str:
        """bronze, silver, gold or ops."""
        return self.name.split(".")[0]

    @property
    def path(self) -> str:
        """Folder under the lake's root."""
        return self.name.replace(".", "/")

    @property
    def span(self) -> tuple[str, str]:
        """SQL for the first and last day that a row tells something of: as declared, else its session, else all days since it
        was known, else all.
        """
        names = {column.name for column in self.columns}
        if self.tells_of is not None:
            return self.tells_of
        if "session_date" in names:
            return "session_date", "session_date"
        return ("cast(known_at AS date)" if "known_at" in names else FIRST_DAY), LAST_DAY

    @property
    def is_of_days(self) -> bool:
        """Whether each row belongs to one day."""
        first, last = self.span
        return first == last

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """The declared columns and `run_id`."""
        return (*self.columns, RUN_ID) if RUN_ID not in self.columns else self.columns

    @property
    def known_at_event(self) -> tuple[str, ...]:
        """The columns that are declared to be known at the event."""
        return tuple(column.name for column in self.columns if column.timing == "pre")

    @property
    def conditions(self) -> dict[str, str]:
        """The constraints, those of the columns' closed vocabularies included."""
        known = {f"known_{column.name}": column.known for column in self.columns if column.values}
        return known | self.constraints

    @property
    def schema(self) -> StructType:
        """The Spark schema, comments included."""
        return _schema(self.all_columns)

    @property
    def no_rows(self) -> str:
        """Spark SQL of a query that has the columns and no row."""
        nulls = ", ".join(f"CAST(NULL AS {column.type}) AS `{column.name}`" for column in self.all_columns)
        return f"(SELECT {nulls} WHERE false)"

    @property
    def properties(self) -> dict[str, str]:
        """What Delta keeps beside the columns: constraints, key, who may write, how long the log goes back."""
        properties = {"smallcaps.key": ",".join(self.key), "delta.enableDeletionVectors": "false"}
        if self.layer != "ops":
            # What rows were made of can be told as long as the log goes back to it.
            properties["delta.logRetentionDuration"] = LOG_RETENTION
        if self.conditions:
            # Writers that know no constraints are to keep away.
            properties["delta.minWriterVersion"] = "3"
        return properties | {f"delta.constraints.{name}": condition for name, condition in self.conditions.items()}


_TABLE_NAME = re.compile(r"\b(?:bronze|silver|gold|ops)\.\w+")


@dataclass(frozen=True)
class View:
    """A query under a name, for those who ask questions of the lake.

    `query` names tables with their layer and is SQL that Spark, Trino and DuckDB understand alike. `columns` are what it selects,
    in order.
    """

    name: str
    comment: str
    columns: tuple[Column, ...]
    query: str

    @property
    def reads(self) -> tuple[str, ...]:
        """The tables that it is made of."""
        return tuple(dict.fromkeys(_TABLE_NAME.findall(self.query)))

    def ddl(self, absent: Collection[Table]) -> str:
        """The CREATE VIEW statement of Spark; tables that are `absent` count as empty."""
        empty = {table.name: table.no_rows for table in absent}
        query = _TABLE_NAME.sub(lambda found: empty.get(found[0], found[0]), self.query)
        columns = ",\n  ".join(f"`{column.name}` COMMENT {sql_literal(column.described)}" for column in self.columns)
        return f"CREATE OR REPLACE VIEW {self.name} (\n  {columns}\n)\nCOMMENT {sql_literal(self.comment)} AS\n{query}"


ENVELOPE = (
    Column("schema_version", "int", "Version of the topic's schema that the message was written by", nullable=False),
    Column("event_ns", "bigint", "When it happened; of a bar its end", "ns since 1970 UTC", nullable=False),
    Column("received_at", "timestamp", "When it came to us", "UTC", nullable=False),
)
"""What every message begins with."""
KAFKA = (
    Column(
        "kafka_topic", "string", "Topic of the live feed that it came over, and the topic's id; null where it did not"
    ),
    Column("kafka_partition", "int", "The topic's partition"),
    Column("kafka_offset", "bigint", "Its place there: of rows with one key the last one holds"),
)
"""What a table has beside a topic's columns where messages land in it: none lands twice."""
ORIGIN = {
    "source_sha256": "SHA-256 of what it came in: the event itself, a body, a file",
    "source_line": "Its place in that, the first being 1; of a file the line",
}
"""The columns that say where a row comes from mean this in a message: with the table's key they make it land once."""


@dataclass(frozen=True)
class Topic:
    """A topic of the live feed. A message is a JSON object, keyed by `key`, with ENVELOPE and the columns of `table`.

    So what landed goes through the same functions as history. `also` are columns that the table has not; `channel` is the
    vendor's channel that it is fed from, None where there is none. `version` is raised when columns change. `partitions` and
    `retention_hours` are what a broker begins with.
    """

    name: str
    comment: str
    table: Table
    partitions: int
    retention_hours: int
    channel: str | None = None
    version: int = 1
    key: str = "symbol"
    also: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        if self.key not in [column.name for column in self.columns]:
            raise ValueError(f"{self.name}: the key {self.key} is no column of its messages")

    @property
    def columns(self) -> tuple[Column, ...]:
        """What a message holds."""
        first = (*ENVELOPE, *self.also)
        named = [column.name for column in (*first, *KAFKA)]
        landed = (column for column in self.table.columns if column.name not in named)
        return (*first, *(replace(column, comment=ORIGIN.get(column.name, column.comment)) for column in landed))

    @property
    def schema(self) -> StructType:
        """The Spark schema by which a message's JSON is read, comments included."""
        return _schema(self.columns)

    @property
    def json_schema(self) -> str:
        """The same as JSON Schema (2020-12), for others. Integers can be beyond 2^53: read them as 64 bits."""
        properties = {column.name: _json_type(column.data_type, column.nullable) for column in self.columns}
        for column in self.columns:
            properties[column.name]["description"] = column.described
        properties["schema_version"]["const"] = self.version
        return json.dumps(
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": self.name,
                "description": self.comment,
                "type": "object",
                "properties": properties,
                "required": [column.name for column in self.columns if not column.nullable],
                "additionalProperties": False,
            },
            indent=2,
            ensure_ascii=False,
        )


def _schema(columns: tuple[Column, ...]) -> StructType:
    return StructType(
        [
            StructField(column.name, column.data_type, column.nullable, {"comment": column.described})
            for column in columns
        ]
    )


_JSON_TYPES: dict[str, tuple[str, dict[str, Any]]] = {
    "string": ("string", {}),
    "boolean": ("boolean", {}),
    "int": ("integer", {"minimum": -(2**31), "maximum": 2**31 - 1}),
    "bigint": ("integer", {"minimum": -(2**63), "maximum": 2**63 - 1}),
    "double": ("number", {}),
    "decimal": ("number", {}),
    "date": ("string", {"format": "date"}),
    "timestamp": ("string", {"format": "date-time"}),
}
"""How Spark writes a type as JSON, by its name."""


def _json_type(data_type: DataType, nullable: bool) -> dict[str, Any]:
    if isinstance(data_type, ArrayType):
        name, more = "array", {"items": _json_type(data_type.elementType, data_type.containsNull)}
    elif isinstance(data_type, StructType):
        parts = {one.name: _json_type(one.dataType, one.nullable) for one in data_type.fields}
        name, more = "object", {"properties": parts}
    else:
        name, more = _JSON_TYPES[data_type.simpleString().split("(")[0]]
    return {"type": [name, "null"] if nullable else name, **more}
