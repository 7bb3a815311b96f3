"""Room: the Spark session and the jars it needs."""

from smallcaps.spark.session import open_session

__all__ = ["open_session"]
