"""The forms of names: of accounts, repositories, workflows, services and event types."""

from __future__ import annotations

import re
import unicodedata

from zekt_bot.domain.events import DEFAULT_EVENT_TYPE
from zekt_bot.errors import InvalidInput

_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}[a-z0-9]")
_ALIAS = re.compile(r"(?=.{2,39}\Z)[A-Za-z0-9]+(-[A-Za-z0-9]+)*")
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_FULL_NAME = re.compile(rf"{_LOGIN.pattern}/([A-Za-z0-9._-]{{1,100}})")
_ELSEWHERE = re.compile(rf"{_FULL_NAME.pattern}/\.github/workflows/")


def check_line(what: str, text: str, most: int) -> str:
    """Return `text`, one printable line of at most `most` characters, or raise InvalidInput."""
    if len(text) > most or not text.isprintable() or text != text.strip():
        raise InvalidInput(
            f"The {what} is one line of at most {most} characters, without blanks around it."
        )
    return text


def is_whole(text: str) -> bool:
    """Whether every database takes it: no NUL, and no half of a character."""
    return re.search("[\0\ud800-\udfff]", text) is None


def check_alias(alias: str) -> str:
    """Return `alias`, which has the form of a login, or raise InvalidInput."""
    if not _ALIAS.fullmatch(alias):
        raise InvalidInput(
            f"{alias[:80]!r} is no alias. Letters, digits and single hyphens, 2 to 39, no hyphen "
            "at an end: aurora-releases."
        )
    return alias


def check_login(login: str) -> str:
    """Return `login`, or raise InvalidInput: letters, digits, hyphens and underscores."""
    if not _LOGIN.fullmatch(login):
        raise InvalidInput(f"{login[:80]!r} is no login of GitHub.")
    return login


def check_slug(slug: str) -> str:
    """Return `slug`, or raise InvalidInput saying what a slug is."""
    if not _SLUG.fullmatch(slug):
        raise InvalidInput(
            f"{slug!r} is no short name of a service. Small letters, digits and hyphens, "
            "2 to 64, no hyphen at an end: release-published."
        )
    return slug


def check_service_name(name: str) -> str:
    """Return `OWNER/SLUG`, or raise InvalidInput."""
    owner, slash, slug = name.partition("/")
    if not slash or not _LOGIN.fullmatch(owner):
        raise InvalidInput(f"{name[:160]!r} is not a service: write OWNER/SLUG.")
    check_slug(slug)
    return name


def check_full_name(full_name: str) -> str:
    """Return `OWNER/REPO`, or raise InvalidInput."""
    match = _FULL_NAME.fullmatch(full_name)
    if not match or match.group(1) in {".", ".."}:
        raise InvalidInput(f"{full_name!r} is not a repository: write OWNER/REPO.")
    return full_name


def check_workflow_path(path: str) -> str:
    """Return the path of a workflow without a trailing `@REF`, or raise InvalidInput."""
    path = workflow_path(path)
    if not re.fullmatch(r"\.github/workflows/[^/\x00]{1,200}\.ya?ml", path):
        raise InvalidInput(
            f"{path!r} is not the path of a workflow: write it as GitHub does, "
            ".github/workflows/NAME.yml."
        )
    return path


def check_event_type(event_type: str) -> str:
    """Return `event_type`, or raise InvalidInput: 1 to 100 characters, no control character."""
    controls = not event_type.isprintable() and any(  # what is printable has none
        unicodedata.category(character).startswith("C") for character in event_type
    )
    if not 1 <= len(event_type) <= 100 or controls or event_type != event_type.strip():
        raise InvalidInput(
            "An event type is 1 to 100 characters, none of them a control character, without "
            f"blanks around it, such as {DEFAULT_EVENT_TYPE}."
        )
    return event_type


def workflow_path(path: str) -> str:
    """A workflow's path without the `@REF` that GitHub sometimes appends; a name may have an @."""
    cut = re.match(r"(.*?\.ya?ml)@", path, re.DOTALL)
    return cut.group(1) if cut else path


def path_in(full_name: str, path: str) -> str:
    """A workflow's path as its repository has it, also where GitHub writes OWNER/REPO before it.

    Another repository's (a required workflow's) keeps that, and so is the path of no file here.

    Source: the example of `path` in GitHub's own description of a workflow run,
    https://docs.github.com/rest/actions/workflow-runs#get-a-workflow-run
    """
    before = f"{full_name}/"
    is_here = full_name and path.lower().startswith(before.lower())
    return path[len(before) :] if is_here else path


def is_elsewhere(path: str) -> bool:
    """Whether the path names another repository's workflow."""
    return bool(_ELSEWHERE.match(path))
