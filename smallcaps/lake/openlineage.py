"""Runs as OpenLineage events, for whatever draws lineage from those (Marquez, DataHub, …): https://openlineage.io/spec/2-0-2.

A run is a START and a COMPLETE or FAIL; tables are datasets named by where they lie, with the Delta versions that were read and
written and the columns that the registry declares.
"""

import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from pyspark.sql import Row

from smallcaps.lake.registry import REGISTRY
from smallcaps.lake.runs import ABSENT

PRODUCER = "https://pypi.org/project/smallcaps"
SPECIFICATION = "https://openlineage.io/spec"
SCHEMA = f"{SPECIFICATION}/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = {
    "version": "1-0-1/DatasetVersionDatasetFacet",
    "schema": "1-2-0/SchemaDatasetFacet",
    "outputStatistics": "1-0-2/OutputStatisticsOutputDatasetFacet",
    "errorMessage": "1-0-1/ErrorMessageRunFacet",
    "jobType": "2-0-4/JobTypeJobFacet",
}
"""Version and name of each facet that is used."""
NAMESPACE = "smallcaps"
"""Of the jobs."""


def lineage_events(runs: Iterable[Row], root: str) -> Iterator[dict[str, Any]]:
    """The events of rows of ops.runs of the lake at `root`, run by run."""
    for run in runs:
        began = run.started_at.astimezone(UTC)
        ended = began + timedelta(seconds=run.duration_seconds)
        inputs = [_dataset(root, one.table, one.version) for one in run.inputs if one.version != ABSENT]
        outputs = [
            _dataset(root, one.table, one.version) | {"outputFacets": _facets(outputStatistics={"rowCount": one.rows})}
            for one in run.outputs
        ]
        failed = run.outcome != "succeeded"
        error = {"message": run.message or "", "programmingLanguage": "python"}
        yield _event("START", began, run, {}, [], [])
        facets = _facets(errorMessage=error) if failed else {}
        yield _event("FAIL" if failed else "COMPLETE", ended, run, facets, inputs, outputs)


def _event(kind: str, at: datetime, run: Row, facets: dict[str, Any], inputs: list[Any], outputs: list[Any]) -> Any:
    job = {"processingType": "BATCH", "integration": "SPARK", "jobType": "JOB"}
    return {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "run": {"runId": str(uuid.UUID(run.run_id)), "facets": facets},
        "job": {"namespace": NAMESPACE, "name": run.job, "facets": _facets(jobType=job)},
        "inputs": inputs,
        "outputs": outputs,
        "producer": PRODUCER,
        "schemaURL": SCHEMA,
    }


def _dataset(root: str, name: str, version: int) -> dict[str, Any]:
    """A table, named as OpenLineage names files: S3's by bucket and key, this machine's by their path."""
    facets: dict[str, Any] = {"version": {"datasetVersion": str(version)}}
    path = name
    if (table := REGISTRY.get(name)) is not None:
        path = table.path
        fields = [{"name": one.name, "type": one.type, "description": one.described} for one in table.all_columns]
        facets["schema"] = {"fields": fields}
    parts = urlsplit(f"{root}/{path}")
    place = {"namespace": "file", "name": f"{root}/{path}"}
    if parts.netloc:
        place = {"namespace": f"s3://{parts.netloc}", "name": parts.path.lstrip("/")}
    return {**place, "facets": _facets(**facets)}


def _facets(**facets: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"_producer": PRODUCER, "_schemaURL": f"{SPECIFICATION}/facets/{FACETS[name]}.json", **facet}
        for name, facet in facets.items()
    }
