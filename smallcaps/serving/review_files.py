"""The folder of a review sample.

`sample.json` tells what was drawn of what, `key.jsonl` what each item is. `shown/` is all that reviewers may see: `items.jsonl`
and a file of charts an item. `verdicts/` has a file a reviewer, to which each verdict is appended.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from smallcaps.errors import BadData, BadInput

VERDICTS = ("yes", "no", "unsure")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Sample:
    """What a sample was drawn of: `tables` with their Delta versions, days (ISO) and events a detector."""

    sample_id: str
    seed: str
    tables: dict[str, int]
    first: str
    last: str
    size: int
    settings_hash: str
    code_version: str


@dataclass(frozen=True)
class Verdict:
    """What a reviewer said last of an item."""

    item_id: str
    verdict: str
    at: str


def charts_file(folder: Path, item_id: str) -> Path:
    """The charts of an item."""
    return folder / "shown" / "charts" / f"{item_id}.json"


def prepare(folder: Path, sample: Sample) -> None:
    """Make the folder ready for a sample's files. Raises BadInput where it holds another one."""
    if (folder / "sample.json").exists() and (there := read_sample(folder)).sample_id != sample.sample_id:
        raise BadInput(f"{folder} holds sample {there.sample_id}: name another folder for {sample.sample_id}.")
    (folder / "shown" / "charts").mkdir(parents=True, exist_ok=True)


def write_sample(
    folder: Path, sample: Sample, key: Sequence[Mapping[str, Any]], items: Sequence[Mapping[str, Any]]
) -> None:
    """Write a sample, its own file last: without it the folder holds none."""
    _write_lines(folder / "key.jsonl", key)
    _write_lines(folder / "shown" / "items.jsonl", items)
    (folder / "sample.json").write_text(json.dumps(asdict(sample), indent=2) + "\n", encoding="utf-8")


def read_sample(folder: Path) -> Sample:
    """The sample in a folder. Raises BadInput where there is none."""
    file = folder / "sample.json"
    if not file.is_file():
        raise BadInput(f"{folder} holds no sample. Draw one with `smallcaps review sample`.")
    return Sample(**json.loads(file.read_text(encoding="utf-8")))


def read_key(folder: Path) -> list[dict[str, Any]]:
    """What each item is."""
    return _read_lines(folder / "key.jsonl")


def read_items(folder: Path) -> list[dict[str, Any]]:
    """What may be shown of each item: item_id, question, pattern."""
    return _read_lines(folder / "shown" / "items.jsonl")


def reviewers(folder: Path) -> list[str]:
    """Who has said anything."""
    return sorted(file.stem for file in (folder / "verdicts").glob("*.jsonl"))


def read_verdicts(folder: Path, reviewer: str) -> dict[str, Verdict]:
    """The last verdict on each item. Raises BadData for a line that is none."""
    file = folder / "verdicts" / f"{reviewer}.jsonl"
    said = {}
    for line in _whole(file.read_bytes()).splitlines() if file.exists() else []:
        try:
            one = Verdict(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise BadData(f"{file} has a line that is no verdict: {line[:80]!r}. Mend or remove it.") from error
        if one.verdict not in VERDICTS:
            raise BadData(f"{file} has the verdict {one.verdict!r}; there are {', '.join(VERDICTS)}.")
        said[one.item_id] = one
    return said


class Notebook:
    """A reviewer's file of verdicts, opened to append."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def say(self, item_id: str, verdict: str) -> None:
        """Add a verdict; when this returns it is on the disk."""
        line = json.dumps(asdict(Verdict(item_id, verdict, datetime.now(UTC).isoformat(timespec="seconds"))))
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


@contextmanager
def notebook(folder: Path, reviewer: str) -> Iterator[Notebook]:
    """A reviewer's file, for this process alone; half a line at its end, left by a kill, is cut off.

    Raises BadInput for a name that is no file name, and where another process has the file.
    """
    if not _NAME.fullmatch(reviewer):
        raise BadInput(f"{reviewer!r} is no name of a reviewer: letters, digits, - and _, at most 40.")
    place = folder / "verdicts"
    place.mkdir(exist_ok=True)
    with (place / f"{reviewer}.jsonl").open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(f"{reviewer} is being served this sample already: stop that server first.") from error
        file.seek(0)
        file.truncate(len(_whole(file.read())))
        # So that the file's name is on the disk, too.
        entry = os.open(place, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)
        yield Notebook(file)


def _whole(content: bytes) -> bytes:
    """The lines that were written to their end."""
    return content[: content.rfind(b"\n") + 1]


def _write_lines(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
