"""Every endpoint of every source by name, in the order in which they are asked."""

from smallcaps.sources.economy.endpoints import MACRO_VINTAGES
from smallcaps.sources.polygon.endpoints import ENDPOINTS as VENDORS
from smallcaps.sources.polygon.endpoints import Endpoint

ENDPOINTS: dict[str, Endpoint] = VENDORS | {MACRO_VINTAGES.name: MACRO_VINTAGES}
