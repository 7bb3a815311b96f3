"""What the DAGs are, as JSON; run by Airflow's own Python, which the tests' has no part in."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("pyspark", "pandas", "numpy", "pyarrow", "mlflow", "smallcaps")


def described(task: Any) -> dict[str, Any]:
    """A task, in words and numbers."""
    plain = {
        name: getattr(task, name, None) for name in ("application", "application_args", "job_driver", "bucket_key")
    }
    plain["execution_role_arn"] = getattr(task, "execution_role_arn", None)
    return {
        "operator": task.task_type if hasattr(task, "task_type") else type(task).__name__,
        "mapped": task.is_mapped,
        "pool": task.pool,
        "retries": task.retries,
        "stops_by": str(task.execution_timeout),
        "outlets": [outlet.uri for outlet in task.outlets],
        "then": sorted(task.downstream_task_ids),
    } | {name: value for name, value in plain.items() if value}


def scheduled(dag: Any) -> str:
    """When it runs: a cron expression with its time zone, what it waits for, or nothing."""
    if assets := [asset.uri for asset in getattr(getattr(dag.timetable, "asset_condition", None), "objects", [])]:
        return " and ".join(assets)
    expression, zone = (getattr(dag.timetable, name, "") for name in ("expression", "timezone"))
    return f"{expression} {getattr(zone, 'name', zone)}".strip()


def main() -> None:
    """Print it."""
    os.environ |= {"AIRFLOW_HOME": tempfile.mkdtemp(), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    dags = REPOSITORY / "airflow" / "dags"
    sys.path.insert(0, str(dags))
    from airflow.dag_processing.dagbag import DagBag

    before = set(sys.modules)
    bag = DagBag(dags)
    found = {
        "errors": bag.import_errors,
        "heavy": [name for name in HEAVY if name in set(sys.modules) - before],
        "dags": {
            name: {
                "schedule": scheduled(dag),
                "runs_at_once": dag.max_active_runs,
                "tasks": {task.task_id: described(task) for task in dag.tasks},
            }
            for name, dag in sorted(bag.dags.items())
        },
    }
    text = json.dumps(found, indent=1, sort_keys=True, default=str)
    print("\n" + text.replace(str(REPOSITORY), "<repository>"))


if __name__ == "__main__":
    main()
