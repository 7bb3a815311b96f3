"""A day's prints, quotes, bars and bands as rows: Arrow tables in the layout's columns, and lines of the vendor's files."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from smallcaps.sources.polygon.flatfiles import HEADERS
from smallcaps.sources.simulator.bars import Bars
from smallcaps.sources.simulator.layout import PRICE_UNIT, SIZE_UNIT, TAPE
from smallcaps.sources.simulator.plan import SECOND_NS, DayPlan
from smallcaps.sources.simulator.session import CONDITION_SETS, TAPE_OF_LISTING, Prints, Quotes, Session

NASDAQ = 12
HALTED, RESUMED = 17, 18
NATIONAL_BEST = 604
"""Indicator that the vendor's quotes carry since June 2026."""
LULD_PAUSE_QUOTE = 43
CANCELLED_ORIGINAL, CANCEL_RECORD = 8, 10
KIND_OF_FILE = {
    "day": "day_aggs_v1",
    "minute": "minute_aggs_v1",
    "trades": "trades_v1",
    "quotes": "quotes_v1",
    "book": "book_v1",
}


def bar_rows(symbol: str, bars: Bars) -> pa.Table:
    """Rows of TAPE['minute'] (the same columns as day and hour)."""
    columns = [bars.start_ns, bars.open, bars.high, bars.low, bars.close, bars.volume, bars.vwap, bars.trades]
    return pa.table([pa.array([symbol] * len(bars.start_ns), pa.string()), *columns], schema=TAPE["minute"])


def trade_rows(
    generator: np.random.Generator, plan: DayPlan, prints: Prints, cancelled: Sequence[int]
) -> tuple[pa.Table, list[str]]:
    """Rows of TAPE['trades'], and the ids that were cancelled: of the first print after each second of `cancelled`.

    A cancelled trade is there twice, as in the vendor's history: marked, and minutes later with the record of its cancelling.
    """
    number = len(prints.sip_ns)
    ids = np.empty(number, dtype=object)
    for venue in np.unique(prints.exchange):
        own = prints.exchange == venue
        ids[own] = (10_000 + np.cumsum(generator.integers(1, 9, int(own.sum())))).astype(str)
    columns = {
        "symbol": np.full(number, plan.symbol, dtype=object),
        "sip_ns": prints.sip_ns,
        "participant_ns": prints.participant_ns,
        "trf_ns": prints.trf_ns,
        "sequence_number": _sequence(generator, number),
        "id": ids,
        "exchange": prints.exchange,
        "trf_id": prints.trf_id,
        "tape": np.full(number, TAPE_OF_LISTING[plan.listing]),
        "price": prints.price,
        "size": prints.size,
        "conditions": prints.conditions,
        "correction": np.zeros(number, dtype=np.int32),
    }
    places = [
        int(np.searchsorted(prints.participant_ns, plan.hours.start_ns + second * SECOND_NS)) for second in cancelled
    ]
    places = [place for place in places if place < number]
    if places:
        columns["correction"][places] = CANCELLED_ORIGINAL
        again = {name: values[places] for name, values in columns.items()}
        again["correction"] = np.full(len(places), CANCEL_RECORD, dtype=np.int32)
        again["sip_ns"] = again["sip_ns"] + 400 * SECOND_NS
        columns = {name: np.concatenate([values, again[name]]) for name, values in columns.items()}
        order = np.lexsort((columns["sequence_number"], columns["sip_ns"]))
        columns = {name: values[order] for name, values in columns.items()}
    conditions = pa.array(CONDITION_SETS, pa.list_(pa.int32())).take(pa.array(columns.pop("conditions")))
    arrays = [conditions if name == "conditions" else pa.array(columns[name]) for name in TAPE["trades"].names]
    rows = pa.table(arrays, names=TAPE["trades"].names).cast(TAPE["trades"])
    return rows, [str(ids[place]) for place in places]


def quote_rows(generator: np.random.Generator, plan: DayPlan, quotes: Quotes) -> pa.Table:
    """Rows of TAPE['quotes']."""
    number = len(quotes.sip_ns)
    empty_or_paused = pa.array([[], [LULD_PAUSE_QUOTE]], pa.list_(pa.int32()))
    columns = {
        "symbol": pa.array([plan.symbol] * number, pa.string()),
        "sequence_number": _sequence(generator, number),
        "tape": np.full(number, TAPE_OF_LISTING[plan.listing]),
        "conditions": empty_or_paused.take(pa.array(quotes.halted.astype(np.int8))),
        "indicators": pa.array([[NATIONAL_BEST]] * number, pa.list_(pa.int32())),
    }
    arrays = [columns[name] if name in columns else pa.array(getattr(quotes, name)) for name in TAPE["quotes"].names]
    return pa.table(arrays, names=TAPE["quotes"].names).cast(TAPE["quotes"])


def band_rows(plan: DayPlan, session: Session) -> pa.Table:
    """Rows of TAPE['luld']: the bands, at most every 30 seconds and when they moved by 1 %; halts and resumptions of
    Nasdaq's listings.
    """
    rows: list[tuple[int, int, int, list[int]]] = []
    last = 0.0
    for second in range(plan.hours.open, plan.hours.close, 30):
        low, high = session.band_low[second], session.band_high[second]
        if not np.isnan(low) and abs(low / last - 1 if last else 1.0) >= 0.01:
            rows.append((second, _price(low), _price(high), []))
            last = float(low)
    if plan.listing == NASDAQ:
        for pause in session.pauses:
            before = max(pause.start - 1, 0)
            low, high = session.band_low[before], session.band_high[before]
            prices = (0, 0) if np.isnan(low) else (_price(low), _price(high))
            rows.append((pause.start, *prices, [HALTED]))
            if pause.end < plan.hours.close:
                rows.append((pause.end, *prices, [RESUMED]))
    rows.sort(key=lambda row: row[0])
    number = len(rows)
    return pa.table(
        [
            pa.array([plan.symbol] * number, pa.string()),
            pa.array([plan.hours.start_ns + row[0] * SECOND_NS + 10_000 for row in rows], pa.int64()),
            pa.array([1 + 7 * place for place in range(number)], pa.int64()),
            pa.array([row[2] for row in rows], pa.int64()),
            pa.array([row[1] for row in rows], pa.int64()),
            pa.array([TAPE_OF_LISTING[plan.listing]] * number, pa.int32()),
            pa.array([row[3] for row in rows], pa.list_(pa.int32())),
        ],
        schema=TAPE["luld"],
    )


def _price(dollars: float) -> int:
    return round(dollars * PRICE_UNIT / 100) * 100 if dollars >= 1 else round(dollars * PRICE_UNIT)


def _sequence(generator: np.random.Generator, number: int) -> NDArray[np.int64]:
    """Increasing, with gaps: the numbering is shared with everything else on the tape."""
    return np.cumsum(generator.integers(1, 40, number)).astype(np.int64)


def lines(kind: str, rows: pa.Table) -> list[str]:
    """The rows as lines of the file of their kind ('day', 'minute', 'trades', 'quotes', 'book'), without a header."""
    if not rows.num_rows:
        return []
    text = _bar_text if kind in ("day", "minute") else _tick_text
    columns = [text(name, rows) for name in HEADERS[KIND_OF_FILE[kind]]]
    joined = pc.binary_join_element_wise(*columns, ",")
    return [str(line) for line in joined.to_pylist()]


def header(kind: str) -> str:
    """The first line of the file of a kind."""
    return ",".join(HEADERS[KIND_OF_FILE[kind]])


def _bar_text(name: str, rows: pa.Table) -> pa.Array:
    if name in ("open", "close", "high", "low"):
        return _decimal(rows[name], PRICE_UNIT)
    if name == "volume":
        return _decimal(rows["volume"], SIZE_UNIT)
    ours = {"ticker": "symbol", "window_start": "start_ns", "transactions": "trades"}[name]
    return rows[ours].cast(pa.string())


def _tick_text(name: str, rows: pa.Table) -> pa.Array:
    if name in ("conditions", "indicators"):
        return _listed(rows[name])
    if name in ("bids", "asks"):
        return _levels(rows[name])
    if name in ("price", "bid_price", "ask_price"):
        return _decimal(rows[name], PRICE_UNIT)
    if name == "size":
        return _decimal(rows["size"], SIZE_UNIT)
    if name in ("bid_size", "ask_size"):
        return pc.divide(rows[name], SIZE_UNIT).cast(pa.string())
    if name == "trf_timestamp" and "trf_ns" not in rows.column_names:
        return pa.array(["0"] * rows.num_rows)
    ours = {
        "ticker": "symbol",
        "participant_timestamp": "participant_ns",
        "sip_timestamp": "sip_ns",
        "trf_timestamp": "trf_ns",
        "published_timestamp": "published_ns",
        "made_timestamp": "made_ns",
    }
    return rows[ours.get(name, name)].cast(pa.string())


def _decimal(values: pa.ChunkedArray | pa.Array, unit: int) -> pa.Array:
    """Whole units as a decimal number with six places."""
    places = len(str(unit)) - 1
    whole = pc.divide(values, unit)
    part = pc.utf8_lpad(pc.subtract(values, pc.multiply(whole, unit)).cast(pa.string()), places, "0")
    return pc.binary_join_element_wise(whole.cast(pa.string()), pc.utf8_rpad(part, 6, "0"), ".")


def _levels(values: pa.ChunkedArray) -> pa.Array:
    """Quoted JSON, a list of objects."""
    levels = values.combine_chunks()
    flat = levels.flatten()
    price, size = _decimal(flat.field("price"), PRICE_UNIT), pc.divide(flat.field("size"), SIZE_UNIT).cast(pa.string())
    texts = pc.binary_join_element_wise('{""price"":', price, ',""size"":', size, "}", "")
    listed = pa.ListArray.from_arrays(levels.offsets, texts)
    return pc.binary_join_element_wise('"[', pc.binary_join(listed, ","), ']"', "")


def _listed(values: pa.ChunkedArray) -> pa.Array:
    """Empty when none, bare when one, quoted when several."""
    plain = pc.binary_join(values.cast(pa.list_(pa.string())), ",")
    several = pc.greater(pc.list_value_length(values), 1)
    quoted = pc.binary_join_element_wise('"', plain, '"', "")
    return pc.if_else(several, quoted, plain)
