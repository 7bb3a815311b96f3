"""What can go wrong, by who can mend it. Each class has its own exit code, so that a scheduler knows what to retry."""


class SmallcapsError(Exception):
    """Base of every error that is told to the user in one sentence. `exit_code` is the process's exit status."""

    exit_code = 1


class BadInput(SmallcapsError):
    """The request cannot be carried out as given: a path, date, option or settings value. Retrying does not help."""

    exit_code = 2


class BadData(SmallcapsError):
    """Data broke a promise (a file that is not what it says, drift, rows lost). Not retried; someone has to look."""

    exit_code = 3


class FailedDependency(SmallcapsError):
    """Something outside is missing or failed: Java, network, disk, a server. A retry may help."""

    exit_code = 4


BUG_EXIT_CODE = 70
"""Exit status for an error of our own (sysexits' EX_SOFTWARE)."""
