"""How many tasks run at a time."""

from pyspark.sql import SparkSession

from smallcaps.errors import BadInput


def task_slots(spark: SparkSession) -> int:
    """Tasks that the session's executors can run at the same time now."""
    context = spark.sparkContext._jsc.sc()
    profile = context.resourceProfileManager().defaultResourceProfile()
    return int(context.maxNumConcurrentTasks(profile))


def workers_of(spark: SparkSession, wanted: int | None, useful: int) -> int:
    """How many tasks of one barrier stage to start: `wanted`, else as many as are useful and can run. All must run at once, so
    more than there are slots would wait for ever: raises BadInput.
    """
    slots = task_slots(spark)
    if wanted is not None and wanted > slots:
        raise BadInput(
            f"models.workers is {wanted}, but Spark runs {slots} tasks at a time: lower it or add executors."
        )
    return wanted or max(1, min(slots, useful))
