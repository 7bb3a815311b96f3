"""SQL expressions that several grains use."""


def ten_thousandths(price: str) -> str:
    """A price as a whole number of 1/10,000 $ (half-even), exact for prices of up to 6 decimals below 10⁹ $.

    The inner rounding finds the millionths that were printed; divided by 100 a half stays a half. Decimals would say the same and
    take many times as long.
    """
    return f"cast(rint(rint({price} * 1000000D) / 100D) AS bigint)"
