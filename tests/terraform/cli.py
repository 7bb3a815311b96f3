"""Terraform as `terraform/local.py` runs it."""

from smallcaps.platform.checkout import script
from tests.conftest import REPOSITORY

local = script("local", REPOSITORY / "terraform")
Terraform, copied, LOCAL_PARTS = local.Terraform, local.copied, local.LOCAL_PARTS
