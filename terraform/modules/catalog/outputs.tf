output "databases" {
  description = "Glue's databases by layer"
  value       = { for layer, database in aws_glue_catalog_database.this : layer => database.name }
}
