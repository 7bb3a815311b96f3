"""The folders of a checkout that are no packages."""

import importlib.util
from pathlib import Path
from types import ModuleType

from smallcaps.errors import FailedDependency

REPOSITORY = Path(__file__).resolve().parents[2]


def script(name: str, folder: Path) -> ModuleType:
    """A module of a folder that is no package, such as `local` of airflow/."""
    file = folder / f"{name}.py"
    specification = importlib.util.spec_from_file_location(f"{folder.name}_{name}", file)
    if not file.is_file() or specification is None or specification.loader is None:
        raise FailedDependency(f"{file} was not found: this needs a checkout of the repository.")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
