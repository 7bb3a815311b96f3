"""Spark's daemon of Python workers, with folders alone on its path: `python -m smallcaps.python_workers pyspark.worker`.

Spark puts archives there, PySpark's own and a jar among them. Before each task a worker has Python forget what it knows of its
path, and then reads the archives' tables of contents again, which takes longer than most tasks (benchmarks/python_tasks.py).
What is installed beside this package is the same.

What tasks print is dropped: it would come out among the words of whatever command started Spark, and XGBoost prints a line a
task.
"""

import gc
import os
import sys
from importlib import import_module
from importlib.machinery import PathFinder

ARCHIVES = (".zip", ".jar", ".egg")
OFTEN_USED = ("numpy", "pandas", "pyarrow.compute", "pyspark.worker")
"""Loaded once, before workers are forked."""


def leave_archives() -> None:
    """Take archives off the path, unless PySpark is to be had from them alone."""
    folders = [entry for entry in sys.path if not entry.endswith(ARCHIVES)]
    if PathFinder.find_spec("pyspark", folders) is None:
        return
    for entry in set(sys.path) - set(folders):
        sys.path_importer_cache.pop(entry, None)
    sys.path[:] = folders


def print_nothing() -> None:
    """Drop what this process prints from now on; its stderr stays."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open for as long as the process lives


if __name__ == "__main__":
    leave_archives()
    os.register_at_fork(after_in_child=print_nothing)
    # Now it comes from a folder.
    from pyspark.daemon import manager

    for module in OFTEN_USED:
        import_module(module)
    gc.freeze()
    manager()  # type: ignore[no-untyped-call]
