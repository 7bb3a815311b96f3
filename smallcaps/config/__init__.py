"""Room: typed settings, read from `conf/` and the environment."""

from smallcaps.config.s3 import s3_endpoint, s3_region
from smallcaps.config.settings import (
    KafkaSettings,
    LiquidityFloor,
    LiveSettings,
    NotifySettings,
    ServiceSettings,
    Settings,
    VendorSettings,
    configuration_folder,
    load_settings,
)

__all__ = [
    "KafkaSettings",
    "LiquidityFloor",
    "LiveSettings",
    "NotifySettings",
    "ServiceSettings",
    "Settings",
    "VendorSettings",
    "configuration_folder",
    "load_settings",
    "s3_endpoint",
    "s3_region",
]
