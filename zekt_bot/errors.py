"""Every error that Zekt raises on purpose.

    ZektError
    ├── ConfigurationError        a setting is missing or wrong; names it and the cure
    ├── Refused                   an operation that is not done; nothing was changed
    │   ├── InvalidInput          the input itself is wrong
    │   ├── MessageTooLarge       the message is larger than one may be
    │   ├── MessageRefused        this message is not stored: a plugin's word, or a run's limits
    │   ├── QuotaExceeded         the account has had its share (has `retry_after`, in seconds)
    │   ├── AccessDenied          this principal may not do that
    │   │   └── SignInRefused     this sign-in did not come to its end
    │   ├── NotFound              no such thing for this principal
    │   └── Conflict              the thing is in another state than the operation needs
    │       ├── NotAdmitted       the account is none that this server works for
    │       └── Gone              it was there, and was deleted by age
    ├── RequestRefused            an HTTP request that is not taken (has a status)
    │   └── WebhookRefused        it is not a webhook of ours
    ├── RunTokenRefused           a workflow run's token that does not prove who it is
    ├── MalformedEvent            a verified webhook that lacks what it should have: set aside
    ├── StorageUnavailable        nothing was stored; the caller may try again
    │   └── OutcomeUnknown        the connection was lost at COMMIT: it may or may not be stored
    ├── SessionEnded              the session is over, here or at GitHub: sign in again
    ├── ServerUnavailable         no server of ours answers, or it cannot do its work now
    ├── Withheld                  the policy allows this POST no longer; a channel lets it pass
    ├── Unsendable                a delivery whose body will never be one (has a `reason`): dead
    │   ├── PayloadTooLarge       what a plugin made of a message does not fit
    │   └── NoRecipient           the message was not encrypted for this consumer
    ├── DecryptionFailed          a stored value does not open with any known key
    ├── PluginError
    │   ├── PluginRejected        a plugin that cannot be loaded: stops the start
    │   └── PluginFailed          a hook raised or answered senselessly: fails that row only
    ├── RequestFailed             a channel's request to an address outside GitHub
    │   └── AddressRefused        the address is not one of the public internet's
    └── GitHubError               GitHub did not do what was asked
        ├── GitHubUnreachable     no answer: connection, time-out
        ├── GitHubAnswered        an answer other than the one wanted (has a status)
        ├── TokenRefused          no token for a person (has GitHub's word for it as `error`)
        ├── KeysUnavailable       GitHub's keys for tokens of runs cannot be read (`retry_after`)
        ├── AppRejected           401 on the App's own JWT: key or App id are wrong or gone
        ├── InstallationGone      404 when minting a token: uninstalled
        ├── InstallationSuspended 403 when minting a token
        └── RepositoryNotGranted  422 when minting a token for this one repository

A class's docstring is its default message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class ZektError(Exception):
    """Zekt could not do this."""

    def __init__(self, message: str | None = None, **data: Any) -> None:
        """Keep `data` as plain values beside the sentence."""
        super().__init__(message or (type(self).__doc__ or "").strip())
        self.data = data


class ConfigurationError(ZektError):
    """A setting is missing or wrong."""


class Refused(ZektError):
    """This was not done; nothing was changed."""


class InvalidInput(Refused):
    """The input is not what this operation takes."""


class MessageTooLarge(Refused):
    """The message is too large."""


class MessageRefused(Refused):
    """This message is not taken."""


class QuotaExceeded(Refused):
    """This account has had what this server gives it."""


class AccessDenied(Refused):
    """You may not do this."""


class SignInRefused(AccessDenied):
    """This sign-in did not come to its end."""


class NotFound(Refused):
    """There is no such thing, or you may not see it."""


class Conflict(Refused):
    """This cannot be done in the present state."""


class NotAdmitted(Conflict):
    """This account is not admitted to this server."""


class Gone(Conflict):
    """It was deleted by age."""


class RequestRefused(ZektError):
    """This request is not one that Zekt takes."""

    def __init__(self, status: int, message: str) -> None:
        """`status` is the HTTP status of the answer."""
        super().__init__(message)
        self.status = status


class WebhookRefused(RequestRefused):
    """This request is not a webhook that Zekt takes."""


class RunTokenRefused(ZektError):
    """This token does not prove which workflow run calls."""


class MalformedEvent(ZektError):
    """The event lacks a part that it should have."""


class StorageUnavailable(ZektError):
    """The database cannot store this now; try again."""


class OutcomeUnknown(StorageUnavailable):
    """The connection was lost while committing; it may or may not be stored."""


class SessionEnded(ZektError):
    """Your session ended: sign in again."""


class ServerUnavailable(ZektError):
    """The server does not answer."""


class Withheld(ZektError):
    """The policy was asked again and does not allow this POST."""


class DecryptionFailed(ZektError):
    """No key in ZEKT_SECRET_KEY opens this stored value."""


class Unsendable(ZektError):
    """What this delivery would say cannot be sent, now or later."""

    reason = "unsendable"


class PayloadTooLarge(Unsendable):
    """The payload does not fit into what GitHub takes."""

    reason = "too_large"


class NoRecipient(Unsendable):
    """The message is encrypted, and not for this consumer."""

    reason = "no_recipient"


class PluginError(ZektError):
    """A plugin is at fault."""


class PluginRejected(PluginError):
    """A plugin cannot be loaded."""


class PluginFailed(PluginError):
    """A plugin's hook failed."""


class RequestFailed(ZektError):
    """No whole answer came from outside GitHub."""


class AddressRefused(RequestFailed):
    """The address is private; ZEKT_CHANNEL_ALLOWED_NETS lists those that channels may reach."""


class GitHubError(ZektError):
    """GitHub did not do what was asked."""


class GitHubUnreachable(GitHubError):
    """GitHub does not answer."""


class GitHubAnswered(GitHubError):
    """GitHub answered something else than was asked for."""

    def __init__(
        self, status: int, message: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """`status` and `headers` (names in lower case) are GitHub's, `message` what it said."""
        super().__init__(f"GitHub answered {status}{': ' + message if message else ''}")
        self.status = status
        self.headers = dict(headers or {})


class TokenRefused(GitHubError):
    """GitHub gives no token for this person."""

    def __init__(self, error: str) -> None:
        """`error` is GitHub's word."""
        word = error if error.replace("_", "").isalnum() else "unknown"
        super().__init__(f"GitHub gives no token for this person ({word[:60]}).")
        self.error = error


class KeysUnavailable(GitHubError):
    """The token's key is not known, and GitHub's keys cannot be read anew now; try again."""


class AppRejected(GitHubError):
    """GitHub does not accept the App's key: check the App id and the private key."""


class InstallationGone(GitHubError):
    """The App is no longer installed there."""


class InstallationSuspended(GitHubError):
    """The installation is suspended."""


class RepositoryNotGranted(GitHubError):
    """The installation does not grant this repository or permission."""


def is_own_cancellation(error: BaseException) -> bool:
    """Whether the current task is being cancelled; else a CancelledError came out of an await."""
    import asyncio  # here alone: those who only name an error need not load it

    own = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (own is None or own.cancelling() > 0)
