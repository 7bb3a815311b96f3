"""The command: it says where it listens, makes a key where none is set, and stops when interrupted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.sources.simulator.server.asking import Asking
from tests.sources.simulator.server.market import KEY

KEYS = ("POLYGON_API_KEY", "MASSIVE_API_KEY")


def command(*options: str, **environment: str) -> "subprocess.Popen[str]":
    clean = {name: value for name, value in os.environ.items() if name not in KEYS}
    return subprocess.Popen(
        [sys.executable, "-m", "smallcaps.cli.app", "simulate", "serve", *options],
        env=clean | {"PYTHONPATH": str(REPOSITORY)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_market_is_served_until_interrupted(market: Path) -> None:
    with command("--market", str(market), "--faults", "too_many_every=2", MASSIVE_API_KEY=KEY) as process:
        assert process.stdout is not None
        rest, socket, bucket = (process.stdout.readline() for _ in range(3))
        origin = rest.split()[1]
        asking = Asking(origin)
        assert [asking.answer("/v1/marketstatus/now").status for _ in range(2)] == [200, 429]
        assert socket.split() == ["WebSocket", origin.replace("http", "ws") + "/stocks"]
        assert (bucket.split()[1], "access key id simulator" in bucket) == (origin, True)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)
        assert (process.returncode, KEY in str(said) + rest + socket + bucket) == (130, False)


def test_a_key_is_made_and_printed_where_none_is_set(market: Path) -> None:
    with command("--market", str(market)) as process:
        assert process.stdout is not None
        export, rest = process.stdout.readline(), process.stdout.readline()
        key = export.removeprefix("export POLYGON_API_KEY=").strip()
        answer = Asking(rest.split()[1]).answer("/v1/marketstatus/now", Authorization=f"Bearer {key}")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert (len(key), answer.status) == (32, 200)


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--faults", "nonsense=1"), "Unknown faults nonsense"), (("--date", "2026-06-07"), "has no tape of 2026-06-07")],
)
def test_what_cannot_be_served_is_told_in_a_sentence(market: Path, options: tuple[str, ...], said: str) -> None:
    with command("--market", str(market), *options, MASSIVE_API_KEY=KEY) as process:
        errors = process.communicate(timeout=60)[1]
        assert (process.returncode, said in errors, "Traceback" in errors) == (2, True, False)
