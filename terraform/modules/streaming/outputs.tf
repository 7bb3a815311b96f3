output "bootstrap_brokers" {
  description = "The brokers, for clients that authenticate with IAM"
  value       = aws_msk_serverless_cluster.this.bootstrap_brokers_sasl_iam
}
