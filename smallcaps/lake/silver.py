"""Silver: clean and labelled. Prices stay as traded; what adjusts them stands beside them."""

from dataclasses import replace

from smallcaps.lake.declaration import LAST_DAY, Column, Expectation, Table, every, few_refused, mostly, rows_as_before

SECURITY_ID = Column(
    "security_id",
    "string",
    "Who the symbol was that day: composite FIGI, else C:CIK:type, else T:symbol:first-seen date (see silver.securities)",
    nullable=False,
)
SYMBOL = Column("symbol", "string", "Ticker that day; case matters", nullable=False)
SESSION_DATE = Column("session_date", "date", "XNYS session", nullable=False)
_SESSION = Column(
    "session",
    "string",
    "pre, regular, post, or closed outside 04:00–20:00 New York",
    nullable=False,
    values=("pre", "regular", "post", "closed"),
)
_SEGMENT = Column(
    "segment",
    "int",
    "Number of the stretch without a halt: 0 pre, 1 regular, 2 post, plus the resumptions so far that day; −1 closed",
    nullable=False,
)
_DAY_AHEAD = Column("session_date", "date", "The day it is about", nullable=False)
_KNOWN_THE_EVENING_BEFORE = Column(
    "known_at", "timestamp", "20:00 New York of the session before", "UTC", nullable=False
)
_BARS_BEFORE = Column("bars", "int", "Bars within the 20 sessions before", "bars", nullable=False)
_MINUTE = Column("minute", "int", "Elapsed minutes", "minutes since 04:00 New York", nullable=False)
_NO_SESSION_MISSING = Expectation(
    "no_session_missing",
    "No session is missing between the first and the last",
    "max(session_number) - min(session_number) + 1 - size(collect_set(session_number))",
    least=0,
    most=0,
    severity="warn",
)

SECURITIES = Table(
    name="silver.securities",
    comment="Who a symbol was and when: a row a security and stretch of days in which it had the symbol; none overlap",
    owner="refine",
    columns=(
        SECURITY_ID,
        Column("symbol", "string", "Ticker in this stretch; case matters", nullable=False),
        Column("valid_from", "date", "First day; 1900-01-01 where it is not known", nullable=False),
        Column("valid_to", "date", "Day after the last one; null where it goes on"),
        Column(
            "identity_source",
            "string",
            "What the identity rests on; 'symbol' is provisional",
            nullable=False,
            values=("figi", "cik", "symbol"),
        ),
        Column("first_seen", "date", "Of 'symbol': first day with data when it was first refined; never moves"),
        Column("delisted_on", "date", "Last day it traded; null where it trades"),
        Column("name", "string", "Registered name"),
        Column("ticker_type", "string", "CS, ETF, WARRANT, … (see bronze.ticker_types)"),
        Column("primary_exchange", "string", "MIC of the listing exchange"),
        Column("cik", "string", "SEC's Central Index Key"),
        Column("composite_figi", "string", "FIGI of the composite"),
        Column("share_class_figi", "string", "FIGI of the share class"),
        Column("as_of", "date", "Day as of which the vendor said so; null of 'symbol'"),
    ),
    key=("symbol", "valid_from"),
    tells_of=("valid_from", f"coalesce(date_sub(valid_to, 1), delisted_on, {LAST_DAY})"),
    constraints={"some_days": "valid_to IS NULL OR valid_from < valid_to"},
)
CALENDAR = Table(
    name="silver.calendar",
    comment="XNYS sessions with their hours",
    owner="refine",
    columns=(
        SESSION_DATE,
        Column("session_number", "int", "Ordinal, 0 on 1990-01-02", nullable=False),
        Column("pre_open_at", "timestamp", "04:00 New York", "UTC", nullable=False),
        Column("open_at", "timestamp", "09:30 New York", "UTC", nullable=False),
        Column("close_at", "timestamp", "16:00 New York or the early close", "UTC", nullable=False),
        Column("post_close_at", "timestamp", "20:00 New York", "UTC", nullable=False),
        Column("early_close", "boolean", "Closes before 16:00", nullable=False),
    ),
    key=("session_date",),
    expectations=(
        every(
            "hours_in_order",
            "A session opens before it closes, within its pre and post session",
            "pre_open_at < open_at AND open_at < close_at AND close_at <= post_close_at",
        ),
        _NO_SESSION_MISSING,
    ),
)
ADJUSTMENTS = Table(
    name="silver.adjustments",
    comment="Split factors that are applied, each from its execution date on",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        Column("execution_date", "date", "First session in new shares", nullable=False),
        Column(
            "price_factor", "double", "Carries an earlier price into new shares: split_from / split_to", nullable=False
        ),
        Column(
            "checked_against_price",
            "boolean",
            "An overnight return around it was there to check it with",
            nullable=False,
        ),
        Column("source_sha256", "string", "Raw file it came from", nullable=False),
    ),
    key=("security_id", "execution_date"),
    tells_of=("execution_date", LAST_DAY),
    constraints={"positive_factor": "price_factor > 0"},
    expectations=(
        mostly("factor_plausible", "Splits are by at most 1,000", "price_factor BETWEEN 0.001 AND 1000", most=0),
        mostly("checked", "Splits could be checked against a price", "checked_against_price", most=0.9),
        few_refused(0.25),
    ),
)
HALTS = Table(
    name="silver.halts",
    comment="Stretches in which a symbol did not trade: halts of the live feed and dark quotes, those that overlap as one",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column(
            "start_ns",
            "bigint",
            "When the first source said so; known from then on",
            "ns since 1970 UTC",
            nullable=False,
        ),
        Column(
            "end_ns", "bigint", "When the last source said that it was over; null where none did", "ns since 1970 UTC"
        ),
        Column("sources", "array<string>", "feed (Nasdaq's listings only), quotes", nullable=False),
    ),
    key=("symbol", "session_date", "start_ns"),
    constraints={"begins_before_it_ends": "end_ns IS NULL OR start_ns < end_ns"},
)
_BAR_CONSTRAINTS = {
    "prices_in_range": "low > 0 AND low <= open AND low <= close AND high >= open AND high >= close",
    "volume_not_negative": "volume >= 0",
}
_ELIGIBLE = (
    Column("open", "double", "First eligible price", "$", nullable=False),
    Column("high", "double", "Highest eligible price", "$", nullable=False),
    Column("low", "double", "Lowest eligible price", "$", nullable=False),
    Column("close", "double", "Last eligible price", "$", nullable=False),
    Column("volume", "bigint", "Eligible shares, fractions rounded half-even", "shares", nullable=False),
    Column("transactions", "bigint", "Trades that count towards volume; null where unknown", "trades"),
)
"""What a bar of less than a day is made of."""
BARS_1D = Table(
    name="silver.bars_1d",
    comment="Daily bars as traded, on XNYS sessions, with as-of split factors",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("session_number", "int", "Ordinal of the session", nullable=False),
        Column("open_at", "timestamp", "The session's open", "UTC", nullable=False),
        Column("close_at", "timestamp", "The session's close", "UTC", nullable=False),
        Column("open", "double", "First price, as traded", "$", nullable=False),
        Column("high", "double", "Highest price", "$", nullable=False),
        Column("low", "double", "Lowest price", "$", nullable=False),
        Column("close", "double", "Last price", "$", nullable=False),
        Column("volume", "bigint", "Shares traded, fractions rounded half-even", "shares", nullable=False),
        Column("transactions", "bigint", "Trades; null where the source has none", "trades"),
        Column("zero_volume", "boolean", "Nothing traded: the prices are carried, not made", nullable=False),
        Column(
            "cumulative_factor",
            "double",
            "Product of all split factors effective up to this day; the ratio of two days carries prices between them",
            nullable=False,
        ),
        Column(
            "possible_missing_split",
            "boolean",
            "The return over night is within 3 % (of its logarithm) of 1.5 or a ratio of 2 to 10, and no split is on file",
            nullable=False,
        ),
    ),
    key=("symbol", "session_date"),
    sort_by=("symbol", "session_date"),
    constraints=_BAR_CONSTRAINTS,
    expectations=(
        _NO_SESSION_MISSING,
        mostly("traded", "Names trade on most days", "NOT zero_volume", most=0.2),
        mostly("range_plausible", "High is rarely over 5 times low", "high <= 5 * low", most=0.001),
        few_refused(0.01),
        rows_as_before(),
    ),
)
BARS_1M = Table(
    name="silver.bars_1m",
    comment="One-minute bars as traded, labelled by session; built from trades where there are any",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("ts", "timestamp", "Start of the minute", "UTC", nullable=False),
        _SESSION,
        _SEGMENT,
        Column(
            "segment_start", "int", "Minute at which the segment begins", "minutes since 04:00 New York", nullable=False
        ),
        _MINUTE,
        *_ELIGIBLE,
        Column(
            "is_auction", "boolean", "The minute that holds the opening, closing or reopening auction", nullable=False
        ),
        Column("source", "string", "trades or vendor", nullable=False, values=("trades", "vendor")),
    ),
    key=("symbol", "ts"),
    partition_by=("session_date",),
    sort_by=("symbol", "ts"),
    constraints=_BAR_CONSTRAINTS,
    expectations=(
        every("on_the_minute", "A bar starts on a minute", "ts = date_trunc('MINUTE', ts)"),
        mostly("range_plausible", "High is rarely over 2 times low", "high <= 2 * low", most=0.001),
        few_refused(0.01),
        rows_as_before(0.25, 4),
    ),
)
BARS_1H = Table(
    name="silver.bars_1h",
    comment="Bars of a clock hour as traded: the vendor's, and of one-minute bars where it has none that is sound",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("ts", "timestamp", "Start of the hour", "UTC", nullable=False),
        Column(
            "session",
            "string",
            "Of its start: pre (also of the hour in which the market opens), regular, post",
            nullable=False,
            values=("pre", "regular", "post"),
        ),
        *_ELIGIBLE,
        Column("source", "string", "vendor or minutes", nullable=False, values=("vendor", "minutes")),
    ),
    key=("symbol", "ts"),
    partition_by=("session_date",),
    sort_by=("symbol", "ts"),
    constraints=_BAR_CONSTRAINTS,
    expectations=(
        every("on_the_hour", "A bar starts on an hour", "ts = date_trunc('HOUR', ts)"),
        mostly("range_plausible", "High is rarely over 3 times low", "high <= 3 * low", most=0.001),
        few_refused(0.01),
        rows_as_before(0.25, 4),
    ),
)
SHORT_SALE_RESTRICTIONS = Table(
    name="silver.short_sale_restrictions",
    comment="Days on which Rule 201 was triggered: no short sales at or below the best bid until the next session is over",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("prior_close", "double", "Close before, in the shares of the day", "$", nullable=False),
        Column(
            "price", "double", "First regular price at or below 90 % of it; of daily bars the low", "$", nullable=False
        ),
        Column("triggered_ns", "bigint", "When it traded there; null of daily bars", "ns since 1970 UTC"),
        Column("known_at", "timestamp", "That moment; of daily bars the close", "UTC", nullable=False),
        Column("last_session", "date", "Last day of the restriction", nullable=False),
        Column("source", "string", "trades or bars", nullable=False, values=("trades", "bars")),
    ),
    key=("security_id", "session_date"),
    constraints={"fell_by_a_tenth": "price <= 0.9 * prior_close * (1 + 1e-12)"},
)
UNIVERSE = Table(
    name="silver.universe",
    comment="Who belongs to the small caps on a day, by what was known before its 04:00: names with a bar on the session before",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        _DAY_AHEAD,
        _KNOWN_THE_EVENING_BEFORE,
        Column("previous_close", "double", "Close of the session before, as traded", "$", nullable=False),
        _BARS_BEFORE,
        Column("median_dollar_volume", "double", "Median of close × volume over them", "$", nullable=False),
        Column("traded_before", "boolean", "There was volume on the session before", nullable=False),
        Column(
            "shares_outstanding",
            "double",
            "As last filed, in the shares of the session before; null: nothing filed",
            "shares",
        ),
        Column("shares_filed_on", "date", "When they were filed"),
        Column("market_cap", "double", "previous_close × shares_outstanding", "$"),
        Column(
            "free_float", "double", "As last received, in the shares of the session before; null before that", "shares"
        ),
        Column(
            "passes_floor", "boolean", "Price, dollar volume, bars and volume reach the liquidity floor", nullable=False
        ),
        Column(
            "is_listed", "boolean", "Of a kind and on an exchange that count; null where the vendor does not list it"
        ),
        Column("is_small_cap", "boolean", "The market cap lies in the range; null where it is not known"),
        Column("is_low_float", "boolean", "The float is low; null where it is not known"),
        Column("is_member", "boolean", "Passes the floor, and nothing known says otherwise", nullable=False),
    ),
    key=("security_id", "session_date"),
    sort_by=("symbol", "session_date"),
    expectations=(
        Expectation(
            "filed",
            "Where statements were taken in at all, shares are on file of most names",
            "IF(count(shares_outstanding) = 0, 0D, 1 - count(shares_outstanding) / count(*))",
            most=0.5,
            severity="warn",
        ),
        rows_as_before(),
    ),
)
BASELINES = Table(
    name="silver.baselines",
    comment="A name's usual day, by the 20 sessions before: names with a bar on the day or on the session before it",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        _DAY_AHEAD,
        _KNOWN_THE_EVENING_BEFORE,
        _BARS_BEFORE,
        Column("counted_bars", "int", "Those of them that know their number of trades", "bars", nullable=False),
        Column(
            "median_volume", "double", "Their median volume, in the day's shares; null of fewer than 10 bars", "shares"
        ),
        Column(
            "median_trades",
            "double",
            "Their median number of trades; null where fewer than 10 of them know it",
            "trades",
        ),
    ),
    key=("security_id", "session_date"),
    sort_by=("symbol", "session_date"),
    constraints={"enough_bars": "(median_volume IS NULL) = (bars < 10)"},
    expectations=(rows_as_before(),),
)
SESSION_VOLUMES = Table(
    name="silver.session_volumes",
    comment="What the names above the liquidity floor traded together in each minute of a session, known when it is over",
    owner="refine",
    columns=(
        SESSION_DATE,
        _MINUTE,
        Column("volume", "bigint", "Shares of all of them", "shares", nullable=False),
        Column("transactions", "bigint", "Trades of those that know them; null where none does", "trades"),
        Column("bars", "bigint", "Names with a bar of the minute", "bars", nullable=False),
    ),
    key=("session_date", "minute"),
    sort_by=("session_date", "minute"),
    constraints={"within_the_session": "minute BETWEEN 0 AND 959"},
)
VOLUME_CURVES = Table(
    name="silver.volume_curves",
    comment="How a day's volume and trades spread over its minutes, by the sessions of its kind among the 20 before; "
    "ten sessions at least; days that close early are a kind of their own, of which one is enough",
    owner="refine",
    columns=(
        SESSION_DATE,
        _MINUTE,
        Column("session", "string", "pre, regular or post", nullable=False, values=("pre", "regular", "post")),
        _KNOWN_THE_EVENING_BEFORE,
        Column("sessions", "int", "Sessions pooled", "sessions", nullable=False),
        Column(
            "volume_share",
            "double",
            "Share of the day's volume, smoothed over 5 minutes of the same part of the session; null where none was traded",
        ),
        Column(
            "volume_share_5m",
            "double",
            "Sum of it over the five minutes that end with this one; null where they began in another part of the session",
        ),
        Column("trades_share", "double", "Share of the day's trades, likewise; null where none are known"),
    ),
    key=("session_date", "minute"),
    sort_by=("session_date", "minute"),
    constraints={"within_the_session": "minute BETWEEN 0 AND 959"},
    expectations=(
        Expectation(
            "shares_of_a_day",
            "The shares of a day's minutes add up to one",
            "abs(coalesce(try_divide(sum(volume_share), count(DISTINCT IF(volume_share IS NULL, NULL, session_date))), 1) - 1)",
            most=1e-6,
        ),
    ),
)
TRADES = Table(
    name="silver.trades",
    comment="Trades with session labels and eligibility by their sale conditions",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("ts", "timestamp", "SIP time, cut to microseconds", "UTC", nullable=False),
        Column("sip_ns", "bigint", "SIP time", "ns since 1970 UTC", nullable=False),
        Column(
            "participant_ns", "bigint", "Venue time; SIP time where it is missing", "ns since 1970 UTC", nullable=False
        ),
        Column("sequence_number", "bigint", "Order within symbol and day", nullable=False),
        Column("trade_id", "string", "Unique per symbol, exchange and facility only"),
        _SESSION,
        _SEGMENT,
        Column(
            "segment_start", "int", "Minute at which the segment begins", "minutes since 04:00 New York", nullable=False
        ),
        Column("second", "int", "Elapsed seconds", "seconds since 04:00 New York", nullable=False),
        Column("price", "double", "Price", "$", nullable=False),
        Column("size", "decimal(20,6)", "Size", "shares", nullable=False),
        Column("exchange", "int", "Vendor's exchange id"),
        Column("trf_id", "int", "Trade reporting facility; null if none"),
        Column("conditions", "array<int>", "Sale conditions"),
        Column(
            "correction",
            "int",
            "The vendor's code; 0 is normal. 1, 7 and 8 were stamped afterwards: by then known, not at the time",
            nullable=False,
        ),
        Column(
            "withdrawn_ns",
            "bigint",
            "When a cancel or correction of it was published; null where there was none, and of such a record itself",
            "ns since 1970 UTC",
        ),
        Column("updates_high_low", "boolean", "May set a bar's high and low", nullable=False),
        Column("updates_open_close", "boolean", "May set a bar's open and close", nullable=False),
        Column("updates_volume", "boolean", "Counts towards volume", nullable=False),
        Column("is_off_exchange", "boolean", "Reported through a trade reporting facility", nullable=False),
        Column("is_odd_lot", "boolean", "Condition 37, or fewer than 100 shares", nullable=False),
        Column("is_sweep", "boolean", "Intermarket sweep, condition 14", nullable=False),
        Column("is_late", "boolean", "Published over 10 s after it was made", nullable=False),
        Column(
            "is_whole_day",
            "boolean",
            "Whether the name's day is here whole, not windows of it around events; null in rows that an earlier version wrote",
        ),
    ),
    key=("session_date", "symbol", "sequence_number", "exchange", "trf_id", "trade_id", "correction"),
    partition_by=("session_date",),
    sort_by=("symbol", "sip_ns", "sequence_number"),
    constraints={"positive": "price > 0 AND size > 0"},
    expectations=(
        every("time_is_sip_time", "ts is the SIP time, cut", "ts = timestamp_micros(sip_ns div 1000)"),
        mostly("in_hours", "Few trades are outside 04:00–20:00", "session <> 'closed'", most=0.01),
        mostly("on_time", "Few trades are published late", "NOT is_late", most=0.05),
        mostly("counted", "Most trades count towards volume", "updates_volume", most=0.25),
        few_refused(0.01),
        rows_as_before(0.25, 4),
    ),
)
TRADE_SIZES = Table(
    name="silver.trade_sizes",
    comment="How many trades of a security were how large on a session, known when it is over: of days that are here whole, "
    "those that count towards volume and were not reported late",
    owner="refine",
    columns=(
        SECURITY_ID,
        SESSION_DATE,
        Column(
            "bucket",
            "int",
            "⌊100 · ln(price · size in $)⌋: trades of exp(bucket / 100) $ and up to 1 % more",
            nullable=False,
        ),
        Column("trades", "bigint", "Trades of that size", "trades", nullable=False),
    ),
    key=("security_id", "session_date", "bucket"),
    partition_by=("session_date",),
    # The day first: a day is one file.
    sort_by=("session_date", "security_id", "bucket"),
    constraints={"some_trades": "trades > 0"},
    expectations=(rows_as_before(0.25, 4),),
)
QUOTES = Table(
    name="silver.quotes",
    comment="Best bid and offer with session labels and validity flags",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("ts", "timestamp", "SIP time, cut to microseconds", "UTC", nullable=False),
        Column("sip_ns", "bigint", "SIP time", "ns since 1970 UTC", nullable=False),
        Column(
            "participant_ns", "bigint", "Venue time; SIP time where it is missing", "ns since 1970 UTC", nullable=False
        ),
        Column("sequence_number", "bigint", "Order within symbol and day", nullable=False),
        _SESSION,
        Column("bid_price", "double", "Best bid; null if there is none", "$"),
        Column("bid_size", "double", "Size at the bid; where the vendor counted lots, times 100", "shares"),
        Column("ask_price", "double", "Best offer; null if there is none", "$"),
        Column("ask_size", "double", "Size at the offer; where the vendor counted lots, times 100", "shares"),
        Column("is_two_sided", "boolean", "Both sides are there", nullable=False),
        Column("is_crossed", "boolean", "Bid above offer", nullable=False),
        Column("is_locked", "boolean", "Bid equals offer", nullable=False),
        Column("is_stale", "boolean", "Published over 60 s after its venue made it", nullable=False),
        Column("is_paused", "boolean", "Condition 43: a limit-up-limit-down pause", nullable=False),
    ),
    key=("session_date", "symbol", "sip_ns", "sequence_number"),
    partition_by=("session_date",),
    sort_by=("symbol", "sip_ns", "sequence_number"),
    expectations=(
        every("time_is_sip_time", "ts is the SIP time, cut", "ts = timestamp_micros(sip_ns div 1000)"),
        mostly("two_sided", "Most quotes have both sides", "is_two_sided", most=0.25),
        mostly("not_crossed", "Few quotes are crossed", "NOT is_crossed", most=0.02),
        mostly("not_locked", "Few quotes are locked", "NOT is_locked", most=0.1),
        few_refused(0.01),
        rows_as_before(0.25, 4),
    ),
)
_LEVELS = "array<struct<price:double,size:double>>"
BOOK = Table(
    name="silver.book",
    comment="Order books of up to 10 levels a side, with session labels, validity flags and whether they begin with the NBBO. "
    "Levels are arrays: books of thin names are short. Only a simulated market fills it so far",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("ts", "timestamp", "When it was published, cut to microseconds", "UTC", nullable=False),
        Column("published_ns", "bigint", "When it was published", "ns since 1970 UTC", nullable=False),
        Column(
            "made_ns",
            "bigint",
            "When it was taken; when published where that is missing",
            "ns since 1970 UTC",
            nullable=False,
        ),
        Column("sequence_number", "bigint", "Order within symbol and day", nullable=False),
        _SESSION,
        Column(
            "bids", _LEVELS, "Levels of the bid, best first; empty where there is none", "$, shares", nullable=False
        ),
        Column(
            "asks", _LEVELS, "Levels of the offer, best first; empty where there is none", "$, shares", nullable=False
        ),
        Column("is_two_sided", "boolean", "Both sides are there", nullable=False),
        Column("is_crossed", "boolean", "Best bid above best offer", nullable=False),
        Column("is_locked", "boolean", "Best bid equals best offer", nullable=False),
        Column("is_stale", "boolean", "Published over 60 s after it was taken", nullable=False),
        Column(
            "is_at_nbbo",
            "boolean",
            "The best prices are those of the quote in force; null where no quote is known",
        ),
    ),
    key=("session_date", "symbol", "published_ns", "sequence_number"),
    partition_by=("session_date",),
    sort_by=("symbol", "published_ns", "sequence_number"),
    constraints={"ten_levels": "size(bids) <= 10 AND size(asks) <= 10"},
    expectations=(
        every("time_is_its_time", "ts is the time of publication, cut", "ts = timestamp_micros(published_ns div 1000)"),
        mostly("two_sided", "Most books have both sides", "is_two_sided", most=0.25),
        mostly("not_crossed", "Few books are crossed", "NOT is_crossed", most=0.02),
        mostly(
            "at_nbbo", "Where quotes are known, most books begin with them", "coalesce(is_at_nbbo, true)", most=0.05
        ),
        few_refused(0.01),
        rows_as_before(0.25, 4),
    ),
)
_KNOWN_AT = Column(
    "known_at",
    "timestamp",
    "First moment anyone could have acted on it, by the rule of its source",
    "UTC",
    nullable=False,
)
_VERSION = Column("version", "int", "1 as first said; of those known by a moment the highest holds", nullable=False)
_SAID = (
    Column("as_of", "date", "Day as of which the vendor first said so", nullable=False),
    Column("source_sha256", "string", "Body it came from", nullable=False),
)
SHORT_INTEREST = Table(
    name="silver.short_interest",
    comment="Shares short at each settlement, known from 20:00 New York of the 8th session after it; a change is a further "
    "version",
    owner="refine",
    columns=(
        SECURITY_ID,
        Column("symbol", "string", "Ticker on the settlement day; case matters", nullable=False),
        Column("settlement_date", "date", "Day of the count", nullable=False),
        _VERSION,
        _KNOWN_AT,
        Column("short_interest", "bigint", "Shares sold short and not yet covered", "shares", nullable=False),
        Column("avg_daily_volume", "bigint", "Average volume a day", "shares"),
        Column("days_to_cover", "double", "Short interest / average volume, as the vendor says", "days"),
        *_SAID,
    ),
    key=("symbol", "settlement_date", "version"),
    sort_by=("symbol", "settlement_date"),
    constraints={"not_negative": "short_interest >= 0"},
)
_SHARES = "decimal(20,6)"
SHORT_VOLUME = Table(
    name="silver.short_volume",
    comment="Short volume of a session at the off-exchange facilities only, no exchange's: not the tape's. Known from 11:00 "
    "New York of the next session; a change is a further version",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        _VERSION,
        _KNOWN_AT,
        Column(
            "short_volume",
            _SHARES,
            "Sold short off exchange, market makers' other side included",
            "shares",
            nullable=False,
        ),
        Column("exempt_volume", _SHARES, "Of it exempt from Regulation SHO", "shares"),
        Column(
            "total_volume",
            _SHARES,
            "All that these facilities reported; not the tape's volume",
            "shares",
            nullable=False,
        ),
        *_SAID,
    ),
    key=("symbol", "session_date", "version"),
    sort_by=("session_date", "symbol"),
    constraints={"part_of_the_whole": "0 <= short_volume AND short_volume <= total_volume"},
)
FLOAT = Table(
    name="silver.float",
    comment="Free float, a row where the figure changed. The vendor has the latest only: none before the first receipt, and "
    "known from the end of the as_of day in New York",
    owner="refine",
    columns=(
        SECURITY_ID,
        Column("symbol", "string", "Ticker on the as_of day; case matters", nullable=False),
        _VERSION,
        _KNOWN_AT,
        Column(
            "free_float", "bigint", "Shares free to trade, as of effective_date: before later splits", "shares", False
        ),
        Column("free_float_percent", "double", "Of all shares", "%"),
        Column("effective_date", "date", "Day of the figure, as the vendor said when it first had it"),
        *_SAID,
    ),
    key=("security_id", "version"),
    constraints={"not_negative": "free_float >= 0"},
)
_LISTED_SYMBOL = Column(
    "symbol", "string", "Ticker that the vendor named on the as_of day; case matters", nullable=False
)
_FILING_DATE = Column("filing_date", "date", "Day of the filing", nullable=False)
_CIK = Column("cik", "string", "SEC's Central Index Key")
FUNDAMENTALS = Table(
    name="silver.fundamentals",
    comment="Statements as filed, a row a company, period and filing; restatements are filings of their own. Known from 04:00 "
    "New York of the first session after the filing date; a change is a further version",
    owner="refine",
    columns=(
        SECURITY_ID,
        _LISTED_SYMBOL,
        _CIK,
        Column("period_end", "date", "Last day reported on", nullable=False),
        Column("timeframe", "string", "quarterly, annual or trailing_twelve_months", nullable=False),
        _FILING_DATE,
        _VERSION,
        _KNOWN_AT,
        Column("revenue", "double", "Revenue", "$"),
        Column("net_income", "double", "Net income, minorities included", "$"),
        Column("total_equity", "double", "Equity, minorities included", "$"),
        Column("cash", "double", "Cash and equivalents", "$"),
        Column("long_term_debt", "double", "Long-term debt; by the new endpoints with capital leases", "$"),
        Column(
            "shares_outstanding",
            "double",
            "Average of the period, basic, else diluted; as filed, before later splits",
            "shares",
        ),
        Column(
            "items", "map<string,double>", "Every figure, as statement.name under the vendor's names", "$ or shares"
        ),
        Column(
            "endpoints", "array<string>", "Which of the vendor's endpoints said it on the as_of day", nullable=False
        ),
        _SAID[0],
    ),
    key=("security_id", "period_end", "timeframe", "filing_date", "version"),
    sort_by=("security_id", "period_end"),
    constraints={
        "known_timeframe": "timeframe IN ('quarterly', 'annual', 'trailing_twelve_months')",
        "filed_after_its_end": "period_end <= filing_date",
    },
)
FILINGS = Table(
    name="silver.filings",
    comment="Filings, each with its company's state by filings of days before it: what may bring new shares. Known from 04:00 "
    "New York of the first session after the filing date; a corrected form is a further version",
    owner="refine",
    columns=(
        SECURITY_ID,
        _LISTED_SYMBOL,
        _CIK,
        Column(
            "accession_number", "string", "SEC's number of the filing; several companies may file it", nullable=False
        ),
        _FILING_DATE,
        _VERSION,
        _KNOWN_AT,
        Column("form_type", "string", "10-K, 8-K, 4, …", nullable=False),
        Column("issuer_name", "string", "Who filed"),
        Column("filing_url", "string", "Where it lies"),
        Column(
            "dilution",
            "string",
            "shelf (S-3, F-3 and the like), registration (S-1, F-1, amendments), takedown (424B1–424B5, 424B7); null: none",
        ),
        Column(
            "shelf_until",
            "date",
            "Three years after the last shelf of earlier days; null where there was none. When it became effective is not told",
        ),
        Column("takedowns_365d", "int", "Takedowns of the 365 days before this one", "filings", nullable=False),
        Column(
            "has_open_registration",
            "boolean",
            "A registration of the 180 days before, and no 424B1 or 424B4 since it",
            nullable=False,
        ),
        Column(
            "may_be_at_the_market",
            "boolean",
            "A 424B5 within shelf_until: an at-the-market offering files that form as an underwritten one does, and the index "
            "has no more than the form",
            nullable=False,
        ),
        Column(
            "reverse_splits_2y",
            "int",
            "Reverse splits of silver.adjustments in the two years up to the filing date",
            "splits",
            nullable=False,
        ),
        *_SAID,
    ),
    key=("accession_number", "security_id", "version"),
    sort_by=("security_id", "filing_date"),
    constraints={"known_dilution": "dilution IS NULL OR dilution IN ('shelf', 'registration', 'takedown')"},
)
NEWS = Table(
    name="silver.news",
    comment="News, a row an article and ticker, known 60 s after publication. What the vendor changed in an article is a further "
    "version of all its rows, known from the end of the as_of day; its tickers are those of the latest version known",
    owner="refine",
    columns=(
        SECURITY_ID,
        Column("symbol", "string", "Ticker that the article names; case matters", nullable=False),
        Column("article_id", "string", "The vendor's id of the article", nullable=False),
        _VERSION,
        _KNOWN_AT,
        Column("published_at", "timestamp", "When it was published, to the second", "UTC", nullable=False),
        Column("title", "string", "Headline"),
        Column("description", "string", "First lines"),
        Column("author", "string", "Author"),
        Column("publisher_name", "string", "Publisher"),
        Column("article_url", "string", "Where it lies"),
        Column("keywords", "array<string>", "Keywords"),
        Column("tickers", "array<string>", "All tickers it is about: the more, the less it is about this one"),
        Column(
            "sentiment",
            "string",
            "The vendor's for this ticker: positive, neutral or negative. Made by a model, when is not told: of old articles "
            "it may know what came after",
        ),
        Column("sentiment_reasoning", "string", "The model's words for it"),
        *_SAID,
    ),
    key=("article_id", "symbol", "version"),
    sort_by=("published_at", "symbol"),
    constraints={"known_sentiment": "sentiment IS NULL OR sentiment IN ('positive', 'neutral', 'negative')"},
)
MACRO = Table(
    name="silver.macro",
    comment="Figures of the economy by vintage, FRED's and the vendor's beside each other. At a moment holds, of each series, "
    "observation and source, the highest version with known_at up to it",
    owner="refine",
    columns=(
        Column(
            "series",
            "string",
            "Our name (sources/economy/figures.py); the surveys of manufacturers stand for the PMI, which FRED may not have",
            nullable=False,
            values=(
                *("cpi", "cpi_core", "cpi_unadjusted", "vendor_cpi_core", "cpi_year_over_year"),
                *("ppi", "ppi_commodities", "pce", "pce_core", "pce_spending"),
                *("payrolls", "unemployment_rate", "participation_rate", "hourly_earnings", "job_openings"),
                *("policy_rate_upper", "policy_rate_lower", "manufacturing_philadelphia", "manufacturing_new_york"),
                *("yield_1_month", "yield_3_month", "yield_6_month"),
                *(f"yield_{years}_year" for years in (1, 2, 3, 5, 7, 10, 20, 30)),
                *("inflation_market_5_year", "inflation_market_10_year", "inflation_forward_years_5_to_10"),
                *(f"inflation_model_{years}_year" for years in (1, 5, 10, 30)),
            ),
        ),
        Column("observation_date", "date", "Day it is about, or first day of the month", nullable=False),
        Column("grain", "string", "What it is about", nullable=False, values=("month", "day")),
        Column("source", "string", "Who says it", nullable=False, values=("fred", "vendor")),
        _VERSION,
        Column(
            "vintage",
            "date",
            "First day on which FRED's archive was seen to have it in force; null of the vendor, who keeps no vintages",
        ),
        _KNOWN_AT,
        Column(
            "known_by",
            "string",
            "What known_at rests on: calendar, the minute of the release; vintage, the end of its day in New York; lag, the "
            "latest that is usual; receipt, the end of the as_of day, since the figure may have been revised before",
            nullable=False,
            values=("calendar", "vintage", "lag", "receipt"),
        ),
        Column("value", "double", "Figure, in its unit; null: taken back"),
        Column("unit", "string", "Its unit", nullable=False),
        Column("release", "string", "What it comes out with (sources/economy/series.py)", nullable=False),
        Column("source_series", "string", "FRED's id or the vendor's name of the series", nullable=False),
        Column("as_of", "date", "Day as of which the vendor first said so; null of FRED"),
        _SAID[1],
    ),
    key=("series", "observation_date", "source", "version"),
    sort_by=("series", "observation_date"),
    constraints={"only_fred_has_vintages": "(source = 'fred') = (vintage IS NOT NULL)"},
    expectations=(
        mostly(
            "known_after_it_began",
            "Nothing is known before the period that it is about",
            "unix_date(observation_date) * 86400L <= unix_seconds(known_at)",
            most=0,
        ),
        few_refused(0.01),
    ),
)
OWNERSHIP = Table(
    name="silver.ownership",
    comment="What insiders (forms 3 and 4) and institutions (13F) own and trade, a row a line of a filing. Known from 04:00 New "
    "York of the first session after the filing date; other lines under the same number are a further version of the whole "
    "filing, an amendment is a filing of its own. Shares are as filed: before later splits",
    owner="refine",
    columns=(
        replace(
            SECURITY_ID,
            comment="Whose it is; of insiders that of the first ticker. Null of institutions' positions where nothing tells "
            "whose CUSIP it is: that of a security alone is known whose listing is in bronze.ipos",
            nullable=True,
        ),
        Column("symbol", "string", "Ticker that the vendor named on the as_of day; null of institutions; case matters"),
        Column("kind", "string", "Who files", nullable=False, values=("insider", "institution")),
        Column("form", "string", "Form", nullable=False, values=("3", "3/A", "4", "4/A", "13F-HR", "13F-HR/A")),
        Column("accession_number", "string", "SEC's number of the filing", nullable=False),
        Column("line", "int", "Number of the line, from 1, in the vendor's order", nullable=False),
        _VERSION,
        _KNOWN_AT,
        _FILING_DATE,
        Column(
            "is_amendment",
            "boolean",
            "Amends an earlier filing: in its place or beside it, the vendor does not tell",
            nullable=False,
        ),
        Column("amends_filing_of", "date", "Of an amendment, when the filing was made that it amends; insiders only"),
        Column(
            "period",
            "date",
            "Of insiders the earliest transaction, or the day on which one became an insider; else the quarter's last day",
        ),
        Column("holder_cik", "string", "SEC's Central Index Key of the insider or the institution"),
        Column("holder_name", "string", "The insider; null of institutions, of which the vendor has the key only"),
        Column(
            "relations",
            "array<string>",
            "What the insider is: director, officer, ten_percent_owner, other; empty of institutions",
            nullable=False,
        ),
        Column("officer_title", "string", "The insider's office"),
        Column("cik", "string", "SEC's Central Index Key of the company; null of institutions' positions"),
        Column("issuer_name", "string", "Whose security it is, as filed"),
        Column("cusip", "string", "CUSIP of an institution's position"),
        Column("security_title", "string", "Common Stock, COM, …"),
        Column(
            "instrument",
            "string",
            "What it is; null where an insider's filing does not tell",
            values=("non_derivative", "derivative", "put", "call", "debt"),
        ),
        Column(
            "entry", "string", "What is owned, or a change of it", nullable=False, values=("holding", "transaction")
        ),
        Column("transaction_date", "date", "When it was done"),
        Column(
            "transaction_code",
            "string",
            "P bought and S sold in the market, A granted, F withheld for tax, M exercised, …",
        ),
        Column("acquired_or_disposed", "string", "A acquired, D disposed of"),
        Column("is_by_plan", "boolean", "Made under a Rule 10b5-1 plan"),
        Column("shares", _SHARES, "How many were acquired or disposed of, as filed; null of a holding", "shares"),
        Column("price", "double", "At which price, as filed", "$"),
        Column("shares_after", _SHARES, "How many are owned, after it where it is a change; as filed", "shares"),
        Column("principal", "bigint", "Of debt, how much is owned", "$"),
        Column(
            "value",
            "double",
            "Of a transaction shares × price; of a position its value as filed: until the end of 2022 filers wrote thousands",
            "$",
        ),
        Column("is_direct", "boolean", "Owned by the insider himself"),
        Column("underlying_shares", _SHARES, "How many shares a derivative is on", "shares"),
        Column("exercise_price", "double", "Of a derivative", "$"),
        Column("expiration_date", "date", "When a derivative ends"),
        *_SAID,
    ),
    key=("accession_number", "form", "version", "line"),
    sort_by=("security_id", "filing_date"),
    constraints={
        "insiders_are_of_somebody": "security_id IS NOT NULL OR kind = 'institution'",
        "known_relations": "size(array_except(relations, array('director', 'officer', 'ten_percent_owner', 'other'))) = 0",
        "not_negative": "coalesce(least(shares, shares_after), 0) >= 0",
    },
    expectations=(
        mostly(
            "after_its_period", "A filing is about days before it", "coalesce(period <= filing_date, true)", most=0.001
        ),
        few_refused(0.05),
    ),
)
_SECTORS = (
    *("communication", "consumer_discretionary", "consumer_staples", "energy", "financials", "health_care"),
    *("industrials", "materials", "real_estate", "technology", "utilities"),
)


def _benchmark(name: str, fund: str) -> tuple[Column, ...]:
    """What a name has to do with a fund."""
    needs = "null below 40 sessions on which both have a return"
    return (
        Column(f"{name}_fund", "string", f"Fund on {fund}", nullable=name == "sector"),
        Column(f"{name}_return", "double", "Its return, as daily_return", "share"),
        Column(
            f"beta_{name}",
            "double",
            f"Slope of daily_return on it over the 60 sessions up to the day; {needs}, and where the fund never moved",
        ),
        Column(
            f"correlation_{name}", "double", f"Correlation with it over the same; {needs}, and where either never moved"
        ),
    )


SECTORS = Table(
    name="silver.sectors",
    comment="Sector of each name and day, its return, and how it went with the market and the sector in the 60 sessions up to "
    "the day; a row a daily bar, the funds' own among them",
    owner="refine",
    columns=(
        SECURITY_ID,
        SYMBOL,
        SESSION_DATE,
        Column("known_at", "timestamp", "The session's close, but for a sector of hindsight", "UTC", nullable=False),
        Column("sic_code", "string", "SIC code of the company, as the vendor has it; null where it has none"),
        Column(
            "sector",
            "string",
            "By SIC code and date (refine/sectors.csv), of a sector's fund that sector; null where nothing tells",
            values=_SECTORS,
        ),
        Column(
            "is_sector_known",
            "boolean",
            "The code was said on a day before; false: only later, so of hindsight; null where there is no code",
        ),
        Column(
            "daily_return",
            "double",
            "Close against the close of the session before, in the shares of the day, without dividends; null where either has "
            "no volume, or a split may be missing",
            "share",
        ),
        *_benchmark("market", "the whole market"),
        *_benchmark("small_cap", "small companies"),
        *_benchmark("sector", "the sector"),
        Column("n", "int", "Sessions with a return among the 60 up to the day", "sessions", nullable=False),
    ),
    key=("security_id", "session_date"),
    sort_by=("symbol", "session_date"),
    constraints={
        f"{name}_correlation_in_range": f"correlation_{name} IS NULL OR correlation_{name} BETWEEN -1 AND 1"
        for name in ("market", "small_cap", "sector")
    },
    expectations=(
        mostly(
            "beta_plausible", "Betas to the market are moderate", "coalesce(abs(beta_market) <= 10, true)", most=0.01
        ),
        Expectation(
            "classified",
            "Where companies' details were taken in at all, most names have a sector",
            "IF(count(sic_code) = 0, 0D, 1 - count(sector) / count(*))",
            most=0.5,
            severity="warn",
        ),
        Expectation(
            "market_there",
            "Where the market's fund has bars at all, it has a return on almost every day",
            "IF(count(market_return) = 0, 0D, 1 - count(daily_return + market_return) / greatest(count(daily_return), 1))",
            most=0.05,
            severity="warn",
        ),
        rows_as_before(),
    ),
)

TABLES = (
    *(SECURITIES, CALENDAR, ADJUSTMENTS, HALTS, BARS_1D, BARS_1M, BARS_1H, TRADES, TRADE_SIZES, QUOTES, BOOK),
    *(
        SHORT_SALE_RESTRICTIONS,
        UNIVERSE,
        BASELINES,
        SESSION_VOLUMES,
        VOLUME_CURVES,
        SHORT_INTEREST,
        SHORT_VOLUME,
        FLOAT,
        FUNDAMENTALS,
        FILINGS,
        NEWS,
    ),
    *(MACRO, OWNERSHIP, SECTORS),
)
