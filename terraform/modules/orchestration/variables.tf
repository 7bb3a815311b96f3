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

variable "artifacts_bucket" {
  description = "The bucket that has the DAGs under airflow/"
  type        = string
}

variable "key_arn" {
  description = "The key that Airflow's own data are encrypted with"
  type        = string
}

variable "airflow_version" {
  description = "Airflow's version, one that MWAA has"
  type        = string
}

variable "environment_class" {
  description = "Size of scheduler and workers"
  type        = string
}

variable "maximum_workers" {
  description = "Workers at most; they wait for jobs, which run elsewhere"
  type        = number
}

variable "subnet_ids" {
  description = "Two private subnets"
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) == 2
    error_message = "MWAA wants exactly two subnets."
  }
}

variable "security_group_id" {
  description = "The security group of schedulers and workers"
  type        = string
}

variable "application_arn" {
  description = "The EMR Serverless application that jobs are started in"
  type        = string
}

variable "application_id" {
  description = "Its id"
  type        = string
}

variable "job_roles" {
  description = "The role that each job is started in, by its file in jobs/"
  type        = map(string)
}
