"""Room: source → raw → bronze. Bytes are kept as they came; rows are typed and nothing else."""
