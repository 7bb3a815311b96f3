"""The daily DAG at reduced size, of a day that is asked for: the same steps with fewer tables, and a job that fails for good."""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain
from deployment import DEFAULTS, MACROS, job, session

DAY = "{{ params.day }}"
RANGE = ("--from", DAY, "--to", DAY)
TABLES = "silver.calendar,silver.securities,silver.bars_1d,silver.bars_1m"

with DAG(
    "reduced",
    schedule=None,
    params={"day": Param(None, type=["null", "string"])},
    default_args=DEFAULTS | {"retry_delay": timedelta(seconds=1), "retry_exponential_backoff": 0},
    user_defined_macros=MACROS,
) as dag:
    chain(
        session(DAY),
        job("ingest_flatfiles", "--kinds", "day_aggs_v1,minute_aggs_v1", *RANGE),
        job("refine", "--tables", TABLES, *RANGE),
        job("detect_intraday", *RANGE),
        job("label", *RANGE),
    )
    job("quality", "silver.nothing")
