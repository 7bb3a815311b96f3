"""What the DAGs are: parsed by Airflow in its own environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from smallcaps.lake.access import ROLES
from smallcaps.platform.checkout import script
from tests.airflow.environment import AIRFLOW, AIRFLOW_PYTHON
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

EXPECTED = Path(__file__).parent / "dags.json"


def parsed(**told: str) -> dict[str, Any]:
    """What tests/airflow/structure.py prints where section `smallcaps` of Airflow's configuration says so."""
    own = {f"AIRFLOW__SMALLCAPS__{name.upper()}": value for name, value in told.items()}
    script = Path(__file__).parent / "structure.py"
    done = subprocess.run([AIRFLOW_PYTHON, script], env=os.environ | own, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout[done.stdout.index("\n{") :]))


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    return parsed()


def tasks(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {f"{dag}.{name}": task for dag, one in found["dags"].items() for name, task in one["tasks"].items()}


def test_dags_are_parsed_without_an_error_and_without_anything_heavy(here: dict[str, Any]) -> None:
    assert here["errors"] == {}
    assert here["heavy"] == []


def test_dags_are_as_written_down(here: dict[str, Any]) -> None:
    """Where they are meant to change, tests/airflow/structure.py prints what to write down."""
    assert here == json.loads(EXPECTED.read_text())


def test_every_job_is_there_and_has_a_pool_that_is_made(here: dict[str, Any]) -> None:
    pools = {"default_pool", *json.loads((AIRFLOW / "pools.json").read_text())}
    for name, task in tasks(here).items():
        assert task["pool"] in pools, name
        if application := task.get("application"):
            assert (REPOSITORY / application.removeprefix("<repository>/")).is_file(), name


def test_where_an_application_of_emr_serverless_is_named_jobs_are_sent_there_in_their_rooms_role(
    here: dict[str, Any],
) -> None:
    roles = {job: f"arn:aws:iam::123456789012:role/{role.room}" for role in ROLES for job in role.jobs}
    found = tasks(
        parsed(
            emr_application="00f1",
            emr_roles=json.dumps(roles),
            jobs="s3://code/jobs",
            emr_parameters="--conf spark.x=1",
        )
    )
    assert found.keys() == tasks(here).keys()
    for name, task in found.items():
        is_job = "application" in tasks(here)[name] or tasks(here)[name]["operator"] == "SparkSubmitOperator"
        assert (task["operator"] == "EmrServerlessStartJobOperator") == is_job
    refine = found["daily.refine"]
    assert refine["execution_role_arn"] == "arn:aws:iam::123456789012:role/refine"
    submitted = refine["job_driver"]["sparkSubmit"]
    assert submitted["entryPoint"] == "s3://code/jobs/refine.py"
    assert submitted["entryPointArguments"] == tasks(here)["daily.refine"]["application_args"]
    assert submitted["sparkSubmitParameters"] == "--conf spark.x=1"


def test_the_live_tape_and_its_parity_are_there_where_it_runs() -> None:
    found = parsed(live="true", mail="desk@example.com")
    assert found["errors"] == {}
    assert found["dags"]["live"]["schedule"] == "50 3 * * MON-FRI America/New_York"
    assert found["dags"]["daily"]["tasks"]["publish"]["then"] == ["parity"]


def test_closures_are_those_of_the_exchanges_calendar() -> None:
    closures = script("closures", AIRFLOW)
    written = json.loads((AIRFLOW / "dags" / "closures.json").read_text())
    assert written == closures.closures(closures.FIRST, closures.LAST)


def test_sessions_are_weekdays_that_are_no_closures_and_other_years_are_refused() -> None:
    sessions = script("sessions", AIRFLOW / "dags")
    assert sessions.sessions("2026-11-25", "2026-11-30") == ["2026-11-25", "2026-11-27", "2026-11-30"]
    assert sessions.sessions("2026-11-26", "2026-11-26") == []
    for first, last in (("1999-01-04", "2026-11-26"), ("2026-11-26", "2031-01-02"), ("2026-11-27", "2026-11-26")):
        with pytest.raises(ValueError, match=r"no range of days between 2003-01-01 and 2030-12-31"):
            sessions.sessions(first, last)


RETRIED = {
    "Cannot execute: spark-submit. Error code is: 2.": "fail",
    "Cannot execute: spark-submit --from 2024-01-02. Error code is: 3.\nlast line": "fail",
    "Cannot execute: spark-submit. Error code is: 4.": "default",
    "Cannot execute: spark-submit. Error code is: 70.": "fail",
    "Cannot execute: spark-submit. Error code is: -9.": "default",
    "Cannot execute: spark-submit. Error code is: 137.": "default",
    "EMR Serverless job failed: Job failed, please check complete logs. ExitCode: 3. Last few exceptions": "fail",
    "Connection refused": "default",
}


def test_bad_requests_bad_data_and_bugs_are_not_tried_again_and_everything_else_is() -> None:
    script = (
        "import json, sys; from retries import ByExitCode; "
        "print(json.dumps([ByExitCode().evaluate(Exception(text), 1, 3).action.value for text in json.loads(sys.argv[1])]))"
    )
    told = os.environ | {"PYTHONPATH": str(AIRFLOW / "dags")}
    command = [AIRFLOW_PYTHON, "-c", script, json.dumps(list(RETRIED))]
    done = subprocess.run(command, env=told, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == list(RETRIED.values())
