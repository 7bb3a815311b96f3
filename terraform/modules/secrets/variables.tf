variable "name" {
  description = "What every name begins with: product and environment"
  type        = string
}

variable "key_arn" {
  description = "The key that secrets are encrypted with"
  type        = string
}
