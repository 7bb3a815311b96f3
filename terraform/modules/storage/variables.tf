variable "name" {
  description = "What every name begins with: product and environment"
  type        = string
}

variable "account_id" {
  description = "The account; part of the buckets' names, which are the world's"
  type        = string
}

variable "region" {
  description = "The region"
  type        = string
}

variable "raw_archive_days" {
  description = "Days after which raw files go to infrequent access, and after three times as many to the archive with instant retrieval"
  type        = number
}

variable "noncurrent_days" {
  description = "Days that overwritten and deleted objects can be had back"
  type        = number
}

variable "results_days" {
  description = "Days that Athena's results are kept"
  type        = number
}

variable "log_days" {
  description = "Days that logs are kept"
  type        = number
}
