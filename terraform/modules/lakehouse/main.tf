# The whole of it, as an environment asks for it.

data "aws_caller_identity" "current" {}

locals {
  account_id = data.aws_caller_identity.current.account_id
  # Tables and roles, from the registry (make dictionary).
  declared = jsondecode(file("${path.module}/../../lake.json"))
}

module "storage" {
  source           = "../storage"
  name             = var.name
  account_id       = local.account_id
  region           = var.region
  raw_archive_days = var.raw_archive_days
  noncurrent_days  = var.noncurrent_days
  results_days     = var.results_days
  log_days         = var.log_days
}

module "catalog" {
  source = "../catalog"
  name   = var.name
  lake   = "s3://${module.storage.buckets["lake"]}"
  tables = local.declared.tables
}

module "network" {
  source              = "../network"
  name                = var.name
  region              = var.region
  cidr                = var.cidr
  zones               = var.zones
  interface_endpoints = var.interface_endpoints
  enable_internet     = var.enable_internet
}

module "secrets" {
  source  = "../secrets"
  name    = var.name
  key_arn = module.storage.key_arn
}

module "roles" {
  source      = "../roles"
  name        = var.name
  account_id  = local.account_id
  region      = var.region
  buckets     = module.storage.buckets
  key_arn     = module.storage.key_arn
  secret_arns = module.secrets.arns
  roles       = local.declared.roles
}

module "query" {
  source     = "../query"
  name       = var.name
  account_id = local.account_id
  region     = var.region
  buckets    = module.storage.buckets
  key_arn    = module.storage.key_arn
  databases  = module.catalog.databases
  scan_limit = var.scan_limit
}

module "compute" {
  source             = "../compute"
  name               = var.name
  account_id         = local.account_id
  region             = var.region
  key_arn            = module.storage.key_arn
  release            = var.emr_release
  image_tag          = var.image_tag
  maximum            = var.maximum
  idle_minutes       = var.idle_minutes
  subnet_ids         = module.network.subnet_ids
  security_group_id  = module.network.jobs_security_group_id
  enable_application = var.enable_compute
}

module "streaming" {
  count                  = var.enable_streaming ? 1 : 0
  source                 = "../streaming"
  name                   = var.name
  vpc_id                 = module.network.vpc_id
  subnet_ids             = module.network.subnet_ids
  jobs_security_group_id = module.network.jobs_security_group_id
}

module "orchestration" {
  count             = var.enable_orchestration ? 1 : 0
  source            = "../orchestration"
  name              = var.name
  account_id        = local.account_id
  region            = var.region
  artifacts_bucket  = module.storage.buckets["artifacts"]
  key_arn           = module.storage.key_arn
  airflow_version   = var.airflow_version
  environment_class = var.airflow_class
  maximum_workers   = var.airflow_workers
  subnet_ids        = slice(module.network.subnet_ids, 0, 2)
  security_group_id = module.network.jobs_security_group_id
  application_arn   = module.compute.application_arn
  application_id    = module.compute.application_id
  job_roles         = module.roles.arns_by_job
}

module "monitoring" {
  source               = "../monitoring"
  name                 = var.name
  account_id           = local.account_id
  key_arn              = module.storage.key_arn
  mail_to              = var.mail_to
  workgroup            = module.query.workgroup
  scanned_a_day        = var.scanned_a_day
  monthly_budget       = var.monthly_budget
  enable_budget        = var.enable_budget
  enable_orchestration = var.enable_orchestration
}
