provider "aws" {
  region = var.region

  default_tags {
    tags = { Project = "smallcaps", Environment = "dev", ManagedBy = "terraform" }
  }
}

module "lakehouse" {
  source = "../../modules/lakehouse"
  name   = "smallcaps-dev"
  region = var.region

  zones               = 2
  interface_endpoints = []
  enable_internet     = var.enable_internet

  raw_archive_days = 30
  noncurrent_days  = 7
  results_days     = 7
  log_days         = 30

  scan_limit    = 10e9
  scanned_a_day = 100e9

  enable_compute = var.enable_compute
  image_tag      = var.image_tag
  maximum        = { cpu = "32 vCPU", memory = "128 GB", disk = "400 GB" }
  idle_minutes   = 5

  enable_streaming = var.enable_streaming

  enable_orchestration = var.enable_orchestration
  airflow_class        = "mw1.small"
  airflow_workers      = 2

  mail_to        = var.mail_to
  enable_budget  = var.enable_budget
  monthly_budget = 200
}
