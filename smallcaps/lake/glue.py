"""The lake as Terraform makes it on AWS, generated from the registry: Glue's tables, roles. terraform/lake.json is its output."""

import json
from collections.abc import Sequence
from typing import Any

from smallcaps.lake.access import ROLES, Role
from smallcaps.lake.declaration import Column, Table
from smallcaps.lake.registry import LAYERS, REGISTRY, declared


def glue_definitions() -> str:
    """Every table as Glue takes it and every role with the folders that it reads and writes, JSON."""
    definitions = {
        "tables": {table.name: _table(table) for table in REGISTRY.values()},
        "roles": {role.room: _role(role) for role in ROLES},
    }
    return json.dumps(definitions, indent=1, ensure_ascii=False) + "\n"


def _table(table: Table) -> dict[str, Any]:
    columns = {column.name: column for column in table.all_columns}
    return {
        "layer": table.layer,
        "name": table.name.removeprefix(f"{table.layer}."),
        "description": f"{table.comment}. Written by {table.owner}.",
        "path": table.path,
        "columns": [_column(column) for name, column in columns.items() if name not in table.partition_by],
        "partition_keys": [_column(columns[name]) for name in table.partition_by],
    }


def _column(column: Column) -> dict[str, str]:
    # Types are declared in Spark's short spelling, which is Hive's, and so Glue's.
    return {"name": column.name, "type": column.type, "comment": column.described}


def _role(role: Role) -> dict[str, list[str]]:
    return {
        "jobs": sorted(role.jobs),
        "reads": _folders(role.reads),
        "writes": _folders(role.writes),
    }


def _folders(names: Sequence[str]) -> list[str]:
    """Where tables lie; a whole layer is one folder, for a role's policies may have 10,240 characters."""
    whole = [layer for layer in LAYERS if {name for name in REGISTRY if declared(name).layer == layer} <= {*names}]
    return [*whole, *(declared(name).path for name in names if declared(name).layer not in whole)]
