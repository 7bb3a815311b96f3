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

variable "key_arn" {
  description = "The key that images are encrypted with"
  type        = string
}

variable "release" {
  description = "EMR's release; the image is built on its base image"
  type        = string
}

variable "image_tag" {
  description = "Tag of the image that jobs run in; none: EMR's own, for as long as nothing has been pushed"
  type        = string
  nullable    = true
}

variable "maximum" {
  description = "What all jobs together may use at a time"
  type        = object({ cpu = string, memory = string, disk = string })
}

variable "idle_minutes" {
  description = "Minutes without a job after which the application stops and costs nothing"
  type        = number
}

variable "subnet_ids" {
  description = "Where jobs run"
  type        = list(string)
}

variable "security_group_id" {
  description = "The security group of jobs"
  type        = string
}

variable "enable_application" {
  description = "Whether the EMR Serverless application is made, beside the repository of its images"
  type        = bool
}
