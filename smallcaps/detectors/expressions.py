"""SQL expressions that several grains use."""


def ten_thousandths(price: str) -> str:
    """A price as a whole number of 1/10,000 $ (half-even), exact from the decimal that was printed."""
    return f"cast(bround(cast({price} AS decimal(18,6)) * 10000) AS bigint)"
