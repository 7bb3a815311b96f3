"""Gold: events and what is known about them."""

from typing import Literal

from smallcaps.lake.declaration import Column, Expectation, Table, every, mostly
from smallcaps.lake.silver import SECURITY_ID, SESSION_DATE, SYMBOL

_EVENT_ID = Column("event_id", "string", "Hash of security_id, detector, version, params_hash and ts", nullable=False)
_DETECTOR = Column("detector", "string", "Which detector fired", nullable=False)

EVENTS = Table(
    name="gold.events",
    comment="Every time a detector fired",
    owner="detectors",
    columns=(
        _EVENT_ID,
        SYMBOL,
        SECURITY_ID,
        SESSION_DATE,
        Column(
            "ts",
            "timestamp",
            "When it happened: the start of the bar or second, the session's open or close",
            "UTC",
            nullable=False,
        ),
        Column("known_at", "timestamp", "First moment anyone could have acted on it", "UTC", nullable=False),
        Column("grain", "string", "daily, minute or trade", nullable=False, values=("daily", "minute", "trade")),
        _DETECTOR,
        Column("detector_version", "int", "Version of its definition", nullable=False),
        Column("params_hash", "string", "Digest of its parameters", nullable=False),
        Column("direction", "int", "Sign of the move: +1 up, −1 down, 0 flat", nullable=False),
        Column("strength", "double", "Measured value / threshold", nullable=False),
        Column("price", "double", "Price at the event, as traded", "$", nullable=False),
        Column("volume", "bigint", "Shares: of the day, of 5 minutes, of 10 seconds; null for gaps", "shares"),
        Column("dollar_volume", "double", "Dollars traded over the same window; for gaps the trailing median day", "$"),
        Column("pct_change", "double", "Change over the detector's window, splits taken out", "share"),
        Column("gap_pct", "double", "Open against the previous close, splits taken out", "share"),
        Column("atr", "double", "ATR14 of the day before (daily), 1-minute ATR (minute)", "$"),
        Column("vwap_distance", "double", "Price / session VWAP − 1", "share"),
        Column("relative_volume", "double", "Volume (or trades) against what was expected", "ratio"),
        Column("rvol_n", "int", "Bars behind the expectation"),
        Column(
            "baseline",
            "string",
            "What expectation: history (previous sessions) or session (this one so far)",
            values=("history", "session"),
        ),
        Column("minutes_since_open", "double", "Since the session's (pre, regular, post) start", "min"),
        Column("possible_missing_split", "boolean", "The day before the move may hide a split that is not on file"),
    ),
    key=("event_id",),
    sort_by=("session_date", "symbol"),
    constraints={
        "fires_at_threshold": "strength >= 1",
        "signed": "direction IN (-1, 0, 1)",
        "known_after": "known_at >= ts",
    },
    expectations=(
        every("finite_strength", "Strength is a number", "strength < double('infinity')"),
        mostly("not_extreme", "Few events are over 100 times their threshold", "strength <= 100", most=0.01),
        mostly(
            "no_missing_split",
            "Few events may come of a split that is not on file",
            "NOT coalesce(possible_missing_split, false)",
            most=0.1,
        ),
    ),
)
_LIVE = (
    Column("number", "bigint", "Minute of its bar, or its second, since 04:00 New York", nullable=False),
    Column(
        "is_known_symbol",
        "boolean",
        "The vendor listed the symbol before the day; one that it did not may be anything",
        nullable=False,
    ),
    Column(
        "event_ns",
        "bigint",
        "When the last of what it rests on happened; of a bar its end",
        "ns since 1970 UTC",
        nullable=False,
    ),
    Column("received_at", "timestamp", "When the last of that came to us", "UTC", nullable=False),
    Column("produced_at", "timestamp", "When that was put into its topic", "UTC", nullable=False),
    Column("sent_at", "timestamp", "When the alert was given to the topic of alerts", "UTC", nullable=False),
    Column("revision", "int", "0 for the event's first alert, one more for each that followed", nullable=False),
)
LIVE_EVENTS = Table(
    name="gold.live_events",
    comment="Events of the live tape that stand: what gold.events has of history, and how they came to be known",
    owner="streaming",
    columns=(*EVENTS.columns, *_LIVE),
    key=("event_id",),
    partition_by=("session_date",),
    constraints=EVENTS.constraints,
    is_kept=True,
)
EVENT_REVISIONS = Table(
    name="gold.event_revisions",
    comment="Every alert of the live tape: events as they were first known, corrected, and taken back",
    owner="streaming",
    columns=(
        Column(
            "kind",
            "string",
            "new: not known before, or taken back; corrected: it stands otherwise than was told; retracted: it no longer stands",
            nullable=False,
            values=("new", "corrected", "retracted"),
        ),
        *EVENTS.columns,
        *_LIVE,
    ),
    key=("event_id", "revision"),
    partition_by=("session_date",),
    constraints=EVENTS.constraints,
    is_kept=True,
)
_EXPECTED = "Probability that the model gave: null where kind is retracted, or its inputs were not at hand"
SIGNALS = Table(
    name="gold.signals",
    comment="Alerts of the live tape as a registered model scored them: what it expected of each, and why. Of an event the row "
    "with the highest revision holds",
    owner="streaming",
    columns=(
        _EVENT_ID,
        Column("revision", "int", "Of the alert that was scored", nullable=False),
        Column(
            "kind",
            "string",
            "What the alert said: new, corrected, or retracted, and with it what was expected",
            nullable=False,
            values=("new", "corrected", "retracted"),
        ),
        SYMBOL,
        SESSION_DATE,
        _DETECTOR,
        *(column for column in EVENTS.columns if column.name in ("direction", "price", "known_at")),
        Column("model", "string", "problem@version of the registered model", nullable=False),
        Column("continuation", "double", f"{_EXPECTED}. That it goes on by a barrier's width first"),
        Column("reversal", "double", f"{_EXPECTED}. That it turns by as much first"),
        Column("exhaustion", "double", f"{_EXPECTED}. That half of the move is given back"),
        Column(
            "threshold",
            "double",
            "The continuation that the best share of events (settings: signals.best_share) had in the model's test folds",
            nullable=False,
        ),
        Column("is_signal", "boolean", "Its continuation reaches the threshold", nullable=False),
        Column(
            "reasons",
            "array<struct<input:string,value:double,adds:double>>",
            "The inputs that moved the log odds of continuation most, each with its value and what it added (SHAP), the largest "
            "first",
        ),
        Column("event_ns", "bigint", "As the alert has it", "ns since 1970 UTC", nullable=False),
        Column("received_at", "timestamp", "As the alert has it", "UTC", nullable=False),
        Column("alerted_at", "timestamp", "When the alert was given to its topic", "UTC", nullable=False),
        Column("sent_at", "timestamp", "When this was given to the topic of signals", "UTC", nullable=False),
    ),
    key=("event_id", "revision"),
    partition_by=("session_date",),
    constraints={"a_signal_is_expected": "NOT is_signal OR continuation >= threshold"},
    is_kept=True,
)
_PLACE = "Among n earlier events of the detector: (those at most as large + ½) / (n + 1)"

CORE_MANIFEST = Table(
    name="gold.core_manifest",
    comment="The top events by a score that uses the past only, with the reasons",
    owner="detectors",
    columns=(
        Column("rank", "int", "1 is the highest score", nullable=False),
        _EVENT_ID,
        SYMBOL,
        SESSION_DATE,
        Column("ts", "timestamp", "When it happened", "UTC", nullable=False),
        _DETECTOR,
        Column("score", "double", "Weighted mean of the percentiles that are known", nullable=False),
        Column("strength_percentile", "double", _PLACE, nullable=False),
        Column("dollar_volume_percentile", "double", _PLACE),
        Column("relative_volume_percentile", "double", _PLACE),
        Column("earlier_events", "bigint", "How many earlier events the percentiles rest on", nullable=False),
    ),
    key=("event_id",),
    sort_by=("rank",),
    expectations=(
        Expectation(
            "ranked", "Ranks run from 1 without a gap", "count_if(rank < 1) + coalesce(max(rank), 0) - count(*)", 0, 0
        ),
        every(
            "percentiles",
            "Score and percentiles lie between 0 and 1",
            "greatest(score, strength_percentile, dollar_volume_percentile, relative_volume_percentile) <= 1 "
            "AND least(score, strength_percentile, dollar_volume_percentile, relative_volume_percentile) >= 0",
        ),
    ),
)

_BEFORE_AFTER = (
    ("quoted_spread", "Time-weighted quoted spread", "share of mid"),
    ("effective_spread", "2·sign·(price − mid)/mid, weighted by dollars", "share of mid"),
    ("depth", "Time-weighted shares at bid and offer", "shares"),
    ("depth_imbalance", "Time-weighted (bid size − ask size)/(bid size + ask size)", "share"),
    ("trade_imbalance", "(bought − sold)/(bought + sold) shares", "share"),
    ("order_flow_imbalance", "Signed change of size at the best quotes (Cont, Kukanov and Stoikov 2014)", "shares"),
    ("trades_per_second", "Trades / length of the window", "1/s"),
    ("peak_trades_1s", "Most trades in any clock second", "trades"),
    ("peak_trades_10s", "Most trades in any ten seconds of the clock", "trades"),
    ("inter_arrival_median", "Median time between two trades", "s"),
    ("inter_arrival_cv", "Standard deviation / mean of the time between two trades", "ratio"),
    ("quote_age", "Mean age of the quote that stood at a trade", "s"),
    ("volume", "Shares traded", "shares"),
    ("late_volume", "Shares of late reports published in it, which are not in any other value", "shares"),
    ("dollar_volume", "Dollars traded", "$"),
    (
        "large_print_share",
        "Share of volume in trades ≥ max($20k, the name's own 99th percentile over the 20 sessions before)",
        "share",
    ),
    ("block_share", "Share of volume in blocks", "share"),
    ("sweep_share", "Share of volume in intermarket sweeps", "share"),
    ("off_exchange_share", "Share of volume reported off exchange", "share"),
    ("odd_lot_share", "Share of volume in odd lots", "share"),
    ("sub_penny_share", "Share of volume at fractions of the tick (1 cent; below $1 a hundredth of one)", "share"),
    ("signed_share", "Share of volume whose side could be told", "share"),
    (
        "kyle_lambda",
        "Slope of 10-second log returns on sign·√|bought − sold $| of at least 20 intervals (Kyle 1985, Hasbrouck 2009)",
        "1/√$",
    ),
    ("amihud", "Mean |log return| / $ of 10-second intervals with a trade (Amihud 2002)", "1/$1M"),
    ("halts", "Halts that began, as far as silver.halts knows", "halts"),
)
_SIDES: dict[str, Literal["pre", "post"]] = {"before": "pre", "after": "post"}
HORIZONS = (1, 15, 60, 300)
"""Seconds after a trade at which realised spread and price impact are taken."""
STABILITY_MS = (1, 5, 25, 1_000)
"""Milliseconds by which the quotes are older whose signs are compared with the signs in use."""
MEASURED_TWICE = tuple(name for name, _, _ in _BEFORE_AFTER)
"""Values of gold.event_features on either side of the event: `…_before`, `…_after`, and `…_change`."""
EVENT_FEATURES = Table(
    name="gold.event_features",
    comment="Trades and quotes before (known at the event) and after it; one row an intraday event",
    owner="microstructure",
    columns=(
        _EVENT_ID,
        SYMBOL,
        SESSION_DATE,
        Column(
            "known_at", "timestamp", "Divides before from after: when the event could be known", "UTC", nullable=False
        ),
        *(
            Column(f"{name}_{side}", "double", comment, unit, timing=timing)
            for name, comment, unit in _BEFORE_AFTER
            for side, timing in _SIDES.items()
        ),
        *(
            Column(f"{name}_change", "double", f"{comment}: after less before", unit, timing="post")
            for name, comment, unit in _BEFORE_AFTER
        ),
        *(
            Column(
                f"{name}_{seconds}s",
                "double",
                f"{comment}, {seconds} s later, trades before the event whose {seconds} s ended by it",
                "share of mid",
                timing="pre",
            )
            for name, comment in (
                ("realised_spread", "2·sign·(price − later mid)/mid"),
                ("price_impact", "2·sign·(later mid − mid)/mid"),
            )
            for seconds in HORIZONS
        ),
        Column(
            "vpin",
            "double",
            "Mean |bought − sold| / bucket of the day's last 50 full buckets before the event, each 1/50 of the median volume of "
            "20 sessions, by the tick rule; null where there are fewer. Contested (Andersen and Bondarenko 2014)",
            "share",
            timing="pre",
        ),
        *(
            Column(name, "bigint", comment, unit, nullable=False, timing="post")
            for name, comment, unit in (
                ("trades_used", "Trades in the window, before and after", "trades"),
                ("quotes_used", "Valid quotes in the window", "quotes"),
                ("quotes_dropped", "Crossed, locked, one-sided or too wide", "quotes"),
            )
        ),
        Column("stale_share", "double", "Share of trades whose quote was older than a minute", "share", timing="post"),
        *(
            Column(
                f"sign_agreement_{ms}ms",
                "double",
                f"Share of volume signed alike by quotes {ms} ms older",
                "share",
                timing="post",
            )
            for ms in STABILITY_MS
        ),
    ),
    key=("event_id",),
    sort_by=("session_date", "symbol"),
    expectations=(
        every(
            "shares_in_range",
            "Imbalances lie between −1 and 1, shares of the volume between 0 and 1",
            " AND ".join(
                f"coalesce({name}_{side} BETWEEN {least} AND 1.000001, true)"
                for names, least in (
                    (("depth_imbalance", "trade_imbalance"), "-1.000001"),
                    (
                        (
                            "large_print_share",
                            "block_share",
                            "sweep_share",
                            "off_exchange_share",
                            "odd_lot_share",
                            "sub_penny_share",
                        ),
                        "0",
                    ),
                )
                for name in names
                for side in ("before", "after")
            ),
        ),
        mostly("quoted", "Few events have no valid quote", "quotes_used > 0", most=0.05),
        mostly("fresh_quotes", "Quotes behind most trades are fresh", "coalesce(stale_share, 0) <= 0.5", most=0.5),
    ),
)
EVENT_SEQUENCES = Table(
    name="gold.event_sequences",
    comment="Second by second around an intraday event: trades of the second and the quote at its end. What is published after "
    "the event counts then, so rows of seconds below 0 are known at the event, the others only later",
    owner="microstructure",
    columns=(
        _EVENT_ID,
        SYMBOL,
        SESSION_DATE,
        Column("second", "int", "Begins so long after the event could be known", "s", nullable=False),
        Column("trades", "bigint", "Trades", "trades", nullable=False),
        Column("volume", "double", "Shares traded", "shares", nullable=False),
        Column("dollar_volume", "double", "Dollars traded", "$", nullable=False),
        Column("bought", "double", "Shares that a buyer took", "shares", nullable=False),
        Column("sold", "double", "Shares that a seller hit", "shares", nullable=False),
        Column("high", "double", "Highest price of the second; null without a trade", "$"),
        Column("low", "double", "Lowest price of the second; null without a trade", "$"),
        Column("last_price", "double", "Last price so far in the window", "$"),
        Column("quotes", "bigint", "Sound quotes made", "quotes", nullable=False),
        Column("bid_price", "double", "Bid of the last sound quote so far", "$"),
        Column("bid_size", "double", "Its size", "shares"),
        Column("ask_price", "double", "Offer of the last sound quote so far", "$"),
        Column("ask_size", "double", "Its size", "shares"),
    ),
    key=("event_id", "second"),
    sort_by=("session_date", "symbol", "event_id", "second"),
    expectations=(
        every("sides", "What was bought and sold is part of the volume", "bought + sold <= volume * 1.000001"),
        every(
            "prices_where_traded",
            "A second has prices where it has trades",
            "(trades > 0) = (high IS NOT NULL) AND (trades > 0) = (low IS NOT NULL)",
        ),
        mostly("quoted", "Most seconds have a sound quote", "bid_price IS NOT NULL", most=0.25),
    ),
)
EVENT_LABELS = Table(
    name="gold.event_labels",
    comment="What happened after each event: triple barrier from the first tradable price, by width and horizon",
    owner="labels",
    columns=(
        _EVENT_ID,
        SYMBOL,
        SESSION_DATE,
        Column(
            "barrier_width",
            "double",
            "Distance of both barriers from the entry: of daily events in ATR14, within a session times √(minutes / 390); of "
            "others in 1-minute ATR times √(minutes), a later session counting 390",
            "ATR",
            nullable=False,
        ),
        Column(
            "horizon",
            "string",
            "30m: minutes after the event was known, at most to the close (of events after it 20:00 New York); close: the "
            "event session's; 3d, 5d: the close of so many sessions later. The first two where the session has bars or quotes",
            nullable=False,
        ),
        Column("entry_at", "timestamp", "When it was entered: of a bar its start; null if there was none", "UTC"),
        Column(
            "entry_price",
            "double",
            "The quote's far side; without quotes the bar's open plus the modelled half-spread; in the entry day's shares",
            "$",
        ),
        Column("continuation_price", "double", "Barrier in the event's direction, in the entry day's shares", "$"),
        Column("reversal_price", "double", "Barrier against it, in the entry day's shares", "$"),
        Column(
            "outcome",
            "string",
            "continuation, reversal, none, unresolved (both barriers in one bar, or the spread at entry is as "
            "wide as the barrier), censored (no entry, or the data ends)",
            nullable=False,
            values=("continuation", "reversal", "none", "unresolved", "censored"),
        ),
        Column("weight", "double", "0 where unresolved or censored, else 1", nullable=False),
        Column("exit_at", "timestamp", "End of the bar, or the quote, that reached a barrier, or the horizon", "UTC"),
        Column("sessions_to_exit", "int", "Sessions from the event to the barrier, or the horizon", "sessions"),
        Column("return", "double", "Return in the event's direction, entry to barrier fill or last price", "share"),
        Column("favourable_excursion", "double", "Best move in the event's direction until exit", "share"),
        Column("adverse_excursion", "double", "Worst move against it until exit", "share"),
        Column(
            "gave_back",
            "boolean",
            "Beyond the extreme before the event (of its session; of a daily one's own bar), half of the move from the event "
            "price given back within the horizon",
        ),
        Column("delisted", "boolean", "The name disappeared within the horizon: the terminal return was applied"),
        Column(
            "halted",
            "boolean",
            "A halt began, or went on, between the event and the exit, as far as silver.halts knows",
        ),
        Column(
            "known_at",
            "timestamp",
            "When all of it was certain: the end of the horizon; where nothing traded in its last session and no barrier was "
            "reached, that of the session in which the name was back, or could not be any more",
            "UTC",
        ),
    ),
    key=("event_id", "barrier_width", "horizon"),
    sort_by=("session_date", "symbol"),
    constraints={
        "weighted": "(outcome IN ('unresolved', 'censored')) = (weight = 0)",
    },
    expectations=(
        every(
            "entered",
            "What has a weight has an entry and a return",
            "weight = 0 OR (entry_price > 0 AND `return` IS NOT NULL)",
        ),
        every("exits_later", "An exit comes after the entry", "coalesce(exit_at >= entry_at, true)"),
        every("exits_in_time", "An exit lies within the horizon", "coalesce(exit_at <= known_at, true)"),
        mostly("resolved", "Most labels have an outcome", "weight > 0", most=0.5),
        mostly("listed", "Few names disappear", "NOT coalesce(delisted, false)", most=0.1),
    ),
)
DATASETS = Table(
    name="gold.datasets",
    comment="Frozen training sets: what each is made of, by which code, and what its rows hash to",
    owner="models",
    columns=(
        Column("dataset", "string", "Its name", nullable=False),
        Column("definition", "string", "JSON: grains, label, folds", nullable=False),
        Column("first_day", "date", "Events from", nullable=False),
        Column("last_day", "date", "Events to", nullable=False),
        Column("input_names", "array<string>", "What dataset_rows.inputs holds, in order", nullable=False),
        Column("sequence_names", "array<string>", "What dataset_rows.sequence holds, in order; empty: no sequences"),
        Column(
            "folds",
            "array<struct<number:int,train_before:int,test_first:int,test_last:int>>",
            "Walk-forward: train where label_session < train_before, test on the sessions from test_first to test_last",
            nullable=False,
        ),
        Column(
            "input_versions",
            "map<string,bigint>",
            "Delta version of every table it is made of; −1: absent",
            nullable=False,
        ),
        Column("rows", "bigint", "Events", "rows", nullable=False),
        Column("content_hash", "string", "SHA-256 of its rows, whatever their order", nullable=False),
        Column("code_version", "string", "Code that built it", nullable=False),
        Column("settings_hash", "string", "Settings that it was built with", nullable=False),
    ),
    key=("dataset",),
    is_kept=True,
)
DATASET_ROWS = Table(
    name="gold.dataset_rows",
    comment="The events of the frozen training sets: what was known of each, what came of it",
    owner="models",
    columns=(
        Column("dataset", "string", "Which one", nullable=False),
        _EVENT_ID,
        SYMBOL,
        SESSION_DATE,
        _DETECTOR,
        Column("known_at", "timestamp", "When the event was known; no input was known later", "UTC", nullable=False),
        Column("session_number", "int", "Of session_date", nullable=False),
        Column("label_session", "int", "The session in which the label was certain", nullable=False),
        Column(
            "outcome",
            "string",
            "continuation, reversal or none",
            nullable=False,
            values=("continuation", "reversal", "none"),
        ),
        Column("return", "double", "Return in the event's direction, entry to exit", "share", nullable=False),
        Column("gave_back", "boolean", "Exhaustion: a new extreme, then half of the move given back"),
        Column("halted", "boolean", "A halt between the event and the exit"),
        Column(
            "uniqueness",
            "double",
            "Mean of 1 / (labels of the name that live at the same time) over the label's life, among the rows of the dataset",
            nullable=False,
        ),
        Column("is_core", "boolean", "In gold.core_manifest", nullable=False),
        Column("fold", "int", "In which it is tested; null: it is only trained on"),
        Column("inputs", "array<double>", "Values of datasets.input_names; null where not known", nullable=False),
        Column(
            "sequence",
            "array<float>",
            "Values of datasets.sequence_names, step by step before the event; null where there is no tape",
        ),
    ),
    key=("dataset", "event_id"),
    partition_by=("dataset",),
    sort_by=("session_date", "symbol", "event_id"),
    constraints={
        "labelled_later": "label_session >= session_number",
        "shared_at_most": "uniqueness > 0 AND uniqueness <= 1.000001",
    },
    is_kept=True,
)
PREDICTIONS = Table(
    name="gold.predictions",
    comment="Probabilities of what comes of events: out of sample of the walk-forward folds, and of events scored since",
    owner="models",
    columns=(
        _EVENT_ID,
        SYMBOL,
        SESSION_DATE,
        _DETECTOR,
        Column(
            "model",
            "string",
            "problem.algorithm of walk-forward models; problem@version of a registered model that scored events since",
            nullable=False,
        ),
        Column(
            "target",
            "string",
            "What is foretold: continuation, reversal, exhaustion (half of the move given back)",
            nullable=False,
            values=("continuation", "reversal", "exhaustion"),
        ),
        Column("fold", "int", "Walk-forward fold that scored it; null: scored by a registered model"),
        Column("probability", "double", "That it comes", nullable=False),
        Column("happened", "int", "1 if it came, 0 if not; null: scored by a registered model"),
        Column("base_rate", "double", "Share of it in the fold's training events; null as before"),
        Column("is_core", "boolean", "In gold.core_manifest when the dataset was frozen; null as before"),
        Column("tracking_run", "string", "MLflow run that the model is of", nullable=False),
    ),
    key=("model", "target", "event_id"),
    sort_by=("session_date", "symbol"),
    constraints={"of_a_fold": "(fold IS NULL) = (happened IS NULL) AND (fold IS NULL) = (base_rate IS NULL)"},
    expectations=(
        every(
            "probabilities",
            "Probability and base rate lie between 0 and 1, and it came or not",
            "probability BETWEEN 0 AND 1 AND coalesce(base_rate BETWEEN 0 AND 1 AND happened IN (0, 1), true)",
        ),
        Expectation(
            "calibrated",
            "Mean probability less share that came",
            "coalesce(avg(if(fold IS NULL, NULL, probability)) - avg(happened), 0)",
            -0.1,
            0.1,
            "warn",
        ),
    ),
)
PATTERNS = Table(
    name="gold.patterns",
    comment="What a sequence model makes of what happened before an event, as a point: events alike are near each other. Points "
    "of different models have nothing to do with each other",
    owner="models",
    columns=(
        _EVENT_ID,
        SYMBOL,
        SESSION_DATE,
        _DETECTOR,
        Column("model", "string", "problem@version of the registered model", nullable=False),
        Column("point", "array<float>", "Latent representation; of what was known at the event alone", nullable=False),
    ),
    key=("model", "event_id"),
    sort_by=("session_date", "symbol"),
    expectations=(
        every("finite", "Points are numbers", "forall(point, x -> x IS NOT NULL AND NOT isnan(x) AND abs(x) < 1e9)"),
    ),
)
MANIPULATION_ALERTS = Table(
    name="gold.manipulation_alerts",
    comment="Minutes from which on a name looks as if it were pumped or its quotes spoofed, to a model that has learnt it from a "
    "simulated market",
    owner="models",
    columns=(
        SYMBOL,
        SECURITY_ID,
        SESSION_DATE,
        Column("ts", "timestamp", "Start of the minute", "UTC", nullable=False),
        Column("known_at", "timestamp", "First moment anyone could have acted on it", "UTC", nullable=False),
        Column("kind", "string", "pump_and_dump or spoof", nullable=False, values=("pump_and_dump", "spoof")),
        Column(
            "probability",
            "double",
            "That it is under way, were it as frequent as where the model learnt",
            nullable=False,
        ),
        Column("model", "string", "manipulation@version of the registered model", nullable=False),
        Column("tracking_run", "string", "MLflow run that the model is of", nullable=False),
    ),
    key=("security_id", "kind", "ts"),
    sort_by=("session_date", "symbol"),
    expectations=(every("probabilities", "Probabilities lie between 0 and 1", "probability BETWEEN 0 AND 1"),),
)

REVIEWS = Table(
    name="gold.reviews",
    comment="What people said of charts that end at the decision time: the last verdict of each reviewer on each item",
    owner="serving",
    columns=(
        Column("sample_id", "string", "The sample that was drawn for review", nullable=False),
        Column("item_id", "string", "The item of it; tells nothing of what it is", nullable=False),
        Column("reviewer", "string", "Who judged", nullable=False),
        Column("detector", "string", "Whose pattern was asked for", nullable=False),
        Column(
            "kind",
            "string",
            "event, or the kind of decoy: near_miss (fires with loosened parameters alone), random (any other moment)",
            nullable=False,
            values=("event", "near_miss", "random"),
        ),
        Column("event_id", "string", "The event in gold.events; null for decoys"),
        SYMBOL,
        SECURITY_ID,
        SESSION_DATE,
        Column("ts", "timestamp", "When it happened, or would have", "UTC", nullable=False),
        Column("known_at", "timestamp", "Where the charts end", "UTC", nullable=False),
        Column("verdict", "string", "yes, no or unsure", nullable=False, values=("yes", "no", "unsure")),
        Column("reviewed_at", "timestamp", "When it was said", "UTC", nullable=False),
        Column(
            "events_version", "bigint", "Delta version of gold.events that the sample was drawn from", nullable=False
        ),
    ),
    key=("sample_id", "item_id", "reviewer"),
    sort_by=("sample_id", "item_id"),
    constraints={
        "events_named": "(kind = 'event') = (event_id IS NOT NULL)",
        "known_after": "known_at >= ts",
    },
    is_kept=True,
    expectations=(
        Expectation(
            "decoys", "At least a fifth of what was judged are decoys", "avg(if(kind = 'event', 0, 1))", 0.2, 1, "warn"
        ),
        mostly("sure", "Few verdicts are unsure", "verdict <> 'unsure'", most=0.2),
    ),
)

TABLES = (
    EVENTS,
    LIVE_EVENTS,
    EVENT_REVISIONS,
    SIGNALS,
    CORE_MANIFEST,
    EVENT_FEATURES,
    EVENT_SEQUENCES,
    EVENT_LABELS,
    DATASETS,
    DATASET_ROWS,
    PREDICTIONS,
    PATTERNS,
    MANIPULATION_ALERTS,
    REVIEWS,
)
