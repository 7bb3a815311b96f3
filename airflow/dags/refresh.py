"""After new events: what was made of rows that have changed since (a split told late, say) is made again, those days alone."""

from datetime import timedelta

from airflow.sdk import DAG
from deployment import DEFAULTS, EVENTS, job

with DAG(
    "refresh",
    schedule=[EVENTS],
    max_active_runs=1,
    default_args=DEFAULTS,
    tags=["lake"],
    doc_md=__doc__,
) as dag:
    job("refresh", pool="lake", execution_timeout=timedelta(hours=12))
