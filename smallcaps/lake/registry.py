"""The one list of tables."""

from smallcaps.errors import BadInput
from smallcaps.lake import bronze, gold, operations, silver
from smallcaps.lake.declaration import Table

REGISTRY: dict[str, Table] = {table.name: table for room in (bronze, silver, gold, operations) for table in room.TABLES}
LAYERS = ("bronze", "silver", "gold", "ops")


def declared(name: str) -> Table:
    """The declaration of `layer.table`. Raises BadInput naming the tables there are."""
    if name not in REGISTRY:
        raise BadInput(f"There is no table {name!r}. Tables: {', '.join(REGISTRY)}.")
    return REGISTRY[name]
