"""The notebooks, run here as Jupyter and Databricks run them: cell after cell, in one namespace."""

from types import ModuleType
from typing import Any

from smallcaps.platform.checkout import script
from tests.conftest import REPOSITORY


def renderer() -> ModuleType:
    """notebooks/render.py."""
    return script("render", REPOSITORY / "notebooks")


def ran(name: str) -> dict[str, Any]:
    """What the notebook's names are in the end."""
    namespace: dict[str, Any] = {}
    for cell in renderer().cells(name):
        if cell.cell_type == "code":
            exec(compile(cell.source, name, "exec"), namespace)
    return namespace
