output "buckets" {
  description = "Names of the buckets by purpose: lake, artifacts, results, logs"
  value       = { for purpose, bucket in aws_s3_bucket.this : purpose => bucket.bucket }
}

output "key_arn" {
  description = "The key that data are encrypted with"
  value       = aws_kms_key.this.arn
}
