"""What a table is: declared once, everything else (schema, DDL, dictionary, drift check) is derived from it."""

from dataclasses import dataclass, field

from pyspark.sql.types import DataType, StructField, StructType, _parse_datatype_string


@dataclass(frozen=True)
class Column:
    """A column: Spark SQL type, unit (empty where it has none) and what it means."""

    name: str
    type: str
    comment: str
    unit: str = ""
    nullable: bool = True

    @property
    def data_type(self) -> DataType:
        """The Spark type."""
        return _parse_datatype_string(self.type)

    @property
    def described(self) -> str:
        """Comment and unit as one text, as it goes into the table."""
        return f"{self.comment} [{self.unit}]" if self.unit else self.comment


RUN_ID = Column("run_id", "string", "The run that wrote the row (see ops.runs); no part of the content", nullable=False)


@dataclass(frozen=True)
class Table:
    """A table of the lake.

    `key` identifies a row; `partition_by` is a folder level; `sort_by` orders rows inside a file; `constraints` are SQL
    conditions that every row meets, enforced by Delta. Every table ends with `run_id`.
    """

    name: str
    comment: str
    owner: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    partition_by: tuple[str, ...] = ()
    sort_by: tuple[str, ...] = ()
    constraints: dict[str, str] = field(default_factory=dict)

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
    def all_columns(self) -> tuple[Column, ...]:
        """The declared columns and `run_id`."""
        return (*self.columns, RUN_ID) if RUN_ID not in self.columns else self.columns

    @property
    def schema(self) -> StructType:
        """The Spark schema, comments included."""
        return StructType(
            [
                StructField(column.name, column.data_type, column.nullable, {"comment": column.described})
                for column in self.all_columns
            ]
        )

    def ddl(self, location: str) -> str:
        """The CREATE TABLE statement, constraints and key included."""

        def quote(text: str) -> str:
            return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

        columns = ",\n  ".join(
            f"`{column.name}` {column.type}{'' if column.nullable else ' NOT NULL'} COMMENT {quote(column.described)}"
            for column in self.all_columns
        )
        properties = {"smallcaps.key": ",".join(self.key), "delta.enableDeletionVectors": "false"}
        properties |= {f"delta.constraints.{name}": condition for name, condition in self.constraints.items()}
        listed = ", ".join(f"{quote(name)} = {quote(value)}" for name, value in properties.items())
        partitions = f"\nPARTITIONED BY ({', '.join(self.partition_by)})" if self.partition_by else ""
        return (
            f"CREATE TABLE IF NOT EXISTS {self.name} (\n  {columns}\n) USING delta{partitions}\n"
            f"LOCATION {quote(location)}\nCOMMENT {quote(self.comment)}\nTBLPROPERTIES ({listed})"
        )
