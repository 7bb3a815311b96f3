"""Room: labels. What happened after an event; everything here looks forward and none of it may be a model's input."""
