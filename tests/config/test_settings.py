"""Settings: what is read from where, and what is refused."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from smallcaps.config import Settings, configuration_folder, load_settings
from smallcaps.config.settings import DatasetSettings
from smallcaps.errors import BadInput
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No variable of ours is set, and the folder found by one test is forgotten by the next."""
    for name in [name for name in os.environ if name.startswith("SMALLCAPS_")]:
        monkeypatch.delenv(name)
    configuration_folder.cache_clear()
    yield
    configuration_folder.cache_clear()


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `conf/` that the test may spoil."""
    folder = tmp_path / "conf"
    shutil.copytree(REPOSITORY / "conf", folder)
    monkeypatch.setenv("SMALLCAPS_CONF", str(folder))
    return folder


def change(file: Path, **values: object) -> None:
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | values))


@pytest.mark.parametrize("environment", ["local", "cluster", "aws"])
def test_every_environment_that_is_shipped_can_be_loaded(environment: str) -> None:
    settings = load_settings(environment)
    assert settings.environment == environment
    assert settings.floor.minimum_dollar_volume == 250_000
    assert not str(settings.cache).startswith("~")


def test_the_environment_is_the_argument_else_the_variable_else_local(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().environment == "local"
    monkeypatch.setenv("SMALLCAPS_ENV", "cluster")
    assert load_settings().environment == "cluster"
    assert load_settings("aws").environment == "aws"


def test_settings_cannot_be_changed_after_loading() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.lake = "elsewhere"
    with pytest.raises(ValidationError):
        settings.floor.minimum_price = 0.01


@pytest.mark.parametrize(
    ("file", "values", "key"),
    [
        ("local.yaml", {"laek": "./lake"}, "laek"),
        ("detectors.yaml", {"floor": {"minimum_prize": 1.0}}, "floor.minimum_prize"),
        ("research.yaml", {"labels": {"half_spread": 0.002, "widths": [1.0]}}, "labels.widths"),
    ],
)
def test_an_unknown_key_is_refused_by_name(conf: Path, file: str, values: dict[str, object], key: str) -> None:
    change(conf / file, **values)
    with pytest.raises(BadInput, match=key.replace(".", r"\.")):
        load_settings()


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"publication_delay_seconds": "soon"}, "publication_delay_seconds"),
        ({"publication_delay_seconds": -1}, "publication_delay_seconds"),
        ({"detectors": {"gap": {"threshold": "large"}}}, "detectors.gap.threshold"),
        ({"detectors": {"gap": 0.1}}, "detectors.gap"),
        ({"floor": [1, 20]}, "floor"),
        ({"floor": None}, "floor"),
        (
            {"floor": {"minimum_price": 1, "maximum_price": 20, "minimum_dollar_volume": 1, "minimum_bars": 21}},
            "floor.minimum_bars",
        ),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_range_is_refused_by_name(
    conf: Path, values: dict[str, object], key: str
) -> None:
    change(conf / "detectors.yaml", **values)
    with pytest.raises(BadInput, match=key.replace(".", r"\.")):
        load_settings()


def test_a_missing_key_is_refused_by_name(conf: Path) -> None:
    (conf / "local.yaml").write_text("lake: ./lake\ncache: ./cache\n")
    with pytest.raises(BadInput, match="spark"):
        load_settings()


def test_a_variable_wins_over_the_file_and_reaches_a_nested_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_settings()
    monkeypatch.setenv("SMALLCAPS_LAKE", "/elsewhere/lake")
    monkeypatch.setenv("SMALLCAPS_SPARK__MASTER", "spark://host:7077")
    monkeypatch.setenv("SMALLCAPS_FLOOR__MINIMUM_PRICE", "0.5")
    after = load_settings()
    assert after.lake == "/elsewhere/lake"
    # Only the named key of the section changes.
    assert after.spark == before.spark.model_copy(update={"master": "spark://host:7077"})
    assert after.floor == before.floor.model_copy(update={"minimum_price": 0.5})


def test_a_variable_wins_over_an_argument_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings(lake="/given").lake == "/given"
    monkeypatch.setenv("SMALLCAPS_LAKE", "/named")
    assert load_settings(lake="/given").lake == "/named"


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("SMALLCAPS_SPARK__MASTR", "local[1]", r"spark\.mastr"),
        ("SMALLCAPS_SPARK__SHUFFLE_PARTITIONS", "0", r"spark\.shuffle_partitions"),
        ("SMALLCAPS_FLOOR__MINIMUM_BARS", "ten", r"floor\.minimum_bars"),
        ("SMALLCAPS_DETECTORS", "{", "detectors"),
        ("SMALLCAPS_VENDOR__ORIGIN", "https://api.massive.com/v3", r"vendor\.origin"),
        ("SMALLCAPS_VENDOR__REQUESTS_PER_SECOND", "0", r"vendor\.requests_per_second"),
    ],
)
def test_a_variable_that_does_not_fit_is_bad_input_too(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, key: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=key):
        load_settings()


def test_an_unknown_environment_is_refused_with_the_file_that_is_missing() -> None:
    with pytest.raises(BadInput, match=r"production.*production\.yaml does not exist"):
        load_settings("production")


def test_a_folder_without_settings_is_refused_and_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMALLCAPS_CONF", str(tmp_path / "nowhere"))
    with pytest.raises(BadInput, match=r"nowhere.*SMALLCAPS_CONF"):
        load_settings()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("local.yaml", "lake: [unclosed"),
        ("research.yaml", "manifest:\n\t- tab"),
        ("detectors.yaml", ""),
        ("detectors.yaml", "# nothing but a comment\n"),
        ("local.yaml", "- a\n- list\n"),
        ("local.yaml", "just words"),
        ("local.yaml", "1: number\n"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_refused_by_name(conf: Path, file: str, text: str) -> None:
    (conf / file).write_text(text)
    with pytest.raises(BadInput, match=file.removesuffix(".yaml")):
        load_settings()


def test_a_missing_detectors_file_is_refused_by_name(conf: Path) -> None:
    (conf / "detectors.yaml").unlink()
    with pytest.raises(BadInput, match="detectors"):
        load_settings()


def test_the_digest_is_of_what_is_computed_and_not_of_where(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings("local")
    monkeypatch.setenv("SMALLCAPS_VENDOR__ORIGIN", "http://127.0.0.1:8000")
    monkeypatch.setenv("SMALLCAPS_QUALITY__SUITES", "false")
    elsewhere = load_settings("cluster", lake="s3a://other", cache=Path("/elsewhere"), tracking_uri="http://mlflow")
    assert elsewhere.digest() == settings.digest()
    assert len(settings.digest()) == 16


def test_a_sequence_has_whole_steps() -> None:
    intraday = load_settings().datasets["intraday"]
    assert intraday.sequence_seconds is not None
    assert intraday.sequence_seconds % intraday.step_seconds == 0
    with pytest.raises(ValueError, match="sequence_seconds 300 is no multiple of step_seconds 7"):
        DatasetSettings(**intraday.model_dump() | {"step_seconds": 7})


@pytest.mark.parametrize(
    "change_one",
    [
        lambda values: values["detectors"]["gap"].update(threshold=0.11),
        lambda values: values["detectors"].pop("gap"),
        lambda values: values["floor"].update(minimum_price=1.01),
        lambda values: values.update(publication_delay_seconds=3),
        lambda values: values["models"].update(seed=8),
        lambda values: values["models"]["gradient_boosting"].update(max_depth=4),
        lambda values: values["datasets"]["daily"].update(folds=5),
        lambda values: values["labels"].update(horizons=["3d", "6d"]),
    ],
)
def test_the_digest_changes_with_every_parameter_of_what_is_computed(change_one) -> None:
    settings = load_settings()
    values = settings.model_dump(mode="json")
    assert Settings(**values).digest() == settings.digest()
    change_one(values)
    assert Settings(**values).digest() != settings.digest()


def test_the_digest_of_a_setting_does_not_depend_on_the_order_of_keys(conf: Path) -> None:
    before = load_settings().digest()
    file = conf / "detectors.yaml"
    values = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump(dict(reversed(values.items())), sort_keys=False))
    assert load_settings().digest() == before
