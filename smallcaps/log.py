"""What the package says of its work, as JSON lines in the cache's logs folder, each with the run that it belongs to.

Said through the standard library's loggers, under `smallcaps`. Executors are processes of their own and are not heard here.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

LOG = logging.getLogger("smallcaps")
PROGRESS = logging.getLogger("smallcaps.progress")
"""Told what is done and what is left; records have `facts` done, total and unit."""
PROGRESS.setLevel(logging.INFO)
FILE_NAME = "smallcaps.log"
FILE_BYTES, OLD_FILES = 20_000_000, 3
_OUTSIDE: Mapping[str, str | None] = {"run_id": None, "job": None}
_run: ContextVar[Mapping[str, str | None]] = ContextVar("run", default=_OUTSIDE)


def tell(message: str, level: int = logging.INFO, logger: logging.Logger = LOG, **facts: Any) -> None:
    """Say something; `facts` are what a program reads of it."""
    logger.log(level, "%s", message, extra={"facts": facts})


def progress(done: int, total: int, unit: str, at: str = "") -> None:
    """Say that so many of so many units (files, requests, tables) are done, and which one is being done, if it has a name."""
    said = f"{done:,} of {total:,} {unit}" + (f": {at}" if at else "")
    tell(said, logger=PROGRESS, done=done, total=total, unit=unit)


@contextmanager
def told_of(run_id: str, job: str) -> Iterator[None]:
    """What is said while the block runs belongs to this run."""
    token = _run.set({"run_id": run_id, "job": job})
    try:
        yield
    finally:
        _run.reset(token)


class JsonLine(logging.Formatter):
    """A record as one line: time (UTC), level, logger, run_id and job (null outside of a run), message, then its facts."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            **_run.get(),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        return json.dumps(said, default=str, ensure_ascii=False)


def write_log(folder: Path) -> Path:
    """Have what is said written to FILE_NAME in `folder` from now on, and nowhere else; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE_NAME
    for handler in [one for one in LOG.handlers if isinstance(one.formatter, JsonLine)]:
        LOG.removeHandler(handler)
        handler.close()
    lines = RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=OLD_FILES, encoding="utf-8", delay=True)
    lines.setFormatter(JsonLine())
    LOG.addHandler(lines)
    LOG.setLevel(logging.INFO)
    return file
