output "arns" {
  description = "The roles by room"
  value       = { for room, role in aws_iam_role.job : room => role.arn }
}

output "arns_by_job" {
  description = "The role of each job, by its file in jobs/"
  value       = merge([for room, role in var.roles : { for job in role.jobs : job => aws_iam_role.job[room].arn }]...)
}
