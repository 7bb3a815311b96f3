variable "region" {
  description = "The region"
  type        = string
  default     = "us-east-1"
}

variable "mail_to" {
  description = "Who is told of alarms"
  type        = set(string)
  default     = []
}

variable "image_tag" {
  description = "Tag of the image that jobs run in; none: EMR's own, for as long as nothing has been pushed"
  type        = string
  default     = null
}

variable "enable_streaming" {
  description = "Whether there is an MSK Serverless cluster, at about 0.75 dollars an hour"
  type        = bool
  default     = true
}

variable "enable_orchestration" {
  description = "Whether there is an MWAA environment, at about 0.49 dollars an hour"
  type        = bool
  default     = true
}
