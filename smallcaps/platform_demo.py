"""The platform on one machine: a Spark cluster, a server that speaks AWS's protocols, the simulated vendor and Airflow.

Terraform makes bucket and catalog, Airflow runs the daily DAG for a few simulated sessions on the cluster, one executor and one
driver are killed on the way, and other engines read what is then in the bucket, where the catalog points. It is of a checkout: it
needs `airflow/`, `terraform/` and their programs, which `make platform-demo` sets up.
"""

import importlib.util
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import psutil
from deltalake import DeltaTable
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smallcaps.config import load_settings
from smallcaps.errors import FailedDependency
from smallcaps.lake import REGISTRY
from smallcaps.lake.files import storage_options
from smallcaps.ports import HOST, free_port
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.sources.simulator.server import ACCESS_KEY, running
from smallcaps.spark.cluster import Cluster

REPOSITORY = Path(__file__).resolve().parent.parent
AIRFLOW = REPOSITORY / ".venv-airflow" / "bin" / "airflow"
MARKET = {
    **{"symbols": "24", "days": "8", "to": "2026-10-16", "seed": "5"},
    **{"tick-days": "3", "tick-symbols": "3", "episodes": "150"},
}
"""Options of `smallcaps simulate build`."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key-of-this-machine", "AWS_SECRET_ACCESS_KEY": "secret-of-this-machine"}
VENDOR_KEY = "key-of-the-simulated-vendor"
START_SECONDS = 120.0
RUN_SECONDS = 3600.0
"""That a run of a DAG may take before it is given up."""
EXECUTOR, SUBMIT = "org.apache.spark.executor.CoarseGrainedExecutorBackend", "org.apache.spark.deploy.SparkSubmit"
BUSY_SECONDS = 8.0
"""Of processor time after which a Java is at work, no longer starting."""
KILLED_AT_WORK = {"refine": "executor", "detect_intraday": "worker", "label": "driver"}
"""What is killed, once each, while a job works."""
READERS = ("delta-rs", "Polars", "DuckDB")
Tell = Callable[[str], None]


def script(name: str, folder: Path) -> ModuleType:
    """A module of a folder that is no package, such as `local` of airflow/."""
    specification = importlib.util.spec_from_file_location(f"{folder.name}_{name}", folder / f"{name}.py")
    if specification is None or specification.loader is None:
        raise FailedDependency(f"{folder}/{name}.py was not found: this needs a checkout of the repository.")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@contextmanager
def aws_server() -> Iterator[dict[str, str]]:
    """moto's server on the loopback, in a process of its own; yields the environment that its clients need."""
    port = free_port()
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", HOST, "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection((HOST, port), timeout=1).close()
                break
            except OSError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise FailedDependency("moto_server did not start.") from None
                time.sleep(0.1)
        yield {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{HOST}:{port}", "AWS_REGION": "us-east-1"}
    finally:
        server.terminate()
        server.wait(timeout=30)


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
        """End them, whatever they are at."""
        for process in self.processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.processes = []


def scheduler(folder: Path, told: Mapping[str, str], jars: str, master: str) -> Scheduler:
    """Airflow with its database in `folder`, ready to be started; jobs go to `master`."""
    local = script("local", REPOSITORY / "airflow")
    own = local.environment(folder, jars, free_port(), master, {**os.environ, **told})
    airflow = Scheduler(folder, {**own, **told, "AIRFLOW__SMALLCAPS__DRIVER_MEMORY": "1g"})
    local.prepare(str(AIRFLOW), airflow.told)
    return airflow


@dataclass
class Faults:
    """Kills what KILLED_AT_WORK says; `done` has the jobs in which that has happened."""

    cluster: Cluster
    lake: str
    done: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Kill who is due."""
        for job, victim in KILLED_AT_WORK.items():
            if job in self.done or (driver := driver_of(job, self.lake)) is None:
                continue
            executors = [
                (worker, process)
                for worker in self.cluster.workers
                for process in psutil.Process(worker.pid).children(recursive=True)
                if _works(process, EXECUTOR)
            ]
            if not (executors if victim != "driver" else _works(driver, SUBMIT)):
                continue
            if victim == "driver":
                driver.kill()
            elif victim == "executor":
                executors[0][1].kill()
            else:
                executors[0][0].kill()
            self.done.append(job)


def driver_of(job: str, lake: str) -> psutil.Process | None:
    """The Java of the spark-submit that runs a job on a lake."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if SUBMIT in command and f"{REPOSITORY}/jobs/{job}.py" in command:
            with suppress(psutil.Error):
                if process.environ().get("SMALLCAPS_LAKE") == lake:
                    return process
    return None


def _works(process: psutil.Process, name: str) -> bool:
    """Whether it is a Java of that name that has been busy for some seconds."""
    try:
        return any(name in one for one in process.cmdline()) and process.cpu_times().user > BUSY_SECONDS
    except psutil.Error:
        return False


@dataclass(frozen=True)
class Read:
    """A table where Glue points: rows that each reader counts."""

    table: str
    location: str
    rows: dict[str, int]

    @property
    def agree(self) -> bool:
        """Whether all readers count the same."""
        return len(set(self.rows.values())) == 1


def read_back(databases: Mapping[str, str], layer: str = "gold") -> list[Read]:
    """The tables of a layer that were written, as delta-rs, Polars and DuckDB read them at the place that Glue has."""
    import duckdb
    import polars

    glue, found = boto3.client("glue"), []
    for name in (name for name, table in REGISTRY.items() if table.layer == layer):
        entry = glue.get_table(DatabaseName=databases[layer], Name=name.split(".")[1])["Table"]
        location = entry["StorageDescriptor"]["Location"]
        options = storage_options(location)
        if not DeltaTable.is_deltatable(location, storage_options=options):
            continue
        table = DeltaTable(location, storage_options=options)
        (by_duckdb,) = duckdb.from_arrow(table.to_pyarrow_dataset()).count("*").fetchall()[0]
        rows = {
            READERS[0]: table.to_pyarrow_table().num_rows,
            READERS[1]: polars.scan_delta(location, storage_options=options).select(polars.len()).collect().item(),
            READERS[2]: by_duckdb,
        }
        found.append(Read(name, location, rows))
    return found


@dataclass(frozen=True)
class Platform:
    """What is running, and what Terraform has made: `outputs` are those of its module lakehouse."""

    environment: dict[str, str]
    terraform: Any
    outputs: dict[str, Any]
    cluster: Cluster
    airflow: Scheduler


@contextmanager
def platform(folder: Path, cache: Path, market: Path, dags: Path, tell: Tell) -> Iterator[Platform]:
    """All of it, running, with Airflow on the folder `dags`; within the block the environment is that of its clients.

    Raises FailedDependency where a part does not start.
    """
    local, before = script("local", REPOSITORY / "terraform"), dict(os.environ)
    with ExitStack() as parts:
        parts.callback(os.environ.update, before)
        parts.callback(os.environ.clear)
        environment = parts.enter_context(aws_server())
        os.environ.update(environment, AWS_DEFAULT_REGION=environment["AWS_REGION"])
        tell(f"AWS's protocols at {environment['AWS_ENDPOINT_URL']}")
        terraform = local.copied("dev", folder)
        outputs = terraform.apply_locally()
        tell(f"the lake {outputs['lake']} made by Terraform, with {len(REGISTRY)} tables in Glue")
        vendor = parts.enter_context(running(market, VENDOR_KEY))
        os.environ.update(
            SMALLCAPS_LAKE=outputs["lake"],
            SMALLCAPS_VENDOR__ORIGIN=vendor.origin,
            SMALLCAPS_VENDOR__FILES=vendor.origin,
            SMALLCAPS_VENDOR__REQUESTS_PER_SECOND="500",
            SMALLCAPS_SPARK__SHUFFLE_PARTITIONS="2",
            # A task's Javas live for a minute: the second compiler costs them more than it gains.
            JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            POLYGON_API_KEY=VENDOR_KEY,
            POLYGON_S3_ACCESS_KEY_ID=ACCESS_KEY,
            POLYGON_S3_SECRET_ACCESS_KEY="unverified",  # noqa: S106 - the simulated vendor looks at none  # pragma: allowlist secret
        )
        tell(f"the simulated vendor at {vendor.origin}")
        cluster = parts.enter_context(Cluster(folder / "cluster", cache)).start()
        os.environ.update(cluster.told)
        tell(f"{len(cluster.workers)} workers at {cluster.url}; the master's page is {cluster.page}")
        path = f"{REPOSITORY / 'airflow' / 'dags'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        told = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), "PYTHONPATH": path}
        airflow = scheduler(folder / "airflow", told, "", cluster.url)
        parts.callback(airflow.stop)
        airflow.start(script("local", REPOSITORY / "airflow").PROCESSES)
        tell("Airflow's scheduler knows the DAGs")
        yield Platform(environment, terraform, outputs, cluster, airflow)


@contextmanager
def open_bucket(outputs: Mapping[str, Any]) -> Iterator[None]:
    """Within, the lake's bucket has no policy: moto knows no conditions, so it takes "nothing without TLS" for nothing."""
    bucket, s3 = outputs["buckets"]["lake"], boto3.client("s3")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)
    yield
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)


def main(folder: Path) -> int:
    """Run the daily DAG for the sessions of MARKET that have ticks, show what came of it; returns the exit code."""
    console, cache = Console(), load_settings("local").cache
    began = time.monotonic()

    def tell(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/dim]  {escape(text)}", soft_wrap=True)

    market = folder / "market"
    if not (market / "settings.json").exists():
        settings = [f"--{name}={value}" for name, value in MARKET.items()]
        build = [sys.executable, "-m", "smallcaps.cli.app", "simulate", "build", f"--market={market}", *settings]
        subprocess.run(build, check=True)
    days = tape_days(market, "trades")
    tell(f"a simulated market of {len(days)} sessions with ticks, {days[0]} to {days[-1]}")
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        platform(Path(scratch), cache, market, REPOSITORY / "airflow" / "dags", tell) as running_platform,
        open_bucket(running_platform.outputs),
    ):
        airflow, faults = running_platform.airflow, Faults(running_platform.cluster, running_platform.outputs["lake"])
        fine = True
        for number, day in enumerate(days):
            state = airflow.run("daily", {"day": f"{day}"}, faults.look if number == 0 else lambda: None)
            fine = fine and state == "success"
            tell(f"the daily DAG of {day}: {state}")
            if number == 0:
                again = [name for name, (_, tries) in airflow.tasks("daily").items() if tries > 1]
                killed = ", ".join(f"the {KILLED_AT_WORK[job]} of {job}" for job in faults.done)
                tell(f"killed with -9 on the way: {killed}; tried again by Airflow: {', '.join(again)}")
                running_platform.cluster.add_workers(1)
        found = read_back(running_platform.outputs["databases"])
        table = Table("table", *READERS, "where Glue points")
        for one in found:
            table.add_row(one.table, *(f"{one.rows[reader]:,}" for reader in READERS), one.location)
        console.print(table)
    return 0 if fine and len(faults.done) == len(KILLED_AT_WORK) and all(one.agree for one in found) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
