output "lakehouse" {
  description = "What jobs and people need to know"
  value       = module.lakehouse
}
