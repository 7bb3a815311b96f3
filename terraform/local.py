"""Terraform on this machine: an environment applied from a copy, so that nothing it leaves behind is in the repository.

Where AWS_ENDPOINT_URL names a server that speaks AWS's protocols, that is what it is applied to. Python's standard library is all
that this needs.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TERRAFORM = Path(__file__).resolve().parent
BINARIES = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
PROVIDERS = next(Path("/opt").glob("*/registry.terraform.io"), None)
"""A folder of providers that the machine brings; without one they come from the registry. The lock's hashes hold for either."""
LOCAL_SERVER = """
terraform {
  backend "local" {}
}

provider "aws" {
  s3_use_path_style = true
}
"""
"""What a server other than Amazon's needs beside AWS_ENDPOINT_URL."""
LOCAL_PARTS = ("-var=enable_compute=false", "-var=enable_budget=false", '-var=mail_to=["somebody@example.com"]')
"""Without EMR, Kafka, Airflow and budgets, which such a server (moto's) has in part or not at all."""


class TerraformFailed(Exception):
    """What a command said that ended otherwise than it should."""


@dataclass(frozen=True)
class Terraform:
    """The commands of one environment in a copy of `terraform/`."""

    root: Path

    def run(self, *arguments: str, code: int = 0) -> str:
        """What a command prints. Raises TerraformFailed where its exit code is not `code`, or there is no Terraform."""
        binary = shutil.which("terraform", path=BINARIES)
        if binary is None:
            raise TerraformFailed("Terraform is not installed: make terraform fetches it.")
        variables = {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1", "TF_CLI_ARGS": "-no-color"}
        done = subprocess.run(
            [binary, *arguments],
            cwd=self.root,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != code:
            raise TerraformFailed(done.stdout + done.stderr)
        return done.stdout

    def init(self, *arguments: str) -> None:
        """Bring modules and provider."""
        mirror = [f"-plugin-dir={PROVIDERS.parent}"] if PROVIDERS else []
        self.run("init", "-input=false", "-lockfile=readonly", *mirror, *arguments)

    def apply_locally(self) -> dict[str, Any]:
        """Apply what a server other than Amazon's can make; returns the lakehouse's outputs."""
        (self.root / "server_override.tf").write_text(LOCAL_SERVER)
        self.init()
        self.run("apply", "-auto-approve", "-input=false", *LOCAL_PARTS)
        return dict(json.loads(self.run("output", "-json"))["lakehouse"]["value"])


def copied(name: str, folder: Path) -> Terraform:
    """The environment of that name, in a copy under `folder`."""
    copy = folder / "terraform"
    shutil.copytree(TERRAFORM, copy, ignore=shutil.ignore_patterns(".terraform", "__pycache__"))
    return Terraform(copy / "environments" / name)
