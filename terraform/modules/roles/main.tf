# A role for the jobs of each room. What it reads and writes of the lake comes from the registry; what else it needs is here.

locals {
  lake      = "arn:aws:s3:::${var.buckets["lake"]}"
  artifacts = "arn:aws:s3:::${var.buckets["artifacts"]}"
  logs      = "arn:aws:s3:::${var.buckets["logs"]}"
  kafka     = "arn:aws:kafka:${var.region}:${var.account_id}"

  # Beyond the tables, by room.
  further = {
    ingest = [
      {
        # What is raw stays as it came: written once, and only a part that is still under way is deleted.
        Sid      = "RawFiles"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
        Resource = ["${local.lake}/raw/*"]
      },
      {
        Sid      = "PartsOfRawFiles"
        Effect   = "Allow"
        Action   = ["s3:DeleteObject"]
        Resource = ["${local.lake}/raw/*.part"]
      },
      {
        Sid      = "Keys"
        Effect   = "Allow"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [var.secret_arns["vendor"], var.secret_arns["fred"]]
      },
    ]
    models = [{
      Sid      = "Models"
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
      Resource = ["${local.artifacts}/mlflow/*"]
    }]
    streaming = [
      {
        Sid      = "Models"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${local.artifacts}/mlflow/*"]
      },
      {
        Sid      = "Brokers"
        Effect   = "Allow"
        Action   = ["kafka-cluster:Connect", "kafka-cluster:DescribeCluster"]
        Resource = ["${local.kafka}:cluster/${var.name}/*"]
      },
      {
        Sid    = "Topics"
        Effect = "Allow"
        Action = [
          "kafka-cluster:CreateTopic", "kafka-cluster:DescribeTopic", "kafka-cluster:ReadData", "kafka-cluster:WriteData",
          "kafka-cluster:WriteDataIdempotently",
        ]
        Resource = ["${local.kafka}:cluster/${var.name}/*", "${local.kafka}:topic/${var.name}/*"]
      },
      {
        Sid      = "Groups"
        Effect   = "Allow"
        Action   = ["kafka-cluster:AlterGroup", "kafka-cluster:DescribeGroup"]
        Resource = ["${local.kafka}:group/${var.name}/*"]
      },
    ]
  }
}

resource "aws_iam_role" "job" {
  for_each    = var.roles
  name        = "${var.name}-${each.key}"
  description = "Jobs ${join(", ", each.value.jobs)}"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "emr-serverless.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "arn:aws:emr-serverless:${var.region}:${var.account_id}:/applications/*" }
      }
    }]
  })
}

resource "aws_iam_role_policy" "job" {
  for_each = var.roles
  name     = "job"
  role     = aws_iam_role.job[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          Sid      = "ReadTables"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = [for folder in each.value.reads : "${local.lake}/${folder}/*"]
        },
        {
          # Objects have versions, and no job may delete those: what it takes away can be had back.
          Sid      = "WriteTables"
          Effect   = "Allow"
          Action   = ["s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
          Resource = [for folder in each.value.writes : "${local.lake}/${folder}/*"]
        },
        {
          # Without it S3 answers "forbidden" for what is not there, which Delta takes for an error. Under a condition on the prefix
          # it would do so too. So names can be seen by all, and content cannot.
          Sid      = "Names"
          Effect   = "Allow"
          Action   = ["s3:ListBucket", "s3:GetBucketLocation"]
          Resource = [local.lake, local.artifacts]
        },
        {
          Sid      = "Code"
          Effect   = "Allow"
          Action   = ["s3:GetObject"]
          Resource = ["${local.artifacts}/jobs/*"]
        },
        {
          Sid      = "Logs"
          Effect   = "Allow"
          Action   = ["s3:PutObject", "s3:GetObject"]
          Resource = ["${local.logs}/jobs/${each.key}/*"]
        },
        {
          Sid      = "LogsFolder"
          Effect   = "Allow"
          Action   = ["s3:ListBucket"]
          Resource = [local.logs]
        },
        {
          Sid      = "Key"
          Effect   = "Allow"
          Action   = ["kms:Decrypt", "kms:GenerateDataKey"]
          Resource = [var.key_arn]
        },
      ],
      try(local.further[each.key], []),
    )
  })
}
