"""Processes that are killed while a DAG runs, as machines fail."""

from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from smallcaps.platform.checkout import REPOSITORY
from smallcaps.spark.cluster import Cluster

EXECUTOR, SUBMIT = "org.apache.spark.executor.CoarseGrainedExecutorBackend", "org.apache.spark.deploy.SparkSubmit"
BUSY_SECONDS = 5.0
"""Of processor time after which a Java is at work, no longer starting."""
KILLED_AT_WORK = {"refine": "executor", "detect_intraday": "worker", "label": "driver"}
"""What is killed, once each, while a job works."""


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
            with suppress(psutil.NoSuchProcess):
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
