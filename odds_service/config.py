"""Settings: one TOML file, the environment and flags, checked before anything starts."""

import enum
import os
import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from odds_service.config_errors import PREFIX, SECRET_KEY, check_lists, check_variables, explain
from odds_service.errors import SettingsError
from odds_service.model.overround import SUSPECT_BELOW
from odds_service.secrets import hide, hide_in_url

DEFAULT_LISTEN: Final = "127.0.0.1:50051"
DEFAULT_DATABASE: Final = "sqlite:///odds.db"
_CLIENTS: Final = "odds_server"  # ODDS_SERVER is the clients' server address, not our section


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ListenSettings(_Section):
    """The address of a port, and the callers that it admits; see access.

    Attributes:
        listen: `host:port`; port 0 takes a free one. A host that is not loopback needs TLS, tokens
            or `insecure_public = true`.
        tokens: Bearer tokens.
        tokens_file: A file with more tokens, one per line.
    """

    section: ClassVar[str]  # the name that errors give

    listen: str
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    tokens: list[SecretStr] = []
    tokens_file: Path | None = None
    insecure_public: bool = False


class Right(enum.StrEnum):
    """A kind of calls: reads of odds, refreshes, and what only operators may do."""

    READ = "read"
    REFRESH = "refresh"
    ADMIN = "admin"


class AccessSettings(_Section):
    """The access of one named token.

    Attributes:
        name: The name under which its usage is counted.
        token: The token; or `token_file`, a file that holds it.
        sources: The only sources that it may see; None for all.
        bookmakers: The only bookmakers that it may see; None for all.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    token: SecretStr | None = None
    token_file: Path | None = None
    rights: list[Right] = Field(default=[Right.READ], min_length=1)
    sources: list[str] | None = Field(default=None, min_length=1)
    bookmakers: list[str] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _has_one_token(self) -> Self:
        if (self.token is None) is (self.token_file is None):
            raise ValueError("exactly one of token and token_file must be set")
        if self.name in _TAKEN_NAMES:
            raise ValueError(f"the name {self.name} stands for callers without a name")
        return self


_TAKEN_NAMES: Final = {"plain", "anonymous"}


class ServerSettings(ListenSettings):
    """The gRPC server and its limits, per client and for all clients together.

    Attributes:
        access: Named tokens with rights of their own.
        suspect_below: A combined overround below this is suspect, not an arbitrage (-0.03: a profit
            of over 3 %).
    """

    section = "server"

    listen: str = DEFAULT_LISTEN
    access: list[AccessSettings] = []
    max_streams: int = Field(default=2_000, gt=0)
    max_streams_per_client: int = Field(default=1_000, gt=0)
    max_requests_per_s: float = Field(default=5_000.0, gt=0)
    max_refreshes: int = Field(default=8, gt=0)
    suspect_below: float = Field(default=SUSPECT_BELOW, ge=-1, le=0)

    @field_validator("access")
    @classmethod
    def _names_differ(cls, access: list[AccessSettings]) -> list[AccessSettings]:
        names = [entry.name for entry in access]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two entries are named {twice[0]}")
        return access


class MetricsSettings(ListenSettings):
    """Prometheus metrics over HTTP, at `/metrics`; not served while `listen` is empty."""

    section = "metrics"

    listen: str = ""


class HttpSettings(_Section):
    """The HTTP door: JSON, events and the board; not served while `listen` is empty.

    Its tokens, certificates and limits are those of `[server]`.

    Attributes:
        listen: `host:port`; port 0 takes a free one. The rules of `server.listen` hold here too.
        hosts: The names under which callers reach the door, beside `localhost` and the loopback
            addresses. Requests that name another are refused, since a web page could have sent
            them; but without names, a listener that is not on loopback answers to every name.
        origins: The web pages of other hosts that may read, such as `https://desk.example.com`.
    """

    listen: str = ""
    hosts: list[str] = []
    origins: list[str] = []

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            scheme, _, host = origin.partition("://")
            if scheme not in {"http", "https"} or not re.fullmatch(r"[a-z0-9.:\[\]-]+", host):
                raise ValueError(f"{origin!r} is not like https://desk.example.com")
        return origins


class DatabaseSettings(_Section):
    """The database, and the queue in front of it.

    Attributes:
        url: `sqlite:///file.db`, `postgresql://user@host/name`, or `memory:` for trials, which
            loses everything at a restart.
        migrate: Whether to upgrade PostgreSQL's tables at the start (SQLite's always are).
        adopt: Whether to start on a database whose last run was an import.
        queue_changes: The capacity of the write queue in changes; scraping holds while it is full.
        spill_folder: The folder for changes that the database did not take before a stop. None for
            the SQLite file's own folder, and for the working folder with PostgreSQL.
    """

    url: SecretStr = SecretStr(DEFAULT_DATABASE)
    migrate: bool = False
    adopt: bool = False
    queue_changes: int = Field(default=100_000, ge=1)
    spill_folder: Path | None = None


class RetentionSettings(_Section):
    """Lifetimes of changes, records, events and odds.

    Attributes:
        history_days: The lifetime of changes in the database; None for ever.
        runs_days: The lifetime of the records of fetches.
        ended_days: The lifetime of an event and its sources after its end; its changes stay for
            history_days. A start needs the events of the last two days.
        letters_days: The lifetime of dead letters.
        over_hours: The lifetime of an event after its start or its last confirmation, whichever is
            later.
        unconfirmed_hours: The lifetime of odds after their last confirmation.
    """

    history_days: float | None = Field(default=None, gt=0)
    runs_days: float = Field(default=30.0, gt=0)
    ended_days: float = Field(default=90.0, ge=3)
    letters_days: float = Field(default=90.0, gt=0)
    over_hours: float = Field(default=6.0, gt=0)
    unconfirmed_hours: float = Field(default=72.0, gt=0)


class LimitSettings(_Section):
    """Limits of one source. Excess is dropped and counted.

    Attributes:
        max_events: The most events in one answer; those that start first are taken.
        max_markets: The most markets of one bookmaker for one event.
        max_retry_after_s: The longest wait that a source can ask for, in seconds (its own
            `http.max_retry_after_s` may be lower).
        max_new_events_per_h: The most new events an hour, after as many as max_events at once.
        max_changes_per_s: The most changes a second in events that are known, on average over ten
            minutes.
    """

    max_events: int = Field(default=20_000, ge=1, le=1_000_000)
    max_markets: int = Field(default=10_000, ge=1, le=100_000)
    max_retry_after_s: float = Field(default=3_600.0, gt=0, le=86_400)
    max_new_events_per_h: float = Field(default=2_000.0, gt=0, le=1_000_000)
    max_changes_per_s: float = Field(default=2_000.0, gt=0, le=1_000_000)


class Role(enum.StrEnum):
    """The part of a node: everything in one process, or one side of a log on a bus."""

    ALL = "all"
    INGEST = "ingest"
    READ = "read"


class BusSettings(_Section):
    """The bus between nodes, for the roles `ingest` and `read`.

    Attributes:
        servers: The URLs of NATS servers of one cluster, such as `nats://127.0.0.1:4222` or
            `tls://bus.example.com:4222`. A host that is not loopback needs TLS, or
            `insecure_public = true`.
        stream: The name of the JetStream stream that holds the log.
        subject: The subject of its messages; requests and states have subjects beside it.
        user: The user; None without one.
        password: The password of the user.
        tls_ca: The certificates of the authorities that sign the servers'; None for the system's.
        tls_certificate: The certificate of this node, if the servers ask for one.
        tls_key: Its key.
        replicas: The copies that a new stream has: 3, or 1 on a single server.
        behind_wait_s: The longest wait, in seconds, of a call for a place in the log that this node
            has not reached yet, because its client came from another node.
    """

    servers: list[str] = []
    stream: str = Field(default="ODDS", pattern=r"^[A-Za-z0-9_-]+$")
    subject: str = Field(default="odds.log", pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")
    user: str | None = None
    password: SecretStr | None = None
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    insecure_public: bool = False
    replicas: Literal[1, 3, 5] = 3
    behind_wait_s: float = Field(default=2.0, ge=0, le=60)

    @field_validator("servers")
    @classmethod
    def _are_urls(cls, servers: list[str]) -> list[str]:
        for place, server in enumerate(servers):
            if not re.fullmatch(r"(nats|tls)://([^@/]+@)?([^:/@]+|\[[0-9a-f:]+\])(:\d+)?", server):
                # The value is not shown, since it may hold a password.
                raise ValueError(f"number {place + 1} is not like nats://127.0.0.1:4222")
        return servers


class WorkersSettings(_Section):
    """Worker processes, in which sources are fetched and read.

    Attributes:
        count: The number of workers; 0 for none, "auto" for one for each core but one.
        place: Source -> the number of its worker, from 1. Each other source goes to the worker that
            has the fewest then.
    """

    count: Annotated[int, Field(ge=0, le=256)] | Literal["auto"] = 0
    place: dict[str, Annotated[int, Field(ge=1)]] = {}

    @model_validator(mode="after")
    def _places_are_workers(self) -> Self:
        for source, number in self.place.items():
            if self.count == "auto" or number > self.count:
                raise ValueError(
                    f"place: {source}: there is no worker {number}: count is {self.count}"
                )
        return self


class ShutdownSettings(_Section):
    """Deadlines of the ordered stop, in seconds."""

    drain_s: float = Field(default=20.0, gt=0)
    grace_s: float = Field(default=5.0, gt=0)


class LogSettings(_Section):
    """The lowest level logged, and the format; `auto` is pretty on a terminal, else JSON."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "pretty"] = "auto"


class Settings(BaseSettings):
    """All settings. Environment variables are ODDS_SERVER__LISTEN, ODDS_DATABASE__URL, …

    Attributes:
        role: `all` for one process without a bus; `ingest` and `read` for several nodes.
        sources: One table per source; its `kind` names the plug-in that reads the other keys.
    """

    model_config = SettingsConfigDict(
        env_prefix="ODDS_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    role: Role = Role.ALL
    server: ServerSettings = ServerSettings()
    http: HttpSettings = HttpSettings()
    database: DatabaseSettings = DatabaseSettings()
    bus: BusSettings = BusSettings()
    retention: RetentionSettings = RetentionSettings()
    limits: LimitSettings = LimitSettings()
    workers: WorkersSettings = WorkersSettings()
    shutdown: ShutdownSettings = ShutdownSettings()
    log: LogSettings = LogSettings()
    metrics: MetricsSettings = MetricsSettings()
    sources: list[dict[str, Any]] = Field(default=[], repr=False)  # they hold keys

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the environment before the file; load_settings adds the flags."""
        environment = EnvSettingsSource(settings_cls)
        environment.env_vars = variables = {
            name: value for name, value in environment.env_vars.items() if name != _CLIENTS
        }
        check_variables(variables, settings_cls)
        check_lists(variables, settings_cls)
        return environment, init_settings


def load_settings(path: Path | None = None, **flags: dict[str, Any]) -> Settings:
    """Read the file, the environment and the flags; later ones override earlier ones.

    Args:
        path: A TOML file; None for the defaults.
        flags: Section -> key -> value; values of None are ignored. A setting without a section is
            one, with an empty key; its value is not checked.

    Raises:
        SettingsError: A setting is wrong. The text names the file or the variable, the key and
            the reason, and holds no secret.
    """
    tables = _read_toml(path) if path is not None else {}
    variables = _variables()

    def where(at: tuple[str, ...]) -> str:
        if (name := _variable(at, variables)) is not None:
            return f"environment: {name}: "
        return f"{path or 'settings'}: {'.'.join(at)}: "

    try:
        settings = Settings(**tables)
    except ValidationError as error:
        raise SettingsError(explain(error, Settings, where=where)) from None
    for section, keys in flags.items():
        given = {key: value for key, value in keys.items() if value is not None}
        if "" in keys:
            if given:
                settings = settings.model_copy(update={section: given[""]})
            continue
        present = getattr(settings, section)
        try:
            merged = type(present).model_validate(present.model_dump() | given)
        except ValidationError as error:  # of a flag: the rest has already been checked
            text = explain(error, type(present), within=section)
            raise SettingsError(f"flags: {text}") from None
        settings = settings.model_copy(update={section: merged})
    hide_in_url(settings.database.url.get_secret_value())
    for server in settings.bus.servers:
        hide_in_url(server)
    if settings.bus.password is not None:
        hide(settings.bus.password.get_secret_value())
    hide_in_tables(settings.sources)
    _check_role(settings, path)
    return settings


def _check_role(settings: Settings, path: Path | None) -> None:
    """Check that a node has what its role needs, and nothing that it would ignore."""
    role, place = settings.role, path or "settings"
    if role is Role.ALL:
        if settings.bus.servers:
            raise SettingsError(
                f'{place}: bus.servers: role = "all" uses no bus; set role to ingest or read'
            )
        return
    if not settings.bus.servers:
        raise SettingsError(f'{place}: bus.servers: role = "{role}" needs a bus; name its servers')
    if not settings.database.url.get_secret_value().startswith("postgres"):
        raise SettingsError(
            f'{place}: database.url: role = "{role}" needs PostgreSQL, which all nodes share'
        )
    if role is Role.READ and settings.sources:
        raise SettingsError(f'{place}: sources: role = "read" fetches nothing; name no sources')


def origin_of(section: str, key: str, path: Path | None) -> str:
    """Return the origin of a setting without flags: `ODDS_…`, the file, or `default`.

    Raises:
        SettingsError: The file cannot be read.
    """
    if (name := _variable((section, key), _variables())) is not None:
        return name
    tables = _read_toml(path) if path is not None else {}
    found = tables.get(section)
    # `sources` is a list of tables, with one origin.
    there = found is not None and (not isinstance(found, dict) or key in found)
    return str(path) if there else "default"


def _variables() -> frozenset[str]:
    return frozenset(name.lower() for name in os.environ) - {_CLIENTS}


def _variable(at: tuple[str, ...], variables: Collection[str]) -> str | None:
    """Return the name of the environment variable that sets a key; None if none does."""
    for end in range(len(at), 0, -1):
        name = PREFIX + "__".join(at[:end])
        if name.lower() in variables:
            return name.upper()
    return None


def hide_in_tables(tables: Any, key: str = "") -> None:
    """Hide the values of keys that name a secret, and the passwords of URLs."""
    match tables:
        case dict():
            for name, value in tables.items():
                hide_in_tables(value, name)
        case list():
            for value in tables:
                hide_in_tables(value, key)
        case str():
            hide_in_url(tables)
            if SECRET_KEY.search(key):
                hide(tables)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None
