"""Upkeep of the lake's tables: small files become large ones, logs get checkpoints, files that nothing needs go.

No row changes. What jobs left stays known to `smallcaps stale`, since it follows files through their becoming others.
A file is needed by the version there is now, by those of the last `retention_days`, and by the inputs of datasets that were
frozen in the last `rebuild_days`, so that `smallcaps dataset rebuild` can read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.lake.runs import Run, recorded_run
from smallcaps.lake.store import Lake


@dataclass(frozen=True)
class Kept:
    """What upkeep did to a table: how many files became how many, how many went, how long ago the oldest is that is needed."""

    table: str
    compacted: int
    made: int
    removed: int
    retention: timedelta
    checkpoint: bool


def maintain(lake: Lake, settings: Settings, tables: Sequence[str]) -> list[Kept]:
    """Keep up `tables`, one after the other; those that were never written are left out."""
    done = []
    with recorded_run(lake, "maintain", {"tables": list(tables)}, settings.digest()) as run:
        frozen = _oldest_inputs(lake, timedelta(settings.maintenance.rebuild_days))
        for name in tables:
            if lake.exists(name):
                done.append(_keep(run, name, timedelta(settings.maintenance.retention_days), frozen.get(name)))
        run.note = f"{sum(one.compacted for one in done)} files became {sum(one.made for one in done)}, " + (
            f"{sum(one.removed for one in done)} went, {sum(one.checkpoint for one in done)} checkpoints"
        )
    return done


def _keep(run: Run, name: str, retention: timedelta, oldest: int | None) -> Kept:
    lake = run.lake
    compacted, made = lake.compact(name, run.run_id)
    if oldest is not None:
        retention = max(retention, datetime.now(UTC) - lake.committed_at(name, oldest))
    return Kept(name, compacted, made, lake.vacuum(name, retention), retention, lake.checkpoint(name))


def _oldest_inputs(lake: Lake, rebuilt: timedelta) -> dict[str, int]:
    """Of each table that a dataset frozen within `rebuilt` is made of: the oldest version."""
    if not lake.exists("gold.datasets"):
        return {}
    frozen = lake.read("gold.datasets").select("run_id", F.explode("input_versions").alias("name", "version"))
    runs = lake.read("ops.runs").where(F.col("started_at") >= F.lit(datetime.now(UTC) - rebuilt)).select("run_id")
    rows = frozen.join(runs, "run_id").where("version >= 0").groupBy("name").agg(F.min("version").alias("version"))
    return {row.name: row.version for row in rows.collect()}
