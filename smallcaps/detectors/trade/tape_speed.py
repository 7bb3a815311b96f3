"""Tape speed: ten seconds with more trades than clustered arrivals at the usual rate would ever bring."""

from functools import cache

import numpy as np
from scipy.stats import nbinom

from smallcaps.detectors.declaration import Detector, Feature, Parameter

LARGEST_EXPECTED = 2_000
"""Expected trades in 10 s beyond which the table ends and nothing fires: 200 trades a second, all session."""

DETECTOR = Detector(
    name="tape_speed",
    version=2,
    grain="trade",
    summary="At least 10 trades in 10 s, and more than a negative binomial allows once in a million",
    parameters=(
        Parameter("minimum_trades", 10, "trades in 10 s", 1, 10_000, "least trades"),
        Parameter(
            "tail_probability", 1e-6, "probability", 1e-12, 0.1, "upper tail that the count must fall below", near=100
        ),
        Parameter("dispersion", 5, "variance / mean", 1.01, 100, "clustering of arrivals", near=1),
    ),
    features=(
        Feature("tape_threshold", "CASE WHEN critical IS NOT NULL THEN greatest({minimum_trades}, critical) END"),
        Feature("tape_strength", "trades_10s / tape_threshold", rounded=True),
    ),
    condition="trades_10s >= tape_threshold",
    strength="tape_strength",
    direction="coalesce(sign(last_price - price_10_ago), 0)",
)


@cache
def critical_counts(tail_probability: float, dispersion: float) -> list[tuple[int, int]]:
    """(10·λ, c): the least count c with P(X ≥ c) < `tail_probability` for a negative binomial X of mean λ and variance
    `dispersion`·λ; for λ = 0.1, 0.2, … `LARGEST_EXPECTED`.
    """
    tenths = np.arange(1, 10 * LARGEST_EXPECTED + 1)
    success = 1 / dispersion
    size = tenths / 10 * success / (1 - success)
    critical = nbinom.isf(tail_probability, size, success).astype(int) + 1
    # isf gives the least x with P(X > x) ≤ tail; where that is an equality one more is needed.
    critical += nbinom.sf(critical - 1, size, success) >= tail_probability
    return list(zip(tenths.tolist(), critical.tolist(), strict=True))
