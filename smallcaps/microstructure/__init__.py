"""Room: microstructure. Trades and quotes around events."""
