"""Tokens of workflow runs and the keys that verify them, as GitHub's issuer makes them."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

import jwt
import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from zekt_bot.domain.run_tokens import SHARED_AUDIENCE

if TYPE_CHECKING:
    from benchmarks.traffic import Sink

KEY_ID = "bench-key"

_HOUR = 3600


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def private_key() -> str:
    """One key for all that is signed, in PEM."""
    encoded = _key().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return encoded.decode()


def public_key() -> str:
    """What verifies it, in PEM."""
    encoded = (
        _key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return encoded.decode()


def publish(sink: Sink) -> str:
    """Let the sink be the issuer too; answers its address."""
    issuer = f"http://127.0.0.1:{sink.port}"
    known = RSAAlgorithm.to_jwk(_key().public_key(), as_dict=True)
    shown = {name: known[name] for name in ("kty", "n", "e")} | {"kid": KEY_ID, "alg": "RS256"}
    sink.answer(
        "/.well-known/openid-configuration",
        orjson.dumps({"issuer": issuer, "jwks_uri": f"{issuer}/jwks"}),
    )
    sink.answer("/jwks", orjson.dumps({"keys": [shown]}))
    return issuer


def token(issuer: str, repository_id: int, repository: str, run_id: int, workflow: str) -> str:
    """The token of a run's first attempt, with all that GitHub tells."""
    now, owner = int(time.time()), repository.partition("/")[0]
    claims = {
        "jti": f"00000000-0000-0000-0000-{run_id:012}",
        "iss": issuer,
        "sub": f"repo:{repository}:ref:refs/heads/main",
        "aud": SHARED_AUDIENCE,
        "iat": now,
        "nbf": now - 600,
        "exp": now + _HOUR,
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "ref_protected": "false",
        "sha": "0" * 40,
        "repository": repository,
        "repository_id": str(repository_id),
        "repository_owner": owner,
        "repository_owner_id": "41000001",
        "repository_visibility": "private",
        "run_id": str(run_id),
        "run_number": "7",
        "run_attempt": "1",
        "actor": "mona",
        "actor_id": "1",
        "workflow": "Release",
        "workflow_ref": f"{repository}/{workflow}@refs/heads/main",
        "workflow_sha": "0" * 40,
        "job_workflow_ref": f"{repository}/{workflow}@refs/heads/main",
        "job_workflow_sha": "0" * 40,
        "head_ref": "",
        "base_ref": "",
        "event_name": "push",
        "runner_environment": "github-hosted",
    }
    return jwt.encode(claims, _key(), "RS256", headers={"kid": KEY_ID})
