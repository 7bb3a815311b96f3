"""Room: the Spark session and the jars it needs."""

from smallcaps.spark.session import open_session, session_jars
from smallcaps.spark.tasks import on_executors

__all__ = ["on_executors", "open_session", "session_jars"]
