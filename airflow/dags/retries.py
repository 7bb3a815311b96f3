"""Which failures are worth another try: a job's exit code says who can mend it (smallcaps/errors.py)."""

import re

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

LOST_CAUSES = {
    2: "the request cannot be carried out as given",
    3: "someone has to look at the data",
    70: "a bug of ours",
}
"""Exit codes that another try does not change. Others may be a server that is down, or a process that was killed."""
_EXIT_CODE = re.compile(r"(?:Error code is|ExitCode|exit code)[: ]+(\d+)")
"""As spark-submit's operator, EMR Serverless and a Bash task tell it."""


class ByExitCode(RetryPolicy):
    """No other try for bad requests, bad data and bugs; for everything else as many as the task has."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: object = None
    ) -> RetryDecision:
        """What becomes of a task that raised `exception`."""
        told = _EXIT_CODE.search(str(exception))
        why = LOST_CAUSES.get(int(told[1])) if told else None
        return RetryDecision.fail(f"Exit code {told[1]}: {why}.") if told and why else RetryDecision.default()
