"""libpq's connection URL, translated into what `asyncpg.connect` takes.

Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

import asyncpg

from zekt_bot.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONNECT_SECONDS = 10
UNREADABLE = (
    "DATABASE_URL cannot be read: write sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME."
)

# Arguments of asyncpg, by libpq's names.
_ARGUMENTS = {
    "user": "user",
    "password": "password",
    "dbname": "database",
    "passfile": "passfile",
    "service": "service",
    "target_session_attrs": "target_session_attrs",
    "krbsrvname": "krbsrvname",
}
# What asyncpg reads from a URL alone.
_TLS = (
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
# What PostgreSQL itself is told when the session begins: its end then watches the connection.
_SESSION = {
    "options": "options",
    "application_name": "application_name",
    "keepalives_idle": "tcp_keepalives_idle",
    "keepalives_interval": "tcp_keepalives_interval",
    "keepalives_count": "tcp_keepalives_count",
    "tcp_user_timeout": "tcp_user_timeout",
}
_NUMBERS = {"connect_timeout", *(name for name in _SESSION if name.startswith(("keep", "tcp")))}
_WORDS = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "sslnegotiation": {"postgres", "direct"},
    "ssl_min_protocol_version": {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"},
    "ssl_max_protocol_version": {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"},
    # The others name servers that cannot be written to.
    "target_session_attrs": {"any", "read-write", "primary"},
    # These ask for what happens anyway, and change nothing.
    "keepalives": {"0", "1"},
    "client_encoding": {"UTF8", "utf8", "auto"},
    "sslcompression": {"0"},
    "sslsni": {"1"},
    "gssencmode": {"disable", "prefer"},
    "channel_binding": {"disable", "prefer"},
    "load_balance_hosts": {"disable"},
}
_CURES = {
    "channel_binding": "sslmode=verify-full proves the server by its certificate instead",
    "hostaddr": "write the address as the host",
    "sslcrldir": "name one file with sslcrl",
    "replication": "Zekt needs an ordinary session",
}
KNOWN = frozenset(
    {*_ARGUMENTS, *_TLS, *_SESSION, *_WORDS}
    | {"host", "port", "connect_timeout", "fallback_application_name"}
)


def options(database_url: str) -> dict[str, Any]:
    """The arguments for `asyncpg.connect` that a `postgresql://` URL stands for.

    Raises:
        ConfigurationError: naming what cannot be used, and the cure.
    """
    place, _, query = database_url.partition("://")[2].partition("?")
    authority, _, database = place.partition("/")
    login, _, hosts = authority.rpartition("@")
    user, _, password = login.partition(":")
    named = {
        "user": unquote(user),
        "password": unquote(password),
        "dbname": unquote(database),
    }
    given = {name: value for name, value in named.items() if value} | _parameters(query)
    found: dict[str, Any] = {
        argument: given[name] for name, argument in _ARGUMENTS.items() if name in given
    }
    found |= _hosts(given.get("host") or hosts, given.get("port", ""))
    tls = _tls(given)
    if tls:
        found["dsn"] = f"postgresql://?{urlencode(tls, quote_via=quote, safe='/')}"
    found["timeout"] = int(given.get("connect_timeout", CONNECT_SECONDS)) or None
    found["server_settings"] = {
        setting: given[name] for name, setting in _SESSION.items() if name in given
    }
    if "fallback_application_name" in given:
        name = given["fallback_application_name"]
        found["server_settings"].setdefault("application_name", name)
    return found


def shown(found: Mapping[str, Any]) -> str:
    """The address without its password."""
    pairs = zip(found.get("host", ()), found.get("port", ()), strict=True)
    hosts = ",".join(quote(host, safe="[]:") + f":{port}" for host, port in pairs)
    user = f"{quote(found['user'])}@" if "user" in found else ""
    return f"postgresql://{user}{hosts}/{quote(found.get('database', ''))}"


async def connect(found: Mapping[str, Any]) -> asyncpg.Connection:
    """Connect with what `options` gave.

    Raises:
        ConfigurationError: the files that the URL names do not fit each other.
    """
    try:
        return await asyncpg.connect(**found)
    except (asyncpg.ClientConfigurationError, ssl.SSLError) as error:
        if isinstance(error, ssl.SSLCertVerificationError):
            raise  # the server's fault, or an attack: not the setting's
        said = getattr(error, "reason", None) or " ".join(str(error).split())
        raise ConfigurationError(f"DATABASE_URL: {said}.") from None


def _parameters(query: str) -> dict[str, str]:
    """The URL's parameters; unlike a form's, their `+` is a plus."""
    found: dict[str, str] = {}
    for name, _, value in (pair.partition("=") for pair in query.split("&") if pair):
        if unquote(name) in found:
            raise ConfigurationError(f"DATABASE_URL has {unquote(name)} twice: leave one out.")
        found[unquote(name)] = unquote(value)
    if "database" in found:  # asyncpg's word
        found.setdefault("dbname", found.pop("database"))
    unknown = sorted(found.keys() - KNOWN)
    if unknown and "@" in query:  # it is the rest of a password, not to be shown
        raise ConfigurationError(f"{UNREADABLE} A `?` in its password is written %3F.")
    if unknown:
        cures = "".join(f" {name}: {_CURES[name]}." for name in unknown if name in _CURES)
        raise ConfigurationError(
            f"DATABASE_URL has parameters that Zekt does not know: {', '.join(unknown)}. Leave "
            f"them out.{cures}"
        )
    given = {name: value for name, value in found.items() if value}
    for name, value in given.items():
        _check(name, value)
    return given


def _check(name: str, value: str) -> None:
    if name in _NUMBERS and not (value.isascii() and value.isdigit()):
        raise ConfigurationError(f"DATABASE_URL: {name} must be a whole number.")
    words = _WORDS.get(name)
    if words and value not in words:
        cure = f" ({_CURES[name]})" if name in _CURES else ""
        listed = ", ".join(sorted(words))
        raise ConfigurationError(f"DATABASE_URL: {name} must be one of {listed}{cure}.")
    if name in _FILES and not (Path(value).is_file() or (name, value) == ("sslrootcert", "system")):
        raise ConfigurationError(f"DATABASE_URL: {name} names {value}, and there is no such file.")


def _tls(given: Mapping[str, str]) -> dict[str, str]:
    found = {name: given[name] for name in _TLS if name in given}
    if found.get("sslrootcert") != "system":
        return found
    if found.setdefault("sslmode", "verify-full") != "verify-full":
        raise ConfigurationError(
            "DATABASE_URL: sslrootcert=system trusts every public authority, so it needs "
            "sslmode=verify-full."
        )
    authorities = ssl.get_default_verify_paths().cafile
    if not authorities:
        raise ConfigurationError(
            "DATABASE_URL: this system has no file of authorities for sslrootcert=system: install "
            "ca-certificates, or name a file."
        )
    return found | {"sslrootcert": authorities}


def _hosts(hosts: str, ports: str) -> dict[str, Any]:
    """Lists of hosts (names, addresses or folders of sockets) and of their ports."""
    if not hosts:
        return {"port": _port(ports)} if ports else {}
    pairs = [_host(one) for one in hosts.split(",")]
    given = ports.split(",") if ports else []
    if len(given) not in {0, 1, len(pairs)}:
        raise ConfigurationError("DATABASE_URL names more or fewer ports than hosts.")
    if given:
        pairs = [(host, given[min(n, len(given) - 1)]) for n, (host, _) in enumerate(pairs)]
    return {"host": [host for host, _ in pairs], "port": [_port(port) for _, port in pairs]}


def _host(text: str) -> tuple[str, str]:
    if text.startswith("["):  # an IPv6 address
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = text.partition(":")
    return unquote(host), port


def _port(text: str) -> int:
    if not text:
        return 5432
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise ConfigurationError(UNREADABLE)
    return int(text)
