"""Trade detectors: one row a second with trades; see docs/detectors.md."""
