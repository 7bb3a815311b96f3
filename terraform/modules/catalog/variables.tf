variable "name" {
  description = "What every name begins with: product and environment"
  type        = string
}

variable "lake" {
  description = "Root of the lake, s3://bucket"
  type        = string
}

variable "tables" {
  description = "The tables by layer.name, as smallcaps tables --glue prints them"
  type = map(object({
    layer          = string
    name           = string
    description    = string
    path           = string
    columns        = list(object({ name = string, type = string, comment = string }))
    partition_keys = list(object({ name = string, type = string, comment = string }))
  }))
}
