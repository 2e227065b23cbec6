"""Why a page is not shown: a title, a sentence and what to do, in the frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aiohttp import web

from zekt_bot.errors import (
    AccessDenied,
    Conflict,
    GitHubError,
    InstallationGone,
    InstallationSuspended,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    StorageUnavailable,
    TokenRefused,
    ZektError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Way(NamedTuple):
    """A link that helps."""

    label: str
    path: str


class Problem(ZektError):
    """A page that cannot be shown."""

    def __init__(
        self,
        status: int,
        title: str,
        sentence: str,
        way: Way | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`status` is the answer's; `headers` stand beside it."""
        super().__init__(sentence)
        self.status, self.title, self.way = status, title, way
        self.headers = dict(headers or {})


_HOME = Way("Go to the start page", "/")
_FIND = Way("Find a repository", "/repositories")
_SUSPENDED = (
    "The orchestration app is suspended there: nothing can be changed until an owner lifts it at "
    "GitHub. The page Repositories leads there."
)
_GONE = (
    "The orchestration app is not installed there any more. The page Repositories leads to "
    "installing it again."
)
_BY_STATUS = {
    404: ("Not here", "Nothing is at this address, or you may not see it."),
    405: ("Not that way", "This address takes no such request. Go back and use the page's form."),
    413: ("That is too much", "Send less."),
    429: ("Too fast", "Wait a minute."),
}


def of(error: Exception, here: str = "") -> Problem | None:
    """The page that tells of `error`; None: nobody foresaw it.

    `here` can be asked for once more; empty: it was a form, which may have done something.
    """
    again = Way("Try again", here) if here else _HOME
    match error:
        case Problem():
            return error
        case web.HTTPException():
            title, sentence = _BY_STATUS.get(error.status, (error.reason, ""))
            allowed = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
            way = _FIND if error.status == 404 else _HOME
            return Problem(error.status, title, sentence, way, allowed)
        case NotFound():
            return Problem(404, *_BY_STATUS[404], way=_FIND)
        case AccessDenied():
            return Problem(403, "Not yours to change", str(error), _HOME)
        case InvalidInput():
            return Problem(400, "That does not fit", str(error))
        case Conflict():
            return Problem(409, "It changed meanwhile", str(error))
        case QuotaExceeded():
            return Problem(429, "Too fast", str(error))
        case StorageUnavailable():
            return Problem(
                503,
                "The database does not answer",
                "Nothing was lost. This page tries again by itself.",
                again,
                headers={"Retry-After": "5", "Refresh": "5"},
            )
        case TokenRefused():
            return Problem(
                503,
                "GitHub refuses this server's sign-in App",
                f"{error} Ask its operator to look at the sign-in App and its client secret.",
                again,
                headers={"Retry-After": "60"},
            )
        case InstallationSuspended():
            return Problem(409, "Suspended at GitHub", _SUSPENDED, _FIND)
        case InstallationGone():
            return Problem(409, "Not installed", _GONE, _FIND)
        case GitHubError():
            return Problem(
                503,
                "GitHub does not answer",
                "Zekt asks GitHub what you may do, and GitHub did not say. Try again in a minute.",
                again,
                headers={"Retry-After": "60"},
            )
    return None


def unforeseen(reference: str) -> Problem:
    """The page of a failure of ours, which the log has under `reference`."""
    return Problem(
        500,
        "That went wrong on our side",
        f"Recorded as {reference}. Deliveries go on meanwhile. Try again, or give the operator "
        "this number.",
        _HOME,
    )
