"""Airflow on this machine: what it is set to, and its processes until interrupted. Everything listens on the loopback alone.

    .venv-airflow/bin/python airflow/local.py FOLDER

FOLDER holds its database, logs and the password of its one user, admin. Python's standard library is all that this needs.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

AIRFLOW = Path(__file__).resolve().parent
REPOSITORY = AIRFLOW.parent
PROCESSES = (
    ("api-server",),
    ("scheduler", "--skip-serve-logs"),
    ("dag-processor",),
    ("triggerer", "--skip-serve-logs"),
)


def environment(
    folder: Path, jars: str, port: int = 8080, spark: str = "local[2]", told: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """What Airflow is told on this machine, with its own files in `folder`; `jars` is what `smallcaps jars` prints.

    The rest of the environment, `told`, comes along, the lake and the vendor's keys among it. Spark is that of the project's own
    environment, `.venv`; `spark` is its master.
    """
    secret = _secret(folder)
    master, colon, spark_port = spark.rpartition(":") if spark.startswith("spark://") else (spark, "", "")
    connection = {"conn_type": "spark", "host": master, "extra": {"spark-binary": "spark-submit"}}
    connection |= {"port": int(spark_port)} if colon else {}
    own = {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__DAGS_FOLDER": str(AIRFLOW / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{folder}/airflow.db",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": secret,
        "AIRFLOW__API_AUTH__JWT_SECRET": secret,
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "AIRFLOW__SMALLCAPS__JARS": jars,
        "AIRFLOW_CONN_SPARK_DEFAULT": json.dumps(connection),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PATH": f"{REPOSITORY / '.venv' / 'bin'}:{told['PATH']}",
        "PYSPARK_PYTHON": str(REPOSITORY / ".venv" / "bin" / "python"),
    }
    return {**told, **_vendor(told), **own}


def prepare(airflow: str, told: Mapping[str, str]) -> None:
    """Make the database and the pools, by the program `airflow`."""
    for command in (["db", "migrate"], ["pools", "import", str(AIRFLOW / "pools.json")]):
        subprocess.run([airflow, *command], env=dict(told), check=True, stdout=subprocess.DEVNULL)


def _secret(folder: Path) -> str:
    """What its processes know each other by, made once a folder."""
    file = folder / "secret"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return file.read_text()


def _vendor(told: Mapping[str, str]) -> dict[str, str]:
    """The connection to the vendor's flat files, from the keys that the jobs use."""
    if "AIRFLOW_CONN_VENDOR_FILES" in told:
        return {}
    place = told.get("SMALLCAPS_VENDOR__FILES", "https://files.massive.com")
    keys = {"login": told.get("POLYGON_S3_ACCESS_KEY_ID", ""), "password": told.get("POLYGON_S3_SECRET_ACCESS_KEY", "")}
    return {"AIRFLOW_CONN_VENDOR_FILES": json.dumps({"conn_type": "aws", **keys, "extra": {"endpoint_url": place}})}


def main(folder: Path) -> int:
    """Run until interrupted, or until one of the processes ends."""
    jars = subprocess.run(["smallcaps", "jars"], check=True, capture_output=True, text=True).stdout.strip()
    told = environment(folder.resolve(), jars)
    airflow = str(Path(sys.executable).parent / "airflow")
    prepare(airflow, told)
    running = [subprocess.Popen([airflow, *process], env=told) for process in PROCESSES]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        os.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
