"""Each Sunday: small files become large ones, logs get checkpoints, and files go that no version worth asking for needs."""

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable
from deployment import DEFAULTS, job

with DAG(
    "maintenance",
    schedule=CronTriggerTimetable("0 10 * * SUN", timezone="America/New_York"),
    catchup=False,
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["lake"],
    doc_md=__doc__,
) as dag:
    job("maintain", pool="lake", execution_timeout=timedelta(hours=12))
