"""The configuration by itself, without a cloud: its style, its soundness, and what each environment plans."""

import re
from pathlib import Path

import pytest

from tests.terraform.cli import Terraform, copied


def test_it_is_formatted(tmp_path: Path) -> None:
    Terraform(copied("dev", tmp_path).root.parent.parent).run("fmt", "-check", "-recursive", "-diff")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dev", "prod"])
def test_an_environment_is_valid_and_plans_what_its_tests_say(name: str, tmp_path: Path) -> None:
    terraform = copied(name, tmp_path)
    terraform.init("-backend=false")
    terraform.run("validate")
    said = terraform.run("test")
    passed = re.search(r"Success! (\d+) passed, 0 failed", said)
    assert passed, said
    assert int(passed[1]) == len(
        re.findall(r'^run "', (terraform.root / "tests" / f"{name}.tftest.hcl").read_text(), re.M)
    )
