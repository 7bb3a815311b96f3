"""Room: models. Training sets, walk-forward folds, a first model, and numbers with intervals."""
