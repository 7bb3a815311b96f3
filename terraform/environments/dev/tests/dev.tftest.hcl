# What dev plans, offline: the provider is a mock, and so are the account and its zones.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }

  mock_data "aws_availability_zones" {
    defaults = { names = ["us-east-1a", "us-east-1b", "us-east-1c"] }
  }
}

run "what_costs_by_the_hour_is_off_unless_asked_for" {
  command = plan

  assert {
    condition     = output.lakehouse.bootstrap_brokers == null && output.lakehouse.airflow_url == null
    error_message = "dev must have neither Kafka nor Airflow of itself."
  }

  assert {
    condition     = output.lakehouse.lake == "s3a://smallcaps-dev-123456789012-lake"
    error_message = "The lake must be the bucket of this account and environment."
  }

  assert {
    condition     = toset(values(output.lakehouse.databases)) == toset([for layer in ["bronze", "silver", "gold", "ops"] : "smallcaps_dev_${layer}"])
    error_message = "Glue must have one database for each layer."
  }
}

run "everything_can_be_switched_on" {
  command = plan

  variables {
    enable_streaming     = true
    enable_orchestration = true
    image_tag            = "1.0.0"
  }
}

run "airflow_needs_somewhere_to_start_jobs" {
  command = plan

  module {
    source = "../../modules/lakehouse"
  }

  variables {
    name                 = "smallcaps-test"
    region               = "us-east-1"
    zones                = 2
    interface_endpoints  = []
    enable_internet      = false
    enable_compute       = false
    enable_streaming     = false
    enable_orchestration = true
    enable_budget        = false
    raw_archive_days     = 30
    noncurrent_days      = 7
    results_days         = 7
    log_days             = 30
    scan_limit           = 10000000
    scanned_a_day        = 10000000
    maximum              = { cpu = "4 vCPU", memory = "16 GB", disk = "20 GB" }
    idle_minutes         = 5
    airflow_class        = "mw1.small"
    airflow_workers      = 1
    mail_to              = []
    monthly_budget       = 1
  }

  expect_failures = [var.enable_orchestration]
}

run "athena_takes_no_lower_limit" {
  command = plan

  module {
    source = "../../modules/query"
  }

  variables {
    name       = "smallcaps-test"
    account_id = "123456789012"
    region     = "us-east-1"
    buckets    = { lake = "lake", results = "results" }
    key_arn    = "arn:aws:kms:us-east-1:123456789012:key/1"
    databases  = { silver = "silver", gold = "gold" }
    scan_limit = 1000
  }

  expect_failures = [var.scan_limit]
}

run "jobs_get_nothing_wholesale" {
  command = plan

  module {
    source = "../../modules/roles"
  }

  variables {
    name        = "smallcaps-test"
    account_id  = "123456789012"
    region      = "us-east-1"
    buckets     = { lake = "lake", artifacts = "artifacts", logs = "logs" }
    key_arn     = "arn:aws:kms:us-east-1:123456789012:key/1"
    secret_arns = { vendor = "arn:aws:secretsmanager:us-east-1:123456789012:secret:vendor", fred = "arn:aws:secretsmanager:us-east-1:123456789012:secret:fred" }
    roles       = { ingest = { jobs = ["ingest_all"], reads = ["bronze"], writes = ["bronze/trades"] } }
  }

  assert {
    condition = alltrue([
      for statement in jsondecode(aws_iam_role_policy.job["ingest"].policy).Statement :
      !contains(statement.Resource, "*") && alltrue([for action in statement.Action : !endswith(action, "*")])
    ])
    error_message = "No statement may be of all resources or all actions."
  }
}

run "raw_files_go_to_the_archive_and_nothing_else_does" {
  command = plan

  module {
    source = "../../modules/storage"
  }

  variables {
    name             = "smallcaps-test"
    account_id       = "123456789012"
    region           = "us-east-1"
    raw_archive_days = 30
    noncurrent_days  = 7
    results_days     = 7
    log_days         = 30
  }

  assert {
    condition = [
      for rule in flatten([for one in aws_s3_bucket_lifecycle_configuration.this : one.rule]) : rule.filter[0].prefix
      if length(rule.transition) > 0
    ] == ["raw/"]
    error_message = "Tables must stay where they are read at the usual price."
  }
}
