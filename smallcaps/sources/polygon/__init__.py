"""Polygon.io (now Massive): its file layout and bodies."""
