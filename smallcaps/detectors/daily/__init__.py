"""Daily detectors: one row a symbol and session, as traded; see docs/detectors.md."""
