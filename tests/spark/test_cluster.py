"""A cluster of this machine is for those who know its secret, its pages for those who have the token."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from smallcaps.cli.app import main
from smallcaps.config import Settings
from smallcaps.errors import FailedDependency
from smallcaps.ports import free_port
from smallcaps.spark.cluster import Cluster
from smallcaps.spark.history import history

pytestmark = pytest.mark.slow

COUNT = """
from pyspark.sql import SparkSession
print("counted", SparkSession.builder.appName("counting").getOrCreate().range(10).count())
"""


@pytest.fixture(scope="module")
def cluster(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster"), settings.cache).start(1) as running:
        yield running


def cookie_of(page: str) -> str:
    """What a page leaves with a browser."""
    with urllib.request.urlopen(page, timeout=30) as answer:
        return str(answer.headers["Set-Cookie"]).partition(";")[0]


def asked(page: str, **headers: str) -> tuple[int, str]:
    """Status and body."""
    try:
        with urllib.request.urlopen(urllib.request.Request(page, headers=headers), timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, ""


def driver(seconds: float = 120, **told: str) -> subprocess.CompletedProcess[str]:
    """A program of a driver's, in a process of its own."""
    command, environment = [sys.executable, "-c", COUNT], {**os.environ, **told}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)


def test_the_masters_page_is_for_whoever_has_the_token(cluster: Cluster) -> None:
    page, _, token = cluster.page.partition("?token=")
    assert asked(page)[0] == 401
    assert asked(f"{page}?token=guess")[0] == 401
    cookie = cookie_of(cluster.page)
    assert asked(page, Cookie=f"{cookie.partition('=')[0]}=guess")[0] == 401
    for status, body in (
        asked(cluster.page),
        asked(page, Authorization=f"Bearer {token}"),
        asked(page, Cookie=cookie),
    ):
        assert status == 200
        assert "Spark Master" in body
    assert asked(cluster.alive()[0]["webuiaddress"])[0] == 401


def test_a_driver_without_the_secret_gets_nothing_and_one_that_has_it_leaves_its_event_log(
    cluster: Cluster, settings: Settings, tmp_path: Path
) -> None:
    stranger = tmp_path / "conf"
    stranger.mkdir()
    lines = (cluster.folder / "conf" / "spark-defaults.conf").read_text().splitlines()
    (stranger / "spark-defaults.conf").write_text("\n".join(line for line in lines if "authenticate" not in line))
    # It would knock for a minute.
    with pytest.raises(subprocess.TimeoutExpired):
        driver(SPARK_CONF_DIR=str(stranger), seconds=20)
    assert "your client does not have SASL enabled" in (cluster.folder / "logs" / "master.log").read_text()

    counted = driver(**cluster.told)
    assert "counted 10" in counted.stdout, counted.stderr[-2000:]
    with history(str(cluster.folder / "events"), tmp_path / "history", settings.cache) as page:
        address, _, token = page.partition("/?token=")
        assert asked(address)[0] == 401
        status, body = asked(f"{address}/api/v1/applications?token={token}")
    assert status == 200
    assert "counting" in {application["name"] for application in json.loads(body)}


def command_line(process: psutil.Process) -> str:
    """Nothing of one that has ended."""
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""


def test_secrets_are_readable_by_this_user_alone_and_stand_on_no_command_line(cluster: Cluster) -> None:
    defaults = cluster.folder / "conf" / "spark-defaults.conf"
    assert defaults.stat().st_mode & 0o077 == 0
    settings = dict(line.split(" ", 1) for line in defaults.read_text().splitlines())
    secrets = [settings[name] for name in ("spark.authenticate.secret", "spark.smallcaps.TokenFilter.param.token")]
    command, environment = [sys.executable, "-c", f"{COUNT}input()"], {**os.environ, **cluster.told}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as counting:
        assert counting.stdout is not None
        assert "counted" in counting.stdout.readline()
        own = psutil.Process(counting.pid).children(recursive=True)
        theirs = [child for one in cluster.workers for child in psutil.Process(one.pid).children(recursive=True)]
        lines = [command_line(process) for process in (*own, *theirs)]
        counting.communicate("\n")
    assert any("SparkSubmit" in line for line in lines)
    assert any("CoarseGrainedExecutorBackend" in line for line in lines)
    lines += [Path(f"/proc/{one.pid}/cmdline").read_text() for one in cluster.workers]
    assert not [line for line in lines for secret in secrets if secret in line]


def test_a_cluster_whose_port_is_taken_is_told(cluster: Cluster, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(FailedDependency, match=rf"Another program listens on 127.0.0.1:{cluster.port}"):
        Cluster(tmp_path, settings.cache, port=cluster.port, page_port=cluster.page_port).start(1)


def test_the_command_prints_what_makes_drivers_the_clusters_and_ends_it_when_told(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "jars").symlink_to(settings.cache / "jars")
    ports = ["--port", str(free_port()), "--page-port", str(free_port()), "--workers", "1", "--memory", "512m"]
    command = subprocess.Popen(
        [sys.executable, "-m", "smallcaps.cli.app", "cluster", *ports],
        env={**os.environ, "SMALLCAPS_CACHE": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    try:
        lines = [command.stdout.readline().strip() for _ in range(2)]
        told = dict(line.removeprefix("export ").split("=", 1) for line in lines)
        assert told["SMALLCAPS_SPARK__MASTER"] == f"spark://127.0.0.1:{ports[1]}"
        assert (Path(told["SPARK_CONF_DIR"]) / "spark-defaults.conf").is_file()
    finally:
        command.terminate()
        _, said = command.communicate(timeout=60)
    assert command.returncode == 0
    assert "the master's page is http://127.0.0.1:" in said.replace("\n", " ")


def test_history_without_event_logs_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLCAPS_CACHE", str(tmp_path))
    assert main(["history"]) == 2
    assert "SMALLCAPS_SPARK__EVENTS=FOLDER" in capsys.readouterr().err.replace("\n", "")
    assert main(["history", "--events", str(tmp_path / "nowhere")]) == 2
