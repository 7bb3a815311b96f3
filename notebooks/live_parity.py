# Databricks notebook source
# MAGIC %md
# MAGIC # Live parity
# MAGIC Whether the live tape said what the batch job says of the same day, and how soon. On a lake that the live tape
# MAGIC has written to: `make live-demo` leaves one.

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
# MAGIC ## The day
# MAGIC The last one of which alerts landed, unless `DAY` is another, a `date`.

# COMMAND ----------

DAY = None

day = DAY or spark.sql("SELECT max(session_date) AS day FROM gold.live_events").first().day
display(
    spark.sql(f"""
    SELECT detector, count(*) AS events, count(DISTINCT symbol) AS names, min(known_at) AS first, max(known_at) AS last
    FROM gold.live_events WHERE session_date = DATE'{day}' GROUP BY detector ORDER BY detector
""").toPandas()
)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Parity
# MAGIC The batch statement over the messages that landed must say the same of every event in every column (`missing`,
# MAGIC `extra` and `different` are 0). Against the vendor's files of the day the tape may differ by what came late or
# MAGIC never.

# COMMAND ----------

import pandas as pd

from smallcaps.streaming.parity import parity

report = parity(lake, settings, day, ["minute", "trade"])
print(f"{report.differences} differences of the implementation")
display(pd.DataFrame([vars(one) for one in report.implementation]).set_index("detector"))
if report.arrival is not None:
    display(pd.DataFrame([vars(one) for one in report.arrival]).set_index("detector"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## How soon
# MAGIC Seconds to an event's first alert: from the exchange's stamp that completed the evidence, and from its way into
# MAGIC Kafka.

# COMMAND ----------

import matplotlib.pyplot as plt

DAY_SECONDS = 86_400  # A day that was replayed later has no time from the exchange.
soon = {"from the exchange": report.from_exchange, "from Kafka": report.from_kafka}
soon = {name: values for name, values in soon.items() if values and values[0] < DAY_SECONDS}
seconds = pd.DataFrame(soon, index=["p50", "p95", "p99", "most"])
display(seconds.round(2))
figure, axis = plt.subplots(figsize=(6, 3))
seconds.T.plot.barh(ax=axis)
axis.set_xlabel("seconds")
display(figure)
plt.close(figure)
