"""SQL expressions that several grains use."""


def significant(name: str) -> str:
    """Column `name` (a double) rounded half-even to 9 significant digits, so that a tie is a tie on every machine."""
    scale = f"pow(10D, 8 - floor(log10(abs({name}))))"
    return f"CASE WHEN {name} = 0 THEN 0D ELSE rint({name} * {scale}) / {scale} END"


def ten_thousandths(price: str) -> str:
    """A price as a whole number of 1/10,000 $ (half-even), exact from the decimal that was printed."""
    return f"cast(bround(cast({price} AS decimal(18,6)) * 10000) AS bigint)"
