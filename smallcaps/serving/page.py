"""What the pages have in common: their frame (page.html), how figures are written, the plotly.js inside them."""

import functools
import math
from datetime import date, datetime
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from smallcaps.calendar.sessions import NEW_YORK

MISSING = "–"
"""Written where there is no figure."""


def render_page(template: str, **values: Any) -> str:
    """The page of a template that extends page.html: no reads of data, no clock, no outside resources."""
    return _environment().get_template(template).render(plotly=Markup(get_plotlyjs()), **values)  # noqa: S704 - a library


def known(value: float) -> float | None:
    """None for NaN, which pages write as missing."""
    return None if math.isnan(value) else value


def percent(value: float | None, digits: int = 1) -> str:
    """A share as percent: 12.3 %."""
    return MISSING if value is None else f"{_signed(value * 100, digits, plus=False)} %"


def change(value: float | None) -> str:
    """A share as signed percent: +12.3 %."""
    return MISSING if value is None else f"{_signed(value * 100, 1, plus=True)} %"


def dollars(value: float | None) -> str:
    """Whole dollars with thousands: $1,234,567."""
    return MISSING if value is None else f"${value:,.0f}".replace("-", "−")


def price(value: float | None) -> str:
    """A price: cents, below a dollar hundredths of them."""
    return MISSING if value is None else f"${value:,.{4 if abs(value) < 1 else 2}f}"


def number(value: float | None, digits: int = 0) -> str:
    """A number with thousands."""
    return MISSING if value is None else _signed(value, digits, plus=False)


def tiny(value: float | None) -> str:
    """A number of any size by its first three digits: 1.23e-06."""
    return MISSING if value is None else f"{value:.3g}"


def day(value: date | None) -> str:
    """A date: Tue 12 Mar 2024."""
    return MISSING if value is None else f"{value:%a} {value.day} {value:%b %Y}"


def clock(value: datetime | None) -> str:
    """A UTC instant as New York time: 16:00:02 New York."""
    return MISSING if value is None else f"{in_new_york(value):%H:%M:%S} New York"


def moment(value: datetime | None) -> str:
    """A UTC instant as New York date and time."""
    return MISSING if value is None else f"{in_new_york(value):%Y-%m-%d %H:%M:%S} New York"


def words(value: str) -> str:
    """An identifier as words."""
    return value.replace("_", " ")


def _signed(value: float, digits: int, plus: bool) -> str:
    text = f"{value:{'+' if plus else ''}z,.{digits}f}"
    return text.replace("-", "−")


def in_new_york(value: datetime) -> pd.Timestamp:
    """A UTC instant by New York's clock."""
    stamp = pd.Timestamp(value)
    return (stamp if stamp.tzinfo else stamp.tz_localize("UTC")).tz_convert(NEW_YORK)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("smallcaps.serving", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        filter_.__name__: filter_ for filter_ in (percent, change, dollars, price, number, day, clock, moment, words)
    }
    return environment
