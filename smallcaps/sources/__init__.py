"""Room: where data comes from. It speaks the vendor's formats and knows nothing of tables."""
