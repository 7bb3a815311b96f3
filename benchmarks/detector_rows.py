"""Simulated rows for the detectors by the million, in Parquet files.

Made by numpy, a day at a time: the market simulator plays trades and quotes and takes minutes for a day of this many names.
Minute bars lie as silver.bars_1m keeps them, one file a session date, sorted by symbol and time. A name trades in 390 to 960 of
the session's 960 minutes, mostly regular ones, so that thin names have gaps; three days in a hundred hold a halt, after which a
new segment begins. Volume follows a U over the day; bursts of it with a drift and calm stretches with long wicks let every
detector fire, and its near misses are many.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from smallcaps.calendar import sessions_between

MINUTES, OPEN, CLOSE = 960, 330, 720
FEWEST = 390
"""Bars of a name and day; at most MINUTES."""
MEAN = (FEWEST + MINUTES) // 2
NAMES = 400
WITH_BASELINE = 0.7
"""Share of names that have history; the others are judged by the segment so far."""
_MINUTE = np.arange(MINUTES)
_SHARES = np.where(
    (_MINUTE >= OPEN) & (_MINUTE < CLOSE),
    1 + 2 * np.abs((_MINUTE - 525) / 195.0) ** 3,
    np.where(_MINUTE < OPEN, 0.12, 0.1),
)
_SHARES = _SHARES / _SHARES.sum()
PARTS = np.array(["pre", "regular", "post"])


def write_market(folder: Path, rows: int, seed: int = 7) -> int:
    """Make about so many bars under `folder`/bars, with `baselines.parquet` and `curves.parquet` beside; returns how many."""
    days = max(1, round(rows / (NAMES * MEAN)))
    names = max(1, round(rows / (days * MEAN)))
    calendar = list(sessions_between(date(2024, 1, 2), date(2028, 12, 29))["session_date"])[:days]
    made, baselines = 0, []
    for number, day in enumerate(calendar):
        random = np.random.default_rng([seed, number])
        bars, usual = _day(random, day, names)
        into = folder / "bars" / f"session_date={day}"
        into.mkdir(parents=True)
        pq.write_table(bars, into / "part-0.parquet", compression="snappy", row_group_size=1 << 20)
        made += bars.num_rows
        baselines.append(usual)
    pq.write_table(pa.concat_tables(baselines), folder / "baselines.parquet")
    pq.write_table(pa.concat_tables([_curve(day) for day in calendar]), folder / "curves.parquet")
    return made


def _symbols(names: int) -> np.ndarray:
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    number = np.arange(names)
    return np.char.add(
        np.char.add(letters[number // 676 % 26], letters[number // 26 % 26]), np.char.add(letters[number % 26], "Q")
    )


def _runs(random: np.random.Generator, names: int, chance: float, shortest: int, longest: int) -> np.ndarray:
    """Where stretches of so many minutes lie that begin with this chance a minute: the number of the stretch, 0 outside."""
    begins = random.random((names, MINUTES)) < chance
    last = np.where(begins, _MINUTE, -MINUTES)
    last = np.maximum.accumulate(last, axis=1)
    length = np.take_along_axis(random.integers(shortest, longest + 1, (names, MINUTES)), np.maximum(last, 0), axis=1)
    return np.where(_MINUTE - last < length, last + 1, 0)


def _day(random: np.random.Generator, day: date, names: int) -> tuple[pa.Table, pa.Table]:
    shape = (names, MINUTES)
    # Which minutes trade: so many of them, regular ones first.
    weight = np.where((_MINUTE >= OPEN) & (_MINUTE < CLOSE), 6.0, 1.0)
    order = np.argsort(np.log(random.random(shape)) / weight, axis=1)[:, ::-1]
    place = np.empty(shape, dtype=np.int64)
    np.put_along_axis(place, order, np.broadcast_to(_MINUTE, shape), axis=1)
    traded = place < random.integers(FEWEST, MINUTES + 1, names)[:, None]
    # A halt: no bars, then the next segment.
    halted = random.random(names) < 0.03
    from_minute = random.integers(OPEN + 5, CLOSE - 60, names)
    resumed = np.where(halted, from_minute + random.integers(5, 31, names), MINUTES)
    traded &= ~(halted[:, None] & (from_minute[:, None] <= _MINUTE) & (resumed[:, None] > _MINUTE))

    burst = _runs(random, names, 1 / 250, 3, 12)
    calm = (_runs(random, names, 1 / 150, 30, 80) > 0) & (burst == 0)
    push = np.take_along_axis(random.normal(0, 0.006, shape), np.maximum(burst - 1, 0), axis=1) * (burst > 0)
    times = np.take_along_axis(random.lognormal(2.2, 0.7, shape), np.maximum(burst - 1, 0), axis=1)
    spread = random.lognormal(-6.3, 0.4, names)[:, None]
    noise = random.standard_t(4, shape) * spread * np.where(calm, 0.15, 1.0)
    start = random.uniform(0.7, 20, names)[:, None]
    path = start * np.exp(np.cumsum(push + noise * traded, axis=1))
    unit = np.where(path >= 1, 100.0, 10_000.0)
    close = np.maximum(np.rint(path * unit), 1) / unit
    before = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    opened = np.maximum(np.rint(before * unit) + random.integers(-1, 2, shape), 1) / unit
    wick = np.rint(random.exponential(np.where(calm, 3.0, 1.0), shape) * np.maximum(0.5 * path * spread * unit, 1))
    dip = np.rint(random.exponential(np.where(calm, 3.0, 1.0), shape) * np.maximum(0.5 * path * spread * unit, 1))
    high = np.rint(np.maximum(opened, close) * unit + wick) / unit
    low = np.maximum(np.rint(np.minimum(opened, close) * unit - dip), 1) / unit
    usual = random.lognormal(13.2, 0.9, names)
    drawn = usual[:, None] * _SHARES * random.lognormal(-0.3, 0.8, shape) * np.where(burst > 0, times, 1.0)
    volume = np.maximum(np.rint(drawn), 1).astype(np.int64)

    name, minute = np.nonzero(traded)
    part = (minute >= OPEN).astype(np.int8) + (minute >= CLOSE)
    after = minute >= resumed[name]
    segment = (part + after).astype(np.int32)
    begin = np.choose(part, [0, OPEN, CLOSE])
    begin = np.where(after, np.maximum(begin, resumed[name]), begin).astype(np.int32)
    symbols = _symbols(names)
    dictionary = pa.DictionaryArray.from_arrays(pa.array(name.astype(np.int32)), pa.array(symbols)).cast(pa.string())
    securities = pa.DictionaryArray.from_arrays(
        pa.array(name.astype(np.int32)), pa.array([f"FIGI:BBG00{number:07d}" for number in range(names)])
    ).cast(pa.string())
    four = np.datetime64(f"{day}T09:00", "us")
    bars = pa.table(
        {
            "security_id": securities,
            "symbol": dictionary,
            "ts": pa.array(four + minute * np.timedelta64(60_000_000, "us")).cast(pa.timestamp("us", "UTC")),
            "session": pa.DictionaryArray.from_arrays(pa.array(part), pa.array(PARTS)).cast(pa.string()),
            "segment": segment,
            "segment_start": begin,
            "minute": minute.astype(np.int32),
            "open": opened[name, minute],
            "high": high[name, minute],
            "low": low[name, minute],
            "close": close[name, minute],
            "volume": volume[name, minute],
            "is_auction": (minute == begin) & (part > 0),
        }
    )
    known = random.random(names) < WITH_BASELINE
    count = random.integers(10, 21, names).astype(np.int32)
    baselines = pa.table(
        {
            "security_id": [f"FIGI:BBG00{number:07d}" for number in np.flatnonzero(known)],
            "symbol": symbols[known],
            "session_date": pa.array([day] * int(known.sum()), pa.date32()),
            "bars": count[known],
            "counted_bars": count[known],
            "median_volume": np.rint(usual[known] * random.lognormal(0, 0.3, int(known.sum()))),
            "median_trades": np.rint(usual[known] / 150),
        }
    )
    return bars, baselines


def _curve(day: date) -> pa.Table:
    """The U that volumes were drawn from, as silver.volume_curves has it."""
    begin = np.select([_MINUTE < OPEN, _MINUTE < CLOSE], [0, OPEN], CLOSE)
    total = np.concatenate([[0.0], np.cumsum(_SHARES)])
    five = total[_MINUTE + 1] - total[np.maximum(_MINUTE - 4, 0)]
    return pa.table(
        {
            "session_date": pa.array([day] * MINUTES, pa.date32()),
            "minute": _MINUTE.astype(np.int32),
            "volume_share": np.round(_SHARES, 12),
            "volume_share_5m": pa.array(np.round(five, 12), mask=_MINUTE - begin < 4),
            "trades_share": np.round(_SHARES, 12),
        }
    )


def write_daily(folder: Path, rows: int, seed: int = 7) -> int:
    """Make about so many daily bars of 500 sessions under `folder`; returns how many."""
    random = np.random.default_rng(seed)
    calendar = sessions_between(date(2022, 1, 3), date(2024, 12, 31)).head(500)
    days, names = len(calendar), max(1, rows // 500)
    shape = (names, days)
    moves = random.standard_t(3, shape) * 0.025
    close = np.maximum(
        random.uniform(1, 20, names)[:, None] * np.exp(np.cumsum(moves - moves.mean(axis=1)[:, None], axis=1)), 0.1
    )
    before = np.concatenate([close[:, :1], close[:, :-1]], axis=1)
    opened = before * np.exp(random.standard_t(3, shape) * 0.012)
    reach = np.abs(random.standard_t(3, shape)) * 0.012
    high, low = np.maximum(opened, close) * (1 + reach), np.minimum(opened, close) * (1 - np.minimum(reach, 0.5))
    volume = random.lognormal(12.5, 1.2, names)[:, None] * random.lognormal(0, 0.9, shape)
    name, day = np.divmod(np.arange(names * days), days)
    instants = {
        at: pa.array(np.asarray(calendar[at].dt.tz_convert("UTC").dt.tz_localize(None), "datetime64[us]")[day]).cast(
            pa.timestamp("us", "UTC")
        )
        for at in ("open_at", "close_at")
    }
    table = pa.table(
        {
            "security_id": pa.array([f"FIGI:BBG00{number:07d}" for number in range(names)]).take(pa.array(name)),
            "symbol": pa.array([f"{number:05d}" for number in range(names)]).take(pa.array(name)),
            "session_date": pa.array(list(calendar["session_date"]), pa.date32()).take(pa.array(day)),
            "session_number": calendar["session_number"].to_numpy().astype(np.int32)[day],
            **instants,
            **{
                what: np.round(prices, 2).ravel()
                for what, prices in (("open", opened), ("high", high), ("low", low), ("close", close))
            },
            "volume": np.rint(volume).astype(np.int64).ravel(),
            "cumulative_factor": np.ones(names * days),
            "possible_missing_split": np.zeros(names * days, dtype=bool),
        }
    )
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-0.parquet", row_group_size=1 << 18)
    return table.num_rows


def write_trades(folder: Path, rows: int, seed: int = 7) -> int:
    """Make about so many trades of one session's names under `folder`, with bursts; returns how many."""
    random = np.random.default_rng(seed)
    day = date(2024, 1, 2)
    names = max(1, rows // 5_000)
    per_name = np.maximum(np.rint(random.lognormal(8.1, 0.9, names) * rows / (5_000 * names)), 100).astype(np.int64)
    name = np.repeat(np.arange(names), per_name)
    regular = OPEN * 60 + random.random(len(name)) ** 1.3 * (CLOSE - OPEN) * 60
    # A tenth of a name's trades come in a few bursts of a minute at most.
    bursts = OPEN * 60 + random.random((names, 3)) * (CLOSE - OPEN - 1) * 60
    inside = bursts[name, random.integers(0, 3, len(name))] + random.exponential(8, len(name)).clip(0, 59)
    seconds = np.where(random.random(len(name)) < 0.1, inside, regular)
    order = np.lexsort((seconds, name))
    name, seconds = name[order], seconds[order]
    nanoseconds = (seconds * 1e9).astype(np.int64)
    four = np.datetime64(f"{day}T09:00", "ns").astype(np.int64)
    price = np.round(random.uniform(1, 20, names)[name] * np.exp(random.normal(0, 0.01, len(name))), 2)
    shares = random.integers(1, 500, len(name))
    table = pa.table(
        {
            "security_id": pa.array([f"FIGI:BBG00{number:07d}" for number in range(names)]).take(pa.array(name)),
            "symbol": pa.array([f"{number:05d}" for number in range(names)]).take(pa.array(name)),
            "session_date": pa.array([day], pa.date32()).take(pa.array(np.zeros(len(name), dtype=np.int64))),
            "ts": pa.array((four + nanoseconds) // 1_000).cast(pa.timestamp("us", "UTC")),
            "sip_ns": four + nanoseconds,
            "sequence_number": np.arange(len(name)),
            "session": pa.array(["regular"]).take(pa.array(np.zeros(len(name), dtype=np.int64))),
            "segment": np.ones(len(name), dtype=np.int32),
            "segment_start": np.full(len(name), OPEN, dtype=np.int32),
            "second": seconds.astype(np.int32),
            "price": price,
            "size": pa.array(shares).cast(pa.decimal128(25, 6)).cast(pa.decimal128(20, 6)),
            "updates_volume": np.ones(len(name), dtype=bool),
            "is_whole_day": np.ones(len(name), dtype=bool),
        }
    )
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-0.parquet", row_group_size=1 << 18)
    return table.num_rows
