"""The views, by hand; and DuckDB, reading the same tables with the same SQL, gets what Spark gets."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from deltalake import DeltaTable
from pyspark.sql import SparkSession

from smallcaps.calendar import sessions_between
from smallcaps.lake import REGISTRY, VIEWS, Lake, declared
from smallcaps.lake.declaration import View
from smallcaps.lake.views import MOST_TIMES
from smallcaps.refine.labels import calendar_frame
from tests.microstructure.tables import as_table
from tests.models.world import Row, event_row, label_row

SESSIONS = sessions_between(dt.date(2024, 1, 2), dt.date(2024, 1, 25)).to_dict("records")
LATER = dt.timedelta(hours=1)


def event(name: str, number: int, session: int, detector: str = "gap", **values: Any) -> Row:
    """The name's event of a session; its id is the name and a number."""
    return event_row(f"{name}{number}", SESSIONS[session], detector, symbol=name, security_id=f"T:{name}", **values)


def label(of: Row, outcome: str, known: int, **values: Any) -> Row:
    """Its label of 5 sessions, certain at the close of session `known`."""
    return label_row(of, outcome) | {
        "known_at": SESSIONS[known]["close_at"],
        "exit_at": SESSIONS[known]["close_at"],
        **values,
    }


def company(name: str, session: int, known_at: dt.datetime, free_float: float | None, is_member: bool) -> Row:
    row = dict.fromkeys(column.name for column in declared("silver.universe").columns)
    return row | {
        "security_id": f"T:{name}",
        "symbol": name,
        "session_date": SESSIONS[session]["session_date"],
        "known_at": known_at,
        "previous_close": 4.0,
        "bars": 20,
        "median_dollar_volume": 1e6,
        "traded_before": True,
        "passes_floor": is_member,
        "is_member": is_member,
        "free_float": free_float,
    }


def sector(name: str, session: int, is_known: bool) -> Row:
    row = dict.fromkeys(column.name for column in declared("silver.sectors").columns)
    return row | {
        "security_id": f"T:{name}",
        "symbol": name,
        "session_date": SESSIONS[session]["session_date"],
        "known_at": SESSIONS[session]["close_at"],
        "sector": "energy",
        "is_sector_known": is_known,
        "market_fund": "SPY",
        "small_cap_fund": "IWM",
        "n": 60,
    }


def feature(of: Row, before: float, after: float) -> Row:
    row = dict.fromkeys(column.name for column in declared("gold.event_features").columns)
    told = {name: of[name] for name in ("event_id", "symbol", "session_date", "known_at")}
    used = dict.fromkeys(("trades_used", "quotes_used", "quotes_dropped"), 1)
    return row | told | used | {"trade_imbalance_before": before, "trade_imbalance_after": after}


A1 = event("A", 1, 1, price=3.0)
A2 = event("A", 2, 2, price=3.5, direction=-1)
A3 = event("A", 3, 4, price=3.0)
B1 = event("B", 1, 1, "atr_breakout", price=12.0)
# Within the session: 20 minutes after the open, 12:00, half past one, and 10 minutes before the close.
MINUTES = [
    event("C", number, 1, "volume_spike", grain="minute", ts=SESSIONS[1]["open_at"] + dt.timedelta(minutes=minutes))
    for number, minutes in enumerate((-60, 20, 149, 240, 380), start=1)
]
# A gap a session, each with a label that is certain at that session's close.
D = [event("D", number, number, price=8.0) for number in range(13)]
EVENTS = [A1, A2, A3, B1, *MINUTES, *D]
LABELS = [
    label(A1, "continuation", 3, **{"return": 0.04, "gave_back": True}),
    label(A1, "continuation", 1, horizon="close", **{"return": 0.01}),
    label(A2, "reversal", 3, **{"return": -0.02, "gave_back": False}),
    label(A3, "censored", 9),
    label(B1, "none", 6, **{"return": 0.5}),
    *(label(one, "reversal", number, **{"return": -0.01 * number}) for number, one in enumerate(D)),
]
TABLES: dict[str, list[Row]] = {
    "gold.events": EVENTS,
    "gold.event_labels": LABELS,
    "gold.event_features": [feature(MINUTES[0], 0.25, 0.75)],
    "silver.universe": [
        company("A", 1, SESSIONS[0]["post_close_at"], 4e6, True),
        company("A", 2, A2["known_at"] + LATER, 4e6, True),  # Known only after the event.
        company("A", 4, SESSIONS[3]["post_close_at"], None, True),
        company("B", 1, SESSIONS[0]["post_close_at"], 6e7, False),
    ],
    # Of the event's own session, not known at the open; of the session before; of hindsight.
    "silver.sectors": [sector("A", 1, True), sector("A", 3, False)],
}


@pytest.fixture(scope="module")
def told(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lake]:
    """A lake of the tables that views are made of, known to SQL."""
    lake = Lake(str(tmp_path_factory.mktemp("views")), spark)
    first, last = SESSIONS[0]["session_date"], SESSIONS[-1]["session_date"]
    lake.replace("silver.calendar", calendar_frame(spark, first, last), None, "run")
    for name, rows in TABLES.items():
        lake.replace(name, as_table(spark, name, rows), None, "run")
    lake.register()
    yield lake
    for layer in ("silver", "gold"):
        spark.sql(f"DROP SCHEMA IF EXISTS {layer} CASCADE")


def found(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in lake.spark.sql(query).toArrow().to_pylist()]


def test_every_view_says_what_it_is_and_is_made_of_tables_that_are_declared() -> None:
    assert VIEWS.keys().isdisjoint(REGISTRY)
    for name, view in VIEWS.items():
        assert name == view.name
        assert name.startswith("gold.")
        assert view.comment
        assert view.reads
        assert set(view.reads) <= set(REGISTRY)
        assert all(column.comment for column in view.columns)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_columns_are_as_declared_comments_and_all(view: View, told: Lake) -> None:
    fields = told.spark.table(view.name).schema.fields
    assert [(field.name, field.dataType) for field in fields] == [(one.name, one.data_type) for one in view.columns]
    assert [field.metadata["comment"] for field in fields] == [one.described for one in view.columns]


def test_an_event_has_beside_it_what_was_known_then_and_no_more(told: Lake) -> None:
    rows = found(
        told,
        "SELECT event_id, time_of_day, free_float, is_member, sector, trade_imbalance_before, outcome "
        "FROM gold.events_in_context WHERE symbol IN ('A', 'B', 'C') AND coalesce(horizon, '5d') = '5d' ORDER BY event_id",
    )
    assert rows == [
        # The sector of its own session is not known at the open.
        ("A1", "first_half_hour", 4e6, True, None, None, "continuation"),
        # What the universe says of it came an hour late.
        ("A2", "first_half_hour", None, None, "energy", None, "reversal"),
        # The sector of the session before is one of hindsight.
        ("A3", "first_half_hour", None, True, None, None, "censored"),
        ("B1", "after_close", 6e7, False, None, None, "none"),
        ("C1", "pre", None, None, None, 0.25, None),
        ("C2", "first_half_hour", None, None, None, None, None),
        ("C3", "morning", None, None, None, None, None),
        ("C4", "afternoon", None, None, None, None, None),
        ("C5", "last_half_hour", None, None, None, None, None),
    ]
    assert "trade_imbalance_after" not in told.spark.table("gold.events_in_context").columns


def test_a_session_is_summed_up_by_detector_and_label(told: Lake) -> None:
    rows = found(
        told,
        "SELECT session_date, events, names, up_share, universe_members, horizon, labelled, continuation_share, reversal_share, "
        "exhaustion_share, mean_return FROM gold.daily_summary WHERE detector = 'gap' ORDER BY session_date, horizon LIMIT 5",
    )
    days = [session["session_date"] for session in SESSIONS]
    assert rows == [
        # D alone: 0 of one.
        (days[0], 1, 1, 1.0, None, "5d", 1, 0.0, 1.0, None, 0.0),
        # A went on by 4 %, D turned by 1 %; whether half was given back is known of A alone. A is a member, B is none.
        (days[1], 2, 2, 1.0, 1, "5d", 2, 0.5, 0.5, 1.0, pytest.approx(0.015)),
        (days[1], 2, 2, 1.0, 1, "close", 1, 1.0, 0.0, None, 0.01),
        # A fell.
        (days[2], 2, 2, 0.5, 1, "5d", 2, 0.0, 1.0, 0.0, pytest.approx(-0.02)),
        (days[3], 1, 1, 1.0, None, "5d", 1, 0.0, 1.0, None, pytest.approx(-0.03)),
    ]
    # The censored label of A is none of the labelled.
    assert found(
        told,
        f"SELECT events, labelled FROM gold.daily_summary WHERE detector = 'gap' AND session_date = DATE'{days[4]}'",
    ) == [(2, 1)]
    assert found(told, "SELECT events, labelled FROM gold.daily_summary WHERE detector = 'volume_spike'") == [(5, None)]


def test_events_that_are_alike_are_a_cohort(told: Lake) -> None:
    rows = found(
        told,
        "SELECT detector, direction, time_of_day, price_bucket, float_bucket, events, names, continuation_share, median_return, "
        "certain_at FROM gold.cohorts WHERE horizon = '5d' ORDER BY ALL",
    )
    assert rows == [
        ("atr_breakout", 1, "after_close", "10_and_over", "50M_and_over", 1, 1, 0.0, 0.5, SESSIONS[6]["close_at"]),
        ("gap", -1, "first_half_hour", "2_to_5", "unknown", 1, 1, 0.0, -0.02, SESSIONS[3]["close_at"]),
        ("gap", 1, "first_half_hour", "2_to_5", "under_5M", 1, 1, 1.0, 0.04, SESSIONS[3]["close_at"]),
        # 0, −1 … −12 %: the seventh of thirteen.
        *[
            (
                "gap",
                1,
                "first_half_hour",
                "5_to_10",
                "unknown",
                13,
                1,
                0.0,
                pytest.approx(-0.06),
                SESSIONS[12]["close_at"],
            )
        ],
    ]


def test_of_an_even_number_the_median_lies_between_the_two_in_the_middle(told: Lake) -> None:
    # The first four of D: 0, −1, −2 and −3 %.
    query = VIEWS["gold.cohorts"].query.replace(
        "WHERE label.weight > 0", "WHERE event.event_id IN ('D0', 'D1', 'D2', 'D3')"
    )
    assert found(told, f"SELECT events, median_return FROM ({query})") == [(4, pytest.approx(-0.015))]


def test_of_earlier_times_only_what_was_certain_at_the_event_is_told(told: Lake) -> None:
    rows = found(
        told,
        "SELECT event_id, times_ago, earlier_event_id, earlier_direction, horizon, outcome, `return`, gave_back "
        "FROM gold.earlier_times WHERE symbol IN ('A', 'B') ORDER BY event_id, horizon, times_ago",
    )
    assert rows == [
        # The label of five sessions of A1 was certain on session 3, that of the close before session 2 began.
        ("A2", 1, "A1", 1, "close", "continuation", 0.01, None),
        ("A3", 1, "A2", -1, "5d", "reversal", -0.02, False),
        ("A3", 2, "A1", 1, "5d", "continuation", 0.04, True),
        ("A3", 1, "A1", 1, "close", "continuation", 0.01, None),
    ]
    # Of the twelve before, the nearest.
    of_last = found(
        told, "SELECT times_ago, earlier_event_id FROM gold.earlier_times WHERE event_id = 'D12' ORDER BY times_ago"
    )
    assert of_last == [(ago, f"D{12 - ago}") for ago in range(1, MOST_TIMES + 1)]


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_duckdb_gets_the_same_of_the_same_sql(view: View, told: Lake) -> None:
    other = duckdb.connect()
    other.sql("SET TimeZone = 'UTC'")
    for name in view.reads:
        layer, table = name.split(".")
        rows = DeltaTable(told.location(name)).to_pyarrow_dataset()
        other.register(f"{layer}_{table}", rows)
        other.sql(f"CREATE SCHEMA IF NOT EXISTS {layer}")
        other.sql(f"CREATE VIEW {name} AS SELECT * FROM {layer}_{table}")
    theirs = [tuple(row.values()) for row in other.sql(view.query).to_arrow_table().to_pylist()]
    ours = found(told, f"SELECT * FROM {view.name}")
    assert len(ours) > 3

    def by_content(rows: list[tuple[Any, ...]]) -> list[list[Any]]:
        return [
            [pytest.approx(value, abs=1e-12) if isinstance(value, float) else value for value in row]
            for row in sorted(rows, key=lambda row: [str(value) for value in row if not isinstance(value, float)])
        ]

    assert by_content(theirs) == by_content(ours)


def test_a_table_that_was_never_written_is_an_empty_one_to_views(lake: Lake, told: Lake) -> None:
    lake.replace("gold.events", as_table(lake.spark, "gold.events", [A1, A2]), None, "run")
    assert lake.register() == ["gold.events"]
    counts = {name: lake.spark.table(name).count() for name in VIEWS}
    assert counts == {"gold.events_in_context": 2, "gold.daily_summary": 2, "gold.cohorts": 0, "gold.earlier_times": 0}
    assert found(lake, "SELECT DISTINCT outcome, free_float, time_of_day FROM gold.events_in_context") == [
        (None, None, None)
    ]
