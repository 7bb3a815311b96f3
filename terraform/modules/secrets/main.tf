# Places for keys. Their values are put there by hand, so that they are in no code and no state.

locals {
  secrets = {
    vendor = "The vendor's keys, JSON with POLYGON_API_KEY, POLYGON_S3_ACCESS_KEY_ID and POLYGON_S3_SECRET_ACCESS_KEY (vendor.secret)"
    fred   = "The key to FRED, JSON with FRED_API_KEY (fred.secret)"
  }
}

resource "aws_secretsmanager_secret" "this" {
  for_each                = local.secrets
  name                    = "${var.name}/${each.key}"
  description             = each.value
  kms_key_id              = var.key_arn
  recovery_window_in_days = 30
}
