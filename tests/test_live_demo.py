"""What the live demo tells at its end."""

from datetime import date

from smallcaps.lake import Lake, declared
from smallcaps.live_demo import signals
from tests.lake.readers import rows_of


def test_the_best_signals_are_told_with_their_reasons(lake: Lake) -> None:
    day, reasons = date(2026, 10, 16), [{"input": "atr_share", "value": 0.1, "adds": -0.25}]
    row = rows_of(declared("gold.signals")).to_pylist()[0]
    known = {"session_date": day, "symbol": "ABCD", "detector": "gap", "reasons": reasons}
    known |= {"continuation": 0.5, "reversal": 0.2, "exhaustion": 0.1, "threshold": 0.6, "is_signal": False}
    lake.append_rows("gold.signals", [row | known], "run")
    found = signals(lake, day)
    assert found is not None
    assert (found.scored, found.best) == (1, (("ABCD", "gap", 0.5, "atr_share -0.25"),))
    assert signals(lake, date(2026, 10, 15)) is None
