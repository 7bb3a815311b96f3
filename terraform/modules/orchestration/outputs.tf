output "webserver_url" {
  description = "Airflow's page, reached from within the network"
  value       = aws_mwaa_environment.this.webserver_url
}
