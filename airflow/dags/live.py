"""The live tape's jobs from 03:50 to 20:15 of a session, New York's time: each is started again as often as it ends before.

Only where section `smallcaps` of Airflow's configuration says `live`. Ingestion, notification and metrics need no Spark and run
beside the broker (docs/operations.md).
"""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from deployment import EVERY_DAG, LIVE, deadline, job, session

TODAY = "{{ day_of(dag_run, params) }}"
REST = ("--seconds", "{{ seconds_until(day_of(dag_run, params), '20:15') }}")
DAY_LONG = {
    "retries": 1000,
    "retry_delay": timedelta(seconds=5),
    "retry_exponential_backoff": 0,
    "execution_timeout": timedelta(hours=17),
}

with DAG(
    "live",
    schedule=CronTriggerTimetable("50 3 * * MON-FRI", timezone="America/New_York") if LIVE else None,
    tags=["live"],
    doc_md=__doc__,
    **EVERY_DAG,
    **deadline(timedelta(hours=17)),
) as dag:
    session(TODAY) >> [
        job("live_land", *REST, **DAY_LONG),
        job("live_detect", "--date", TODAY, *REST, **DAY_LONG),
        job("live_score", "--date", TODAY, *REST, **DAY_LONG),
    ]
