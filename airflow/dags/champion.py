"""After a training: the champion, who may be a new one, scores the last quarter's events again."""

from airflow.sdk import DAG
from deployment import CHAMPION, EVERY_DAG, job

TODAY = "{{ day_of(dag_run, params) }}"

with DAG(
    "champion",
    schedule=[CHAMPION],
    tags=["models"],
    doc_md=__doc__,
    **EVERY_DAG,
) as dag:
    job("score", "--all", "--from", "{{ before(day_of(dag_run, params), 91) }}", "--to", TODAY, pool="models")
