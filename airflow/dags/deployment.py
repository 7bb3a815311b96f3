"""How jobs are started here: by spark-submit, to this machine or a cluster, or on EMR Serverless. Nothing else differs by place.

A provider is imported where it is used: MWAA has no Spark's, a machine without mail need not have SMTP's.
Places are in Airflow's own configuration, section `smallcaps` (AIRFLOW__SMALLCAPS__JOBS, …); airflow/README.md lists them.
"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AsyncCallback, BaseOperator, DeadlineAlert, DeadlineReference, task
from airflow.sdk.configuration import conf
from retries import ByExitCode
from sessions import MACROS, sessions

JOBS = conf.get("smallcaps", "jobs", fallback=str(Path(__file__).resolve().parents[2] / "jobs"))
JARS = conf.get("smallcaps", "jars", fallback=None)
DRIVER_MEMORY = conf.get("smallcaps", "driver_memory", fallback="3g")
EMR_APPLICATION = conf.get("smallcaps", "emr_application", fallback=None)
EMR_ROLES: dict[str, str] = json.loads(conf.get("smallcaps", "emr_roles", fallback="{}"))
EMR_PARAMETERS = conf.get("smallcaps", "emr_parameters", fallback="")
MAIL = conf.get("smallcaps", "mail", fallback=None)
LIVE = conf.getboolean("smallcaps", "live", fallback=False)
"""Whether the live tape runs here, so that a day has something to be compared with."""

EVENTS, LABELS, CHAMPION = (Asset(f"smallcaps://{name}") for name in ("gold/events", "gold/event_labels", "champion"))
"""What a DAG makes that another one waits for."""


def _failed_notice() -> list[Any]:
    if MAIL is None:
        return []
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    return [SmtpNotifier(to=MAIL, subject="smallcaps: {{ ti.dag_id }}.{{ ti.task_id }} failed")]


DEFAULTS: dict[str, Any] = {
    "owner": "smallcaps",
    "retries": 3,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=30),
    "retry_policy": ByExitCode(),
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": _failed_notice(),
}
"""Of every task. Jobs write idempotently, so that any of them can be tried again."""
EVERY_DAG: dict[str, Any] = {
    "catchup": False,
    "max_active_runs": 1,
    "default_args": DEFAULTS,
    "user_defined_macros": MACROS,
}


@task.short_circuit(retries=0)
def session(day: str) -> list[str]:
    """The task that skips the rest of a run on a day without a session."""
    return sessions(day, day)


def job(name: str, *arguments: str, **options: Any) -> BaseOperator:
    """The task `name` (a file of jobs/), with its command line. Options are the operator's."""
    return _operator()(**{"task_id": name} | options, **_submission(name), **_command(name, list(arguments)))


def mapped_job(name: str, command_lines: Any, **options: Any) -> Any:
    """A task a command line: of the list of lists of arguments that another task returns."""
    mapped = command_lines.map(lambda arguments: _command(name, arguments))
    return _operator().partial(**{"task_id": name} | options, **_submission(name)).expand_kwargs(mapped)


def deadline(after: timedelta) -> dict[str, Any]:
    """A DAG's arguments for a mail where a run is not done by then; none where nobody is to be told."""
    if MAIL is None:
        return {}
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    mail = {
        "to": MAIL,
        "subject": "smallcaps: {{ dag_run.dag_id }} is late",
        "html_content": f"Not done after {after}.",
    }
    return {
        "deadline": DeadlineAlert(
            reference=DeadlineReference.DAGRUN_QUEUED_AT,
            interval=after,
            callback=AsyncCallback(SmtpNotifier, kwargs=mail),
        )
    }


def _operator() -> type[BaseOperator]:
    if EMR_APPLICATION:
        from airflow.providers.amazon.aws.operators.emr import EmrServerlessStartJobOperator

        return EmrServerlessStartJobOperator
    from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator

    return SparkSubmitOperator


def _submission(name: str) -> dict[str, Any]:
    """What a task needs beside its command line."""
    if EMR_APPLICATION:
        return {"application_id": EMR_APPLICATION, "execution_role_arn": EMR_ROLES[name], "name": name}
    return {
        "application": f"{JOBS}/{name}.py",
        "name": f"smallcaps {name}",
        "jars": JARS,
        "driver_memory": DRIVER_MEMORY,
    }


def _command(name: str, arguments: list[str]) -> dict[str, Any]:
    if not EMR_APPLICATION:
        return {"application_args": arguments}
    script = {"entryPoint": f"{JOBS}/{name}.py", "entryPointArguments": arguments}
    return {"job_driver": {"sparkSubmit": script | {"sparkSubmitParameters": EMR_PARAMETERS}}}
