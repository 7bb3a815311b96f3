"""Room: serving. What people look at."""
