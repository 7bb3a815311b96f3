output "lake" {
  description = "SMALLCAPS_LAKE of jobs"
  value       = "s3a://${module.storage.buckets["lake"]}"
}

output "buckets" {
  description = "Names of the buckets by purpose"
  value       = module.storage.buckets
}

output "databases" {
  description = "Glue's databases by layer"
  value       = module.catalog.databases
}

output "workgroup" {
  description = "Athena's workgroup"
  value       = module.query.workgroup
}

output "analyst_policy_arn" {
  description = "The policy of people who ask Athena"
  value       = module.query.analyst_policy_arn
}

output "role_arns" {
  description = "The role of each job, by its file in jobs/"
  value       = module.roles.arns_by_job
}

output "repository_url" {
  description = "Where images of jobs are pushed to"
  value       = module.compute.repository_url
}

output "application_id" {
  description = "The EMR Serverless application"
  value       = module.compute.application_id
}

output "bootstrap_brokers" {
  description = "Kafka's brokers"
  value       = one(module.streaming[*].bootstrap_brokers)
}

output "airflow_url" {
  description = "Airflow's page"
  value       = one(module.orchestration[*].webserver_url)
}
