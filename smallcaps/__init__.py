"""smallcaps: finds, studies and models extraordinary moves in US small-cap stocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def read(name: str, version: int | None = None) -> DataFrame:
    """A table of the lake that the settings name, for notebooks: `smallcaps.read("gold.events")`.

    `version` reads it as it was at that Delta version. Raises BadInput where there is no such table.
    """
    from smallcaps.config import load_settings
    from smallcaps.lake import Lake
    from smallcaps.spark import open_session

    settings = load_settings()
    return Lake(settings.lake, open_session(settings)).read(name, version)
