# Databricks notebook source
# MAGIC %md
# MAGIC # Event study with cohorts
# MAGIC How prices went before and after events, and what came of those that are alike.
# MAGIC
# MAGIC **All of this is hindsight**: it describes, it chooses nothing. What could be known at an event is in
# MAGIC `gold.earlier_times`.

# COMMAND ----------

from IPython.display import display

from smallcaps.config import load_settings
from smallcaps.lake import Lake
from smallcaps.spark import open_session

settings = load_settings()
spark = open_session(settings)  # Databricks' own, where there is one
lake = Lake(settings.lake, spark)
known = lake.register()

# COMMAND ----------

# MAGIC %md
# MAGIC ## The path around an event
# MAGIC Close against the close of the session before the event, in the event's direction and without splits, five
# MAGIC sessions before to ten after. The band has half of the events.

# COMMAND ----------

BEFORE, AFTER = 5, 10
paths = spark.sql(f"""
    WITH bars AS (
        SELECT security_id, session_date, close / cumulative_factor AS close,
               row_number() OVER (PARTITION BY security_id ORDER BY session_date) AS place
        FROM silver.bars_1d
    ), at AS (
        SELECT event_id, detector, direction, bars.security_id, place
        FROM gold.events JOIN bars USING (security_id, session_date)
        WHERE grain = 'daily' AND direction <> 0 AND NOT possible_missing_split
    ), moves AS (
        SELECT detector, bars.place - at.place AS session,
               at.direction * (bars.close / (first(CASE WHEN bars.place = at.place - 1 THEN bars.close END, true)
                   OVER (PARTITION BY event_id)) - 1) AS move
        FROM at JOIN bars ON bars.security_id = at.security_id AND bars.place BETWEEN at.place - {BEFORE} AND at.place + {AFTER}
    )
    SELECT detector, session, count(*) AS events, median(move) AS median,
           percentile(move, 0.25) AS low, percentile(move, 0.75) AS high
    FROM moves WHERE move IS NOT NULL GROUP BY ALL ORDER BY ALL
""").toPandas()
display(paths[paths.session.isin([0, 1, AFTER])])

# COMMAND ----------

import matplotlib.pyplot as plt

detectors = list(paths.detector.unique())
figure, axes = plt.subplots(1, len(detectors), figsize=(3 * len(detectors), 3), sharey=True, squeeze=False)
for axis, detector in zip(axes[0], detectors, strict=True):
    path = paths[paths.detector == detector]
    axis.fill_between(path.session, 100 * path.low, 100 * path.high, alpha=0.25)
    axis.plot(path.session, 100 * path["median"])
    axis.axvline(0, color="grey", linestyle=":")
    axis.set_title(f"{detector.replace('_', ' ')} ({path.events.max():,})", fontsize="medium")
    axis.set_xlabel("sessions after")
axes[0][0].set_ylabel("% in its direction")
figure.tight_layout()
display(figure)
plt.close(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Cohorts
# MAGIC Events that are alike, of one barrier width and horizon: how often the move went on, and how often it turned. A
# MAGIC share of few events says little, so it stands with the interval that has it with 95 % (Wilson), as if events
# MAGIC were independent; those of few names are not.

# COMMAND ----------

cohorts = spark.sql("""
    SELECT detector, direction, price_bucket, events, names, continuation_share AS share, reversal_share, median_return
    FROM gold.cohorts WHERE horizon = '5d' AND barrier_width = 1 AND events >= 20 ORDER BY events DESC LIMIT 15
""").toPandas()
n, p, z = cohorts.events, cohorts.share, 1.96
middle, half = (p + z**2 / (2 * n)) / (1 + z**2 / n), z * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5 / (1 + z**2 / n)
cohorts["low"], cohorts["high"] = middle - half, middle + half
display(cohorts.round(3))

# COMMAND ----------

names = [
    f"{row.detector.replace('_', ' ')} {'up' if row.direction > 0 else 'down'}, {row.price_bucket.replace('_', ' ')}"
    for row in cohorts.itertuples()
]
figure, axis = plt.subplots(figsize=(8, 0.35 * len(cohorts) + 1))
axis.errorbar(
    cohorts.share, names, xerr=[cohorts.share - cohorts.low, cohorts.high - cohorts.share], fmt="o", capsize=3
)
axis.invert_yaxis()
axis.set_xlim(0, 1)
axis.set_xlabel("share that went on by a barrier's width first")
display(figure)
plt.close(figure)
