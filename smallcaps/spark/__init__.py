"""Room: the Spark session and the jars it needs."""

from smallcaps.spark.class_archive import record_class_archive
from smallcaps.spark.session import batches_of, open_session, runs_here, session_jars
from smallcaps.spark.slots import task_slots, workers_of
from smallcaps.spark.tasks import on_executors

__all__ = [
    "batches_of",
    "on_executors",
    "open_session",
    "record_class_archive",
    "runs_here",
    "session_jars",
    "task_slots",
    "workers_of",
]
