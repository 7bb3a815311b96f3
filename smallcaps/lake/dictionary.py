"""The data dictionary as Markdown, generated from the registry; docs/data-dictionary.md is its output."""

from smallcaps.lake.declaration import Table
from smallcaps.lake.registry import LAYERS, REGISTRY


def data_dictionary() -> str:
    """Every table with its key, layout, constraints and columns."""
    parts = [
        "# Data dictionary\n\nGenerated from the table registry by `smallcaps tables --markdown`; do not edit.\n",
    ]
    for layer in LAYERS:
        parts.append(f"## {layer}\n")
        parts += [_described(table) for table in REGISTRY.values() if table.layer == layer]
    return "\n".join(parts)


def _described(table: Table) -> str:
    lines = [f"### {table.name}\n", f"{table.comment}. Written by `{table.owner}`. Key: {_listed(table.key)}."]
    if table.partition_by:
        lines.append(f"Partitioned by {_listed(table.partition_by)}.")
    if table.sort_by:
        lines.append(f"Sorted by {_listed(table.sort_by)}.")
    if table.conditions:
        lines.append(
            "\nConstraints: " + "; ".join(f"`{name}`: `{sql}`" for name, sql in table.conditions.items()) + "."
        )
    if table.expectations:
        told = [f"`{one.name}` ({one.severity}): {one.words}" for one in table.expectations]
        lines.append("\nExpected beyond that: " + "; ".join(told) + ".")
    lines += ["\n| column | type | unit | meaning |", "|---|---|---|---|"]
    lines += [
        f"| {column.name} | {column.type}{'' if column.nullable else ' not null'} | {column.unit} | {column.comment} |"
        for column in table.all_columns
    ]
    return "\n".join(lines) + "\n"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
