"""One market and one sound server for all tests of the package; what misbehaves is started by its test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from smallcaps.sources.simulator.server import Place, running
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import KEY, write_market


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    write_market(folder)
    return folder


@pytest.fixture(scope="session")
def vendor(market: Path) -> Iterator[Place]:
    with running(market, KEY) as place:
        yield place


@pytest.fixture
def asking(vendor: Place) -> Asking:
    return Asking(vendor.origin)
