"""Room: the Spark session and the jars it needs."""

from smallcaps.spark.session import batches_of, open_session, session_jars
from smallcaps.spark.tasks import on_executors

__all__ = ["batches_of", "on_executors", "open_session", "session_jars"]
