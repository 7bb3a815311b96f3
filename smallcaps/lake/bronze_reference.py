"""Bronze: what the vendor says of companies, instruments, events and the economy, as of the day it was asked.

A snapshot stays as it was said: a later one lies beside it under its own `as_of`.
"""

from smallcaps.lake.bronze import AS_OF, ENDPOINT, RECEIVED_AT, SIZE, SOURCE, SYMBOL
from smallcaps.lake.declaration import Column, Table

_SNAPSHOT = (ENDPOINT, AS_OF, RECEIVED_AT, *SOURCE)
_ANY_SYMBOL = Column("symbol", "string", "Ticker as the vendor writes it; null where it names none")
_VENDOR_ID = Column("vendor_id", "string", "The vendor's id of the record; ids may repeat")


def _snapshot(
    name: str,
    comment: str,
    *columns: Column,
    also_key: tuple[str, ...] = (),
    tells_of: tuple[str, str] | None = None,
) -> Table:
    """A table of snapshots. A record is named by its place in a body, since the vendor's own ids repeat."""
    return Table(
        name=name,
        comment=comment,
        owner="ingest",
        columns=(*columns, *_SNAPSHOT),
        key=("endpoint", "as_of", *also_key, "source_sha256", "source_line"),
        tells_of=tells_of,
    )


def _texts(names: str, comment: str) -> tuple[Column, ...]:
    """Text columns that need no more words than these."""
    return tuple(Column(name, "string", f"{comment}: {name.replace('_', ' ')}") for name in names.split())


_INSTRUMENT = (
    SYMBOL,
    Column("name", "string", "Registered name"),
    Column("market", "string", "stocks, otc, …"),
    Column("locale", "string", "us or global"),
    Column("primary_exchange", "string", "MIC of the listing exchange"),
    Column("ticker_type", "string", "CS, ETF, WARRANT, … (see bronze.ticker_types)"),
    Column("active", "boolean", "Whether it trades; false: delisted"),
    Column("currency_name", "string", "Currency it trades in"),
    Column("cik", "string", "SEC's Central Index Key"),
    Column("composite_figi", "string", "FIGI of the composite"),
    Column("share_class_figi", "string", "FIGI of the share class"),
    Column("delisted_at", "timestamp", "Last day it traded", "UTC"),
)
TICKERS = _snapshot(
    "bronze.tickers",
    "Instruments, active and delisted, point in time",
    *_INSTRUMENT,
    Column("currency_symbol", "string", "ISO 4217 code of the currency"),
    Column("last_updated_at", "timestamp", "The vendor's record is accurate up to here", "UTC"),
)
TICKER_DETAILS = _snapshot(
    "bronze.ticker_details",
    "What is known of one company, point in time",
    *_INSTRUMENT,
    Column("description", "string", "What the company does"),
    Column("homepage_url", "string", "Its website"),
    Column("phone_number", "string", "Its telephone"),
    *_texts("address1 address2 city state postal_code", "Head office"),
    *_texts("logo_url icon_url", "Branding"),
    Column("list_date", "date", "First day listed"),
    Column("market_cap", "double", "Latest close × weighted shares outstanding", "$"),
    Column("round_lot", "bigint", "Round lot", "shares"),
    Column("share_class_shares_outstanding", SIZE, "Shares outstanding of this class", "shares"),
    Column("weighted_shares_outstanding", SIZE, "All classes converted to this one", "shares"),
    Column("sic_code", "string", "Standard Industrial Classification"),
    Column("sic_description", "string", "The classification in words"),
    Column("ticker_root", "string", "Ticker without its suffix"),
    Column("ticker_suffix", "string", "Suffix of the ticker"),
    Column("total_employees", "bigint", "Employees", "people"),
    also_key=("symbol",),
)
TICKER_EVENTS = _snapshot(
    "bronze.ticker_events",
    "Changes of ticker in a company's life, one row an event",
    Column("symbol", "string", "Ticker that was asked for", nullable=False),
    Column("name", "string", "Registered name"),
    Column("composite_figi", "string", "FIGI of the composite"),
    Column("cik", "string", "SEC's Central Index Key"),
    Column("event_type", "string", "ticker_change", nullable=False),
    Column("event_date", "date", "Day of the event", nullable=False),
    Column("ticker", "string", "Ticker from that day on"),
    also_key=("symbol",),
)
TICKER_TYPES = _snapshot(
    "bronze.ticker_types",
    "Kinds of instrument",
    Column("code", "string", "CS, ETF, …", nullable=False),
    Column("description", "string", "In words"),
    Column("asset_class", "string", "stocks, …"),
    Column("locale", "string", "us or global"),
)
EXCHANGES = _snapshot(
    "bronze.exchanges",
    "Exchanges and trade reporting facilities; exchange_id is not unique",
    Column("exchange_id", "int", "Number in trades and quotes; four facilities share 4", nullable=False),
    Column("exchange_type", "string", "exchange, TRF, SIP or ORF"),
    Column("name", "string", "Name"),
    Column("acronym", "string", "Short name"),
    Column("mic", "string", "Market Identifier Code"),
    Column("operating_mic", "string", "MIC of who operates it"),
    Column("participant_id", "string", "Letter the SIPs use"),
    Column("url", "string", "Website"),
    Column("asset_class", "string", "stocks, …"),
    Column("locale", "string", "us or global"),
)
_RULES = ("updates_high_low", "updates_open_close", "updates_volume")
CONDITIONS = _snapshot(
    "bronze.conditions",
    "Conditions of trades and quotes and what each may update; condition_id is unique per data type only",
    Column("condition_id", "int", "Number in trades and quotes", nullable=False),
    Column("condition_type", "string", "sale_condition, quote_condition, …"),
    Column("name", "string", "Name"),
    Column("abbreviation", "string", "Short name"),
    Column("description", "string", "In words"),
    Column("asset_class", "string", "stocks, …"),
    Column("data_types", "array<string>", "trade, bbo, nbbo"),
    Column("exchange", "int", "Exchange whose codes it maps, if only one"),
    Column("legacy", "boolean", "No longer used by the SIPs"),
    *(Column(f"sip_{sip}", "string", f"Code on {sip.upper()}") for sip in ("cta", "utp", "opra", "finra_tdds")),
    *(
        Column(f"{tape}_{rule}", "boolean", f"On the {tape.replace('_', ' ')} tape it {rule.replace('_', ' ')}")
        for tape in ("consolidated", "market_center")
        for rule in _RULES
    ),
)
SPLITS = Table(
    name="bronze.splits",
    comment="Splits as the vendor (or a file in its columns) lists them",
    owner="ingest",
    columns=(
        SYMBOL,
        Column("execution_date", "date", "First session that trades in new shares", nullable=False),
        Column("split_from", "double", "Old shares", "shares"),
        Column("split_to", "double", "New shares", "shares"),
        _VENDOR_ID,
        Column("adjustment_type", "string", "forward_split, reverse_split or stock_dividend"),
        Column("historical_adjustment_factor", "double", "The vendor's factor for prices before it"),
        Column("endpoint", "string", "Which of the vendor's endpoints said it; null for a file"),
        Column("as_of", "date", "Day as of which it was asked for; null for a file"),
        Column("received_at", "timestamp", "When the answer came; null for a file", "UTC"),
        *SOURCE,
    ),
    key=("endpoint", "as_of", "source_sha256", "source_line"),
)
DIVIDENDS = _snapshot(
    "bronze.dividends",
    "Cash dividends; the vendor never applies them to bars",
    SYMBOL,
    Column("ex_dividend_date", "date", "First session that trades without it", nullable=False),
    Column("declaration_date", "date", "When it was announced"),
    Column("record_date", "date", "Who holds the share then gets it"),
    Column("pay_date", "date", "When it is paid"),
    Column("cash_amount", "double", "A share, as declared", "currency"),
    Column("currency", "string", "ISO 4217 code"),
    Column("frequency", "int", "Times a year; 0 for none", "1/year"),
    Column("dividend_type", "string", "CD, SC, LT or ST (old endpoint)"),
    Column("distribution_type", "string", "recurring, special, supplemental, irregular or unknown (new endpoint)"),
    Column("split_adjusted_cash_amount", "double", "A share of today", "currency"),
    Column("historical_adjustment_factor", "double", "The vendor's factor for prices before it"),
    _VENDOR_ID,
)
IPOS = _snapshot(
    "bronze.ipos",
    "Initial public offerings, rumoured ones included",
    _ANY_SYMBOL,
    Column("issuer_name", "string", "Who goes public"),
    Column("ipo_status", "string", "rumor, pending, new, history, postponed, withdrawn or direct_listing_process"),
    Column("announced_date", "date", "When it was announced"),
    Column("listing_date", "date", "First session"),
    Column("issue_start_date", "date", "Subscription opens"),
    Column("issue_end_date", "date", "Subscription closes"),
    Column("last_updated", "date", "When the vendor last changed the record"),
    Column("final_issue_price", "double", "Price of the offer", "currency"),
    Column("lowest_offer_price", "double", "Low end of the range", "currency"),
    Column("highest_offer_price", "double", "High end of the range", "currency"),
    Column("total_offer_size", "double", "What it raises", "currency"),
    Column("min_shares_offered", SIZE, "At least", "shares"),
    Column("max_shares_offered", SIZE, "At most", "shares"),
    Column("shares_outstanding", SIZE, "After it", "shares"),
    Column("lot_size", SIZE, "Lot", "shares"),
    Column("currency_code", "string", "ISO 4217 code"),
    Column("isin", "string", "ISIN"),
    Column("us_code", "string", "CUSIP-like code of nine characters"),
    Column("primary_exchange", "string", "MIC"),
    Column("security_type", "string", "CS, …"),
    Column("security_description", "string", "In words"),
)
HOLIDAYS = _snapshot(
    "bronze.holidays",
    "Coming holidays and early closes by exchange; silver.calendar does not come from here",
    Column("holiday_date", "date", "The day", nullable=False),
    Column("exchange", "string", "NYSE, NASDAQ or OTC", nullable=False),
    Column("name", "string", "Name of the holiday"),
    Column("status", "string", "closed or early-close"),
    Column("open_at", "timestamp", "Open of an early close", "UTC"),
    Column("close_at", "timestamp", "Close of an early close", "UTC"),
)
SHORT_INTEREST = _snapshot(
    "bronze.short_interest",
    "Shares sold short and not yet covered, twice a month; published about eight business days later",
    SYMBOL,
    Column("settlement_date", "date", "Day of the count", nullable=False),
    Column("short_interest", "bigint", "Shares short", "shares"),
    Column("avg_daily_volume", "bigint", "Average volume a day", "shares"),
    Column("days_to_cover", "double", "Short interest / average volume", "days"),
)
_FACILITIES = ("nyse", "nasdaq_carteret", "nasdaq_chicago", "adf")
SHORT_VOLUME = _snapshot(
    "bronze.short_volume",
    "Short volume of the off-exchange facilities, day by day; total_volume is theirs and not the tape's",
    SYMBOL,
    Column("trade_date", "date", "The day", nullable=False),
    Column("short_volume", SIZE, "Sold short", "shares"),
    Column("short_volume_ratio", "double", "Short / total volume", "%"),
    Column("total_volume", SIZE, "All of these facilities", "shares"),
    Column("exempt_volume", SIZE, "Of it exempt from Regulation SHO", "shares"),
    Column("non_exempt_volume", SIZE, "Of it not exempt", "shares"),
    *(
        Column(f"{facility}_short_volume{exempt}", SIZE, f"At {facility.replace('_', ' ')}, {words}", "shares")
        for facility in _FACILITIES
        for exempt, words in (("", "not exempt"), ("_exempt", "exempt"))
    ),
    tells_of=("trade_date", "trade_date"),
)
FLOAT = _snapshot(
    "bronze.float",
    "Shares free to trade; the vendor has the latest figure only",
    SYMBOL,
    Column("effective_date", "date", "Day of the figure"),
    Column("free_float", "bigint", "Shares free to trade", "shares"),
    Column("free_float_percent", "double", "Of all shares", "%"),
)
FINANCIALS = _snapshot(
    "bronze.financials",
    "Statements and ratios, one row a report: what it says is in items, under the vendor's names",
    _ANY_SYMBOL,
    Column("tickers", "array<string>", "All tickers of the company"),
    Column("cik", "string", "SEC's Central Index Key"),
    Column("timeframe", "string", "quarterly, annual, trailing_twelve_months"),
    Column("period_start", "date", "First day reported on"),
    Column("period_end", "date", "Last day reported on; of ratios their day"),
    Column("filing_date", "date", "When it was filed: known from then on"),
    Column("fiscal_year", "int", "The company's year"),
    Column("fiscal_quarter", "int", "1–4"),
    Column("fiscal_period", "string", "Q1–Q4 or FY (old endpoint)"),
    Column("filing_url", "string", "The filing (old endpoint)"),
    Column("items", "map<string,double>", "Figure by name; of the old endpoint statement.name", "$ or shares"),
)
FILINGS = _snapshot(
    "bronze.filings",
    "Index of SEC filings",
    _ANY_SYMBOL,
    Column("accession_number", "string", "SEC's number of the filing", nullable=False),
    Column("cik", "string", "SEC's Central Index Key"),
    Column("issuer_name", "string", "Who filed"),
    Column("form_type", "string", "10-K, 8-K, 4, …"),
    Column("filing_date", "date", "When it was filed", nullable=False),
    Column("filing_url", "string", "Where it lies"),
)
_INSIDER_FLAGS = {
    "is_director": "The owner is a director",
    "is_officer": "The owner is an officer",
    "is_ten_percent_owner": "The owner holds over 10 % of a class",
    "is_other": "The owner is an insider for another reason",
    "not_subject_to_section_16": "The owner says that Section 16 binds him no longer",
    "aff_10b5_one": "Made under a Rule 10b5-1 plan",
    "equity_swap_involved": "An equity swap was part of it (form 4)",
}
INSIDER_FILINGS = _snapshot(
    "bronze.insider_filings",
    "What insiders own when they become such (form 3) and every change of it (form 4), one row a line of a filing; an "
    "amendment (3/A, 4/A) lies beside what it amends",
    _ANY_SYMBOL,
    Column("tickers", "array<string>", "All tickers of the issuer"),
    Column("accession_number", "string", "SEC's number of the filing; its lines share it", nullable=False),
    Column("form_type", "string", "3, 3/A, 4 or 4/A"),
    Column("filing_date", "date", "When it was filed: known from then on", nullable=False),
    Column("filing_url", "string", "Where it lies"),
    Column("date_of_original_submission", "date", "Of an amendment, when the filing was made that it amends"),
    Column("period_of_report", "date", "Earliest transaction, or the day on which the owner became an insider"),
    Column("issuer_cik", "string", "SEC's Central Index Key of the company"),
    Column("issuer_name", "string", "The company"),
    Column("owner_cik", "string", "SEC's Central Index Key of the insider"),
    Column("owner_name", "string", "The insider"),
    Column("officer_title", "string", "The insider's office"),
    *(Column(name, "boolean", comment) for name, comment in _INSIDER_FLAGS.items()),
    Column("record_type", "string", "transaction or holding (form 4)"),
    Column("security_type", "string", "Non-derivative or derivative, as the vendor writes it"),
    Column("security_title", "string", "Common Stock, …"),
    Column("direct_or_indirect", "string", "D or I: how it is owned"),
    Column("nature_of_ownership", "string", "By whom, where indirectly"),
    Column("shares_owned", SIZE, "Owned on becoming an insider (form 3)", "shares"),
    Column("transaction_date", "date", "When it was done (form 4, as all that follows but derivatives)"),
    Column("deemed_execution_date", "date", "When it counts as done, if another day"),
    Column(
        "transaction_code", "string", "P bought and S sold in the market, A granted, F withheld for tax, M exercised, …"
    ),
    Column("transaction_acquired_disposed", "string", "A acquired or D disposed of"),
    Column("transaction_timeliness", "string", "O in time, E early, L late"),
    Column("transaction_shares", SIZE, "How many", "shares"),
    Column("transaction_price_per_share", "double", "At which price", "$"),
    Column("transaction_value", "double", "Shares × price", "$"),
    Column("shares_owned_following_transaction", SIZE, "Owned after it", "shares"),
    Column("exercise_price", "double", "Of a derivative", "$"),
    Column("exercise_date", "date", "From when a derivative may be exercised"),
    Column("expiration_date", "date", "When a derivative ends"),
    Column("underlying_security_title", "string", "What a derivative is on"),
    Column("underlying_security_shares", SIZE, "How many a derivative is on", "shares"),
    Column("remarks", "string", "Remarks of the filing"),
    Column("footnotes", "array<struct<id:string,description:string>>", "Footnotes of the filing"),
)
INSTITUTIONAL_HOLDINGS = _snapshot(
    "bronze.institutional_holdings",
    "What institutions hold at the end of a quarter (13F), one row a position; it names the security by its CUSIP alone, and "
    "an amendment (13F-HR/A) lies beside what it amends",
    Column("accession_number", "string", "SEC's number of the filing; its positions share it", nullable=False),
    Column("form_type", "string", "13F-HR or 13F-HR/A"),
    Column(
        "filing_date", "date", "When it was filed, up to 45 days after the quarter: known from then on", nullable=False
    ),
    Column("filing_url", "string", "Where it lies"),
    Column("period", "date", "Last day of the quarter"),
    Column("filer_cik", "string", "SEC's Central Index Key of the institution"),
    *_texts("file_number film_number", "SEC"),
    Column("issuer_name", "string", "Whose security it is"),
    Column("title_of_class", "string", "COM, CL A, …"),
    Column("cusip", "string", "CUSIP of the security"),
    Column("market_value", "bigint", "Value as filed; filers wrote thousands of dollars until the end of 2022", "$"),
    Column("shares_or_principal_amount", "bigint", "How much", "shares or $"),
    Column("shares_or_principal_type", "string", "SH shares, PRN principal"),
    Column("put_call", "string", "Of an option: put or call; null for the security itself"),
    Column("investment_discretion", "string", "Who decides: SOLE, DFND or OTR"),
    Column("other_managers", "array<string>", "Others that report it"),
    *(
        Column(f"voting_authority_{kind}", "bigint", f"Voting authority: {kind}", "shares")
        for kind in ("sole", "shared", "none")
    ),
)
NEWS = _snapshot(
    "bronze.news",
    "News articles",
    Column("vendor_id", "string", "The vendor's id of the article", nullable=False),
    Column("published_at", "timestamp", "When it was published, to the second", "UTC", nullable=False),
    Column("title", "string", "Headline"),
    Column("author", "string", "Author"),
    Column("description", "string", "First lines"),
    Column("article_url", "string", "Where it lies"),
    Column("amp_url", "string", "For mobiles"),
    Column("image_url", "string", "Picture"),
    Column("keywords", "array<string>", "Keywords"),
    Column("tickers", "array<string>", "Tickers it is about"),
    *_texts("publisher_name publisher_homepage_url publisher_logo_url publisher_favicon_url", "Publisher"),
    Column(
        "insights",
        "array<struct<ticker:string,sentiment:string,sentiment_reasoning:string>>",
        "The vendor's sentiment by ticker: positive, neutral or negative",
    ),
)
ECONOMY = _snapshot(
    "bronze.economy",
    "Yields, inflation, expectations and labour market, one row a series and day; values are revised. source_line counts the "
    "figures of the body",
    Column("series", "string", "The vendor's name, yield_10_year, cpi, …", nullable=False),
    Column("observation_date", "date", "Day or month it is about", nullable=False),
    Column("value", "double", "Value", "% or as the series has it", nullable=False),
)
MACRO_VINTAGES = Table(
    name="bronze.macro_vintages",
    comment="Economic figures as they were known when (FRED's archive): the figure of a day or month that was in force from "
    "realtime_start to realtime_end. A request covers a stretch of a year and cuts both to it, so a figure that stayed in force "
    "is there once a request. All rows of a series and observation_date in which a day lies say the same",
    owner="ingest",
    columns=(
        Column("series", "string", "FRED's id of the series (sources/economy/series.py)", nullable=False),
        Column("observation_date", "date", "Day it is about, or first day of the month", nullable=False),
        Column("value", "double", "Figure; null where FRED has none", "% or as the series has it"),
        Column("realtime_start", "date", "First day on which it was in force", nullable=False),
        Column("realtime_end", "date", "Last day on which it was in force", nullable=False),
        RECEIVED_AT,
        *SOURCE,
    ),
    key=("source_sha256", "source_line"),
    sort_by=("series", "observation_date", "realtime_start"),
)
SNAPSHOTS = _snapshot(
    "bronze.snapshots",
    "The whole market at a moment: the day so far, the day before, the last minute, trade and quote",
    SYMBOL,
    Column("updated_ns", "bigint", "When the vendor last changed it", "ns since 1970 UTC"),
    Column("todays_change", "double", "From the previous close", "$"),
    Column("todays_change_percent", "double", "From the previous close", "%"),
    Column("fair_market_value", "double", "The vendor's estimate", "$"),
    *(
        Column(f"{bar}_{name}", SIZE if name == "volume" else "double", f"{words}, {name}", unit)
        for bar, words in (("day", "Today so far"), ("previous_day", "Day before"), ("minute", "Last minute"))
        for name, unit in (*((price, "$") for price in ("open", "high", "low", "close", "vwap")), ("volume", "shares"))
    ),
    Column("minute_start_ns", "bigint", "Start of the last minute", "ns since 1970 UTC"),
    Column("minute_transactions", "bigint", "Trades in it", "trades"),
    Column("accumulated_volume", SIZE, "Volume of the day up to it", "shares"),
    Column("last_trade_ns", "bigint", "When the SIP published the last trade", "ns since 1970 UTC"),
    Column("last_trade_price", "double", "Its price", "$"),
    Column("last_trade_size", SIZE, "Its size", "shares"),
    Column("last_trade_exchange", "int", "Vendor's exchange id"),
    Column("last_trade_id", "string", "Its id"),
    Column("last_trade_conditions", "array<int>", "Its sale conditions; empty when none"),
    Column("last_quote_ns", "bigint", "When the SIP published the last quote", "ns since 1970 UTC"),
    Column("bid_price", "double", "Best bid", "$"),
    Column("bid_size", SIZE, "Size at the bid, in lots as the vendor has it here", "lots"),
    Column("ask_price", "double", "Best offer", "$"),
    Column("ask_size", SIZE, "Size at the offer, in lots as the vendor has it here", "lots"),
)

TABLES = (
    *(TICKERS, TICKER_DETAILS, TICKER_EVENTS, TICKER_TYPES, EXCHANGES, CONDITIONS, SPLITS, DIVIDENDS, IPOS, HOLIDAYS),
    *(SHORT_INTEREST, SHORT_VOLUME, FLOAT, FINANCIALS, FILINGS, INSIDER_FILINGS, INSTITUTIONAL_HOLDINGS, NEWS),
    *(ECONOMY, MACRO_VINTAGES, SNAPSHOTS),
)
