"""Each Saturday: datasets are frozen, models trained walk-forward, and the gate decides whether one becomes the champion."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from deployment import CHAMPION, EVERY_DAG, deadline, job

with DAG(
    "training",
    schedule=CronTriggerTimetable("0 20 * * SAT", timezone="America/New_York"),
    tags=["models"],
    doc_md=__doc__,
    **EVERY_DAG,
    **deadline(timedelta(hours=16)),
) as dag:
    job("train", "--all", pool="models", execution_timeout=timedelta(hours=12), outlets=[CHAMPION])
