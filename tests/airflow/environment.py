"""Where Airflow and its environment are."""

import importlib.util
from pathlib import Path
from types import ModuleType

from tests.conftest import REPOSITORY

AIRFLOW = REPOSITORY / "airflow"
AIRFLOW_PYTHON = REPOSITORY / ".venv-airflow" / "bin" / "python"
AIRFLOW_COMMAND = str(AIRFLOW_PYTHON.parent / "airflow")


def loaded(name: str, folder: Path) -> ModuleType:
    """A module of the DAGs, which are no package."""
    specification = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
