"""A fortnight of one name: bars that are taken in, and a calendar that is made of them."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from smallcaps.lake import Lake, between, recorded_run
from smallcaps.refine.labels import calendar_frame
from tests.refine.frames import bronze_bars
from tests.sources.vendor_files import bar

# Two weeks of sessions without a holiday.
FIRST, LAST = date(2015, 6, 1), date(2015, 6, 12)
BARS, CALENDAR, FACTORS = "bronze.bars_1d", "silver.calendar", "silver.adjustments"


def day(number: int) -> date:
    return date(2015, 6, number)


def put(lake: Lake, prices: Mapping[int, float], where: str | None = None) -> None:
    """Bars of one name, a price a day of June, in place of the rows of `where`."""
    rows = [(str(day(number)), bar("A", str(day(number)), close=price)) for number, price in prices.items()]
    with recorded_run(lake, "ingest", {}, "settings") as run:
        run.replace(BARS, bronze_bars(lake.spark, BARS, rows), where)


def make(lake: Lake, first: date, last: date, back: int = 0, ahead: int = 0, reads: Sequence[str] = ()) -> None:
    """A run that makes the calendar of its days, having read bars around them and other tables as a whole."""
    with recorded_run(lake, "refine", {"table": CALENDAR, "from": first, "to": last}, "settings") as run:
        run.read_days(BARS, first - timedelta(days=back), last + timedelta(days=ahead))
        for name in reads:
            run.has(name) and run.read(name)
        rows = calendar_frame(lake.spark, first, last)
        run.replace(CALENDAR, rows, between("session_date", first, last))
