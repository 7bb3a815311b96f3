"""Parts as processes: each is there once, says how it is, and ends when it is told to."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smallcaps.errors import BadInput
from smallcaps.streaming import process
from smallcaps.streaming.process import running_as, states, stop, write_state

WAITS = "import time; print('up', flush=True); time.sleep(600)"
IS_DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAITS}"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Starts a script as the part `detect`, and returns when it is up."""
    running = []

    def start(script: str) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
        running.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        write_state(tmp_path / "detect.json", child.pid, datetime.now(UTC), {"behind": 3})
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()


def test_a_part_says_how_it_is_until_it_ends(tmp_path: Path) -> None:
    with running_as(tmp_path, "detect") as part:
        part.say(behind=7)
        (state,) = states(tmp_path)
        assert (state.part, state.pid, state.facts) == ("detect", os.getpid(), {"behind": 7})
        assert state.is_running
        assert not part.stopping.is_set()
        signal.raise_signal(signal.SIGTERM)
        assert part.stopping.is_set()
    assert states(tmp_path) == []


def test_a_part_that_fails_is_still_told_of(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def fail() -> None:
        with running_as(tmp_path, "detect"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert [state.part for state in states(tmp_path)] == ["detect"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_part_that_runs_already_is_refused_and_another_is_not(
    tmp_path: Path, started: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    child = started(WAITS)
    with (
        pytest.raises(BadInput, match=f"running already, as process {child.pid}.*`smallcaps live down`"),
        running_as(tmp_path, "detect"),
    ):
        pass
    with running_as(tmp_path, "land"):
        assert [state.part for state in states(tmp_path)] == ["detect", "land"]
    assert [state.part for state in states(tmp_path)] == ["detect"]


def test_one_that_ends_in_order_leaves_no_trace(
    tmp_path: Path, started: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    started(WAITS)
    assert stop(states(tmp_path)[0], tmp_path)
    assert states(tmp_path) == []


def test_one_that_does_not_end_is_killed(
    tmp_path: Path, started: Callable[[str], subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STOP_SECONDS", 0.5)
    child = started(IS_DEAF)
    assert not stop(states(tmp_path)[0], tmp_path)
    assert child.wait(30) == -signal.SIGKILL


def test_a_process_that_died_does_not_run_and_is_cleared_away(
    tmp_path: Path, started: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    child = started(WAITS)
    child.kill()
    child.wait()
    (state,) = states(tmp_path)
    assert not state.is_running
    assert stop(state, tmp_path)
    assert states(tmp_path) == []


def test_another_process_of_the_same_number_is_not_the_part(tmp_path: Path) -> None:
    file = tmp_path / "detect.json"
    write_state(file, os.getpid(), datetime.now(UTC), {})
    assert states(tmp_path)[0].is_running
    file.write_text(json.dumps(json.loads(file.read_text()) | {"born": "1"}))
    assert not states(tmp_path)[0].is_running
