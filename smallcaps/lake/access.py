"""Who may touch what: the roles that jobs run in on AWS, derived from the registry. Terraform makes them (lake/glue.py)."""

from dataclasses import dataclass

from smallcaps.lake.registry import LAYERS, REGISTRY, TOPICS

EVERY_RUN = tuple(table.name for table in REGISTRY.values() if table.owner == "lake")
"""What each run reads and writes: the run itself, what it refused, what the suites found."""


@dataclass(frozen=True)
class Role:
    """The jobs (files of jobs/) of one room. They read whole layers (`bronze`) or single tables, and write what the room owns.

    `also` are tables of other rooms that they write.
    """

    room: str
    jobs: tuple[str, ...]
    inputs: tuple[str, ...]
    also: tuple[str, ...] = ()

    @property
    def writes(self) -> tuple[str, ...]:
        """The tables that its jobs write."""
        own = {table.name for table in REGISTRY.values() if table.owner == self.room}
        return tuple(name for name in REGISTRY if name in {*own, *self.also, *EVERY_RUN})

    @property
    def reads(self) -> tuple[str, ...]:
        """The tables that its jobs read: inputs, and what they write."""
        return tuple(
            table.name
            for table in REGISTRY.values()
            if table.layer in self.inputs or table.name in {*self.inputs, *self.writes}
        )


ROLES = (
    Role(
        "ingest",
        (
            *("ingest_all", "ingest_feed", "ingest_flatfiles", "ingest_reference", "ingest_rest", "ingest_windows"),
            "manifest_plan",
        ),
        ("bronze", "silver.calendar", "gold.events", "gold.core_manifest"),
    ),
    Role("refine", ("refine",), ("bronze", "silver")),
    Role("detectors", ("detect_daily", "detect_intraday", "manifest", "manifest_explain"), ("silver", "gold")),
    Role("microstructure", ("features", "sequences"), ("silver", "gold")),
    Role("labels", ("label",), ("silver", "gold")),
    Role(
        "models",
        (
            *("dataset_build", "dataset_diff", "dataset_list", "dataset_rebuild", "train", "score"),
            *("model_drift", "model_judge", "model_list", "model_report", "model_search", "model_truth"),
            *("manipulation_score", "manipulation_train"),
        ),
        ("silver", "gold"),
    ),
    Role(
        "streaming",
        ("live_detect", "live_score", "live_land", "replay", "parity"),
        ("bronze", "silver", "gold"),
        also=tuple(sorted({topic.table.name for topic in TOPICS.values()})),
    ),
    Role(
        "serving",
        (
            *("report", "show", "sql", "tables", "trace", "quality", "stale", "review_sample", "review_score"),
            *("status", "lineage"),
            *("detectors_account", "detectors_truth"),
        ),
        LAYERS,
    ),
    # What mends tables of any room.
    Role("lake", ("maintain", "refresh", "upgrade"), LAYERS, also=tuple(REGISTRY)),
)
"""Every job that runs on a lake of AWS, in the role of its room."""
