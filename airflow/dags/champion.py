"""After a training: the champion, who may be a new one, scores the last quarter's events again."""

from airflow.sdk import DAG
from deployment import CHAMPION, DEFAULTS, job
from sessions import MACROS

TODAY = "{{ day_of(dag_run, params) }}"

with DAG(
    "champion",
    schedule=[CHAMPION],
    max_active_runs=1,
    default_args=DEFAULTS,
    user_defined_macros=MACROS,
    tags=["models"],
    doc_md=__doc__,
) as dag:
    job("score", "--all", "--from", "{{ before(day_of(dag_run, params), 91) }}", "--to", TODAY, pool="models")
