"""Nine significant digits and 1/10,000 $: what is looked up or computed with doubles is what the exact arithmetic says."""

import math

import numpy as np
from pyspark.sql import SparkSession

from smallcaps.detectors.expressions import ten_thousandths
from smallcaps.refine.rounding import significant
from tests.oracles.rounding import half_even, sig9

BY_LOGARITHM = (
    "CASE WHEN x = 0 THEN 0D ELSE rint(x * pow(10D, 8 - floor(log10(abs(x))))) / pow(10D, 8 - floor(log10(abs(x)))) END"
)


def test_a_scale_that_is_looked_up_rounds_as_the_one_by_logarithm(spark: SparkSession) -> None:
    """Above all around powers of ten, and beyond the lookup's ends."""
    powers = [10.0**power for power in range(-12, 16)]
    near = [math.nextafter(power, to) for power in powers for to in (0, math.inf)]
    draw = np.random.default_rng(3)
    drawn = (draw.uniform(1, 10, 3_000) * 10.0 ** draw.integers(-12, 16, 3_000)).tolist()
    values = [*powers, *near, *drawn, *(-x for x in (*powers, *near)), 0.0, None, math.nan]
    rows = spark.createDataFrame([(x,) for x in values], "x double").selectExpr(
        "x", f"{significant('x')} AS looked_up", f"{BY_LOGARITHM} AS by_logarithm"
    )
    assert rows.where("NOT looked_up <=> by_logarithm").collect() == []
    assert rows.where("x IS NOT NULL AND looked_up IS NULL").isEmpty()
    found = {row.x: row.looked_up for row in rows.collect() if row.x in drawn}
    assert all(math.isclose(found[x], sig9(x), rel_tol=1e-15) for x in drawn)


def test_a_price_of_up_to_six_decimals_becomes_whole_ten_thousandths_half_even(spark: SparkSession) -> None:
    ties = [0.00005, 0.00015, 1.00025, 12.34565, 199_999.99995, 612_345.00005]
    draw = np.random.default_rng(3)
    millionths = draw.integers(1, 10 ** draw.integers(2, 14, 5_000))
    prices = [*ties, 0.0001, 5.0, 0.000049, 0.000051, *(int(one) / 1e6 for one in millionths)]
    rows = spark.createDataFrame([(price,) for price in prices], "price double")
    found = [row.whole for row in rows.selectExpr(f"{ten_thousandths('price')} AS whole").collect()]
    assert found == [half_even(price, 4) for price in prices]
