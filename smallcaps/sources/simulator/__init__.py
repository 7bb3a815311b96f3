"""A market of our own: made from a seed, kept in a folder, served over the vendor's wire formats."""
