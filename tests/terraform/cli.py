"""Terraform, on a copy of the configuration, so that nothing it leaves behind is in the repository."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import REPOSITORY

BINARIES = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
PROVIDERS = next(Path("/opt").glob("*/registry.terraform.io"), None)
"""A folder of providers that the machine brings; without one they come from the registry. The lock's hashes hold for either."""


@dataclass(frozen=True)
class Terraform:
    """The commands of one environment in a copy of `terraform/`; `environment` is added to the shell's variables."""

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a command prints. Its exit code has to be `code`."""
        binary = shutil.which("terraform", path=BINARIES)
        assert binary, "Terraform is not installed: make terraform fetches it."
        variables = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_CLI_ARGS": "-no-color"}
        done = subprocess.run(
            [binary, *arguments],
            cwd=self.root,
            env={**os.environ, **variables, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def init(self, *arguments: str) -> None:
        """Bring modules and provider."""
        mirror = [f"-plugin-dir={PROVIDERS.parent}"] if PROVIDERS else []
        self.run("init", "-input=false", "-lockfile=readonly", *mirror, *arguments)


def copied(name: str, folder: Path, environment: Mapping[str, str] | None = None) -> Terraform:
    """The environment of that name, in a copy under `folder`."""
    copy = folder / "terraform"
    shutil.copytree(REPOSITORY / "terraform", copy, ignore=shutil.ignore_patterns(".terraform"))
    return Terraform(copy / "environments" / name, environment or {})
