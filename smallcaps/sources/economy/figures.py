"""What figures of the economy are called here, whoever says them: FRED's archive by id, the vendor by its name.

Where both are named they say the same series. The vendor's consumer prices stand apart: by its own documentation they are not
seasonally adjusted (massive.com/docs/rest/economy/inflation), FRED's that are taken are; of those without food and energy it does
not say.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from smallcaps.sources.economy.series import BY_NAME, CPI, EMPLOYMENT, EXPECTATIONS, H15, INCOME, Grain, Release


@dataclass(frozen=True)
class Figure:
    """A series under our name. `revised`: what is said of a period may be changed later, by a habit of who publishes it."""

    name: str
    unit: str
    release: Release
    grain: Grain = Grain.MONTH
    fred: str | None = None
    vendor: str | None = None
    revised: bool = True


def _fred(name: str, unit: str, fred: str, vendor: str | None = None) -> Figure:
    """A series of FRED's, perhaps of the vendor's too."""
    series = BY_NAME[fred]
    return Figure(name, unit, series.release, series.grain, fred, vendor)


def _yields() -> Iterable[Figure]:
    """The Treasury's yields at constant maturity, which are not revised; FRED's that are taken are some of them."""
    spans = ("1_month", "3_month", "6_month", *(f"{years}_year" for years in (1, 2, 3, 5, 7, 10, 20, 30)))
    for span in spans:
        fred = f"DGS{span.removesuffix('_year').replace('_month', 'MO')}"
        known = fred if fred in BY_NAME else None
        yield Figure(f"yield_{span}", "%", H15, Grain.DAY, known, f"yield_{span}", revised=False)


FIGURES = (
    _fred("cpi", "index, 1982–84 = 100", "CPIAUCSL"),
    _fred("cpi_core", "index, 1982–84 = 100", "CPILFESL"),
    _fred("ppi", "index, November 2009 = 100", "PPIFIS"),
    _fred("ppi_commodities", "index, 1982 = 100", "PPIACO"),
    _fred("payrolls", "thousand jobs", "PAYEMS"),
    _fred("unemployment_rate", "%", "UNRATE", "unemployment_rate"),
    _fred("hourly_earnings", "$", "CES0500000003", "avg_hourly_earnings"),
    _fred("job_openings", "thousand openings", "JTSJOL", "job_openings"),
    _fred("policy_rate_upper", "%", "DFEDTARU"),
    _fred("policy_rate_lower", "%", "DFEDTARL"),
    _fred("manufacturing_philadelphia", "index, −100 to 100", "GACDFSA066MSFRBPHI"),
    _fred("manufacturing_new_york", "index, −100 to 100", "GACDISA066MSFRBNY"),
    *_yields(),
    Figure("cpi_unadjusted", "index, 1982–84 = 100", CPI, vendor="cpi"),
    Figure("vendor_cpi_core", "index, 1982–84 = 100", CPI, vendor="cpi_core"),
    Figure("cpi_year_over_year", "%", CPI, vendor="cpi_year_over_year"),
    Figure("participation_rate", "%", EMPLOYMENT, vendor="labor_force_participation_rate"),
    Figure("pce", "index", INCOME, vendor="pce"),
    Figure("pce_core", "index", INCOME, vendor="pce_core"),
    Figure("pce_spending", "billion $", INCOME, vendor="pce_spending"),
    *(
        Figure(f"inflation_{span}", "%", EXPECTATIONS, vendor=span)
        for span in ("market_5_year", "market_10_year", "forward_years_5_to_10")
    ),
    *(
        Figure(f"inflation_model_{years}_year", "%", EXPECTATIONS, vendor=f"model_{years}_year")
        for years in (1, 5, 10, 30)
    ),
)
"""Every series of silver.macro."""
