"""After new events: what was made of rows that have changed since (a split told late, say) is made again, those days alone."""

from datetime import timedelta

from airflow.sdk import DAG
from deployment import EVENTS, EVERY_DAG, job

with DAG(
    "refresh",
    schedule=[EVENTS],
    tags=["lake"],
    doc_md=__doc__,
    **EVERY_DAG,
) as dag:
    job("refresh", pool="lake", execution_timeout=timedelta(hours=12))
