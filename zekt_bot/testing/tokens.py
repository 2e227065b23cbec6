"""Who asks: the App's JSON Web Token, and installation tokens with what they are narrowed to.

Source: https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import base64
import secrets
from datetime import timedelta
from functools import cache
from math import isnan
from typing import TYPE_CHECKING, Any, Protocol

import jwt
import orjson
from cryptography.hazmat.primitives import serialization

from zekt_bot.testing.answers import ApiRefusal, invalid, shown
from zekt_bot.testing.model import Token
from zekt_bot.testing.shapes import iso

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from zekt_bot.testing.model import App, Installation, Repository
    from zekt_bot.testing.world import World

LIFE = timedelta(hours=1)
LENGTH = 520
MINT_DOCS = "reference/apps#create-an-installation-access-token-for-an-app"
NO_REPOSITORY = (
    "There is at least one repository that does not exist or is not accessible to the parent "
    "installation."
)
NO_PERMISSION = "The permissions requested are not granted to this installation."
_UNREADABLE = "A JSON web token could not be decoded"
_EXPIRY = (
    "'Expiration time' claim ('exp') must be a numeric value representing the future time at "
    "which the assertion expires"
)
_ISSUED = (
    "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was "
    "issued"
)


def bearer(header: str | None, *schemes: str) -> str | None:
    """The credential of an Authorization header, after `Bearer` or `token` unless told."""
    scheme, _, value = (header or "").strip().partition(" ")
    wanted = schemes or ("bearer", "token")
    return value.strip() if scheme.lower() in wanted and value.strip() else None


def check_jwt(world: World, header: str | None) -> App:
    """The App that signed the JWT, which comes after `Bearer` alone.

    Raises:
        ApiRefusal: 401 with GitHub's text; 404 if no App has this `iss`.
    """
    value = bearer(header, "bearer") or ""
    try:
        claims = jwt.decode(value, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise ApiRefusal(401, _UNREADABLE) from None
    if "iss" not in claims:
        raise ApiRefusal(401, "Missing 'issuer' claim ('iss') in assertion")
    issuer = str(claims["iss"])
    app = next((a for a in world.apps.values() if issuer in {str(a.id), a.client_id}), None)
    if app is None:
        raise ApiRefusal(404, "Integration not found")
    try:
        # The signature alone: claims that GitHub does not read may be there, of any type.
        jwt.PyJWS().decode(value, _public_key(app.private_key), algorithms=["RS256"])
    except jwt.InvalidTokenError:
        raise ApiRefusal(401, _UNREADABLE) from None
    if app.known_from is not None and world.clock.now() < app.known_from:
        raise ApiRefusal(401, _UNREADABLE)
    _check_times(claims, world.clock.now().timestamp())
    return app


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = _number(claims.get("exp")), claims.get("iat")
    if expires is None or expires <= now:
        raise ApiRefusal(401, _EXPIRY)
    if expires > now + 600:
        raise ApiRefusal(401, "'Expiration time' claim ('exp') is too far in the future")
    if not isinstance(issued, int) or isinstance(issued, bool) or issued > now:
        raise ApiRefusal(401, _ISSUED)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or (isinstance(value, float) and isnan(value)):
        return None
    return value if isinstance(value, int | float) else None


@cache
def _public_key(pem: str) -> Any:
    key = serialization.load_pem_private_key(pem.encode(), None)
    return key.public_key()


def check_token(world: World, header: str | None) -> Token:
    """The installation token of the request.

    Raises:
        ApiRefusal: 401 if there is none that lives, 403 if its installation is suspended.
    """
    if not header:
        raise ApiRefusal(401, "Requires authentication")
    token = world.tokens.get(bearer(header) or "")
    if token is None or token.revoked or token.installation.deleted:
        raise ApiRefusal(401, "Bad credentials")
    if token.expires_at <= world.clock.now():
        raise ApiRefusal(401, "Bad credentials")
    if token.installation.suspended_at is not None:
        raise ApiRefusal(403, _suspended(token.installation))
    return token


def _suspended(installation: Installation) -> str:
    """What GitHub says of a token that lives; who mints one hears another text."""
    at = iso(installation.suspended_at)
    return (
        f"Sorry. This installation owned by {installation.account.login} suspended your access "
        f"at {at}."
    )


def mint(world: World, installation: Installation, wanted: Mapping[str, Any]) -> Token:
    """A new token, narrowed as `wanted` says.

    Raises:
        ApiRefusal: 403 for a suspended installation, 422 for what is not granted.
    """
    if installation.suspended_at is not None:
        raise ApiRefusal(403, "This installation has been suspended", MINT_DOCS)
    repositories = _narrowed(world, installation, wanted)
    asked = wanted.get("permissions")
    if asked is not None and not isinstance(asked, dict):
        raise invalid(f"For 'properties/permissions', {shown(asked)} is not an object.", MINT_DOCS)
    if asked and not installation.grants({k: str(v) for k, v in asked.items()}):
        raise ApiRefusal(422, NO_PERMISSION, MINT_DOCS)
    permissions = {**asked, "metadata": "read"} if asked else dict(installation.permissions)
    now = world.clock.now()
    token = Token(
        _value(installation, now.timestamp()),
        installation,
        permissions,
        repositories,
        now,
        now.replace(microsecond=0) + LIFE,
    )
    world.tokens[token.value] = token
    return token


def _narrowed(
    world: World, installation: Installation, wanted: Mapping[str, Any]
) -> frozenset[int] | None:
    ids, names = wanted.get("repository_ids"), wanted.get("repositories")
    if ids is None and names is None:
        return None
    covered = world.covered(installation)
    by_name = {one.name.lower(): one.id for one in covered}
    chosen = [
        *_checked(ids, "repository_ids", int),
        *(by_name.get(name.lower(), 0) for name in _checked(names, "repositories", str)),
    ]
    if not chosen:
        return None
    if not set(chosen) <= {one.id for one in covered}:
        raise ApiRefusal(422, NO_REPOSITORY, MINT_DOCS)
    return frozenset(chosen)


def _checked(values: Any, name: str, kind: type) -> Sequence[Any]:
    if values is None:
        return ()
    if not isinstance(values, list):
        raise invalid(f"For 'properties/{name}', {shown(values)} is not an array.", MINT_DOCS)
    if len(values) > 500:
        reason = f"No more than 500 items are allowed; {len(values)} were supplied."
        raise invalid(reason, MINT_DOCS)
    for value in values:
        if not isinstance(value, kind) or isinstance(value, bool):
            article = "an integer" if kind is int else "a string"
            place = f"properties/{name}/items"
            raise invalid(f"For '{place}', {shown(value)} is not {article}.", MINT_DOCS)
    return values


def _value(installation: Installation, now: float) -> str:
    """`ghs_APPID_JWT`, padded in its claims to the length of GitHub's."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).decode().rstrip("=")

    head = part(orjson.dumps({"alg": "RS256", "kid": secrets.token_hex(8), "typ": "JWT"}))
    signature = part(secrets.token_bytes(256))
    prefix = f"ghs_{installation.app.id}_{head}."
    claims = {"iat": int(now), "exp": int(now) + 3600, "inst": installation.id, "jti": ""}
    room = LENGTH - len(prefix) - len(signature) - 1
    padding = room * 3 // 4 - len(orjson.dumps(claims))
    claims["jti"] = secrets.token_hex(max(padding, 16))[: max(padding, 16)]
    return f"{prefix}{part(orjson.dumps(claims))}.{signature}"


class Viewer(Protocol):
    """Whose token it is that looks: an installation's, or a person's."""

    def reaches(self, repository: Repository) -> bool:
        """Whether it was made for this repository."""
        ...

    def grants(self, permission: str, level: str) -> bool:
        """Whether it has this permission."""
        ...


def readable(viewer: Viewer | None, repository: Repository) -> bool:
    """Whether the repository may be seen: a public one by everybody."""
    return not repository.private or (viewer is not None and viewer.reaches(repository))
