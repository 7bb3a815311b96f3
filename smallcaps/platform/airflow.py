"""Airflow on this machine, asked for runs of its DAGs."""

import json
import os
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from smallcaps.errors import FailedDependency
from smallcaps.platform.checkout import REPOSITORY, script
from smallcaps.ports import free_port

AIRFLOW = REPOSITORY / ".venv-airflow" / "bin" / "airflow"
RUN_SECONDS = 3600.0
"""That a run of a DAG may take before it is given up."""


@dataclass
class Scheduler:
    """Airflow's processes; their files are in `folder`, their environment is `told`."""

    folder: Path
    told: Mapping[str, str]
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def command(self, *arguments: str) -> str:
        """What a command of Airflow's says. Raises FailedDependency where it fails."""
        done = subprocess.run(
            [AIRFLOW, *arguments], env=dict(self.told), capture_output=True, text=True, timeout=RUN_SECONDS, check=False
        )
        if done.returncode:
            raise FailedDependency(f"airflow {arguments[0]} failed: {(done.stdout + done.stderr)[-2000:]}")
        return done.stdout + done.stderr

    def start(self, processes: Sequence[Sequence[str]]) -> None:
        """Start them, and have them know the DAGs."""
        with (self.folder / "processes.log").open("ab") as log:
            for process in processes:
                command = [str(AIRFLOW), *process]
                self.processes.append(
                    subprocess.Popen(command, env=dict(self.told), stdout=log, stderr=log, start_new_session=True)
                )
        self.command("dags", "reserialize")

    def run(self, dag: str, conf: Mapping[str, str], look: Callable[[], None] = lambda: None) -> str:
        """Have a DAG run and wait for its end; returns the run's state. `look` is called twice a second."""
        name = "_".join((dag, *conf.values()))
        self.command("dags", "unpause", dag)
        self.command("dags", "trigger", dag, "--run-id", name, "--conf", json.dumps(dict(conf)))
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            look()
            [(state,)] = self.rows("SELECT state FROM dag_run WHERE run_id = ?", name)
            if state in ("success", "failed"):
                return str(state)
            time.sleep(0.5)
        raise FailedDependency(f"The run {name} has not ended in {RUN_SECONDS:.0f} s. See {self.folder}/logs.")

    def tasks(self, dag: str) -> dict[str, tuple[str | None, int]]:
        """State and number of tries by task, of the DAG's last run."""
        query = (
            "SELECT task_id, state, try_number FROM task_instance WHERE run_id = "
            "(SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1)"
        )
        return {name: (state, tries) for name, state, tries in self.rows(query, dag)}

    def rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """What Airflow's database answers."""
        with closing(sqlite3.connect(f"file:{self.folder}/airflow.db?mode=ro", uri=True, timeout=30)) as database:
            return database.execute(query, values).fetchall()

    def stop(self) -> None:
        """End them and all that they have started, whatever they are at."""
        # Tasks are in groups of processes of their own.
        begun = [child for one in self.processes for child in psutil.Process(one.pid).children(recursive=True)]
        for process in self.processes:
            process.kill()
            process.wait()
        for child in begun:
            with suppress(psutil.NoSuchProcess):
                child.kill()
        self.processes = []


def scheduler(folder: Path, told: Mapping[str, str], jars: str, master: str) -> Scheduler:
    """Airflow with its database in `folder`, ready to be started; jobs go to `master`."""
    local = script("local", REPOSITORY / "airflow")
    own = local.environment(folder, jars, free_port(), master, {**os.environ, **told})
    # A run that is due by the clock would wait for files of a real day, and those that are asked for behind it.
    fixed = {"AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False", "AIRFLOW__SMALLCAPS__DRIVER_MEMORY": "1g"}
    airflow = Scheduler(folder, {**own, **told, **fixed})
    local.prepare(str(AIRFLOW), airflow.told)
    return airflow
