"""Whatever the pieces are in which rows arrive, the events are those of the whole."""

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType, StructField, StructType

from smallcaps.config import Settings
from smallcaps.detectors.detect import numbered_events
from smallcaps.detectors.prepared import Prepared
from smallcaps.detectors.registry import detectors_of
from smallcaps.detectors.tape import NEAR_ROWS, Changes, Tape
from smallcaps.detectors.testing import PIECE, Disorder, Stream, arriving, assert_invariant, copies
from tests.conftest import SAMPLE
from tests.detectors.frames import daily_frame, expected_frames, minute_frame, trade_frame
from tests.detectors.test_daily import sample_market
from tests.detectors.test_intraday import history
from tests.oracles import planted
from tests.oracles.trade import bars_from_trades, load_trades

BARS = ("security_id", "session_date", "minute")
EMPTY = planted.planted()["volume_spike"][0].head(0).assign(symbol="")


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    """Rows of the minute grain: the planted days, one of them halted, and two real ones with pre- and post-market."""
    plants = [bars.assign(symbol=name) for name, (bars, _) in planted.planted().items()]
    halted = planted.planted()["consolidation_break"][0].assign(symbol="HALTED")
    halted.loc[halted["minute"] >= 360, ["segment", "segment_start"]] = [2, 360]
    real = bars_from_trades(load_trades(SAMPLE / "us_stocks_sip", ["2013/10"]))
    return pd.concat([*plants, halted, real], ignore_index=True)


def minutes(spark: SparkSession, settings: Settings, days: pd.DataFrame, count: int) -> tuple[pd.DataFrame, Stream]:
    """The days `count` times, with a history for most of them."""
    rows = copies(minute_frame(spark, days).toPandas(), count)
    names = {
        (name.removeprefix("T:"), day) for name, day in zip(rows["security_id"], rows["session_date"], strict=True)
    }
    expected = expected_frames(spark, *history(np.random.default_rng(3), names))
    return rows, Stream(Tape(spark, minute_frame(spark, days).schema, BARS, settings, "minute", expected))


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_minute_events_are_those_of_the_whole_day_whatever_the_pieces(
    spark: SparkSession, settings: Settings, days: pd.DataFrame
) -> None:
    rows, stream = minutes(spark, settings, days, 10)
    splittings = len(rows.drop_duplicates(["security_id", "session_date"]))
    assert splittings >= 100
    found = assert_invariant(rows, 6, np.random.default_rng(1), stream, Disorder(late=0.08, killed=0.15))
    assert found > splittings
    # The seeds were of use: many stand when the last piece has come.
    assert stream.tape.seeds is not None
    assert len(stream.tape.seeds) > splittings / 2


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_trade_events_are_those_of_the_whole_day_whatever_the_pieces(spark: SparkSession, settings: Settings) -> None:
    trades = load_trades(SAMPLE / "us_stocks_sip", ["2013/10"])
    frame = trade_frame(spark, trades[(trades["symbol"] == "IBM") & (trades["session_date"] == date(2013, 10, 8))])
    identity = ("security_id", "session_date", "sip_ns", "sequence_number")
    stream = Stream(Tape(spark, frame.schema, identity, settings, "trade"))
    assert assert_invariant(frame.toPandas(), 4, np.random.default_rng(4), stream, Disorder()) == 6


def thin_tape(generator: np.random.Generator, names: int) -> pd.DataFrame:
    """A regular session of names that trade about once in a minute, with bursts now and then."""
    opening = pd.Timestamp("2026-01-05 14:30", tz="UTC")
    days = []
    for number in range(names):
        quiet = np.flatnonzero(generator.random(23_400) < 1 / 60)
        bursts = [start + generator.integers(0, 10, 120) for start in generator.integers(2_000, 23_000, 8)]
        since = np.sort(np.concatenate([quiet, *bursts]))
        price = 5 + np.cumsum(generator.normal(0, 0.01, len(since))).round(2)
        day = {"second": since + 19_800, "ts": opening + pd.to_timedelta(since * 1_000 + 1, "ms"), "price": price}
        days.append(pd.DataFrame(day).assign(symbol=f"T{number}", sequence_number=np.arange(len(since)) + 1))
    same = {"session_date": date(2026, 1, 5), "session": "regular", "segment": 1, "segment_start": 19_800}
    return pd.concat(days, ignore_index=True).assign(**same, size=100.0, eligible=True)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_of_a_thin_tape_little_is_kept_and_the_events_are_those_of_the_whole_day(
    spark: SparkSession, settings: Settings
) -> None:
    frame = trade_frame(spark, thin_tape(np.random.default_rng(6), 6))
    rows = frame.toArrow().sort_by("sip_ns")
    identity = ("security_id", "session_date", "sip_ns", "sequence_number")
    tape = Tape(spark, frame.schema, identity, settings, "trade")
    # Seconds are counted, not rows: after five minutes and a margin a trade is not needed any more.
    most, told = 0, 0
    for begin in range(0, len(rows), 150):
        piece = tape.piece(rows.slice(begin, 150))
        assert piece is not None
        told += len(tape.stand(piece, tape.events(piece)).retracted)
        tape.keep(piece)
        tape.seed(8)
        tape.forget()
        most = max(most, len(tape.rows))
    whole = numbered_events(frame, settings, "trade").toArrow().sort_by("event_id").to_pylist()
    assert len(whole) > 20
    assert sorted(tape.events_that_stand(), key=lambda event: event["event_id"]) == whole
    assert (told, tape.too_late) == (0, 0)
    assert most < len(rows) / 3
    stream = Stream(Tape(spark, frame.schema, identity, settings, "trade"))
    assert assert_invariant(frame.toPandas(), 5, np.random.default_rng(7), stream, Disorder()) == len(whole)


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_daily_events_are_those_of_all_days_whatever_the_pieces(spark: SparkSession, settings: Settings) -> None:
    bars, splits = sample_market()
    bars = bars[bars["symbol"].isin(sorted(set(bars["symbol"]))[::40])]
    frame = daily_frame(spark, bars, splits)
    stream = Stream(Tape(spark, frame.schema, ("security_id", "session_date"), settings, "daily"))
    assert assert_invariant(frame.toPandas(), 4, np.random.default_rng(5), stream, Disorder()) > 50


def kept(spark: SparkSession, settings: Settings, rows: pa.Table) -> Tape:
    """A tape that has these rows and a seed."""
    tape = Tape(spark, minute_frame(spark, EMPTY).schema, BARS, settings, "minute")
    piece = tape.piece(rows)
    assert piece is not None
    tape.stand(piece, tape.events(piece))
    tape.keep(piece)
    tape.seed()
    return tape


def test_a_piece_is_computed_of_a_few_rows_and_its_seed_and_a_wrong_seed_would_be_noticed(
    spark: SparkSession, settings: Settings, days: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = minute_frame(spark, days[days["symbol"] == "opening_range_break_30"])
    rows, minute = frame.toArrow(), frame.toArrow()["minute"].to_numpy()
    monkeypatch.setattr("smallcaps.detectors.tape.NEAR_ROWS", 0)
    tape = kept(spark, settings, rows.filter(pa.array(minute < 415)))
    assert tape.seeds is not None
    assert tape.seeds["after"].to_pylist() == [335]
    piece = tape.piece(rows)
    assert piece is not None
    assert piece.first == {0: 415}
    used: list[int] = []
    run = Prepared.run
    monkeypatch.setattr(
        Prepared,
        "run",
        lambda prepared, slices: used.append(sum(len(rows) for rows, _ in slices)) or run(prepared, slices),
    )
    found = tape.events(piece)
    # The 79 rows before the one that changed are there, and those after the seed.
    assert used == [330 + 150 - 336]
    whole = numbered_events(frame, settings, "minute").where("number >= 415").toArrow()
    assert found.sort_by("event_id").to_pylist() == whole.sort_by("event_id").to_pylist()
    assert ("opening_range_break_30", 420) in zip(
        found["detector"].to_pylist(), found["number"].to_pylist(), strict=True
    )
    # The range was set in minute 359, which the piece has; the volume before it hasn't.
    column = tape.seeds.column_names.index("seed_volume_so_far")
    tape.seeds = tape.seeds.set_column(column, "seed_volume_so_far", pa.array([10**6], pa.int64()))
    assert tape.events(piece).sort_by("event_id").to_pylist() != found.sort_by("event_id").to_pylist()


def test_a_row_that_comes_later_than_the_seed_can_take_has_its_key_computed_from_the_first_row_on(
    spark: SparkSession, settings: Settings, days: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = minute_frame(spark, days[days["symbol"] == "volume_spike"]).toArrow()
    minute = rows["minute"].to_numpy()
    tape = kept(spark, settings, rows)
    assert tape.seeds is not None
    (after,) = tape.seeds["after"].to_pylist()
    used: list[object] = []
    run = Prepared.run

    def looked_at(prepared: Prepared, slices: list[tuple[pa.Table, pa.Table]]) -> pa.Table:
        given = pa.concat_tables([rows for rows, _ in slices])
        used.append((any(len(seeds) for _, seeds in slices), min(given["minute"].to_pylist())))
        return run(prepared, slices)

    monkeypatch.setattr(Prepared, "run", looked_at)
    for first, seeded in ((after + 80, True), (after + 79, False), (after, False)):
        revised = rows.filter(pa.array(minute == first))
        volume = pa.array(revised["volume"].to_numpy() * 2)
        piece = tape.piece(revised.set_column(revised.column_names.index("volume"), "volume", volume))
        assert piece is not None
        tape.events(piece)
        assert used.pop() == (seeded, after + 1 if seeded else 330)
        # A row up to the seed changed: the seed no longer holds.
        tape.keep(piece)
        assert len(tape.seeds) == (first > after)


def test_what_is_forgotten_is_not_needed_but_by_rows_that_come_too_late(
    spark: SparkSession, settings: Settings, days: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smallcaps.detectors.tape.LATE_ROWS", NEAR_ROWS)
    rows = minute_frame(spark, days[days["symbol"] == "volume_spike"]).toArrow()
    minute = rows["minute"].to_numpy()
    tape = kept(spark, settings, rows.filter(pa.array(minute < minute.max())))
    assert tape.seeds is not None
    (after,) = tape.seeds["after"].to_pylist()
    tape.forget()
    assert tape.rows["minute"].to_pylist() == [*range(after + 1, minute.max())]
    assert tape.piece(rows.filter(pa.array(minute == after))) is None
    assert tape.too_late == 1
    piece = tape.piece(rows.filter(pa.array(minute == minute.max())))
    assert piece is not None
    whole = numbered_events(spark.createDataFrame(rows), settings, "minute").where(f"number >= {minute.max()}")
    assert tape.events(piece).to_pylist() == whole.toArrow().to_pylist()


def test_a_threshold_and_an_expression_that_are_changed_change_batch_and_pieces_alike(
    spark: SparkSession, settings: Settings, days: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One declaration, whoever runs it."""
    frame = minute_frame(spark, days[~days["symbol"].str.startswith("T:")])
    rows = frame.toArrow()
    minute = rows["minute"].to_numpy()

    def found(own: Settings) -> list[list[dict[str, object]]]:
        tape = Tape(spark, frame.schema, BARS, own, "minute")
        for part in (minute < 400, minute >= 400):
            piece = tape.piece(rows.filter(pa.array(part)))
            assert piece is not None
            tape.stand(piece, tape.events(piece))
            tape.keep(piece)
            tape.seed()
        whole = numbered_events(frame, own, "minute").toArrow().to_pylist()
        return [
            sorted(events, key=lambda event: str(event["event_id"])) for events in (tape.events_that_stand(), whole)
        ]

    def spikes(events: list[dict[str, object]]) -> set[tuple[object, object]]:
        return {(event["symbol"], event["number"]) for event in events if event["detector"] == "volume_spike"}

    pieces, whole = found(settings)
    assert pieces == whole
    looser = settings.model_copy(update={"detectors": {**settings.detectors, "volume_spike": {"multiple": 4}}})
    moved, moved_whole = found(looser)
    assert moved == moved_whole
    assert spikes(moved) != spikes(whole)
    declared = detectors_of("minute")
    halved = [
        replace(one, condition=one.condition.replace("dollars_5m", "(dollars_5m / 20)"))
        if one.name == "volume_spike"
        else one
        for one in declared
    ]
    assert halved != declared
    monkeypatch.setattr("smallcaps.detectors.detect.detectors_of", lambda grain: halved)
    rewritten, rewritten_whole = found(settings)
    assert rewritten == rewritten_whole
    assert spikes(rewritten) not in (spikes(whole), spikes(moved))


def test_what_changes_is_told_as_new_corrected_or_retracted(
    spark: SparkSession, settings: Settings, days: pd.DataFrame
) -> None:
    rows = minute_frame(spark, days[days["symbol"] == "volume_spike"]).toArrow()
    tape = Tape(spark, minute_frame(spark, EMPTY).schema, BARS, settings, "minute")

    def come(some: pa.Table) -> Changes:
        piece = tape.piece(some)
        if piece is None:
            return Changes()
        changes = tape.stand(piece, tape.events(piece))
        tape.keep(piece)
        return changes

    first = come(rows)
    spikes = [event for event in first.new if event["detector"] == "volume_spike"]
    assert len(spikes) == 1
    assert come(rows) == Changes()
    at = rows.filter(pa.array(rows["minute"].to_numpy() == spikes[0]["number"]))
    volume = at.column_names.index("volume")
    louder = come(at.set_column(volume, "volume", pa.array(at["volume"].to_numpy() * 2)))
    assert (louder.new, louder.retracted) == ([], [])
    assert spikes[0]["event_id"] in [event["event_id"] for event in louder.corrected]
    quiet = come(at.set_column(volume, "volume", pa.array([1], pa.int64())))
    assert spikes[0]["event_id"] in [event["event_id"] for event in quiet.retracted]
    assert [event for event in tape.events_that_stand() if event["event_id"] == spikes[0]["event_id"]] == []


def test_arrivals_end_as_the_rows_are_and_come_late_doubled_wrong_and_in_empty_pieces(days: pd.DataFrame) -> None:
    rows = copies(days.assign(security_id="T:" + days["symbol"]), 3)
    came = arriving(rows, "minute", 6, np.random.default_rng(1), Disorder())
    last = came.drop_duplicates(list(BARS), keep="last").drop(columns=PIECE)
    expected = rows.sort_values(list(BARS), ignore_index=True)
    pd.testing.assert_frame_equal(last.sort_values(list(BARS), ignore_index=True)[expected.columns], expected)
    assert len(came) > 1.05 * len(rows)
    assert came[came.duplicated([*BARS, "volume"])].shape[0] > 0.02 * len(rows)
    assert (came.groupby("security_id")[PIECE].nunique() < 6).any()
    in_order = came.drop_duplicates(list(BARS), keep="first").groupby("security_id")
    assert not in_order["minute"].apply(lambda minute: minute.is_monotonic_increasing).any()


def test_a_plan_that_is_made_once_reads_what_it_is_given_each_time_and_may_have_no_exchange(
    spark: SparkSession, settings: Settings
) -> None:
    schema = StructType([StructField("key", LongType()), StructField("value", LongType())])
    added = Prepared(spark, settings, [schema], lambda rows: rows.selectExpr("sum(value) AS value"), 2)
    for values in ([1, 2], [5], []):
        rows = pa.table({"key": pa.array(values, pa.int64()), "value": pa.array(values, pa.int64())})
        assert added.run([[rows], [rows]])["value"].to_pylist() == [sum(values) or None] * 2
    with pytest.raises(ValueError, match="Exchange would keep the first run's rows"):
        Prepared(spark, settings, [schema], lambda rows: rows.repartition(2, "key"), 1)
