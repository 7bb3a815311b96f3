"""The doctor names what is missing and what to do, and never raises."""

import sys
from pathlib import Path

import pytest

from smallcaps.cli import doctor
from smallcaps.cli.app import main


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SMALLCAPS_LAKE", str(tmp_path / "lake"))
    return tmp_path / "lake"


def finding(name: str) -> doctor.Check:
    return next(check for check in doctor.examine() if check.name == name)


def test_on_a_machine_that_has_all_the_doctor_is_content(lake: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert all(check.fine is not False for check in doctor.examine())
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert str(lake.name) in said
    assert "✗" not in said
    assert not lake.exists()


def test_a_full_disk_is_found_before_a_job_fills_it(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "NEEDED_GIGABYTES", 10**9)
    check = finding("disk")
    assert check.fine is False
    assert "GB are needed; free some" in check.finding
    assert main(["doctor"]) == 4


def test_settings_that_cannot_be_read_are_a_finding_too(
    lake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLCAPS_SPARK__DRIVER_MEMORYY", "3g")
    check = finding("settings")
    assert check.fine is False
    assert "driver_memoryy" in check.finding
    assert finding("java").fine is True
    assert main(["doctor"]) == 4
    assert "driver_memoryy" in capsys.readouterr().out


def test_jars_to_be_fetched_are_no_fault(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLCAPS_CACHE", str(tmp_path / "cache"))
    check = finding("jars")
    assert check.fine is None
    assert "needs a network" in check.finding


def test_the_key_to_fred_is_mentioned_and_its_absence_is_no_fault(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FRED_API_KEY", raising=False)
    check = finding("fred")
    assert check.fine is None
    assert "FRED_API_KEY is not set" in check.finding
    monkeypatch.setenv("FRED_API_KEY", "not-to-be-seen")
    assert finding("fred") == doctor.Check("fred", True, "there is a key")


def test_an_extra_that_is_not_installed_is_named(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "EXTRAS", {**doctor.EXTRAS, "models": ("mlflow_of_another_name",)})
    check = finding("extras")
    assert check.fine is None
    assert "models" in check.finding
    assert "pip install" in check.finding


def test_another_python_is_refused(lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1, "final", 0))
    check = finding("python")
    assert check.fine is False
    assert "3.11" in check.finding
