"""What models foretell of an event, and what a model is called."""

from smallcaps.config.settings import DatasetSettings

TARGETS: dict[str, str] = {
    "continuation": "outcome = 'continuation'",
    "reversal": "outcome = 'reversal'",
    "exhaustion": "gave_back",
}
"""SQL over gold.dataset_rows: whether it came. Exhaustion overlaps with the others, so each has a model of its own."""


MANIPULATION = "manipulation"
"""What the models of manipulation are registered as."""


def problem(definition: DatasetSettings) -> str:
    """What is foretold, in a name: of events of which grains, how far ahead, beyond how wide a barrier. Models of one problem
    compete in one experiment and one registered model of MLflow.
    """
    return f"{'_'.join(definition.grains)}_{definition.horizon}_{definition.barrier_width:g}atr"


def problem_of(kept: str) -> str:
    """The problem of a dataset, of what gold.datasets keeps of its definition."""
    return problem(DatasetSettings.model_validate_json(kept))
