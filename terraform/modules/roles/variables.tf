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

variable "secret_arns" {
  description = "The secrets by name"
  type        = map(string)
}

variable "roles" {
  description = "The roles by room, as smallcaps tables --glue prints them: jobs, and folders of the lake that they read and write"
  type        = map(object({ jobs = list(string), reads = list(string), writes = list(string) }))
}
