# Databricks notebook source
# MAGIC %md
# MAGIC # Microstructure of one event
# MAGIC The tape around an intraday event: what was bid and offered, what was bought and sold, and what the features say
# MAGIC of it.

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
# MAGIC ## The event
# MAGIC The strongest of those with quotes, unless `EVENT` names another.

# COMMAND ----------

EVENT = None

chosen = "" if EVENT is None else f"WHERE event_id = '{EVENT}'"
event = (
    spark.sql(f"""
    SELECT event_id, symbol, session_date, detector, direction, known_at, events.price, strength
    FROM gold.events JOIN (SELECT DISTINCT event_id FROM gold.event_sequences WHERE bid_price IS NOT NULL) USING (event_id)
    {chosen} ORDER BY strength DESC, event_id LIMIT 1
""")
    .toPandas()
    .iloc[0]
)
display(event.to_frame("value"))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Second by second
# MAGIC Best bid and offer, the last price, and the shares that buyers took and sellers hit. What is right of the line
# MAGIC came after the event.

# COMMAND ----------

import matplotlib.pyplot as plt

tape = spark.sql(f"SELECT * FROM gold.event_sequences WHERE event_id = '{event.event_id}' ORDER BY second").toPandas()
figure, (price, flow, net) = plt.subplots(3, figsize=(9, 7), sharex=True, height_ratios=(3, 1.3, 1.3))
price.fill_between(tape.second, tape.bid_price, tape.ask_price, alpha=0.3, step="post", label="bid to offer")
price.step(tape.second, tape.last_price, where="post", color="black", linewidth=0.8, label="last price")
price.set_ylabel("$")
price.legend(frameon=False, fontsize="small")
price.set_title(
    f"{event.symbol}, {event.detector.replace('_', ' ')}, {event.known_at:%Y-%m-%d %H:%M:%S} UTC", loc="left"
)
flow.bar(tape.second, tape.bought, color="tab:green", width=1)
flow.bar(tape.second, -tape.sold, color="tab:red", width=1)
flow.set_ylabel("bought, sold")
net.plot(tape.second, (tape.bought - tape.sold).cumsum())
net.set_ylabel("net so far")
net.set_xlabel("seconds after the event")
for axis in (price, flow, net):
    axis.axvline(0, color="grey", linestyle=":")
display(figure)
plt.close(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## Features
# MAGIC Before the event (known at it) and after it (known later, so no input of a model that decides at the event),
# MAGIC with their units.

# COMMAND ----------

import pandas as pd

from smallcaps.lake import declared

features = lake.read("gold.event_features").where(f"event_id = '{event.event_id}'").toPandas().iloc[0]
units = {column.name: column.unit for column in declared("gold.event_features").all_columns}
both = [name.removesuffix("_before") for name in features.index if name.endswith("_before")]
display(
    pd.DataFrame(
        {
            "before": [features[f"{name}_before"] for name in both],
            "after": [features.get(f"{name}_after") for name in both],
            "unit": [units[f"{name}_before"] for name in both],
        },
        index=[name.replace("_", " ") for name in both],
    )
)
