"""What five years of history and a day would cost in core hours and dollars, from rates that were measured on two cores.

python benchmarks/cost.py

Each rate names the command that measured it. Volumes are those that the design plans for. Bars into bronze, daily detectors,
features, labels and models are left out: they are small beside ticks, or were not measured by row. Prices are list prices of
us-east-1, put down from memory: look before you rely on them.
"""

from dataclasses import dataclass

CORES = 2
SESSIONS = 5 * 252
GB_A_CORE = 4
"""Memory that goes with a core."""
EMR_CORE_HOUR = 0.052624 + GB_A_CORE * 0.0057785
"""EMR Serverless, $: a vCPU and its memory."""
EKS_CORE_HOUR = 0.192 / 4 + 0.01012
"""An m6i.xlarge on demand, and what EMR on EKS takes for a vCPU, $."""
SLACK = 2.0
"""What shuffle, S3 and idle executors may add."""
LIVE_CORES, LIVE_HOURS, MSK_HOUR = 4, 16, 0.75
"""Landing, detection and scoring of 5,000 messages a second took two cores with broker and feed (live_latency.py), doubled; from
04:00 to 20:00 New York; MSK Serverless' cluster, $, without its partitions and gigabytes."""


@dataclass(frozen=True)
class Work:
    """A step: rows that were done in so many seconds on CORES, and the rows of a day of small caps."""

    name: str
    rows: int
    seconds: float
    a_day: int
    measured_by: str

    def core_hours(self, sessions: int) -> float:
        """For so many sessions."""
        return sessions * self.a_day * CORES * self.seconds / self.rows / 3600


WORK = (
    Work("ticks into bronze", 54_600_000, 40.8, 650_000_000, "flatfiles.py --times 10"),
    Work("trades refined", 2_616_780, 9.11, 15_000_000, "refine.py MARKET --times 60 --rounds 1"),
    Work("quotes refined", 4_085_820, 9.41, 50_000_000, "refine.py MARKET --times 60 --rounds 1"),
    Work("minutes of trades", 2_616_780, 5.88, 15_000_000, "refine.py MARKET --times 60 --rounds 1"),
    Work("minute detectors", 14_996_652, 63.9, 1_200_000, "detectors.py --times 5"),
    Work("tape speed", 2_460_507, 4.4, 15_000_000, "detectors.py --trades"),
    Work("trades meet quotes", 50_000_000, 10.6, 50_000_000, "as_of.py"),
)
"""Small caps: 4,000 names, 1.2 million minute bars, a tenth of the market's 150 million trades and 500 million quotes, which are
all read."""


def main() -> None:
    """Print the table."""
    print("| step | rows a second and core | core hours a day | five years | by |")
    print("|---|---|---|---|---|")
    for one in WORK:
        rate = one.rows / one.seconds / CORES
        print(
            f"| {one.name} | {rate:,.0f} | {one.core_hours(1):.2f} | {one.core_hours(SESSIONS):,.0f} | `{one.measured_by}` |"
        )
    print()
    print("| | core hours | EMR Serverless, $ | EKS, $ | with as much again |")
    print("|---|---|---|---|---|")
    for name, sessions in (("a day", 1), ("five years", SESSIONS)):
        hours = sum(one.core_hours(sessions) for one in WORK)
        emr, eks = hours * EMR_CORE_HOUR, hours * EKS_CORE_HOUR
        print(f"| {name} | {hours:,.1f} | {emr:,.2f} | {eks:,.2f} | {SLACK * eks:,.2f} to {SLACK * emr:,.2f} |")
    live = LIVE_CORES * LIVE_HOURS
    price = live * EKS_CORE_HOUR + LIVE_HOURS * MSK_HOUR
    print(f"| a live day | {live:,.1f} | – | {price:,.2f} with Kafka | |")


if __name__ == "__main__":
    main()
