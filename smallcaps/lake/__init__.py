"""Room: the lake. Tables declared once, read and written idempotently, with quarantine and lineage."""

from smallcaps.lake.datafiles import DataFile, DataFileWriter, file_schema
from smallcaps.lake.declaration import sql_literal
from smallcaps.lake.quality import RULE, Rule, judge, judge_repeats, refused
from smallcaps.lake.registry import REGISTRY, TOPICS, VIEWS, declared, declared_topic
from smallcaps.lake.runs import Run, days_of, last_runs, recorded_run, stands
from smallcaps.lake.staleness import Stale, stale
from smallcaps.lake.store import Commit, Lake, between, with_nulls

__all__ = [
    "REGISTRY",
    "RULE",
    "TOPICS",
    "VIEWS",
    "Commit",
    "DataFile",
    "DataFileWriter",
    "Lake",
    "Rule",
    "Run",
    "Stale",
    "between",
    "days_of",
    "declared",
    "declared_topic",
    "file_schema",
    "judge",
    "judge_repeats",
    "last_runs",
    "recorded_run",
    "refused",
    "sql_literal",
    "stale",
    "stands",
    "with_nulls",
]
