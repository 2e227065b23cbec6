"""Tokens of workflow runs and the keys that verify them, as GitHub's issuer makes them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import jwt
import orjson
from cryptography.hazmat.primitives import serialization

from benchmarks import rows
from zekt_bot.domain.run_tokens import SHARED_AUDIENCE
from zekt_bot.testing import GitHubSimulator
from zekt_bot.testing.oidc import jwk
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from benchmarks.traffic import Sink

_HOUR = 3600


@cache
def _key() -> RSAPrivateKey:
    return cast("RSAPrivateKey", serialization.load_pem_private_key(private_key(0).encode(), None))


@cache
def _public() -> dict[str, Any]:
    return jwk(0)


def public_key() -> str:
    """What verifies the tokens, in PEM."""
    encoded = (
        _key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return encoded.decode()


@dataclass(frozen=True)
class Issuer:
    """Who makes tokens at this address; `claims` are those of a run of the first provider's."""

    url: str
    claims: Mapping[str, Any]

    def token(self, repository_id: int, repository: str, run_id: int) -> str:
        """The token of a run's first attempt, with all that GitHub tells."""
        now, former = int(time.time()), self.claims["repository"]
        claims = {
            name: value.replace(former, repository) if isinstance(value, str) else value
            for name, value in self.claims.items()
        } | {
            "jti": f"00000000-0000-0000-0000-{run_id:012}",
            "iss": self.url,
            "iat": now,
            "exp": now + _HOUR,  # of all that a benchmark sends, at once
            "repository_id": str(repository_id),
            "repository_owner": repository.partition("/")[0],
            "run_id": str(run_id),
        }
        return jwt.encode(claims, _key(), "RS256", headers={"kid": _public()["kid"]})


async def publish(sink: Sink) -> Issuer:
    """Let the sink be the issuer too."""
    url = f"http://127.0.0.1:{sink.port}"
    sink.answer(
        "/.well-known/openid-configuration",
        orjson.dumps({"issuer": url, "jwks_uri": f"{url}/jwks"}),
    )
    sink.answer("/jwks", orjson.dumps({"keys": [_public()]}))
    return Issuer(url, await _claims())


async def _claims() -> dict[str, Any]:
    """What the simulator says of a run."""
    github = GitHubSimulator()
    owner, _, name = rows.provider_name(0).partition("/")
    repository = github.repository(github.account(owner), name, private=True)
    github.add_workflow(repository, rows.WORKFLOW, "Release")
    run = await github.start_run(repository, rows.WORKFLOW)
    return github.oidc.claims(run, SHARED_AUDIENCE)
