"""Rounding to nine significant digits, by decimal arithmetic."""

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal

NINE_DIGITS = Context(prec=9, rounding=ROUND_HALF_EVEN)


def sig9(x: float | None) -> float | None:
    """x rounded half-even to nine significant digits of its shortest decimal form; None stays None."""
    if x is None or not math.isfinite(x):
        return x
    return float(NINE_DIGITS.create_decimal(repr(float(x))))


def half_even(x: float, decimals: int = 0) -> int:
    """x · 10^decimals as the nearest integer, ties to even."""
    return int(Decimal(repr(float(x))).scaleb(decimals).to_integral_value(ROUND_HALF_EVEN))
