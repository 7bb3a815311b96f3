"""Oracle of the microstructure room, written from DOMAIN.md and the data dictionary: pandas and loops, no Spark.

Trades are signed against valid quotes strictly earlier in venue time that were published by then. A published quote holds until
the next one of the name and day; the last one stands for as long as anybody asks.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

SECOND = 1_000_000_000
HORIZONS = (1, 15, 60, 300)
STABILITY_MS = (1, 5, 25, 1_000)
KEY = ["symbol", "session_date"]
ENDLESS = 2**62


def asof_quotes(trades: pd.DataFrame, quotes: pd.DataFrame, offset_ns: int) -> pd.DataFrame:
    """bid, ask, quote_ns of the last quote made strictly before each trade's time + offset, in the order of `trades`; of those
    that were published by then, which is when the trade was, of a later offset before that + offset.
    """
    books = {
        key: book[["bid_price", "ask_price", "participant_ns", "sip_ns"]].to_numpy(dtype="object")
        for key, book in quotes.sort_values(["participant_ns", "sequence_number"], kind="stable").groupby(KEY)
    }
    times = {key: book[:, 2:].astype("int64") for key, book in books.items()}
    found = []
    for trade in trades[[*KEY, "participant_ns", "sip_ns"]].itertuples(index=False):
        key = (trade.symbol, trade.session_date)
        if key not in books:
            found.append((None, None, None))
            continue
        made, published = times[key].T
        seen = made < trade.participant_ns + offset_ns
        seen &= published < trade.sip_ns + offset_ns if offset_ns > 0 else published <= trade.sip_ns
        places = np.flatnonzero(seen)
        found.append(tuple(books[key][places[-1], :3]) if len(places) else (None, None, None))
    return pd.DataFrame(found, trades.index, ["bid", "ask", "quote_ns"], dtype="object")


def ticks(trades: pd.DataFrame) -> pd.Series:
    """Sign of the last change of price on the published tape up to each trade of its name and day; NaN before the first."""
    ordered = trades.sort_values(["sip_ns", "sequence_number"], kind="stable")
    step = np.sign(ordered.groupby(KEY)["price"].diff()).replace(0, np.nan)
    return step.groupby([ordered[key] for key in KEY]).ffill().reindex(trades.index)


def signs(price: pd.Series, bid: pd.Series, ask: pd.Series, tick: pd.Series) -> pd.Series:
    """Lee and Ready: +1 above the mid, −1 below, at it or without a quote the tick's sign."""
    # In whole 1/1,000,000 $, so that a trade at the mid is at the mid.
    at, low, high = (np.rint(values.astype(float) * 1e6) for values in (price, bid, ask))
    twice, sum_of_sides = 2 * at, low + high
    return pd.Series(
        np.select([twice > sum_of_sides, twice < sum_of_sides], [1.0, -1.0], default=tick.astype(float)),
        index=price.index,
    )


def are_sound(quotes: pd.DataFrame, micro: Any) -> pd.Series:
    """Which quotes have two sides, neither crossed nor locked, not too wide."""
    bid, ask = quotes["bid_price"], quotes["ask_price"]
    wide = (ask - bid) > micro.maximum_relative_spread * (ask + bid) / 2
    return quotes["is_two_sided"] & ~quotes["is_crossed"] & ~quotes["is_locked"] & ~wide


def ratio(value: float, by: float) -> float | None:
    return value / by if by else None


def features(
    event: dict,
    trades: pd.DataFrame,
    quotes: pd.DataFrame,
    micro: Any,
    usual: float | None = None,
    halts: tuple[int, ...] = (),
    own_large: float = 0,
) -> dict[str, float | None] | None:
    """The measured columns of gold.event_features for one event of one name and day; None without trades.

    `usual`: the median volume of the sessions before; `halts`: when each began, in ns; `own_large`: how large a large print is by
    the sessions before, in $.
    """
    known = pd.Timestamp(event["known_at"]).value
    start, end = known - micro.seconds_before * SECOND, known + micro.seconds_after * SECOND
    counted = trades[trades["updates_volume"]]
    tape, late = (
        counted[~counted["is_late"].astype(bool)].reset_index(drop=True),
        counted[counted["is_late"].astype(bool)],
    )
    tape = tape.assign(shares=tape["size"].astype(float))
    tape["notional"] = tape["price"] * tape["shares"]
    book = quotes.assign(valid=are_sound(quotes, micro)).sort_values(["sip_ns", "sequence_number"], ignore_index=True)
    sound = book[book["valid"]]
    now = asof_quotes(tape, sound, 0)
    tick = ticks(tape)
    tape = tape.assign(mid=(now["bid"] + now["ask"]) / 2, quote_ns=now["quote_ns"])
    tape["sign"] = signs(tape["price"], now["bid"], now["ask"], tick)
    for ms in STABILITY_MS:
        older = asof_quotes(tape, sound, -ms * 1_000_000)
        tape[f"older_sign_{ms}"] = signs(tape["price"], older["bid"], older["ask"], tick)
    for horizon in HORIZONS:
        later = asof_quotes(tape, sound, horizon * SECOND)
        tape[f"later_{horizon}"] = (later["bid"] + later["ask"]) / 2
    limit = max(micro.large_print_dollars, own_large)
    inside = tape[(tape["participant_ns"] >= start) & (tape["participant_ns"] < end)]
    if inside.empty:
        return None
    row: dict[str, float | None] = {"trades_used": len(inside)}
    both_at = inside[["participant_ns", "sip_ns"]].max(axis=1)
    before = both_at < known
    for side, rows, seconds in (
        ("before", inside[before], micro.seconds_before),
        ("after", inside[~before], micro.seconds_after),
    ):
        row |= _of_trades(rows, side, seconds, limit, micro) | _of_intervals(rows, side, start)
    for horizon in HORIZONS:
        rows = inside[both_at + horizon * SECOND <= known]
        rows = rows.dropna(subset=["sign", "mid", f"later_{horizon}"])
        signed, later = 2 * rows["sign"] * rows["notional"], rows[f"later_{horizon}"]
        row[f"realised_spread_{horizon}s"] = ratio(
            (signed * (rows["price"] - later) / rows["mid"]).sum(), rows["notional"].sum()
        )
        row[f"price_impact_{horizon}s"] = ratio(
            (signed * (later - rows["mid"]) / rows["mid"]).sum(), rows["notional"].sum()
        )
    quoted = inside.dropna(subset=["quote_ns"])
    age = quoted["participant_ns"] - quoted["quote_ns"]
    row["stale_share"] = ratio(float((age > micro.stale_quote_seconds * SECOND).sum()), len(quoted))
    for ms in STABILITY_MS:
        both = inside.dropna(subset=["sign", f"older_sign_{ms}"])
        alike = both[both["sign"] == both[f"older_sign_{ms}"]]
        row[f"sign_agreement_{ms}ms"] = ratio(alike["shares"].sum(), both["shares"].sum())
    row |= _of_quotes(book, start, known, end) | {"vpin": _vpin(tape.assign(tick=tick), known, usual)}
    for side, first, final in (("before", start, known), ("after", known, end)):
        row[f"halts_{side}"] = float(sum(first <= begin < final for begin in halts))
    published = late[(late["sip_ns"] >= start) & (late["sip_ns"] < end)]
    for side, rows in (("before", published["sip_ns"] < known), ("after", published["sip_ns"] >= known)):
        row[f"late_volume_{side}"] = float(published.loc[rows, "size"].astype(float).sum())
    for name in [name.removesuffix("_after") for name in row if name.endswith("_after")]:
        before_it, after_it = row[f"{name}_before"], row[f"{name}_after"]
        row[f"{name}_change"] = None if before_it is None or after_it is None else after_it - before_it
    return row


def sequences(event: dict, trades: pd.DataFrame, quotes: pd.DataFrame, micro: Any) -> list[dict[str, Any]]:
    """The measured columns of gold.event_sequences for one event of one name and day, second by second."""
    known = pd.Timestamp(event["known_at"]).value
    start, end = known - micro.seconds_before * SECOND, known + micro.seconds_after * SECOND
    sound = quotes[are_sound(quotes, micro)]
    tape = trades[trades["updates_volume"] & ~trades["is_late"].astype(bool)].reset_index(drop=True)
    now = asof_quotes(tape, sound, 0)
    tape["sign"] = signs(tape["price"], now["bid"], now["ask"], ticks(tape))

    def seconds(rows: pd.DataFrame) -> pd.Series:
        made, published = rows["participant_ns"], rows["sip_ns"]
        return (made.where(~((made < known) & (published >= known)), known) - known) // SECOND

    tape = tape[(tape["participant_ns"] >= start) & (tape["participant_ns"] < end)]
    tape = tape.sort_values(["participant_ns", "sequence_number"], kind="stable")
    tape = tape.assign(second=seconds(tape), shares=tape["size"].astype(float))
    book = sound[sound["participant_ns"] < end].sort_values(["participant_ns", "sequence_number"], kind="stable")
    book = book.assign(second=seconds(book))
    rows, last, best = [], None, None
    earlier = book[book["second"] < -micro.seconds_before]
    names = ("bid_price", "bid_size", "ask_price", "ask_size")
    if len(earlier):
        best = earlier.iloc[-1]
    for second in range(-micro.seconds_before, micro.seconds_after):
        here, quoted = tape[tape["second"] == second], book[book["second"] == second]
        last = float(here["price"].iloc[-1]) if len(here) else last
        best = quoted.iloc[-1] if len(quoted) else best
        rows.append(
            {
                "second": second,
                "trades": len(here),
                "volume": here["shares"].sum(),
                "dollar_volume": (here["price"].astype(float) * here["shares"]).sum(),
                "bought": here.loc[here["sign"] == 1, "shares"].sum(),
                "sold": here.loc[here["sign"] == -1, "shares"].sum(),
                "high": float(here["price"].max()) if len(here) else None,
                "low": float(here["price"].min()) if len(here) else None,
                "last_price": last,
                "quotes": len(quoted),
            }
            | {name: None if best is None else float(best[name]) for name in names}
        )
    return rows


def _of_trades(rows: pd.DataFrame, side: str, seconds: int, limit: float, micro: Any) -> dict[str, float | None]:
    shares, notional = rows["shares"], rows["notional"]
    quoted = rows.dropna(subset=["sign", "mid"])
    paid = 2 * quoted["sign"] * (quoted["price"] - quoted["mid"]) / quoted["mid"] * quoted["notional"]
    signed = rows.dropna(subset=["sign"])
    flags = {
        "large_print_share": notional >= limit,
        "block_share": (shares >= micro.block_shares) | (notional >= micro.block_dollars),
        "sweep_share": rows["is_sweep"],
        "off_exchange_share": rows["is_off_exchange"],
        "odd_lot_share": rows["is_odd_lot"],
        "signed_share": rows["sign"].notna(),
        "sub_penny_share": np.rint(rows["price"].astype(float) * 1e6).astype("int64")
        % np.where(rows["price"].astype(float) >= 1, 10_000, 100)
        != 0,
    }
    per_second = (rows["participant_ns"] // SECOND).value_counts()
    per_ten = (rows["participant_ns"] // (10 * SECOND)).value_counts()
    gaps = np.diff(np.sort(rows["participant_ns"].to_numpy(dtype="int64"))) / SECOND
    ages = (rows["participant_ns"] - rows["quote_ns"]).dropna().astype(float) / SECOND
    return {
        f"peak_trades_10s_{side}": float(per_ten.max()) if len(rows) else None,
        f"inter_arrival_median_{side}": float(np.median(gaps)) if len(gaps) else None,
        f"inter_arrival_cv_{side}": ratio(float(np.std(gaps)), float(np.mean(gaps))) if len(gaps) else None,
        f"quote_age_{side}": float(ages.mean()) if len(ages) else None,
        f"effective_spread_{side}": ratio(paid.sum(), quoted["notional"].sum()),
        f"trade_imbalance_{side}": ratio((signed["sign"] * signed["shares"]).sum(), signed["shares"].sum()),
        f"trades_per_second_{side}": len(rows) / seconds,
        f"peak_trades_1s_{side}": float(per_second.max()) if len(rows) else None,
        f"volume_{side}": shares.sum() if len(rows) else None,
        f"dollar_volume_{side}": notional.sum() if len(rows) else None,
    } | {f"{name}_{side}": ratio(shares[flag].sum(), shares.sum()) for name, flag in flags.items()}


def _of_intervals(rows: pd.DataFrame, side: str, start: int) -> dict[str, float | None]:
    """Kyle's λ by least squares and Amihud's measure, of ten-second intervals from the window's start."""
    rows = rows.sort_values(["participant_ns", "sequence_number"], kind="stable")
    last: float | None = None
    returns, roots, per_dollar = [], [], []
    for _, inside in rows.groupby((rows["participant_ns"] - start) // (10 * SECOND)):
        price, dollars = float(inside["price"].iloc[-1]), float(inside["notional"].sum())
        if last is not None:
            moved, sided = math.log(price / last), inside.dropna(subset=["sign"])
            per_dollar.append(abs(moved) / dollars * 1e6)
            if len(sided):
                flow = float((sided["sign"] * sided["notional"]).sum())
                returns.append(moved)
                roots.append(math.copysign(math.sqrt(abs(flow)), flow))
        last = price
    slope = None
    if len(returns) >= 20 and np.ptp(roots) > 0:
        slope = float(np.cov(roots, returns, bias=True)[0, 1] / np.var(roots))
    return {
        f"kyle_lambda_{side}": slope,
        f"amihud_{side}": float(np.mean(per_dollar)) if per_dollar else None,
    }


def _vpin(tape: pd.DataFrame, known: int, usual: float | None) -> float | None:
    """Trade by trade into buckets."""
    if not usual:
        return None
    tape = tape[(tape["participant_ns"] < known) & (tape["sip_ns"] < known)]
    tape = tape.sort_values(["participant_ns", "sequence_number"], kind="stable")
    bucket, full, room, bought = usual / 50, [], usual / 50, 0.0
    for one in tape.itertuples(index=False):
        left = one.shares
        while left >= room - 1e-9:
            full.append(abs(bought + (0 if pd.isna(one.tick) else one.tick) * room) / bucket)
            left, room, bought = left - room, bucket, 0.0
        room, bought = room - left, bought + (0 if pd.isna(one.tick) else one.tick) * left
    return sum(full[-50:]) / 50 if len(full) >= 50 else None


def _of_quotes(book: pd.DataFrame, start: int, known: int, end: int) -> dict[str, float | None]:
    held = {side: {"time": 0.0, "spread": 0.0, "depth": 0.0, "tilt": 0.0} for side in ("before", "after")}
    flow: dict[str, float | None] = {"before": None, "after": None}
    used = dropped = 0
    last = None
    times = [*book["sip_ns"], ENDLESS]
    for place, one in enumerate(book.itertuples(index=False)):
        at, until = times[place], times[place + 1]
        if start <= at < end:
            used, dropped = used + one.valid, dropped + (not one.valid)
        if not one.valid:
            continue
        b, a, qb, qa = one.bid_price, one.ask_price, one.bid_size, one.ask_size
        if start <= at < end:
            side = "before" if at < known else "after"
            flow[side] = (flow[side] or 0.0) + (0.0 if last is None else flow_of(last, (b, qb, a, qa)))
        last = (b, qb, a, qa)
        for side, first, final in (("before", start, known), ("after", known, end)):
            seconds = max(min(until, final) - max(at, first), 0) / SECOND
            sums = held[side]
            sums["time"] += seconds
            sums["spread"] += seconds * (a - b) / ((a + b) / 2)
            sums["depth"] += seconds * (qb + qa)
            sums["tilt"] += seconds * ((qb - qa) / (qb + qa) if qb + qa else 0.0)
    row: dict[str, float | None] = {"quotes_used": used, "quotes_dropped": dropped}
    for side, sums in held.items():
        row[f"quoted_spread_{side}"] = ratio(sums["spread"], sums["time"])
        row[f"depth_{side}"] = ratio(sums["depth"], sums["time"])
        row[f"depth_imbalance_{side}"] = ratio(sums["tilt"], sums["time"])
        row[f"order_flow_imbalance_{side}"] = flow[side]
    return row


def flow_of(last: tuple[float, float, float, float], now: tuple[float, float, float, float]) -> float:
    """e of Cont, Kukanov and Stoikov from (bid, bid size, ask, ask size) to the next."""
    (b0, qb0, a0, qa0), (b1, qb1, a1, qa1) = last, now
    return (b1 >= b0) * qb1 - (b1 <= b0) * qb0 - (a1 <= a0) * qa1 + (a1 >= a0) * qa0


def differences(expected: dict[str, float | None], found: dict[str, Any], tolerance: float = 1e-9) -> dict[str, tuple]:
    """Columns whose values are not the same: name → (expected, found)."""
    unlike = {}
    for name, value in expected.items():
        other = found[name]
        if value is None or other is None:
            same = value is None and other is None
        else:
            same = math.isclose(value, other, rel_tol=tolerance, abs_tol=tolerance)
        if not same:
            unlike[name] = (value, other)
    return unlike
