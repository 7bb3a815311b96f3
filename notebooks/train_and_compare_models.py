# Databricks notebook source
# MAGIC %md
# MAGIC # Train and compare models
# MAGIC Models of what comes of daily events, trained walk-forward on a frozen dataset: each fold is scored by what was
# MAGIC trained before it.

# COMMAND ----------

import pandas as pd
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
# MAGIC ## The dataset
# MAGIC Frozen, with the version of every table that it was made of; `smallcaps dataset rebuild` makes it again to the
# MAGIC bit.

# COMMAND ----------

from smallcaps.models.frozen import current_dataset, described

dataset = current_dataset(lake, settings, "daily")
display(pd.Series(described(lake, dataset), name=dataset).astype(str).str.slice(0, 100).to_frame())

# COMMAND ----------

# MAGIC %md
# MAGIC ## Training
# MAGIC The base rate, a logistic regression and gradient boosting. Runs, metrics and models are logged to MLflow.

# COMMAND ----------

from smallcaps.models.training import train

trained = train(lake, settings, dataset, ["base_rate", "logistic_regression", "gradient_boosting"])
display(pd.DataFrame([{"model": one.algorithm, "events": one.events, "run": one.tracking_run} for one in trained]))

# COMMAND ----------

# MAGIC %md
# MAGIC ## How good
# MAGIC Skill is the share of the base rate's log loss that a model saves: 0 is no better than saying how often it has
# MAGIC come so far. The intervals are of days drawn anew, since the events of a day are not independent. Where an
# MAGIC interval has 0 in it, there is no skill to speak of.

# COMMAND ----------

from smallcaps.serving.model_comparison import compare

runs = ", ".join(f"'{one.tracking_run}'" for one in trained)
predictions = lake.read("gold.predictions").where(f"tracking_run IN ({runs}) AND fold IS NOT NULL").toPandas()
rows = [
    {"target": target.target, "model": model, **vars(score.metrics["log_loss_skill"])}
    for one in compare(predictions, settings.models.bootstrap_samples, settings.models.seed)
    for target in one.targets
    for model, score in target.scores.items()
    if "log_loss_skill" in score.metrics
]
scores = pd.DataFrame(rows)
display(scores.round(4))

# COMMAND ----------

# MAGIC %md
# MAGIC ## Whether a probability means what it says
# MAGIC Events in ten groups by the probability that gradient boosting gave: what it said, and how often it came.

# COMMAND ----------

import matplotlib.pyplot as plt

boosted = predictions[predictions.model.str.endswith("gradient_boosting")]
figure, axis = plt.subplots(figsize=(5, 5))
for target, rows in boosted.groupby("target"):
    groups = rows.groupby(pd.qcut(rows.probability, 10, labels=False, duplicates="drop"))
    axis.plot(groups.probability.mean(), groups.happened.mean(), "o-", label=target)
axis.plot([0, 1], [0, 1], color="grey", linestyle=":")
axis.set_xlabel("said")
axis.set_ylabel("came")
axis.legend(frameon=False)
display(figure)
plt.close(figure)
