"""The main job as a user runs it, on a reduced sample, and what the commands then say of its lake."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

import smallcaps
from smallcaps.cli.app import main
from smallcaps.cli.sql import Format, Queries
from smallcaps.config import Settings
from smallcaps.errors import BadInput
from smallcaps.lake import REGISTRY, Lake
from smallcaps.refine.job import BRONZE_SNAPSHOTS, STEPS
from smallcaps.serving.fault_account import account, unaccounted
from tests.conftest import REPOSITORY
from tests.notebooks import ran, renderer
from tests.sample import reduced_sample

pytestmark = pytest.mark.slow

ENVIRONMENT = {
    "SMALLCAPS_DATASETS__DAILY__FOLDS": "2",
    "SMALLCAPS_MODELS__MINIMUM_TRAINING_EVENTS": "20",
    "SMALLCAPS_MODELS__BOOTSTRAP_SAMPLES": "50",
    "SMALLCAPS_MODELS__GRADIENT_BOOSTING": '{"n_estimators": 10, "max_depth": 2}',
}

QUICK = ("event_study", "explore_events", "microstructure_of_an_event")
NOTEBOOKS = (*QUICK, "train_and_compare_models")
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def root(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake after `smallcaps demo`."""
    folder = tmp_path_factory.mktemp("demo")
    sample = reduced_sample(folder / "sample")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ENVIRONMENT, "SMALLCAPS_LAKE": str(folder / "lake")}.items():
            patch.setenv(name, value)
        assert main(["demo", "--sample", str(sample)]) == 0
    return folder / "lake"


@pytest.fixture
def run(root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command on that lake: exit code, stdout, stderr."""
    for name, value in {**ENVIRONMENT, "SMALLCAPS_LAKE": str(root)}.items():
        monkeypatch.setenv(name, value)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(arguments))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_every_table_that_the_main_job_makes_holds_rows(root: Path, spark: SparkSession) -> None:
    lake = Lake(str(root), spark)
    # The sample has daily bars, trades, quotes and splits; the other tables of bronze come from REST, and what is made of them.
    # Order books come of a simulated market alone, as does what is learnt of manipulation; reviews of people, points of sequence
    # models; drift is measured by hand; the live tape is not the main job's.
    live = {"gold.live_events", "gold.event_revisions", "gold.signals", "ops.dead_letters", "ops.stream_progress"}
    apart = {"gold.reviews", "gold.patterns", "gold.manipulation_alerts", "ops.drift"} | live
    from_files = {"bronze.bars_1d", "bronze.trades", "bronze.quotes", "bronze.splits"}
    from_rest = {step.table for step in STEPS if set(step.sources) <= {*BRONZE_SNAPSHOTS, "bronze.book"}}
    for name in REGISTRY:
        if name in from_files or not (name.startswith("bronze.") or name in from_rest or name in apart):
            assert lake.exists(name), name
            # Nothing was halted on the sample's days with quotes, and it has no bars of the vendor's beside trades; the days
            # with trades have no daily bars before them, so nobody is known to reach the liquidity floor.
            empty = {"silver.halts", "ops.differences", "silver.session_volumes", "silver.volume_curves"}
            assert lake.read(name).isEmpty() == (name in empty), name
        else:
            assert not lake.exists(name), name


def test_every_fault_of_the_simulated_market_beside_the_sample_is_accounted_for(
    root: Path, spark: SparkSession
) -> None:
    accounts, _ = account(Lake(str(root / "simulated"), spark), root / "report" / "market")
    assert sum(one.planted for one in accounts) > 15
    assert unaccounted(accounts) == []


def test_every_run_succeeded_and_lost_nothing(root: Path, spark: SparkSession) -> None:
    runs = Lake(str(root), spark).read("ops.runs").collect()
    jobs = {row["job"] for row in runs}
    assert jobs == {
        *("ingest flatfiles", "ingest reference", "refine", "detect daily", "detect minute", "detect trade"),
        *("manifest", "features", "sequences", "label", "dataset build", "train", "score"),
    }
    for row in runs:
        assert row["outcome"] == "succeeded"
        assert row["rows_in"] == row["rows_kept"] + row["rows_quarantined"]
        assert row["outputs"]
        assert len(row["settings_hash"]) == 16
        assert row["code_version"]
    judged = {json.loads(row["arguments"])["table"] for row in runs if row["job"] == "refine" and row["rows_in"]}
    rules = ("adjustments", "bars_1d", "trades", "quotes", "bars_1m", "bars_1h")
    assert judged == {f"silver.{name}" for name in rules}
    assert all(row["rows_in"] > 0 for row in runs if row["job"] == "ingest flatfiles")


@pytest.mark.parametrize(("detector", "decided"), [("gap", "gap strength"), ("volume_spike", "dollars 5m")])
def test_a_days_page_has_all_its_events_and_why_they_fired(
    root: Path, spark: SparkSession, run: Command, tmp_path: Path, detector: str, decided: str
) -> None:
    events = Lake(str(root), spark).read("gold.events")
    chosen = events.where(F.col("detector") == detector).orderBy("event_id").first()
    assert chosen is not None
    page = tmp_path / "pages" / "day.html"
    code, out, _ = run("show", chosen.symbol, str(chosen.session_date), "--page", str(page))
    assert (code, out.strip()) == (0, str(page))
    shown = page.read_text(encoding="utf-8")
    of_day = events.where(F.col("symbol") == chosen.symbol).where(F.col("session_date") == F.lit(chosen.session_date))
    ids = {row.event_id for row in of_day.collect()}
    assert set(re.findall(r'class="id">([0-9a-f]{32})<', shown)) == ids
    assert "not in gold.events" not in shown
    assert decided in shown
    assert not re.search(r"<script[^>]+src=", shown)


def test_a_day_of_which_silver_has_nothing_is_refused(run: Command, tmp_path: Path) -> None:
    code, _, said = run("show", "NOBODY", "2015-06-10", "--page", str(tmp_path / "day.html"))
    assert code == 2
    assert "no trades of NOBODY on 2015-06-10" in " ".join(said.split())
    assert not (tmp_path / "day.html").exists()


def test_the_report_is_one_page_without_anything_from_outside(root: Path) -> None:
    page = (root / "report" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script[^>]+src=", page)
    own = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="https?://', own)
    assert "{{" not in own
    summary = json.loads((root / "report" / "summary.json").read_text(encoding="utf-8"))
    assert summary


def test_the_report_opens_in_a_real_browser(root: Path, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("chromium is not installed")
    picture = tmp_path / "report.png"
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync --hide-scrollbars --window-size=1300,2400 --virtual-time-budget=10000"
    page = root / "report" / "report.html"
    subprocess.run(
        [browser, *flags.split(), f"--user-data-dir={tmp_path / 'profile'}", f"--screenshot={picture}", page.as_uri()],
        check=True,
        capture_output=True,
        timeout=180,
    )
    # A blank page of this size compresses to a few kB.
    assert picture.stat().st_size > 60_000


def test_sql_prints_only_the_result(run: Command) -> None:
    query = (
        "SELECT detector, count(*) AS events FROM gold.events WHERE grain = 'daily' GROUP BY detector ORDER BY detector"
    )
    code, out, _ = run("sql", query, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 0
    assert rows
    assert all(int(row["events"]) > 0 for row in rows)
    code, out, _ = run("sql", query, "--format", "json")
    assert [json.loads(line)["detector"] for line in out.splitlines()] == [row["detector"] for row in rows]
    code, out, _ = run("sql", query)
    assert all(row["detector"] in out for row in rows)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nothing FROM gold.events", "nothing"),
        ("SELECT * FROM gold.evnts", "evnts"),
        ("SELEC 1", "Only queries"),
        ("SELECT count( FROM gold.events", "Syntax error"),
        ("DROP TABLE gold.events", "Only queries"),
        ("INSERT INTO gold.events SELECT * FROM gold.events", "Only queries"),
        ("WITH x AS (SELECT * FROM gold.events) INSERT INTO gold.events SELECT * FROM x", "Only queries"),
        ("DELETE FROM gold.events", "Only queries"),
        ("", "Only queries"),
    ],
)
def test_a_wrong_or_changing_statement_is_refused_in_one_sentence(run: Command, query: str, words: str) -> None:
    code, out, err = run("sql", query)
    assert (code, out) == (2, "")
    assert words.lower() in err.lower()
    assert "at org.apache" not in err
    assert "Traceback" not in err


def test_trace_of_a_daily_event_reaches_the_raw_file_and_its_checksum(
    run: Command, root: Path, spark: SparkSession
) -> None:
    event = Lake(str(root), spark).read("gold.events").where("grain = 'daily'").orderBy("event_id").first()
    assert event is not None
    code, out, _ = run("trace", event["event_id"][:16])
    assert code == 0
    assert "checksum holds" in out
    assert f"{event['session_date']}" in out
    assert "ingest flatfiles" in out
    kept = re.search(r"raw/flatfiles/us_stocks_sip/day_aggs_v1/\S+\.csv\.gz", out)
    assert kept is not None
    raw = root / kept[0]
    content = raw.read_bytes()
    try:
        raw.write_bytes(content[:-1])
        assert "missing or changed" in run("trace", event["event_id"])[1]
    finally:
        raw.write_bytes(content)


@pytest.mark.parametrize("grain", ["minute", "trade"])
def test_trace_of_an_intraday_event_reaches_its_trades(
    run: Command, root: Path, spark: SparkSession, grain: str
) -> None:
    event = Lake(str(root), spark).read("gold.events").where(f"grain = '{grain}'").orderBy("event_id").first()
    assert event is not None
    code, out, _ = run("trace", event["event_id"])
    assert code == 0
    assert "trades_v1" in out
    assert "checksum holds" in out


def test_trace_of_a_run_names_its_inputs_and_of_nothing_says_so(run: Command, root: Path, spark: SparkSession) -> None:
    trained = Lake(str(root), spark).read("ops.runs").where("job = 'train'").first()
    assert trained is not None
    code, out, _ = run("trace", trained["run_id"])
    assert code == 0
    assert "gold.event_labels@" in out
    assert run("trace", "0" * 32)[0] == 2
    assert run("trace", "12")[0] == 2


def test_tables_and_detectors_are_listed(run: Command) -> None:
    out = run("tables")[1]
    assert "gold.core_manifest" in out
    assert "relative_volume" in run("tables", "gold.events")[1]
    assert run("tables", "gold.nothing")[0] == 2
    assert "Topics of the live feed" in out
    assert "gold.daily_summary" in out
    assert "certain_at" in run("tables", "gold.cohorts")[1]
    assert "schema_version" in run("tables", "trades")[1]
    assert json.loads(run("tables", "trades", "--json-schema")[1])["title"] == "trades"
    code, _, said = run("tables", "--json-schema")
    assert (code, "Topics: trades, quotes" in said) == (2, True)
    assert "consolidation_break" in run("detectors", "list")[1]
    for grain in ("daily", "minute", "trade"):
        assert run("detectors", "sql", grain)[1].startswith("WITH source AS")
    explained = run("detectors", "explain", "daily")[1]
    assert "301 rows" in explained
    assert "Exchange" in explained


def test_a_lake_of_this_version_needs_no_upgrade_and_what_cannot_be_mended_is_named(
    run: Command, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = run("upgrade")
    assert (code, out.strip()) == (0, "Every table is as declared.")
    other = Lake(str(tmp_path), spark)
    other.empty("silver.calendar").withColumn("session_number", F.lit("1")).write.format("delta").save(
        other.location("silver.calendar")
    )
    monkeypatch.setenv("SMALLCAPS_LAKE", other.root)
    code, out, said = run("upgrade")
    assert (code, "as declared" in out) == (3, False)
    assert "session_number: declared int, found string" in " ".join(said.split())


def test_the_samples_daily_events_are_frozen_and_come_out_the_same_again(run: Command, root: Path) -> None:
    days = ("--from", "2015-03-20", "--to", "2016-05-27")
    code, out, _ = run("dataset", "build", "sample", "--of", "daily", *days)
    frozen = json.loads(out)
    assert (code, frozen["dataset"], frozen["folds"]) == (0, "sample", 2)
    assert frozen["rows"] > 100
    code, out, _ = run("dataset", "rebuild", "sample")
    assert (code, json.loads(out)) == (0, frozen)
    assert run("dataset", "build", "sample", "--of", "daily", *days)[0] == 2
    code, out, _ = run("dataset", "list")
    assert (code, frozen["content_hash"][:12] in out) == (0, True)
    assert run("dataset", "diff", "sample", "sample")[1].strip() == "They are the same."


@pytest.mark.long
def test_running_every_step_again_changes_no_content(run: Command, root: Path, spark: SparkSession) -> None:
    lake = Lake(str(root), spark)
    names = [
        "silver.bars_1d",
        "silver.trades",
        "silver.bars_1m",
        "gold.events",
        "gold.core_manifest",
        "gold.event_features",
        "gold.event_sequences",
        "gold.event_labels",
    ]
    before = {name: _content(lake, name) for name in names}
    days, ticks = ("--from", "2015-03-20", "--to", "2015-11-05"), ("--from", "2013-10-07", "--to", "2013-10-07")
    for command in (
        ("refine", *ticks),
        ("detect", "daily", *days),
        ("detect", "intraday", *ticks),
        ("manifest",),
        ("features", *ticks),
        ("sequences", *ticks),
        ("label", *days),
    ):
        assert run(*command)[0] == 0
    for name in names:
        assert _content(lake, name) == before[name], name


def test_the_manifest_can_be_shorter(run: Command) -> None:
    assert run("manifest", "--top", "5")[0] == 0
    out = run("sql", "SELECT count(*) AS n FROM gold.core_manifest", "--format", "json")[1]
    assert json.loads(out) == {"n": 5}
    assert run("manifest", "--top", "0")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("refine", "--from", "2015-05-01", "--to", "2015-04-01"), "after"),
        (("refine", "--from", "1999-01-04", "--to", "1999-01-05"), "ingest flatfiles"),
        (("detect", "daily", "--from", "1999-01-04", "--to", "1999-01-05"), "smallcaps refine"),
        (("ingest", "flatfiles", "--root", "/nowhere", "--from", "2015-04-01", "--to", "2015-04-02"), "us_stocks_sip"),
        (
            ("ingest", "flatfiles", "--root", "/", "--kinds", "day", "--from", "2015-04-01", "--to", "2015-04-02"),
            "Kinds:",
        ),
        (("ingest", "reference", "--splits", "/nowhere.csv"), "cannot be read"),
        (("refine", "--from", "first of May", "--to", "2015-04-01"), "first of May"),
    ],
)
def test_a_request_that_cannot_be_met_is_told_in_a_sentence(
    run: Command, arguments: tuple[str, ...], words: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())
    assert "Traceback" not in err


def test_notebooks_read_a_table_by_name(root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMALLCAPS_LAKE", str(root))
    events = smallcaps.read("gold.events")
    assert events.count() > 0
    assert smallcaps.read("gold.events", version=0).count() == 0
    assert smallcaps.read("gold.daily_summary").agg(F.sum("labelled")).collect()[0][0] > 0
    with pytest.raises(BadInput, match=r"is a view, which has no versions: read its tables \(gold\.events, "):
        smallcaps.read("gold.cohorts", version=0)


def for_analysts(language: str) -> list[str]:
    """The blocks of docs/analysts.md."""
    text = (REPOSITORY / "docs" / "analysts.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_every_query_that_is_shown_to_analysts_has_an_answer(
    root: Path, spark: SparkSession, capsys: pytest.CaptureFixture[str]
) -> None:
    queries = Queries(Lake(str(root), spark))
    shown = for_analysts("sql")
    assert len(shown) > 10
    for query in shown:
        capsys.readouterr()
        queries.answer(query, Format.csv, 1)
        assert len(capsys.readouterr().out.splitlines()) > 1, query


def test_every_program_that_is_shown_to_analysts_runs(
    root: Path, spark: SparkSession, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SMALLCAPS_LAKE", str(root))
    monkeypatch.chdir(root.parent)
    shown = for_analysts("python")
    assert len(shown) == 4
    for program in shown:
        capsys.readouterr()
        exec(program, {})
        assert capsys.readouterr().out.strip(), program


def test_there_is_a_notebook_for_each_of_these() -> None:
    assert renderer().names() == sorted([*NOTEBOOKS, "live_parity"])


@pytest.mark.parametrize("notebook", QUICK)
def test_a_notebook_runs_and_shows_tables_and_a_picture(
    root: Path, run: Command, capsys: pytest.CaptureFixture[str], notebook: str
) -> None:
    ran(notebook)
    shown = capsys.readouterr().out
    assert "Figure(" in shown
    assert len(shown.splitlines()) > 10


@pytest.mark.long
def test_notebooks_run_in_jupyter_and_become_pages(root: Path, run: Command, tmp_path: Path) -> None:
    renderer().render(list(NOTEBOOKS), tmp_path)
    for notebook in NOTEBOOKS:
        page = (tmp_path / f"{notebook}.html").read_text(encoding="utf-8")
        assert "data:image/png;base64," in page
        assert "<table" in page
        assert str(Path(sys.prefix)) not in page


def test_a_job_runs_under_spark_submit_and_returns_the_commands_exit_code(root: Path) -> None:
    # The same entry point that the scheduler uses, in processes of its own.
    submit = Path(sys.executable).parent / "spark-submit"
    job = [str(submit), "--master", "local[1]", str(REPOSITORY / "jobs" / "manifest.py"), "--top", "0"]
    environment = {
        "PATH": f"{submit.parent}:/usr/bin:/bin:/usr/local/bin",
        "SMALLCAPS_LAKE": str(root),
        "HOME": str(Path.home()),
    }
    done = subprocess.run(job, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 2, done.stderr
    # spark-submit passes on what a Python job writes, on either stream, as its own output.
    assert "at least one place" in done.stdout


def _content(lake: Lake, name: str) -> list[tuple[object, ...]]:
    """Rows without run columns, in order."""
    rows = lake.read(name).drop("run_id").collect()
    return sorted(tuple(str(value) for value in row) for row in rows)
