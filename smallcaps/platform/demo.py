"""All of it at once: a Spark cluster, a server that speaks AWS's protocols, the simulated vendor, MLflow and Airflow.

Terraform makes bucket and catalog, Airflow runs the daily DAG for a few simulated sessions on the cluster, an executor, a worker
and a driver are killed on the way, and other engines read what is then in the bucket, where the catalog points.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from smallcaps.config import load_settings
from smallcaps.lake import REGISTRY
from smallcaps.platform.airflow import Scheduler, scheduler
from smallcaps.platform.aws import aws_server, open_bucket
from smallcaps.platform.checkout import REPOSITORY, script
from smallcaps.platform.faults import KILLED_AT_WORK, Faults
from smallcaps.platform.mlflow import mlflow_server
from smallcaps.platform.readers import READERS, read_back
from smallcaps.sources.simulator.layout import tape_days
from smallcaps.sources.simulator.server import ACCESS_KEY, running
from smallcaps.spark import session_jars
from smallcaps.spark.cluster import Cluster
from smallcaps.spark.session import FIRST_COMPILER_ALONE

MARKET = {
    **{"symbols": "24", "days": "8", "to": "2026-10-16", "seed": "5"},
    **{"tick-days": "3", "tick-symbols": "3", "episodes": "150"},
}
"""Options of `smallcaps simulate build`."""
VENDOR_KEY, VENDOR_SECRET = "key-of-the-simulated-vendor", "secret-of-the-simulated-vendor"  # pragma: allowlist secret
FILLED = ("events", "core_manifest", "event_features", "event_sequences", "event_labels")
"""Tables of gold that the daily DAG fills."""
Tell = Callable[[str], None]


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
            JAVA_TOOL_OPTIONS=f"{FIRST_COMPILER_ALONE} -XX:+UseSerialGC",
            POLYGON_API_KEY=VENDOR_KEY,
            POLYGON_S3_ACCESS_KEY_ID=ACCESS_KEY,
            POLYGON_S3_SECRET_ACCESS_KEY=VENDOR_SECRET,
        )
        tell(f"the simulated vendor at {vendor.origin}")
        os.environ["SMALLCAPS_TRACKING_URI"] = parts.enter_context(mlflow_server(folder / "mlflow"))
        tell(f"MLflow at {os.environ['SMALLCAPS_TRACKING_URI']}")
        cluster = parts.enter_context(Cluster(folder / "cluster", cache)).start()
        os.environ.update(cluster.told)
        tell(f"{len(cluster.workers)} workers at {cluster.url}; the master's page is {cluster.page}")
        path = f"{REPOSITORY / 'airflow' / 'dags'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        told = {"AIRFLOW__CORE__DAGS_FOLDER": str(dags), "PYTHONPATH": path}
        jars = ",".join(map(str, session_jars(load_settings("local"))))
        airflow = scheduler(folder / "airflow", told, jars, cluster.url)
        parts.callback(airflow.stop)
        airflow.start(script("local", REPOSITORY / "airflow").PROCESSES)
        tell("Airflow's scheduler knows the DAGs")
        yield Platform(environment, terraform, outputs, cluster, airflow)


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
    filled = {one.table for one in found if one.agree and all(one.rows.values())}
    return (
        0 if fine and len(faults.done) == len(KILLED_AT_WORK) and filled >= {f"gold.{name}" for name in FILLED} else 1
    )


if __name__ == "__main__":
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda *_: sys.exit(1))
    sys.exit(main(Path(sys.argv[1]).resolve()))
