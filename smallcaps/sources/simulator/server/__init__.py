"""The simulated vendor: REST, WebSocket and flat files over a market folder (see layout), on the loopback."""

from smallcaps.sources.simulator.server.app import ACCESS_KEY, create_app
from smallcaps.sources.simulator.server.faults import Faults
from smallcaps.sources.simulator.server.run import Place, running, serve

__all__ = ["ACCESS_KEY", "Faults", "Place", "create_app", "running", "serve"]
