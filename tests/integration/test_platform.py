"""The platform demo as it is run by hand, with one session instead of three."""

from pathlib import Path

import pytest

from smallcaps.platform import demo


@pytest.mark.slow
@pytest.mark.long
def test_the_daily_dag_fills_the_lake_on_a_cluster_whoever_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "MARKET", demo.MARKET | {"tick-days": "1"})
    assert demo.main(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "the daily DAG of 2026-10-16: success" in shown
    for table in (
        "gold.events",
        "gold.core_manifest",
        "gold.event_features",
        "gold.event_sequences",
        "gold.event_labels",
    ):
        assert table in shown
