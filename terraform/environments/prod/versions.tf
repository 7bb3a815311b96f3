terraform {
  required_version = ">= 1.11, < 2"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Where the state lies is told at terraform init (-backend-config): it is nobody else's business.
  backend "s3" {
    use_lockfile = true
    encrypt      = true
  }
}
