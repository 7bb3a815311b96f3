output "vpc_id" {
  description = "The network"
  value       = aws_vpc.this.id
}

output "subnet_ids" {
  description = "The private subnets"
  value       = aws_subnet.private[*].id
}

output "jobs_security_group_id" {
  description = "The security group of jobs"
  value       = aws_security_group.jobs.id
}
