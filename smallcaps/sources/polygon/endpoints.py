"""The vendor's REST endpoints, each declared once: what is asked, how often, and which column each field becomes.

A request is a path and a query with places: `{symbol}`, `{from}`, `{to}` (days, both included; of a window nanoseconds, the
last not included) and `{as_of}`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from urllib.parse import urlencode

from smallcaps.lake import declared
from smallcaps.lake.declaration import Table
from smallcaps.sources.fields import Field
from smallcaps.sources.polygon.rest import Parameter
from smallcaps.sources.polygon.ticks import PRICE, QUOTE, SIZE, trade_fields

TICKS_A_PAGE = 50_000
"""The most that the vendor puts on a page."""


class Scope(StrEnum):
    """What one request covers. The vendor counts the minutes of hour and minute bars, hence a month at a time."""

    MARKET = "market"
    DAY = "day"
    SYMBOL = "symbol"
    SYMBOL_DAY = "symbol_day"
    SYMBOL_WINDOW = "symbol_window"
    SYMBOL_MONTH = "symbol_month"
    SYMBOL_YEAR = "symbol_year"

    @property
    def by_symbol(self) -> bool:
        """Whether a request names a symbol."""
        return self not in (Scope.MARKET, Scope.DAY)


class Source(StrEnum):
    """Who answers: each has an origin, a pace and a key of its own (the section of this name in the settings)."""

    VENDOR = "vendor"
    FRED = "fred"


class Freshness(StrEnum):
    """How long an answer holds: `settled` for ever, `snapshot` for the day as of which it was asked."""

    SETTLED = "settled"
    SNAPSHOT = "snapshot"


class Shape(StrEnum):
    """What makes a row: a record of the list, or each value of a record that no field names (`series`, `value`)."""

    RECORD = "record"
    VALUE = "value"


@dataclass(frozen=True)
class Endpoint:
    """One endpoint.

    `fields` say how columns come from a record: `text` is a dotted path into it, with `|` between alternatives, `*` for any
    name, and a bare `*` for everything that no other field reads. Columns `symbol`, `session_date`, `as_of`, … that no
    field gives come from the request. `records` is the path of the records in the body, empty where it is itself the list.
    `within` is the column that `{from}` and `{to}` restrict. `routine`: part of `ingest all`. `asked`: the column that gets
    what stood for `{symbol}`; `names`: what stands for it instead of the symbols wanted. `look_back_days`: by so many days it is
    asked for more than the days wanted, since a record comes out, or is changed, long after the day that it is about.
    """

    name: str
    table: str
    path: str
    scope: Scope
    freshness: Freshness
    fields: tuple[Field, ...]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    records: str = "results"
    shape: Shape = Shape.RECORD
    within: str | None = None
    routine: bool = True
    source: Source = Source.VENDOR
    asked: str = "symbol"
    names: tuple[str, ...] | None = None
    look_back_days: int = 0

    @property
    def template(self) -> str:
        """The request with its places: path and query in order of name, as the REST client writes them."""
        spelled = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in self.parameters.items()
        }
        query = urlencode(sorted(spelled.items()), safe="{}")
        return f"{self.path}?{query}" if query else self.path

    @property
    def declared(self) -> Table:
        """The table it fills."""
        return declared(self.table)


def _fields(table: str, same: str = "", **paths: str) -> tuple[Field, ...]:
    """Fields of `table`: columns named as on the wire, and `paths` by column. Types and what is required are the table's."""
    columns = {column.name: column for column in declared(table).columns}
    named = {name: name for name in same.split()} | paths
    return tuple(Field(name, path, columns[name].type, columns[name].nullable) for name, path in named.items())


_BAR = (
    Field("window_start_ns", "t", "bigint", times=1_000_000),
    *(Field(column, column[0], PRICE) for column in ("open", "high", "low", "close")),
    Field("volume", "v", SIZE),
    Field("vwap", "vw", PRICE, optional=True),
    Field("transactions", "n", "bigint", optional=True),
)


def _bars(span: str, table: str, adjusted: bool) -> Endpoint:
    """Bars of a symbol. Adjusted ones change with every later split, so they hold for a day only.

    Flat files bring the raw days and minutes of the whole market, so those are no routine.
    """
    return Endpoint(
        name=f"{span}_bars{'_adjusted' if adjusted else ''}",
        table=f"{table}{'_adjusted' if adjusted else ''}",
        path=f"/v2/aggs/ticker/{{symbol}}/range/1/{span}/{{from}}/{{to}}",
        parameters={"adjusted": adjusted, "sort": "asc", "limit": 50_000},
        scope=Scope.SYMBOL if span == "day" else Scope.SYMBOL_MONTH,
        freshness=Freshness.SNAPSHOT if adjusted else Freshness.SETTLED,
        fields=_BAR,
        within="session_date",
        routine=adjusted or span == "hour",
    )


def _ticks(name: str, fields: tuple[Field, ...]) -> Endpoint:
    """A day of a symbol's trades or quotes. Flat files bring those of the whole market, so they are no routine."""
    return Endpoint(
        name=name,
        table=f"bronze.{name}",
        path=f"/v3/{name}/{{symbol}}",
        parameters={"timestamp": "{from}", "order": "asc", "sort": "timestamp", "limit": TICKS_A_PAGE},
        scope=Scope.SYMBOL_DAY,
        freshness=Freshness.SETTLED,
        fields=fields,
        within="session_date",
        routine=False,
    )


def _windows(ticks: Endpoint) -> Endpoint:
    """Part of a day of the same."""
    parameters = {name: value for name, value in ticks.parameters.items() if name != "timestamp"}
    return replace(
        ticks,
        name=f"{ticks.name[:-1]}_windows",
        parameters={"timestamp.gte": "{from}", "timestamp.lt": "{to}", **parameters},
        scope=Scope.SYMBOL_WINDOW,
    )


def _snapshot(
    name: str,
    path: str,
    fields: tuple[Field, ...],
    parameters: Mapping[str, Parameter] | None = None,
    table: str | None = None,
    scope: Scope = Scope.MARKET,
    records: str = "results",
    shape: Shape = Shape.RECORD,
    within: str | None = None,
    routine: bool = True,
    look_back_days: int = 0,
) -> Endpoint:
    """Reference data as of a day."""
    return Endpoint(
        *(name, table or f"bronze.{name}", path, scope, Freshness.SNAPSHOT, fields, parameters or {}),
        *(records, shape, within, routine),
        look_back_days=look_back_days,
    )


def _between(name: str, **others: Parameter) -> dict[str, Parameter]:
    """Parameters that keep `name` from {from} to {to}."""
    return {f"{name}.gte": "{from}", f"{name}.lte": "{to}", **others}


_INSTRUMENT = (
    "name market locale primary_exchange active currency_name cik composite_figi share_class_figi",
    {"symbol": "ticker", "ticker_type": "type", "delisted_at": "delisted_utc"},
)


def _tickers(name: str, active: bool) -> Endpoint:
    return _snapshot(
        name,
        "/v3/reference/tickers",
        _fields(
            "bronze.tickers",
            _INSTRUMENT[0] + " currency_symbol",
            last_updated_at="last_updated_utc",
            **_INSTRUMENT[1],
        ),
        {"market": "stocks", "active": active, "date": "{as_of}", "sort": "ticker", "order": "asc", "limit": 1000},
        table="bronze.tickers",
    )


_DETAILS = _fields(
    "bronze.ticker_details",
    _INSTRUMENT[0]
    + " description homepage_url phone_number list_date market_cap round_lot share_class_shares_outstanding"
    + " weighted_shares_outstanding sic_code sic_description ticker_root ticker_suffix total_employees",
    **{name: f"address.{name}" for name in ("address1", "address2", "city", "state", "postal_code")},
    **{name: f"branding.{name}" for name in ("logo_url", "icon_url")},
    ticker_type="type",
    delisted_at="delisted_utc",
)
_CONDITION = _fields(
    "bronze.conditions",
    "name abbreviation description asset_class data_types exchange legacy",
    condition_id="id",
    condition_type="type",
    **{f"sip_{sip.lower()}": f"sip_mapping.{sip}" for sip in ("CTA", "UTP", "OPRA", "FINRA_TDDS")},
    **{
        f"{tape}_{rule}": f"update_rules.{tape}.{rule}"
        for tape in ("consolidated", "market_center")
        for rule in ("updates_high_low", "updates_open_close", "updates_volume")
    },
)
_SPLIT = ("execution_date split_from split_to", {"symbol": "ticker", "vendor_id": "id"})
_DIVIDEND = (
    "ex_dividend_date declaration_date record_date pay_date cash_amount currency frequency",
    {"symbol": "ticker", "vendor_id": "id"},
)


def _statement(name: str) -> Endpoint:
    return _snapshot(
        name,
        f"/stocks/financials/v1/{name.replace('_', '-')}",
        _fields(
            "bronze.financials",
            "tickers cik timeframe period_end filing_date fiscal_year fiscal_quarter",
            symbol="tickers.0",
            items="*",
        ),
        _between("filing_date", sort="filing_date.asc", limit=50_000),
        table="bronze.financials",
        within="filing_date",
    )


_INSIDER = (
    "tickers accession_number form_type filing_date filing_url date_of_original_submission period_of_report issuer_cik"
    " issuer_name owner_cik owner_name officer_title is_director is_officer is_ten_percent_owner is_other"
    " not_subject_to_section_16 aff_10b5_one security_type security_title direct_or_indirect nature_of_ownership"
    " exercise_price exercise_date underlying_security_title underlying_security_shares remarks footnotes"
)
_CHANGE = (
    " equity_swap_involved record_type transaction_date deemed_execution_date transaction_code"
    " transaction_acquired_disposed transaction_timeliness transaction_shares transaction_price_per_share transaction_value"
    " shares_owned_following_transaction expiration_date"
)


def _filed(name: str, form: str, table: str, fields: tuple[Field, ...]) -> Endpoint:
    return _snapshot(
        name,
        f"/stocks/filings/vX/{form}",
        fields,
        # The greatest page that others were seen to ask for; the vendor's own limit is to be confirmed with a key.
        _between("filing_date", sort="filing_date.asc", limit=1000),
        table=table,
        within="filing_date",
    )


def _economy(name: str, look_back_days: int) -> Endpoint:
    return _snapshot(
        name,
        f"/fed/v1/{name.replace('_', '-')}",
        _fields("bronze.economy", "series value", observation_date="date"),
        _between("date", sort="date.asc", limit=50_000),
        table="bronze.economy",
        shape=Shape.VALUE,
        within="observation_date",
        look_back_days=look_back_days,
    )


_YIELDS_LATE, _MONTHS_LATE = 14, 400
"""Days in which a day's yields are surely out; and a month's figures, with the revisions of the year after it."""
_SHORT_INTEREST_LATE, _SHORT_VOLUME_LATE = 20, 5
"""Counts come out on the eighth session after their day, off-exchange volume on the next, holidays in between."""


_FACILITIES = ("nyse", "nasdaq_carteret", "nasdaq_chicago", "adf")
_SIDES = {"open": "o", "high": "h", "low": "l", "close": "c", "vwap": "vw", "volume": "dv|{bar}.v"}
_QUOTE_SIDES = {"bid_price": "p", "bid_size": "s", "ask_price": "P", "ask_size": "S"}
_SNAPSHOT = _fields(
    "bronze.snapshots",
    symbol="ticker",
    updated_ns="updated",
    todays_change="todaysChange",
    todays_change_percent="todaysChangePerc",
    fair_market_value="fmv",
    **{
        f"{bar}_{name}": f"{wire}.{path.format(bar=wire)}"
        for bar, wire in (("day", "day"), ("previous_day", "prevDay"), ("minute", "min"))
        for name, path in _SIDES.items()
    },
    minute_transactions="min.n",
    accumulated_volume="min.dav|min.av",
    last_trade_ns="lastTrade.t",
    last_trade_price="lastTrade.p",
    last_trade_size="lastTrade.ds|lastTrade.s",
    last_trade_exchange="lastTrade.x",
    last_trade_id="lastTrade.i",
    last_trade_conditions="lastTrade.c",
    last_quote_ns="lastQuote.t",
    **{name: f"lastQuote.{path}" for name, path in _QUOTE_SIDES.items()},
)

_DECLARED = (
    # First, since the symbols of the others come from them.
    _tickers("tickers", active=True),
    _tickers("delisted_tickers", active=False),
    _snapshot(
        "ticker_details",
        "/v3/reference/tickers/{symbol}",
        _DETAILS,
        {"date": "{as_of}"},
        scope=Scope.SYMBOL,
    ),
    _snapshot(
        "ticker_events",
        "/vX/reference/tickers/{symbol}/events",
        _fields(
            "bronze.ticker_events",
            "name composite_figi cik",
            event_type="type|event_type",
            event_date="date",
            ticker="ticker_change.ticker",
        ),
        {"types": "ticker_change"},
        scope=Scope.SYMBOL,
        records="results.events",
    ),
    _snapshot(
        "ticker_types",
        "/v3/reference/tickers/types",
        _fields("bronze.ticker_types", "code description asset_class locale"),
        {"asset_class": "stocks", "locale": "us"},
    ),
    _snapshot(
        "exchanges",
        "/v3/reference/exchanges",
        _fields(
            "bronze.exchanges",
            "name acronym mic operating_mic participant_id url asset_class locale",
            exchange_id="id",
            exchange_type="type",
        ),
        {"asset_class": "stocks", "locale": "us"},
    ),
    _snapshot(
        "conditions",
        "/v3/reference/conditions",
        _CONDITION,
        {"asset_class": "stocks", "sort": "id", "order": "asc", "limit": 1000},
    ),
    _snapshot(
        "splits",
        "/stocks/v1/splits",
        _fields("bronze.splits", f"{_SPLIT[0]} adjustment_type historical_adjustment_factor", **_SPLIT[1]),
        {"sort": "execution_date.asc", "limit": 5000},
    ),
    _snapshot(
        "old_splits",
        "/v3/reference/splits",
        _fields("bronze.splits", _SPLIT[0], **_SPLIT[1]),
        {"sort": "execution_date", "order": "asc", "limit": 1000},
        table="bronze.splits",
        routine=False,
    ),
    _snapshot(
        "dividends",
        "/stocks/v1/dividends",
        _fields(
            "bronze.dividends",
            f"{_DIVIDEND[0]} distribution_type split_adjusted_cash_amount historical_adjustment_factor",
            **_DIVIDEND[1],
        ),
        _between("ex_dividend_date", sort="ex_dividend_date.asc", limit=5000),
        within="ex_dividend_date",
    ),
    _snapshot(
        "old_dividends",
        "/v3/reference/dividends",
        _fields("bronze.dividends", f"{_DIVIDEND[0]} dividend_type", **_DIVIDEND[1]),
        _between("ex_dividend_date", sort="ex_dividend_date", order="asc", limit=1000),
        table="bronze.dividends",
        within="ex_dividend_date",
        routine=False,
    ),
    _snapshot(
        "ipos",
        "/vX/reference/ipos",
        _fields(
            "bronze.ipos",
            "issuer_name ipo_status announced_date listing_date issue_start_date issue_end_date last_updated"
            " final_issue_price lowest_offer_price highest_offer_price total_offer_size min_shares_offered"
            " max_shares_offered shares_outstanding lot_size currency_code isin us_code primary_exchange security_type"
            " security_description",
            symbol="ticker",
        ),
        {"sort": "listing_date", "order": "asc", "limit": 1000},
    ),
    _snapshot(
        "holidays",
        "/v1/marketstatus/upcoming",
        _fields("bronze.holidays", "exchange name status", holiday_date="date", open_at="open", close_at="close"),
        records="",
    ),
    _snapshot(
        "short_interest",
        "/stocks/v1/short-interest",
        _fields(
            "bronze.short_interest", "settlement_date short_interest avg_daily_volume days_to_cover", symbol="ticker"
        ),
        _between("settlement_date", sort="settlement_date.asc", limit=50_000),
        within="settlement_date",
        look_back_days=_SHORT_INTEREST_LATE,
    ),
    _snapshot(
        "short_volume",
        "/stocks/v1/short-volume",
        _fields(
            "bronze.short_volume",
            "short_volume short_volume_ratio total_volume exempt_volume non_exempt_volume "
            + " ".join(f"{one}_short_volume {one}_short_volume_exempt" for one in _FACILITIES),
            symbol="ticker",
            trade_date="date",
        ),
        _between("date", sort="date.asc", limit=50_000),
        within="trade_date",
        look_back_days=_SHORT_VOLUME_LATE,
    ),
    _snapshot(
        "float",
        "/stocks/vX/float",
        _fields("bronze.float", "effective_date free_float free_float_percent", symbol="ticker"),
        {"sort": "ticker.asc", "limit": 5000},
    ),
    *(_statement(name) for name in ("income_statements", "balance_sheets", "cash_flow_statements")),
    _snapshot(
        "ratios",
        "/stocks/financials/v1/ratios",
        _fields("bronze.financials", "cik", symbol="ticker", period_end="date", items="*"),
        {"sort": "ticker.asc", "limit": 50_000},
        table="bronze.financials",
    ),
    _snapshot(
        "old_financials",
        "/vX/reference/financials",
        _fields(
            "bronze.financials",
            "tickers cik timeframe filing_date fiscal_year fiscal_period",
            symbol="tickers.0",
            period_start="start_date",
            period_end="end_date",
            filing_url="source_filing_url",
            items="financials.*.*.value",
        ),
        _between("filing_date", sort="filing_date", order="asc", limit=100),
        table="bronze.financials",
        within="filing_date",
        routine=False,
    ),
    _snapshot(
        "filings",
        "/stocks/filings/vX/index",
        _fields("bronze.filings", "accession_number cik issuer_name form_type filing_date filing_url", symbol="ticker"),
        _between("filing_date", sort="filing_date.asc", limit=10_000),
        within="filing_date",
    ),
    *(
        _filed(
            name, form, "bronze.insider_filings", _fields("bronze.insider_filings", _INSIDER + more, symbol="tickers.0")
        )
        for name, form, more in (
            ("insider_holdings", "form-3", " shares_owned"),
            ("insider_transactions", "form-4", _CHANGE),
        )
    ),
    _filed(
        "institutional_holdings",
        "13-F",
        "bronze.institutional_holdings",
        _fields(
            "bronze.institutional_holdings",
            "accession_number form_type filing_date filing_url period filer_cik file_number film_number issuer_name"
            " title_of_class cusip market_value shares_or_principal_amount shares_or_principal_type put_call"
            " investment_discretion other_managers voting_authority_sole voting_authority_shared voting_authority_none",
        ),
    ),
    _snapshot(
        "news",
        "/v2/reference/news",
        _fields(
            "bronze.news",
            "title author description article_url amp_url image_url keywords tickers insights",
            vendor_id="id",
            published_at="published_utc",
            **{
                f"publisher_{name}": f"publisher.{name}" for name in ("name", "homepage_url", "logo_url", "favicon_url")
            },
        ),
        {
            "published_utc.gte": "{from}T00:00:00Z",
            "published_utc.lte": "{to}T23:59:59Z",
            **{"sort": "published_utc", "order": "asc", "limit": 1000},
        },
        within="published_at",
    ),
    _economy("treasury_yields", _YIELDS_LATE),
    *(_economy(name, _MONTHS_LATE) for name in ("inflation", "inflation_expectations", "labor_market")),
    _snapshot(
        "snapshots",
        "/v2/snapshot/locale/us/markets/stocks/tickers",
        (*_SNAPSHOT, Field("minute_start_ns", "min.t", "bigint", optional=True, times=1_000_000)),
        {"include_otc": False},
        records="tickers",
    ),
    Endpoint(
        name="grouped_bars",
        table="bronze.bars_1d_grouped",
        path="/v2/aggs/grouped/locale/us/market/stocks/{from}",
        parameters={"adjusted": False, "include_otc": False},
        scope=Scope.DAY,
        freshness=Freshness.SETTLED,
        fields=(Field("symbol", "T", "string"), *_BAR),
        within="session_date",
    ),
    *(
        _bars(span, table, adjusted)
        for span, table in (("day", "bronze.bars_1d"), ("hour", "bronze.bars_1h"), ("minute", "bronze.bars_1m"))
        for adjusted in (False, True)
    ),
    _ticks("trades", trade_fields("decimal_size|size")),
    _ticks("quotes", QUOTE),
)
ENDPOINTS: dict[str, Endpoint] = {endpoint.name: endpoint for endpoint in _DECLARED}
"""Every endpoint by name, in the order in which they are asked."""

TICK_WINDOWS = tuple(_windows(ENDPOINTS[name]) for name in ("trades", "quotes"))
"""Those that are asked for windows of a plan, not for days."""

LULD_TOPIC = "LULD.*"


def _channel(topic: str, table: str, fields: tuple[Field, ...]) -> Endpoint:
    """What the live feed says of a channel: no request, but what it brings is read like the answer to one."""
    return Endpoint(
        name=table.removeprefix("bronze."),
        table=table,
        path=f"/stocks?subscribe={topic}",
        scope=Scope.DAY,
        freshness=Freshness.SNAPSHOT,
        fields=fields,
        records="",
    )


_MILLISECONDS = 1_000_000
LULD = _channel(
    LULD_TOPIC,
    "bronze.luld",
    _fields("bronze.luld", symbol="T", sip_ns="t", sequence_number="q", high="h", low="l", indicators="i", tape="z"),
)
_TICK = (
    Field("symbol", "sym", "string"),
    Field("sip_ns", "t", "bigint", times=_MILLISECONDS),
    Field("participant_ns", "pt", "bigint", optional=True, times=_MILLISECONDS),
    Field("sequence_number", "q", "bigint"),
    Field("tape", "z", "int", optional=True),
    Field("conditions", "c", "array<int>", optional=True),
)
CHANNELS: dict[str, Endpoint] = {
    "T": _channel(
        "T.*",
        "bronze.trades",
        (
            *_TICK,
            Field("trf_ns", "trft", "bigint", optional=True, zero_is_none=True, times=_MILLISECONDS),
            Field("trade_id", "i", "string", optional=True),
            Field("exchange", "x", "int"),
            Field("trf_id", "trfi", "int", optional=True, zero_is_none=True),
            Field("price", "p", PRICE),
            Field("size", "ds|s", SIZE),
        ),
    ),
    "Q": _channel(
        "Q.*",
        "bronze.quotes",
        (
            *_TICK,
            *(Field(f"{side}_price", f"{side[0]}p", PRICE) for side in ("bid", "ask")),
            *(Field(f"{side}_size", f"{side[0]}s", SIZE) for side in ("bid", "ask")),
            *(Field(f"{side}_exchange", f"{side[0]}x", "int", optional=True) for side in ("bid", "ask")),
            Field("indicators", "i", "array<int>", optional=True),
        ),
    ),
    "AM": _channel(
        "AM.*",
        "bronze.bars_1m",
        (
            Field("symbol", "sym", "string"),
            Field("window_start_ns", "s", "bigint", times=_MILLISECONDS),
            *(Field(column, column[0], PRICE) for column in ("open", "high", "low", "close")),
            Field("volume", "dv|v", SIZE),
            Field("vwap", "vw", PRICE, optional=True),
        ),
    ),
    "LULD": LULD,
}
"""What the live feed says, by channel; bars of a second (A) have the fields of those of a minute."""
