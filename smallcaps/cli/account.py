"""`smallcaps detectors account`: the account of the daily detectors as tables."""

import pandas as pd
from rich.table import Table as RichTable

from smallcaps.cli.console import output
from smallcaps.serving.detector_account import FILTERS, REPEATS_WITHIN, Account, bands, why


def show_account(account: Account) -> None:
    """Print what the page says."""
    months = account.counts.pivot_table(index="month", columns="kind", values="events", aggfunc="sum", fill_value=0)
    output.print(_table("Events by month", months))
    output.print(_table("Events by price", bands(account)))
    output.print(_table("Of 1,000 symbol-days above the floor", account.rates.set_index("kind")))
    output.print(_table("Kept out by floor and splits", why(account).assign(filter=list(FILTERS.values()))))
    output.print(_table("In force, by the same reasons", why(account, "in_force")))
    output.print(_table("Busiest sessions", account.busiest.set_index("session_date")))
    again = account.repeats / account.symbol_days
    output.print(
        f"{account.events:,} events on {account.symbol_days:,} symbol-days ({account.days_a_year:,.0f} a year) of "
        f"{account.floored:,} above the floor; {account.busiest_share:.1%} of them on the {len(account.busiest)} busiest "
        f"sessions; {again:.1%} of the symbol-days repeat a name within {REPEATS_WITHIN} sessions.",
        soft_wrap=True,
    )


def _table(title: str, frame: pd.DataFrame) -> RichTable:
    table = RichTable(
        str(frame.index.name or ""), *[str(name).replace("_", " ") for name in frame.columns], title=title
    )
    for name, row in frame.iterrows():
        table.add_row(str(name).replace("_", " "), *map(_shown, row))
    return table


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.2f}" if isinstance(value, float) and value % 1 else f"{value:,.0f}"
