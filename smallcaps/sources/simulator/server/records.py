"""Everything that is a list of records in a file: one table of declarations, one way to filter, sort and page."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import Any

from smallcaps.sources.simulator.server.served import Marks
from smallcaps.sources.simulator.server.wire import Answer, Ask, Refusal, envelope
from smallcaps.sources.simulator.server.world import Record, World

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {"gt": gt, "gte": ge, "lt": lt, "lte": le}
Value = str | float | bool | datetime


@dataclass(frozen=True)
class Kind:
    """What a parameter's text means. `many`: the record has a list, of which any item may match."""

    read: Callable[[str], Value]
    many: bool = False


def _flag(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _instant(text: str) -> datetime:
    """A day or an instant, in UTC."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _day(text: str) -> str:
    return str(date.fromisoformat(text))


TEXT, NUMBER, FLAG, DAY = Kind(str), Kind(float), Kind(_flag), Kind(_day)
INSTANT, TEXTS = Kind(_instant), Kind(str, many=True)


@dataclass(frozen=True)
class Filter:
    """A parameter: what it is compared with, and how. `of` says where that is, if not in the field of its name."""

    kind: Kind
    of: Callable[[Record], Any] | None = None


@dataclass(frozen=True)
class Listing:
    """An endpoint over one file. `sort`: default order, `column.asc` or `.desc`; without a `limit` all is one page.

    `fields`: those shown, all if none are named. `columns`: sort=column.asc,…, not sort and order apart; no count.
    `appears`: the field that says when a record came into the world, for a market that is being played.
    """

    path: str
    file: str
    filters: Mapping[str, Filter]
    sort: str = ""
    limit: int = 0
    maximum: int = 0
    fields: tuple[str, ...] = ()
    columns: bool = False
    appears: str = ""
    view: Callable[[World, Ask, Record], Record | None] = field(default=lambda world, ask, record: record)


def as_of(world: World, ask: Ask) -> str:
    """The day of a point-in-time question: `date`, else today."""
    text = ask.text("date")
    try:
        return _day(text) if text else str(world.today())
    except ValueError as error:
        raise Refusal(400, "Could not parse the parameter 'date'. Use YYYY-MM-DD") from error


def known(record: Record, day: str) -> bool:
    """Whether a security was listed by a day, delisted since or not."""
    return (record.get("list_date") or "") <= day


def active(record: Record, day: str) -> bool:
    """Whether a security was listed on a day."""
    delisted = record.get("delisted_utc")
    return known(record, day) and (not delisted or delisted[:10] > day)


def _ticker_of_day(world: World, ask: Ask, record: Record) -> Record | None:
    """A security as it was on the day asked about: active ones unless `active=false`."""
    day, search = as_of(world, ask), (ask.text("search") or "").lower()
    living = active(record, day)
    if not known(record, day) or living != ask.flag("active", True):
        return None
    if search and search not in record["ticker"].lower() and search not in record.get("name", "").lower():
        return None
    hidden = ("list_date", "delisted_utc") if living else ("list_date",)
    return {**{name: value for name, value in record.items() if name not in hidden}, "active": living}


def _by(kind: Kind, *names: str) -> dict[str, Filter]:
    return {name: Filter(kind) for name in names}


def _sip(record: Record) -> list[str]:
    return list(record.get("sip_mapping") or ())


def _reverse(record: Record) -> bool:
    return bool(record["split_from"] > record["split_to"])


_STATEMENT = {
    **_by(TEXT, "cik", "timeframe"),
    **_by(TEXTS, "tickers"),
    **_by(DAY, "period_end", "filing_date"),
    **_by(NUMBER, "fiscal_year", "fiscal_quarter"),
}
_RATIOS = (
    *("price", "average_volume", "market_cap", "earnings_per_share", "price_to_earnings", "price_to_book"),
    *("price_to_sales", "price_to_cash_flow", "price_to_free_cash_flow", "dividend_yield", "return_on_assets"),
    *("return_on_equity", "debt_to_equity", "current", "quick", "cash", "ev_to_sales", "ev_to_ebitda"),
    *("enterprise_value", "free_cash_flow"),
)
_INSIDER = {
    **_by(TEXT, "issuer_cik", "owner_cik", "form_type"),
    **_by(TEXTS, "tickers"),
    **_by(DAY, "filing_date"),
    "min_ticker": Filter(TEXT, lambda record: min(record.get("tickers") or (), default=None)),
    "max_ticker": Filter(TEXT, lambda record: max(record.get("tickers") or (), default=None)),
}
_OWNERSHIP = {
    "form-3": ("form_3", _INSIDER),
    "form-4": ("form_4", _INSIDER | _by(TEXT, "transaction_code")),
    "13-F": ("form_13f", {**_by(TEXT, "filer_cik"), **_by(DAY, "filing_date")}),
}
_FED = ("treasury-yields", "inflation", "inflation-expectations", "labor-market")

LISTINGS = (
    Listing(
        "/v3/reference/tickers",
        "tickers",
        {
            **_by(TEXT, "ticker", "type", "market", "cusip", "cik"),
            "exchange": Filter(TEXT, lambda record: record.get("primary_exchange")),
        },
        "ticker.asc",
        100,
        1_000,
        view=_ticker_of_day,
    ),
    Listing("/v3/reference/tickers/types", "ticker_types", _by(TEXT, "asset_class", "locale")),
    Listing("/v3/reference/exchanges", "exchanges", _by(TEXT, "asset_class", "locale")),
    Listing(
        "/v3/reference/conditions",
        "conditions",
        {
            **_by(TEXT, "asset_class"),
            **_by(NUMBER, "id"),
            "data_type": Filter(TEXTS, lambda record: record.get("data_types")),
            "sip": Filter(TEXTS, _sip),
        },
        "asset_class.asc",
        10,
        1_000,
    ),
    Listing(
        "/v3/reference/splits",
        "splits",
        {**_by(TEXT, "ticker"), **_by(DAY, "execution_date"), "reverse_split": Filter(FLAG, _reverse)},
        "execution_date.desc",
        10,
        1_000,
        ("id", "execution_date", "split_from", "split_to", "ticker"),
    ),
    Listing(
        "/stocks/v1/splits",
        "splits",
        {**_by(TEXT, "ticker", "adjustment_type"), **_by(DAY, "execution_date")},
        "execution_date.desc",
        100,
        5_000,
        columns=True,
    ),
    Listing(
        "/v3/reference/dividends",
        "dividends",
        {
            **_by(TEXT, "ticker", "dividend_type"),
            **_by(DAY, "ex_dividend_date", "record_date", "declaration_date", "pay_date"),
            **_by(NUMBER, "frequency", "cash_amount"),
        },
        "ex_dividend_date.desc",
        10,
        1_000,
        (
            *("id", "cash_amount", "currency", "declaration_date", "dividend_type", "ex_dividend_date", "frequency"),
            *("pay_date", "record_date", "ticker"),
        ),
    ),
    Listing(
        "/stocks/v1/dividends",
        "dividends",
        {**_by(TEXT, "ticker", "distribution_type"), **_by(DAY, "ex_dividend_date"), **_by(NUMBER, "frequency")},
        "ticker.asc",
        100,
        5_000,
        (
            *(
                "id",
                "cash_amount",
                "currency",
                "declaration_date",
                "distribution_type",
                "ex_dividend_date",
                "frequency",
            ),
            *("historical_adjustment_factor", "pay_date", "record_date", "split_adjusted_cash_amount", "ticker"),
        ),
        columns=True,
    ),
    Listing(
        "/vX/reference/ipos",
        "ipos",
        {**_by(TEXT, "ticker", "us_code", "isin", "ipo_status"), **_by(DAY, "listing_date")},
        "listing_date.desc",
        10,
        1_000,
    ),
    Listing(
        "/v2/reference/news",
        "news",
        {"ticker": Filter(TEXTS, lambda record: record.get("tickers")), **_by(INSTANT, "published_utc")},
        "published_utc.desc",
        10,
        1_000,
        appears="published_utc",
    ),
    Listing(
        "/stocks/v1/short-interest",
        "short_interest",
        {**_by(TEXT, "ticker"), **_by(NUMBER, "days_to_cover", "avg_daily_volume"), **_by(DAY, "settlement_date")},
        "ticker.asc",
        10,
        50_000,
        columns=True,
    ),
    Listing(
        "/stocks/v1/short-volume",
        "short_volume",
        {**_by(TEXT, "ticker"), **_by(DAY, "date"), **_by(NUMBER, "short_volume_ratio")},
        "ticker.asc",
        10,
        50_000,
        columns=True,
    ),
    Listing(
        "/stocks/vX/float",
        "float",
        {**_by(TEXT, "ticker"), **_by(NUMBER, "free_float_percent")},
        "ticker.asc",
        100,
        5_000,
        columns=True,
    ),
    *(
        Listing(
            f"/stocks/financials/v1/{name}",
            name.replace("-", "_"),
            _STATEMENT,
            "period_end.asc",
            100,
            50_000,
            columns=True,
        )
        for name in ("income-statements", "balance-sheets", "cash-flow-statements")
    ),
    Listing(
        "/stocks/financials/v1/ratios",
        "ratios",
        {**_by(TEXT, "ticker", "cik"), **_by(NUMBER, *_RATIOS)},
        "ticker.asc",
        100,
        50_000,
        columns=True,
    ),
    Listing(
        "/vX/reference/financials",
        "financials",
        {
            "ticker": Filter(TEXTS, lambda record: record.get("tickers")),
            **_by(TEXT, "cik", "company_name", "sic", "timeframe"),
            **_by(DAY, "filing_date"),
            "period_of_report_date": Filter(DAY, lambda record: record.get("end_date")),
        },
        "period_of_report_date.desc",
        10,
        100,
    ),
    Listing(
        "/stocks/filings/vX/index",
        "filings",
        {**_by(TEXT, "cik", "ticker", "form_type"), **_by(DAY, "filing_date")},
        "filing_date.desc",
        1_000,
        10_000,
        columns=True,
        appears="filing_date",
    ),
    *(
        Listing(
            f"/stocks/filings/vX/{form}",
            file,
            filters,
            "filing_date.desc",
            100,
            1_000,
            columns=True,
            appears="filing_date",
        )
        for form, (file, filters) in _OWNERSHIP.items()
    ),
    *(
        Listing(f"/fed/v1/{name}", name.replace("-", "_"), _by(DAY, "date"), "date.asc", 100, 50_000, columns=True)
        for name in _FED
    ),
)
"""The endpoints with their parameters, default orders, default and greatest page sizes."""


class Reference:
    """The listings of one market. Which records an answer has, and in which order, is remembered for the pages after it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._chosen = lru_cache(maxsize=256)(self._choose)

    def page(self, listing: Listing, ask: Ask) -> Answer:
        """A page of a listing. Raises Refusal."""
        chosen = self._chosen(listing.path, tuple(sorted(_question(ask))), self._minute(listing))
        limit = ask.limit(listing.limit, listing.maximum) if listing.limit else len(chosen) or 1
        position = ask.position()
        given = chosen[position : position + limit]
        repeating = self._world.faults.repeat_cursor and position > 0
        following = position if repeating else position + limit
        records = self._world.records(listing.file)
        viewed = [listing.view(self._world, ask, records[line]) or {} for line in given]
        results = [
            {name: record[name] for name in listing.fields or record if record.get(name) is not None}
            for record in viewed
        ]
        body = envelope(
            results=results,
            count=None if listing.columns else len(results),
            next_url=ask.next_url({"ap": following}) if position + limit < len(chosen) else None,
        )
        return Answer(body, len(results), [Marks(listing.file, len(records), given)] if given else [])

    def _minute(self, listing: Listing) -> int:
        """What remembered answers depend on beside the question: live, the day, or the minute where records appear."""
        now = self._world.now()
        return now // 60_000_000_000 if listing.appears else self._world.today().toordinal()

    def _choose(self, path: str, question: tuple[tuple[str, str], ...], _: int) -> list[int]:
        """The lines of the records that an answer has, in its order."""
        listing = BY_PATH[path]
        ask = Ask("", path, {}, dict(question))
        tests = [test for name, text in question if (test := _test(listing, name, text)) is not None]
        world = self._world
        if listing.appears and world.live:
            now = datetime.fromtimestamp(world.now() / 1e9, UTC)
            tests.append(lambda record: _instant(record[listing.appears]) <= now)
        records = world.records(listing.file)
        lines = [
            line
            for line, record in enumerate(records)
            if listing.view(world, ask, record) is not None and all(test(record) for test in tests)
        ]
        for column, greatest_first in reversed(_orders(listing, ask)):
            value = _value(listing, column)
            lines = _sorted(lines, {line: value(records[line]) for line in lines}, greatest_first)
        return lines


BY_PATH = {listing.path: listing for listing in LISTINGS}


def _value(listing: Listing, name: str) -> Callable[[Record], Any]:
    """Where a record has what a parameter or column means."""
    of = listing.filters[name].of if name in listing.filters else None
    return of or _field(name)


def _field(name: str) -> Callable[[Record], Any]:
    """A record's field; None where it has none."""
    return lambda record: record.get(name)


def _question(ask: Ask) -> Iterable[tuple[str, str]]:
    """The parameters that decide which records an answer has."""
    return ((name, text) for name, text in ask.params.items() if name not in ("limit", "ap") and text)


def _sorted(lines: list[int], values: Mapping[int, Any], greatest_first: bool) -> list[int]:
    """Lines by their values, equal ones as they are, those without a value last."""
    valued = [line for line in lines if values[line] is not None]
    return sorted(valued, key=values.__getitem__, reverse=greatest_first) + [
        line for line in lines if values[line] is None
    ]


def _orders(listing: Listing, ask: Ask) -> list[tuple[str, bool]]:
    """Columns to sort by, first the most important, and whether the greatest come first. Raises Refusal."""
    default, _, direction = listing.sort.partition(".")
    if not default:
        return []
    text = ask.text("sort")
    if listing.columns:
        named = [part.strip().partition(".") for part in (text or listing.sort).split(",")]
        orders = [(column, order or "asc") for column, _, order in named]
    else:
        column = text or default
        orders = [(column, ask.text("order") or (direction if column == default else "asc"))]
    for column, order in orders:
        if order not in ("asc", "desc"):
            raise Refusal(400, f"Cannot sort in the order '{order}'; use asc or desc")
        if not column.replace("_", "").isalnum():
            raise Refusal(400, f"Cannot sort by '{column}'")
    return [(column, order == "desc") for column, order in orders]


def _test(listing: Listing, name: str, text: str) -> Callable[[Record], bool] | None:
    """The condition that a parameter sets; None for one that sets none. Raises Refusal where its value cannot be read."""
    base, _, comparison = name.partition(".")
    if base not in listing.filters:
        return None
    kind, of = listing.filters[base].kind, _value(listing, base)
    try:
        wanted = [kind.read(one) for one in (text.split(",") if comparison in ("any_of", "all_of") else [text])]
    except (ValueError, KeyError) as error:
        raise Refusal(400, f"Could not parse the parameter '{name}': '{text}'") from error
    stored: Callable[[Any], Any] = _instant if kind is INSTANT else lambda value: value

    def items(record: Record) -> list[Any]:
        value = of(record)
        if value is None:
            return []
        return [stored(one) for one in (value if kind.many else [value])]

    if comparison in COMPARISONS:
        compare = COMPARISONS[comparison]
        return lambda record: any(compare(item, wanted[0]) for item in items(record))
    if comparison == "all_of":
        return lambda record: set(wanted) <= set(items(record))
    if comparison == "search":
        return lambda record: any(text.lower() in str(item).lower() for item in items(record))
    if comparison in ("", "any_of"):
        return lambda record: any(item in wanted for item in items(record))
    return None
