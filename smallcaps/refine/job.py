"""The refine job: bronze → silver for a range of days, table by table. The only module of the room that reads or writes.

Each table is a step and each step a run of its own, in an order in which no step needs a later one. A step whose bronze
tables hold nothing of the range does nothing; of tables of snapshots, which are not of days, nothing at all. What a step
reads of silver is what an earlier one wrote.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.ingest.windows import window_bodies
from smallcaps.lake import Lake, Run, between, recorded_run
from smallcaps.lake.quality import refused, sound
from smallcaps.log import progress
from smallcaps.refine import (
    adjustments,
    bars,
    baselines,
    book,
    differences,
    filings,
    free_float,
    fundamentals,
    halts,
    macro,
    news,
    ownership,
    publication,
    sectors,
    securities,
    short_interest,
    short_sales,
    short_volume,
    ticks,
    trade_sizes,
    universe,
)
from smallcaps.refine.baselines import MONTH_BEFORE_DAYS
from smallcaps.refine.labels import calendar_frame
from smallcaps.refine.securities import identify, identify_filer

BRONZE_BY_DAY = (
    *("bronze.bars_1d", "bronze.bars_1d_adjusted", "bronze.bars_1h", "bronze.bars_1m"),
    *("bronze.trades", "bronze.quotes", "bronze.luld", "bronze.book"),
)
BRONZE_SNAPSHOTS = (
    *("bronze.tickers", "bronze.short_interest", "bronze.short_volume", "bronze.float"),
    *("bronze.financials", "bronze.filings", "bronze.news"),
    *("bronze.macro_vintages", "bronze.economy", "bronze.insider_filings", "bronze.institutional_holdings"),
)
JOB = "refine"
SECURITIES = "silver.securities"


@dataclass(frozen=True)
class Work:
    """What a step has to do with: its run, and the days."""

    run: Run
    settings: Settings
    first: date
    last: date

    @property
    def days(self) -> str:
        """SQL condition: the days of the range."""
        return between("session_date", self.first, self.last)

    @property
    def calendar(self) -> DataFrame:
        """The sessions of the range."""
        return calendar_frame(self.run.lake.spark, self.first, self.last)

    def since(self, days: int) -> "Work":
        """The same with a range that begins so many days earlier: for what a step looks back at."""
        return replace(self, first=self.first - timedelta(days=days))

    def read(self, name: str) -> DataFrame:
        """A table; without rows where it was never written."""
        return self.run.read_or_empty(name)

    def of_days(self, name: str) -> DataFrame:
        """The rows of a table that belong to the range."""
        there = self.run.has(name)
        return self.run.read_days(name, self.first, self.last) if there else self.run.lake.empty(name)

    @property
    def windows(self) -> DataFrame:
        """The bodies that brought windows of ticks. They are no input of the run: rows of bronze that change say enough."""
        return window_bodies(self.run.lake)

    @property
    def whole_trades(self) -> DataFrame:
        """silver.trades of the range, of symbol-days that are here whole."""
        return self.of_days("silver.trades").where(ticks.WHOLE_DAYS)

    @property
    def resumptions(self) -> DataFrame:
        """When halted symbols went on."""
        return halts.resumptions(self.of_days("silver.halts"), self.calendar)

    def identified(self, frame: DataFrame, day: str = "session_date") -> DataFrame:
        """`frame` with security_id."""
        return identify(frame, self.read(SECURITIES), day)

    def filed(self, name: str) -> DataFrame:
        """A table of what companies filed, with security_id and known_at by rule."""
        filed = self.published(self.read(name), "filing_date", publication.FILING)
        return identify_filer(filed, self.read(SECURITIES))

    def published(self, records: DataFrame, day: str, lag: publication.Lag) -> DataFrame:
        """Records of snapshots with known_at by rule."""
        (last,) = records.agg(F.max("as_of")).collect()[0]
        return publication.published(records, day, lag, last)


@dataclass(frozen=True)
class Step:
    """How a silver table is made. It is, where one of `sources` holds rows: of the range, where they are of days."""

    table: str
    sources: tuple[str, ...]
    make: Callable[[Work], None]


def refine(
    lake: Lake, settings: Settings, first: date, last: date, tables: Sequence[str] | None = None
) -> dict[str, int]:
    """Make silver of bronze from `first` to `last`; returns rows written by table.

    `tables` are those to make, by default all of STEPS. Raises BadInput for an unknown one and where bronze holds nothing of the
    range.
    """
    known = [step.table for step in STEPS]
    if unknown := set(tables or ()) - set(known):
        raise BadInput(f"refine makes no {', '.join(sorted(unknown))}. Tables: {', '.join(known)}.")
    days = between("session_date", first, last)
    conditions = dict.fromkeys(BRONZE_BY_DAY, days) | dict.fromkeys(BRONZE_SNAPSHOTS, "true")
    # So many rows that only those of the range are made again.
    conditions["bronze.short_volume"] = between("trade_date", first, last)
    there = {
        name for name, rows in conditions.items() if lake.exists(name) and not lake.read(name).where(rows).isEmpty()
    }
    if not there:
        with recorded_run(lake, JOB, {"from": first, "to": last}, settings.digest()):
            raise BadInput(f"Bronze holds nothing from {first} to {last}. Run `smallcaps ingest flatfiles` first.")
    steps = [step for step in STEPS if (tables is None or step.table in tables) and there & set(step.sources)]
    written = {}
    for number, step in enumerate(steps):
        progress(number, len(steps), "tables", step.table)
        if (rows := make_again(lake, settings, step.table, first, last)) is not None:
            written[step.table] = rows
    return written


def make_again(lake: Lake, settings: Settings, table: str, first: date, last: date) -> int | None:
    """Make a table of STEPS from `first` to `last`, whatever bronze holds; returns the rows written, None where it made none."""
    step = next(step for step in STEPS if step.table == table)
    with recorded_run(lake, JOB, {"table": table, "from": first, "to": last}, settings.digest()) as run:
        step.make(Work(run, settings, first, last))
    return run.outputs[table].rows if table in run.outputs else None


def _calendar(work: Work) -> None:
    work.run.replace("silver.calendar", work.calendar, work.days)


def _securities(work: Work) -> None:
    """The whole table: what the vendor lists, and symbols of the range that it does not list."""
    events, details = work.read("bronze.ticker_events"), work.read("bronze.ticker_details")
    tickers = work.read("bronze.tickers")
    listed = securities.judged_instruments(tickers, details)
    spells = securities.spells(sound(listed), events, details).localCheckpoint()
    days = securities.days_with_data([work.of_days(name) for name in BRONZE_BY_DAY])
    others = securities.unlisted(spells, days, work.read(SECURITIES))
    work.run.quarantine(refused(listed, SECURITIES, securities.REASONS))
    work.run.replace(SECURITIES, spells.unionByName(others), None)


def _adjustments(work: Work) -> None:
    """The whole table: every current split is judged against all daily bars of its security."""
    splits = work.identified(adjustments.current_splits(work.read("bronze.splits")), "execution_date")
    splits = splits.withColumn(
        # A split of a symbol without any data yet still has an identity: the day of the split.
        "security_id",
        F.coalesce("security_id", F.concat_ws(":", F.lit("T"), "symbol", F.col("execution_date").cast("string"))),
    )
    names = splits.select("symbol").distinct()
    history = work.read("bronze.bars_1d").join(F.broadcast(names), "symbol", "left_semi")
    bounds = history.agg(F.min("session_date"), F.max("session_date")).collect()[0]
    if bounds[0] is not None:
        calendar = calendar_frame(work.run.lake.spark, bounds[0], bounds[1])
        history = sound(bars.judged_daily(history, calendar))
    # A price that was carried over a day without trades says nothing about a split.
    clean = work.identified(history.where("volume > 0")).select("security_id", "session_date", "open", "close")
    judged = adjustments.judged_splits(splits, clean)
    work.run.replace_judged("silver.adjustments", judged, adjustments.REASONS, None, splits.count())


def _bars_1d(work: Work) -> None:
    before = work.since(bars.LOOK_BACK_DAYS)
    factors = adjustments.cumulative_factors(work.read("silver.adjustments"))
    judged = work.identified(bars.judged_daily(before.of_days("bronze.bars_1d"), before.calendar))
    rows = bars.daily_bars(judged, factors).where(work.days)
    count = work.of_days("bronze.bars_1d").count()
    work.run.replace_judged("silver.bars_1d", rows, bars.REASONS, work.days, count)


def _halts(work: Work) -> None:
    of_feed = halts.feed_halts(work.of_days("bronze.luld"))
    # Where a pause ends is not to be told of a day of which there are windows alone.
    whole = work.of_days("bronze.quotes").join(F.broadcast(work.windows), "source_sha256", "left_anti")
    of_quotes = halts.quote_halts(whole, work.calendar)
    work.run.replace("silver.halts", work.identified(halts.merged(of_feed.unionByName(of_quotes))), work.days)


def _trades(work: Work) -> None:
    trades = work.of_days("bronze.trades")
    judged = work.identified(ticks.judged_trades(trades, work.calendar, work.resumptions, work.windows))
    work.run.replace_judged_days("silver.trades", judged, ticks.REASONS, work.first, work.last, trades.count())


def _trade_sizes(work: Work) -> None:
    work.run.replace("silver.trade_sizes", trade_sizes.trade_sizes(work.of_days("silver.trades")), work.days)


def _bars_1m(work: Work) -> None:
    """From trades where there are any, else the vendor's."""
    trades, calendar, resumptions = work.whole_trades, work.calendar, work.resumptions
    built = bars.minute_bars(trades, calendar, resumptions)
    vendor = bars.judged_vendor_minutes(work.of_days("bronze.bars_1m"), calendar, resumptions)
    traded = trades.select("symbol", "session_date").distinct()
    untraded = vendor.join(F.broadcast(traded), ["symbol", "session_date"], "left_anti")
    together = work.identified(bars.once(untraded.unionByName(built, allowMissingColumns=True)))
    work.run.replace_judged_days("silver.bars_1m", together, bars.REASONS, work.first, work.last)


def _differences(work: Work) -> None:
    minutes = sound(bars.once(bars.judged_vendor_minutes(work.of_days("bronze.bars_1m"), work.calendar)))
    hours = work.of_days("silver.bars_1h").where("source = 'vendor'")
    ours, before = work.of_days("silver.bars_1m"), work.since(MONTH_BEFORE_DAYS)
    of_trades = ours.where("source = 'trades'")
    adjusted = securities.latest(work.of_days("bronze.bars_1d_adjusted"))
    # The vendor says the factors of the day on which it was asked.
    asked = adjusted.agg(F.max("as_of").alias("asked"))
    stretches = adjustments.cumulative_factors(work.read("silver.adjustments")).crossJoin(F.broadcast(asked))
    of_day = stretches.where("from_date <= asked AND to_date > asked").select(
        "security_id", F.col("cumulative_factor").alias("factor")
    )
    found = {
        "bars_1m": (
            differences.minute_differences(of_trades, minutes, work.whole_trades),
            differences.isolated_minutes(ours),
            differences.outside_averages(work.of_days("bronze.bars_1m")),
        ),
        "bars_1d": (differences.moves_without_volume(before.of_days("silver.bars_1d")).where(work.days),),
        "bars_1h": (differences.incomplete_hours(hours, minutes),),
        "bars_1d_adjusted": (differences.day_differences(work.of_days("silver.bars_1d"), of_day, adjusted),),
        "bars_1m_adjusted": (differences.outside_averages(securities.latest(work.of_days("bronze.bars_1m_adjusted"))),),
    }
    rows = [one.withColumn("bar", F.lit(bar)) for bar, ones in found.items() for one in ones]
    work.run.replace("ops.differences", reduce(DataFrame.unionByName, rows), work.days)


def _bars_1h(work: Work) -> None:
    """The vendor's where they are sound, else of minutes."""
    hours = work.of_days("bronze.bars_1h")
    minutes, daily = work.of_days("bronze.bars_1m"), work.of_days("bronze.bars_1d")
    judged = bars.judged_hours(hours, minutes, daily, work.calendar)
    rows = bars.completed_hours(judged, work.of_days("silver.bars_1m"), work.calendar)
    work.run.replace_judged_days("silver.bars_1h", work.identified(rows), bars.HOUR_REASONS, work.first, work.last)


def _short_sale_restrictions(work: Work) -> None:
    before = work.since(bars.LOOK_BACK_DAYS)
    prior = short_sales.prior_closes(before.of_days("silver.bars_1d"))
    following = calendar_frame(work.run.lake.spark, work.first, work.last + timedelta(days=14))
    rows = short_sales.restrictions(work.whole_trades, work.of_days("silver.bars_1d"), prior, following)
    work.run.replace("silver.short_sale_restrictions", rows, work.days)


def _quotes(work: Work) -> None:
    quotes = work.of_days("bronze.quotes")
    judged = work.identified(ticks.judged_quotes(quotes, work.calendar))
    work.run.replace_judged_days("silver.quotes", judged, ticks.REASONS, work.first, work.last, quotes.count())


def _book(work: Work) -> None:
    books = work.of_days("bronze.book")
    judged = work.identified(book.judged_book(books, work.of_days("silver.quotes"), work.calendar))
    work.run.replace_judged_days("silver.book", judged, book.REASONS, work.first, work.last, books.count())


def _short_interest(work: Work) -> None:
    known = work.published(work.read("bronze.short_interest"), "settlement_date", publication.SHORT_INTEREST)
    judged = short_interest.judged_short_interest(work.identified(known, "settlement_date"))
    work.run.replace_judged("silver.short_interest", judged, short_interest.REASONS, None)


def _short_volume(work: Work) -> None:
    """Of the range: a record belongs to one day for ever."""
    records = work.of_days("bronze.short_volume").withColumnRenamed("trade_date", "session_date")
    known = work.published(records, "session_date", publication.SHORT_VOLUME)
    judged = short_volume.judged_short_volume(work.identified(known), work.calendar)
    work.run.replace_judged("silver.short_volume", judged, short_volume.REASONS, work.days)


def _float(work: Work) -> None:
    judged = free_float.judged_float(work.identified(work.read("bronze.float"), "as_of"))
    work.run.replace_judged("silver.float", judged, free_float.REASONS, None)


def _fundamentals(work: Work) -> None:
    judged = fundamentals.judged_fundamentals(work.filed("bronze.financials"))
    work.run.replace_judged("silver.fundamentals", judged, fundamentals.REASONS, None)


def _filings(work: Work) -> None:
    judged = filings.judged_filings(work.filed("bronze.filings"), work.read("silver.adjustments"))
    work.run.replace_judged("silver.filings", judged, filings.REASONS, None)


def _news(work: Work) -> None:
    judged = news.judged_news(work.read("bronze.news"), work.read(SECURITIES))
    work.run.replace_judged("silver.news", judged, news.REASONS, None)


def _macro(work: Work) -> None:
    judged = macro.judged_macro(work.read("bronze.macro_vintages"), work.read("bronze.economy"))
    work.run.replace_judged("silver.macro", judged, macro.REASONS, None)


def _ownership(work: Work) -> None:
    lines = ownership.filed_lines(work.read("bronze.insider_filings"), work.read("bronze.institutional_holdings"))
    filed = identify_filer(work.published(lines, "filing_date", publication.FILING), work.read(SECURITIES))
    judged = ownership.judged_ownership(filed, ownership.cusips(work.read("bronze.ipos"), work.read(SECURITIES)))
    work.run.replace_judged("silver.ownership", judged, ownership.REASONS, None)


def _universe(work: Work) -> None:
    before = work.since(MONTH_BEFORE_DAYS)
    filed = (
        work.read("silver.fundamentals")
        .where("shares_outstanding > 0")
        .groupBy("security_id", "known_at")
        .agg(F.max_by(F.struct("filing_date", "shares_outstanding"), F.struct("period_end", "version")).alias("last"))
    )
    shares = filed.selectExpr(
        "security_id", "known_at", "last.filing_date AS filed_on", "last.shares_outstanding AS shares"
    )
    floats = work.read("silver.float").selectExpr(
        *("security_id", "known_at", "coalesce(effective_date, as_of) AS received_on"),
        "cast(free_float AS double) AS free_float",
    )
    rows = universe.universe(
        before.of_days("silver.bars_1d"),
        before.calendar,
        work.read(SECURITIES),
        shares,
        floats,
        adjustments.cumulative_factors(work.read("silver.adjustments")),
        work.settings.floor,
        work.settings.universe,
    )
    work.run.replace("silver.universe", rows.where(work.days), work.days)


def _baselines(work: Work) -> None:
    before = work.since(MONTH_BEFORE_DAYS)
    factors = adjustments.cumulative_factors(work.read("silver.adjustments"))
    rows = baselines.baselines(before.of_days("silver.bars_1d"), before.calendar, factors)
    work.run.replace("silver.baselines", rows.where(work.days), work.days)


def _session_volumes(work: Work) -> None:
    rows = baselines.session_volumes(work.of_days("silver.bars_1m"), work.of_days("silver.universe"))
    work.run.replace("silver.session_volumes", rows, work.days)


def _volume_curves(work: Work) -> None:
    before = work.since(MONTH_BEFORE_DAYS)
    rows = baselines.volume_curves(before.of_days("silver.session_volumes"), before.calendar)
    work.run.replace("silver.volume_curves", rows.where(work.days), work.days)


def _sectors(work: Work) -> None:
    bars = work.since(sectors.LOOK_BACK_DAYS).of_days("silver.bars_1d")
    classes = sectors.classified(work.read("bronze.ticker_details"))
    rows = sectors.sectors(bars, classes, sectors.fund_returns(bars))
    work.run.replace("silver.sectors", rows.where(work.days), work.days)


STEPS = (
    Step("silver.calendar", BRONZE_BY_DAY, _calendar),
    Step(SECURITIES, (*BRONZE_BY_DAY, "bronze.tickers"), _securities),
    Step("silver.adjustments", ("bronze.bars_1d",), _adjustments),
    Step("silver.bars_1d", ("bronze.bars_1d",), _bars_1d),
    Step("silver.halts", ("bronze.luld", "bronze.quotes"), _halts),
    Step("silver.trades", ("bronze.trades",), _trades),
    Step("silver.trade_sizes", ("bronze.trades",), _trade_sizes),
    Step("silver.bars_1m", ("bronze.bars_1m", "bronze.trades"), _bars_1m),
    Step("silver.bars_1h", ("bronze.bars_1h", "bronze.bars_1m", "bronze.trades"), _bars_1h),
    Step("silver.quotes", ("bronze.quotes",), _quotes),
    Step("silver.book", ("bronze.book",), _book),
    Step("silver.short_sale_restrictions", ("bronze.bars_1d",), _short_sale_restrictions),
    Step("ops.differences", ("bronze.bars_1d", "bronze.bars_1m", "bronze.trades"), _differences),
    Step("silver.short_interest", ("bronze.short_interest",), _short_interest),
    Step("silver.short_volume", ("bronze.short_volume",), _short_volume),
    Step("silver.float", ("bronze.float",), _float),
    Step("silver.fundamentals", ("bronze.financials",), _fundamentals),
    Step("silver.filings", ("bronze.filings",), _filings),
    Step("silver.news", ("bronze.news",), _news),
    Step("silver.macro", ("bronze.macro_vintages", "bronze.economy"), _macro),
    Step("silver.ownership", ("bronze.insider_filings", "bronze.institutional_holdings"), _ownership),
    # Known the evening before, so there where the day's own bars are not yet.
    Step("silver.universe", ("bronze.bars_1d", "bronze.bars_1m", "bronze.trades"), _universe),
    Step("silver.baselines", ("bronze.bars_1d", "bronze.bars_1m", "bronze.trades"), _baselines),
    Step("silver.session_volumes", ("bronze.bars_1m", "bronze.trades"), _session_volumes),
    Step("silver.volume_curves", ("bronze.bars_1m", "bronze.trades"), _volume_curves),
    Step("silver.sectors", ("bronze.bars_1d",), _sectors),
)
"""What `refine` makes, in order."""
