"""Each Sunday: small files become large ones, logs get checkpoints, and files go that no version worth asking for needs."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from deployment import EVERY_DAG, job

with DAG(
    "maintenance",
    schedule=CronTriggerTimetable("0 10 * * SUN", timezone="America/New_York"),
    tags=["lake"],
    doc_md=__doc__,
    **EVERY_DAG,
) as dag:
    job("maintain", pool="lake", execution_timeout=timedelta(hours=12))
