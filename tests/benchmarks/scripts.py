"""Scripts of benchmarks/ as modules."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

from tests.conftest import REPOSITORY


@contextmanager
def imported(name: str, *beside: str) -> Iterator[ModuleType]:
    """A script as its folder sees it; `beside` are the others there that it imports. Afterwards none of them is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(REPOSITORY / "benchmarks"))
        for one in (name, *beside):
            patch.delitem(sys.modules, one, raising=False)
        yield importlib.import_module(name)
        for one in (name, *beside):
            sys.modules.pop(one, None)
