"""A session, the morning after: its files are waited for, taken in, refined, judged, searched for events, and these are studied.

Another day than the last one: `airflow dags trigger daily --conf '{"day": "2024-06-28"}'`. A day without a session is skipped.
"""

from datetime import timedelta

from airflow.providers.amazon.aws.sensors.s3 import S3KeySensor
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param, chain
from deployment import EVENTS, EVERY_DAG, LABELS, LIVE, deadline, job, session

DAY = "{{ day_of(dag_run, params, ago=1) }}"
LABELLED_FROM = "{{ before(day_of(dag_run, params, ago=1), 21) }}"
"""Labels look five sessions ahead; so a day's bars make certain those of a week before, and of two more for what came late."""
RANGE = ("--from", DAY, "--to", DAY)
KINDS = ("day_aggs_v1", "minute_aggs_v1", "trades_v1", "quotes_v1")
FILES = [f"{{{{ flat_file('{kind}', day_of(dag_run, params, ago=1)) }}}}" for kind in KINDS]


with DAG(
    "daily",
    # The vendor has a day's files about 11:00 New York's time of the next.
    schedule=CronTriggerTimetable("0 6 * * TUE-SAT", timezone="America/New_York"),
    params={"day": Param(None, type=["null", "string"], format="date", description="Session; default: the last one")},
    tags=["lake"],
    doc_md=__doc__,
    **EVERY_DAG,
    **deadline(timedelta(hours=14)),
) as dag:
    files = S3KeySensor(
        task_id="files",
        aws_conn_id="vendor_files",
        bucket_name="flatfiles",
        bucket_key=FILES,
        mode="reschedule",
        poke_interval=timedelta(minutes=10),
        timeout=timedelta(hours=12).total_seconds(),
        execution_timeout=None,
    )
    ingest = job("ingest_all", *RANGE, pool="ingest")
    refine = job("refine", *RANGE, pool="refine")
    quality = job("quality", pool="refine", execution_timeout=timedelta(minutes=15))
    detect = [job("detect_daily", *RANGE, pool="detectors"), job("detect_intraday", *RANGE, pool="detectors")]
    manifest = job("manifest", pool="detectors", outlets=[EVENTS])
    study = [job("features", *RANGE, pool="microstructure"), job("sequences", *RANGE, pool="microstructure")]
    label = job("label", "--from", LABELLED_FROM, "--to", DAY, pool="labels", outlets=[LABELS])
    score = job("score", "--all", *RANGE, pool="models")
    publish = EmptyOperator(task_id="publish")

    chain(session(DAY), files, ingest, refine, quality, detect, manifest, study, label, score, publish)
    if LIVE:
        publish >> job("parity", DAY, pool="streaming")
