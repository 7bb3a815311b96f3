"""Bronze: what arrived, typed and nothing else. Every row names the file and line it came from."""

from smallcaps.lake.declaration import KAFKA, Column, Table

SOURCE = (
    Column("source_sha256", "string", "SHA-256 of the raw file (ops.ledger) or body (bronze.bodies)", nullable=False),
    Column(
        "source_line",
        "bigint",
        "Line of the file, the header being line 1; of a body the record, the first being 1",
        nullable=False,
    ),
)

SYMBOL = Column("symbol", "string", "Ticker as the vendor writes it; case matters", nullable=False)
ENDPOINT = Column("endpoint", "string", "Which of the vendor's endpoints said it", nullable=False)
AS_OF = Column("as_of", "date", "Day as of which it was asked for", nullable=False)
RECEIVED_AT = Column("received_at", "timestamp", "When the answer came", "UTC", nullable=False)
PRICE = "decimal(18,6)"
SIZE = "decimal(20,6)"

_SESSION_DATE = Column("session_date", "date", "Day of the file or request", nullable=False)

BODIES = Table(
    name="bronze.bodies",
    comment="Every REST answer as received, page by page, every request that got none, and what the live feed said",
    owner="ingest",
    columns=(
        ENDPOINT,
        Column("request", "string", "Path and query, parameters in order; no origin and no key", nullable=False),
        Column(
            "as_of", "date", "Day as of which it was asked for, or the feed's; null where the answer does not change"
        ),
        Column("page", "int", "Page of the answer, or of what a run heard, the first being 1", nullable=False),
        Column("last_page", "boolean", "Whether the answer ends here", nullable=False),
        Column("url", "string", "What was asked for, without the key"),
        Column("status", "int", "HTTP status: 200, or 404 (FRED: 400) where there is no such data; the feed has none"),
        Column("sha256", "string", "SHA-256 of the body"),
        Column("size_bytes", "bigint", "Size of the body", "bytes"),
        Column("records", "bigint", "Records in it, counted when it came", "records"),
        Column("received_at", "timestamp", "When it came, or the request was given up", "UTC", nullable=False),
        Column("content", "binary", "The body, gzipped"),
        Column("fault", "string", "Why this is no sound answer; null where it is"),
        Column("fault_kind", "string", "BadInput, BadData or FailedDependency; null where there is no fault"),
    ),
    key=("endpoint", "request", "as_of", "page", "received_at"),
    partition_by=("endpoint",),
)

_BAR = (
    SYMBOL,
    _SESSION_DATE,
    Column("window_start_ns", "bigint", "Start of the bar", "ns since 1970 UTC", nullable=False),
    Column("open", PRICE, "First price, as traded", "$"),
    Column("high", PRICE, "Highest price", "$"),
    Column("low", PRICE, "Lowest price", "$"),
    Column("close", PRICE, "Last price", "$"),
    Column("volume", SIZE, "Shares traded", "shares"),
    Column("vwap", PRICE, "Volume-weighted average price; null where the source has none", "$"),
    Column("transactions", "bigint", "Trades in the bar; null where the source has none", "trades"),
    *SOURCE,
)
_ADJUSTED_BAR = (
    *_BAR,
    Column("as_of", "date", "The vendor's splits up to this day are applied to prices and volume", nullable=False),
)


def _bars(name: str, comment: str, columns: tuple[Column, ...] = _BAR, by_day: bool = True) -> Table:
    """A table of bars; those of less than a day lie day by day."""
    return Table(
        name=name,
        comment=comment,
        owner="ingest",
        columns=columns,
        key=("symbol", "session_date", "source_sha256", "source_line"),
        partition_by=("session_date",) if by_day else (),
        sort_by=("symbol", "window_start_ns") if by_day else (),
    )


BARS_1D = _bars("bronze.bars_1d", "Daily bars as traded, of day_aggs_v1 files or REST", by_day=False)
BARS_1H = _bars("bronze.bars_1h", "One-hour bars as traded, of REST")
BARS_1M = _bars(
    "bronze.bars_1m", "One-minute bars as traded, of minute_aggs_v1 files, REST or the live feed", (*_BAR, *KAFKA)
)
BARS_1D_ADJUSTED = _bars(
    "bronze.bars_1d_adjusted", "Daily bars adjusted for splits by the vendor, to reconcile with", _ADJUSTED_BAR, False
)
BARS_1H_ADJUSTED = _bars(
    "bronze.bars_1h_adjusted", "One-hour bars adjusted for splits by the vendor, to reconcile with", _ADJUSTED_BAR
)
BARS_1M_ADJUSTED = _bars(
    "bronze.bars_1m_adjusted", "One-minute bars adjusted for splits by the vendor, to reconcile with", _ADJUSTED_BAR
)
BARS_1D_GROUPED = _bars(
    "bronze.bars_1d_grouped",
    "Daily bars of the whole market as traded, one answer a day; window_start_ns is 16:00 New York here",
    by_day=False,
)
TRADES = Table(
    name="bronze.trades",
    comment="Trades of the vendor's trades_v1 files, REST or the live feed",
    owner="ingest",
    columns=(
        SYMBOL,
        _SESSION_DATE,
        Column("sip_ns", "bigint", "When the SIP published it", "ns since 1970 UTC", nullable=False),
        Column("participant_ns", "bigint", "When the venue made it", "ns since 1970 UTC"),
        Column("trf_ns", "bigint", "When the trade reporting facility got it; null if none", "ns since 1970 UTC"),
        Column("sequence_number", "bigint", "Order within a symbol and day"),
        Column("trade_id", "string", "Unique per symbol, exchange and facility only"),
        Column("exchange", "int", "Vendor's exchange id; 4 is off-exchange"),
        Column("trf_id", "int", "Trade reporting facility; null if none"),
        Column("tape", "int", "1 NYSE, 2 Arca and American, 3 Nasdaq"),
        Column("price", PRICE, "Price", "$"),
        Column("size", SIZE, "Size", "shares"),
        Column("conditions", "array<int>", "Sale conditions; empty when none"),
        Column("correction", "int", "Vendor's correction code; 0 or null is normal"),
        *SOURCE,
        *KAFKA,
    ),
    key=("symbol", "session_date", "source_sha256", "source_line"),
    partition_by=("session_date",),
    sort_by=("symbol", "sip_ns", "sequence_number"),
)
QUOTES = Table(
    name="bronze.quotes",
    comment="Best bid and offer updates of the vendor's quotes_v1 files, REST or the live feed",
    owner="ingest",
    columns=(
        SYMBOL,
        _SESSION_DATE,
        Column("sip_ns", "bigint", "When the SIP published it", "ns since 1970 UTC", nullable=False),
        Column("participant_ns", "bigint", "When the venue made it", "ns since 1970 UTC"),
        Column("sequence_number", "bigint", "Order within a symbol and day"),
        Column("bid_price", PRICE, "Best bid; 0 if there is none", "$"),
        Column("bid_size", SIZE, "Size at the bid", "shares"),
        Column("bid_exchange", "int", "Vendor's exchange id"),
        Column("ask_price", PRICE, "Best offer; 0 if there is none", "$"),
        Column("ask_size", SIZE, "Size at the offer", "shares"),
        Column("ask_exchange", "int", "Vendor's exchange id"),
        Column("tape", "int", "1 NYSE, 2 Arca and American, 3 Nasdaq"),
        Column("conditions", "array<int>", "Quote conditions; empty when none"),
        Column("indicators", "array<int>", "Quote indicators; empty when none"),
        *SOURCE,
        *KAFKA,
    ),
    key=("symbol", "session_date", "source_sha256", "source_line"),
    partition_by=("session_date",),
    sort_by=("symbol", "sip_ns", "sequence_number"),
)
LULD = Table(
    name="bronze.luld",
    comment="Limit-up-limit-down bands, halts and resumptions of the live feed; the vendor has no history of them",
    owner="ingest",
    columns=(
        SYMBOL,
        _SESSION_DATE,
        Column("sip_ns", "bigint", "When the SIP published it", "ns since 1970 UTC", nullable=False),
        Column("sequence_number", "bigint", "Order within a symbol and day"),
        Column("high", PRICE, "Upper band", "$"),
        Column("low", PRICE, "Lower band", "$"),
        Column(
            "indicators", "array<int>", "17 is a halt, 18 a resumption; the others only say what kind of band it is"
        ),
        Column("tape", "int", "1 NYSE, 2 Arca and American, 3 Nasdaq"),
        *SOURCE,
        *KAFKA,
    ),
    key=("symbol", "session_date", "source_sha256", "source_line"),
    partition_by=("session_date",),
    sort_by=("symbol", "sip_ns", "sequence_number"),
)
_LEVELS = f"array<struct<price:{PRICE},size:{SIZE}>>"
BOOK = Table(
    name="bronze.book",
    comment="Order books as received, up to 10 levels a side, of our own book_v1 files. The vendor sells no depth: these are the "
    "simulated market's, until a feed of depth is there",
    owner="ingest",
    columns=(
        SYMBOL,
        _SESSION_DATE,
        Column("published_ns", "bigint", "When the book was published", "ns since 1970 UTC", nullable=False),
        Column("made_ns", "bigint", "When it was taken", "ns since 1970 UTC"),
        Column("sequence_number", "bigint", "Order within a symbol and day"),
        Column("bids", _LEVELS, "Levels of the bid, best first; empty where there is none", "$, shares"),
        Column("asks", _LEVELS, "Levels of the offer, best first; empty where there is none", "$, shares"),
        *SOURCE,
        *KAFKA,
    ),
    key=("symbol", "session_date", "source_sha256", "source_line"),
    partition_by=("session_date",),
    sort_by=("symbol", "published_ns", "sequence_number"),
)
TABLES = (
    *(BODIES, BARS_1D, BARS_1H, BARS_1M, BARS_1D_ADJUSTED, BARS_1H_ADJUSTED, BARS_1M_ADJUSTED, BARS_1D_GROUPED),
    *(TRADES, QUOTES, LULD, BOOK),
)
