"""smallcaps: finds, studies and models extraordinary moves in US small-cap stocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def read(name: str, version: int | None = None) -> DataFrame:
    """A table or view of the lake that the settings name, for notebooks: `smallcaps.read("gold.events")`.

    `version` reads a table as it was at that Delta version. Raises BadInput where there is no such table or version.
    """
    from smallcaps.config import load_settings
    from smallcaps.errors import BadInput
    from smallcaps.lake import VIEWS, Lake
    from smallcaps.spark import open_session

    settings = load_settings()
    lake = Lake(settings.lake, open_session(settings))
    if name not in VIEWS:
        return lake.read(name, version)
    if version is not None:
        raise BadInput(
            f"{name} is a view, which has no versions: read its tables ({', '.join(VIEWS[name].reads)}) at theirs."
        )
    lake.register()
    return lake.spark.table(name)
