"""What other engines read of the lake, at the places that the catalog has."""

from collections.abc import Mapping
from dataclasses import dataclass

import boto3
import duckdb
import polars
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from smallcaps.lake import REGISTRY
from smallcaps.lake.files import storage_options

READERS = ("delta-rs", "Polars", "DuckDB")


@dataclass(frozen=True)
class Read:
    """A table where Glue points: rows that each reader counts."""

    table: str
    location: str
    rows: dict[str, int]

    @property
    def agree(self) -> bool:
        """Whether all readers count the same."""
        return len(set(self.rows.values())) == 1


def read_back(databases: Mapping[str, str], layer: str = "gold") -> list[Read]:
    """The tables of a layer that were written, as delta-rs, Polars and DuckDB count them at the place that Glue has.

    DuckDB reads through Arrow: its own way to S3 is an extension that it would fetch from the network.
    """
    glue, found = boto3.client("glue"), []
    for name in (name for name, table in REGISTRY.items() if table.layer == layer):
        entry = glue.get_table(DatabaseName=databases[layer], Name=name.split(".")[1])["Table"]
        location = entry["StorageDescriptor"]["Location"]
        options = storage_options(location)
        if not DeltaTable.is_deltatable(location, storage_options=options):
            continue
        table = DeltaTable(location, storage_options=options)
        by_delta_rs = pa.table(QueryBuilder().register("rows", table).execute("SELECT count(*) AS rows FROM rows"))
        (by_duckdb,) = duckdb.from_arrow(table.to_pyarrow_dataset()).count("*").fetchall()[0]
        rows = {
            READERS[0]: by_delta_rs.column(0)[0].as_py(),
            READERS[1]: polars.scan_delta(location, storage_options=options).select(polars.len()).collect().item(),
            READERS[2]: by_duckdb,
        }
        found.append(Read(name, location, rows))
    return found
