"""What a `postgresql://` URL says reaches the driver or PostgreSQL, or is refused by name."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zekt_bot.db import libpq
from zekt_bot.db.libpq import options
from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

QUIET: dict[str, Any] = {"timeout": 10, "server_settings": {}}


def refusal(query: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        options(f"postgresql://db/zekt?{query}")
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("postgres://", {}),
        ("postgres:///zekt", {"database": "zekt"}),
        ("postgres://db", {"host": ["db"], "port": [5432]}),
        ("postgres://db:5433/", {"host": ["db"], "port": [5433]}),
        ("postgres://[::1]:5433", {"host": ["::1"], "port": [5433]}),
        ("postgres://[::1]", {"host": ["::1"], "port": [5432]}),
        ("postgres://a:1,b,c:3", {"host": ["a", "b", "c"], "port": [1, 5432, 3]}),
        ("postgres://ann@db", {"user": "ann", "host": ["db"], "port": [5432]}),
        (
            "postgres://ann:p%40ss@w:rd@db/a%20b",
            {
                "user": "ann",
                "password": "p@ss@w:rd",
                "host": ["db"],
                "port": [5432],
                "database": "a b",
            },
        ),
        ("postgres://%2Frun%2Fpg/zekt", {"host": ["/run/pg"], "port": [5432], "database": "zekt"}),
        ("postgres:///?host=/run/pg", {"host": ["/run/pg"], "port": [5432]}),
        ("postgres:///?host=a,b&port=1,2", {"host": ["a", "b"], "port": [1, 2]}),
        ("postgres://a,b?port=7", {"host": ["a", "b"], "port": [7, 7]}),
        ("postgres:///?port=7", {"port": 7}),
        (
            "postgres://x@db?user=ann&password=a+b&dbname=zekt",
            {"user": "ann", "password": "a+b", "database": "zekt", "host": ["db"], "port": [5432]},
        ),
        ("postgres:///?database=zekt", {"database": "zekt"}),
        ("postgres:///?service=zekt&krbsrvname=p", {"service": "zekt", "krbsrvname": "p"}),
        (
            "postgres://?target_session_attrs=read-write",
            {"target_session_attrs": "read-write"},
        ),
        ("postgres://?sslmode=", {}),
    ],
)
def test_who_and_where_become_arguments_of_the_driver(url: str, wanted: dict[str, Any]) -> None:
    assert options(url) == QUIET | wanted


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("connect_timeout=3", {"timeout": 3}),
        ("connect_timeout=0", {"timeout": None}),
        ("application_name=z", {"server_settings": {"application_name": "z"}}),
        ("fallback_application_name=z", {"server_settings": {"application_name": "z"}}),
        (
            "fallback_application_name=y&application_name=z",
            {"server_settings": {"application_name": "z"}},
        ),
        (
            "options=-c%20work_mem%3D8MB",
            {"server_settings": {"options": "-c work_mem=8MB"}},
        ),
        (
            "keepalives=1&keepalives_idle=30&keepalives_interval=5&keepalives_count=4"
            "&tcp_user_timeout=9000",
            {
                "server_settings": {
                    "tcp_keepalives_idle": "30",
                    "tcp_keepalives_interval": "5",
                    "tcp_keepalives_count": "4",
                    "tcp_user_timeout": "9000",
                }
            },
        ),
        ("gssencmode=disable&channel_binding=prefer&client_encoding=utf8&sslsni=1", {}),
        ("sslnegotiation=direct", {"dsn": "postgresql://?sslnegotiation=direct"}),
        (
            "sslpassword=a%26b&ssl_min_protocol_version=TLSv1.3",
            {"dsn": "postgresql://?sslpassword=a%26b&ssl_min_protocol_version=TLSv1.3"},
        ),
    ],
)
def test_how_becomes_what_the_driver_reads(query: str, wanted: dict[str, Any]) -> None:
    assert options(f"postgresql://?{query}") == QUIET | wanted


@pytest.mark.parametrize(
    "mode", ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
)
def test_sslmode_is_handed_to_the_driver(mode: str) -> None:
    assert options(f"postgres://db?sslmode={mode}")["dsn"] == f"postgresql://?sslmode={mode}"


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("b=1&a=2&sslmode=require", "does not know: a, b. Leave them out."),
        ("hostaddr=10.0.0.1", "hostaddr: write the address as the host."),
        ("sslmode=maybe", "sslmode must be one of allow, disable"),
        ("sslmode=require&sslmode=disable", "has sslmode twice"),
        ("target_session_attrs=standby", "target_session_attrs must be one of any, primary"),
        ("channel_binding=require", "(sslmode=verify-full proves the server"),
        ("client_encoding=latin1", "client_encoding must be one of"),
        ("connect_timeout=soon", "connect_timeout must be a whole number"),
        ("keepalives_idle=-1", "keepalives_idle must be a whole number"),
        ("sslrootcert=/none/root.crt", "sslrootcert names /none/root.crt"),
        ("sslcert=system", "sslcert names system"),
        ("sslrootcert=system&sslmode=require", "needs sslmode=verify-full"),
        ("host=a,b,c&port=1,2", "more or fewer ports than hosts"),
        ("port=http", "cannot be read"),
        ("port=0", "cannot be read"),
        ("host=a&port=65536", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named_with_the_cure(query: str, named: str) -> None:
    assert named in refusal(query)


@pytest.mark.parametrize("rest", ["hidden", "hidden=1", "hidden&more"])
def test_the_rest_of_a_password_is_no_parameter_to_be_shown(rest: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options(f"postgresql://zekt:half?{rest}@db/zekt")
    assert "%3F" in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_a_file_that_is_there_is_handed_to_the_driver(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a&b.pem"
    file.touch()
    found = options(f"postgresql://?{name}={quote(str(file), '')}")
    assert found["dsn"] == f"postgresql://?{name}={quote(str(file))}"


def test_public_authorities_check_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    here = ssl.get_default_verify_paths()._replace(cafile="/etc/authorities.pem")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: here)
    assert options("postgresql://?sslrootcert=system")["dsn"] == (
        "postgresql://?sslrootcert=/etc/authorities.pem&sslmode=verify-full"
    )


def test_without_public_authorities_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = ssl.get_default_verify_paths()._replace(cafile="")
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nowhere)
    assert "install ca-certificates, or name a file" in refusal("sslrootcert=system")


@given(st.text(), st.text(), st.text())
def test_a_quoted_name_comes_back_as_it_was(user: str, password: str, database: str) -> None:
    url = f"postgresql://{quote(user, '')}:{quote(password, '')}@db/{quote(database, '')}"
    found = options(url)
    assert found.get("user", "") == user
    assert found.get("password", "") == password
    assert found.get("database", "") == database


async def test_postgresql_hears_what_the_url_says(postgres_url: str) -> None:
    name = "application_name=a%20test&options=-c%20work_mem%3D8MB&keepalives_idle=33"
    connection = await libpq.connect(options(f"{postgres_url}?{name}"))
    try:
        for setting, value in (
            ("application_name", "a test"),
            ("work_mem", "8MB"),
            ("tcp_keepalives_idle", "33"),
        ):
            assert await connection.fetchval("SELECT current_setting($1)", setting) == value
    finally:
        await connection.close()


async def test_the_next_host_is_tried(postgres_url: str) -> None:
    connection = await libpq.connect(
        options(postgres_url.replace("@", "@127.0.0.1:1,") + "?target_session_attrs=read-write")
    )
    await connection.close()


@pytest.mark.parametrize("name", ["sslcert", "sslrootcert"])
async def test_a_file_that_holds_no_certificate_is_a_setting_to_mend(
    postgres_url: str, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "none.crt"
    file.write_text("nothing")
    with pytest.raises(ConfigurationError, match="DATABASE_URL: "):
        await libpq.connect(options(f"{postgres_url}?sslmode=require&{name}={file}"))


async def test_a_check_without_an_authority_says_what_to_give(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"root certificate file .* HINT"):
        await libpq.connect(options(f"{postgres_url}?sslmode=verify-full"))
