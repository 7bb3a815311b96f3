variable "name" {
  description = "What every name begins with: product and environment"
  type        = string
}

variable "region" {
  description = "The region"
  type        = string
}

variable "cidr" {
  description = "Addresses of the network, a /16"
  type        = string
}

variable "zones" {
  description = "Availability zones with a private subnet each; MSK Serverless and MWAA want two at least"
  type        = number

  validation {
    condition     = var.zones >= 2 && var.zones <= 4
    error_message = "zones must be from 2 to 4."
  }
}

variable "interface_endpoints" {
  description = "Services that are reached within the network, each at a price an hour and zone"
  type        = set(string)
}

variable "enable_internet" {
  description = "Whether a NAT gateway lets jobs out, at a price an hour: ingest asks the vendor over the internet"
  type        = bool
}
