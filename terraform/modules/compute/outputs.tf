output "repository_url" {
  description = "Where images of jobs are pushed to"
  value       = aws_ecr_repository.jobs.repository_url
}

output "application_arn" {
  description = "The EMR Serverless application; none where it is not made"
  value       = one(aws_emrserverless_application.this[*].arn)
}

output "application_id" {
  description = "Its id; none where it is not made"
  value       = one(aws_emrserverless_application.this[*].id)
}
