"""GitHub as the issuer of tokens that say which workflow run calls.

Source: https://docs.github.com/actions/reference/security/oidc
"""

from __future__ import annotations

import secrets
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from jwt.algorithms import RSAAlgorithm

from zekt_bot.testing.answers import ApiRefusal, answer, not_found
from zekt_bot.testing.tokens import bearer
from zekt_bot.testing.world import private_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web

    from zekt_bot.testing.answers import Route
    from zekt_bot.testing.core import Core
    from zekt_bot.testing.runs import WorkflowRun

PREFIX = "/_services/token"
LIFE = timedelta(minutes=5)
_FIRST_KEY = 1000  # the numbers before are Apps'


class OidcIssuer:
    """The issuer of this host. `enterprise`: what one has appended to the issuer of its tokens."""

    def __init__(self, core: Core) -> None:
        """With one key."""
        self._core = core
        self._ordinals = [_FIRST_KEY]
        self._runners: dict[str, WorkflowRun] = {}
        self.enterprise: str | None = None

    @property
    def url(self) -> str:
        """Where the discovery document is, and who tokens are of unless an enterprise differs."""
        return self._core.urls.web + PREFIX

    @property
    def key_id(self) -> str:
        """The key that signs now."""
        return _key_id(self._ordinals[-1])

    @property
    def signing_key(self) -> str:
        """It, in PEM."""
        return private_key(self._ordinals[-1])

    def rotate(self, *, withdraw: bool = False) -> None:
        """Sign with a new key; the old ones stay in the key set unless they are withdrawn."""
        ordinal = self._ordinals[-1] + 1
        self._ordinals = [ordinal] if withdraw else [*self._ordinals, ordinal]

    def token(self, run: WorkflowRun, audience: str, **changed: Any) -> str:
        """The token of a run's present attempt; a claim that is changed to None is left out."""
        claims = {**self.claims(run, audience), **changed}
        told = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(told, self.signing_key, "RS256", headers={"kid": self.key_id})

    def claims(self, run: WorkflowRun, audience: str) -> dict[str, Any]:
        """What GitHub says of a run; all ids are strings."""
        now, repository = self._core.now(), run.repository
        ref = f"refs/heads/{run.head_branch}"
        workflow = f"{repository.full_name}/{run.workflow.path}@{ref}"
        return {
            "jti": str(uuid.uuid4()),
            "iss": f"{self.url}/{self.enterprise}" if self.enterprise else self.url,
            "sub": f"repo:{repository.full_name}:ref:{ref}",
            "aud": audience,
            "iat": int(now.timestamp()),
            "nbf": int((now - LIFE).timestamp()),
            "exp": int((now + LIFE).timestamp()),
            "ref": ref,
            "ref_type": "branch",
            "ref_protected": "false",
            "base_ref": "",
            "head_ref": "",
            "sha": run.head_sha,
            "repository": repository.full_name,
            "repository_id": str(repository.id),
            "repository_owner": repository.owner.login,
            "repository_owner_id": str(repository.owner.id),
            "repository_visibility": repository.visibility,
            "run_id": str(run.id),
            "run_number": str(run.number),
            "run_attempt": str(run.attempt),
            "actor": run.actor.login,
            "actor_id": str(run.actor.id),
            "workflow": run.workflow.name,
            "workflow_ref": workflow,
            "workflow_sha": run.head_sha,
            "job_workflow_ref": workflow,
            "job_workflow_sha": run.head_sha,
            "event_name": run.event,
            "runner_environment": "github-hosted",
        }

    def environment(self, run: WorkflowRun) -> dict[str, str]:
        """What the runner gives a job that has `id-token: write`."""
        token = secrets.token_urlsafe(24)
        self._runners[token] = run
        return {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{self.url}/request/{run.id}?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": token,
        }

    def routes(self) -> Iterator[Route]:
        """Method, path, handler."""
        yield "GET", f"{PREFIX}/.well-known/openid-configuration", self._configuration
        yield "GET", f"{PREFIX}/.well-known/jwks", self._keys
        yield "GET", f"{PREFIX}/request/{{run}}", self._request

    async def _configuration(self, _request: web.Request) -> web.Response:
        return answer(
            200,
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/.well-known/jwks",
                "subject_types_supported": ["public", "pairwise"],
                "response_types_supported": ["id_token"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "scopes_supported": ["openid"],
            },
        )

    async def _keys(self, _request: web.Request) -> web.Response:
        return answer(200, {"keys": [jwk(ordinal) for ordinal in self._ordinals]})

    async def _request(self, request: web.Request) -> web.Response:
        """A token for the audience that the job asks for; without one, for its owner's page.

        Source: https://docs.github.com/actions/how-tos/secure-your-work/security-harden-deployments/oidc-in-cloud-providers
        """
        run = self._runners.get(bearer(request.headers.get("Authorization")) or "")
        if run is None:
            raise ApiRefusal(401, "Bad credentials")
        if request.match_info["run"] != str(run.id):
            raise not_found()
        owner = f"{self._core.urls.web}/{run.repository.owner.login}"
        value = self.token(run, request.query.get("audience", owner))
        return answer(200, {"count": len(value), "value": value})


def _key_id(ordinal: int) -> str:
    return f"key-{ordinal}"


def jwk(ordinal: int) -> dict[str, Any]:
    """What verifies the signatures of the key of this number, as a key set has it."""
    key = serialization.load_pem_private_key(private_key(ordinal).encode(), None)
    assert isinstance(key, RSAPrivateKey)  # noqa: S101
    told = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    shown = {name: told[name] for name in ("kty", "n", "e")}
    return {**shown, "kid": _key_id(ordinal), "use": "sig", "alg": "RS256"}
