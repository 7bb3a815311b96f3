"""One Spark session for the whole run; a lake of its own for every test that asks for one."""

import fcntl
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import types as T

from smallcaps.config import Settings, load_settings
from smallcaps.demo import SIMULATED
from smallcaps.lake import Lake, declared
from smallcaps.sources.simulator.build import build_market
from smallcaps.spark import open_session
from smallcaps.spark.session import FIRST_COMPILER_ALONE
from tests.lake.readers import chosen, rows_of

# New York's and UTC's clocks must not be told apart by the machine's own.
os.environ["TZ"] = "America/Los_Angeles"
time.tzset()
# For products that tests start.
os.environ.setdefault("SPARK_SUBMIT_OPTS", FIRST_COMPILER_ALONE)

KEPT = {"SMALLCAPS_PRIVATE_DATA", "SMALLCAPS_CI"}
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
SHORT_LOGS = {"spark.databricks.delta.delta.log.cacheSize": "50", "spark.databricks.delta.snapshotPartitions": "1"}
"""Five megabytes a table that Delta remembers; it would forget one after an hour. A log of few lines is one task's work."""
REPOSITORY = Path(__file__).parent.parent
SAMPLE = REPOSITORY / "data" / "sample"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full-size", action="store_true", help="guarantees with as many kills and names as are promised")


@pytest.fixture(scope="session")
def full_size(pytestconfig: pytest.Config) -> bool:
    """Whether guarantees are to be held at full size, which takes too long for every run."""
    return bool(pytestconfig.getoption("--full-size"))


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of environment `local`, whatever the shell has set, with a lake that no test shares."""
    for name in [name for name in os.environ if name.startswith("SMALLCAPS_") and name not in KEPT]:
        del os.environ[name]
    return load_settings("local", lake=str(tmp_path_factory.mktemp("lake")))


@pytest.fixture(scope="session")
def spark(settings: Settings) -> Iterator[SparkSession]:
    """The session that the product itself opens, tuned for frames of a few rows.

    Expressions are interpreted: compiling Java for each statement would take longer than the rows. Tests with many rows
    ask for `compiled`; those that start the product in a process of its own run it as it is, compiled. Of the many tables that
    tests make Delta remembers the last ones.
    """
    conf = {**settings.spark.conf, **INTERPRETED, **SHORT_LOGS}
    update = {"shuffle_partitions": 2, "driver_memory": "2g", "conf": conf}
    small = settings.spark.model_copy(update=update)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("SPARK_SUBMIT_OPTS")
        session = open_session(settings.model_copy(update={"spark": small}), "tests")
    yield session
    session.stop()


@pytest.fixture(scope="session")
def simulated_market(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's market in a folder: small, with everything in it; made once for all processes of a run."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "simulated" / "market"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "settings.json").exists():
            build_market(spark, SIMULATED, folder)
    return folder


@contextmanager
def compiling(spark: SparkSession) -> Iterator[None]:
    """Statements are compiled to Java, as in the product, while the block runs."""
    for key in INTERPRETED:
        spark.conf.unset(key)
    yield
    for key, value in INTERPRETED.items():
        spark.conf.set(key, value)


@pytest.fixture
def compiled(spark: SparkSession) -> Iterator[None]:
    """`compiling`, while the test runs."""
    with compiling(spark):
        yield


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path) -> Iterator[Lake]:
    """An empty lake; what the test made known to SQL is forgotten afterwards."""
    yield Lake(str(tmp_path / "lake"), spark)
    for view in spark.sql("SHOW VIEWS").where("isTemporary").collect():
        spark.catalog.dropTempView(view["viewName"])
    for layer in ("bronze", "silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


@pytest.fixture(scope="session")
def private_data() -> Path:
    """The folder of market data that may not be committed; the test skips by name where it is absent."""
    folder = Path(os.environ.get("SMALLCAPS_PRIVATE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "flatfiles").is_dir():
        pytest.skip("private data: set SMALLCAPS_PRIVATE_DATA to the folder that holds flatfiles/")
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that two processes end together."""
    items.sort(key=lambda item: not {"integration", "terraform", "test_live_day.py"} & {*item.path.parts})


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under continuous integration (SMALLCAPS_CI) a skipped test fails the run, unless it needs private data."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("SMALLCAPS_CI") or reporter is None:
        return
    skipped = [report for report in reporter.stats.get("skipped", []) if "private data" not in str(report.longrepr)]
    if skipped:
        names = ", ".join(report.nodeid for report in skipped)
        reporter.write_line(f"skipped where nothing may be skipped: {names}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="module")
def written(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake of the chosen tables, written as jobs write them."""
    lake = Lake(str(tmp_path_factory.mktemp("readers")), spark)

    def write(name: str) -> None:
        fields = declared(name).schema.fields[:-1]
        lake.replace(name, spark.createDataFrame(rows_of(declared(name)), T.StructType(fields)), None, "run")

    with ThreadPoolExecutor(4) as threads:
        [*threads.map(write, chosen())]
    yield lake
    for layer in ("bronze", "silver", "gold", "ops"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")
