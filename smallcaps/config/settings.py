"""One settings object, typed and frozen, from `conf/*.yaml` overridden by the environment.

Files, later ones win: `research.yaml` and `detectors.yaml` (what is computed), `<environment>.yaml` (where it runs).
Then variables: `SMALLCAPS_LAKE`, `SMALLCAPS_SPARK__MASTER`, … (`__` goes one level down). Unknown keys are refused.
Secrets are never settings: they are read from the environment where they are used.
"""

import functools
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from smallcaps.errors import BadInput

ENVIRONMENT_VARIABLE = "SMALLCAPS_ENV"
PREFIX = "SMALLCAPS_"
OTHER_VARIABLES = {"ENV", "CONF", "PRIVATE_DATA", "CI"}
"""Variables of ours that are no settings: which settings, where they lie, and what the tests are told."""


class Section(BaseModel):
    """A part of the settings: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SparkSettings(Section):
    """The session: where it runs and what it is given."""

    master: str | None = Field(description="Spark master; null leaves it to spark-submit")
    driver_memory: str
    shuffle_partitions: int = Field(gt=0)
    jars: bool = Field(description="add the pinned jars (false where the cluster image brings them)")
    events: str | None = Field(description="where sessions leave their event logs, a folder or s3a://…; null: nowhere")
    conf: dict[str, str | int | bool] = Field(default_factory=dict, description="further Spark settings")


class ServiceSettings(Section):
    """A REST service, or one that speaks like it."""

    origin: str = Field(pattern=r"^https?://[^/?#]+$", description="https://host[:port]")
    requests_per_second: float = Field(gt=0, description="of all workers together")
    connections: int = Field(gt=0, description="requests at a time, per worker")
    chunk: int = Field(gt=0, description="requests a commit: what a kill can lose")
    secret: str | None = Field(description="AWS secret that holds the keys; null: the environment does")


class VendorSettings(ServiceSettings):
    """The vendor's REST service, live feed and flat files."""

    feed: str = Field(pattern=r"^wss?://[^/?#]+/[^?#]*$", description="wss://host[:port]/stocks of the live feed")
    files: str = Field(pattern=r"^https?://[^/?#]+$", description="https://host[:port] of the flat files' bucket")
    bucket: str = Field(min_length=3, description="its name")


class KafkaSettings(Section):
    """The broker of the live tape. User and password, where it asks for them, come from the environment."""

    servers: str = Field(min_length=1, description="host:port of some of its brokers, with commas between")
    prefix: str = Field(
        pattern=r"^[A-Za-z0-9._-]*$", description="before the names of topics, where environments share it"
    )
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(description="of SASL; null without it")
    authority: str | None = Field(description="PEM file of who signed its certificate; null: the machine's own")
    replication: int = Field(gt=0, description="copies of a topic that is made")

    @model_validator(mode="after")
    def _says_how(self) -> Self:
        if self.protocol.startswith("SASL") != (self.mechanism is not None):
            raise ValueError(f"protocol {self.protocol} and mechanism {self.mechanism} do not fit together")
        return self


class NotifySettings(Section):
    """Who is told of alerts outside of Kafka. The webhook's address and the mail server's password come from the environment."""

    least_strength: float = Field(ge=1, description="of an event; weaker ones are told to nobody")
    detectors: tuple[str, ...] = Field(description="which; none named: all")
    per_minute: int = Field(gt=0, description="messages to each; what comes beyond is told together")
    mail_server: str | None = Field(pattern=r"^[^:/]+:[0-9]+$", description="host:port of SMTP; null: no mail")
    mail_from: str = Field(description="sender")
    mail_to: tuple[str, ...] = Field(description="who gets mail")


class LiveSettings(Section):
    """From where on a part of the live tape raises an alarm."""

    behind: int = Field(gt=0, description="messages that it is behind")
    silence_seconds: float = Field(gt=0, description="without an event of the feed, while the market is open")
    delay_seconds: float = Field(
        gt=0, description="from an event to its arrival, of the one that took the shortest time"
    )
    ahead_seconds: float = Field(ge=0, description="by which an event's stamp may be ahead of this machine's clock")


class QualitySettings(Section):
    """The tables' quality suites."""

    suites: bool = Field(description="judge rows before they are written; needs the extra `quality`")


class LiquidityFloor(Section):
    """Which symbol-days are worth a signal; all trailing and raw, known the day before (DOMAIN: liquidity floor)."""

    minimum_price: float = Field(gt=0, description="$, previous raw close")
    maximum_price: float = Field(gt=0, description="$, previous raw close")
    minimum_dollar_volume: float = Field(ge=0, description="$, median of close × volume")
    minimum_bars: int = Field(gt=0, le=20, description="bars within the 20 previous sessions")


class UniverseSettings(Section):
    """What a small cap is (DOMAIN: prices and adjustment)."""

    minimum_market_cap: float = Field(ge=0, description="$, raw close × filed shares")
    maximum_market_cap: float = Field(gt=0, description="$")
    low_float: float = Field(gt=0, description="shares free to trade below which the float is low")
    exchanges: tuple[str, ...] = Field(description="MICs of the listing exchanges")
    types: tuple[str, ...] = Field(description="kinds of instrument, as in bronze.ticker_types")


class ManifestSettings(Section):
    """The CORE manifest: weights of the score and how many events a session and a name may bring."""

    top: int = Field(gt=0)
    weight_strength: float = Field(ge=0)
    weight_dollar_volume: float = Field(ge=0)
    weight_relative_volume: float = Field(ge=0)
    maximum_per_session: int = Field(gt=0)
    maximum_per_name: int = Field(gt=0)
    name_sessions: int = Field(gt=0, description="sessions over which maximum_per_name counts, the event's included")


SignRule = Literal["lee_ready", "quote", "tick", "emo", "clnv"]
"""How it is told who started a trade (smallcaps/microstructure/signing.py)."""


class MicrostructureSettings(Section):
    """The window around an event and what counts as a large print."""

    seconds_before: int = Field(gt=0)
    seconds_after: int = Field(gt=0)
    margin_seconds: int = Field(
        ge=0, description="beyond either end of a window that is downloaded: the quote in force, trades published late"
    )
    sign_rule: SignRule
    stale_quote_seconds: int = Field(gt=0)
    maximum_relative_spread: float = Field(gt=0)
    large_print_dollars: float = Field(gt=0)
    large_print_quantile: float = Field(gt=0, lt=1)
    block_shares: int = Field(gt=0)
    block_dollars: float = Field(gt=0)


Horizon = Annotated[str, Field(pattern="^([1-9][0-9]*m|close|[1-9][0-9]*d)$")]
"""How far a label looks: minutes (`30m`), to the `close`, or to the close so many sessions later (`3d`)."""


class LabelSettings(Section):
    """Triple barrier: widths in ATR, horizons, and how an entry is priced without quotes."""

    barrier_widths: tuple[float, ...]
    horizons: tuple[Horizon, ...]
    half_spread: float = Field(ge=0, description="share of the price paid on entry")
    give_back_share: float = Field(gt=0, le=1)
    delisting_return: float = Field(lt=0, ge=-1)
    delisting_sessions: int = Field(gt=0, description="sessions without a bar after which a name counts as gone")


class DatasetSettings(Section):
    """What a dataset is of: events of which grains, which label, and how it is divided into walk-forward folds."""

    grains: tuple[Literal["daily", "minute", "trade"], ...] = Field(min_length=1)
    barrier_width: float = Field(gt=0)
    horizon: Horizon
    folds: int = Field(gt=1)
    embargo_sessions: int = Field(ge=0)
    sequence_seconds: int | None = Field(default=None, gt=0, description="before the event, as sequences; null: none")
    step_seconds: int = Field(default=5, gt=0, description="of a step of the sequences")

    @model_validator(mode="after")
    def _whole_steps(self) -> Self:
        if self.sequence_seconds is not None and self.sequence_seconds % self.step_seconds:
            raise ValueError(
                f"sequence_seconds {self.sequence_seconds} is no multiple of step_seconds {self.step_seconds}"
            )
        return self


class ModelSettings(Section):
    """How models are fitted and measured, and the parameters of each algorithm."""

    held_out_share: float = Field(
        gt=0, lt=1, description="latest sessions of the past that stop training and calibrate"
    )
    minimum_training_events: int = Field(gt=0)
    bootstrap_samples: int = Field(gt=0)
    calibration_tolerance: float = Field(gt=0, description="mean probability less share that came, of a champion")
    seed: int
    workers: int | None = Field(
        gt=0, description="tasks that grow trees together; null: as many as are useful and can run"
    )
    events_per_worker: int = Field(gt=0, description="events that make another worker useful")
    logistic_regression: dict[str, float | int | str]
    gradient_boosting: dict[str, float | int | str]
    gru: dict[str, float | int | str]
    transformer: dict[str, float | int | str]


class MaintenanceSettings(Section):
    """How long files are kept that the tables of now do not need."""

    retention_days: int = Field(ge=7, description="that any version can be read")
    rebuild_days: int = Field(ge=0, description="after a dataset was frozen, that it can be made again from its inputs")


class SignalSettings(Section):
    """Which alerts of the live tape are signals."""

    best_share: float = Field(
        gt=0, lt=1, description="of the events in the model's test folds; whoever reaches them is one"
    )
    reasons: int = Field(ge=0, description="inputs that are named with a signal")


class ManipulationSettings(Section):
    """When the model of manipulation alerts, and how it is tested."""

    alert_probability: float = Field(gt=0, lt=1, description="from here on a minute alerts")
    quiet_minutes: int = Field(gt=0, description="without such a minute before a name is alerted again")
    late_minutes: int = Field(ge=0, description="after its peak, in which an alert still finds an episode")
    folds: int = Field(gt=1)


class Settings(BaseSettings):
    """Everything a run depends on. `digest()` identifies what is computed, whatever machine computes it."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    environment: str
    lake: str = Field(description="root of the lake: a path or an s3a:// URL")
    cache: Path = Field(description="jars, logs and other things that can be made again")
    tracking_uri: str | None = Field(default=None, description="MLflow; null: a SQLite file in the lake")
    spark: SparkSettings
    vendor: VendorSettings
    fred: ServiceSettings
    kafka: KafkaSettings
    notify: NotifySettings
    live: LiveSettings
    quality: QualitySettings
    maintenance: MaintenanceSettings
    floor: LiquidityFloor
    universe: UniverseSettings
    publication_delay_seconds: int = Field(ge=0, description="from the end of a bar to the moment it can be acted on")
    detectors: dict[str, dict[str, float]] = Field(description="parameters by detector; those left out keep defaults")
    manifest: ManifestSettings
    microstructure: MicrostructureSettings
    labels: LabelSettings
    datasets: dict[str, DatasetSettings] = Field(description="definitions of datasets by name")
    models: ModelSettings
    manipulation: ManipulationSettings
    signals: SignalSettings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the files, which come in as init values."""
        return env_settings, init_settings

    def digest(self) -> str:
        """SHA-256 (16 hex digits) of what is computed: places, the Spark session, services, suites and upkeep are left out."""
        places = {
            "environment",
            "lake",
            "cache",
            "tracking_uri",
            "spark",
            "vendor",
            "fred",
            "kafka",
            "notify",
            "live",
            "quality",
            "maintenance",
        }
        content = self.model_dump(mode="json", exclude=places)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


@functools.cache
def configuration_folder() -> Path:
    """The folder of settings: `SMALLCAPS_CONF`, else the checkout's `conf/`, else the one installed with the package."""
    named = os.environ.get("SMALLCAPS_CONF")
    candidates = (
        [Path(named)]
        if named
        else [Path(__file__).resolve().parents[2] / "conf", Path(sys.prefix) / "share" / "smallcaps" / "conf"]
    )
    for candidate in candidates:
        if (candidate / "research.yaml").is_file():
            return candidate
    places = " or ".join(str(candidate) for candidate in candidates)
    raise BadInput(f"No settings found: looked for research.yaml in {places}. Set SMALLCAPS_CONF to the conf folder.")


def load_settings(environment: str | None = None, **overrides: Any) -> Settings:
    """Settings of `environment` (default: `SMALLCAPS_ENV`, else `local`); `overrides` replace top-level keys.

    Raises BadInput naming the file and key for anything unknown, missing or out of range.
    """
    folder = configuration_folder()
    environment = environment or os.environ.get(ENVIRONMENT_VARIABLE, "local")
    path = folder / f"{environment}.yaml"
    if not path.is_file():
        raise BadInput(f"No settings for environment {environment!r}: {path} does not exist.")
    _refuse_unknown_variables()
    values: dict[str, Any] = {"environment": environment}
    for file in (folder / "research.yaml", folder / "detectors.yaml", path):
        values |= _section(file)
    try:
        settings = Settings(**(values | overrides))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise BadInput(f"Settings of {environment!r} ({folder}) are not valid: {faults}") from error
    except SettingsError as error:
        raise BadInput(f"A SMALLCAPS_ variable in the environment cannot be read: {error}") from error
    return settings.model_copy(update={"cache": settings.cache.expanduser()})


def _section(file: Path) -> dict[str, Any]:
    """The keys of one settings file."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(f"{file} does not exist.") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{file} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise BadInput(f"{file} must hold keys and values (a YAML mapping).")
    return content


def _refuse_unknown_variables() -> None:
    """A misspelt SMALLCAPS_… variable must not be ignored."""
    known = {name.upper() for name in Settings.model_fields} | OTHER_VARIABLES
    given = [name for name in os.environ if name.startswith(PREFIX)]
    if unknown := [name for name in given if name.removeprefix(PREFIX).split("__")[0] not in known]:
        raise BadInput(f"Unknown variables in the environment: {', '.join(sorted(unknown))}.")
