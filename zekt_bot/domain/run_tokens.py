"""What a workflow run's OIDC token says of it. Pure: the signature was verified before.

Source: https://docs.github.com/actions/reference/security/oidc
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from zekt_bot.domain.access import WorkflowRun
from zekt_bot.domain.events import RunKey
from zekt_bot.domain.names import check_full_name, workflow_path
from zekt_bot.errors import AccessDenied, InvalidInput, RunTokenRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

SHARED_AUDIENCE = "api://zekt"
"""What published versions of the Action ask GitHub for, whichever Zekt they speak to."""
LEEWAY = timedelta(seconds=30)

_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_MOST = 2**63 - 1
_FAR = 253_402_300_799  # the last second that a datetime holds


@dataclass(frozen=True, slots=True)
class VerifiedRun:
    """A workflow run that proved who it is; only the verifier of tokens makes one.

    `repository` is OWNER/REPO as it was called when the run began. `workflow_path` is the file that
    runs; None: it is another repository's, as a required workflow is.
    """

    key: RunKey
    repository: str
    workflow_path: str | None

    @property
    def principal(self) -> WorkflowRun:
        """It, as who acts."""
        return WorkflowRun(self.key, self.workflow_path)

    def check_names(self, repository: str) -> None:
        """Return if `repository` is this run's; else raise AccessDenied."""
        if repository.lower() != self.repository.lower():
            raise AccessDenied("The token is another repository's than the one that is named.")

    def check_is(self, run_id: str | int) -> None:
        """Return if `run_id` is this run's; else raise AccessDenied."""
        if str(run_id) != str(self.key.run_id):
            raise AccessDenied("The token is another run's than the one that is named.")


@dataclass(frozen=True, slots=True)
class Expected:
    """Whose tokens are taken, and for whom they must have been made."""

    issuer: str
    audiences: frozenset[str]


def check_claims(claims: Mapping[str, Any], expected: Expected, now: datetime) -> VerifiedRun:
    """The run that these claims name.

    `sub` is never read: its form is the owner's to choose. Of one `iss` an enterprise may have
    appended its name.

    Raises:
        RunTokenRefused: saying which claim is missing, ill-formed or not for this server.
    """
    issuer, slash, enterprise = _text(claims, "iss").partition(f"{expected.issuer}/")
    if not (issuer == expected.issuer or (not issuer and slash and _SLUG.fullmatch(enterprise))):
        raise RunTokenRefused("The token's issuer is not the GitHub that this server works with.")
    if _text(claims, "aud") not in expected.audiences:
        wanted = " or ".join(sorted(expected.audiences))
        raise RunTokenRefused(f"The token is for another audience: ask GitHub for {wanted}.")
    _check_times(claims, now)
    repository = _text(claims, "repository")
    try:
        check_full_name(repository)
    except InvalidInput:
        raise _ill_formed("repository") from None
    return VerifiedRun(
        RunKey(*(_id(claims, name) for name in RunKey._fields)),
        repository,
        _workflow(_text(claims, "workflow_ref"), repository),
    )


def _check_times(claims: Mapping[str, Any], now: datetime) -> None:
    if _moment(claims, "exp") <= now - LEEWAY:
        raise RunTokenRefused("The token has expired: ask GitHub for a new one.")
    begins = _moment(claims, "iat")
    if claims.get("nbf") is not None:
        begins = max(begins, _moment(claims, "nbf"))
    if begins > now + LEEWAY:
        raise RunTokenRefused("The token is from the future: is this server's clock right?")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        raise RunTokenRefused(f"The token lacks the claim {name}.")
    if not isinstance(value, str) or not value:
        raise _ill_formed(name)
    return value


def _id(claims: Mapping[str, Any], name: str) -> int:
    """GitHub writes every id as a string of digits."""
    text = _text(claims, name)
    if not _NUMBER.fullmatch(text) or int(text) > _MOST:
        raise _ill_formed(name)
    return int(text)


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    value = claims.get(name)
    if value is None:
        raise RunTokenRefused(f"The token lacks the claim {name}.")
    if type(value) is not int or not 0 <= value <= _FAR:
        raise _ill_formed(name)
    return datetime.fromtimestamp(value, UTC)


def _workflow(ref: str, repository: str) -> str | None:
    """The path in `OWNER/REPO/PATH@REF`; another repository's says nothing of this one's files."""
    parts = ref.split("/", 2)
    path = workflow_path(parts[-1])
    if len(parts) < 3 or path == parts[-1] or not all(parts):
        raise _ill_formed("workflow_ref")
    return path if "/".join(parts[:2]).lower() == repository.lower() else None


def _ill_formed(name: str) -> RunTokenRefused:
    return RunTokenRefused(f"The token's claim {name} is not what GitHub writes.")
