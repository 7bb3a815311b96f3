"""Bronze: what arrived, typed and nothing else. Every row names the file and line it came from."""

from smallcaps.lake.declaration import Column, Table

SOURCE = (
    Column("source_sha256", "string", "SHA-256 of the raw file (see ops.ledger)", nullable=False),
    Column("source_line", "bigint", "Line of the file, the header being line 1", nullable=False),
)

_SYMBOL = Column("symbol", "string", "Ticker as the vendor writes it; case matters", nullable=False)
_SESSION_DATE = Column("session_date", "date", "Day of the file", nullable=False)
_PRICE = "decimal(18,6)"
_SIZE = "decimal(20,6)"

_BAR = (
    _SYMBOL,
    _SESSION_DATE,
    Column("window_start_ns", "bigint", "Start of the bar", "ns since 1970 UTC", nullable=False),
    Column("open", _PRICE, "First price, as traded", "$"),
    Column("high", _PRICE, "Highest price", "$"),
    Column("low", _PRICE, "Lowest price", "$"),
    Column("close", _PRICE, "Last price", "$"),
    Column("volume", _SIZE, "Shares traded", "shares"),
    Column("transactions", "bigint", "Trades in the bar; null where the source has none", "trades"),
    *SOURCE,
)

BARS_1D = Table(
    name="bronze.bars_1d",
    comment="Daily bars of the vendor's day_aggs_v1 files, as traded",
    owner="ingest",
    columns=_BAR,
    key=("source_sha256", "source_line"),
)
BARS_1M = Table(
    name="bronze.bars_1m",
    comment="One-minute bars of the vendor's minute_aggs_v1 files, as traded",
    owner="ingest",
    columns=_BAR,
    key=("source_sha256", "source_line"),
    partition_by=("session_date",),
    sort_by=("symbol", "window_start_ns"),
)
TRADES = Table(
    name="bronze.trades",
    comment="Trades of the vendor's trades_v1 files",
    owner="ingest",
    columns=(
        _SYMBOL,
        _SESSION_DATE,
        Column("sip_ns", "bigint", "When the SIP published it", "ns since 1970 UTC", nullable=False),
        Column("participant_ns", "bigint", "When the venue made it", "ns since 1970 UTC"),
        Column("trf_ns", "bigint", "When the trade reporting facility got it; null if none", "ns since 1970 UTC"),
        Column("sequence_number", "bigint", "Order within a symbol and day"),
        Column("trade_id", "string", "Unique per symbol, exchange and facility only"),
        Column("exchange", "int", "Vendor's exchange id; 4 is off-exchange"),
        Column("trf_id", "int", "Trade reporting facility; null if none"),
        Column("tape", "int", "1 NYSE, 2 Arca and American, 3 Nasdaq"),
        Column("price", _PRICE, "Price", "$"),
        Column("size", _SIZE, "Size", "shares"),
        Column("conditions", "array<int>", "Sale conditions; empty when none"),
        Column("correction", "int", "Vendor's correction code; 0 or null is normal"),
        *SOURCE,
    ),
    key=("source_sha256", "source_line"),
    partition_by=("session_date",),
    sort_by=("symbol", "sip_ns", "sequence_number"),
)
QUOTES = Table(
    name="bronze.quotes",
    comment="Best bid and offer updates of the vendor's quotes_v1 files",
    owner="ingest",
    columns=(
        _SYMBOL,
        _SESSION_DATE,
        Column("sip_ns", "bigint", "When the SIP published it", "ns since 1970 UTC", nullable=False),
        Column("participant_ns", "bigint", "When the venue made it", "ns since 1970 UTC"),
        Column("sequence_number", "bigint", "Order within a symbol and day"),
        Column("bid_price", _PRICE, "Best bid; 0 if there is none", "$"),
        Column("bid_size", _SIZE, "Size at the bid", "shares"),
        Column("bid_exchange", "int", "Vendor's exchange id"),
        Column("ask_price", _PRICE, "Best offer; 0 if there is none", "$"),
        Column("ask_size", _SIZE, "Size at the offer", "shares"),
        Column("ask_exchange", "int", "Vendor's exchange id"),
        Column("tape", "int", "1 NYSE, 2 Arca and American, 3 Nasdaq"),
        Column("conditions", "array<int>", "Quote conditions; empty when none"),
        Column("indicators", "array<int>", "Quote indicators; empty when none"),
        *SOURCE,
    ),
    key=("source_sha256", "source_line"),
    partition_by=("session_date",),
    sort_by=("symbol", "sip_ns", "sequence_number"),
)
SPLITS = Table(
    name="bronze.splits",
    comment="Splits as the vendor (or a file in its columns) lists them",
    owner="ingest",
    columns=(
        _SYMBOL,
        Column("execution_date", "date", "First session that trades in new shares", nullable=False),
        Column("split_from", "double", "Old shares", "shares"),
        Column("split_to", "double", "New shares", "shares"),
        *SOURCE,
    ),
    key=("source_sha256", "source_line"),
)

TABLES = (BARS_1D, BARS_1M, TRADES, QUOTES, SPLITS)
