"""Windows of trades and quotes, which the manifest's download plan names, over REST into bronze.

1. Leave out windows of symbol-days that are here whole, by a flat file or a request for the day. 2. Ask for those that
bronze.bodies has no whole answer to. 3. Put what the answers hold in place of what bronze had of the windows. Each month and
kind of ticks is a run of its own.

The rest of such a symbol-day is not here: what needs whole days leaves it out (`is_whole_day` of silver.trades).
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from functools import partial
from hashlib import sha256

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadData, BadInput
from smallcaps.ingest.body_rows import REASONS
from smallcaps.ingest.forecast import Forecast, Past
from smallcaps.ingest.requests import TickWindow, windowed
from smallcaps.ingest.rest import (
    BODIES,
    SHOWN,
    Answered,
    Replaced,
    ask,
    known_bodies,
    new_york_today,
    service_of,
    unanswered,
    write_bronze,
)
from smallcaps.ingest.routine import Step
from smallcaps.lake import Lake, Rule, Run, judge, recorded_run, sql_literal, stands
from smallcaps.sources.polygon.credentials import Key
from smallcaps.sources.polygon.endpoints import TICK_WINDOWS, TICKS_A_PAGE, Endpoint

JOB = "ingest windows"
MINUTE_NS = 60_000_000_000
USUAL_ROWS_A_MINUTE, USUAL_BYTES_A_ROW = 100.0, 250.0
"""Of a name's trades or quotes around an event, where the lake has none to measure: no more than an order of magnitude."""


def window_steps(lake: Lake, settings: Settings, key: Key, windows: Sequence[TickWindow]) -> list[Step]:
    """A step for each month and kind of ticks. Raises BadInput where a day is not over."""
    late = [one for one in windows if one.session_date >= new_york_today()]
    if late:
        raise BadInput(
            f"{late[0].session_date} is not over in New York: its windows are asked for once, so wait for that."
        )
    return [
        (f"{endpoint.name} {month}", partial(ingest_windows, lake, settings, key, endpoint, of_month))
        for month, of_month in by_month(windows).items()
        for endpoint in TICK_WINDOWS
    ]


def by_month(windows: Sequence[TickWindow]) -> dict[str, list[TickWindow]]:
    """The windows of each month (YYYY-MM), in order."""
    months = defaultdict(list)
    for one in sorted(windows):
        months[f"{one.session_date:%Y-%m}"].append(one)
    return dict(months)


def ingest_windows(
    lake: Lake, settings: Settings, key: Key, endpoint: Endpoint, windows: Sequence[TickWindow]
) -> Answered:
    """Take windows of an endpoint of TICK_WINDOWS into bronze.bodies and its bronze table; those of a symbol-day are apart.

    Raises as `ingest_endpoint` does.
    """
    days = sorted({one.session_date for one in windows})
    told = sha256(repr(sorted(windows)).encode()).hexdigest()[:16]
    arguments = {"endpoint": endpoint.name, "from": days[0], "to": days[-1], "windows": told}
    with recorded_run(lake, JOB, arguments, settings.digest()) as run:
        here = whole_days(run, endpoint, windows)
        lacking = [one for one in windows if (one.symbol, one.session_date) not in here]
        left_out = f"{len(windows) - len(lacking)} of {len(windows)} windows are of days that are here whole"
        if not lacking:
            run.note = left_out
            return Answered(0, 0, 0, 0)
        plan = windowed(lake.spark, endpoint, lacking).persist(StorageLevel.MEMORY_AND_DISK)
        today, total = new_york_today(), len(lacking)
        try:
            service = service_of(settings, endpoint.source)
            asked, faults, bodies = ask(run, service, key, endpoint, plan, total, today)
            if not asked and stands(lake, endpoint.table, JOB, arguments):
                run.note = f"{total} windows answered and typed before; {left_out}"
                return Answered(0, total, 0, 0)
            replaced, inside = partial(_replaced, lacking), partial(_judged, lacking)
            rows = write_bronze(run, endpoint, plan, total, today, bodies, replaced, inside)
        finally:
            plan.unpersist()
        run.note = (
            f"{asked} windows asked, {total - asked} answered before, {len(faults)} without a sound answer; {left_out}"
        )
    if faults:
        raise BadData(f"{len(faults)} windows have no sound answer (see {BODIES}): {'; '.join(faults[:SHOWN])}")
    return Answered(asked, total - asked, rows, run.rows_refused)


def whole_days(run: Run, endpoint: Endpoint, windows: Sequence[TickWindow]) -> set[tuple[str, date]]:
    """Symbols and days of the windows of which bronze has rows that no window brought: they are here whole."""
    if not run.has(endpoint.table):
        return set()
    days, symbols = ({getattr(one, name) for one in windows} for name in ("session_date", "symbol"))
    rows = run.lake.read(endpoint.table).where(F.col("session_date").isin(days) & F.col("symbol").isin(symbols))
    whole = rows.join(F.broadcast(window_bodies(run.lake)), "source_sha256", "left_anti")
    return {tuple(row) for row in whole.select("symbol", "session_date").distinct().collect()}


def window_bodies(lake: Lake) -> DataFrame:
    """source_sha256 of the bodies of windows: a row of bronze.trades or bronze.quotes that has one is of a day that is not here
    whole.
    """
    bodies = lake.read(BODIES) if lake.exists(BODIES) else lake.empty(BODIES)
    names = [endpoint.name for endpoint in TICK_WINDOWS]
    return bodies.where(F.col("endpoint").isin(names)).select(F.col("sha256").alias("source_sha256")).distinct()


def _replaced(windows: Sequence[TickWindow], left_out: Sequence[str | date]) -> Replaced:
    """The rows of the windows, but for those of symbols that are left out."""
    wanted = [one for one in windows if one.symbol not in left_out]
    each = " OR ".join(
        f"(session_date = DATE'{one.session_date}' AND symbol = {sql_literal(one.symbol)} "
        f"AND sip_ns >= {one.start_ns}L AND sip_ns < {one.end_ns}L)"
        for one in wanted
    )
    # What the days and symbols say by themselves is what spares reading the others' files.
    days, symbols = (sorted({getattr(one, name) for one in wanted}) for name in ("session_date", "symbol"))
    return {"session_date": days, "symbol": symbols}, f"({each})"


def _judged(windows: Sequence[TickWindow], rows: DataFrame) -> DataFrame:
    """Judged rows of bronze, those outside the windows refused."""
    asked = rows.sparkSession.createDataFrame(
        [(one.session_date, one.symbol, one.start_ns, one.end_ns) for one in windows],
        "_day date, _symbol string, _start bigint, _end bigint",
    )
    inside = "session_date = _day AND symbol = _symbol AND sip_ns >= _start AND sip_ns < _end"
    met = rows.join(F.broadcast(asked), F.expr(inside), "left")
    outside = Rule("outside_request", "_start IS NULL", REASONS["outside_request"])
    return judge(met, [outside]).drop("_day", "_symbol", "_start", "_end")


def window_forecasts(lake: Lake, settings: Settings, windows: Sequence[TickWindow]) -> dict[str, Forecast]:
    """What each step of `window_steps` would ask for, by its name. Nothing is written and nobody is asked."""
    past, forecasts = Past(lake), {}
    for endpoint in TICK_WINDOWS:
        here = whole_days(past.run, endpoint, windows)
        lacking = [one for one in windows if (one.symbol, one.session_date) not in here]
        plan = windowed(lake.spark, endpoint, lacking)
        found = unanswered(plan, known_bodies(past.run, endpoint, new_york_today())).select(
            "first", "symbol", "start_ns", "end_ns"
        )
        todo = {TickWindow(*row) for row in found.collect()}
        rate, size, basis = _rates(lake, endpoint)
        pace = min(
            past.rest.rates.get(endpoint.name, math.inf), service_of(settings, endpoint.source).requests_per_second
        )
        for month, of_month in by_month(windows).items():
            asked = [one for one in of_month if one in todo]
            rows = [rate * (one.end_ns - one.start_ns) / MINUTE_NS for one in asked]
            pages = sum(max(1, math.ceil(count / TICKS_A_PAGE)) for count in rows)
            whole = sum((one.symbol, one.session_date) in here for one in of_month)
            told = f"{basis}; {whole} of days that are here whole" if whole else basis
            seconds = past.rest.step(bool(asked)) + pages / pace
            forecasts[f"{endpoint.name} {month}"] = Forecast(
                len(asked), len(of_month) - len(asked), pages, round(sum(rows) * size), seconds, told
            )
    return {name: forecasts[name] for name in sorted(forecasts, key=lambda name: name.split()[::-1])}


def _rates(lake: Lake, endpoint: Endpoint) -> tuple[float, float, str]:
    """Rows of a name and minute that has any, on the latest day of the bronze table; bytes a row in answers here; and what these
    rest on.
    """
    rate, size, told = USUAL_ROWS_A_MINUTE, USUAL_BYTES_A_ROW, []
    if lake.exists(endpoint.table):
        ticks = lake.read(endpoint.table)
        latest = ticks.where(F.col("session_date") == ticks.agg(F.max("session_date")).collect()[0][0])
        minutes = latest.groupBy("symbol", F.expr(f"sip_ns div {MINUTE_NS}L").alias("minute")).count()
        (measured,) = minutes.agg(F.avg("count")).collect()[0]
        if measured is not None:
            rate = measured
            told.append("rows a minute as on the latest day here")
    if lake.exists(BODIES):
        of_kind = F.col("endpoint").isin(endpoint.name, endpoint.table.removeprefix("bronze."))
        (measured,) = (
            lake.read(BODIES).where(of_kind).agg(F.expr("try_divide(sum(size_bytes), sum(records))")).collect()[0]
        )
        if measured is not None:
            size = measured
            told.append("bytes a row as in answers here")
    return rate, size, ", ".join(told) or "a guess"
