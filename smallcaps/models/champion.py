"""The model that scores now: the registered one that has an alias, whoever that is as time goes on."""

import time

from smallcaps.config import Settings
from smallcaps.errors import BadInput, FailedDependency
from smallcaps.lake import Lake
from smallcaps.log import tell
from smallcaps.models.batch_scoring import model_of
from smallcaps.models.frozen import definition_of
from smallcaps.models.registry import Registered, reached_by_best, version_with
from smallcaps.models.targets import problem
from smallcaps.models.tracking import client_of

FOLLOWED = "continuation"
"""The target whose probability makes a signal."""
LOOK_SECONDS = 15.0
"""Between two looks at who has the alias."""


class Champion:
    """The registered model of a dataset definition that has `alias`; `threshold` is its own.

    Raises BadInput where there is none, or it reads other inputs than this code makes. Later a promoted one that could not score,
    and a registry that does not answer, are told of, and the model that is there goes on.
    """

    def __init__(self, lake: Lake, settings: Settings, of: str, alias: str) -> None:
        self.definition = definition_of(settings, of)
        self._lake, self._settings, self._of, self._alias = lake, settings, of, alias
        self.model, self.threshold = self._load()
        self._looked_at = time.monotonic()

    def look(self) -> None:
        """Let whoever has the alias take over, unless that was looked at just now."""
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        try:
            client = client_of(self._settings, self._lake)
            version = version_with(client, problem(self.definition), self._alias)
            if version in (None, self.model.version):
                return
            before = self.model.name
            self.model, self.threshold = self._load()
        except (BadInput, FailedDependency) as error:
            tell(f"{self.model.name} goes on scoring: {error}")
        else:
            tell(f"{self.model.name} scores from now on, no longer {before}")

    def _load(self) -> tuple[Registered, float]:
        model = model_of(self._lake, self._settings, self._of, self._alias)
        share = self._settings.signals.best_share
        return model, reached_by_best(self._settings, self._lake, model, FOLLOWED, share)
