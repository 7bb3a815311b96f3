"""The one list of tables."""

from smallcaps.errors import BadInput
from smallcaps.lake import bronze, bronze_reference, gold, operations, silver
from smallcaps.lake.declaration import Table

_MODULES = (bronze, bronze_reference, silver, gold, operations)
REGISTRY: dict[str, Table] = {table.name: table for module in _MODULES for table in module.TABLES}
LAYERS = ("bronze", "silver", "gold", "ops")


def declared(name: str) -> Table:
    """The declaration of `layer.table`. Raises BadInput naming the tables there are."""
    if name not in REGISTRY:
        raise BadInput(f"There is no table {name!r}. Tables: {', '.join(REGISTRY)}.")
    return REGISTRY[name]
