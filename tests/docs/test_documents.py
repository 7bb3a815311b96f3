"""The generated parts are those the code generates; the commands that are shown exist."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from smallcaps.lake.dictionary import data_dictionary
from tests.cli.test_app import COMMANDS
from tests.conftest import REPOSITORY

DOCUMENTS = [
    *(REPOSITORY / "README.md", REPOSITORY / "terraform" / "README.md"),
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
SHOWN = re.compile(r"^\s*(?:\w+=\S+ )*smallcaps ([^\n#]+)", re.MULTILINE)


def test_the_data_dictionary_is_the_registrys() -> None:
    written = (REPOSITORY / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    assert written == data_dictionary(), "run `make dictionary`"


def shown_commands() -> list[str]:
    """Command lines in the shell blocks of the documents."""
    found = []
    for document in DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
            found += [line.strip() for line in SHOWN.findall(block)]
    return found


def test_there_are_commands_to_be_looked_at() -> None:
    assert len(shown_commands()) > 10


@pytest.mark.parametrize("line", shown_commands())
def test_a_command_that_is_shown_exists_with_its_options(line: str) -> None:
    words = shlex.split(line.split("|", maxsplit=1)[0])
    length = next(length for length in (2, 1) if " ".join(words[:length]) in COMMANDS)
    COMMANDS[" ".join(words[:length])].make_context("smallcaps", words[length:])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


def test_the_readme_lists_every_make_target_it_names() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        assert set(re.findall(r"`make ([a-z-]+)`", document.read_text(encoding="utf-8"))) <= targets


def test_rooms_import_only_lower_rooms() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(linter)], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
