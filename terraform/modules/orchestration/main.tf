# Airflow: MWAA, whose role starts jobs in their roles and touches no data.

locals {
  environment_arn = "arn:aws:airflow:${var.region}:${var.account_id}:environment/${var.name}"
  bucket_arn      = "arn:aws:s3:::${var.artifacts_bucket}"
}

resource "aws_iam_role" "this" {
  name = "${var.name}-airflow"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = ["airflow.amazonaws.com", "airflow-env.amazonaws.com"] }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

# What MWAA asks of its role (its guide, "Execution role"), and jobs.
resource "aws_iam_role_policy" "this" {
  name = "airflow"
  role = aws_iam_role.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "StartJobs"
        Effect   = "Allow"
        Action   = ["emr-serverless:StartJobRun", "emr-serverless:GetApplication", "emr-serverless:StartApplication"]
        Resource = var.application_arn
      },
      {
        Sid      = "FollowJobs"
        Effect   = "Allow"
        Action   = ["emr-serverless:GetJobRun", "emr-serverless:CancelJobRun", "emr-serverless:GetDashboardForJobRun"]
        Resource = "${var.application_arn}/jobruns/*"
      },
      {
        Sid       = "JobsInTheirRoles"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = distinct(values(var.job_roles))
        Condition = { StringEquals = { "iam:PassedToService" = "emr-serverless.amazonaws.com" } }
      },
      {
        Sid      = "Dags"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = "${local.bucket_arn}/airflow/*"
      },
      {
        Sid      = "Bucket"
        Effect   = "Allow"
        Action   = ["s3:ListBucket", "s3:GetBucketPublicAccessBlock", "s3:GetBucketLocation", "s3:GetEncryptionConfiguration"]
        Resource = local.bucket_arn
      },
      {
        Sid    = "Logs"
        Effect = "Allow"
        Action = [
          "logs:CreateLogStream", "logs:CreateLogGroup", "logs:PutLogEvents", "logs:GetLogEvents", "logs:GetLogRecord",
          "logs:GetLogGroupFields", "logs:GetQueryResults",
        ]
        Resource = "arn:aws:logs:${var.region}:${var.account_id}:log-group:airflow-${var.name}-*"
      },
      {
        Sid      = "WhatHasNoResource"
        Effect   = "Allow"
        Action   = ["logs:DescribeLogGroups", "cloudwatch:PutMetricData", "s3:GetAccountPublicAccessBlock"]
        Resource = "*"
      },
      {
        Sid      = "Health"
        Effect   = "Allow"
        Action   = "airflow:PublishMetrics"
        Resource = local.environment_arn
      },
      {
        # The queue is in an account of MWAA's.
        Sid    = "Queue"
        Effect = "Allow"
        Action = [
          "sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage",
          "sqs:SendMessage",
        ]
        Resource = "arn:aws:sqs:${var.region}:*:airflow-celery-*"
      },
      {
        Sid       = "Key"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey*", "kms:Encrypt"]
        Resource  = var.key_arn
        Condition = { StringEquals = { "kms:ViaService" = ["sqs.${var.region}.amazonaws.com", "s3.${var.region}.amazonaws.com"] } }
      },
    ]
  })
}

resource "aws_mwaa_environment" "this" {
  name                  = var.name
  airflow_version       = var.airflow_version
  environment_class     = var.environment_class
  min_workers           = 1
  max_workers           = var.maximum_workers
  execution_role_arn    = aws_iam_role.this.arn
  source_bucket_arn     = local.bucket_arn
  dag_s3_path           = "airflow/dags"
  kms_key               = var.key_arn
  webserver_access_mode = "PRIVATE_ONLY"

  # What airflow/dags/deployment.py asks for.
  airflow_configuration_options = {
    "smallcaps.jobs"            = "s3://${var.artifacts_bucket}/jobs"
    "smallcaps.emr_application" = var.application_id
    "smallcaps.emr_roles"       = jsonencode(var.job_roles)
  }

  network_configuration {
    subnet_ids         = var.subnet_ids
    security_group_ids = [var.security_group_id]
  }

  logging_configuration {
    dag_processing_logs {
      enabled   = true
      log_level = "WARNING"
    }
    scheduler_logs {
      enabled   = true
      log_level = "WARNING"
    }
    task_logs {
      enabled   = true
      log_level = "INFO"
    }
    webserver_logs {
      enabled   = true
      log_level = "WARNING"
    }
    worker_logs {
      enabled   = true
      log_level = "WARNING"
    }
  }

  depends_on = [aws_iam_role_policy.this]
}
