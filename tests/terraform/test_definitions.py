"""What Terraform is told of tables and roles is what the registry declares, and roles have what the jobs' code touches."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from smallcaps.lake import REGISTRY
from smallcaps.lake.access import EVERY_RUN, ROLES, Role
from smallcaps.lake.glue import glue_definitions
from tests.conftest import REPOSITORY

HIVE_TYPE = re.compile(
    r"(?:string|boolean|int|bigint|float|double|binary|date|timestamp|decimal\(\d+,\d+\)"
    r"|array<.+>|map<string,\w+>|struct<\w+:.+>)"
)
AT_HOME = {"demo", "live_demo", "simulate_build", "simulate_faults"}
"""Jobs that make what they work on, on the machine they are started on."""
WRITES = re.compile(r"(replace|append|add_missing)\w*")


def test_what_terraform_reads_is_the_registrys() -> None:
    written = (REPOSITORY / "terraform" / "lake.json").read_text(encoding="utf-8")
    assert written == glue_definitions(), "run `make dictionary`"


@pytest.mark.parametrize("name", REGISTRY)
def test_glue_takes_what_a_table_says(name: str) -> None:
    """Glue's limits: 255 bytes a comment, 2,048 a description, one line each, names in lower case, types as Hive writes them."""
    table = REGISTRY[name]
    assert len(table.comment.encode()) <= 2000
    for column in table.all_columns:
        assert len(column.described.encode()) <= 255, column.name
        assert column.described.isprintable(), column.name
        assert re.fullmatch("[a-z_][a-z0-9_]*", column.name)
        assert HIVE_TYPE.fullmatch(column.type), column.type


def test_every_job_runs_in_one_role() -> None:
    jobs = [job for role in ROLES for job in role.jobs]
    assert len(jobs) == len(set(jobs))
    assert {*jobs, *AT_HOME} == {path.stem for path in (REPOSITORY / "jobs").glob("*.py")}


def test_every_table_is_written_by_one_room_and_by_what_mends() -> None:
    for name, table in REGISTRY.items():
        writers = {role.room for role in ROLES if name in role.writes} - {"lake"}
        landed = {role.room for role in ROLES if name in role.also} - {"lake"}
        assert writers == ({role.room for role in ROLES} - {"lake"} if name in EVERY_RUN else {table.owner, *landed})


def named(room: str) -> Iterator[tuple[Path, ast.AST]]:
    """Every expression in the code of a room."""
    for path in (REPOSITORY / "smallcaps" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


def is_table(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value in REGISTRY


@pytest.mark.parametrize("role", [role for role in ROLES if role.room != "lake"], ids=lambda role: role.room)
def test_a_role_has_the_tables_that_its_rooms_code_names(role: Role) -> None:
    """Tables are named by literals nearly everywhere: those that the code names are read, those given to a write are written."""
    found = 0
    for path, node in named(role.room):
        if is_table(node):
            found += 1
            assert node.value in role.reads, path
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and WRITES.fullmatch(node.func.attr):
            for argument in filter(is_table, node.args[:1]):
                assert argument.value in role.writes, path
    assert found
