"""The data dictionary as Markdown, generated from the registry; docs/data-dictionary.md is its output."""

from smallcaps.lake.declaration import ENVELOPE, ORIGIN, Column, Table, Topic, View
from smallcaps.lake.registry import LAYERS, REGISTRY, TOPICS, VIEWS


def data_dictionary() -> str:
    """Every table with its key, layout, constraints and columns, every view and every topic."""
    parts = [
        "# Data dictionary\n\nGenerated from the table registry by `smallcaps tables --markdown`; do not edit.\n",
    ]
    for layer in LAYERS:
        parts.append(f"## {layer}\n")
        parts += [_described(table) for table in REGISTRY.values() if table.layer == layer]
    parts += [
        "## Views\n\nQueries under a name, for [analysts](analysts.md). A table that is not written yet counts as empty.\n",
        *map(_view, VIEWS.values()),
        _topics(),
    ]
    return "\n".join(parts)


def _topics() -> str:
    lines = [
        "## Topics of the live feed\n",
        "What goes over Kafka. A message is a JSON object with the columns below, those of the table that it lands in, and those "
        "named beside it. `smallcaps tables TOPIC --json-schema` prints the whole as JSON Schema. Partitions and retention are "
        "for a start.\n",
        "| topic | version | key | lands in | further columns | channel | partitions | retention | what |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(_topic, TOPICS.values()),
        "",
        *_columns(ENVELOPE),
        *(f"| {name} |  |  | {comment} |" for name, comment in ORIGIN.items()),
    ]
    return "\n".join(lines) + "\n"


def _topic(topic: Topic) -> str:
    further = "; ".join(f"{column.name} {column.type}: {column.comment}" for column in topic.also)
    return (
        f"| {topic.name} | {topic.version} | {topic.key} | {topic.table.name} | {further} | {topic.channel or ''} "
        f"| {topic.partitions} | {topic.retention_hours} h | {topic.comment} |"
    )


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
    return "\n".join([*lines, "", *_columns(table.all_columns)]) + "\n"


def _view(view: View) -> str:
    head = f"### {view.name}\n\n{view.comment}. Made of {_listed(view.reads)}.\n"
    return "\n".join([head, *_columns(view.columns)]) + "\n"


def _columns(columns: tuple[Column, ...]) -> list[str]:
    rows = [
        f"| {column.name} | {column.type}{'' if column.nullable else ' not null'} | {column.unit} | {column.meaning} |"
        for column in columns
    ]
    return ["| column | type | unit | meaning |", "|---|---|---|---|", *rows]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
