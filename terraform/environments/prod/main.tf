provider "aws" {
  region = var.region

  default_tags {
    tags = { Project = "smallcaps", Environment = "prod", ManagedBy = "terraform" }
  }
}

module "lakehouse" {
  source = "../../modules/lakehouse"
  name   = "smallcaps-prod"
  region = var.region

  zones = 3
  interface_endpoints = [
    "airflow.api", "airflow.env", "ecr.api", "ecr.dkr", "emr-serverless", "kms", "logs", "monitoring", "secretsmanager", "sqs",
  ]
  enable_internet = true

  raw_archive_days = 90
  noncurrent_days  = 30
  results_days     = 30
  log_days         = 365

  scan_limit    = 1e12
  scanned_a_day = 5e12

  enable_compute = true
  image_tag      = var.image_tag
  maximum        = { cpu = "400 vCPU", memory = "1600 GB", disk = "4000 GB" }
  idle_minutes   = 15

  enable_streaming = var.enable_streaming

  enable_orchestration = var.enable_orchestration
  airflow_class        = "mw1.small"
  airflow_workers      = 5

  mail_to        = var.mail_to
  enable_budget  = true
  monthly_budget = 3000
}
