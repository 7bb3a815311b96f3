# What prod plans, offline: the provider is a mock, and so are the account and its zones.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
}

run "everything_is_on" {
  command = plan

  assert {
    condition     = output.lakehouse.lake == "s3a://smallcaps-prod-123456789012-lake"
    error_message = "The lake must be the bucket of this account and environment."
  }
}

run "every_job_has_a_role" {
  command = plan

  assert {
    condition     = toset(keys(output.lakehouse.role_arns)) == toset(flatten([for role in jsondecode(file("../../lake.json")).roles : role.jobs]))
    error_message = "Each job that the registry names must find its role under its name."
  }
}
