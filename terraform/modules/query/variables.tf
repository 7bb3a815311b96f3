variable "name" {
  description = "What every name begins with: product and environment"
  type        = string
}

variable "account_id" {
  description = "The account"
  type        = string
}

variable "region" {
  description = "The region"
  type        = string
}

variable "buckets" {
  description = "Names of the buckets by purpose"
  type        = map(string)
}

variable "key_arn" {
  description = "The key that data are encrypted with"
  type        = string
}

variable "databases" {
  description = "Glue's databases by layer"
  type        = map(string)
}

variable "scan_limit" {
  description = "Bytes that a query may read before it is stopped"
  type        = number

  validation {
    condition     = var.scan_limit >= 10000000
    error_message = "Athena takes no limit under 10 MB (10000000)."
  }
}
