"""Jobs that fail: one for good, one that the test kills the first time."""

from datetime import timedelta

from airflow.sdk import DAG
from deployment import DEFAULTS, job

with DAG(
    "attempts",
    schedule=None,
    default_args=DEFAULTS | {"retries": 2, "retry_delay": timedelta(seconds=1), "retry_exponential_backoff": 0},
) as dag:
    job("quality", "silver.nothing")
    job("maintain")
