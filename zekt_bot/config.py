"""Settings: read from the environment once, frozen, with secrets hidden in repr."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from zekt_bot import environment
from zekt_bot.domain.lanes import Pace
from zekt_bot.domain.names import check_login
from zekt_bot.domain.quotas import Quota
from zekt_bot.environment import Environment
from zekt_bot.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from ipaddress import IPv4Network, IPv6Network

App = Literal["orchestrator", "oauth"]


@dataclass(frozen=True, slots=True)
class AppCredentials:
    """What GitHub gave when an App was made. `version` changes whenever one of them does.

    `key_stored_at`: when the setup or a rotation stored the private key; None: the environment
    has it, or nobody knows.
    """

    app_id: str | None = None
    private_key: str | None = field(default=None, repr=False)
    webhook_secrets: tuple[bytes, ...] = field(default=(), repr=False)
    version: str = ""
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    slug: str | None = None
    html_url: str | None = None
    key_stored_at: datetime | None = None

    @property
    def is_classic(self) -> bool:
        """Whether they are a classic OAuth App's, which has a client id and no number."""
        return self.client_id is not None and self.app_id is None


class Credentials(Protocol):
    """The one provider of the Apps' credentials, asked at the point of use."""

    async def get(self, app: App, *, anew: bool = False) -> AppCredentials:
        """The App's present credentials, at most a second old.

        `anew`: as they are now, because those of a moment ago did not do; once a second at most.
        """
        ...


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator can set; the defaults are those of one process on SQLite."""

    host: str = "0.0.0.0"  # noqa: S104 - a platform's router must reach it
    port: int = 8080
    database_url: str = field(default="sqlite:///./zekt.db", repr=False)
    direct_database_url: str | None = field(default=None, repr=False)
    pgbouncer: bool = False
    secret_keys: tuple[str, ...] = field(default=(), repr=False)
    public_url: str = "http://localhost:8080"
    github_url: str = "https://github.com"
    github_api_url: str = "https://api.github.com"
    oidc_issuer: str | None = None
    oidc_shared_audience: bool = True
    orchestrator: AppCredentials = AppCredentials()
    oauth: AppCredentials = AppCredentials()
    allowed_accounts: tuple[str, ...] = ()
    request_days: int = 30
    event_days: int = 396
    delivery_days: int = 396
    attempt_days: int = 396
    audit_days: int = 396
    payload_days: int = 90
    blocked_days: int = 30
    withdrawn_days: int = 30
    ended_session_days: int = 30
    quota: Quota = field(default_factory=Quota)
    inflight_bytes: int = 128 * 1024 * 1024
    api_per_minute: int = 300
    metrics_tokens: tuple[str, ...] = field(default=(), repr=False)
    operators: tuple[str, ...] = ()
    allowed_people: tuple[str, ...] = ()
    allowed_people_of: tuple[str, ...] = ()
    session_idle: timedelta = timedelta(hours=8)
    session_lasts: timedelta = timedelta(days=7)
    require_2fa: bool = False
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    job_grace: timedelta = timedelta(seconds=2)
    recover_max_age: timedelta = timedelta(hours=72)
    max_hops: int = 8
    lane_per_minute: int = 60
    lane_most_per_minute: int = 170
    lane_burst: int = 20
    lane_in_flight: int = 8
    lease: timedelta = timedelta(seconds=60)
    shutdown_timeout: timedelta = timedelta(seconds=25)
    plugins_dir: Path | None = None
    disabled_plugins: tuple[str, ...] = ()
    channel_allowed_nets: tuple[IPv4Network | IPv6Network, ...] = ()
    observe_all: bool = False
    traces: bool = False
    log_level: str = "INFO"
    log_format: Literal["console", "json"] = "console"

    def credentials_of(self, app: App) -> AppCredentials:
        """What the environment says of an App."""
        return self.oauth if app == "oauth" else self.orchestrator

    @property
    def pace(self) -> Pace:
        """How fast each lane may go."""
        return Pace(
            self.lane_per_minute, self.lane_burst, self.lane_in_flight, self.lane_most_per_minute
        )

    @property
    def on_postgresql(self) -> bool:
        """Whether the database is PostgreSQL; else it is SQLite."""
        return self.database_url.startswith(("postgres://", "postgresql://", "postgresql+"))


def _credentials(env: Environment, prefix: str) -> AppCredentials:
    def app_id(value: str) -> str:
        if not (value.isascii() and value.isdigit()):
            raise ValueError(value)
        return value

    return AppCredentials(
        app_id=env.get(f"{prefix}_APP_ID", app_id, None, "the App's number, as GitHub shows it"),
        private_key=env.text(f"{prefix}_PRIVATE_KEY"),
        webhook_secrets=tuple(w.encode() for w in env.words(f"{prefix}_WEBHOOK_SECRET")),
        version="environment",
        client_id=env.text(f"{prefix}_CLIENT_ID"),
        client_secret=env.text(f"{prefix}_CLIENT_SECRET"),
    )


def _logins(env: Environment, name: str) -> tuple[str, ...]:
    found = tuple(word.lower() for word in env.words(name))
    if not found and env.text(name):
        raise ConfigurationError(f"{name} names nobody: list logins, or leave it out.")
    try:
        return tuple(map(check_login, found))
    except InvalidInput:
        raise ConfigurationError(
            f"{name} has a word that is no login: write them as GitHub does, without @, "
            "divided by commas."
        ) from None


def _days(env: Environment, name: str, default: int) -> int:
    return env.get(
        name, environment.between(0, 3650), default, "a number of days, 0 to 3650 (0: for ever)"
    )


def _quota(env: Environment, name: str) -> int:
    return env.get(name, environment.between(0, 1 << 50), 0, "a number from 0 (0: any number)")


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from `environ` (default: the process's own).

    Raises:
        ConfigurationError: naming the variable and what it must be.
    """
    found = os.environ if environ is None else environ
    env = Environment(found)
    settings = _read(env)
    _check(settings)
    if found.get("DYNO") and env.text("DATABASE_URL") is None:
        raise ConfigurationError(
            "DATABASE_URL is not set. A dyno's disk is wiped at least once a day, and a database "
            "on it would be lost: add one with `heroku addons:create heroku-postgresql`."
        )
    return settings


def variables() -> frozenset[str]:
    """The name of every variable that is read."""
    env = Environment({})
    _read(env)
    return frozenset(env.asked | {"ZEKT_ENV"})


def _read(env: Environment) -> Settings:
    default = Settings()
    github_url = env.get(
        "ZEKT_GITHUB_URL", environment.url, default.github_url, "a URL such as https://github.com"
    )
    port = env.get("PORT", environment.between(0, 65535), default.port, "a port number, 0 to 65535")
    return Settings(
        host=env.text("ZEKT_HOST") or default.host,
        port=port,
        database_url=env.get(
            "DATABASE_URL",
            environment.database_url,
            default.database_url,
            "sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME",
        ),
        direct_database_url=env.get(
            "ZEKT_DIRECT_DATABASE_URL",
            environment.postgresql_url,
            None,
            "postgresql://USER:PASSWORD@HOST/NAME",
        ),
        pgbouncer=env.get("ZEKT_PGBOUNCER", environment.truth, False, "true or false"),
        secret_keys=env.words("ZEKT_SECRET_KEY"),
        public_url=env.get(
            "ZEKT_PUBLIC_URL",
            environment.url,
            f"http://localhost:{port}",
            "a URL such as https://zekt.example",
        ),
        github_url=github_url,
        github_api_url=env.get(
            "ZEKT_GITHUB_API_URL",
            environment.url,
            environment.github_api(github_url),
            "a URL: https://api.github.com",
        ),
        oidc_issuer=env.get(
            "ZEKT_OIDC_ISSUER",
            environment.url,
            None,
            "a URL such as https://token.actions.githubusercontent.com",
        ),
        oidc_shared_audience=env.get(
            "ZEKT_OIDC_SHARED_AUDIENCE", environment.truth, True, "true or false"
        ),
        orchestrator=_credentials(env, "ZEKT_ORCHESTRATOR"),
        oauth=_credentials(env, "ZEKT_OAUTH"),
        allowed_accounts=_logins(env, "ZEKT_ALLOWED_ACCOUNTS"),
        request_days=_days(env, "ZEKT_REQUEST_DAYS", default.request_days),
        event_days=_days(env, "ZEKT_EVENT_DAYS", default.event_days),
        delivery_days=_days(env, "ZEKT_DELIVERY_DAYS", default.delivery_days),
        attempt_days=_days(env, "ZEKT_ATTEMPT_DAYS", default.attempt_days),
        audit_days=_days(env, "ZEKT_AUDIT_DAYS", default.audit_days),
        payload_days=_days(env, "ZEKT_PAYLOAD_DAYS", default.payload_days),
        blocked_days=_days(env, "ZEKT_BLOCKED_DAYS", default.blocked_days),
        withdrawn_days=_days(env, "ZEKT_WITHDRAWN_DAYS", default.withdrawn_days),
        ended_session_days=_days(env, "ZEKT_ENDED_SESSION_DAYS", default.ended_session_days),
        quota=Quota(
            events=_quota(env, "ZEKT_QUOTA_EVENTS"),
            messages=_quota(env, "ZEKT_QUOTA_MESSAGES"),
            bytes=_quota(env, "ZEKT_QUOTA_BYTES"),
            subscriptions=_quota(env, "ZEKT_QUOTA_SUBSCRIPTIONS"),
        ),
        inflight_bytes=env.get(
            "ZEKT_INFLIGHT_BYTES",
            environment.between(1024 * 1024, 1 << 40),
            default.inflight_bytes,
            "a number of bytes, at least 1048576",
        ),
        api_per_minute=env.get(
            "ZEKT_API_PER_MINUTE",
            environment.between(0, 100_000),
            default.api_per_minute,
            "a number of calls a minute (0: any number)",
        ),
        metrics_tokens=env.words("ZEKT_METRICS_TOKEN"),
        operators=_logins(env, "ZEKT_OPERATORS"),
        allowed_people=_logins(env, "ZEKT_ALLOWED_PEOPLE"),
        allowed_people_of=_logins(env, "ZEKT_ALLOWED_PEOPLE_OF"),
        session_idle=env.get(
            "ZEKT_SESSION_IDLE",
            lambda value: timedelta(hours=environment.between(1, 720)(value)),
            default.session_idle,
            "a number of hours, 1 to 720",
        ),
        session_lasts=env.get(
            "ZEKT_SESSION_LASTS",
            lambda value: timedelta(days=environment.between(1, 90)(value)),
            default.session_lasts,
            "a number of days, 1 to 90",
        ),
        require_2fa=env.get("ZEKT_REQUIRE_2FA", environment.truth, False, "true or false"),
        trusted_proxies=env.get(
            "ZEKT_TRUSTED_PROXIES",
            environment.networks,
            default.trusted_proxies,
            "networks such as 10.0.0.0/8 or fd00::/8, divided by commas",
        ),
        job_grace=env.get(
            "ZEKT_JOB_GRACE",
            environment.seconds,
            default.job_grace,
            "a number of seconds, 0 to 3600",
        ),
        recover_max_age=env.get(
            "ZEKT_RECOVER_MAX_AGE",
            lambda value: timedelta(hours=environment.between(0, 8760)(value)),
            default.recover_max_age,
            "a number of hours, 0 to 8760",
        ),
        max_hops=env.get(
            "ZEKT_MAX_HOPS", environment.between(0, 100), default.max_hops, "a number from 0 to 100"
        ),
        lane_per_minute=env.get(
            "ZEKT_LANE_PER_MINUTE",
            environment.between(0, 100_000),
            default.lane_per_minute,
            "a number of dispatches a minute (0: unpaced)",
        ),
        lane_most_per_minute=env.get(
            "ZEKT_LANE_MOST_PER_MINUTE",
            environment.between(0, 100_000),
            default.lane_most_per_minute,
            "a number of dispatches a minute (0: never quicker than ZEKT_LANE_PER_MINUTE)",
        ),
        lane_burst=env.get(
            "ZEKT_LANE_BURST", environment.between(1, 10_000), default.lane_burst, "a number from 1"
        ),
        lane_in_flight=env.get(
            "ZEKT_LANE_IN_FLIGHT",
            environment.between(1, 100),
            default.lane_in_flight,
            "a number from 1 to 100",
        ),
        lease=env.get(
            "ZEKT_LEASE", environment.lease, default.lease, "a number of seconds, 1 to 3600"
        ),
        shutdown_timeout=env.get(
            "ZEKT_SHUTDOWN_TIMEOUT",
            environment.seconds,
            default.shutdown_timeout,
            "a number of seconds, 0 to 3600",
        ),
        plugins_dir=env.get("ZEKT_PLUGINS_DIR", Path, None, "a folder"),
        disabled_plugins=env.words("ZEKT_DISABLED_PLUGINS"),
        channel_allowed_nets=env.get(
            "ZEKT_CHANNEL_ALLOWED_NETS",
            environment.networks,
            default.channel_allowed_nets,
            "networks such as 10.0.0.0/8 or fd00::/8, divided by commas",
        ),
        observe_all=env.get("ZEKT_OBSERVE_ALL", environment.truth, False, "true or false"),
        traces=env.get("ZEKT_TRACES", environment.truth, False, "true or false"),
        log_level=env.get(
            "LOG_LEVEL",
            lambda value: environment.one_of("DEBUG", "INFO", "WARNING", "ERROR")(value.upper()),
            default.log_level,
            "DEBUG, INFO, WARNING or ERROR",
        ),
        log_format=(
            "json"
            if env.get(
                "LOG_FORMAT", environment.one_of("console", "json"), "console", "console or json"
            )
            == "json"
            else "console"
        ),
    )


_SHORTEST_WEBHOOK_SECRET = 16
_SHORTEST_TOKEN = 16


def _check(settings: Settings) -> None:
    for name, app in (("ORCHESTRATOR", settings.orchestrator), ("OAUTH", settings.oauth)):
        if any(len(secret) < _SHORTEST_WEBHOOK_SECRET for secret in app.webhook_secrets):
            raise ConfigurationError(
                f"A secret in ZEKT_{name}_WEBHOOK_SECRET (several are divided by commas) is "
                f"shorter than {_SHORTEST_WEBHOOK_SECRET} characters: whoever guesses it can send "
                "webhooks. Make one with `openssl rand -hex 32`."
            )
    if settings.require_2fa and not settings.oauth.is_classic:
        raise ConfigurationError(
            "ZEKT_REQUIRE_2FA needs a classic OAuth App (ZEKT_OAUTH_CLIENT_ID without "
            "ZEKT_OAUTH_APP_ID): a GitHub App is not told who has two-factor sign-in."
        )
    if any(len(token) < _SHORTEST_TOKEN for token in settings.metrics_tokens):
        raise ConfigurationError(
            f"A token in ZEKT_METRICS_TOKEN is shorter than {_SHORTEST_TOKEN} characters: make one "
            "with `openssl rand -hex 32`."
        )
    if settings.on_postgresql and not settings.secret_keys:
        raise ConfigurationError(
            "ZEKT_SECRET_KEY is not set. On PostgreSQL every process needs the same key: make one "
            "with `openssl rand -base64 32` and give it to all of them."
        )
    for key in settings.secret_keys:
        if len(key) < 32:
            raise ConfigurationError(
                "A key in ZEKT_SECRET_KEY (several are divided by commas) is shorter than 32 "
                "characters: make one with `openssl rand -base64 32`."
            )
