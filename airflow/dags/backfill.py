"""Any range of sessions: each day taken in by itself, so many at once as the pool `ingest` has slots; then the range as one.

`airflow dags trigger backfill --conf '{"first": "2024-01-02", "last": "2024-06-28"}'`
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain, task
from deployment import EVENTS, EVERY_DAG, LABELS, job, mapped_job
from sessions import sessions

RANGE = ("--from", "{{ params.first }}", "--to", "{{ params.last }}")
LONG = {"execution_timeout": timedelta(hours=24)}

with DAG(
    "backfill",
    schedule=None,
    params={
        "first": Param(type="string", format="date", description="First session"),
        "last": Param(type="string", format="date", description="Last session"),
    },
    tags=["lake"],
    doc_md=__doc__,
    **EVERY_DAG,
) as dag:

    @task(retries=0)
    def days(first: str, last: str) -> list[list[str]]:
        """A command line a session."""
        return [["--from", day, "--to", day] for day in sessions(first, last)]

    a_day = days("{{ params.first }}", "{{ params.last }}")
    ingest = mapped_job("ingest_all", a_day, pool="ingest")
    refine = job("refine", *RANGE, pool="refine", **LONG)
    quality = job("quality", pool="refine", execution_timeout=timedelta(minutes=15))
    daily = job("detect_daily", *RANGE, pool="detectors", **LONG)
    intraday = mapped_job("detect_intraday", a_day, pool="detectors")
    manifest = job("manifest", pool="detectors", outlets=[EVENTS])
    features, sequences = (mapped_job(name, a_day, pool="microstructure") for name in ("features", "sequences"))
    label = job("label", *RANGE, pool="labels", outlets=[LABELS], **LONG)
    score = job("score", "--all", *RANGE, pool="models", **LONG)

    chain(ingest, refine, quality, [daily, intraday], manifest, [features, sequences], label, score)
