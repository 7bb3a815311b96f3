variable "name" {
  description = "What every name begins with: product and environment"
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,30}$", var.name))
    error_message = "name must be 3 to 31 characters: lower-case letters, digits and hyphens, a letter first."
  }
}

variable "region" {
  description = "The region"
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, a /16"
  type        = string
  default     = "10.40.0.0/16"
}

variable "zones" {
  description = "Availability zones with a private subnet each"
  type        = number
}

variable "interface_endpoints" {
  description = "Services that are reached within the network, each at a price an hour and zone"
  type        = set(string)
}

variable "enable_internet" {
  description = "Whether a NAT gateway lets jobs out: ingest asks the vendor over the internet"
  type        = bool
}

variable "enable_compute" {
  description = "Whether there is an EMR Serverless application"
  type        = bool
}

variable "enable_streaming" {
  description = "Whether there is an MSK Serverless cluster, at a price an hour"
  type        = bool
}

variable "enable_orchestration" {
  description = "Whether there is an MWAA environment, at a price an hour; needs enable_compute"
  type        = bool

  validation {
    condition     = !var.enable_orchestration || var.enable_compute
    error_message = "enable_orchestration needs enable_compute: Airflow starts its jobs there."
  }
}

variable "enable_budget" {
  description = "Whether there is a budget of the account"
  type        = bool
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

variable "scan_limit" {
  description = "Bytes that a query of Athena may read before it is stopped"
  type        = number
}

variable "scanned_a_day" {
  description = "Bytes that all queries of a day may read before people are told"
  type        = number
}

variable "emr_release" {
  description = "EMR's release"
  type        = string
  default     = "emr-spark-8.0.0"
}

variable "image_tag" {
  description = "Tag of the image that jobs run in; none: EMR's own"
  type        = string
  default     = null
}

variable "maximum" {
  description = "What all jobs together may use at a time"
  type        = object({ cpu = string, memory = string, disk = string })
}

variable "idle_minutes" {
  description = "Minutes without a job after which the application stops"
  type        = number
}

variable "airflow_version" {
  description = "Airflow's version, one that MWAA has"
  type        = string
  default     = "3.0.6"
}

variable "airflow_class" {
  description = "Size of Airflow's scheduler and workers"
  type        = string
}

variable "airflow_workers" {
  description = "Airflow's workers at most"
  type        = number
}

variable "mail_to" {
  description = "Who is told of alarms"
  type        = set(string)
}

variable "monthly_budget" {
  description = "US dollars a month of the whole account"
  type        = number
}
