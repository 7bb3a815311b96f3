"""Room: typed settings, read from `conf/` and the environment."""

from smallcaps.config.settings import LiquidityFloor, Settings, configuration_folder, load_settings

__all__ = ["LiquidityFloor", "Settings", "configuration_folder", "load_settings"]
