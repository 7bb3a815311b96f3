"""The one list of tables, and those of views and topics."""

from smallcaps.errors import BadInput
from smallcaps.lake import bronze, bronze_reference, gold, operations, silver, topics, views
from smallcaps.lake.declaration import Table, Topic, View

_MODULES = (bronze, bronze_reference, silver, gold, operations)
REGISTRY: dict[str, Table] = {table.name: table for module in _MODULES for table in module.TABLES}
LAYERS = ("bronze", "silver", "gold", "ops")
VIEWS: dict[str, View] = {view.name: view for view in views.VIEWS}
TOPICS: dict[str, Topic] = {topic.name: topic for topic in topics.TOPICS}


def declared(name: str) -> Table:
    """The declaration of `layer.table`. Raises BadInput naming the tables there are."""
    if name not in REGISTRY:
        raise BadInput(f"There is no table {name!r}. Tables: {', '.join(REGISTRY)}.")
    return REGISTRY[name]


def declared_topic(name: str) -> Topic:
    """The declaration of a topic. Raises BadInput naming the topics there are."""
    if name not in TOPICS:
        raise BadInput(f"There is no topic {name!r}. Topics: {', '.join(TOPICS)}.")
    return TOPICS[name]
