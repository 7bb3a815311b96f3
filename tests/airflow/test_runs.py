"""The DAGs run: the daily one as a whole, on a simulated session; under the scheduler a job that fails and one that is killed."""

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from smallcaps.config import load_settings
from smallcaps.lake import Lake, recorded_run
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.sources.simulator.server import ACCESS_KEY, running
from smallcaps.spark import session_jars
from smallcaps.streaming.broker import free_port
from tests.airflow.environment import AIRFLOW, AIRFLOW_COMMAND, loaded

pytestmark = pytest.mark.slow

KEY = "key-that-nobody-may-see-93ac"
SECONDS = 1800
"""That a run may take before it is given up."""


@dataclass(frozen=True)
class Installed:
    """Airflow with a database of its own."""

    told: dict[str, str]
    folder: Path

    def run(self, *command: str) -> str:
        """What a command of Airflow's says."""
        done = subprocess.run(
            [AIRFLOW_COMMAND, *command], env=self.told, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"[-4000:]
        return done.stdout + done.stderr

    def tasks(self, dag: str) -> dict[str, tuple[str | None, int]]:
        """State and number of tries by task."""
        with closing(sqlite3.connect(f"file:{self.folder}/airflow.db?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT task_id, state, try_number FROM task_instance WHERE dag_id = ?", (dag,))
            return {name: (state, tries) for name, state, tries in rows}


def installed(folder: Path, **told: str) -> Installed:
    """Airflow in `folder`; `told` joins its environment."""
    jars = ",".join(map(str, session_jars(load_settings("local"))))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setenv(name, value)
        local = loaded("local", AIRFLOW)
        own = local.environment(folder, jars, free_port())
    airflow = Installed(own | told | {"AIRFLOW__SMALLCAPS__DRIVER_MEMORY": "1g"}, folder)
    local.prepare(AIRFLOW_COMMAND, airflow.told)
    return airflow


@pytest.fixture(scope="module")
def session(spark: SparkSession, simulated_market: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The lake after a run of the daily DAG, of the simulated market's last session, from the simulated vendor."""
    folder = tmp_path_factory.mktemp("airflow")
    with running(simulated_market, KEY) as place:
        airflow = installed(
            folder / "home",
            SMALLCAPS_LAKE=str(folder / "lake"),
            SMALLCAPS_VENDOR__ORIGIN=place.origin,
            SMALLCAPS_VENDOR__FILES=place.origin,
            SMALLCAPS_VENDOR__REQUESTS_PER_SECOND="500",
            POLYGON_API_KEY=KEY,
            POLYGON_S3_ACCESS_KEY_ID=ACCESS_KEY,
            POLYGON_S3_SECRET_ACCESS_KEY="unverified",
        )
        day = tape_days(simulated_market, "trades")[-1]
        said = airflow.run("dags", "test", "daily", "--conf", json.dumps({"day": f"{day}"}))
    assert {state for state, _ in airflow.tasks("daily").values()} == {"success"}, said[-4000:]
    assert KEY not in said
    return Lake(str(folder / "lake"), spark)


@pytest.mark.long
def test_the_daily_dag_takes_a_session_in_and_finds_and_studies_its_events(session: Lake) -> None:
    for name in ("bronze.trades", "silver.bars_1m", "gold.events", "gold.event_features", "gold.event_labels"):
        assert not session.read(name).isEmpty(), name
    runs = session.read("ops.runs").collect()
    assert {row.outcome for row in runs} == {"succeeded"}
    assert {row.job for row in runs} >= {"ingest rest", "ingest flatfiles", "refine", "detect minute", "label"}


@pytest.fixture
def scheduled(lake: Lake, tmp_path: Path) -> Iterator[Installed]:
    """Airflow with its scheduler, on the DAG of tests/airflow/dags and a lake of one run."""
    with recorded_run(lake, "ingest", {}, "settings"):
        pass
    airflow = installed(
        tmp_path / "home",
        SMALLCAPS_LAKE=lake.root,
        AIRFLOW__CORE__DAGS_FOLDER=str(Path(__file__).parent / "dags"),
        AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
        PYTHONPATH=f"{AIRFLOW / 'dags'}:{os.environ.get('PYTHONPATH', '')}",
    )
    logs = (tmp_path / "processes.log").open("w")
    processes = [
        subprocess.Popen(
            [AIRFLOW_COMMAND, *process], env=airflow.told, stdout=logs, stderr=logs, start_new_session=True
        )
        for process in loaded("local", AIRFLOW).PROCESSES
        if process[0] != "triggerer"
    ]
    yield airflow
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    logs.close()


def java_of(script: str, lake: Lake) -> int | None:
    """The process of spark-submit that runs a job on the lake."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, told = ((process / name).read_bytes().decode() for name in ("cmdline", "environ"))
        except OSError:
            continue
        if "SparkSubmit" in command and f"/{script}" in command and f"SMALLCAPS_LAKE={lake.root}\0" in told:
            return int(process.name)
    return None


def test_bad_input_fails_at_once_and_a_job_that_is_killed_is_tried_again(scheduled: Installed, lake: Lake) -> None:
    scheduled.run("dags", "reserialize")
    scheduled.run("dags", "trigger", "attempts")

    deadline, killed = time.monotonic() + 180, False
    while time.monotonic() < deadline:
        if not killed and (java := java_of("maintain.py", lake)) is not None:
            os.kill(java, signal.SIGKILL)
            killed = True
        found = scheduled.tasks("attempts")
        if (
            killed
            and found.keys() == {"quality", "maintain"}
            and {"success", "failed"} >= {s for s, _ in found.values()}
        ):
            break
        time.sleep(0.5)

    assert scheduled.tasks("attempts") == {"quality": ("failed", 1), "maintain": ("success", 2)}
    runs = [(row.job, row.outcome) for row in lake.read("ops.runs").orderBy("started_at").collect()]
    assert runs[-1] == ("maintain", "succeeded")
