"""Python workers look for modules in folders alone, and find there what the driver has."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyspark
from pyspark.sql import SparkSession

from smallcaps import python_workers


def whereabouts(_: Iterable[object]) -> Iterator[tuple[str, list[str], list[str]]]:
    """Where a worker has PySpark from, its path, and the places it keeps tables of contents of."""
    import pyspark as theirs

    yield theirs.__file__, sys.path, list(sys.path_importer_cache)


def test_a_worker_has_pyspark_from_the_drivers_folder_and_no_archive_on_its_path(spark: SparkSession) -> None:
    ((file, path, known),) = spark.sparkContext.parallelize([0], 1).mapPartitions(whereabouts).collect()
    assert file == pyspark.__file__
    assert [entry for entry in path if entry.endswith(python_workers.ARCHIVES)] == []
    assert [place for place in known if ".jar" in place or "pyspark.zip" in place] == []


def test_archives_stay_where_pyspark_is_in_them_alone(tmp_path: Path) -> None:
    code = (
        "import sys; from smallcaps.python_workers import leave_archives; "
        "sys.path[:] = [entry for entry in sys.path if 'site-packages' not in entry] + ['pyspark.zip']; "
        "before = list(sys.path); leave_archives(); assert sys.path == before, sys.path"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(python_workers.__file__).parents[1], check=True)
