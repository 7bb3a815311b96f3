"""Minute detectors: one row a traded minute; see docs/detectors.md."""
