"""Probabilities of events, computed where the events are."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DoubleType, FloatType, StringType, StructType

from smallcaps.models.event_model import EventModel, Floats

READ = ("inputs", "sequence")
"""What models read."""


def with_probabilities(rows: DataFrame, models: Mapping[int, EventModel]) -> DataFrame:
    """Rows with `fold`, `inputs` and `sequence` → one row each target of the fold's model, without these two, with target and
    probability; rows of a fold without a model, or without what its model reads, are left out. Pure.
    """
    kept = [field for field in rows.schema.fields if field.name not in READ]
    schema = StructType(list(kept)).add("target", StringType()).add("probability", DoubleType())
    names = [field.name for field in kept]

    def score(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            folds = batch["fold"].to_numpy(zero_copy_only=False)
            for fold in np.unique(folds):
                if (model := models.get(int(fold))) is None:
                    continue
                part = batch.filter(pc.and_(pa.array(folds == fold), pc.is_valid(batch[model.reads])))
                if not part.num_rows:
                    continue
                for target, found in model.probabilities(matrix(part[model.reads], len(model.input_names))).items():
                    columns = [part[name] for name in names]
                    columns += [pa.array([target] * part.num_rows), pa.array(found)]
                    yield pa.RecordBatch.from_arrays(columns, [*names, "target", "probability"])

    return rows.select(*names, *READ).mapInArrow(score, schema)


def with_points(rows: DataFrame, name: str, model: EventModel) -> DataFrame:
    """gold.patterns (without run_id) of rows with event_id, symbol, session_date, detector and `sequence`, by a model that reads
    sequences; those without a sequence are left out. Pure.
    """

    def represent(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            points = model.latent(matrix(batch["sequence"], len(model.input_names))).astype(np.float32)
            columns = [batch[column] for column in kept]
            columns.append(pa.array(list(points), pa.list_(pa.float32())))
            yield pa.RecordBatch.from_arrays(columns, [*kept, "point"])

    kept = ["event_id", "symbol", "session_date", "detector"]
    asked = rows.where("sequence IS NOT NULL").select(*kept, "sequence")
    schema = StructType([asked.schema[column] for column in kept]).add("point", ArrayType(FloatType()))
    return asked.mapInArrow(represent, schema).withColumn("model", F.lit(name))


def matrix(inputs: pa.Array, width: int) -> Floats:
    """Arrow's lists of `width` values as rows × inputs, NaN for null."""
    return np.asarray(inputs.flatten().to_numpy(zero_copy_only=False), dtype=np.float64).reshape(len(inputs), width)
