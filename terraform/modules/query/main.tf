# Athena: a workgroup whose limits hold for everybody, and the policy of those who ask.

locals {
  read = ["silver", "gold"]
}

resource "aws_athena_workgroup" "this" {
  name        = var.name
  description = "Queries of silver and gold, none of more than ${var.scan_limit} bytes"
  tags        = { Name = var.name }

  configuration {
    enforce_workgroup_configuration    = true
    publish_cloudwatch_metrics_enabled = true
    bytes_scanned_cutoff_per_query     = var.scan_limit

    # Delta tables are read by version 3 only.
    engine_version {
      selected_engine_version = "Athena engine version 3"
    }

    result_configuration {
      output_location = "s3://${var.buckets["results"]}/athena/"

      encryption_configuration {
        encryption_option = "SSE_KMS"
        kms_key_arn       = var.key_arn
      }
    }
  }
}

resource "aws_iam_policy" "analyst" {
  name        = "${var.name}-analyst"
  description = "Ask Athena about silver and gold, and nothing else"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Ask"
        Effect = "Allow"
        Action = [
          "athena:StartQueryExecution", "athena:StopQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults",
          "athena:ListQueryExecutions", "athena:GetWorkGroup",
        ]
        Resource = "arn:aws:athena:${var.region}:${var.account_id}:workgroup/${var.name}"
      },
      {
        Sid    = "Catalog"
        Effect = "Allow"
        Action = ["glue:GetDatabase", "glue:GetDatabases", "glue:GetTable", "glue:GetTables", "glue:GetPartitions"]
        Resource = concat(
          ["arn:aws:glue:${var.region}:${var.account_id}:catalog"],
          [for layer in local.read : "arn:aws:glue:${var.region}:${var.account_id}:database/${var.databases[layer]}"],
          [for layer in local.read : "arn:aws:glue:${var.region}:${var.account_id}:table/${var.databases[layer]}/*"],
        )
      },
      {
        Sid      = "Data"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = [for layer in local.read : "arn:aws:s3:::${var.buckets["lake"]}/${layer}/*"]
      },
      {
        Sid      = "Results"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
        Resource = "arn:aws:s3:::${var.buckets["results"]}/athena/*"
      },
      {
        Sid      = "Names"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
        Resource = [for purpose in ["lake", "results"] : "arn:aws:s3:::${var.buckets[purpose]}"]
      },
      {
        Sid      = "Key"
        Effect   = "Allow"
        Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource = var.key_arn
      },
    ]
  })
}
