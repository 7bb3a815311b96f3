# Glue's databases and tables, one for each that the registry declares.

locals {
  prefix = replace(var.name, "-", "_")
  layers = toset([for table in var.tables : table.layer])
}

resource "aws_glue_catalog_database" "this" {
  for_each     = local.layers
  name         = "${local.prefix}_${each.key}"
  description  = "Layer ${each.key} of ${var.name}"
  location_uri = "${var.lake}/${each.key}"
}

resource "aws_glue_catalog_table" "this" {
  for_each      = var.tables
  database_name = aws_glue_catalog_database.this[each.value.layer].name
  name          = each.value.name
  description   = each.value.description
  table_type    = "EXTERNAL_TABLE"

  # Athena knows a Delta table by table_type, EMR and Glue's Spark by the provider, Glue's own tools by the classification. All read
  # the log at the location; formats are those that Spark itself writes here, and nobody reads by them.
  parameters = {
    EXTERNAL                     = "TRUE"
    classification               = "delta"
    table_type                   = "DELTA"
    "spark.sql.sources.provider" = "delta"
  }

  storage_descriptor {
    location      = "${var.lake}/${each.value.path}"
    input_format  = "org.apache.hadoop.mapred.SequenceFileInputFormat"
    output_format = "org.apache.hadoop.hive.ql.io.HiveSequenceFileOutputFormat"

    ser_de_info {
      serialization_library = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe"
      parameters            = { "serialization.format" = "1", path = "${var.lake}/${each.value.path}" }
    }

    dynamic "columns" {
      for_each = each.value.columns

      content {
        name    = columns.value.name
        type    = columns.value.type
        comment = columns.value.comment
      }
    }
  }

  dynamic "partition_keys" {
    for_each = each.value.partition_keys

    content {
      name    = partition_keys.value.name
      type    = partition_keys.value.type
      comment = partition_keys.value.comment
    }
  }
}
