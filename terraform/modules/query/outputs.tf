output "workgroup" {
  description = "Athena's workgroup"
  value       = aws_athena_workgroup.this.name
}

output "analyst_policy_arn" {
  description = "The policy of people who ask Athena"
  value       = aws_iam_policy.analyst.arn
}
