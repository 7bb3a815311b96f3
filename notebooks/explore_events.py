# Databricks notebook source
# MAGIC %md
# MAGIC # Explore events
# MAGIC What the detectors found, when, and how the largest of them looked. On a lake that `make demo` or the daily DAG
# MAGIC has filled; which one, `SMALLCAPS_LAKE` says.

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
# MAGIC ## What was found
# MAGIC A row a detector: how many events, of how many names, in which span, and how far beyond the threshold in the
# MAGIC median.

# COMMAND ----------

found = spark.sql("""
    SELECT grain, detector, count(*) AS events, count(DISTINCT security_id) AS names,
           min(session_date) AS first, max(session_date) AS last, round(median(strength), 2) AS median_strength
    FROM gold.events GROUP BY ALL ORDER BY grain, events DESC
""").toPandas()
display(found)

# COMMAND ----------

# MAGIC %md
# MAGIC ## When
# MAGIC Events by month. A month with many names moving together is a market's month rather than a company's.

# COMMAND ----------

import matplotlib.pyplot as plt

by_month = (
    spark.sql("""
    SELECT date_trunc('month', session_date) AS month, detector, count(*) AS events
    FROM gold.events GROUP BY ALL
""")
    .toPandas()
    .pivot(index="month", columns="detector", values="events")
    .fillna(0)
)
figure, axis = plt.subplots(figsize=(9, 3.5))
bottom = 0
for detector in by_month:
    axis.bar(by_month.index, by_month[detector], bottom=bottom, width=25, label=detector.replace("_", " "))
    bottom = bottom + by_month[detector]
axis.set_ylabel("events a month")
axis.legend(fontsize="small", ncols=2, frameon=False)
display(figure)
plt.close(figure)

# COMMAND ----------

# MAGIC %md
# MAGIC ## The strongest
# MAGIC With what was known of the companies at the time. A company of which nothing was filed has no float here.

# COMMAND ----------

strongest = spark.sql("""
    SELECT symbol, session_date, detector, direction, round(strength, 1) AS strength, price,
           round(pct_change, 3) AS change, free_float, sector
    FROM gold.events_in_context
    WHERE grain = 'daily' AND (horizon IS NULL OR (horizon = '5d' AND barrier_width = 1))
    ORDER BY strength DESC, event_id LIMIT 10
""").toPandas()
display(strongest)

# COMMAND ----------

# MAGIC %md
# MAGIC ## How the first of them looked
# MAGIC Two months around it, prices before splits that came later.

# COMMAND ----------

from datetime import timedelta

one = strongest.iloc[0]
before, after = one.session_date - timedelta(days=30), one.session_date + timedelta(days=30)
bars = (
    lake.read("silver.bars_1d")
    .where(f"symbol = '{one.symbol}' AND session_date BETWEEN DATE'{before}' AND DATE'{after}'")
    .orderBy("session_date")
    .toPandas()
)
figure, (price, volume) = plt.subplots(2, figsize=(9, 4.5), sharex=True, height_ratios=(3, 1))
rose = bars.close >= bars.open
for chosen, colour in ((rose, "tab:green"), (~rose, "tab:red")):
    price.vlines(bars.session_date[chosen], bars.low[chosen], bars.high[chosen], colour, linewidth=1)
    price.vlines(bars.session_date[chosen], bars.open[chosen], bars.close[chosen], colour, linewidth=5)
price.axvline(one.session_date, color="grey", linestyle=":")
price.set_ylabel("$")
price.set_title(f"{one.symbol}, {one.detector.replace('_', ' ')} on {one.session_date}", loc="left")
volume.bar(bars.session_date, bars.volume / 1e6, color="tab:blue")
volume.set_ylabel("M shares")
display(figure)
plt.close(figure)
