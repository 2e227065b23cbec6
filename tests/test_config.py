"""Settings: each from the environment or a file, mistakes named with the cure, no secret shown."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.config import AppCredentials, Settings, load, variables
from zekt_bot.domain.quotas import Quota
from zekt_bot.errors import ConfigurationError

KEY = "k" * 32
POSTGRES = "postgresql://zekt:hunter2@db/zekt"
FROM_ENVIRONMENT = AppCredentials(version="environment")
# The variable, a value of it, and what becomes of it.
VARIABLES: list[tuple[str, str, str, Any]] = [
    ("ZEKT_HOST", "127.0.0.1", "host", "127.0.0.1"),
    ("PORT", "0", "port", 0),
    ("PORT", "65535", "port", 65535),
    ("DATABASE_URL", "sqlite:///a.db", "database_url", "sqlite:///a.db"),
    ("DATABASE_URL", "sqlite+aiosqlite:///a.db", "database_url", "sqlite+aiosqlite:///a.db"),
    ("ZEKT_SECRET_KEY", KEY, "secret_keys", (KEY,)),
    ("ZEKT_SECRET_KEY", f"{KEY}, {KEY}2,", "secret_keys", (KEY, f"{KEY}2")),
    ("ZEKT_PUBLIC_URL", "https://zekt.example/", "public_url", "https://zekt.example"),
    ("ZEKT_GITHUB_URL", "https://ghes.example", "github_url", "https://ghes.example"),
    ("ZEKT_GITHUB_API_URL", "http://ghes/api/v3/", "github_api_url", "http://ghes/api/v3"),
    ("ZEKT_OIDC_ISSUER", "https://sts.example/", "oidc_issuer", "https://sts.example"),
    ("ZEKT_OIDC_SHARED_AUDIENCE", "false", "oidc_shared_audience", False),
    ("ZEKT_ALLOWED_ACCOUNTS", "Octo , mona", "allowed_accounts", ("octo", "mona")),
    ("ZEKT_API_PER_MINUTE", "0", "api_per_minute", 0),
    ("ZEKT_INFLIGHT_BYTES", "1048576", "inflight_bytes", 1048576),
    ("ZEKT_REQUEST_DAYS", "0", "request_days", 0),
    ("ZEKT_QUOTA_EVENTS", "7", "quota", Quota(events=7)),
    ("ZEKT_QUOTA_MESSAGES", "7", "quota", Quota(messages=7)),
    ("ZEKT_QUOTA_BYTES", "7", "quota", Quota(bytes=7)),
    ("ZEKT_QUOTA_SUBSCRIPTIONS", "7", "quota", Quota(subscriptions=7)),
    ("ZEKT_EVENT_DAYS", "7", "event_days", 7),
    ("ZEKT_DELIVERY_DAYS", "7", "delivery_days", 7),
    ("ZEKT_ATTEMPT_DAYS", "7", "attempt_days", 7),
    ("ZEKT_AUDIT_DAYS", "7", "audit_days", 7),
    ("ZEKT_PAYLOAD_DAYS", "7", "payload_days", 7),
    ("ZEKT_BLOCKED_DAYS", "7", "blocked_days", 7),
    ("ZEKT_WITHDRAWN_DAYS", "7", "withdrawn_days", 7),
    ("ZEKT_ENDED_SESSION_DAYS", "7", "ended_session_days", 7),
    ("ZEKT_JOB_GRACE", "0", "job_grace", timedelta()),
    ("ZEKT_JOB_GRACE", "2.5", "job_grace", timedelta(seconds=2.5)),
    ("ZEKT_RECOVER_MAX_AGE", "0", "recover_max_age", timedelta()),
    ("ZEKT_RECOVER_MAX_AGE", "24", "recover_max_age", timedelta(days=1)),
    ("ZEKT_MAX_HOPS", "0", "max_hops", 0),
    ("ZEKT_LANE_PER_MINUTE", "0", "lane_per_minute", 0),
    ("ZEKT_LANE_MOST_PER_MINUTE", "0", "lane_most_per_minute", 0),
    ("ZEKT_LANE_BURST", "1", "lane_burst", 1),
    ("ZEKT_LANE_IN_FLIGHT", "100", "lane_in_flight", 100),
    ("ZEKT_LEASE", "1", "lease", timedelta(seconds=1)),
    ("ZEKT_SHUTDOWN_TIMEOUT", "3600", "shutdown_timeout", timedelta(hours=1)),
    ("ZEKT_PLUGINS_DIR", "/srv/plugins", "plugins_dir", Path("/srv/plugins")),
    ("ZEKT_DISABLED_PLUGINS", "audit,mine", "disabled_plugins", ("audit", "mine")),
    (
        "ZEKT_CHANNEL_ALLOWED_NETS",
        "10.0.0.0/8, fd00::/8",
        "channel_allowed_nets",
        (ip_network("10.0.0.0/8"), ip_network("fd00::/8")),
    ),
    ("ZEKT_TRUSTED_PROXIES", "10.0.0.0/8", "trusted_proxies", (ip_network("10.0.0.0/8"),)),
    ("ZEKT_OPERATORS", "Ada, grace", "operators", ("ada", "grace")),
    ("ZEKT_ALLOWED_PEOPLE", "Ada", "allowed_people", ("ada",)),
    ("ZEKT_ALLOWED_PEOPLE_OF", "Aurora-Labs", "allowed_people_of", ("aurora-labs",)),
    ("ZEKT_SESSION_IDLE", "1", "session_idle", timedelta(hours=1)),
    ("ZEKT_SESSION_LASTS", "30", "session_lasts", timedelta(days=30)),
    ("ZEKT_OBSERVE_ALL", "true", "observe_all", True),
    ("ZEKT_PGBOUNCER", "true", "pgbouncer", True),
    ("ZEKT_TRACES", "true", "traces", True),
    ("ZEKT_METRICS_TOKEN", f"{KEY},{KEY}", "metrics_tokens", (KEY, KEY)),
    ("ZEKT_DIRECT_DATABASE_URL", "postgres://db/zekt", "direct_database_url", "postgres://db/zekt"),
    ("LOG_LEVEL", "debug", "log_level", "DEBUG"),
    ("LOG_FORMAT", "json", "log_format", "json"),
    ("LOG_FORMAT", "console", "log_format", "console"),
]
APP_FIELDS: list[tuple[str, str, Any]] = [
    ("APP_ID", "12", AppCredentials("12", version="environment")),
    ("PRIVATE_KEY", "pem", AppCredentials(private_key="pem", version="environment")),
    ("CLIENT_ID", "Iv23", AppCredentials(client_id="Iv23", version="environment")),
    ("CLIENT_SECRET", "hush", AppCredentials(client_secret="hush", version="environment")),
    (
        "WEBHOOK_SECRET",
        "the-former-secret, né-of-late-the-next",
        AppCredentials(
            webhook_secrets=(b"the-former-secret", "né-of-late-the-next".encode()),
            version="environment",
        ),
    ),
]
for _app in ("orchestrator", "oauth"):
    VARIABLES += [(f"ZEKT_{_app.upper()}_{n}", v, _app, wanted) for n, v, wanted in APP_FIELDS]


@pytest.mark.parametrize(
    ("github", "api"),
    [
        ("https://github.com", "https://api.github.com"),
        ("https://octo.ghe.com", "https://api.octo.ghe.com"),
        ("https://ghes.example:8443", "https://ghes.example:8443/api/v3"),
        ("https://notghe.com", "https://notghe.com/api/v3"),
    ],
)
def test_the_api_follows_from_the_pages_unless_it_is_named(github: str, api: str) -> None:
    assert load({"ZEKT_GITHUB_URL": github}).github_api_url == api
    named = {"ZEKT_GITHUB_URL": github, "ZEKT_GITHUB_API_URL": "https://other.example"}
    assert load(named).github_api_url == "https://other.example"


BAD: list[tuple[str, str, str]] = [
    *(("PORT", value, "0 to 65535") for value in ("-1", "65536", "http", "8o", "8_0", "1.5")),
    *(("DATABASE_URL", value, "sqlite:///PATH") for value in ("mysql://h/d", "zekt.db", "sqlite:")),
    *(
        (name, value, "a URL")
        for name in ("ZEKT_PUBLIC_URL", "ZEKT_GITHUB_API_URL", "ZEKT_OIDC_ISSUER")
        for value in (
            "zekt.example",
            "ftp://zekt.example",
            "https://",
            "https://z?a=b",
            "https://z#a",
            "https://:80",
            "https://z:port",
            "https://z:0",
            "https://[z",
        )
    ),
    *(
        (f"ZEKT_{app}_APP_ID", value, "the App's number")
        for app in ("ORCHESTRATOR", "OAUTH")
        for value in ("my-app", "-1", "1.0", "\uff11")
    ),
    *(("ZEKT_INFLIGHT_BYTES", value, "at least 1048576") for value in ("1048575", "128 MB")),
    *(
        (name, value, "0 to 3600")
        for name in ("ZEKT_JOB_GRACE", "ZEKT_SHUTDOWN_TIMEOUT")
        for value in ("-0.1", "3600.1", "nan", "inf", "2s")
    ),
    *(("ZEKT_LEASE", value, "1 to 3600") for value in ("0", "0.9", "3601", "nan")),
    ("ZEKT_LANE_PER_MINUTE", "-1", "0: unpaced"),
    ("ZEKT_LANE_MOST_PER_MINUTE", "-1", "0: never quicker"),
    ("ZEKT_LANE_BURST", "0", "from 1"),
    *(("ZEKT_LANE_IN_FLIGHT", value, "1 to 100") for value in ("0", "101", "many")),
    ("LOG_LEVEL", "loud", "DEBUG, INFO, WARNING or ERROR"),
    ("LOG_FORMAT", "xml", "console or json"),
]


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(environ)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def test_without_an_environment_the_defaults_are_those_of_one_process_on_sqlite() -> None:
    settings = load({})
    assert settings == Settings(orchestrator=FROM_ENVIRONMENT, oauth=FROM_ENVIRONMENT)
    assert not settings.on_postgresql


def test_the_processs_own_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEKT_LANE_BURST", "7")
    assert load().lane_burst == 7


@pytest.mark.parametrize(("variable", "value", "name", "wanted"), VARIABLES)
def test_a_setting_comes_from_its_variable(
    variable: str, value: str, name: str, wanted: Any
) -> None:
    assert getattr(load({variable: value}), name) == wanted


@pytest.mark.parametrize(("variable", "value", "name", "wanted"), VARIABLES)
def test_a_setting_comes_from_the_file_that_its_variable_names(
    tmp_path: Path, variable: str, value: str, name: str, wanted: Any
) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{value}\n", encoding="utf-8")
    assert getattr(load({f"{variable}_FILE": str(file)}), name) == wanted


def test_every_setting_can_be_set() -> None:
    alone = {name for _, _, name, _ in VARIABLES}
    assert alone | {"require_2fa"} == {field.name for field in fields(Settings)}


@pytest.mark.parametrize(
    "name",
    ["ZEKT_ALLOWED_PEOPLE", "ZEKT_ALLOWED_PEOPLE_OF", "ZEKT_ALLOWED_ACCOUNTS", "ZEKT_OPERATORS"],
)
def test_a_list_of_nobody_does_not_mean_everybody(name: str) -> None:
    assert f"{name} names nobody" in refusal({name: " , "})


@pytest.mark.parametrize("value", ["@ada", "ada grace", "aurora-labs/payments-api"])
def test_a_word_that_is_no_login_admits_nobody_and_is_named(value: str) -> None:
    for name in ("ZEKT_ALLOWED_PEOPLE", "ZEKT_ALLOWED_ACCOUNTS", "ZEKT_OPERATORS"):
        said = refusal({name: f"mona, {value}"})
        assert said.startswith(f"{name} has a word that is no login")
        assert value not in said


def test_two_factor_sign_in_can_be_demanded_where_github_tells_it() -> None:
    wanted = {"ZEKT_REQUIRE_2FA": "true", "ZEKT_OAUTH_CLIENT_ID": "Ov23liClassicOAuth01"}
    assert load(wanted).require_2fa
    for app in ({}, {**wanted, "ZEKT_OAUTH_APP_ID": "1"}):
        assert "classic OAuth App" in refusal({"ZEKT_REQUIRE_2FA": "true", **app})


@pytest.mark.parametrize("variable", sorted({variable for variable, *_ in VARIABLES}))
def test_an_empty_variable_is_one_that_is_not_set(variable: str) -> None:
    assert load({variable: "", f"{variable}_FILE": ""}) == load({})


@pytest.mark.parametrize(("variable", "value", "cure"), BAD)
def test_a_bad_value_is_refused_with_its_name_and_the_cure(
    variable: str, value: str, cure: str
) -> None:
    text = refusal({variable: value})
    assert text.startswith(f"{variable} must be ")
    assert cure in text


@pytest.mark.parametrize("variable", sorted({variable for variable, *_ in VARIABLES}))
def test_a_variable_and_its_file_cannot_both_be_set(tmp_path: Path, variable: str) -> None:
    text = refusal({variable: "x", f"{variable}_FILE": str(tmp_path)})
    assert text == f"{variable} and {variable}_FILE are both set; remove one."


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe")
    for path, reason in (
        (tmp_path / "none", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (binary, "it is not UTF-8 text"),
    ):
        text = refusal({"ZEKT_SECRET_KEY_FILE": str(path)})
        assert text == f"ZEKT_SECRET_KEY_FILE: cannot read {path}: {reason}."


@pytest.mark.parametrize(
    "url", [POSTGRES, "postgres://h/d?sslmode=require", "postgresql+asyncpg://h/d"]
)
def test_postgresql_needs_a_key_and_says_how_to_make_one(url: str) -> None:
    text = refusal({"DATABASE_URL": url})
    assert text.startswith("ZEKT_SECRET_KEY is not set.")
    assert "openssl rand -base64 32" in text
    settings = load({"DATABASE_URL": url, "ZEKT_SECRET_KEY": KEY})
    assert settings.on_postgresql
    assert settings.database_url == url


@pytest.mark.parametrize("keys", ["k" * 31, f"{KEY},short"])
def test_a_short_key_is_refused_and_not_shown(keys: str) -> None:
    text = refusal({"ZEKT_SECRET_KEY": keys})
    assert "ZEKT_SECRET_KEY" in text
    assert "openssl rand -base64 32" in text
    assert keys not in text


def test_the_public_url_follows_the_port_unless_it_is_set() -> None:
    assert load({"PORT": "9000"}).public_url == "http://localhost:9000"
    chosen = load({"PORT": "9000", "ZEKT_PUBLIC_URL": "https://zekt.example"})
    assert chosen.public_url == "https://zekt.example"


@pytest.mark.parametrize("app", ["ORCHESTRATOR", "OAUTH"])
def test_a_webhook_secret_that_can_be_guessed_stops_the_start(app: str) -> None:
    name = f"ZEKT_{app}_WEBHOOK_SECRET"
    with pytest.raises(ConfigurationError, match=name) as caught:
        load({name: "one-that-is-long-enough,fifteen-letters"})
    assert "fifteen-letters" not in str(caught.value)
    assert load({name: "sixteen--letters"})


def test_settings_are_frozen() -> None:
    settings: Any = load({})
    with pytest.raises(FrozenInstanceError):
        settings.port = 1


secrets = st.text("ABCDEFGHJKLMNOPQRSTUVWXYZ0123456789", min_size=32, max_size=64)


@given(st.lists(secrets, min_size=6, max_size=6, unique=True))
def test_no_secret_stands_in_the_repr_of_the_settings(found: list[str]) -> None:
    environ = {
        "ZEKT_SECRET_KEY": found[0],
        "DATABASE_URL": f"postgresql://zekt:{found[1]}@db/zekt",
        "ZEKT_ORCHESTRATOR_PRIVATE_KEY": found[2],
        "ZEKT_ORCHESTRATOR_WEBHOOK_SECRET": found[3],
        "ZEKT_OAUTH_PRIVATE_KEY": found[4],
        "ZEKT_OAUTH_WEBHOOK_SECRET": found[5],
    }
    settings = load(environ)
    for shown in (repr(settings), str(settings), f"{settings.oauth} {settings.orchestrator}"):
        assert not [secret for secret in found if secret in shown]


@given(secret=secrets, variable=st.sampled_from(sorted({variable for variable, *_ in BAD})))
def test_a_refused_value_is_not_shown_lest_it_was_a_secret_in_the_wrong_place(
    secret: str, variable: str
) -> None:
    assert secret not in refusal({variable: f"x{secret}"})


def test_a_dyno_without_a_database_is_refused_and_the_add_on_named() -> None:
    text = refusal({"DYNO": "web.1"})
    assert text.startswith("DATABASE_URL is not set.")
    assert "heroku addons:create heroku-postgresql" in text
    assert load({"DYNO": "web.1", "DATABASE_URL": "sqlite:////data/zekt.db"}).port == 8080
    assert load({"DYNO": "web.1", "DATABASE_URL": POSTGRES, "ZEKT_SECRET_KEY": KEY}).on_postgresql


def test_variables_are_all_that_are_read() -> None:
    assert {name for name, *_ in VARIABLES} < variables()
    assert {"ZEKT_SECRET_KEY_FILE", "ZEKT_ENV"} < variables()
    assert not {name for name in variables() if name.endswith("_FILE_FILE")}
