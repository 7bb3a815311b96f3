variable "name" {
  description = "What every name begins with: product and environment"
  type        = string
}

variable "account_id" {
  description = "The account"
  type        = string
}

variable "key_arn" {
  description = "The key that messages are encrypted with"
  type        = string
}

variable "mail_to" {
  description = "Who is told; each has to confirm once"
  type        = set(string)
}

variable "workgroup" {
  description = "Athena's workgroup"
  type        = string
}

variable "scanned_a_day" {
  description = "Bytes that all queries of a day may read before people are told"
  type        = number
}

variable "monthly_budget" {
  description = "US dollars a month of the whole account; people are told at 80 %, and where 100 % is to be expected"
  type        = number
}

variable "enable_budget" {
  description = "Whether the budget is made: one an account is enough"
  type        = bool
}

variable "enable_orchestration" {
  description = "Whether there is an Airflow to watch"
  type        = bool
}
