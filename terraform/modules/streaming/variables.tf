variable "name" {
  description = "What every name begins with: product and environment"
  type        = string
}

variable "vpc_id" {
  description = "The network"
  type        = string
}

variable "subnet_ids" {
  description = "Where the brokers are reached"
  type        = list(string)
}

variable "jobs_security_group_id" {
  description = "The security group of jobs, which reach the brokers"
  type        = string
}
