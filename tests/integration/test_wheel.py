"""The wheel, where there is no checkout: its command runs, and so does a job on a cluster whose executors have it by a packed
environment. What it depends on is not packed: the environment points to the pinned packages of this one.
"""

import os
import shutil
import site
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest
from deltalake import DeltaTable

from smallcaps.config import Settings
from smallcaps.spark import session_jars
from smallcaps.spark.cluster import Cluster
from tests.conftest import REPOSITORY, SAMPLE

pytestmark = pytest.mark.slow

DAY = "2015-03-20"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, built of a copy of what is tracked, and the pinned packages of this one."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for name in tracked.stdout.strip("\0").split("\0"):
        if not name.startswith(("data/", "tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(source)], check=True
    )
    venv.create(folder / "environment", symlinks=True, with_pip=False)
    python = folder / "environment" / "bin" / "python"
    [packages] = (folder / "environment" / "lib").glob("python*/site-packages")
    # Of a folder that is named here Python does not read the .pth files, so the checkout stays unknown.
    (packages / "pinned.pth").write_text("\n".join(site.getsitepackages()))
    [wheel] = folder.glob("*.whl")
    subprocess.run([*pip, f"--python={python}", "install", "--no-deps", str(wheel)], check=True)
    return folder / "environment"


def told(environment: Path, **more: str) -> dict[str, str]:
    """The environment of a shell that knows of no checkout."""
    kept = {name: os.environ[name] for name in ("HOME", "JAVA_HOME", "LANG") if name in os.environ}
    return {**kept, "PATH": f"{environment / 'bin'}:{Path(sys.executable).parent}:/usr/bin:/bin", **more}


def test_the_command_runs_with_the_settings_and_files_that_the_wheel_brings(environment: Path, tmp_path: Path) -> None:
    def run(*words: str) -> str:
        command = [environment / "bin" / "smallcaps", *words]
        done = subprocess.run(command, cwd=tmp_path, env=told(environment), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("version").startswith("0.1.0")
    assert "volume_spike" in run("detectors", "list")
    where = [environment / "bin" / "python", "-c", "import smallcaps; print(smallcaps.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=told(environment), capture_output=True, text=True, check=True)
    assert found.stdout.startswith(str(environment))


@pytest.mark.long
def test_a_job_runs_on_a_cluster_whose_executors_have_the_packed_environment_alone(
    environment: Path, settings: Settings, tmp_path: Path
) -> None:
    packed, jobs = tmp_path / "environment.tar.gz", tmp_path / "jobs"
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(environment, ".")
    shutil.copytree(REPOSITORY / "jobs", jobs)
    arguments = ["--root", str(SAMPLE), "--kinds", "day_aggs_v1", "--from", DAY, "--to", DAY]
    jars = ",".join(map(str, session_jars(settings)))
    submit = [
        "spark-submit",
        "--jars",
        jars,
        "--archives",
        f"{packed}#environment",
        str(jobs / "ingest_flatfiles.py"),
        *arguments,
    ]
    with Cluster(tmp_path / "cluster", settings.cache).start(1) as cluster:
        # The executors' Python exists in what is unpacked for them and nowhere else.
        python = {
            "PYSPARK_DRIVER_PYTHON": str(environment / "bin" / "python"),
            "PYSPARK_PYTHON": "environment/bin/python",
        }
        lake = {"SMALLCAPS_LAKE": str(tmp_path / "lake")}
        done = subprocess.run(
            submit,
            cwd=tmp_path,
            env=told(environment, **cluster.told, **python, **lake),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert DeltaTable(str(tmp_path / "lake" / "bronze" / "bars_1d")).count() > 500


def test_the_image_is_made_of_files_that_are_there() -> None:
    """It was never built here: this machine has no container engine."""
    lines = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]]
    assert copied
    for name in copied:
        assert name.startswith("dist/") or (REPOSITORY / name).exists(), name
    assert [line for line in lines if line.startswith("USER")] == ["USER smallcaps"]
