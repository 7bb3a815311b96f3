# Where jobs run: EMR Serverless, in an image of our own.

resource "aws_ecr_repository" "jobs" {
  name                 = "${var.name}/jobs"
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = var.key_arn
  }
}

resource "aws_ecr_lifecycle_policy" "jobs" {
  repository = aws_ecr_repository.jobs.name

  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The last twenty images"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 20 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_ecr_repository_policy" "jobs" {
  repository = aws_ecr_repository.jobs.name

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EmrServerless"
      Effect    = "Allow"
      Principal = { Service = "emr-serverless.amazonaws.com" }
      Action    = ["ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetDownloadUrlForLayer"]
      Condition = { StringLike = { "aws:SourceArn" = "arn:aws:emr-serverless:${var.region}:${var.account_id}:/applications/*" } }
    }]
  })
}

resource "aws_emrserverless_application" "this" {
  count         = var.enable_application ? 1 : 0
  name          = var.name
  release_label = var.release
  type          = "spark"

  maximum_capacity {
    cpu    = var.maximum.cpu
    memory = var.maximum.memory
    disk   = var.maximum.disk
  }

  auto_start_configuration {
    enabled = true
  }

  auto_stop_configuration {
    enabled              = true
    idle_timeout_minutes = var.idle_minutes
  }

  network_configuration {
    subnet_ids         = var.subnet_ids
    security_group_ids = [var.security_group_id]
  }

  dynamic "image_configuration" {
    for_each = var.image_tag == null ? [] : [var.image_tag]

    content {
      image_uri = "${aws_ecr_repository.jobs.repository_url}:${image_configuration.value}"
    }
  }

  depends_on = [aws_ecr_repository_policy.jobs]
}
