"""What is planted into copies of real rows to measure the detectors: moves of a known size in units of a detector's threshold."""
