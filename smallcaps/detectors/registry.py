"""The one list of detectors: every module of the grain folders that declares DETECTOR or DETECTORS."""

import importlib
import pkgutil
from functools import cache

from smallcaps.detectors import daily, minute, trade
from smallcaps.detectors.daily.grain import GRAIN as DAILY
from smallcaps.detectors.declaration import Detector, Grain
from smallcaps.detectors.minute.grain import GRAIN as MINUTE
from smallcaps.detectors.trade.grain import GRAIN as TRADE

GRAINS: dict[str, Grain] = {grain.name: grain for grain in (DAILY, MINUTE, TRADE)}
INTRADAY = tuple(name for name, grain in GRAINS.items() if grain.stays_in_session)
"""Grains whose events are known within the session."""


@cache
def all_detectors() -> tuple[Detector, ...]:
    """Every declared detector, by grain and name."""
    found: list[Detector] = []
    for folder in (daily, minute, trade):
        for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
            names = vars(importlib.import_module(module.name))
            found += [names["DETECTOR"]] if "DETECTOR" in names else names.get("DETECTORS", ())
    return tuple(found)


def detectors_of(grain: str) -> list[Detector]:
    """The detectors of one grain."""
    return [detector for detector in all_detectors() if detector.grain == grain]
